"""From materials, light and appearance to the numbers that the shading kernel takes."""

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from assets.transforms import apply
from sim.camera import Camera
from sim.render.appearance import Appearance, LightSettings
from sim.render.lens import layout
from sim.render.shading import GAUSS_SIZE, TONE_SIZE, Tissue
from sim.render.textures import NOISE_SIZE, NOISE_WAVES
from sim.render.vessels import VESSEL_SIZE, VESSEL_TILE
from sim.scene_objects import SceneObject

NOMINAL_DISTANCE = 0.03
"""At exposure 1 a white surface this far from the lens [m], facing it, is at full scale: chosen, a lumen's radius."""
FILM_SHARE = 0.22
"""Width of the wet film's highlight over the roughness of the tissue below it: chosen from the highlights in
Kvasir-SEG frames (Jha et al., MMM 2020), which are small and sharp."""


def tone_table() -> NDArray[np.float32]:
    """Map linear light x, evenly spaced in x / (1 + x), to the 8-bit code: soft shoulder, then sRGB (IEC 61966-2-1)."""
    share = np.arange(TONE_SIZE) / (TONE_SIZE - 1)
    light = share / np.maximum(1 - share, 1e-6)
    display = 1 - np.exp(-1.3 * light)
    coded = np.where(display <= 0.0031308, 12.92 * display, 1.055 * display ** (1 / 2.4) - 0.055)
    return np.clip(255 * coded + 0.5, 0, 255.49).astype(np.float32)


def gauss_table() -> NDArray[np.float32]:
    """Quantiles of the normal distribution, all equally likely."""
    return ndtri((np.arange(GAUSS_SIZE) + 0.5) / GAUSS_SIZE).astype(np.float32)


def tissue_of(item: SceneObject) -> Any:
    """Fill in a kernel's record of an object's optical properties."""
    optical = item.material.optical
    record: Any = np.zeros((), layout(Tissue))
    record["colour"] = optical.base_colour
    # Beer-Lambert: twice the blood gives the square of the colour, to first order colour (1 + d log colour).
    record["absorption"] = -np.log(np.maximum(optical.base_colour, 1e-3))
    record["vessel_colour"] = optical.vessel_colour
    record["alpha"] = max(FILM_SHARE * optical.roughness, 0.02)
    record["specular"] = optical.specular * optical.wetness
    record["wrap"] = optical.translucency
    record["vessel_density"] = optical.vessel_density
    record["bump_slope"] = optical.bump_height / max(optical.bump_scale, 1e-6)
    record["bump_frequency"] = 1 / max(optical.bump_scale, 1e-6)
    record["bump_octave"] = np.log2(NOISE_SIZE / NOISE_WAVES / max(optical.bump_scale, 1e-6)) + 0.5
    record["label"] = item.label_id
    return record


def fill_look(
    look: Any,
    T_world_camera: NDArray[np.float64],
    camera: Camera,
    exposure: float,
    light: LightSettings,
    appearance: Appearance,
    seed: int,
) -> None:
    """Fill in the record of what may change from frame to frame."""
    guides = np.array(light.positions, np.float64)
    guides[:, :2] += appearance.light_shift
    guides = apply(T_world_camera, guides)
    look["light_a"], look["light_b"] = guides[0], guides[-1]
    look["axis"] = T_world_camera[:3, 2]
    look["light_colour"] = light.power * np.array([1 + 0.15 * appearance.warmth, 1.0, 1 - 0.25 * appearance.warmth])
    look["tint"] = appearance.brightness * np.array([1.0, 1 + 0.15 * appearance.hue, 1 - 0.1 * appearance.hue])
    look["gain"] = exposure * NOMINAL_DISTANCE**2 / 2
    look["vessel_frequency"] = 1 / (VESSEL_TILE * appearance.vessel_scale)
    look["vessel_octave"] = np.log2(VESSEL_SIZE / (VESSEL_TILE * appearance.vessel_scale)) + 0.5
    for name in ("saturation", "mottling", "vessel_strength", "wetness", "roughness", "bump", "spot"):
        look[name] = getattr(appearance, name)
    for name in ("ambient", "vignette", "shot_noise", "read_noise", "texture_offset"):
        look[name] = getattr(appearance, name)
    look["pixel_angle"] = 1 / camera.fx
    look["seed"] = zlib.crc32(str(seed).encode())

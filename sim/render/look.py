"""From materials, light and appearance to the numbers that the shading kernel takes."""

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from sim.camera import Camera
from sim.render.appearance import Appearance, LightSettings
from sim.render.lens import layout
from sim.render.light import NARROW_BALANCE, NARROW_CONTRAST, deep_in_narrow_band, lamp_colour, narrow_band
from sim.render.records import Tissue
from sim.render.shading import GAUSS_SIZE
from sim.render.textures import NOISE_SIZE, NOISE_WAVES
from sim.render.vessels import VESSEL_SIZE, VESSEL_TILE
from sim.scene_objects import SceneObject

NOMINAL_DISTANCE = 0.03
"""At exposure 1 a white surface this far from the lens [m], facing it, is at full scale: chosen, a lumen's radius."""
AMBIENT = 1.52
"""Light that the walls throw at each other, relative to the direct light: fitted to path-traced frames of a synthetic
colon (docs/rendering.md), where it makes half of the red light."""
LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Of linear sRGB (IEC 61966-2-1)."""
FILM_SHARE = 0.13
"""Width of the wet film's highlight over the roughness of the tissue below it: chosen from the highlights in
Kvasir-SEG frames (Jha et al., MMM 2020), which are small and sharp."""


def gauss_table() -> NDArray[np.float32]:
    """Quantiles of the normal distribution, all equally likely."""
    return ndtri((np.arange(GAUSS_SIZE) + 0.5) / GAUSS_SIZE).astype(np.float32)


def tissue_of(item: SceneObject, instance: int, appearance: Appearance) -> Any:
    """Fill in a kernel's record of an object's optical properties in the colours of a look, and of its ids."""
    optical = item.material.optical
    tint = appearance.brightness * np.array([1.0, 1 + 0.15 * appearance.hue, 1 - 0.1 * appearance.hue])
    grey = (1 - appearance.saturation) * np.tile(LUMINANCE, (3, 1)) + appearance.saturation * np.eye(3)
    base = np.array(optical.base_colour)
    if optical.variation:
        base = base * _own_colour(item.name, appearance.object_seed, optical.variation, base)
    vessel_colour = np.array(optical.vessel_colour)
    deep_colour = vessel_colour
    if appearance.narrow_band:
        deep_colour = deep_in_narrow_band(base, vessel_colour)
        base, vessel_colour = narrow_band(base), narrow_band(vessel_colour)
    record: Any = np.zeros((), layout(Tissue))
    record["colour"] = grey @ (tint * base)
    # Beer-Lambert: twice the blood gives the square of the colour, to first order colour (1 + d log colour).
    record["blood"] = grey @ (tint * base * -np.log(np.maximum(base, 1e-3)))
    record["vessel_colour"], record["deep_colour"] = grey @ (tint * vessel_colour), grey @ (tint * deep_colour)
    record["layered"] = appearance.narrow_band
    slope = appearance.bump * optical.bump_height / max(optical.bump_scale, 1e-6)
    record["alpha2"] = (max(FILM_SHARE * optical.roughness, 0.02) * appearance.roughness) ** 2
    record["lost"] = 0.04 * slope**2
    record["film"] = optical.specular * optical.wetness * appearance.wetness
    record["wrap"] = optical.translucency
    contrast = NARROW_CONTRAST if appearance.narrow_band else 1.0
    record["vessel_strength"] = contrast * optical.vessel_density * appearance.vessel_strength
    record["bump_slope"] = slope
    record["texels"] = NOISE_SIZE / NOISE_WAVES / max(optical.bump_scale, 1e-6)
    record["mottling"] = optical.mottling * appearance.mottling
    record["pits"] = optical.pit_contrast
    record["label"], record["instance"] = item.label_id, instance
    return record


def _own_colour(name: str, seed: int, variation: float, base: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw how a thing differs from its material: more or less blood (Beer-Lambert), and paler or darker as a whole."""
    rng = np.random.default_rng(zlib.crc32(f"{seed}/{name}".encode()))
    # Redder more often than paler, seldom neither: chosen so that no threshold on hue tells polyps (the tests ask).
    blood = variation * (1.0 if rng.random() < 0.6 else -1.0) * rng.uniform(0.3, 1.7)
    pale = np.exp(variation * rng.uniform(-0.8, 0.4))
    scaled = pale * np.maximum(base, 1e-3) ** (0.35 * blood)
    return np.asarray(scaled / scaled[0] * pale, dtype=np.float64)


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
    aim(look, T_world_camera, guides_of(light, appearance))
    look["shadows"] = light.shadows
    look["light_colour"] = light.power * exposure * NOMINAL_DISTANCE**2 * lamp_of(appearance)
    look["texture_offset"] = appearance.texture_offset
    look["spot"], look["gain"] = appearance.spot, appearance.gain
    look["ambient"] = AMBIENT * appearance.ambient
    look["vessel_frequency"] = 1 / (VESSEL_TILE * appearance.vessel_scale)
    look["vessel_texels"] = VESSEL_SIZE / (VESSEL_TILE * appearance.vessel_scale)
    look["pixel_angle"] = 1 / camera.fx
    look["vignette"] = appearance.vignette
    look["shot_noise"], look["read_noise"] = appearance.shot_noise**2, appearance.read_noise**2
    look["seed"] = noise_seed(seed)


def aim(looks: Any, T_world_camera: NDArray[np.float64], guides: NDArray[np.float64]) -> None:
    """Put the light guides of one record, or of an array of them, where the cameras are.

    Args:
        looks: One record or n.
        T_world_camera: Poses, shape (4, 4) or (n, 4, 4).
        guides: One or two places each [m], camera axes, shape (k, 3) or (n, k, 3).
    """
    rotation, position = T_world_camera[..., :3, :3], T_world_camera[..., :3, 3]
    # Products and sums one by one: the same bytes for one pose as for many.
    placed = (guides[..., None, :] * rotation[..., None, :, :]).sum(axis=-1) + position[..., None, :]
    looks["light"] = placed.mean(axis=-2)
    looks["light_a"], looks["light_b"] = placed[..., 0, :], placed[..., -1, :]
    looks["axis"] = T_world_camera[..., :3, 2]


def guides_of(light: LightSettings, appearance: Appearance) -> NDArray[np.float64]:
    """Return where the light guides are [m], camera axes, shape (k, 3); a lone guide takes the place of all."""
    guides = np.array(light.positions, np.float64)
    if appearance.lone_guide:
        guides[:] = guides[0]
    if (appearance.guide_spread, appearance.guide_turn) != (1.0, 0.0):
        cosine, sine = np.cos(appearance.guide_turn), np.sin(appearance.guide_turn)
        turned = (guides[:, :2] - light.middle) @ np.array([[cosine, sine], [-sine, cosine]])
        guides[:, :2] = light.middle + appearance.guide_spread * turned
    guides[:, :2] += appearance.light_shift
    return guides


def lamp_of(appearance: Appearance) -> NDArray[np.float64]:
    """Return the linear RGB of the lamp, shape (3,); under narrow bands its filters matter, not its own colour."""
    return np.array(NARROW_BALANCE) if appearance.narrow_band else lamp_colour(appearance.temperature)


def noise_seed(seed: int) -> int:
    """Return the kernel's seed of the sensor noise, 32 bits."""
    return zlib.crc32(str(seed).encode())

"""What lies on the tissue: blood, mucus and stool, froth. It sticks to its place in the world."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from assets.labels import label_id
from sim.degradations.patterns import covered, distances, level_of, stain, surface_points
from sim.degradations.settings import Degradations
from sim.frame import Frame
from sim.render.appearance import Appearance
from sim.render.light import NARROW_BALANCE, narrow_band

Light = Float32[np.ndarray, "h w 3"]

OPAQUE = 0.5
"""A pixel shows what lies on the tissue where it takes more than this share of the tissue's light."""
_MUCOSA, _MUCOSA_IN_NARROW_BANDS = 0.22, 0.048
"""Luminance of the mucosa's albedo (colon_mucosa in assets/materials.toml): tells the light on it."""
# Albedos, chosen by eye after endoscopic video: fresh blood absorbs nearly all green and blue.
_BLOOD = np.array([0.20, 0.008, 0.008], np.float32)
_STOOL = np.array([0.26, 0.125, 0.025], np.float32)
_MUCUS = np.array([0.40, 0.29, 0.12], np.float32)
_BLOOD_ATTENUATION = np.array([1.7e3, 5.1e4, 4.3e4])
"""Effective attenuation of whole blood at 620, 540 and 460 nm [1/m]: the root of 3 a (a + s) with a = 500, 28500 and
23800 1/m for oxygenated haemoglobin, 150 g/l (Prahl's table, omlc.org/spectra/hemoglobin), and a reduced scattering
s = 1500 1/m (of the order in Bosschaart et al., Lasers Med. Sci. 29, 2014, doi:10.1007/s10103-013-1446-7)."""
_BLOOD_IN_NARROW_BANDS = np.array([5.1e4, 4.7e5, 4.7e5])
"""The same at 540, 415 and 415 nm, where a is 28500 and 270000 1/m."""
_BLOOD_OPAQUE = 3.8e-5
"""Thickness of blood [m] that takes OPAQUE of the mucosa's luminance in white light: all green, and some red."""
_BLOOD_FRINGE = 0.6
"""Chosen: how far blood thins out beyond that, in standard deviations of its pattern: some 3 mm."""
_BUBBLE_CELL = 0.0035  # m, chosen: froth of bubbles of 1 to 3 mm
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # of linear sRGB, IEC 61966-2-1


def lay_on(frame: Frame, light: Light, wrong: Degradations, look: Appearance | None = None) -> tuple[Frame, Light]:
    """Put blood, stool and froth on the tissue.

    Args:
        frame: With depth and pose; its masks are changed where something opaque lies.
        light: Its picture in linear light.
        wrong: How much of each.
        look: Of the frame: in narrow bands all has other colours. None for white light.

    Returns:
        The frame with new masks where something opaque hides the tissue, and the new picture.
    """
    if not (wrong.blood or wrong.stool or wrong.bubbles):
        return frame, light
    narrow = look is not None and look.narrow_band
    seen = frame.depth > 0
    points = surface_points(frame)
    semantic = frame.semantic.copy()
    if wrong.stool:
        film = covered(stain(points, 0.016, wrong.seed + 1), 0.8 * wrong.stool, 1.2) * 0.45 * seen
        light = _film(light, film, _MUCUS, gloss=0.6, narrow=narrow)
        lumps = covered(stain(points, 0.009, wrong.seed + 2), 0.5 * wrong.stool, 0.25) * seen
        shade = 1 + 0.25 * stain(points, 0.002, wrong.seed + 3)
        light = _film(light, lumps, _STOOL, gloss=0.15, shade=shade, narrow=narrow)
        semantic[lumps > OPAQUE] = label_id("stool")
    if wrong.blood:
        thickness = _blood_thickness(stain(points, 0.020, wrong.seed + 4), 0.66 * wrong.blood) * seen
        attenuation = _BLOOD_IN_NARROW_BANDS if narrow else _BLOOD_ATTENUATION
        light = _film(light, _opacity(thickness, attenuation), _BLOOD, gloss=1.0, narrow=narrow)
        semantic[thickness > _BLOOD_OPAQUE] = label_id("blood")
    if wrong.bubbles:
        light = light + _froth(frame, points, wrong)[..., None] * _on_it(light, narrow)[..., None]
    hidden = semantic != frame.semantic
    instance = np.where(hidden, 0, frame.instance).astype(frame.instance.dtype)
    part = None if frame.part is None else np.where(hidden, 0, frame.part).astype(frame.part.dtype)
    return replace(frame, semantic=semantic, instance=instance, part=part), light


def _blood_thickness(noise: Float32[np.ndarray, "h w"], share: float) -> Float64[np.ndarray, "h w"]:
    """Return how thick blood lies [m] that hides a share of the tissue: it thins out to nothing by the fourth power."""
    rise = np.maximum((noise.astype(np.float64) - level_of(share)) / _BLOOD_FRINGE + 1, 0)
    return np.asarray(_BLOOD_OPAQUE * rise**4, np.float64)


def _opacity(thickness: Float64[np.ndarray, "h w"], attenuation: NDArray[np.float64]) -> Light:
    """Return what a layer takes of each colour of the light that passes it twice (Beer-Lambert)."""
    return (1 - np.exp(-2 * attenuation * thickness[..., None])).astype(np.float32)


def _on_it(light: Light, narrow: bool) -> Float32[np.ndarray, "h w"]:
    """Estimate the light that falls on the tissue from what it sends back."""
    return (light @ _LUMINANCE) / np.float32(_MUCOSA_IN_NARROW_BANDS if narrow else _MUCOSA)


def _film(
    light: Light,
    opacity: Float32[np.ndarray, "h w"] | Light,
    albedo: NDArray[np.float32],
    *,
    gloss: float,
    narrow: bool,
    shade: Float32[np.ndarray, "h w"] | None = None,
) -> Light:
    """Lay a coloured layer over the picture; a share `gloss` of the wet highlights stays on top of it.

    The opacity may differ by colour. The albedo is that in white light.
    """
    on_it = _on_it(light, narrow)
    if narrow:
        albedo = (narrow_band(albedo.astype(np.float64)) * NARROW_BALANCE).astype(np.float32)
    # A highlight is white: its light is in the darkest channel, where the mucosa has least; in narrow bands less so.
    tissue = 0.75 if narrow else 0.45
    white = np.maximum(light[..., 2] - tissue * light[..., 0], 0) * (0.55 / (1 - tissue) * gloss)
    body = np.minimum(on_it, 4.0) * (1 if shade is None else np.clip(shade, 0.3, 1.7))
    layer = body[..., None] * albedo + white[..., None]
    return light + (opacity if opacity.ndim == 3 else opacity[..., None]) * (layer - light)


def _froth(frame: Frame, points: Float64[np.ndarray, "h w 3"], wrong: Degradations) -> Float32[np.ndarray, "h w"]:
    """Return how much light of that on the tissue the froth adds: rings around jittered points of a lattice."""
    there = covered(stain(points, 0.014, wrong.seed + 5), 0.75 * wrong.bubbles, 0.5) * (frame.depth > 0)
    rows, columns = np.nonzero(there > 0.02)
    if not len(rows):
        return np.zeros(frame.depth.shape, np.float32)
    at = points[rows, columns] / _BUBBLE_CELL
    pixel = distances(frame)[rows, columns] / (frame.camera.fx * _BUBBLE_CELL)  # size of a pixel, in cells
    cell = np.floor(at).astype(np.int64)
    near = at - cell > 0.5
    added = np.zeros(len(rows), np.float32)
    for corner in range(8):
        step = np.array([(corner >> axis) & 1 for axis in range(3)])
        neighbour = cell + np.where(step == 1, np.where(near, 1, -1), 0)
        jitter = _hash(neighbour, wrong.seed)
        centre = neighbour + 0.2 + 0.6 * jitter[:, :3]
        radius = 0.22 + 0.30 * jitter[:, 3]
        apart = np.linalg.norm(at - centre, axis=1)
        ring = np.exp(-(((apart - radius) / (0.05 + 0.5 * pixel)) ** 2)) * np.minimum(1.0, 0.1 / (0.05 + 0.5 * pixel))
        spot = np.exp(-(((apart - 0.35 * radius) / (0.05 + 0.5 * pixel)) ** 2)) * (jitter[:, 3] > 0.5)
        added = np.maximum(added, (0.16 * ring + 0.30 * spot).astype(np.float32))
    froth = np.zeros(frame.depth.shape, np.float32)
    froth[rows, columns] = added
    return froth * there


def _hash(cells: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Return four numbers within 0 and 1 for each cell, shape (n, 4), by splitmix64's finaliser."""
    state = cells.astype(np.uint64) * np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
    mixed = state[:, 0] ^ state[:, 1] ^ state[:, 2] ^ np.uint64(seed)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    parts = [(mixed >> np.uint64(16 * k)) & np.uint64(0xFFFF) for k in range(4)]
    return np.stack(parts, axis=1).astype(np.float64) / 65535

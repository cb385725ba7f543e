"""What lies on the tissue: blood, mucus and stool, froth. It sticks to its place in the world."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from assets.labels import label_id
from sim.degradations.patterns import covered, distances, stain, surface_points
from sim.degradations.settings import Degradations
from sim.frame import Frame

Light = Float32[np.ndarray, "h w 3"]

OPAQUE = 0.5
"""A pixel shows what lies on the tissue where its opacity is more than this."""
_MUCOSA = 0.22
"""Luminance of the mucosa's albedo (colon_mucosa in assets/materials.toml): tells the light on it."""
# Albedos, chosen by eye after endoscopic video: fresh blood absorbs nearly all green and blue.
_BLOOD = np.array([0.20, 0.008, 0.008], np.float32)
_STOOL = np.array([0.26, 0.125, 0.025], np.float32)
_MUCUS = np.array([0.40, 0.29, 0.12], np.float32)
_BUBBLE_CELL = 0.0035  # m, chosen: froth of bubbles of 1 to 3 mm
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # of linear sRGB, IEC 61966-2-1


def lay_on(frame: Frame, light: Light, wrong: Degradations) -> tuple[Frame, Light]:
    """Put blood, stool and froth on the tissue.

    Args:
        frame: With depth and pose; its masks are changed where something opaque lies.
        light: Its picture in linear light.
        wrong: How much of each.

    Returns:
        The frame with new masks where something opaque hides the tissue, and the new picture.
    """
    if not (wrong.blood or wrong.stool or wrong.bubbles):
        return frame, light
    seen = frame.depth > 0
    points = surface_points(frame)
    semantic = frame.semantic.copy()
    if wrong.stool:
        film = covered(stain(points, 0.016, wrong.seed + 1), 0.8 * wrong.stool, 1.2) * 0.45 * seen
        light = _film(light, film, _MUCUS, gloss=0.6)
        lumps = covered(stain(points, 0.009, wrong.seed + 2), 0.5 * wrong.stool, 0.25) * seen
        shade = 1 + 0.25 * stain(points, 0.002, wrong.seed + 3)
        light = _film(light, lumps, _STOOL, gloss=0.15, shade=shade)
        semantic[lumps > OPAQUE] = label_id("stool")
    if wrong.blood:
        noise = stain(points, 0.020, wrong.seed + 4)
        thin = covered(noise, min(1.0, 0.9 * wrong.blood), 0.9) * 0.5 * seen
        light = _film(light, thin, _BLOOD * 1.6, gloss=0.9)
        pool = covered(noise, 0.66 * wrong.blood, 0.2) * seen
        light = _film(light, pool, _BLOOD, gloss=1.0)
        semantic[pool > OPAQUE] = label_id("blood")
    if wrong.bubbles:
        light = light + _froth(frame, points, wrong)[..., None] * _on_it(light)[..., None]
    hidden = semantic != frame.semantic
    instance = np.where(hidden, 0, frame.instance).astype(frame.instance.dtype)
    part = None if frame.part is None else np.where(hidden, 0, frame.part).astype(frame.part.dtype)
    return replace(frame, semantic=semantic, instance=instance, part=part), light


def _on_it(light: Light) -> Float32[np.ndarray, "h w"]:
    """Estimate the light that falls on the tissue from what it sends back."""
    return (light @ _LUMINANCE) / _MUCOSA


def _film(
    light: Light,
    opacity: Float32[np.ndarray, "h w"],
    albedo: NDArray[np.float32],
    *,
    gloss: float,
    shade: Float32[np.ndarray, "h w"] | None = None,
) -> Light:
    """Lay a coloured layer over the picture; a share `gloss` of the wet highlights stays on top of it."""
    on_it = _on_it(light)
    # A highlight is white: its light is in the darkest channel, where the mucosa has least.
    white = np.maximum(light[..., 2] - 0.45 * light[..., 0], 0) * gloss
    body = np.minimum(on_it, 4.0) * (1 if shade is None else np.clip(shade, 0.3, 1.7))
    layer = body[..., None] * albedo + white[..., None]
    return light + opacity[..., None] * (layer - light)


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

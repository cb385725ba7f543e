"""What lies between the tissue and the lens, and on it: smoke, glare, water, fog, smears."""

import cv2
import numpy as np
from jaxtyping import Float32

from sim.degradations.patterns import cloud, covered, distances, stain, surface_points
from sim.degradations.settings import Degradations
from sim.frame import Frame

Light = Float32[np.ndarray, "h w 3"]

_SMOKE_DEPTH = 0.05  # m, over which smoke of severity 1 lets a twentieth of the light through
_SMOKE_LIGHT = 0.8  # chosen: linear light of a picture full of smoke, which the light guides dazzle
_SMOKE_NEAR = 0.03  # m, chosen: smoke beyond this adds little light
_DRIFT = 0.25  # s in which a cloud of smoke changes


def look_through(frame: Frame, light: Light, wrong: Degradations) -> Light:
    """Add glare, smoke, fog, smears and drops of water to the picture of a frame, in linear light."""
    shape = frame.depth.shape
    if wrong.glare:
        light = _glare(frame, light, wrong.glare, wrong.seed)
    if wrong.smoke:
        light = _smoke(frame, light, wrong)
    if wrong.fog:
        uneven = 0.55 + 0.45 * cloud(shape, 3, np.random.default_rng([wrong.seed, 11]))
        mist = (uneven * wrong.fog)[..., None]
        light = _blend(light, _blurred(light, 0.05 * wrong.fog * shape[1]), np.minimum(1.6 * mist, 1.0))
        veil = 0.1 + 0.7 * light.mean(axis=(0, 1))  # scattered light of the whole picture
        light = light * (1 - 0.75 * mist) + veil * 0.75 * mist
    if wrong.smear:
        where = cloud(shape, 2.5, np.random.default_rng([wrong.seed, 12]))
        where = np.clip((where - (0.95 - 0.75 * wrong.smear)) / 0.15, 0, 1)[..., None] * min(1.0, 0.4 + wrong.smear)
        greasy = _blurred(light, 0.045 * shape[1]) * np.array([0.98, 0.93, 0.80], np.float32) + 0.02
        light = _blend(light, greasy, where)
    if wrong.water:
        light = _drops(light, wrong)
    return np.asarray(light, dtype=np.float32)


def _smoke(frame: Frame, light: Light, wrong: Degradations) -> Light:
    """Veil the picture: light is lost along the way (Koschmieder's law) and comes back from the smoke near the lens.

    The light guides are beside the lens, so that most of what comes back does so from the first centimetres.
    """
    phase, share = divmod(frame.time / _DRIFT, 1.0)
    now, then = (cloud(frame.depth.shape, 2, np.random.default_rng([wrong.seed, 13, int(phase) + k])) for k in (0, 1))
    density = 3.0 * wrong.smoke**2 * (0.6 + 0.8 * ((1 - share) * now + share * then)) / _SMOKE_DEPTH
    way = np.minimum(distances(frame), 0.15)
    through = np.exp(-density * way)[..., None]
    lit = (1 - np.exp(-density * way * _SMOKE_NEAR / (way + _SMOKE_NEAR)))[..., None]
    veil = _SMOKE_LIGHT * np.array([1.0, 0.93, 0.90], np.float32)  # by what red tissue throws back, too
    return light * through + veil * lit


def _glare(frame: Frame, light: Light, severity: float, seed: int) -> Light:
    """Widen highlights where the surface faces the light, and let bright parts bloom."""
    rays, _ = frame.camera.rays()
    facing = np.clip(-(frame.normal * rays).sum(axis=-1), 0, 1)
    near = np.clip(0.03 / np.maximum(distances(frame), 0.004), 0, 2) * (frame.depth > 0)
    # The film is uneven: highlights break up into patches that stick to the tissue.
    wet = covered(stain(surface_points(frame), 0.004, seed), 0.15 + 0.45 * severity, 0.5)
    shine = 4.0 * severity * near * wet * facing ** (90 - 60 * severity)
    light = light + shine[..., None].astype(np.float32)
    bright = np.maximum(light - 0.8, 0)
    return light + severity * _blurred(bright, 0.03 * frame.depth.shape[1])


def _drops(light: Light, wrong: Degradations) -> Light:
    """Bend and blur the picture behind drops of water on the lens: each is a small lens that turns it over."""
    height, width = light.shape[:2]
    rng = np.random.default_rng([wrong.seed, 14])
    row, column = np.mgrid[0:height, 0:width].astype(np.float32)
    from_row, from_column = row.copy(), column.copy()
    inside = np.zeros((height, width), np.float32)
    for _ in range(1 + round(8 * wrong.water)):
        y, x = rng.uniform(0.08, 0.92, 2) * (height, width)
        size = rng.uniform(0.04, 0.07 + 0.09 * wrong.water) * width
        squash, turn = rng.uniform(0.75, 1.0), rng.uniform(0, np.pi)
        across = (column - x) * np.cos(turn) + (row - y) * np.sin(turn)
        along = (row - y) * np.cos(turn) - (column - x) * np.sin(turn)
        apart = np.hypot(across, along / squash) / size
        drop = apart < 1
        bend = -1.6 * (1 - 0.35 * apart)  # turned over, as a ball lens does
        from_row[drop] = (y + (row - y) * bend * 1.2)[drop]
        from_column[drop] = (x + (column - x) * bend * 1.2)[drop]
        inside = np.maximum(inside, np.clip((1 - apart) / 0.12, 0, 1))
    bent = cv2.remap(light, from_column, from_row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    bent = _blurred(bent, 0.012 * width)
    rim = np.exp(-(((inside - 0.35) / 0.25) ** 2)) * (inside > 0)
    return _blend(light, bent * (1 - 0.35 * rim[..., None]), inside[..., None])


def _blurred(light: Light, sigma: float) -> Light:
    if sigma < 0.3:
        return light
    return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), dtype=np.float32)


def _blend(light: Light, other: Light, share: Float32[np.ndarray, "h w 1"]) -> Light:
    return light + share * (other - light)

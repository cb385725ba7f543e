"""What sensor and processor do: exposure, noise behind a Bayer mosaic, white balance, sharpening, compression."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from sim.degradations.settings import Degradations
from sim.degradations.tone import to_codes

Light = Float32[np.ndarray, "h w 3"]

_STOPS_OVER, _STOPS_UNDER = 3.0, 4.0
_SHOT, _READ = 0.10, 0.03  # standard deviations at severity 1: of photons at full scale, and of the sensor
_BEST_QUALITY, _WORST_QUALITY = 95, 8  # of JPEG


def read_out(
    light: Light, wrong: Degradations, rng: np.random.Generator, *, gamma: float = 1.0
) -> UInt8[np.ndarray, "h w 3"]:
    """Turn linear light into the picture that the processor gives.

    Args:
        light: 1 is full scale.
        wrong: How much of each.
        rng: Of this frame's noise.
        gamma: Of the tone curve, as `Appearance.gamma`.
    """
    gain = 2.0 ** (_STOPS_OVER * wrong.overexposure - _STOPS_UNDER * wrong.underexposure)
    light = np.maximum(light * np.float32(gain), 0)
    if wrong.colour_cast:
        warm = np.random.default_rng([wrong.seed, 21]).choice([-1.0, 1.0])
        balance = np.exp(0.34 * wrong.colour_cast * warm * np.array([1.0, 0.0, -1.0]))
        light = light * balance.astype(np.float32)
    noise = max(wrong.noise, 0.5 * wrong.underexposure)  # what is too dark is amplified
    if noise:
        light = _mosaic(light, noise, rng)
    rgb = to_codes(light, gamma=gamma)
    if wrong.sharpening:
        soft = cv2.GaussianBlur(rgb, (0, 0), 1.0 + rgb.shape[1] / 400).astype(np.float32)
        rgb = np.clip(rgb + 3.0 * wrong.sharpening * (rgb - soft), 0, 255).astype(np.uint8)
    if wrong.compression:
        quality = round(_BEST_QUALITY + (_WORST_QUALITY - _BEST_QUALITY) * wrong.compression)
        _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        rgb = np.ascontiguousarray(decoded[..., ::-1])
    return rgb


def _mosaic(light: Light, severity: float, rng: np.random.Generator) -> Light:
    """Add noise to one colour a pixel, as a Bayer sensor sees them, and fill in the others: it comes in blotches."""
    height, width = light.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    colour = np.where(rows % 2 == columns % 2, 1, np.where(rows % 2 == 0, 2, 0))  # G B / R G
    raw = np.take_along_axis(light, colour[..., None], axis=-1)[..., 0]
    sigma = severity * np.sqrt(_SHOT**2 * np.minimum(raw, 1.0) + _READ**2)
    raw = raw + sigma * rng.standard_normal(raw.shape, dtype=np.float32)
    filled = np.empty_like(light)
    for channel in range(3):
        # Normalised convolution: bilinear demosaicing, also at the borders.
        mask = (colour == channel).astype(np.float32)
        weight = cv2.GaussianBlur(mask, (3, 3), 0.85)
        total = cv2.GaussianBlur((raw * mask).astype(np.float32), (3, 3), 0.85)
        filled[..., channel] = np.where(mask > 0, raw, total / np.maximum(weight, 1e-6))
    # At a low severity the picture keeps its own detail.
    share = np.float32(min(1.0, 4 * severity))
    return light + share * (filled - light)

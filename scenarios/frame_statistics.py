"""How a set of endoscopic frames looks, in numbers: light, colour, highlights, and detail of each size."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float64, UInt8
from numpy.typing import NDArray
from scipy import ndimage

SIDE = 256
"""Height to which every frame is brought before it is measured [px]: near to what networks are given."""
BINS = 64
"""Of each histogram, over the 8-bit codes; hue has as many over its circle."""
HIGHLIGHT = 215
"""A pixel is a highlight where its darkest channel is brighter than this code."""
DARK = 28
"""The dark surround, of which text may be a part, is where the brightest channel stays below this code."""
OCTAVES = (1, 2, 4, 8, 16)
"""Lower ends of the bands of detail [px at SIDE]: each is the difference of Gaussians of this sigma and its double."""
LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Of linear sRGB (IEC 61966-2-1)."""
HISTOGRAMS = ("red", "green", "blue", "hue", "saturation", "light")
"""Names of the histograms, in order."""


@dataclass(frozen=True)
class FrameStatistics:
    """Numbers of one frame, all within its content."""

    values: dict[str, float]
    """By name; shares within 0 and 1, codes within 0 and 1."""
    histograms: Float64[np.ndarray, "c b"]
    """Red, green, blue, hue, saturation (HSV) and luma; each sums to 1."""


def content(rgb: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Tell the picture from its dark surround and what is written there: the largest bright region, less its rim."""
    bright = cv2.GaussianBlur(rgb.max(axis=-1), (0, 0), 1.0) > DARK
    bright = ndimage.binary_opening(bright, iterations=max(2, SIDE // 64))
    regions, count = ndimage.label(bright)
    if not count:
        return np.zeros(rgb.shape[:2], np.bool_)
    sizes = np.bincount(regions.ravel())[1:]
    inside = ndimage.binary_fill_holes(regions == 1 + int(sizes.argmax()))
    return np.asarray(ndimage.binary_erosion(inside, iterations=4))


def frame_statistics(rgb: UInt8[np.ndarray, "h w 3"]) -> FrameStatistics | None:
    """Measure one frame, of any size; None where it has no content."""
    scale = SIDE / rgb.shape[0]
    size = (max(1, round(rgb.shape[1] * scale)), SIDE)
    if scale != 1:
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    inside = content(rgb)
    if np.count_nonzero(inside) < 0.05 * inside.size:
        return None
    codes = rgb.astype(np.float64) / 255
    light = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    luma = codes @ np.array(LUMINANCE)
    pixels, linear = codes[inside], light[inside]
    values = {f"{name}.mean": float(pixels[:, k].mean()) for k, name in enumerate(("red", "green", "blue"))}
    values["green_over_red"] = float(np.median(linear[:, 1] / np.maximum(linear[:, 0], 1e-3)))
    values["blue_over_red"] = float(np.median(linear[:, 2] / np.maximum(linear[:, 0], 1e-3)))
    for share in (5, 50, 95):
        values[f"light.p{share}"] = float(np.percentile(luma[inside], share))
    values["light.deviation"] = float(luma[inside].std())
    values["burnt_share"] = float((rgb[inside][:, 0] >= 250).mean())
    values |= _highlights(rgb, inside)
    values |= _detail(luma, inside)
    return FrameStatistics(values, _histograms(rgb, inside, luma))


def distance(one: Sequence[FrameStatistics], other: Sequence[FrameStatistics]) -> dict[str, float]:
    """Return the earth mover's distances of two sets' mean histograms, as shares of the axes; hue on a circle."""
    first, second = (np.mean([each.histograms for each in group], axis=0) for group in (one, other))
    found = {}
    for k, name in enumerate(HISTOGRAMS):
        gap = np.cumsum(first[k] - second[k])
        # On a circle the cut that costs least is where the median of the differences becomes 0.
        found[name] = float(np.abs(gap - (np.median(gap) if name == "hue" else 0.0)).mean())
    return found


def _highlights(rgb: UInt8[np.ndarray, "h w 3"], inside: Bool[np.ndarray, "h w"]) -> dict[str, float]:
    shining = (rgb.min(axis=-1) > HIGHLIGHT) & inside
    regions, count = ndimage.label(shining, structure=np.ones((3, 3)))
    sizes = np.bincount(regions.ravel())[1:] if count else np.zeros(1)
    total = np.count_nonzero(inside)
    return {
        "highlight.share": float(np.count_nonzero(shining) / total),
        "highlight.count": 1e4 * count / total,
        "highlight.area": float(np.mean(sizes)),
    }


def _detail(luma: NDArray[np.float64], inside: Bool[np.ndarray, "h w"]) -> dict[str, float]:
    """Return the contrast in each octave of size, and the mean gradient, of the luma without the highlights."""
    weight = inside.astype(np.float64)
    clipped = np.minimum(luma, 0.85)

    def smooth(sigma: float) -> NDArray[np.float64]:
        """Blur within the content: what is outside does not count."""
        below = cv2.GaussianBlur(weight, (0, 0), sigma)
        return np.asarray(cv2.GaussianBlur(clipped * weight, (0, 0), sigma) / np.maximum(below, 1e-6))

    found, finer = {}, clipped
    slope = cv2.Sobel(clipped, cv2.CV_64F, 1, 0) / 8, cv2.Sobel(clipped, cv2.CV_64F, 0, 1) / 8
    core = ndimage.binary_erosion(inside, iterations=2)
    found["gradient.mean"] = float(np.hypot(*slope)[core].mean())
    for sigma in OCTAVES:
        coarser = smooth(float(sigma))
        found[f"detail.{sigma}px"] = float((finer - coarser)[core].std())
        finer = coarser
    return found


def _histograms(
    rgb: UInt8[np.ndarray, "h w 3"], inside: Bool[np.ndarray, "h w"], luma: NDArray[np.float64]
) -> NDArray[np.float64]:
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV_FULL)[inside]
    channels = [*rgb[inside].T, (hsv[:, 0].astype(int) + 128) % 256, hsv[:, 1], 255 * luma[inside]]
    counts = [np.histogram(channel, BINS, (0, 256))[0] for channel in channels]
    return np.array(counts) / np.count_nonzero(inside)

"""How far colour alone gets: the best interval of hues as a detector of one class, such as polyps."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray

_HUES = 180  # OpenCV's hue of 8 bit images: steps of 2 degrees


@dataclass(frozen=True)
class HueThreshold:
    """Pixels whose hue lies in an interval on the colour circle are called by the class that is sought."""

    first: int
    """First hue of the interval, in steps of 2 degrees, 0 to 179."""
    width: int
    """Number of hues in it, 1 to 180."""
    fitted_dice: float
    """Dice of that class on the frames that it was fitted to."""

    def __call__(self, rgb: UInt8[np.ndarray, "h w 3"]) -> NDArray[np.bool_]:
        """Return the mask of what is called so, shape (h, w); black pixels, which have no hue, are not."""
        inside = (_hue(rgb).astype(np.int64) - self.first) % _HUES < self.width
        return np.asarray(inside & rgb.any(axis=-1))


def fit_hue_threshold(
    rgb: UInt8[np.ndarray, "n h w 3"], classes: UInt8[np.ndarray, "n h w"], sought: int
) -> HueThreshold:
    """Try every interval of hues and keep the one with the best Dice of a class over all pixels of all frames."""
    wanted, other = np.zeros(_HUES), np.zeros(_HUES)
    missed = 0  # black pixels of the class, which no interval finds
    for image, ids in zip(rgb, classes, strict=True):
        hue, lit, is_wanted = _hue(image), image.any(axis=-1), ids == sought
        wanted += np.bincount(hue[lit & is_wanted], minlength=_HUES)
        other += np.bincount(hue[lit & ~is_wanted], minlength=_HUES)
        missed += int(np.count_nonzero(is_wanted & ~lit))
    # Sums over [first, first + width) on the circle, for all firsts (rows) and widths 1 to 180 (columns).
    first, width = np.arange(_HUES)[:, None], np.arange(1, _HUES + 1)[None, :]
    hits, false = (_window(counts, first, width) for counts in (wanted, other))
    dice = 2 * hits / np.maximum(hits + false + wanted.sum() + missed, 1)
    row, column = np.unravel_index(int(np.argmax(dice)), dice.shape)
    return HueThreshold(int(row), int(column) + 1, float(dice[row, column]))


def sought_counts(called: Bool[np.ndarray, "h w"], classes: UInt8[np.ndarray, "h w"], sought: int) -> NDArray[np.int64]:
    """Count pixels for a detector of one class alone: rows true no and yes, columns called no and yes."""
    joint = (classes == sought).astype(np.int64) * 2 + called
    return np.bincount(joint.ravel(), minlength=4).reshape(2, 2)


def _window(counts: NDArray[np.float64], first: NDArray[np.int64], width: NDArray[np.int64]) -> NDArray[np.float64]:
    running = np.concatenate([[0.0], np.cumsum(np.concatenate([counts, counts]))])
    return np.asarray(running[first + width] - running[first])


def _hue(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 0])

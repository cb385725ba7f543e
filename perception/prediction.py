"""What the network says about a frame: plain arrays, whatever made them."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray

CLASSES = ("background", "wall", "polyp", "lumen")
"""Names of the classes; the index is the id. Background: nothing is seen there."""

WALL, POLYP, LUMEN = 1, 2, 3

LUMEN_DISTANCE = 0.05
"""[m] Whatever lies farther than this from the camera, in a straight line, is class lumen: a choice of the task."""


@dataclass(frozen=True)
class Prediction:
    """Classes, depth and the way ahead, as seen in one frame."""

    probabilities: Float32[np.ndarray, "classes h w"]
    """Share of belief in each of CLASSES; sums to 1 in every pixel."""
    depth: Float32[np.ndarray, "h w"]
    """z-depth [m] along the optical axis, as in a Frame; 0 where the lens shows nothing."""
    depth_scale: Float32[np.ndarray, "h w"]
    """Expected absolute error of log depth, hence about the relative error of depth; 0 where the lens shows nothing."""
    lumen_direction: Float64[np.ndarray, "3"]
    """Unit vector, camera axes, towards the farthest part of the lumen that the frame tells of."""
    lumen_visible: float
    """Probability that this direction leads down the lumen and not into a wall, within 0 and 1."""
    uncertainty: Float32[np.ndarray, "h w"]
    """0 (sure) to 1 (no idea) in each pixel: 1 - (1 - entropy of the classes over its maximum) exp(-depth_scale); 0
    where the lens shows nothing."""
    frame_uncertainty: float
    """0 to 1: mean of `uncertainty` over the shown pixels; 1 if there is none."""
    polyp_centres: Float32[np.ndarray, "polyps 3"]
    """Column u and row v [px] of the middle of each polyp, and the belief in it within 0 and 1; the surest first."""
    time: float | None = None
    """Simulated time of the frame [s]; None where nobody has said it, as in what a network returns."""

    @property
    def classes(self) -> NDArray[np.uint8]:
        """The likeliest class of each pixel, shape (h, w), ids of CLASSES."""
        return np.argmax(self.probabilities, axis=0).astype(np.uint8)


NO_CENTRES: NDArray[np.float32] = np.zeros((0, 3), np.float32)
"""The `polyp_centres` of a frame without polyps."""


def mask_centres(mask: Bool[np.ndarray, "h w"]) -> NDArray[np.float32]:
    """Return the middle of each connected region of a mask, with belief 1, largest region first; shape (regions, 3)."""
    if not mask.any():
        return NO_CENTRES
    count, _, stats, middles = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")
    return np.column_stack([middles[order], np.ones(count - 1)]).astype(np.float32)

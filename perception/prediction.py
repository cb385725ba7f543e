"""What the network says about a frame: plain arrays, whatever made them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
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
    uncertainty: float
    """0 (sure of each pixel) to 1 (no idea): mean over the shown pixels of 1 - (1 - entropy of the classes over its
    maximum) exp(-depth_scale)."""
    frame_uncertainty: float | None = None
    """Probability that the frame as a whole is not to be relied on, within 0 and 1; None where nothing tells it."""

    @property
    def classes(self) -> NDArray[np.uint8]:
        """The likeliest class of each pixel, shape (h, w), ids of CLASSES."""
        return np.argmax(self.probabilities, axis=0).astype(np.uint8)

"""The ground truth in the form of a prediction, and the prediction of one who sees nothing."""

import numpy as np
from jaxtyping import Float64

from perception.prediction import CLASSES, NO_CENTRES, Prediction, mask_centres
from scenarios.interface import Truth


def truth_as_prediction(truth: Truth) -> Prediction:
    """Say of a frame what a perfect network would."""
    depth = truth.frame.depth
    ids = np.arange(truth.class_count, dtype=np.uint8)[
        :, None, None
    ]  # of the masks' type: compared in a third of the time
    return Prediction(
        probabilities=(ids == truth.classes).astype(np.float32),
        depth=depth,
        depth_scale=np.zeros(depth.shape, np.float32),
        lumen_direction=truth.lumen_direction,
        lumen_visible=float(truth.lumen_visible),
        uncertainty=np.zeros(depth.shape, np.float32),
        frame_uncertainty=0.0,
        polyp_centres=mask_centres(truth.classes == truth.sought),
    )


def nothing_seen(
    shape: tuple[int, int], direction: Float64[np.ndarray, "3"], *, class_count: int = len(CLASSES)
) -> Prediction:
    """Say nothing of a picture of a shape (H, W) but where to go: all background, no depth."""
    probabilities = np.zeros((class_count, *shape), np.float32)
    probabilities[0] = 1.0
    return Prediction(
        probabilities=probabilities,
        depth=np.zeros(shape, np.float32),
        depth_scale=np.zeros(shape, np.float32),
        lumen_direction=direction,
        lumen_visible=0.0,
        uncertainty=np.ones(shape, np.float32),
        frame_uncertainty=1.0,
        polyp_centres=NO_CENTRES,
    )

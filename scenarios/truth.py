"""The ground truth in the form of a prediction, and the prediction of one who sees nothing."""

import numpy as np
from jaxtyping import Float64

from perception.prediction import CLASSES, NO_CENTRES, POLYP, Prediction, mask_centres
from perception.targets import class_map
from sim.frame import Frame


def truth_as_prediction(frame: Frame, lumen_direction: Float64[np.ndarray, "3"], *, lumen_visible: bool) -> Prediction:
    """Say of a frame what a perfect network would."""
    classes = class_map(frame.semantic, frame.depth, frame.camera)
    probabilities = (np.arange(len(CLASSES))[:, None, None] == classes).astype(np.float32)
    return Prediction(
        probabilities=probabilities,
        depth=frame.depth,
        depth_scale=np.zeros_like(frame.depth),
        lumen_direction=lumen_direction,
        lumen_visible=float(lumen_visible),
        uncertainty=np.zeros_like(frame.depth),
        frame_uncertainty=0.0,
        polyp_centres=mask_centres(classes == POLYP),
    )


def nothing_seen(shape: tuple[int, int], direction: Float64[np.ndarray, "3"]) -> Prediction:
    """Say nothing of a picture of a shape (H, W) but where to go: all background, no depth."""
    probabilities = np.zeros((len(CLASSES), *shape), np.float32)
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

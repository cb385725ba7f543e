"""Shift a class' logit to where its Dice on held-out patients is best.

The training shows polyps far more often than they come, and weighs their pixels more, so that the network learns them
at all; what it then says is right for the training's share of polyps, not for a patient's. For a softmax that is a
constant added to the logit (Saerens et al., Adjusting the outputs of a classifier to new a priori probabilities, Neural
Computation 14, 2002, doi:10.1162/089976602753284446). The constant is measured here, on patients as they come.
"""

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from perception.dataset import Frames, cut_batch
from perception.network import EndoscopyNet
from perception.prediction import POLYP
from perception.predictor import ray_planes

_BATCH = 16
_EDGES = np.linspace(-8.0, 8.0, 161)
"""Shifts that are tried; the histogram's bins lie between them."""


def best_polyp_shift(network: EndoscopyNet, frames: Frames, device: torch.device) -> float:
    """Find what to add to the polyps' logit so that their Dice, pooled per patient, is best in the mean over patients.

    Args:
        network: Its mode is left at evaluation.
        frames: Of patients that it was not trained on, as they come.
        device: Where the network is.

    Returns:
        The shift; 0 if no frame shows a polyp.
    """
    network.eval()
    rays = ray_planes(frames.camera, device)
    shape = (len(_EDGES) + 1,)
    others = {name: np.zeros(shape, np.int64) for name in frames.patients}
    polyps = {name: np.zeros(shape, np.int64) for name in frames.patients}
    with torch.inference_mode():
        for start in range(0, len(frames), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(frames)))
            batch = cut_batch(frames, rows, device)
            logits = network(batch.image, batch.log_exposure, rays).class_logits
            rivals = logits.clone()
            rivals[:, POLYP] = -torch.inf
            # A pixel is called polyp when the shift exceeds this.
            needed = (rivals.amax(dim=1) - logits[:, POLYP]).cpu().numpy()
            for place, row in enumerate(rows):
                bins = np.searchsorted(_EDGES, needed[place], side="left")
                truth = frames.classes[row] == POLYP
                polyps[frames.patients[row]] += np.bincount(bins[truth], minlength=shape[0])
                others[frames.patients[row]] += np.bincount(bins[~truth], minlength=shape[0])
    curves = [dice_by_shift(polyps[name], others[name]) for name in polyps if polyps[name].sum()]
    if not curves:
        return 0.0
    mean = np.mean(curves, axis=0)
    best = np.flatnonzero(mean == mean.max())
    return float(_EDGES[best[len(best) // 2]])


def dice_by_shift(
    polyps: Int64[np.ndarray, "bins"], others: Int64[np.ndarray, "bins"]
) -> Float64[np.ndarray, "shifts"]:
    """Dice of the polyps for each shift, from histograms of the shift that each pixel needs to be called polyp.

    Args:
        polyps: Pixels of polyps, by bin; bin k lies below shift k, the last one beyond all.
        others: The other pixels.
    """
    right: NDArray[np.int64] = np.cumsum(polyps)[:-1]
    wrong: NDArray[np.int64] = np.cumsum(others)[:-1]
    return np.asarray(2 * right / np.maximum(right + wrong + polyps.sum(), 1))

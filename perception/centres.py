"""From a heat map of polyps' centres to points with scores."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from perception.network_outputs import CENTRE_STRIDE

MOST_CENTRES = 16
"""Peaks of a frame that are kept."""

LEAST_SCORE = 0.05
"""Peaks below are noise."""


def decode_centres(logits: Float[Tensor, "h w"], *, least: float = LEAST_SCORE) -> NDArray[np.float32]:
    """Find the peaks: cells that no neighbour of the eight exceeds.

    Zhou et al., Objects as Points, arXiv:1904.07850, section 4.

    Args:
        logits: Of the cells.
        least: Peaks with a lower score are left out.

    Returns:
        Column u, row v [px] of the image that the map stands for and the score within 0 and 1, the highest first,
        shape (peaks, 3).
    """
    highest = functional.max_pool2d(logits[None, None], 3, stride=1, padding=1)[0, 0]
    heat = logits.sigmoid()
    rows, columns = ((logits == highest) & (heat >= least)).nonzero(as_tuple=True)
    scores = heat[rows, columns].cpu().numpy()
    order = np.argsort(-scores, kind="stable")[:MOST_CENTRES]
    # A cell's middle: cell 0 is of pixels 0 to 3.
    u, v = ((axis.cpu().numpy()[order] + 0.5) * CENTRE_STRIDE - 0.5 for axis in (columns, rows))
    return np.column_stack([u, v, scores[order]]).astype(np.float32)

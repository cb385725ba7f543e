"""From predictions, frame by frame, to alarms: regions of polyp that are sure enough and stay for a while.

Systems for computer-aided detection hold an alarm back until it has stood for a moment: most false ones are shorter
(Holzwanger et al., Benchmarking definitions of false-positive alerts during computer-aided polyp detection in
colonoscopy, Endoscopy 53, 2021, doi:10.1055/a-1302-2942). The same is done here for whoever perceives.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from perception.prediction import POLYP, Prediction


@dataclass(frozen=True)
class DetectorOptions:
    """When a region of polyp becomes an alarm."""

    least_pixels: int = 12
    """Smaller regions are ignored [px]."""
    least_score: float = 0.5
    """Belief in the centre that a region must have; a network's is shifted so that this is its working point on the
    validation patients (see `perception.calibration`)."""
    reach: int = 3
    """A centre counts for a region that it lies in or not farther from than this [px]; a region of the frame before is
    the same if both, widened by this, overlap."""
    frames: int = 3
    """A region is shown from the time on that it was seen in so many"""
    window: int = 4
    """of the last so many frames."""


@dataclass(frozen=True)
class _Seen:
    """A region and in which of the last frames it was there, the newest last."""

    mask: NDArray[np.bool_]
    history: tuple[bool, ...]


class PolypDetector:
    """Remembers the regions of the last frames; one for each episode."""

    def __init__(self, options: DetectorOptions | None = None) -> None:
        self._options = options or DetectorOptions()
        self._tracks: list[_Seen] = []

    def __call__(self, prediction: Prediction) -> NDArray[np.bool_]:
        """Take in the next frame and return the mask of its alarms, shape (H, W)."""
        options = self._options
        regions = polyp_regions(prediction, options)
        kernel = np.ones((2 * options.reach + 1,) * 2, np.uint8)
        left, tracks, alarms = list(self._tracks), list[_Seen](), np.zeros(prediction.depth.shape, np.bool_)
        for region in regions:
            wide = cv2.dilate(region.astype(np.uint8), kernel) > 0
            same = [track for track in left if (wide & track.mask).any()]
            left = [track for track in left if not any(track is one for one in same)]
            before = max((track.history for track in same), key=sum, default=())
            history = (*before, True)[-options.window :]
            tracks.append(_Seen(wide, history))
            if sum(history) >= options.frames:
                alarms |= region
        for track in left:  # not there now: remembered where it was
            history = (*track.history, False)[-options.window :]
            if any(history):
                tracks.append(_Seen(track.mask, history))
        self._tracks = tracks
        return alarms


def polyp_regions(prediction: Prediction, options: DetectorOptions) -> list[NDArray[np.bool_]]:
    """Return the masks of the regions of one frame that are large enough and hold a centre that is believed in."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((prediction.classes == POLYP).astype(np.uint8))
    height, width = labels.shape
    hit: set[int] = set()
    for u, v, score in prediction.polyp_centres:
        if score < options.least_score:
            continue
        row, column = int(np.clip(np.rint(v), 0, height - 1)), int(np.clip(np.rint(u), 0, width - 1))
        rows = slice(max(0, row - options.reach), row + options.reach + 1)
        columns = slice(max(0, column - options.reach), column + options.reach + 1)
        hit |= {int(label) for label in np.unique(labels[rows, columns])}
    return [
        labels == label
        for label in range(1, count)
        if label in hit and stats[label, cv2.CC_STAT_AREA] >= options.least_pixels
    ]

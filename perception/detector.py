"""From predictions, frame by frame, to alarms: regions of polyp for which enough speaks, at once or bit by bit.

A polyp may be in view for half a second only, so that waiting for a fixed number of frames misses many; one glimpse of
something doubtful is no polyp either. As in a sequential test (Wald, Sequential tests of statistical hypotheses, The
Annals of Mathematical Statistics 16, 1945, doi:10.1214/aoms/1177731118) evidence is added up instead: a region that is
sure is shown in the first frame, one that is less sure as soon as it has been seen often enough, and what is not seen
again is forgotten. Where "sure" begins is a network's own operating point (`perception.operating_point`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from perception.centres import LEAST_SCORE
from perception.prediction import POLYP, Prediction

_NEARLY = 1e-6


@dataclass(frozen=True)
class DetectorOptions:
    """When a region of polyp becomes an alarm; lengths and areas go with the image, whatever its size."""

    least_belief: float = 0.25
    """A pixel belongs to a region where polyp is at least so likely, less than what a mask needs: small polyps are seen
    in doubt, and a mask that errs on the small side overlaps them too little. How much speaks for a region is counted
    all the same."""
    least_share: float = 12 / 128**2
    """Smaller regions are ignored: share of the image's pixels, 12 px at 128 x 128."""
    least_evidence: float = 0.5
    """A region is shown while its evidence is at least this. A frame adds the region's score; a network's centres are
    shifted so that this is its operating point."""
    memory: float = 0.7
    """Share of the evidence that a frame leaves of the one before: half of it is forgotten in two frames."""
    reach: float = 3 / 128
    """A centre counts for a region that it lies in or not farther from than this share of the image's width,"""
    stride: float = 8 / 128
    """and a region is the one of the frame before if they are not farther apart than this share: what is near the
    camera moves that far from one control step to the next."""


@dataclass(frozen=True)
class Region:
    """A region of polyp in one frame."""

    mask: NDArray[np.bool_]
    """Shape (H, W)."""
    centre: float
    """Highest belief in a centre in it or near it; 0 without any."""
    belief: float
    """In polyp, mean over its pixels."""

    @property
    def score(self) -> float:
        """Both beliefs in one: their odds multiplied, as of independent witnesses.

        A centre counts as LEAST_SCORE at least: predictions do not tell lesser ones.
        On the validation patients of the first model that came with trocar, region by region, this told polyps from
        others with an area under the curve of 0.91, the centre alone with 0.86.
        """
        odds = math.exp(logit(max(self.centre, LEAST_SCORE)) + logit(self.belief))
        return odds / (1 + odds)


@dataclass(frozen=True)
class _Track:
    """A region with what has been seen of it."""

    near: NDArray[np.bool_]
    """Where it may be in the next frame, shape (H, W)."""
    evidence: float


class PolypDetector:
    """Remembers what spoke for the regions of the last frames; one for each episode."""

    def __init__(self, options: DetectorOptions | None = None) -> None:
        self._options = options or DetectorOptions()
        self._tracks: list[_Track] = []

    def __call__(self, prediction: Prediction) -> NDArray[np.bool_]:
        """Take in the next frame and return the mask of its alarms, shape (H, W)."""
        regions = polyp_regions(prediction.probabilities, prediction.polyp_centres, self._options)
        alarms = np.zeros(prediction.probabilities.shape[1:], np.bool_)
        for region, shown in zip(regions, self.follow(regions), strict=True):
            if shown:
                alarms |= region.mask
        return alarms

    def follow(self, regions: Sequence[Region]) -> list[bool]:
        """Take in the regions of the next frame and say of each whether it is an alarm."""
        options = self._options
        tracks, shown = list[_Track](), list[bool]()
        gone = np.ones(len(self._tracks), np.bool_)
        for region in regions:
            same = [index for index, track in enumerate(self._tracks) if (region.mask & track.near).any()]
            gone[same] = False
            before = max((self._tracks[index].evidence for index in same), default=0.0)
            evidence = options.memory * before + region.score
            tracks.append(_Track(_widened(region.mask, options.stride), evidence))
            shown.append(evidence >= options.least_evidence)
        for index in np.flatnonzero(gone):  # not there now: remembered where it was, until little is left of it
            left = options.memory * self._tracks[index].evidence
            if left >= 0.1 * options.least_evidence:
                tracks.append(_Track(self._tracks[index].near, left))
        self._tracks = tracks
        return shown


def polyp_regions(
    probabilities: Float32[np.ndarray, "classes h w"], centres: Float32[np.ndarray, "_ 3"], options: DetectorOptions
) -> list[Region]:
    """Return the regions of one frame that are large enough, with the beliefs in them.

    Args:
        probabilities: Of the classes in each pixel; a region is where polyp is likely enough.
        centres: Column u and row v [px] of polyps' middles, and the belief in each, as `Prediction.polyp_centres`.
        options: What is likely and large enough, and how near a centre must be.
    """
    polyp = probabilities[POLYP] >= options.least_belief
    if not polyp.any():
        return []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(polyp.astype(np.uint8))
    height, width = labels.shape
    reach = round(options.reach * width)
    scores = np.zeros(count)
    for u, v, score in centres:
        row, column = int(np.clip(np.rint(v), 0, height - 1)), int(np.clip(np.rint(u), 0, width - 1))
        rows = slice(max(0, row - reach), row + reach + 1)
        columns = slice(max(0, column - reach), column + reach + 1)
        found = np.unique(labels[rows, columns])
        scores[found] = np.maximum(scores[found], score)
    least = options.least_share * height * width
    return [
        Region(mask, float(scores[label]), float(probabilities[POLYP][mask].mean()))
        for label in range(1, count)
        if stats[label, cv2.CC_STAT_AREA] >= least and (mask := labels == label).any()
    ]


def logit(probability: float) -> float:
    """Return the log of the odds, finite for 0 and 1 too."""
    inside = min(max(probability, _NEARLY), 1 - _NEARLY)
    return math.log(inside / (1 - inside))


def _widened(mask: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """Widen a mask by a share of its width."""
    side = 2 * round(share * mask.shape[1]) + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0

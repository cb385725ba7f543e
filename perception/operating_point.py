"""Where a network's alarms begin: as many polyps as may be found at a bearable rate of false alarms.

The detector adds up the beliefs in regions and their centres (`perception.detector`). How much a belief is worth
differs from network to network, so a constant is added to the logits of the centres, measured on patients held out:
with it the detector finds most polyps among all constants that keep its false alarms below a bound.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from perception.batches import cut_batch
from perception.centres import decode_centres
from perception.dataset import Frames
from perception.detector import DetectorOptions, PolypDetector, Region, logit, polyp_regions
from perception.network_outputs import EndoscopyNet
from perception.prediction import POLYP
from sim.control_step import CONTROL_STEP

MOST_FALSE_ALARMS = 0.75
"""A minute, on the validation patients: three quarters of what is borne on new ones, which are never quite the same."""
FALSE_ALARM_STEPS = 3
"""A false alarm is a run of at least so many control steps with an alarm that touches no polyp (Holzwanger et al.,
Endoscopy 53, 2021, doi:10.1055/a-1302-2942, tell false alarms by how long they stand)."""
HIT_IOU = 0.3
"""A polyp is hit by an alarm that overlaps it by this much."""

_LONGEST_GAP = 1.0  # s: what lies farther apart is another sequence
_SHIFTS = np.linspace(-8.0, 8.0, 161)
_BATCH = 16
_LEAST = 1e-5  # score of the peaks that a shift may raise


@dataclass(frozen=True)
class Sighting:
    """A region of polyp that a network saw, and what is true of it."""

    mask: Bool[np.ndarray, "h w"]
    logit: float
    """Of its surest centre, however doubtful."""
    belief: float
    """In polyp, mean over its pixels."""
    hits: bool
    """It overlaps a polyp by HIT_IOU or more."""
    false: bool
    """It touches no polyp, however far away."""


@dataclass(frozen=True)
class Look:
    """One frame as the detector will see it."""

    sightings: tuple[Sighting, ...]
    polyps: int
    """Polyps in it, each large enough to be an alarm."""
    steps: int
    """For how many control steps it stands."""
    first: bool
    """A sequence begins with it."""


@dataclass(frozen=True)
class AlarmRate:
    """What a detector would do on a sequence of looks."""

    found: float | None
    """Share of the polyps that an alarm hits, over all frames; None if there is none."""
    false_alarms_per_minute: float


def best_alarm_shift(looks: Sequence[Look], *, most_false_alarms: float = MOST_FALSE_ALARMS) -> tuple[float, AlarmRate]:
    """Find what to add to the centres' logits: the bound of false alarms is kept, and no more polyps could be found.

    Both what is found and (but for runs that join) the false alarms grow with the shift, so that each bound is found by
    bisection; of shifts that find the same the smallest is taken.

    Returns:
        The shift and what the detector does with it; 0 if no frame shows a polyp.
    """
    rates: dict[int, AlarmRate] = {}

    def rate(index: int) -> AlarmRate:
        if index not in rates:
            rates[index] = alarm_rate(looks, float(_SHIFTS[index]))
        return rates[index]

    if not any(look.polyps for look in looks):
        return 0.0, alarm_rate(looks, 0.0)
    low, high = 0, len(_SHIFTS)  # allowed, not allowed
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if rate(middle).false_alarms_per_minute <= most_false_alarms else (low, middle)
    best = rate(low).found
    below, enough = -1, low
    while enough - below > 1:
        middle = (below + enough) // 2
        below, enough = (middle, enough) if rate(middle).found != best else (below, middle)
    return float(_SHIFTS[enough]), rate(enough)


def alarm_rate(looks: Sequence[Look], shift: float, options: DetectorOptions | None = None) -> AlarmRate:
    """Let a detector follow the looks, at least one, each held for as long as it stands, and count."""
    detector = PolypDetector(options)
    steps, hit, polyps, false_alarms, run = 0, 0, 0, 0, 0
    for look in looks:
        if look.first:
            detector, run = PolypDetector(options), 0
        regions = [Region(one.mask, 1 / (1 + math.exp(-one.logit - shift)), one.belief) for one in look.sightings]
        for _ in range(look.steps):
            shown = detector.follow(regions)
            hit += sum(there and one.hits for there, one in zip(shown, look.sightings, strict=True))
            run = run + 1 if any(there and one.false for there, one in zip(shown, look.sightings, strict=True)) else 0
            false_alarms += run == FALSE_ALARM_STEPS
        steps += look.steps
        polyps += look.polyps * look.steps
    minutes = steps * CONTROL_STEP / 60
    return AlarmRate(hit / polyps if polyps else None, false_alarms / minutes)


def looks_of(network: EndoscopyNet, frames: Frames, device: torch.device) -> list[Look]:
    """Let a network look at frames, in the order in which they were taken.

    A recording keeps every so many control steps only. Each frame stands for those until the next: a false region that
    would have been gone in a moment counts as one that stays, so that false alarms are rather counted too high.
    """
    options = DetectorOptions()
    held = _steps(frames)
    found = []
    for row, probabilities, centres in _said(network, frames, device):
        truth = frames.classes[row] == POLYP
        steps, first = held[row]
        least = options.least_share * truth.size
        polyps = [mask for mask in _parts(truth) if mask.sum() >= least] if truth.any() else []
        regions = polyp_regions(probabilities, centres, options)
        sightings = tuple(_sighting(region, frames.sought(row), polyps) for region in regions)
        found.append(Look(sightings, len(polyps), steps, first))
    return found


def _said(
    network: EndoscopyNet, frames: Frames, device: torch.device
) -> Iterator[tuple[int, Float32[np.ndarray, "classes h w"], Float32[np.ndarray, "_ 3"]]]:
    """Return of each frame the row, the probabilities and the peaks of the centres, however doubtful."""
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(frames), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(frames)))
            batch = cut_batch(frames, rows, device)
            outputs = network(batch.image, batch.log_exposure, batch.rays)
            probabilities = outputs.class_logits.softmax(dim=1).cpu().numpy()
            for place, row in enumerate(rows):
                yield int(row), probabilities[place], decode_centres(outputs.centre_logits[place], least=_LEAST)


def _sighting(region: Region, sought: NDArray[np.bool_], polyps: Sequence[NDArray[np.bool_]]) -> Sighting:
    hits = any((region.mask & one).sum() >= HIT_IOU * (region.mask | one).sum() for one in polyps)
    return Sighting(region.mask, logit(region.centre), region.belief, hits, not (region.mask & sought).any())


def _parts(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    return [labels == label for label in range(1, count)]


def _steps(frames: Frames) -> list[tuple[int, bool]]:
    """Return of each frame for how many control steps it stands, and whether a sequence begins with it."""
    gaps = np.diff(frames.times.astype(np.float64))
    same = np.array(frames.patients[1:]) == np.array(frames.patients[:-1])
    follows = same & (gaps > CONTROL_STEP / 2) & (gaps <= _LONGEST_GAP)
    steps = np.where(follows, np.rint(gaps / CONTROL_STEP), 0).astype(int)
    usual = int(np.median(steps[follows])) if follows.any() else FALSE_ALARM_STEPS
    held = [int(one) if goes_on else usual for one, goes_on in zip(steps, follows, strict=True)]
    return list(zip([*held, usual], [True, *(not one for one in follows)], strict=True))

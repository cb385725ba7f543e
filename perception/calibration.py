"""Make a trained network's beliefs right on held-out patients: its operating points, and how sure it says that it is.

The training shows polyps far more often than they come, and weighs their pixels more, so that the network learns them
at all; what it then says is right for the training's share of polyps, not for a patient's. For a softmax that is a
constant added to the logit (Saerens et al., Adjusting the outputs of a classifier to new a priori probabilities, Neural
Computation 14, 2002, doi:10.1162/089976602753284446). The constant is measured here, on patients as they come.

How sure the classes are is set by a temperature (Guo et al., On calibration of modern neural networks, ICML 2017,
arXiv:1706.04599), the expected error of depth by a factor. All of it is folded into the weights of the last layers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64, Shaped
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from perception.augment import jitter
from perception.batches import Batch, cut_batch
from perception.centres import decode_centres
from perception.dataset import Frames
from perception.detector import logit
from perception.network_outputs import CENTRE_STRIDE, EndoscopyNet, Outputs
from perception.operating_point import AlarmRate, best_alarm_shift, looks_of
from perception.views import STILLS

_BATCH = 16
_EDGES = np.linspace(-8.0, 8.0, 161)
"""Shifts that are tried; the histogram's bins lie between them."""

_TEMPERATURES = np.exp(np.linspace(np.log(0.25), np.log(4.0), 57))
_NEAR = 2 * CENTRE_STRIDE  # px


@dataclass(frozen=True)
class Calibration:
    """What was done to a network's outputs."""

    sought_shift: float
    """Added to the logit of the class that is sought, such as polyp: there its Dice is best."""
    temperature: float
    """Divides the logits of all classes, after the shift: there the likelihood of the true classes is best."""
    depth_scale_factor: float
    """Multiplies the expected error of log distance: there the likelihood of the errors is best."""
    centre_shift: float
    """Added to the logits of the heat map: there the detector's alarms are as they should be, or a target's peak with a
    score of 0.5 is best told."""
    alarms_found: float | None
    """Share of the polyps, over all frames, that alarms then hit on the validation patients; None without any."""
    false_alarms_per_minute: float | None
    """And how many false ones there are; None where the task has no alarms."""


def calibrate(network: EndoscopyNet, frames: Frames, device: torch.device, *, stills: bool = False) -> Calibration:
    """Fit all of it and put it into the weights, in place.

    Args:
        network: Its mode is left at evaluation.
        frames: Of patients that it was not trained on, as they come.
        device: Where the network is.
        stills: Make the classes right for pictures that people take of what is sought, with any device: on the frames
            that show it, altered as `STILLS` says.
    """
    sought_shift = best_sought_shift(network, frames, device, stills=stills)
    network.shift_class(frames.task.sought, sought_shift)
    temperature = best_temperature(network, frames, device, stills=stills)
    network.divide_classes(temperature)
    factor = best_depth_scale_factor(network, frames, device)
    network.shift_depth_scale(float(np.log(factor)))
    shift, rate = 0.0, None
    if "centres" in frames.task.heads:
        shift, rate = calibrate_alarms(network, frames, device)
    elif "target" in frames.task.heads:
        shift = best_target_shift(network, frames, device)
        network.shift_centres(shift)
    found, false_alarms = (None, None) if rate is None else (rate.found, rate.false_alarms_per_minute)
    return Calibration(sought_shift, temperature, factor, shift, found, false_alarms)


def calibrate_alarms(network: EndoscopyNet, frames: Frames, device: torch.device) -> tuple[float, AlarmRate]:
    """Fit the operating point of the alarms alone, put it into the weights, in place, and return what was added."""
    shift, rate = best_alarm_shift(looks_of(network, frames, device))
    network.shift_centres(shift)
    return shift, rate


def best_sought_shift(network: EndoscopyNet, frames: Frames, device: torch.device, *, stills: bool = False) -> float:
    """Find what to add to the logit of the class that is sought so that its Dice is best in the mean over patients.

    Returns:
        The shift; 0 if no frame shows it.
    """
    sought = frames.task.sought
    shape = (len(_EDGES) + 1,)
    others = {name: np.zeros(shape, np.int64) for name in frames.patients}
    wanted = {name: np.zeros(shape, np.int64) for name in frames.patients}
    for rows, batch, outputs in _outputs(network, frames, device, stills=stills):
        logits = outputs.class_logits
        rivals = logits.clone()
        rivals[:, sought] = -torch.inf
        # A pixel is called so when the shift exceeds this.
        needed = (rivals.amax(dim=1) - logits[:, sought]).cpu().numpy()
        shown = (batch.classes == sought).cpu().numpy()
        for place, row in enumerate(rows):
            bins = np.searchsorted(_EDGES, needed[place], side="left")
            wanted[frames.patients[row]] += np.bincount(bins[shown[place]], minlength=shape[0])
            others[frames.patients[row]] += np.bincount(bins[~shown[place]], minlength=shape[0])
    curves = [dice_by_shift(wanted[name], others[name]) for name in wanted if wanted[name].sum()]
    if not curves:
        return 0.0
    mean = np.mean(curves, axis=0)
    best = np.flatnonzero(mean == mean.max())
    return float(_EDGES[best[len(best) // 2]])


def dice_by_shift(
    wanted: Int64[np.ndarray, "bins"], others: Int64[np.ndarray, "bins"]
) -> Float64[np.ndarray, "shifts"]:
    """Dice of a class for each shift, from histograms of the shift that each pixel needs to be called by it.

    Args:
        wanted: Pixels of the class, by bin; bin k lies below shift k, the last one beyond all.
        others: The other pixels.
    """
    right: NDArray[np.int64] = np.cumsum(wanted)[:-1]
    wrong: NDArray[np.int64] = np.cumsum(others)[:-1]
    return np.asarray(2 * right / np.maximum(right + wrong + wanted.sum(), 1))


def best_temperature(network: EndoscopyNet, frames: Frames, device: torch.device, *, stills: bool = False) -> float:
    """Find by what to divide the class logits so that the true classes of every second pixel are likeliest."""
    loss = np.zeros(len(_TEMPERATURES))
    for _, batch, outputs in _outputs(network, frames, device, stills=stills):
        logits, truth = outputs.class_logits[..., ::2, ::2], batch.classes[..., ::2, ::2]
        loss += [float(functional.cross_entropy(logits / t, truth, reduction="sum")) for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(loss))])


def best_depth_scale_factor(network: EndoscopyNet, frames: Frames, device: torch.device) -> float:
    """Find by what to multiply the scale of the Laplace distribution of the depth's error: the mean of error / scale.

    Returns:
        The factor; 1 if no distance is known.
    """
    total, count = 0.0, 0
    for _, batch, outputs in _outputs(network, frames, device):
        valid = batch.distance > 0
        error = (outputs.log_distance - batch.distance.clamp_min(1e-4).log()).abs() * torch.exp(-outputs.log_scale)
        total, count = total + float(error[valid].double().sum()), count + int(valid.sum())
    return total / count if count else 1.0


def best_target_shift(network: EndoscopyNet, frames: Frames, device: torch.device) -> float:
    """Find what to add to the logits of a target's heat map so that a highest peak above a score of 0.5 is best told.

    It is right within two cells of the target; best is the F1 over all frames.

    Returns:
        The shift; 0 if no frame shows the target.
    """
    right, wrong, present = list[float](), list[float](), 0
    for rows, _, outputs in _outputs(network, frames, device):
        for place, row in enumerate(rows):
            present += len(frames.centres[row])
            for u, v, score in decode_centres(outputs.centre_logits[place], least=0.0)[:1]:
                near = (np.hypot(*(frames.centres[row][:, :2] - (u, v)).T) <= _NEAR).any()
                (right if near else wrong).append(float(logit(float(score))))
    if not right:
        return 0.0
    return -best_threshold(np.array(right), np.array(wrong), present)


def best_threshold(right: Float64[np.ndarray, "n"], wrong: Float64[np.ndarray, "m"], present: int) -> float:
    """Return the threshold with the best F1, midway between two scores: 2 hits / (calls + present).

    Args:
        right: Scores of the right calls.
        wrong: Scores of the wrong ones.
        present: How many right ones there could be.
    """
    scores = np.sort(np.concatenate([right, wrong]))
    hits = len(right) - np.searchsorted(np.sort(right), scores)
    calls = len(scores) - np.searchsorted(scores, scores)  # equal ones are called together
    best = int(np.argmax(2 * hits / (calls + present)))
    return float(scores[best] if best == 0 else (scores[best] + scores[best - 1]) / 2)


class ReliabilityCounts:
    """Counts pixels by the belief in the class that is called, to tell how far belief and success agree."""

    def __init__(self, bins: int = 15) -> None:
        self._bins = bins
        self._pixels = np.zeros(bins)
        self._belief = np.zeros(bins)
        self._right = np.zeros(bins)

    def add(self, belief: Shaped[np.ndarray, "*n"], right: Bool[np.ndarray, "*n"]) -> None:
        """Count pixels: the belief in their class, within 0 and 1, and whether it is theirs."""
        place = np.minimum((belief.ravel() * self._bins).astype(np.int64), self._bins - 1)
        self._pixels += np.bincount(place, minlength=self._bins)
        self._belief += np.bincount(place, weights=belief.ravel(), minlength=self._bins)
        self._right += np.bincount(place, weights=right.ravel(), minlength=self._bins)

    @property
    def sums(self) -> list[list[float]]:
        """Pixels, sum of belief and right ones of each bin, shape (3, bins); those of several sets of pixels add up."""
        return [one.tolist() for one in (self._pixels, self._belief, self._right)]

    def add_sums(self, sums: Sequence[Sequence[float]]) -> None:
        """Count pixels that were counted elsewhere, into as many bins."""
        for own, more in zip((self._pixels, self._belief, self._right), sums, strict=True):
            own += np.array(more)

    @property
    def error(self) -> float:
        """Expected calibration error: mean over pixels of |mean belief - share of right ones| of their bin.

        Naeini et al., AAAI 2015, doi:10.1609/aaai.v29i1.9602. NaN if there are no pixels.
        """
        total = self._pixels.sum()
        return float(np.abs(self._belief - self._right).sum() / total) if total else np.nan


def _outputs(
    network: EndoscopyNet, frames: Frames, device: torch.device, *, stills: bool = False
) -> Iterator[tuple[NDArray[np.int64], Batch, Outputs]]:
    network.eval()
    taken = np.flatnonzero(frames.with_sought) if stills else np.arange(len(frames))
    with torch.inference_mode():
        for start in range(0, len(taken), _BATCH):
            rows = taken[start : start + _BATCH]
            rng = np.random.default_rng(start) if stills else None
            batch = cut_batch(frames, rows, device, rng, alteration=STILLS)
            image, log_exposure = batch.image, batch.log_exposure
            if rng is not None:
                image, log_exposure = jitter(image, log_exposure, batch.foreign, rng)
            yield rows, batch, network(image, log_exposure, batch.rays)


def sureness(class_logits: Tensor) -> NDArray[np.float32]:
    """Return the belief in the likeliest class of each pixel, shape (batch, h, w); logits (batch, classes, h, w)."""
    return np.asarray(class_logits.softmax(dim=1).amax(dim=1).cpu().numpy(), dtype=np.float32)

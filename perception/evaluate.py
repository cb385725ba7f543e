"""Open-loop figures: a network on the frames of patients that it has not seen, one frame at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from assets.errors import InputError
from perception.baseline import HueThreshold, fit_hue_threshold, sought_counts
from perception.batches import cut_batch
from perception.calibration import ReliabilityCounts, sureness
from perception.dataset import Frames, load_split, open_dataset
from perception.metrics import angular_error, bootstrap_by_group, confusion, depth_errors, segmentation_scores
from perception.network_outputs import EndoscopyNet
from perception.predictor import Predictor, ray_planes

_BATCH = 16
_DEPTH_FIGURES = (
    ("abs_rel", "1", "mean of |p - g| / g"),
    ("abs_rel_scaled", "1", "mean of |p - g| / g, each frame scaled to the true median"),
    ("rmse", "m", "root mean square of p - g"),
    ("delta_1_25", "1", "share of pixels within a factor 1.25"),
)


class Figure(TypedDict):
    """One measured number, as it goes into a report."""

    name: str
    """SUBJECT.WHAT."""
    subset: str
    """Scenario and split."""
    value: float
    """NaN where nothing could be measured."""
    unit: str
    """1 for a ratio."""
    low: float | None
    """Lower end of the 95 % interval, bootstrapped by patient; None where there is none."""
    high: float | None
    """Upper end of it."""
    n: int
    """How many patients, frames or runs it stands on; `how` says which."""
    how: str
    """How it was measured."""


@dataclass(frozen=True)
class Measurements:
    """What a network got right on n frames."""

    counts: dict[str, Int64[np.ndarray, "classes classes"]]
    """Pixels by true class (row) and predicted class (column), pooled by patient."""
    depth: Float64[np.ndarray, "n 4"]
    """Per frame, over its valid pixels, what _DEPTH_FIGURES names; NaN without any."""
    angle: Float64[np.ndarray, "n"]
    """Angle between predicted and true direction [rad]."""
    visible_right: Float64[np.ndarray, "n"]
    """1 where it was told right whether the aim is seen, else 0."""
    calibration_error: float
    """Expected calibration error of the classes over all pixels that the lens shows."""

    def mean_dice(self) -> float:
        """Mean over patients of the mean Dice over the classes, background left out."""
        return float(np.nanmean([_mean_dice(counts) for counts in self.counts.values()]))


def evaluate_model(data: Path, model: Path, *, split: str = "test", device: str | None = None) -> list[Figure]:
    """Measure a model on a split of a data set, beside a hue threshold fitted on its split train.

    Raises:
        InputError: Data or model are missing or damaged, or the data's task or camera is not the model's.
    """
    predictor = Predictor.load(model, device=device)
    frames = load_split(data, split)
    if frames.task is not predictor.config.task:
        raise InputError(f"{data}: expected the model's task {predictor.config.task.name}, found {frames.task.name}")
    if frames.camera != predictor.config.camera:
        raise InputError(f"{data}: expected the model's camera {predictor.config.camera}, found {frames.camera}")
    subset = subset_name(data, split)
    measured = measure(predictor.network, frames, predictor.device)
    found = model_figures(measured, frames, subset)
    train = load_split(data, "train")
    return found + hue_figures(fit_hue_threshold(train.rgb, train.classes, train.task.sought), frames, subset)


def subset_name(data: Path, split: str) -> str:
    """Name what figures hold for, such as colonoscopy/test.

    Raises:
        InputError: There is no data set.
    """
    return f"{open_dataset(data).config.get('scenario', 'dataset')}/{split}"


def measure(network: EndoscopyNet, frames: Frames, device: torch.device) -> Measurements:
    """Compare what the network says of every frame with the truth; its mode is left at evaluation."""
    network.eval()
    rays = ray_planes(frames.camera, device)
    ray_z = rays[2].cpu().numpy()
    shown, reliability = ray_z > 0, ReliabilityCounts()
    many = len(frames.task.classes)
    counts = {name: np.zeros((many, many), np.int64) for name in dict.fromkeys(frames.patients)}
    depth, angle, right = np.empty((len(frames), 4)), np.empty(len(frames)), np.empty(len(frames))
    with torch.inference_mode():
        for start in range(0, len(frames), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(frames)))
            batch = cut_batch(frames, rows, device)
            outputs = network(batch.image, batch.log_exposure, rays)
            predicted = outputs.class_logits.argmax(dim=1).to(torch.uint8).cpu().numpy()
            # z-depth, as a Frame has it; the relative errors are those of the distances.
            depths = outputs.log_distance.exp().cpu().numpy() * ray_z
            truths = frames.distance[rows].astype(np.float32) * ray_z
            angle[rows] = angular_error(outputs.direction.cpu().numpy(), frames.direction[rows])
            right[rows] = (outputs.visible_logit.cpu().numpy() > 0) == frames.visible[rows]
            correct = predicted == frames.classes[rows]
            reliability.add(sureness(outputs.class_logits)[:, shown], correct[:, shown])
            for place, row in enumerate(rows):
                counts[frames.patients[row]] += confusion(predicted[place], frames.classes[row], many)
                valid = truths[place] > 0
                raw = depth_errors(depths[place], truths[place], valid)
                scaled = depth_errors(depths[place], truths[place], valid, median_scaled=True)
                depth[row] = raw.abs_rel, scaled.abs_rel, raw.rmse, raw.delta
    return Measurements(counts, depth, angle, right, reliability.error)


def model_figures(measured: Measurements, frames: Frames, subset: str) -> list[Figure]:
    """Turn measurements into figures with intervals."""
    size = f"{frames.camera.width} x {frames.camera.height} px, {len(frames)} frames"
    names = frames.task.classes[1:]
    pooled = f"pixels pooled per patient, mean over patients; absent and not predicted: left out; {size}"
    found = [
        _by_patient(
            "model.dice.mean",
            {name: _mean_dice(counts) for name, counts in measured.counts.items()},
            subset,
            f"mean of {', '.join(names[:-1])} and {names[-1]}, background left out; {pooled}",
        )
    ]
    for score in ("dice", "iou", "precision", "recall"):
        for index, name in enumerate(names, 1):
            values = {
                patient: float(getattr(segmentation_scores(counts), score)[index])
                for patient, counts in measured.counts.items()
            }
            found.append(_by_patient(f"model.{score}.{name}", values, subset, pooled))
    for column, (name, unit, how) in enumerate(_DEPTH_FIGURES):
        how = f"z-depth; {how}; mean over frames; {size}"
        found.append(_by_frame(f"model.depth.{name}", measured.depth[:, column], frames, subset, unit, how))
    degrees = np.degrees(measured.angle)
    aim, kinds = frames.task.aim, [("visible", frames.visible)]
    if "direction" in frames.task.heads:
        kinds.append(("hidden", ~frames.visible))
    for name, rows in kinds:
        how = f"angle to the true direction of {aim}; mean over frames where it is {name}; {size}"
        angles = np.where(rows, degrees, np.nan)
        found.append(_by_frame(f"model.direction.error_{name}_deg", angles, frames, subset, "deg", how))
    how = f"share of frames where it is told right whether {aim} is seen; {size}"
    found.append(_by_frame("model.direction.visible_accuracy", measured.visible_right, frames, subset, "1", how))
    how = f"expected calibration error of the class called, 15 equal bins, over the pixels that the lens shows; {size}"
    found.append(
        Figure(
            name="model.ece",
            subset=subset,
            value=measured.calibration_error,
            unit="1",
            low=None,
            high=None,
            n=len(frames),
            how=f"{how}; n counts frames",
        )
    )
    return found


def hue_figures(threshold: HueThreshold, frames: Frames, subset: str) -> list[Figure]:
    """Measure how well a hue threshold finds what is sought."""
    sought = frames.task.sought
    counts = {name: np.zeros((2, 2), np.int64) for name in dict.fromkeys(frames.patients)}
    for patient, rgb, classes in zip(frames.patients, frames.rgb, frames.classes, strict=True):
        counts[patient] += sought_counts(threshold(rgb), classes, sought)
    values = {patient: float(segmentation_scores(pooled).dice[1]) for patient, pooled in counts.items()}
    how = (
        f"best interval of hues on the training frames ({2 * threshold.first} deg, {2 * threshold.width} deg wide; "
        f"Dice {threshold.fitted_dice:.3f} there); pixels pooled per patient, mean over patients"
    )
    return [_by_patient(f"hue_threshold.dice.{frames.task.classes[sought]}", values, subset, how)]


def _mean_dice(counts: NDArray[np.int64]) -> float:
    dice = segmentation_scores(counts).dice[1:]
    return float(np.nanmean(dice)) if np.isfinite(dice).any() else np.nan


def _by_patient(name: str, values: dict[str, float], subset: str, how: str) -> Figure:
    known = {patient: value for patient, value in values.items() if np.isfinite(value)}
    return _figure(name, np.array(list(known.values())), list(known), subset, "1", f"{how}; n counts patients")


def _by_frame(name: str, values: NDArray[np.float64], frames: Frames, subset: str, unit: str, how: str) -> Figure:
    rows = np.flatnonzero(np.isfinite(values))
    return _figure(name, values[rows], [frames.patients[row] for row in rows], subset, unit, f"{how}; n counts frames")


def _figure(name: str, values: NDArray[np.float64], groups: list[str], subset: str, unit: str, how: str) -> Figure:
    # A generator of its own: a figure's interval does not hang on which figures come before it.
    value, low, high = bootstrap_by_group(values, groups, np.random.default_rng(0))
    interval = (low, high) if np.isfinite(low) else (None, None)
    return Figure(
        name=name, subset=subset, value=value, unit=unit, low=interval[0], high=interval[1], n=len(values), how=how
    )

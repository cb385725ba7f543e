"""Episodes to figures: each driver's success and what it cost, with 95 % intervals bootstrapped by patient."""

from collections.abc import Sequence

import numpy as np

from perception.calibration import ReliabilityCounts
from perception.metrics import segmentation_scores
from scenarios.figures import Figure
from scenarios.interface import Task
from scenarios.means import HOW, bootstrapped, mean_figure
from scenarios.measure import SUCCESS, Measure
from scenarios.observer import EpisodeRecord
from scenarios.safety_figures import caution_costs, safety_figures
from scenarios.sweeps import correlation_figures


def subset_of(scenario: str, records: Sequence[EpisodeRecord]) -> str:
    """Name what the figures hold for, such as colonoscopy/synthetic."""
    kinds = {"synthetic" if record.patient.startswith("synth:") else "imported" for record in records}
    return f"{scenario}/{'+'.join(sorted(kinds))}"


def episode_figures(records: Sequence[EpisodeRecord], scenario: str, task: Task) -> list[Figure]:
    """Return the figures of every driver under every condition, in the order in which they first come.

    Where something was wrong the subset says what: `colonoscopy/synthetic/smoke=0.5`.
    """
    figures = []
    for condition in dict.fromkeys(record.condition for record in records):
        under = [record for record in records if record.condition == condition]
        subset = subset_of(scenario, under) + (f"/{condition}" if condition else "")
        drivers = list(dict.fromkeys(record.summary.driver for record in under))
        for driver in drivers:
            own = [record for record in under if record.summary.driver == driver]
            figures += [one for measure in task.report.measures for one in _measured(driver, own, subset, measure)]
            figures += _perception_figures(driver, own, subset, task)
            figures += safety_figures(driver, own, subset)
            figures += caution_costs(driver, records, own, subset)
        if {"model", "oracle"} <= set(drivers):
            figures.append(_of_oracle(under, subset))
    return figures + correlation_figures(figures, scenario)


def _measured(driver: str, records: Sequence[EpisodeRecord], subset: str, measure: Measure) -> list[Figure]:
    """Return the figure of a measure, if there is anything to measure."""
    name = f"{driver}.{measure.name}"
    own = [record for record in records if record.summary.success or not measure.of_successes]
    if not own:
        return []
    values = [float(measure.value(record.summary)) for record in own]
    if measure.over is None:
        return [mean_figure(name, subset, own, values, measure.unit)]
    over = [float(measure.over(record.summary)) for record in own]
    return [_ratio(name, subset, own, values, over, measure.how)] if any(over) else []


def _perception_figures(driver: str, records: Sequence[EpisodeRecord], subset: str, task: Task) -> list[Figure]:
    """Dice pooled per patient, depth and direction errors per frame, over what the driver saw."""
    if not any(record.frames for record in records):
        return []
    patients = sorted({record.patient for record in records})
    pooled = {
        patient: np.sum([record.counts for record in records if record.patient == patient], axis=0)
        for patient in patients
    }
    groups = np.array(patients)
    how = "pooled per patient over every 5th frame of its episodes, then the mean; 95 % interval by patient"
    dice = np.array([segmentation_scores(pooled[patient]).dice for patient in patients])
    figures = [
        bootstrapped(f"{driver}.dice.{name}", subset, dice[:, index], groups, "1", how)
        for index, name in enumerate(task.classes)
        if name != "background"
    ]
    figures.append(bootstrapped(f"{driver}.dice.mean", subset, np.nanmean(dice[:, 1:], axis=1), groups, "1", how))
    figures += _calibration_figure(driver, records, subset)
    for name, unit in (("abs_rel", "1"), ("abs_rel_scaled", "1"), ("direction_error_deg", "deg")):
        values = np.array([record.errors[name] for record in records], dtype=float)
        owners = np.array([record.patient for record in records])
        full = name if name == "direction_error_deg" else f"depth.{name}"
        figures.append(bootstrapped(f"{driver}.{full}", subset, values, owners, unit, f"per-frame mean; {HOW}"))
    return figures


def _calibration_figure(driver: str, records: Sequence[EpisodeRecord], subset: str) -> list[Figure]:
    """Return the expected calibration error of the classes, if the records hold what it needs."""
    known = [record for record in records if record.reliability is not None]
    patients = sorted({record.patient for record in known})
    errors = []
    for patient in patients:
        pooled = ReliabilityCounts()
        for record in known:
            if record.patient == patient and record.reliability is not None:
                pooled.add_sums(record.reliability)
        errors.append(pooled.error)
    how = "expected calibration error of the class called, 15 equal bins, over the pixels that the lens shows; "
    how += "pooled per patient over every 5th frame of its episodes, then the mean; 95 % interval by patient"
    return [bootstrapped(f"{driver}.ece", subset, np.array(errors), np.array(patients), "1", how)] if known else []


def _of_oracle(records: Sequence[EpisodeRecord], subset: str) -> Figure:
    """Return the share of the oracle's successes in which the model succeeds too, on the same patients and seeds."""
    won = {(one.patient, one.summary.seed) for one in records if one.summary.driver == "oracle" and one.summary.success}
    model = [one for one in records if one.summary.driver == "model" and (one.patient, one.summary.seed) in won]
    values = [SUCCESS.value(one.summary) for one in model]
    return mean_figure("model.success_of_oracle", subset, model, values, SUCCESS.unit)


def _ratio(
    name: str, subset: str, records: Sequence[EpisodeRecord], tops: Sequence[float], bottoms: Sequence[float], how: str
) -> Figure:
    """Return a pooled ratio; the bootstrap draws whole patients."""
    patients = sorted({record.patient for record in records})
    owner = np.array([patients.index(record.patient) for record in records])
    top = np.bincount(owner, weights=tops, minlength=len(patients))
    bottom = np.bincount(owner, weights=bottoms, minlength=len(patients))
    drawn = np.random.default_rng(0).integers(len(patients), size=(2000, len(patients)))
    ratios = top[drawn].sum(axis=1) / np.maximum(bottom[drawn].sum(axis=1), 1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Figure(
        name, subset, float(top.sum() / bottom.sum()), "1", low=float(low), high=float(high), n=len(records), how=how
    )

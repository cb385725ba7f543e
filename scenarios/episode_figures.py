"""Episodes to figures: each driver's success and what it cost, with 95 % intervals bootstrapped by patient."""

from collections.abc import Callable, Sequence

import numpy as np

from perception.metrics import bootstrap_by_group, segmentation_scores
from perception.prediction import CLASSES
from scenarios.episode import EpisodeSummary
from scenarios.figures import Figure
from scenarios.observer import EpisodeRecord
from scenarios.sweeps import correlation_figures

HOW = "mean over episodes; 95 % interval bootstrapped by patient"
Value = Callable[[EpisodeSummary], float]

_OF_ALL: dict[str, tuple[Value, str]] = {
    "success": (lambda one: float(one.success), "1"),
    "reached": (lambda one: one.reached_arc / one.centreline_length, "1"),
    "steps": (lambda one: one.steps, "control steps"),
    "contact_time": (lambda one: one.contact_time, "s"),
    "contact_depth_max": (lambda one: one.contact_depth_max * 1000, "mm"),
    "mucosa_seen": (lambda one: one.mucosa_seen, "1"),
    "false_alarms_per_minute": (lambda one: one.false_alarms / (one.simulated_time / 60), "1/min"),
    "simulated_time": (lambda one: one.simulated_time, "s"),
    "wall_time": (lambda one: one.wall_time, "s"),
    "latency_p50_ms": (lambda one: one.latency_p50_ms, "ms"),
    "latency_p99_ms": (lambda one: one.latency_p99_ms, "ms"),
}
_OF_SUCCESSES: dict[str, tuple[Value, str]] = {
    "insertion_steps": (lambda one: one.insertion_steps, "control steps"),
    "path_ratio": (lambda one: one.path_length / one.centreline_length, "1"),
}


def subset_of(scenario: str, records: Sequence[EpisodeRecord]) -> str:
    """Name what the figures hold for, such as colonoscopy/synthetic."""
    kinds = {"synthetic" if record.patient.startswith("synth:") else "imported" for record in records}
    return f"{scenario}/{'+'.join(sorted(kinds))}"


def episode_figures(records: Sequence[EpisodeRecord], scenario: str) -> list[Figure]:
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
            figures += _driver_figures(driver, own, subset)
            figures += _perception_figures(driver, own, subset)
        if {"model", "oracle"} <= set(drivers):
            figures.append(_of_oracle(under, subset))
    return figures + correlation_figures(figures, scenario)


def _driver_figures(driver: str, records: Sequence[EpisodeRecord], subset: str) -> list[Figure]:
    figures = [_mean(f"{driver}.{name}", subset, records, value, unit) for name, (value, unit) in _OF_ALL.items()]
    successes = [record for record in records if record.summary.success]
    if successes:
        figures += [
            _mean(f"{driver}.{name}", subset, successes, value, unit) for name, (value, unit) in _OF_SUCCESSES.items()
        ]
    if any(record.summary.polyps_present for record in records):
        figures.append(
            _ratio(
                f"{driver}.polyps_found",
                subset,
                records,
                [record.summary.polyps_found for record in records],
                [record.summary.polyps_present for record in records],
                "polyps found over polyps present, pooled",
            )
        )
    return figures


def _perception_figures(driver: str, records: Sequence[EpisodeRecord], subset: str) -> list[Figure]:
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
        _bootstrapped(f"{driver}.dice.{name}", subset, dice[:, index], groups, "1", how)
        for index, name in enumerate(CLASSES)
        if name != "background"
    ]
    figures.append(_bootstrapped(f"{driver}.dice.mean", subset, np.nanmean(dice[:, 1:], axis=1), groups, "1", how))
    for name, unit in (("abs_rel", "1"), ("abs_rel_scaled", "1"), ("direction_error_deg", "deg")):
        values = np.array([record.errors[name] for record in records], dtype=float)
        owners = np.array([record.patient for record in records])
        full = name if name == "direction_error_deg" else f"depth.{name}"
        figures.append(_bootstrapped(f"{driver}.{full}", subset, values, owners, unit, f"per-frame mean; {HOW}"))
    return figures


def _of_oracle(records: Sequence[EpisodeRecord], subset: str) -> Figure:
    """Return the share of the oracle's successes in which the model succeeds too, on the same patients and seeds."""
    won = {(one.patient, one.summary.seed) for one in records if one.summary.driver == "oracle" and one.summary.success}
    model = [one for one in records if one.summary.driver == "model" and (one.patient, one.summary.seed) in won]
    return _mean("model.success_of_oracle", subset, model, _OF_ALL["success"][0], "1")


def _mean(name: str, subset: str, records: Sequence[EpisodeRecord], value: Value, unit: str) -> Figure:
    values = np.array([value(record.summary) for record in records], dtype=float)
    groups = np.array([record.patient for record in records])
    return _bootstrapped(name, subset, values, groups, unit, HOW)


def _bootstrapped(name: str, subset: str, values: np.ndarray, groups: np.ndarray, unit: str, how: str) -> Figure:
    known = np.isfinite(values)
    values, groups = values[known], groups[known]
    value, low, high = bootstrap_by_group(values, groups, np.random.default_rng(0))
    known_interval = (low, high) if np.isfinite(low) else (None, None)
    return Figure(name, subset, value, unit, low=known_interval[0], high=known_interval[1], n=len(values), how=how)


def _ratio(
    name: str, subset: str, records: Sequence[EpisodeRecord], tops: Sequence[int], bottoms: Sequence[int], how: str
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

"""Means of episodes as figures, with 95 % intervals bootstrapped by patient."""

from collections.abc import Sequence

import numpy as np

from perception.metrics import bootstrap_by_group
from scenarios.figures import Figure
from scenarios.observer import EpisodeRecord

HOW = "mean over episodes; 95 % interval bootstrapped by patient"


def mean_figure(
    name: str, subset: str, records: Sequence[EpisodeRecord], values: Sequence[float], unit: str, how: str = HOW
) -> Figure:
    """Return the mean of one value a record; those that are not finite are left out."""
    groups = np.array([record.patient for record in records])
    return bootstrapped(name, subset, np.array(values, dtype=float), groups, unit, how)


def bootstrapped(name: str, subset: str, values: np.ndarray, groups: np.ndarray, unit: str, how: str) -> Figure:
    """Return the mean of values that belong to groups; those that are not finite are left out."""
    known = np.isfinite(values)
    values, groups = values[known], groups[known]
    value, low, high = bootstrap_by_group(values, groups, np.random.default_rng(0))
    known_interval = (low, high) if np.isfinite(low) else (None, None)
    return Figure(name, subset, value, unit, low=known_interval[0], high=known_interval[1], n=len(values), how=how)

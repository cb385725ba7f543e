"""What a task counts, as figures and as columns of the report."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from scenarios.episode import EpisodeSummary

Value = Callable[[EpisodeSummary], float | int]


@dataclass(frozen=True)
class Measure:
    """A figure DRIVER.NAME of every driver: the mean of a value over episodes, or the ratio of two sums."""

    name: str
    value: Value
    unit: str = "1"
    over: Value | None = None
    """What the value is a part of: the figure is sum over sum, left out where nothing is there to be found."""
    of_successes: bool = False
    """Taken over the episodes that succeeded alone; left out where none did."""
    how: str = ""
    """How it was measured, where it is no mean."""


@dataclass(frozen=True)
class Column:
    """A column of the report's table of drivers: the text (HTML) of a cell, of some episodes of one driver."""

    title: str
    cell: Callable[[Sequence[EpisodeSummary]], str]


@dataclass(frozen=True)
class TaskReport:
    """How episodes of a task are reported."""

    measures: tuple[Measure, ...]
    headline: tuple[str, ...]
    """Names of the figures shown large at the top."""
    achieved: str
    """What an episode that succeeded did, such as `reached the caecum`."""
    success_title: str
    """Of the column of successes."""
    columns: tuple[Column, ...]
    """Of the table of drivers, between the successes and the times."""
    failure_columns: tuple[Column, ...]
    """Of the table of failures, after the steps; asked for one episode at a time."""
    drivers_note: str
    """Says what the columns mean."""
    legend: tuple[str, ...]
    """Of the classes from 1 on."""
    far: float
    """Depth [m] at which the colours of the depth end."""
    map_note: str
    """Under the map; `{patient}` is its name."""
    drawn: tuple[str, ...] = ()
    """Names of measures within 0 and 1 that are drawn beside the success, against errors of perception."""


def success(one: EpisodeSummary) -> float:
    """Return 1 for an episode that succeeded, else 0."""
    return float(one.success)


SUCCESS = Measure("success", success)
STEPS = Measure("steps", lambda one: one.steps, "control steps")
TIMES = (
    Measure("simulated_time", lambda one: one.simulated_time, "s"),
    Measure("wall_time", lambda one: one.wall_time, "s"),
    Measure("latency_p50_ms", lambda one: one.latency_p50_ms, "ms"),
    Measure("latency_p99_ms", lambda one: one.latency_p99_ms, "ms"),
)
"""What every task tells of the time an episode and its perceptions took."""


def counted(name: str, scale: float | int = 1) -> Value:
    """Make the value of one of the task's measures, scaled."""
    return lambda one: one.measures[name] * scale


def mean_text(values: Sequence[int | float], form: str) -> str:
    """Return the mean as text; a dash where there is none."""
    mean = fmean(values) if values else math.nan
    return form.format(mean) if math.isfinite(mean) else "&ndash;"

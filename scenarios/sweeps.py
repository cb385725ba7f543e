"""How good is good enough: success against the error of perception, and against what goes wrong with the picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure as Canvas
from scipy.stats import spearmanr

from scenarios.drivers.flawed import ERRORS
from scenarios.figures import Figure, formatted
from scenarios.measure import TaskReport
from scenarios.pictures import driver_colour, png_of
from scenarios.report_page import picture, scroller, section, table, text
from sim.degradations.settings import AXES

_LEAST_CONDITIONS = 5  # a correlation over fewer says nothing
_LINES = (("-", "model"), (":", "classical"), ("--", "blind"))  # of what is drawn, and whose colour it has
_OPEN_LOOP = {
    "dice.mean": "mean Dice",
    "dice.polyp": "polyp Dice",
    "depth.abs_rel": "depth AbsRel",
    "direction_error_deg": "direction [deg]",
    "ece": "calibration error",
    "latency_p50_ms": "median latency [ms]",
    "latency_p99_ms": "p99 latency [ms]",
}
"""Figures of perception, and the headings of their columns."""


@dataclass(frozen=True)
class Point:
    """A figure of one driver under one condition."""

    driver: str
    what: str
    """Of the figure's name, behind the driver: `success`, `dice.mean`."""
    name: str
    """The error or axis; empty where nothing is wrong."""
    severity: float
    figure: Figure


def points_of(figures: Sequence[Figure], names: Sequence[str]) -> list[Point]:
    """Pick the figures of conditions with these names, and those where nothing is wrong."""
    points = []
    for figure in figures:
        driver, _, what = figure.name.partition(".")
        name, given, severity = figure.subset.rpartition("/")[2].partition("=")
        if given and name in names:
            points.append(Point(driver, what, name, float(severity), figure))
        elif not given:
            points.append(Point(driver, what, "", 0.0, figure))
    return points


def correlation_figures(figures: Sequence[Figure], scenario: str) -> list[Figure]:
    """Ask whether Dice predicts success: Spearman's rank correlation of both over the conditions, for each driver.

    Returns:
        DRIVER.dice_success_correlation; none for a driver with fewer than 5 conditions.
    """
    points = points_of(figures, AXES)
    found = []
    for driver in dict.fromkeys(point.driver for point in points):
        values = {
            what: {(p.name, p.severity): p.figure.value for p in points if (p.driver, p.what) == (driver, what)}
            for what in ("dice.mean", "success")
        }
        both = [key for key in values["success"] if math.isfinite(values["dice.mean"].get(key, math.nan))]
        if len(both) < _LEAST_CONDITIONS or not any(name for name, _ in both):
            continue
        pairs = [[values[what][key] for key in both] for what in ("dice.mean", "success")]
        flat = any(len(set(side)) == 1 for side in pairs)
        rank = math.nan if flat else float(spearmanr(*pairs).statistic)
        how = "Spearman's rank correlation of mean Dice and success over the conditions; NaN where either never changes"
        found.append(
            Figure(f"{driver}.dice_success_correlation", f"{scenario}/degraded", rank, "1", n=len(both), how=how)
        )
    return found


def sweep_sections(figures: Sequence[Figure], task: TaskReport | None) -> list[str]:
    """Lay both out for the report, in the words of the task; empty where nothing of the kind was run."""
    if task is None:
        return []
    sections = []
    errors = [point for point in points_of(figures, ERRORS) if point.driver == "oracle"]
    if any(point.name for point in errors):
        note = (
            "The oracle's perception with one error at a time, on the same patients and seeds; bands are 95 % "
            "intervals, bootstrapped by patient. Where a line leaves the left end, perception is no longer good enough."
        )
        sections.append(
            section(
                "How good is good enough", scroller(picture(_curves(errors, ("success", *task.drawn)), "", "png")), note
            )
        )
    degraded = points_of(figures, AXES)
    for driver in dict.fromkeys(point.driver for point in degraded if point.name):
        own = [point for point in degraded if point.driver == driver]
        note = (
            "Each row is one thing that goes wrong with the picture; columns are its severity. The table has what the "
            "perception was like, frame by frame, while this driver drove."
        )
        body = scroller(picture(_heat_map(own, task.success_title), "", "png")) + scroller(_open_loop(own))
        sections.append(section(f"Robustness of the driver {driver}", body, note))
    return sections


def _open_loop(points: Sequence[Point]) -> str:
    """Tabulate the perception's figures under each condition, as far as they were measured."""
    measured = [what for what in _OPEN_LOOP if any(point.what == what for point in points)]
    found = {(point.name, point.severity, point.what): point.figure for point in points}
    conditions = dict.fromkeys((point.name, point.severity) for point in points)
    rows = []
    for name, severity in sorted(conditions, key=lambda one: (bool(one[0]), one)):
        label = f"{name.replace('_', ' ')} {severity:g}" if name else "nothing wrong"
        figures = [found.get((name, severity, what)) for what in measured]
        rows.append([text(label), *("&ndash;" if one is None else formatted(one)[0] for one in figures)])
    return table(("condition", *(_OPEN_LOOP[what] for what in measured)), rows)


def _curves(points: Sequence[Point], drawn: Sequence[str]) -> bytes:
    names = list(dict.fromkeys(point.name for point in points if point.name))
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    canvas = Canvas(figsize=(3.0 * columns, 2.5 * rows), layout="constrained")
    for place, name in enumerate(names, 1):
        axes = canvas.add_subplot(rows, columns, place)
        for what, (line, whose) in zip(drawn, _LINES, strict=False):
            own = sorted(
                (p for p in points if p.what == what and p.name in ("", name)), key=lambda point: point.severity
            )
            x = [point.severity for point in own]
            colour, label = driver_colour(whose), what.rpartition(".")[2].replace("_", " ")
            axes.plot(x, [p.figure.value for p in own], line, color=colour, marker=".", lw=1.6, label=label)
            low = [p.figure.value if p.figure.low is None else p.figure.low for p in own]
            high = [p.figure.value if p.figure.high is None else p.figure.high for p in own]
            axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.set_xlabel("latency [ms]" if name == "latency_ms" else "severity", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25, lw=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        if place == 1:
            axes.legend(frameon=False, fontsize=8)
    return png_of(canvas)


def _heat_map(points: Sequence[Point], success_title: str) -> bytes:
    names = list(dict.fromkeys(point.name for point in points if point.name))
    severities = sorted({point.severity for point in points})
    canvas = Canvas(figsize=(9, 0.9 + 0.32 * len(names)), layout="constrained")
    panels = canvas.subplots(1, 2, sharey=True)
    for axes, what in zip(panels, ("success", "dice.mean"), strict=True):
        values = {(p.name, p.severity): p.figure.value for p in points if p.what == what}
        grid = np.array(
            [
                [values.get((name, s), math.nan) if s else values.get(("", 0.0), math.nan) for s in severities]
                for name in names
            ]
        )
        axes.imshow(grid, vmin=0, vmax=1, cmap="cividis", aspect="auto")
        for row, column in np.ndindex(*grid.shape):
            if math.isfinite(grid[row, column]):
                ink = "white" if grid[row, column] < 0.6 else "black"
                axes.text(column, row, f"{grid[row, column]:.2f}", ha="center", va="center", fontsize=7, color=ink)
        axes.set_xticks(range(len(severities)), [f"{s:g}" for s in severities], fontsize=8)
        axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=8)
        axes.set_title(
            {"success": f"closed loop: {success_title}", "dice.mean": "open loop: mean Dice"}[what], fontsize=10
        )
        axes.set_xlabel("severity", fontsize=8)
        axes.spines[:].set_visible(False)
    return png_of(canvas)

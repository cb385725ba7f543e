"""What a report says of episodes: the table of drivers, and the reasons for failures."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from scenarios.episode import EpisodeSummary
from scenarios.figures import Figure, formatted
from scenarios.pictures import driver_colour
from scenarios.report_page import bar, details, scroller, section, swatch, table, text

_MAX_ROWS = 60  # episodes listed one by one

_COLUMNS = (
    "driver",
    "caecum reached",
    "steps to the caecum",
    "path / centreline",
    "way reached",
    "wall contact",
    "deepest",
    "mucosa seen",
    "polyps found",
    "false alarms",
    "latency p99",
    "simulated / wall time",
)


def drivers_table(episodes: Sequence[EpisodeSummary], figures: Sequence[Figure]) -> str:
    """Compare the drivers, a row each; the intervals are those of the figures DRIVER.success. Empty if none drove."""
    if not episodes:
        return ""
    rows = []
    for driver in dict.fromkeys(episode.driver for episode in episodes):
        # The table holds episodes in which nothing was wrong: so do figures whose subset names no condition.
        intervals = [formatted(one)[1] for one in figures if one.name == f"{driver}.success" and "=" not in one.subset]
        runs = [episode for episode in episodes if episode.driver == driver]
        rows.append(_driver_row(driver, runs, intervals[0] if len(intervals) == 1 else ""))
    patients = len({episode.patient for episode in episodes})
    note = (
        f"{len(episodes)} episodes in {patients} patients; every driver has the same patients, seeds and friction. "
        "Reached: the tip came within 30 mm of the caecum's landmark. Steps and path are means over the successes, the "
        "rest over all episodes; in brackets the 95 % interval, bootstrapped by patient. A polyp is found when the "
        "predicted mask overlaps it with an IoU of at least 0.3 in 3 frames or more."
    )
    return section("Drivers", scroller(table(_COLUMNS, rows)), note)


def failures_table(episodes: Sequence[EpisodeSummary]) -> str:
    """Say why episodes failed, counted and one by one; empty if none did."""
    failures = [episode for episode in episodes if not episode.success]
    if not failures:
        return ""
    # the place differs from episode to episode; the table counts the kind of end
    counts = Counter((episode.driver, re.sub(r" at -?\d+ mm$", "", episode.reason)) for episode in failures)
    rows = [[text(driver), text(reason), str(count)] for (driver, reason), count in counts.most_common()]
    each = [
        [
            text(episode.driver),
            text(episode.patient),
            str(episode.seed),
            text(episode.reason),
            str(episode.steps),
            f"{episode.reached_arc * 1000:.0f} of {episode.centreline_length * 1000:.0f} mm",
            _finite(episode.minimum_distance_to_caecum * 1000, "{:.0f} mm"),
        ]
        for episode in failures[:_MAX_ROWS]
    ]
    columns = ("driver", "patient", "seed", "reason", "steps", "way reached", "nearest to the caecum")
    title = f"each of the {len(failures)} failures"
    if len(failures) > _MAX_ROWS:
        title = f"the first {_MAX_ROWS} of {len(failures)} failures"
    return section(
        "Reasons for failures",
        scroller(table(("driver", "reason", "episodes"), rows)) + details(title, scroller(table(columns, each))),
        "An episode that does not reach the caecum says why it ended.",
    )


def _driver_row(driver: str, runs: Sequence[EpisodeSummary], interval: str) -> list[str]:
    done = [run for run in runs if run.success]
    colour = driver_colour(driver)
    with_line = [run for run in runs if run.centreline_length > 0]
    simulated, wall = (
        _mean([getattr(run, name) for run in runs], "{:.0f}") for name in ("simulated_time", "wall_time")
    )
    return [
        f"{swatch(colour)}{text(driver)}",
        f"{bar(len(done) / len(runs), colour)}{len(done)} of {len(runs)}"
        + (f" <small>({interval})</small>" if interval else ""),
        _mean([run.insertion_steps for run in done], "{:.0f}"),
        _mean([run.path_length / run.centreline_length for run in with_line if run.success], "{:.2f}"),
        _mean([run.reached_arc / run.centreline_length * 100 for run in with_line], "{:.0f} %"),
        _mean([run.contact_time for run in runs], "{:.1f} s"),
        _mean([run.contact_depth_max * 1000 for run in runs], "{:.1f} mm"),
        _mean([run.mucosa_seen * 100 for run in runs], "{:.0f} %"),
        f"{sum(run.polyps_found for run in runs)} of {sum(run.polyps_present for run in runs)}",
        str(sum(run.false_alarms for run in runs)),
        _mean([run.latency_p99_ms for run in runs], "{:.1f} ms"),
        f"{simulated} / {wall} s",
    ]


def _mean(values: Sequence[int | float], form: str) -> str:
    return _finite(fmean(values) if values else math.nan, form)


def _finite(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else "&ndash;"

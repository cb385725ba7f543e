"""What a report says of episodes: the table of drivers, and the reasons for failures."""

import re
from collections import Counter
from collections.abc import Sequence

from scenarios.episode import EpisodeSummary
from scenarios.figures import Figure, formatted
from scenarios.measure import TaskReport, mean_text
from scenarios.pictures import driver_colour
from scenarios.report_page import bar, details, scroller, section, swatch, table, text

_MAX_ROWS = 60  # episodes listed one by one


def drivers_table(episodes: Sequence[EpisodeSummary], figures: Sequence[Figure], task: TaskReport | None) -> str:
    """Compare the drivers, a row each; the intervals are those of the figures DRIVER.success. Empty if none drove."""
    if not episodes or task is None:
        return ""
    rows = []
    for driver in dict.fromkeys(episode.driver for episode in episodes):
        # The table holds episodes in which nothing was wrong: so do figures whose subset names no condition.
        intervals = [formatted(one)[1] for one in figures if one.name == f"{driver}.success" and "=" not in one.subset]
        runs = [episode for episode in episodes if episode.driver == driver]
        rows.append(_driver_row(driver, runs, intervals[0] if len(intervals) == 1 else "", task))
    columns = (
        "driver",
        task.success_title,
        *(column.title for column in task.columns),
        "latency p99",
        "simulated / wall time",
    )
    patients = len({episode.patient for episode in episodes})
    note = (
        f"{len(episodes)} episodes in {patients} patients; every driver has the same patients, seeds and friction. "
        + task.drivers_note
    )
    return section("Drivers", scroller(table(columns, rows)), note)


def failures_table(episodes: Sequence[EpisodeSummary], task: TaskReport | None) -> str:
    """Say why episodes failed, counted and one by one; empty if none did."""
    failures = [episode for episode in episodes if not episode.success]
    if not failures or task is None:
        return ""
    # the place differs from episode to episode; the table counts the kind of end
    counts = Counter((episode.driver, re.sub(r" at -?\d.*$", "", episode.reason)) for episode in failures)
    rows = [[text(driver), text(reason), str(count)] for (driver, reason), count in counts.most_common()]
    each = [
        [
            text(episode.driver),
            text(episode.patient),
            str(episode.seed),
            text(episode.reason),
            str(episode.steps),
            *(column.cell([episode]) for column in task.failure_columns),
        ]
        for episode in failures[:_MAX_ROWS]
    ]
    columns = ("driver", "patient", "seed", "reason", "steps", *(column.title for column in task.failure_columns))
    title = f"each of the {len(failures)} failures"
    if len(failures) > _MAX_ROWS:
        title = f"the first {_MAX_ROWS} of {len(failures)} failures"
    return section(
        "Reasons for failures",
        scroller(table(("driver", "reason", "episodes"), rows)) + details(title, scroller(table(columns, each))),
        "An episode that does not succeed says why it ended.",
    )


def _driver_row(driver: str, runs: Sequence[EpisodeSummary], interval: str, task: TaskReport) -> list[str]:
    done = [run for run in runs if run.success]
    colour = driver_colour(driver)
    simulated, wall = (
        mean_text([getattr(run, name) for run in runs], "{:.0f}") for name in ("simulated_time", "wall_time")
    )
    return [
        f"{swatch(colour)}{text(driver)}",
        f"{bar(len(done) / len(runs), colour)}{len(done)} of {len(runs)}"
        + (f" <small>({interval})</small>" if interval else ""),
        *(column.cell(runs) for column in task.columns),
        mean_text([run.latency_p99_ms for run in runs], "{:.1f} ms"),
        f"{simulated} / {wall} s",
    ]

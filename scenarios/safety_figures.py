"""Figures of safety: what the watch detects, how soon, what it stops for in vain, and what that costs."""

import math
from collections import Counter
from collections.abc import Sequence

from scenarios.figures import Figure, formatted
from scenarios.means import mean_figure
from scenarios.observer import EpisodeRecord
from scenarios.planted import LASTS
from scenarios.report_page import scroller, section, table, text


def safety_figures(driver: str, records: Sequence[EpisodeRecord], subset: str) -> list[Figure]:
    """Return the figures of a watched driver under one condition; none for one that was not watched."""
    watched = [(record, record.safety) for record in records if record.safety is not None]
    if not watched:
        return []
    owners = [record for record, _ in watched]
    minutes = [record.summary.simulated_time / 60 for record in owners]
    figures = [
        mean_figure(
            f"{driver}.safety.false_stops_per_minute",
            subset,
            owners,
            [safety.false_stops / time for (_, safety), time in zip(watched, minutes, strict=True)],
            "1/min",
            "stops while the picture was as it should be, over simulated time, mean over episodes",
        ),
        mean_figure(
            f"{driver}.safety.stopped_s",
            subset,
            owners,
            [safety.stopped for _, safety in watched],
            "s",
            "time stood still while the picture was as it should be, mean over episodes",
        ),
    ]
    failed = [(record, safety) for record, safety in watched if safety.onset is not None]
    if not failed:
        return figures
    owners = [record for record, _ in failed]
    detect = [math.nan if safety.detect is None else safety.detect for _, safety in failed]
    causes = Counter(safety.cause for _, safety in failed if safety.cause)
    stopped_for = ", ".join(f"{cause} {count}" for cause, count in sorted(causes.items()))
    return [
        *figures,
        mean_figure(
            f"{driver}.safety.detect_s",
            subset,
            owners,
            detect,
            "s",
            "from the first failed frame to the control step that stops, mean over those detected"
            + (f"; stopped for: {stopped_for}" if stopped_for else ""),
        ),
        mean_figure(
            f"{driver}.safety.missed",
            subset,
            owners,
            [float(math.isnan(one)) for one in detect],
            "1",
            f"share of the failures, of {LASTS:g} s each, that stopped nothing",
        ),
        mean_figure(
            f"{driver}.safety.way_mm",
            subset,
            owners,
            [safety.way * 1000 for _, safety in failed],
            "mm",
            "way of the tip while the failure lasted, mean over episodes",
        ),
    ]


def caution_costs(
    driver: str, everything: Sequence[EpisodeRecord], records: Sequence[EpisodeRecord], subset: str
) -> list[Figure]:
    """Compare a watched driver with itself unwatched and undisturbed, on the same patients and seeds.

    Args:
        driver: Its name.
        everything: All records, among them its own of the condition in which nothing is wrong.
        records: Its watched ones of one condition.
        subset: Theirs.
    """
    plain = {
        (one.patient, one.summary.seed): one.summary
        for one in everything
        if not one.condition and one.summary.driver == driver
    }
    pairs = [(one, plain.get((one.patient, one.summary.seed))) for one in records if one.safety is not None]
    both = [(one, other) for one, other in pairs if other is not None]
    if not both:
        return []
    owners = [one for one, _ in both]
    lost = [float(other.success) - float(one.summary.success) for one, other in both]
    won = [(one, other) for one, other in both if one.summary.success and other.success]
    later = [(one.summary.success_steps - other.success_steps) * 0.1 for one, other in won]
    how = "the same patients and seeds without a watch and without a failure, less this; mean over pairs"
    figures = [mean_figure(f"{driver}.safety.success_cost", subset, owners, lost, "1", how)]
    if won:
        how = "time until the success, less that without a watch and without a failure; mean over pairs that succeed"
        figures.append(mean_figure(f"{driver}.safety.time_cost_s", subset, [one for one, _ in won], later, "s", how))
    return figures


_SHOWN = {
    "detect_s": "detected after [s]",
    "missed": "missed",
    "way_mm": "way meanwhile [mm]",
    "false_stops_per_minute": "false stops a minute",
    "stopped_s": "stood still in vain [s]",
    "success_cost": "success lost",
    "time_cost_s": "time lost [s]",
}


def safety_section(figures: Sequence[Figure]) -> str:
    """Lay safety out for the report; empty where no driver was watched."""
    found = {(one.name, one.subset): one for one in figures if ".safety." in one.name}
    rows = []
    for driver, subset in dict.fromkeys((name.partition(".safety.")[0], subset) for name, subset in found):
        cells = [found.get((f"{driver}.safety.{what}", subset)) for what in _SHOWN]
        shown = ["&ndash;" if one is None else " ".join(_with_interval(one)) for one in cells]
        rows.append([text(driver), text(subset.rpartition("/")[2]), *shown])
    note = (
        "Drivers with a watch that slows and stops them where the picture is black, frozen, blurred, veiled or wrongly "
        "exposed, or where the network says that it does not know; planted failures begin at a drawn time. What is "
        "lost is against the same driver, patients and seeds without a watch and without a failure; in brackets the "
        "95 % interval, bootstrapped by patient."
    )
    return section("Safety", scroller(table(("driver", "condition", *_SHOWN.values()), rows)), note) if rows else ""


def _with_interval(figure: Figure) -> tuple[str, str]:
    value, interval = formatted(figure)
    return value, f"<small>({interval})</small>" if interval else ""

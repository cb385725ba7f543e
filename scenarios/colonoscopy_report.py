"""What a colonoscopy counts, as figures and as the report shows it."""

from collections.abc import Callable, Sequence

from scenarios.episode import EpisodeSummary
from scenarios.measure import STEPS, SUCCESS, TIMES, Column, Measure, TaskReport, counted, mean_text


def _share(top: str, bottom: str) -> Callable[[EpisodeSummary], float]:
    return lambda one: one.measures[top] / one.measures[bottom]


MEASURES = (
    SUCCESS,
    Measure("reached", _share("reached_arc", "centreline_length")),
    STEPS,
    Measure("contact_time", counted("contact_time"), "s"),
    Measure("contact_depth_max", counted("contact_depth_max", 1000), "mm"),
    Measure("mucosa_seen", counted("mucosa_seen")),
    Measure("false_alarms_per_minute", lambda one: one.measures["false_alarms"] / (one.simulated_time / 60), "1/min"),
    *TIMES,
    Measure("insertion_steps", lambda one: one.success_steps, "control steps", of_successes=True),
    Measure("path_ratio", _share("path_length", "centreline_length"), of_successes=True),
    Measure(
        "polyps_found",
        counted("polyps_found"),
        over=counted("polyps_present"),
        how="polyps found over polyps present, pooled",
    ),
)


def _mean(value: Callable[[EpisodeSummary], float], form: str, *, of_successes: bool = False) -> Callable[..., str]:
    def cell(runs: Sequence[EpisodeSummary]) -> str:
        return mean_text([value(run) for run in runs if run.success or not of_successes], form)

    return cell


def _sums(*names: str) -> Callable[[Sequence[EpisodeSummary]], str]:
    return lambda runs: " of ".join(f"{sum(run.measures[name] for run in runs):.0f}" for name in names)


REPORT = TaskReport(
    measures=MEASURES,
    headline=(
        "oracle.success",
        "model.success",
        "classical.success",
        "blind.success",
        "model.polyps_found",
        "model.dice.mean",
        "model.depth.abs_rel",
    ),
    achieved="reached the caecum",
    success_title="caecum reached",
    columns=(
        Column("steps to the caecum", _mean(lambda one: one.success_steps, "{:.0f}", of_successes=True)),
        Column("path / centreline", _mean(_share("path_length", "centreline_length"), "{:.2f}", of_successes=True)),
        Column("way reached", _mean(lambda one: 100 * _share("reached_arc", "centreline_length")(one), "{:.0f} %")),
        Column("wall contact", _mean(counted("contact_time"), "{:.1f} s")),
        Column("deepest", _mean(counted("contact_depth_max", 1000), "{:.1f} mm")),
        Column("mucosa seen", _mean(counted("mucosa_seen", 100), "{:.0f} %")),
        Column("polyps found", _sums("polyps_found", "polyps_present")),
        Column("false alarms", _sums("false_alarms")),
    ),
    failure_columns=(
        Column(
            "way reached",
            lambda runs: (
                f"{runs[0].measures['reached_arc'] * 1000:.0f} of {runs[0].measures['centreline_length'] * 1000:.0f} mm"
            ),
        ),
        Column("nearest to the caecum", _mean(counted("minimum_distance_to_caecum", 1000), "{:.0f} mm")),
    ),
    drivers_note=(
        "Reached: the tip came within 30 mm of the caecum's landmark. Steps and path are means over the successes, the "
        "rest over all episodes; in brackets the 95 % interval, bootstrapped by patient. A polyp is found when the "
        "predicted mask overlaps it with an IoU of at least 0.3 in 3 frames or more."
    ),
    legend=("wall, nearer than 50 mm", "polyp", "lumen, farther than 50 mm"),
    far=0.10,
    map_note="The colon of {patient}, and the way of the scope's tip; a dot is where it ended.",
    drawn=("polyps_found",),
)

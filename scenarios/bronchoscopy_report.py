"""What a bronchoscopy counts, as figures and as the report shows it."""

from collections.abc import Callable, Sequence

from scenarios.episode import EpisodeSummary
from scenarios.measure import STEPS, SUCCESS, TIMES, Column, Measure, TaskReport, counted, mean_text


def _reached(one: EpisodeSummary) -> float:
    return min(1.0, one.measures["reached_arc"] / one.measures["goal"])


MEASURES = (
    SUCCESS,
    Measure("reached", _reached),
    STEPS,
    Measure("contact_time", counted("contact_time"), "s"),
    Measure("contact_depth_max", counted("contact_depth_max", 1000), "mm"),
    *TIMES,
    Measure("insertion_steps", lambda one: one.success_steps, "control steps", of_successes=True),
)


def _mean(value: Callable[[EpisodeSummary], float], form: str) -> Callable[[Sequence[EpisodeSummary]], str]:
    return lambda runs: mean_text([value(run) for run in runs], form)


REPORT = TaskReport(
    measures=MEASURES,
    headline=("oracle.success", "model.success", "classical.success", "blind.success"),
    achieved="came as near to the target as the bronchi let it",
    success_title="reached",
    columns=(
        Column("way reached", _mean(lambda one: 100 * _reached(one), "{:.0f} %")),
        Column("wall contact", _mean(counted("contact_time"), "{:.1f} s")),
        Column("deepest", _mean(counted("contact_depth_max", 1000), "{:.1f} mm")),
    ),
    failure_columns=(
        Column("way reached", _mean(counted("reached_arc", 1000), "{:.0f} mm")),
        Column("off the way", _mean(counted("off_way", 1000), "{:.0f} mm")),
    ),
    drivers_note=(
        "Reached: the tip came within 8 mm of where the bronchus to the target is no wider than the scope, or beside "
        "the target, on the right way. In brackets the 95 % interval, bootstrapped by patient."
    ),
    legend=("wall, nearer than 20 mm", "lesion", "lumen, farther than 20 mm"),
    far=0.05,
    map_note="The airways of {patient}, and the way of the scope's tip; a dot is where it ended.",
)

"""What a liver survey counts, as figures and as the report shows it."""

from collections.abc import Callable, Sequence

from scenarios.episode import EpisodeSummary
from scenarios.measure import STEPS, SUCCESS, TIMES, Column, Measure, TaskReport, counted, mean_text

MEASURES = (
    SUCCESS,
    STEPS,
    Measure(
        "survey.segments_seen",
        counted("segments_seen"),
        over=counted("segments_visible"),
        how="segments seen over segments that can be seen from the port, pooled",
    ),
    Measure("survey.steps", counted("survey_steps"), "control steps"),
    Measure(
        "servo.centred_share",
        counted("centred_steps"),
        over=counted("servo_steps"),
        how="control steps in which the tip is centred over those of the minute, pooled",
    ),
    Measure("touch_time", counted("touch_time"), "s"),
    Measure("touch_force_max", counted("touch_force_max"), "N"),
    Measure("path_length", counted("path_length"), "m"),
    *TIMES,
)


def _mean(name: str, form: str, scale: float = 1.0) -> Callable[[Sequence[EpisodeSummary]], str]:
    return lambda runs: mean_text([scale * run.measures[name] for run in runs], form)


def _centred(runs: Sequence[EpisodeSummary]) -> str:
    shares = [
        run.measures["centred_steps"] / run.measures["servo_steps"] for run in runs if run.measures["servo_steps"]
    ]
    return mean_text([100 * share for share in shares], "{:.0f} %")


def _segments(runs: Sequence[EpisodeSummary]) -> str:
    return " of ".join(
        f"{sum(run.measures[name] for run in runs):.0f}" for name in ("segments_seen", "segments_visible")
    )


REPORT = TaskReport(
    measures=MEASURES,
    headline=(
        "oracle.success",
        "model.success",
        "classical.success",
        "blind.success",
        "model.survey.segments_seen",
        "model.servo.centred_share",
        "model.dice.mean",
    ),
    achieved="saw all segments that can be seen, and followed the tip",
    success_title="done",
    columns=(
        Column("segments seen", _segments),
        Column("steps of the survey", _mean("survey_steps", "{:.0f}")),
        Column("tip centred", _centred),
        Column("touched", _mean("touch_time", "{:.1f} s")),
        Column("force", _mean("touch_force_max", "{:.2f} N")),
        Column("way of the lens", _mean("path_length", "{:.2f} m")),
    ),
    failure_columns=(Column("segments seen", _segments), Column("tip centred", _centred)),
    drivers_note=(
        "Done: every Couinaud segment that can be seen from the port was shown in the middle of a sharp and resting "
        "picture in 3 frames in a row, then the tip of a moving grasper was centred in at least 80 % of a minute, and "
        "nothing was touched. In brackets the 95 % interval, bootstrapped by patient."
    ),
    legend=("other tissue", "instrument", "liver"),
    far=0.20,
    map_note="The abdomen of {patient}, and the way of the lens; a dot is where it ended.",
    drawn=("survey.segments_seen", "servo.centred_share"),
)

"""`trocar demo`: the main job from end to end, on synthetic patients, small enough for a quarter of an hour."""

import json
from dataclasses import dataclass
from pathlib import Path

from assets.errors import InputError
from perception.train import LOG, MODEL
from perception.train_options import TrainOptions
from scenarios.colonoscopy import COLONOSCOPY
from scenarios.evaluate import EvaluateOptions, run_evaluation
from scenarios.evaluation_report import with_episodes
from scenarios.figures import Figure, write_figures
from scenarios.generate import GenerateOptions, generate
from scenarios.report import ReportData, write_report
from scenarios.runs import run_config, start_run
from scenarios.train_command import run_training

_SUMMARY = (
    "A small run that shows the way: few patients, a short training, few episodes. The project's figures come from "
    "longer runs (see the README). Research software, not a medical device."
)
_TEST_SEEDS = 5000  # test patients come from here on, training patients from below


@dataclass(frozen=True)
class DemoOptions:
    """The main job, small: record synthetic colons, train, drive in unseen ones, report."""

    out: Path = Path("runs/demo")
    """Run folder."""
    seed: int = 0
    """The demo's randomness; the patients' seeds follow from it."""
    minutes: float = 6.0
    """Time for the training."""
    train_patients: int = 16
    """Synthetic colons to record."""
    frames: int = 110
    """Frames recorded in each."""
    test_patients: int = 2
    """Unseen synthetic colons to drive in."""
    episodes: int = 2
    """Episodes of each driver in each of them."""
    workers: int = 2
    """Processes."""

    def __post_init__(self) -> None:
        if self.seed < 0 or self.train_patients < 2 or self.test_patients < 1:
            raise InputError(
                f"demo: expected a seed of at least 0, 2 patients to train on and 1 to test on, "
                f"found {self.seed}, {self.train_patients}, {self.test_patients}"
            )


def demo(options: DemoOptions) -> list[Figure]:
    """Run the demo; what is finished is kept, and the same command goes on from there.

    Raises:
        InputError: The folder holds another run.
        OSError: The folder cannot be written.
    """
    out = options.out
    start_run(out, "trocar demo", options)
    first = 100 * options.seed
    # Colons full of polyps to learn from, ordinary ones to validate on: about a fifth of all, and at least one.
    held_out = max(1, options.train_patients // 5)
    learned = options.train_patients - held_out
    generate(
        GenerateOptions(
            patients=(
                f"synth:polyposis:{first}-{first + learned - 1}",
                f"synth:colon:{first + learned}-{first + options.train_patients - 1}",
            ),
            out=out / "data",
            frames=options.frames,
            every=4,
            polyp_every=4,
            splits=(learned / options.train_patients, held_out / options.train_patients, 0.0),
            seed=options.seed,
            workers=options.workers,
        )
    )
    training = TrainOptions(
        data=out / "data", out=out / "model", epochs=1000, minutes=options.minutes, wide=0.0, seed=options.seed
    )
    figures = run_training(training)
    test = _TEST_SEEDS + first
    evaluation = run_evaluation(
        EvaluateOptions(
            patients=(f"synth:colon:{test}-{test + options.test_patients - 1}",),
            out=out / "evaluation",
            model=str(out / "model" / MODEL),
            episodes=options.episodes,
            seed=options.seed,
            workers=options.workers,
        )
    )
    if evaluation.left_out:
        raise InputError("; ".join(evaluation.left_out))
    figures += evaluation.figures
    write_figures(out / "report.json", figures)
    data = ReportData(
        title="trocar demo: colonoscopy by a network, in colons it has never seen",
        summary=_SUMMARY,
        config=run_config("trocar demo", options),
        figures=figures,
        headline=[name for name in COLONOSCOPY.task.report.headline if any(one.name == name for one in figures)],
        training=[json.loads(line) for line in (out / "model" / LOG).read_text().splitlines()],
    )
    page = with_episodes(data, out / "evaluation", evaluation.episodes, COLONOSCOPY.task)
    write_report(out / "report.html", page)
    return figures

"""`trocar ablation`: what each axis of the randomisation buys, by trainings that do without one of them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from assets.errors import InputError
from perception.evaluate import evaluate_model
from perception.train import MODEL
from perception.train_options import TrainOptions
from scenarios.evaluate_real import EvaluateRealOptions, evaluate_real
from scenarios.figures import Figure
from scenarios.generate import GenerateOptions, generate, split_of
from scenarios.recording import MAX_EPISODES
from scenarios.runs import start_run
from scenarios.train_command import run_training
from sim.render.randomiser import AXES

Left = Literal["geometry", "texture", "light", "sensor", "degradations", "devices"]
"""What a training does without. geometry: many patients, in place of one alone; texture, light, sensor: looks drawn
anew for each episode; degradations: what goes wrong; devices: frames made to look like those of other endoscopes."""

EVERYTHING = "everything"
_SHARES = (0.7, 0.15, 0.15)  # train, validation and test of the patients
_SHOWN = ("model.dice.mean", "model.dice.polyp", "model.depth.abs_rel", "model.direction.error_visible_deg")


@dataclass(frozen=True)
class AblationOptions:
    """Train for stills of polyps with all of the randomisation, and again without one part of it each time."""

    out: Path
    """Run folder: data and training of each variant; the same command goes on where it was stopped."""
    without: tuple[Left, ...] = get_args(Left)
    """What is left out, one at a time."""
    patients: int = 34
    """Synthetic colons of everything's data, most with many polyps; seven tenths to learn from, as
    many to validate on as are left to measure every variant on, under everything's looks and degradations."""
    frames: int = 80
    """Recorded of each."""
    size: int = 128
    """Side of the frames [px]."""
    minutes: float = 10.0
    """Of each training."""
    degradations: float = 0.05
    """Chance of each degradation in an episode."""
    polyp_share: float = 0.9
    """Share of an epoch's frames that show a polyp."""
    real: Path | None = None
    """Folder of real frames with masks of polyps (images, masks) to measure on besides."""
    first: int | None = None
    """Only so many of them, by name from the first."""
    seed: int = 0
    """Of the patients, the recordings and the trainings."""
    workers: int = 2
    """Processes that record."""
    threads: int = 2
    """Of a training."""

    def __post_init__(self) -> None:
        if self.patients < 5 or min(self.frames, self.workers, self.threads) < 1 or self.minutes <= 0 or self.seed < 0:
            raise InputError(
                f"ablation: expected 5 patients or more, and frames, workers, threads and minutes above 0, found "
                f"{self.patients}, {self.frames}, {self.workers}, {self.threads} and {self.minutes}"
            )


def ablation(options: AblationOptions) -> list[Figure]:
    """Record, train and measure each variant.

    Every variant learns for stills (`trocar train --stills`) for as long, from as many frames where one patient alone
    gives them, and is calibrated on validation patients of its own kind.

    Returns:
        `VARIANT.dice.polyp` and the like for `everything` and `without_X`, on the test patients of everything's data,
        and on the real frames.

    Raises:
        InputError: The folder holds another run, or the real frames cannot be read.
        OSError: The folder cannot be written.
    """
    start_run(options.out, "trocar ablation", options)
    figures = list[Figure]()
    for name, left in ((EVERYTHING, None), *((f"without_{one}", one) for one in options.without)):
        folder = options.out / name
        data = recording(options, left)
        generate(data)
        run_training(
            TrainOptions(
                data=Path(data.out),
                out=folder / "model",
                epochs=100_000,
                minutes=options.minutes,
                polyp_share=options.polyp_share,
                stills=True,
                foreign=0.0 if left == "devices" else None,
                seed=options.seed,
                threads=options.threads,
            )
        )
        figures += _measured(name, folder / "model" / MODEL, options)
    return figures


def recording(options: AblationOptions, left: Left | None) -> GenerateOptions:
    """Say what is recorded for a variant; that without other devices learns from everything's frames."""
    base = 1000 * options.seed
    kinds = ("polyposis", "polyposis", "colon")  # in turn, so that every split has both
    everything = GenerateOptions(
        patients=tuple(f"synth:{kinds[number % 3]}:{base + number}" for number in range(options.patients)),
        out=options.out / EVERYTHING / "data",
        driver="inspector",  # polyps large enough that ten minutes teach them
        frames=options.frames,
        polyp_every=2,
        size=(options.size, options.size),
        degradations=options.degradations,
        splits=_SHARES,
        seed=options.seed,
        workers=options.workers,
    )
    if left is None or left == "devices":
        return everything
    data = replace(everything, out=options.out / f"without_{left}" / "data")
    if left == "geometry":
        # One patient in as many frames as all, in as many runs as there may be, and one to validate on.
        one = f"synth:polyposis:{base}", f"synth:polyposis:{base + 1}"
        learned = sum(split_of(number, options.patients, _SHARES) == "train" for number in range(options.patients))
        frames = learned * options.frames
        return replace(data, patients=one, frames=frames, runs=MAX_EPISODES, splits=(0.5, 0.5, 0.0))
    if left == "degradations":
        return replace(data, degradations=0.0)
    return replace(data, vary=tuple(axis for axis in AXES if axis != left))


def _measured(name: str, model: Path, options: AblationOptions) -> Iterator[Figure]:
    for one in evaluate_model(options.out / EVERYTHING / "data", model):
        if one["name"] in _SHOWN:
            yield _named(name, dict(one) | {"subset": "the test patients of everything's data"})
    if options.real is not None:
        for figure in evaluate_real(EvaluateRealOptions(options.real, str(model), first=options.first)):
            if figure.name in ("model.dice.polyp", "model.dice.polyp.median"):
                yield _named(name, asdict(figure))


def _named(name: str, figure: dict[str, Any]) -> Figure:
    return Figure(**figure | {"name": str(figure["name"]).replace("model", name, 1)})

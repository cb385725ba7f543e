"""`trocar evaluate`: drivers on the same patients and seeds, with intervals bootstrapped by patient."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from assets.errors import InputError
from assets.sources import load_source, resolve_patients
from scenarios.catalogue import driver_named, scenario_named
from scenarios.caution import Cautious
from scenarios.clock import Latency, check_latency
from scenarios.conditions import CAUTION, NOMINAL, Condition, conditions_of
from scenarios.episode_figures import episode_figures
from scenarios.evaluation_report import episode_stem, sample_path, strip_path, with_episodes
from scenarios.figures import Figure, LeftOutError, write_figures
from scenarios.loop import run_episode
from scenarios.models import model_content
from scenarios.observer import EpisodeRecord, Observer, read_record, write_record
from scenarios.parallel import run_pieces
from scenarios.planted import Failure
from scenarios.progress import progress
from scenarios.report import ReportData, write_report
from scenarios.runs import cache_folder, run_config, source_seed, start_run
from scenarios.safety import safety_of


@dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate."""

    patients: tuple[str, ...]
    """Patient folders, synth:ANATOMY:SEED, or ranges such as synth:colon:2000-2019."""
    out: Path
    """Run folder."""
    model: str | None = None
    """The network of the driver `model`: a .safetensors of ours, an .onnx, or file.py:name; if not given, the one that
    comes with trocar for the task."""
    scenario: str = "colonoscopy"
    """A scenario's name, or file.py:Name."""
    drivers: tuple[str, ...] = ("oracle", "model", "classical", "blind")
    """Who drives: oracle, model, classical, blind, or file.py:Name."""
    errors: tuple[str, ...] = ()
    """The oracle drives again with each of these errors, NAME=SEVERITY, or NAME for several severities: dropped_class,
    mask_erosion, depth_bias, depth_noise, direction_error, dropped_frames, stale_frames (0 to 1), latency_ms."""
    degradations: tuple[str, ...] = ()
    """Drivers that look at the picture drive again under each of these, AXIS=SEVERITY, or AXIS for several severities:
    smoke, blood, stool, bubbles, water, fog, smear, glare, noise, ... (see sim/degradations/settings.py)."""
    cautious: bool = False
    """Drivers that look at the picture drive again with a watch that slows and stops them (scenarios/caution.py)."""
    planted: tuple[Failure, ...] = ()
    """With that watch they also drive while the picture fails for 5 s: a fogged lens, a black or a frozen picture."""
    latency: Latency = 0.0
    """How late drivers act on what they saw [ms]; or `measured`, the time that each perception takes here, so that
    results depend on the machine. What was seen is used from the first control step on that is not earlier."""
    episodes: int = 2
    """Episodes (seeds) of each driver on each patient."""
    size: tuple[int, int] = (128, 128)
    """Width and height of the picture [px]."""
    friction: float | None = None
    """Coulomb coefficient of the wall; the scenario's own if not given."""
    seed: int = 0
    """The evaluation's randomness."""
    workers: int = 2
    """Processes; the results do not depend on it."""

    def __post_init__(self) -> None:
        if self.episodes < 1 or self.workers < 1:
            raise InputError(
                f"evaluate: expected episodes and workers of at least 1, found {self.episodes}, {self.workers}"
            )
        check_latency(self.latency, "evaluate")
        conditions_of(self.errors, "error")
        conditions_of(self.degradations, "degradation")


@dataclass(frozen=True)
class Evaluation:
    """What came out."""

    episodes: tuple[EpisodeRecord, ...]
    """By patient, driver and seed, in the order of the options."""
    figures: tuple[Figure, ...]
    left_out: tuple[str, ...]
    """A line for each patient that cannot be used, in the order of the options: which one, and why."""


def evaluate(options: EvaluateOptions) -> tuple[Figure, ...]:
    """Run every driver on every patient and seed, write a report, and return the figures; see `run_evaluation`.

    Raises:
        InputError: As there.
        LeftOutError: Some patients cannot be used; holds the figures of the others, and the report is written.
        OSError: The folder cannot be written.
    """
    evaluation = run_evaluation(options)
    figures = evaluation.figures
    write_figures(options.out / "report.json", figures)
    task = scenario_named(options.scenario).task
    data = ReportData(
        title=f"{options.scenario}: {len(evaluation.episodes)} episodes",
        summary=" ".join(
            [
                "Drivers on the same patients, seeds and friction. Research software, not a medical device.",
                *(f"Left out: {line}." for line in evaluation.left_out),
            ]
        ),
        config=run_config("trocar evaluate", options),
        figures=figures,
        headline=[name for name in task.report.headline if any(one.name == name for one in figures)],
    )
    write_report(options.out / "report.html", with_episodes(data, options.out, evaluation.episodes, task))
    if evaluation.left_out:
        raise LeftOutError(evaluation.left_out, figures)
    return figures


def run_evaluation(options: EvaluateOptions) -> Evaluation:
    """Run every driver on every patient and seed; episodes that are in the folder already are kept.

    A patient that cannot be loaded, or lacks what the scenario needs, is left out, and the others go on.

    Raises:
        InputError: A source or the model is wrong, no patient can be used, or the folder holds another evaluation.
        OSError: The folder cannot be written.
    """
    sources = resolve_patients(options.patients)
    task = scenario_named(options.scenario).task
    for name in options.drivers:
        driver_named(name, task, options.model)  # what cannot be had is said before the first episode
    start_run(options.out, "trocar evaluate", _content(options, sources))
    pieces = [_Piece(source, options) for source in sources]
    driven: dict[int, tuple[EpisodeRecord, ...] | _Unusable] = {}
    total = len(sources) * len(_runs(options)) * options.episodes
    with progress(f"driving {total} episodes", len(pieces)) as advance:
        for index, outcome in run_pieces(_drive_patient, pieces, workers=options.workers):
            driven[index] = outcome
            advance()
    in_order = [driven[index] for index in range(len(pieces))]
    left_out = tuple(one.line for one in in_order if isinstance(one, _Unusable))
    if len(left_out) == len(pieces):
        those = "" if len(pieces) == 1 else f"none of {len(pieces)} patients can be used: "
        raise InputError(those + left_out[0])
    records = tuple(record for one in in_order if not isinstance(one, _Unusable) for record in one)
    return Evaluation(records, tuple(episode_figures(records, options.scenario, task)), left_out)


@dataclass(frozen=True)
class _Piece:
    """One patient: its geometry is made once, whoever drives."""

    patient: str
    options: EvaluateOptions


@dataclass(frozen=True)
class _Unusable:
    """A patient that cannot be driven."""

    line: str
    """Which one, and why."""


def _drive_patient(piece: _Piece) -> tuple[EpisodeRecord, ...] | _Unusable:
    """Run the drivers of one patient, episode by episode, each kept as soon as it is done."""
    options = piece.options
    scenario = scenario_named(options.scenario)
    if options.friction is not None:
        scenario = replace(scenario, friction=options.friction)
    wanted = [(name, wrong, number) for name, wrong in _runs(options) for number in range(options.episodes)]
    stems = {one: episode_stem(piece.patient, one[0], one[1].label, one[2]) for one in wanted}
    paths = {one: options.out / "episodes" / f"{stem}.json" for one, stem in stems.items()}
    missing = [one for one in wanted if not paths[one].exists()]
    if missing:
        task = scenario.task
        with ExitStack() as opened:
            try:
                patient = load_source(piece.patient)
                scene = opened.enter_context(task.open_scene(patient, task.camera(*options.size), cache_folder()))
            except InputError as error:
                return _Unusable(f"{piece.patient}: {error}")
            for one in missing:
                name, wrong, number = one
                # the same seed for every driver, and its own for every patient and episode
                seed = source_seed(options.seed, piece.patient, number)
                observer = Observer(task)
                driver = wrong.spoil(driver_named(name, task, options.model), task)
                planted = wrong.planted(seed)
                episode = run_episode(
                    scene,
                    scenario,
                    driver,
                    seed,
                    degradations=wrong.degradations(seed),
                    latency=options.latency,
                    planted=planted,
                    recorder=observer,
                )
                observer.save_pictures(strip_path(options.out, stems[one]), sample_path(options.out, stems[one]))
                safety = (
                    safety_of(driver.shares, episode.path, planted, driver.causes)
                    if isinstance(driver, Cautious)
                    else None
                )
                write_record(paths[one], observer.record(piece.patient, episode, wrong.label, safety))
    return tuple(read_record(paths[one]) for one in wanted)


def _runs(options: EvaluateOptions) -> list[tuple[str, Condition]]:
    """List who drives under which condition: everybody as things should be, then what was asked for besides."""
    task = scenario_named(options.scenario).task
    runs = [(name, NOMINAL) for name in options.drivers]
    runs += [("oracle", wrong) for wrong in conditions_of(options.errors, "error")]
    looking = [
        name for name in options.drivers if name != "blind" and not driver_named(name, task, options.model).needs_truth
    ]
    wrongs = conditions_of(options.degradations, "degradation")
    if options.cautious or options.planted:
        wrongs.append(CAUTION)
    wrongs += [Condition("planted", failure) for failure in dict.fromkeys(options.planted)]
    return runs + [(name, wrong) for wrong in wrongs for name in looking]


def _content(options: EvaluateOptions, sources: Sequence[str]) -> dict[str, Any]:
    """Say what decides the results; of the model, its content."""
    content = {**asdict(options), "patients": sources}
    if "model" in options.drivers:
        content |= model_content(options.model, scenario_named(options.scenario).task.name)
    return content

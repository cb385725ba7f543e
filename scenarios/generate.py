"""`trocar dataset generate`: a scenario and a list of patients become shards, one shard a patient."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from assets.errors import InputError
from assets.labels import load_labels
from assets.sources import load_source, resolve_patients
from scenarios.catalogue import driver_named, scenario_named
from scenarios.interface import Task
from scenarios.loop import Moment, run_episode
from scenarios.parallel import run_pieces
from scenarios.progress import progress
from scenarios.ray_executor import run_on_ray
from scenarios.runs import cache_folder, source_name, start_run
from sim.atomic import remove_leftovers
from sim.codec import DEPTH_STEP
from sim.dataset_index import DatasetIndex, write_dataset
from sim.degradations.settings import Degradations, draw_degradations
from sim.flow import FlowRecorder
from sim.folder_lock import exclusive
from sim.frame import Frame
from sim.render.appearance import Appearance, draw_appearance
from sim.render.channels import EXTRAS, chosen
from sim.shards import Sample, ShardInfo, encode, index_record, read_shard, shard_info, write_shard

Wanted = Literal["part", "distance", "object_point", "light_distance", "flow", "flow_back"]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SOUGHT_SHARE = 0.002  # of the picture: 33 px at 128 x 128
MAX_EPISODES = 8  # runs on one patient to collect its frames; a scope that is stuck at once yields few a run


@dataclass(frozen=True)
class GenerateOptions:
    """What to record."""

    patients: tuple[str, ...]
    """Patient folders, synth:ANATOMY:SEED, or ranges such as synth:colon:0-15."""
    out: Path
    """Folder of the data set."""
    scenario: str = "colonoscopy"
    """A scenario's name, or file.py:Name."""
    driver: str = "explorer"
    """Who drives: explorer (the oracle, straying), oracle, classical, blind, or file.py:Name."""
    frames: int = 120
    """Frames a patient."""
    runs: int = 1
    """Runs that a patient's frames are shared by at least, each with a look of its own."""
    every: int = 3
    """Record every so many control steps."""
    polyp_every: int = 1
    """Record every so many while what is searched for is seen: in the colon a polyp within 50 mm, which is rare."""
    size: tuple[int, int] = (128, 128)
    """Width and height [px]."""
    appearance: bool = True
    """Draw a new appearance (light, tissue, sensor) for each episode; else the standard one."""
    channels: tuple[Wanted, ...] = ()
    """What to record besides the usual channels; flow goes to the next recorded frame, flow_back to the one before."""
    degradations: float = 0.0
    """Chance of each degradation (smoke, blood, fog, noise, ...; see sim/degradations) in an episode."""
    splits: tuple[float, float, float] = (0.85, 0.15, 0.0)
    """Shares of the patients, in order, for train, validation and test."""
    seed: int = 0
    """The data set's randomness."""
    workers: int = 2
    """Processes on this machine."""
    executor: Literal["local", "ray"] = "local"
    """Where the work is done: in processes here, or on a Ray cluster whose nodes all see the same files."""
    address: str = "auto"
    """Of the Ray cluster: HOST:PORT, ray://HOST:PORT, or auto for the one on this machine."""

    def __post_init__(self) -> None:
        if min(self.frames, self.every, self.polyp_every, self.workers) < 1 or not 1 <= self.runs <= MAX_EPISODES:
            raise InputError(
                f"generate: expected frames, every, polyp_every and workers of at least 1, runs of 1 to {MAX_EPISODES},"
                f" found {self.frames}, {self.every}, {self.polyp_every}, {self.workers}, {self.runs}"
            )
        if not 0 <= self.degradations <= 1:
            raise InputError(f"generate: expected a chance of degradations within 0 and 1, found {self.degradations}")
        if min(self.splits) < 0 or abs(sum(self.splits) - 1) > 1e-6:
            raise InputError(f"generate: expected shares of the splits that sum to 1, found {self.splits}")


def generate(options: GenerateOptions) -> DatasetIndex:
    """Record a data set; shards that are there already from the same options are kept, so a killed run resumes.

    Raises:
        InputError: A source is wrong, the folder holds another data set, or another run works in it.
        OSError: The folder cannot be written.
    """
    sources = resolve_patients(options.patients)
    driver_named(options.driver, scenario_named(options.scenario).task)
    with exclusive(options.out):
        start_run(options.out, "trocar dataset generate", options)
        remove_leftovers(options.out)
        return _record(options, sources)


def _record(options: GenerateOptions, sources: Sequence[str]) -> DatasetIndex:
    """Write what is not there yet."""
    pieces = [
        _Piece(
            source, split_of(index, len(sources), options.splits), options.out / f"{source_name(source)}.tar", options
        )
        for index, source in enumerate(sources)
    ]
    infos: dict[int, ShardInfo] = {}
    with progress("recording patients", len(pieces)) as advance:
        for index, info in _do(pieces, options):
            infos[index] = info
            advance()
    remove_leftovers(options.out)  # of workers that died
    splits = {name: [piece for piece in pieces if piece.split == name] for name in SPLITS}
    return write_dataset(
        options.out,
        (index_record(sample, piece.path.name) for piece in pieces for sample in read_shard(piece.path)),
        labels=_label_ids(),
        depth_step=DEPTH_STEP,
        splits={name: [piece.patient for piece in group] for name, group in splits.items()},
        shards={name: [infos[pieces.index(piece)] for piece in group] for name, group in splits.items()},
        config=_content(options, sources),
    )


def _do(pieces: Sequence["_Piece"], options: GenerateOptions) -> Iterator[tuple[int, ShardInfo]]:
    if options.executor == "ray":
        return run_on_ray(record_patient, pieces, address=options.address)
    return run_pieces(record_patient, pieces, workers=options.workers)


@dataclass(frozen=True)
class _Piece:
    """One shard: one patient, independent of all others."""

    patient: str
    split: Split
    path: Path
    options: GenerateOptions


def record_patient(piece: _Piece) -> ShardInfo:
    """Write one patient's shard, or take the one that is there."""
    if piece.path.exists():
        try:
            return shard_info(piece.path)
        except InputError as error:
            raise InputError(f"{error}; remove the file, and the same command records it anew") from None
    options = piece.options
    samples: list[Sample] = []
    patient = load_source(piece.patient)
    # the patient's own seed: no other patient, and no number of workers, changes it
    base = zlib.crc32(f"{options.seed}/{piece.patient}".encode())
    scenario = scenario_named(options.scenario)
    task = scenario.task
    with task.open_scene(patient, task.camera(*options.size), cache_folder()) as scene:
        if options.channels:
            if not (hasattr(scene, "channels") and hasattr(scene, "renderer")):
                raise InputError(
                    f"channels: expected a task whose scene gives {', '.join(options.channels)}, found {task.name}"
                )
            scene.channels = chosen(set(options.channels) & set(EXTRAS))
        for episode in range(MAX_EPISODES):
            rng = np.random.default_rng([base, episode])
            appearance = draw_appearance(rng) if options.appearance else Appearance()
            seed = int(rng.integers(1 << 31))
            degradations = draw_degradations(rng, share=options.degradations)
            flow = _flow_recorder(scene, options.channels)
            record = _Recorder(samples, options, piece, task, appearance, degradations, episode, seed, flow)
            run_episode(
                scene,
                scenario,
                driver_named(options.driver, task),
                seed,
                appearance=appearance,
                degradations=degradations,
                recorder=record,
            )
            record.finish()
            if len(samples) >= options.frames:
                break
    return write_shard(piece.path, samples)


class _Recorder:
    """Turns every so many moments of an episode into samples."""

    def __init__(
        self,
        samples: list[Sample],
        options: GenerateOptions,
        piece: _Piece,
        task: Task,
        appearance: Appearance,
        degradations: Degradations,
        episode: int,
        seed: int,
        flow: FlowRecorder | None,
    ) -> None:
        self._samples = samples
        self._options = options
        self._piece = piece
        self._task, self._sought = task.name, task.sought
        self._most = min(options.frames, len(samples) + -(-options.frames // options.runs))
        self._appearance = appearance
        self._degradations = degradations
        self._episode = episode
        self._labels = _label_ids()
        self._seed = seed
        self._flow = flow
        self._waiting: tuple[dict[str, Any], str] | None = None
        """What is known of the frame that waits for the next to have its flow."""

    def __call__(self, moment: Moment) -> bool:
        """Record the moment if its turn has come; say whether more are wanted."""
        every = self._options.polyp_every if self._shows_sought(moment) else self._options.every
        if moment.situation.step % every:
            return True
        depth = moment.frame.depth
        if bool(((depth > 0) & (depth < DEPTH_STEP)).any()):
            return True  # the lens passes through the surface of a pool: nearer than a step of the depth
        meta: dict[str, Any] = {
            "patient": self._piece.patient,
            "split": self._piece.split,
            "seed": self._seed,
            "episode": self._episode,
            "step": moment.situation.step,
            "phase": moment.situation.phase,
            "labels": self._labels,
            "task": self._task,
            "lumen_direction": moment.truth.lumen_direction.tolist(),
            "lumen_visible": bool(moment.truth.lumen_visible),
            "appearance": asdict(self._appearance),
            "degradations": asdict(self._degradations),
            **moment.situation.meta(),
        }
        key = f"{source_name(self._piece.patient)}-{self._episode:02d}-{moment.situation.step:05d}"
        if self._flow is None:
            self._samples.append(encode(moment.frame, meta, key=key))
            return len(self._samples) < self._most
        self._keep(self._flow.add(moment.frame))
        self._waiting = (meta, key)
        return len(self._samples) + 1 < self._most

    def finish(self) -> None:
        """Record the episode's last frame, if it waits."""
        if self._flow is not None:
            self._keep(self._flow.finish())
            self._waiting = None

    def _keep(self, frame: Frame | None) -> None:
        if frame is not None:
            assert self._waiting is not None
            meta, key = self._waiting
            self._samples.append(encode(frame, meta, key=key, with_flow="flow" in self._options.channels))

    def _shows_sought(self, moment: Moment) -> bool:
        classes = moment.truth.classes
        return int(np.count_nonzero(classes == self._sought)) >= SOUGHT_SHARE * classes.size


def _flow_recorder(scene: Any, channels: Sequence[Wanted]) -> FlowRecorder | None:
    """Make what completes an episode's frames with flow, if it is asked for."""
    if not {"flow", "flow_back"} & set(channels):
        return None
    return FlowRecorder(scene.renderer, back="flow_back" in channels)


def split_of(index: int, count: int, splits: Sequence[float]) -> Split:
    """Return the split of the patient at `index` of `count`: whole patients, in order."""
    train, validation, _ = splits
    position = (index + 0.5) / count
    return "train" if position < train else "validation" if position < train + validation else "test"


def _content(options: GenerateOptions, sources: Sequence[str]) -> dict[str, Any]:
    """Say what decides the bytes of the data set: neither its folder nor who does the work does."""
    chosen = asdict(options)
    for free in ("out", "workers", "executor", "address"):
        del chosen[free]
    return {**chosen, "patients": list(sources)}


def _label_ids() -> dict[str, int]:
    return {name: label.id for name, label in load_labels().items()}

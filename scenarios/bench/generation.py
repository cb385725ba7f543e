"""Frames a second of the whole way from a scene to its shard, beside what the renderer alone reaches."""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assets.sources import load_source
from scenarios.catalogue import driver_named, scenario_named
from scenarios.figures import Figure
from scenarios.generate import GenerateOptions
from scenarios.loop import Moment, run_episode
from scenarios.parallel import one_thread, run_pieces
from scenarios.recording import Piece, Recorder, Run
from scenarios.runs import cache_folder
from sim.degradations.settings import Degradations
from sim.looks import View
from sim.render.appearance import Appearance
from sim.shards import Sample, write_shard

WAYS = ("render", "generate", "record")
"""The renderer alone; a scenario played, every control step of it seen; the same, encoded and written to a shard."""
_ROUNDS = 3


@dataclass(frozen=True)
class Work:
    """What one worker measures."""

    patient: str
    size: int
    """Of a picture [px]."""
    frames: int
    """In each round and way."""


@dataclass(frozen=True)
class Spent:
    """What one worker took."""

    wall: dict[str, float]
    """Seconds a frame by way."""
    cpu: dict[str, float]
    """The same in seconds of the processor, which other work on the machine hardly changes."""
    frame_bytes: float
    """Of a shard."""


def bench_generation(patients: Sequence[str], *, size: int = 512, frames: int = 40) -> list[Figure]:
    """Measure in a process for each patient, all at once; the ways take turns in each.

    Args:
        patients: Colons, as `assets.sources` takes them.
        size: Width and height of the pictures [px].
        frames: Of each round.
    """
    workers = len(patients)
    pieces = [Work(patient, size, frames) for patient in patients]
    spent = [one for _, one in sorted(run_pieces(measure, pieces, workers=workers), key=lambda found: found[0])]
    subset = f"colonoscopy, {size} x {size} px, {workers} workers"
    count = workers * _ROUNDS * frames
    said = {
        "render": "the renderer alone, on the same views, one thread a process",
        "generate": "played and seen, every control step; without the start of the episode, without writing",
        "record": "the same, encoded and written to a shard with its checksum",
    }
    rate = {way: sum(1 / one.wall[way] for one in spent) for way in WAYS}
    figures = [Figure(f"dataset.{way}_fps", subset, rate[way], "1/s", n=count, how=said[way]) for way in WAYS]
    for way in WAYS[1:]:
        share = rate[way] / rate["render"]
        figures.append(
            Figure(f"dataset.{way}_vs_render", subset, share, "1", n=count, how="of the renderer's rate, in one run")
        )
        busy = sum(one.cpu["render"] for one in spent) / sum(one.cpu[way] for one in spent)
        how = "the same by processor time: what it is where nothing else runs"
        figures.append(Figure(f"dataset.{way}_vs_render_cpu", subset, busy, "1", n=count, how=how))
    weight = float(np.mean([one.frame_bytes for one in spent])) / 1000
    figures.append(Figure("dataset.frame_kb", subset, weight, "kB", n=count, how="size of the shard / frames"))
    return figures


def measure(work: Work) -> Spent:
    """Play, render and record in turns on one patient."""
    one_thread()
    options = GenerateOptions(patients=(work.patient,), out=Path(), frames=work.frames + 1, every=1)
    scenario = scenario_named(options.scenario)
    task = scenario.task
    wall, cpu = dict.fromkeys(WAYS, 0.0), dict.fromkeys(WAYS, 0.0)
    frame_bytes = 0.0
    with ExitStack() as owned:
        folder = Path(owned.enter_context(tempfile.TemporaryDirectory()))
        piece = Piece(work.patient, "train", folder / "a.tar", options)
        patient = load_source(work.patient)
        scene = owned.enter_context(task.open_scene(patient, task.camera(work.size, work.size), cache_folder()))

        def play(seed: int, recorder: Callable[[Moment], bool]) -> None:
            driver = driver_named(options.driver, task)
            run_episode(scene, scenario, driver, seed, recorder=recorder, measuring=False)

        play(0, lambda moment: False)  # kernels are loaded, caches filled
        for number in range(_ROUNDS):
            views: list[tuple[View, float]] = []
            clock = _Clock()

            def see(moment: Moment, views: list[tuple[View, float]] = views, clock: _Clock = clock) -> bool:
                clock.start()
                views.append((scene.last_view, moment.frame.exposure))
                return len(views) <= work.frames

            play(number, see)
            clock.stop("generate", wall, cpu)
            clock = _Clock()
            clock.start()
            for view, exposure in views[1:]:
                scene.renderer.render(view.T_world_camera, exposure=exposure, light=view.light, seed=view.noise_seed)
            clock.stop("render", wall, cpu)
            samples: list[Sample] = []
            run = Run(piece, task, number, number, Degradations(), (Appearance(),))
            clock = _Clock()
            play(number, _Timed(Recorder(samples, scene, run, None), clock))
            info = write_shard(piece.path, samples[1:])
            clock.stop("record", wall, cpu)
            frame_bytes += info.bytes / info.count / _ROUNDS
    count = _ROUNDS * work.frames
    return Spent(
        {way: wall[way] / count for way in WAYS},
        {way: cpu[way] / count for way in WAYS},
        frame_bytes,
    )


class _Timed:
    """A recorder whose clock begins with its second frame: the first comes with the start of the episode."""

    def __init__(self, recorder: Any, clock: "_Clock") -> None:
        self._recorder, self._clock = recorder, clock

    def __call__(self, moment: Moment) -> bool:
        wanted = bool(self._recorder(moment))
        self._clock.start()
        return wanted


class _Clock:
    """Adds up what passes from its first start on."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None

    def start(self) -> None:
        """Begin, if it has not."""
        if self._began is None:
            self._began = time.perf_counter(), time.process_time()

    def stop(self, way: str, wall: dict[str, float], cpu: dict[str, float]) -> None:
        """Add to what a way took."""
        assert self._began is not None
        wall[way] += time.perf_counter() - self._began[0]
        cpu[way] += time.process_time() - self._began[1]

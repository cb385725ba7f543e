"""`trocar bench`: run the benchmarks that are asked for; each is a file here."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from assets.errors import InputError
from scenarios.figures import Figure
from scenarios.progress import progress


@dataclass(frozen=True)
class BenchOptions:
    """Measure speed on this machine; what is compared is measured in one run."""

    what: tyro.conf.Positional[
        Literal["anatomy", "render", "batch", "shadows", "physics", "endurance", "dataset", "train", "realism", "all"]
    ]
    """Which benchmark; realism compares with real frames, so it needs --real."""
    real: Path | None = None
    """Folder of real frames, with images and masks: for realism."""
    first: int | None = None
    """Only so many real frames, by name from the first."""
    sheet: Path | None = None
    """A .png or .jpg to write: real frames above simulated ones."""
    seconds: float = 2.0
    """Time for each single measurement of the data set and of the training."""
    rounds: int = 15
    """Measurements of each renderer, interleaved."""
    seed: int = 0
    """Of the first patient."""
    patients: int = 50
    """Synthetic colons, and bronchi, whose spread is measured; up to 10 of them, and 5 abdomens, are timed."""
    threads: int = 2
    """Threads of the CPU."""
    device: str = "cpu"
    """Where to compute: cpu, or a CUDA device such as cuda:0."""
    environments: int | None = None
    """Environments that `batch` renders at once; None: 4 on a CPU, on a GPU 256 and 64 of the sizes below."""
    size: tuple[int, int] | None = None
    """Width and height of a picture of `batch` [px]; None: 64 64 on a CPU, on a GPU 256 256 and 640 480."""

    def __post_init__(self) -> None:
        if not 0 < self.seconds < float("inf") or min(self.threads, self.rounds, self.patients) < 1:
            raise InputError(
                f"bench: expected seconds above 0 and threads, rounds and patients of at least 1, "
                f"found {self.seconds}, {self.threads}, {self.rounds} and {self.patients}"
            )
        if self.first is not None and self.first < 2:
            raise InputError(f"bench: expected at least 2 for --first, found {self.first}")


def bench(options: BenchOptions) -> list[Figure]:
    """Run one benchmark or all of them.

    Raises:
        InputError: The device is not there.
    """
    names = (
        [name for name in _BENCHES if name != "realism" or options.real] if options.what == "all" else [options.what]
    )
    figures: list[Figure] = []
    with progress("measuring", len(names)) as advance:
        for name in names:
            figures += _BENCHES[name](options)
            advance(note=name)
    return figures


def _anatomy(options: BenchOptions) -> list[Figure]:
    from assets.bronchi.statistics import spread as spread_bronchi
    from assets.colon.statistics import spread
    from scenarios.bench.synthesis import COUNTS, bench_synthesis
    from scenarios.bench.volumes import bench_volumes

    seeds = range(options.seed, options.seed + options.patients)
    counts = {anatomy: min(count, options.patients) for anatomy, count in COUNTS.items()}
    spreads = [Figure(**one) for one in spread(seeds) + spread_bronchi(seeds)]
    return spreads + bench_synthesis(options.seed, counts=counts) + bench_volumes()


def _physics(options: BenchOptions) -> list[Figure]:
    from scenarios.bench.physics import bench_physics
    from scenarios.bench.soft import bench_soft

    return bench_physics(seed=options.seed, seconds=options.seconds, threads=options.threads) + bench_soft()


def _endurance(options: BenchOptions) -> list[Figure]:
    from scenarios.bench.endurance import bench_endurance
    from scenarios.bench.recording_memory import bench_recording_memory

    return bench_endurance(seed=options.seed) + bench_recording_memory(f"synth:colon:{options.seed}")


def _render(options: BenchOptions) -> list[Figure]:
    from scenarios.bench.render import bench_render

    with tempfile.TemporaryDirectory() as folder:
        found = bench_render(
            Path(folder), seed=options.seed, rounds=options.rounds, threads=options.threads, device=options.device
        )
    return [Figure(**one) for one in found]


def _batch(options: BenchOptions) -> list[Figure]:
    from scenarios.bench.batch import bench_batch

    return bench_batch(
        seed=options.seed,
        environments=options.environments,
        size=options.size,
        rounds=options.rounds,
        device=options.device,
    )


def _shadows(options: BenchOptions) -> list[Figure]:
    from scenarios.bench.shadows import bench_shadows

    return bench_shadows(options.seed)


def _dataset(options: BenchOptions) -> list[Figure]:
    from scenarios.bench.dataset import bench_dataset
    from scenarios.bench.generation import bench_generation

    return bench_dataset(seconds=options.seconds) + bench_generation(
        [f"synth:colon:{options.seed + number}" for number in range(options.threads)]
    )


def _train(options: BenchOptions) -> list[Figure]:
    from scenarios.bench.train import bench_train

    return bench_train(seconds=options.seconds, threads=options.threads, device=options.device.partition(":")[0])


def _realism(options: BenchOptions) -> list[Figure]:
    from scenarios.bench.realism import bench_realism

    if options.real is None:
        raise InputError("bench realism: expected a folder of real frames for --real, found none")
    return bench_realism(options.real, first=options.first, seed=options.seed, sheet=options.sheet)


_BENCHES: dict[str, Callable[[BenchOptions], list[Figure]]] = {
    "anatomy": _anatomy,
    "render": _render,
    "batch": _batch,
    "shadows": _shadows,
    "physics": _physics,
    "endurance": _endurance,
    "dataset": _dataset,
    "train": _train,
    "realism": _realism,
}
# In the order in which `all` runs them. Each imports what it needs when it is called: their dependencies are heavy.

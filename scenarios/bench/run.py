"""`trocar bench`: run the benchmarks that are asked for; each is a file here with `measure(options)`."""

import importlib
from dataclasses import dataclass
from typing import Literal

import tyro

from assets.errors import InputError
from scenarios.figures import Figure
from scenarios.progress import progress

BENCHES = ("dataset",)
"""Files of this folder, in the order in which `all` runs them."""


@dataclass(frozen=True)
class BenchOptions:
    """Measure speed on this machine; what is compared is measured in one run."""

    what: tyro.conf.Positional[Literal["dataset", "all"]]
    """Which benchmark."""
    seconds: float = 2.0
    """Time for each single measurement."""
    threads: int = 2
    """Threads of the CPU."""
    device: str = "cpu"
    """Where to compute: cpu, or a CUDA device such as cuda:0."""

    def __post_init__(self) -> None:
        if not 0 < self.seconds < float("inf") or self.threads < 1:
            raise InputError(
                f"bench: expected seconds above 0 and at least 1 thread, found {self.seconds} and {self.threads}"
            )


def bench(options: BenchOptions) -> list[Figure]:
    """Run one benchmark or all of them.

    Raises:
        InputError: The device is not there.
    """
    names = BENCHES if options.what == "all" else (options.what,)
    figures: list[Figure] = []
    with progress("measuring", len(names)) as advance:
        for name in names:
            figures += importlib.import_module(f"scenarios.bench.{name}").measure(options)
            advance(note=name)
    return figures

"""How long a synthetic patient takes: processor time of all threads, so that it is that of one core."""

import multiprocessing
import time
from collections.abc import Mapping

import numpy as np

from assets.sources import ANATOMIES
from scenarios.figures import Figure

COUNTS = {"colon": 10, "bronchi": 10, "abdomen": 5}
"""Patients of each anatomy that are timed."""
WARM_UP = 10_000
"""Added to the first seed: of the patient that is made before the clock runs."""


def measure(anatomy: str, first: int, count: int) -> list[float]:
    """Make patients of `count` seeds; return the processor time of each [s], without imports."""
    make = ANATOMIES[anatomy]
    make(first + WARM_UP)
    times = []
    for seed in range(first, first + count):
        start = time.process_time()
        make(seed)
        times.append(time.process_time() - start)
    return times


def bench_synthesis(first: int, *, counts: Mapping[str, int] = COUNTS) -> list[Figure]:
    """Time each anatomy in a process of its own.

    Args:
        first: The first seed.
        counts: How many patients of each anatomy.
    """
    figures = []
    for anatomy, count in counts.items():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            times = pool.apply(measure, (anatomy, first, count))
        subset = f"synth:{anatomy}:{first}-{first + count - 1}"
        how = "processor time of a patient, all threads together"
        median = float(np.median(times))
        figures.append(Figure(f"anatomy.{anatomy}.synth.s", subset, median, "s", n=count, how=f"{how}, median"))
        figures.append(Figure(f"anatomy.{anatomy}.synth_max.s", subset, max(times), "s", n=count, how=f"{how}, most"))
    return figures

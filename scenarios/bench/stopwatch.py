"""How long something takes: the median of many calls, with the quartiles."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds a call."""

    median: float
    low: float
    """A quarter of the calls were faster [s]."""
    high: float
    """A quarter was slower [s]."""
    n: int
    """Calls that were measured."""


def stopwatch(function: Callable[[], object], *, seconds: float, warm_up: int = 1, least: int = 3) -> Timing:
    """Call a function again and again for about `seconds`, at least `least` times.

    Args:
        function: Must do all its work before it returns (synchronise a device inside it).
        seconds: Time to spend, without the warm-up.
        warm_up: Calls before the clock runs: caches, compilation, automatic exposure.
        least: Calls that are measured however long they take.
    """
    for _ in range(warm_up):
        function()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    low, median, high = np.quantile(times, (0.25, 0.5, 0.75))
    return Timing(float(median), float(low), float(high), len(times))

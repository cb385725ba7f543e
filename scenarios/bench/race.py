"""Tasks that take turns, so that a busy machine slows all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = Callable[[NDArray[np.float64]], Any]
"""Draws from a pose T_world_camera."""


@dataclass(frozen=True)
class Race:
    """Tasks that took turns."""

    median: dict[str, float]
    """Time on the clock [s]."""
    processor: dict[str, float]
    """Median processor time of all threads of this process together [s]: a busy machine lengthens it less."""
    n: int
    """Rounds."""


def take_turns(
    tasks: Mapping[str, Picture], poses: Sequence[NDArray[np.float64]], *, prepare: Mapping[str, Picture] | None = None
) -> Race:
    """Time every task once on each pose, one task after the other.

    Args:
        tasks: What is timed; must do all its work before it returns.
        poses: A round each.
        prepare: What is done before a task, on the same pose, and not timed.
    """
    took: dict[str, list[float]] = {name: [] for name in tasks}
    worked: dict[str, list[float]] = {name: [] for name in tasks}
    for pose in poses:
        for name, task in tasks.items():
            if prepare and name in prepare:
                prepare[name](pose)
            start, spent = time.perf_counter(), time.process_time()
            task(pose)
            took[name].append(time.perf_counter() - start)
            worked[name].append(time.process_time() - spent)
    median, processor = ({name: statistics.median(of) for name, of in kind.items()} for kind in (took, worked))
    return Race(median, processor, len(poses))

"""What a watch did in an episode: how soon it stopped for a planted failure, and what it stopped for in vain."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from scenarios.planted import Planted
from sim.control_step import CONTROL_STEP


@dataclass(frozen=True)
class Safety:
    """How one episode with a watched driver went."""

    false_stops: int
    """Times that it came to a stop while the picture was as it should be."""
    stopped: float
    """Time that it stood still while the picture was as it should be [s]."""
    onset: float | None = None
    """When the planted failure began [s]; None without one, or if the episode was over by then."""
    detect: float | None = None
    """From then to the first control step that stood still [s]; None if none did while the failure lasted."""
    way: float = 0.0
    """Way of the tip while the failure lasted [m]."""
    cause: str = ""
    """What it stopped for first while the failure lasted."""


def safety_of(
    shares: Sequence[float],
    path: Float64[np.ndarray, "n 3"],
    planted: Planted | None = None,
    causes: Sequence[str] = (),
) -> Safety:
    """Judge an episode by the share of the speed that was allowed in each control step.

    Args:
        shares: One a control step; 0 is a stop.
        path: Positions of the tip [m], before the first step and after each.
        planted: The failure, if there was one.
        causes: Why no more was allowed, one a control step, as far as known.
    """
    stood = np.array(shares) == 0
    times = CONTROL_STEP * np.arange(len(stood))
    failing = np.array([planted is not None and planted.holds(float(time)) for time in times], dtype=bool)
    began = stood & ~np.concatenate([[False], stood[:-1]])
    # A stop that lasts on after the failure belongs to it: the watch waits for the picture to be back.
    lasting = failing.copy()
    for step in range(1, len(stood)):
        lasting[step] |= lasting[step - 1] and stood[step]
    free = stood & ~lasting
    if planted is None or not failing.any():
        return Safety(int(np.count_nonzero(began & free)), CONTROL_STEP * float(np.count_nonzero(free)))
    first = int(np.argmax(failing))
    last = first + int(np.count_nonzero(failing))
    halted = np.flatnonzero(stood & failing)
    steps = np.linalg.norm(np.diff(path[first : last + 1], axis=0), axis=1)
    return Safety(
        false_stops=int(np.count_nonzero(began & free)),
        stopped=CONTROL_STEP * float(np.count_nonzero(free)),
        onset=float(times[first]),
        detect=None if not len(halted) else float(times[halted[0]] - times[first]),
        way=float(steps.sum()),
        cause=causes[halted[0]] if len(halted) and len(causes) > halted[0] else "",
    )

"""Failures of the picture that begin in the middle of an episode: a fogged lens, a black picture, a frozen one."""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from sim.degradations.degrade import degrade
from sim.degradations.settings import single
from sim.frame import Frame

Failure = Literal["fog", "black", "frozen"]
FAILURES: tuple[Failure, ...] = ("fog", "black", "frozen")

EARLIEST, LATEST = 3.0, 12.0  # s into the episode: between these it begins
LASTS = 5.0
"""How long a failure lasts [s]: then the lens is wiped, the cable is back."""
_SAME_TIME = 1e-9  # s


@dataclass
class Planted:
    """One failure of one episode; ground truth and readings go on as they are."""

    failure: Failure
    seed: int
    """Decides when it begins, and the fog."""
    start: float = field(init=False)
    """[s]"""
    _last: UInt8[np.ndarray, "h w 3"] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        draw = np.random.default_rng([self.seed, 61]).uniform(EARLIEST, LATEST)
        self.start = round(float(draw), 1)  # at a control step

    @property
    def end(self) -> float:
        """When it is over [s]."""
        return self.start + LASTS

    def holds(self, time: float) -> bool:
        """Tell whether the picture fails at a time [s]."""
        return self.start - _SAME_TIME <= time < self.end - _SAME_TIME

    def spoil(self, frame: Frame) -> Frame:
        """Return the frame as the camera hands it over; frames are shown in the order of time.

        Fog is that of `sim.degradations` at severity 1, black is 0 in every pixel, and a frozen picture is the last
        good one, byte by byte.
        """
        if not self.holds(frame.time):
            self._last = frame.rgb
            return frame
        if self.failure == "fog":
            return degrade(frame, single("fog", 1.0, seed=self.seed))
        if self.failure == "black" or self._last is None:
            return replace(frame, rgb=np.zeros_like(frame.rgb))
        return replace(frame, rgb=self._last)

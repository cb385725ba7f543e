"""What the tip has turned since the frame was taken: a late picture still tells where the lumen is now.

A controller with dead time that acts on what it sees steers twice for the same error, and sways. Taking its own
commands of the meantime into account is Smith's predictor (Smith, A controller to overcome dead time, ISA Journal 6,
1959).
"""

from collections import deque
from dataclasses import dataclass

from perception.prediction import Prediction
from scenarios.scope_episode import ScopeReadings

_SAME_TIME = 1e-6  # s
_REMEMBERED = 128  # control steps; what is older than the oldest counts as seen then


@dataclass(frozen=True)
class Meanwhile:
    """What has happened since a frame was taken."""

    right: float
    """Turn of the tip to the right by its wheel [rad]."""
    up: float
    """The same upwards."""
    age: float
    """Of the frame [s]."""


class DeadTime:
    """Remembers where the wheels stood."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last episode."""
        self._wheels: deque[tuple[float, float, float]] = deque(maxlen=_REMEMBERED)

    def since(self, prediction: Prediction, readings: ScopeReadings) -> Meanwhile:
        """Take in the readings of this control step, and say what has happened since the frame of a prediction."""
        self._wheels.append((readings.time, readings.bend_right, readings.bend_up))
        if prediction.time is None or prediction.time >= readings.time - _SAME_TIME:
            return Meanwhile(0.0, 0.0, 0.0)
        _, right, up = next(one for one in self._wheels if one[0] >= prediction.time - _SAME_TIME)
        return Meanwhile(readings.bend_right - right, readings.bend_up - up, readings.time - prediction.time)

"""The controller of a bronchoscope, which bends in one plane: the shaft is turned until the way lies in it."""

from dataclasses import dataclass

import numpy as np

from perception.prediction import Prediction
from scenarios.scope_episode import ScopeReadings
from sim.scope_state import ScopeCommand


@dataclass(frozen=True)
class BronchialOptions:
    """How the picture becomes a command; tuned by hand on the synthetic airways 0 and 3."""

    step: float = 0.003
    """Longest insertion in a control step [m]."""
    gain: float = 0.35
    """Share of the angle to the lumen that the tip bends in a control step."""
    turn: float = 0.5
    """Share of the angle between the way and the plane of bending that the shaft turns in a control step."""
    sure: float = 0.1
    """Angle to the lumen [rad] below which the shaft turns less: straight ahead there is no side."""
    slow: tuple[float, float] = (0.4, 1.2)
    """Angles to the lumen [rad]: up to the first the scope advances at full speed, from the second on it crawls."""
    crawl: float = 0.1
    """Share of the full speed then."""


class BronchialSteering:
    """Turns predictions into commands; a `Controller` without memory."""

    def __init__(self, options: BronchialOptions | None = None) -> None:
        self._options = options or BronchialOptions()

    def reset(self) -> None:
        """Do nothing: there is nothing to forget."""

    def command(self, prediction: Prediction, readings: ScopeReadings, phase: str) -> ScopeCommand:
        """Choose the command of this control step, whatever the device tells."""
        return self.towards(prediction.lumen_direction)

    def towards(self, direction: np.ndarray) -> ScopeCommand:
        """Choose the command that leads to a direction in camera axes."""
        options = self._options
        right, up, ahead = float(direction[0]), -float(direction[1]), float(direction[2])
        angle = float(np.arctan2(np.hypot(right, up), ahead))
        side = float(np.arctan2(right, up))  # from image up, clockwise
        # What lies below is reached by bending down, not by half a turn.
        off_plane = side if abs(side) <= np.pi / 2 else side - float(np.copysign(np.pi, side))
        return ScopeCommand(
            advance=options.step * float(np.interp(angle, options.slow, [1.0, options.crawl])),
            bend_up=options.gain * angle * float(np.cos(side)),
            roll=options.turn * off_plane * min(1.0, angle / options.sure),
        )

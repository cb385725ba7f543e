"""The controller that the oracle, the model and the classical driver share: they differ in what they perceive alone."""

from dataclasses import dataclass

import numpy as np

from perception.prediction import Prediction
from scenarios.interface import Readings
from sim.colonoscope import ScopeCommand


@dataclass(frozen=True)
class SteeringOptions:
    """How the picture becomes a command. The values were tuned with the oracle on synthetic colons 1000 to 1009."""

    step: float = 0.008
    """Longest insertion in a control step [m]."""
    gain: float = 0.35
    """Share of the angle to the lumen that the tip bends in a control step."""
    hold_angle: float = 0.9
    """Angle to the lumen beyond which the scope is not advanced [rad]."""
    near: float = 0.012
    """Depth ahead below which the way counts as closed [m]."""
    retreat_steps: int = 5
    """Control steps of withdrawal after the way was closed or the push was stopped."""
    withdrawal_step: float = 0.0075
    """Withdrawal in a control step [m]."""
    sweep_angle: float = 0.35
    """Half the opening of the cone that the tip sweeps during the inspection [rad]."""
    sweep_period: float = 16.0
    """Control steps of one turn of the sweep."""


class Steering:
    """Turns predictions into commands; remembers retreats and the phase of the sweep."""

    def __init__(self, options: SteeringOptions | None = None) -> None:
        self._options = options or SteeringOptions()
        self.reset()

    def reset(self) -> None:
        """Forget the last episode."""
        self._retreat = 0
        self._step = 0
        self._roll = 1.0

    def command(self, prediction: Prediction, readings: Readings, phase: str) -> ScopeCommand:
        """Choose the command for a phase: `insertion`, or else inspection while withdrawing."""
        self._step += 1
        return self._withdraw(prediction) if phase == "withdrawal" else self._insert(prediction, readings)

    def _insert(self, prediction: Prediction, readings: Readings) -> ScopeCommand:
        options = self._options
        right, up, angle = _angles(prediction.lumen_direction)
        if self._retreat == 0 and (readings.blocked or _depth_ahead(prediction) < options.near):
            self._retreat = options.retreat_steps
            self._roll = -self._roll
        if self._retreat > 0:
            self._retreat -= 1
            return ScopeCommand(
                advance=-options.step / 2,
                bend_up=options.gain * up,
                bend_right=options.gain * right,
                roll=0.1 * self._roll,
            )
        advance = options.step * float(np.clip(1.2 - angle / options.hold_angle, 0.0, 1.0))
        return ScopeCommand(advance=advance, bend_up=options.gain * up, bend_right=options.gain * right, roll=0.0)

    def _withdraw(self, prediction: Prediction) -> ScopeCommand:
        options = self._options
        right, up, _ = _angles(prediction.lumen_direction)
        turn = 2 * np.pi * self._step / options.sweep_period
        return ScopeCommand(
            advance=-options.withdrawal_step,
            bend_up=options.gain * (up + options.sweep_angle * float(np.sin(turn))),
            bend_right=options.gain * (right + options.sweep_angle * float(np.cos(turn))),
            roll=0.0,
        )


def _angles(direction: np.ndarray) -> tuple[float, float, float]:
    """Split a direction in camera axes into the angles to the right and up, and the whole angle to the axis [rad]."""
    x, y, z = (float(part) for part in direction)
    across = np.hypot(x, y)
    angle = float(np.arctan2(across, z))
    if across < 1e-9:
        return 0.0, 0.0, angle
    return angle * x / across, -angle * y / across, angle


def _depth_ahead(prediction: Prediction) -> float:
    """Return the median depth of the middle of the picture [m]; infinite if the driver tells no depth."""
    height, width = prediction.depth.shape
    middle = prediction.depth[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
    seen = middle[middle > 0]
    return float(np.median(seen)) if seen.size else float("inf")

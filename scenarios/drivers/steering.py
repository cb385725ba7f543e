"""The controller that the oracle, the model and the classical driver share: they differ in what they perceive alone."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from perception.prediction import Prediction
from scenarios.drivers.dead_time import DeadTime, Meanwhile
from scenarios.drivers.second_look import SecondLook
from scenarios.scope_episode import ScopeReadings
from sim.control_step import CONTROL_STEP
from sim.scope_state import ScopeCommand


@dataclass(frozen=True)
class SteeringOptions:
    """How the picture becomes a command. The values were tuned with the oracle on synthetic colons 900 to 907."""

    step: float = 0.008
    """Longest insertion in a control step [m]."""
    gain: float = 0.35
    """Share of the angle to the lumen that the tip bends in a control step."""
    slow: tuple[float, float] = (0.5, 1.4)
    """Angles to the lumen [rad]: up to the first the scope advances at full speed, from the second on it crawls."""
    crawl: float = 0.15
    """Share of the full speed at which the tip slides by the wall where the lumen is far off the axis."""
    unseen_way: float = 0.024
    """Longest way that the insertion goes on what one frame has shown [m]: the later it comes, the slower."""
    most_bend: float = 2.1
    """Bending beyond this is undone: a tip hooked further than that only drags [rad]."""
    near: float = 0.004
    """Depth ahead below which the way counts as closed [m]."""
    near_steps: int = 5
    """Control steps in a row in which the way is closed before the scope is drawn back: a tip that slides by a fold or
    round a bend sees the wall at its lens for a moment, and goes on."""
    patience: int = 16
    """Control steps in which the insertion must grow by two full steps, else the scope is drawn back."""
    retreat_steps: int = 6
    """Control steps of a retreat."""
    relax: float = 0.12
    """Share of the bending that each step of a retreat gives up."""
    torque: float = 0.15
    """Turn of the shaft in each step of a retreat, one way and the other in turn [rad]."""
    withdrawal_step: float = 0.0075
    """Withdrawal in a control step [m]."""
    hard_pull: float = 10.0
    """Pull at which the tip counts as hooked [N]; 18 N was the most of 21 colonoscopies (Appleyard et al., 2000,
    doi:10.1067/mge.2000.107218), and until the wheels are free it still rises."""
    ease: float = 0.3
    """Share of the hard pull below which the tip counts as free again."""
    along: float = 0.6
    """Angle to the lumen below which a tip that came free is steered again [rad]."""
    loose_steps: int = 40
    """Control steps after which the wheels are taken up again in any case."""
    loose_speed: float = 0.4
    """Share of the usual speed at which a hooked tip is drawn on, the shaft turning."""
    steady_steps: int = 15
    """Control steps without a sweep after the wheels were taken up again."""
    sweep_angle: float = 0.35
    """Half the opening of the cone that the tip sweeps during the inspection [rad]."""
    sweep_period: float = 16.0
    """Control steps of one turn of the sweep."""


class Steering:
    """Turns predictions into commands; remembers the last insertions, retreats and the phase of the sweep."""

    def __init__(self, options: SteeringOptions | None = None, second_look: SecondLook | None = None) -> None:
        self._options = options or SteeringOptions()
        self._second_look = second_look or SecondLook()
        self._dead_time = DeadTime()
        self.reset()

    def reset(self) -> None:
        """Forget the last episode."""
        self._retreat = 0
        self._step = 0
        self._free = self._options.steady_steps
        self._near = self._loose = 0
        self._second_look.reset()
        self._dead_time.reset()
        self._torque = self._options.torque
        self._insertions: deque[float] = deque(maxlen=self._options.patience)

    def command(self, prediction: Prediction, readings: ScopeReadings, phase: str) -> ScopeCommand:
        """Choose the command for a phase: `insertion`, or else inspection while withdrawing."""
        self._step += 1
        meanwhile = self._dead_time.since(prediction, readings)
        act = self._withdraw if phase == "withdrawal" else self._insert
        return act(prediction, readings, meanwhile)

    def _insert(self, prediction: Prediction, readings: ScopeReadings, meanwhile: Meanwhile) -> ScopeCommand:
        options = self._options
        right, up, angle = _angles(prediction.lumen_direction, meanwhile)
        if self._retreat == 0:
            stay = self._stay(prediction, readings)
            if stay is not None:
                return stay
            self._insertions.append(readings.insertion)
            if self._closed(prediction, readings):
                self._retreat = options.retreat_steps
                self._near = 0
                self._torque = -self._torque
                self._insertions.clear()
        if self._retreat > 0:
            self._retreat -= 1
            return ScopeCommand(
                advance=-0.6 * options.step,
                bend_up=options.gain * up - options.relax * readings.bend_up,
                bend_right=options.gain * right - options.relax * readings.bend_right,
                roll=self._torque,
            )
        fast, slow = options.slow
        speed = float(np.interp(angle, [fast, slow], [1.0, options.crawl]))
        speed = min(speed, options.unseen_way / (options.step * (1 + meanwhile.age / CONTROL_STEP)))
        bend = float(np.hypot(readings.bend_up, readings.bend_right))
        undo = max(0.0, bend - options.most_bend) / max(bend, 1e-9)
        return ScopeCommand(
            advance=options.step * speed,
            bend_up=options.gain * up - undo * readings.bend_up,
            bend_right=options.gain * right - undo * readings.bend_right,
            roll=0.0,
        )

    def _stay(self, prediction: Prediction, readings: ScopeReadings) -> ScopeCommand | None:
        """Return the command of a second look at what may be a polyp; None to go on."""
        bend = self._second_look.bend(prediction, readings.insertion)
        return None if bend is None else ScopeCommand(advance=0.0, bend_up=bend[0], bend_right=bend[1], roll=0.0)

    def _closed(self, prediction: Prediction, readings: ScopeReadings) -> bool:
        """Tell whether to draw back: the hand slips, the wall is at the lens, or the insertion does not grow."""
        idle = (
            len(self._insertions) == self._options.patience
            and self._insertions[-1] - self._insertions[0] < 2 * self._options.step
        )
        self._near = self._near + 1 if _depth_ahead(prediction) < self._options.near else 0
        return idle or readings.blocked or self._near >= self._options.near_steps

    def _withdraw(self, prediction: Prediction, readings: ScopeReadings, meanwhile: Meanwhile) -> ScopeCommand:
        options = self._options
        right, up, angle = _angles(prediction.lumen_direction, meanwhile)
        hooked = readings.push_force < -options.hard_pull
        self._free += 1
        if hooked and self._loose == 0:
            self._loose = options.loose_steps
            self._torque = -self._torque
        if self._loose > 0:
            # A tip that is steered at once where it hooked bends back into the same hook: the wheels stay free until
            # the wall has drawn it straight and it looks along the lumen again.
            eased = readings.push_force > -options.ease * options.hard_pull
            self._loose = 0 if eased and angle < options.along else self._loose - 1
            self._free = 0
            return ScopeCommand(
                advance=-options.withdrawal_step * (1.0 if eased else options.loose_speed),
                roll=0.0 if eased else self._torque,
                free=True,
            )
        stay = self._stay(prediction, readings)
        if stay is not None:
            return stay
        turn = 2 * np.pi * self._step / options.sweep_period
        sweep = options.sweep_angle if self._free >= options.steady_steps else 0.0
        return ScopeCommand(
            advance=-options.withdrawal_step,
            bend_up=options.gain * (up + sweep * float(np.sin(turn))),
            bend_right=options.gain * (right + sweep * float(np.cos(turn))),
            roll=0.0,
        )


def _angles(direction: np.ndarray, meanwhile: Meanwhile) -> tuple[float, float, float]:
    """Split a direction in camera axes into the angles to the right and up, and the whole angle to the axis [rad].

    What the tip has turned since is taken off.
    """
    x, y, z = (float(part) for part in direction)
    across = np.hypot(x, y)
    angle = float(np.arctan2(across, z))
    right, up = (0.0, 0.0) if across < 1e-9 else (angle * x / across, -angle * y / across)
    if meanwhile.age == 0:
        return right, up, angle
    right, up = right - meanwhile.right, up - meanwhile.up
    return right, up, float(np.hypot(right, up))


def _depth_ahead(prediction: Prediction) -> float:
    """Return the median depth of the middle of the picture [m]; infinite if the driver tells no depth."""
    height, width = prediction.depth.shape
    middle = prediction.depth[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
    seen = middle[middle > 0]
    return float(np.median(seen)) if seen.size else float("inf")

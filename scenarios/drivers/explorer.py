"""The explorer: the oracle with planted errors, so that a data set also shows what a scope off its way sees."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assets.transforms import unit
from perception.prediction import Prediction
from scenarios.drivers.oracle import Oracle
from scenarios.interface import Controller, Observation
from scenarios.scope_episode import ScopeReadings
from sim.scope_state import ScopeCommand


@dataclass(frozen=True)
class ExplorerOptions:
    """How far the explorer strays."""

    wander: float = 0.35
    """Standard deviation of the slowly changing error of the direction [rad]."""
    memory: float = 0.9
    """Correlation of that error from one control step to the next."""
    excursion_share: float = 0.03
    """Chance a control step that an excursion begins: a look far off the lumen."""
    excursion_steps: int = 8
    """Length of an excursion [control steps]."""
    excursion_angle: float = 1.0
    """Standard deviation of an excursion's direction [rad]."""


class Explorer:
    """Drives as the oracle does, but strays: slow wandering, and now and then a look at the wall."""

    name = "explorer"
    needs_truth = True

    def __init__(self, options: ExplorerOptions | None = None, controller: Controller | None = None) -> None:
        """Take how far to stray, and a task's controller; None steers a colonoscope."""
        self._options = options or ExplorerOptions()
        self._oracle = Oracle(controller)
        self.reset(np.random.default_rng(0))

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode and draw from `rng` from here on."""
        self._rng = rng
        self._oracle.reset(rng)
        self._error: NDArray[np.float64] = np.zeros(3)
        self._excursion: NDArray[np.float64] = np.zeros(3)
        self._left = 0

    def perceive(self, observation: Observation) -> Prediction:
        """Hand on the ground truth with an error in the direction."""
        options, rng = self._options, self._rng
        truth = self._oracle.perceive(observation)
        keep = options.memory
        self._error = keep * self._error + options.wander * np.sqrt(1 - keep * keep) * rng.standard_normal(3)
        if self._left == 0 and rng.random() < options.excursion_share:
            self._left = options.excursion_steps
            self._excursion = options.excursion_angle * rng.standard_normal(3)
        strayed = truth.lumen_direction + self._error + (self._excursion if self._left else 0.0)
        self._left = max(0, self._left - 1)
        return replace(truth, lumen_direction=unit(strayed))

    def act(self, prediction: Prediction, readings: ScopeReadings, phase: str) -> ScopeCommand:
        """Steer as every driver does."""
        command: ScopeCommand = self._oracle.act(prediction, readings, phase)
        return command

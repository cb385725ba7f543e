"""The explorer of a liver survey: the oracle, straying, so that a data set shows more than the best views."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perception.prediction import Prediction
from scenarios.drivers.oracle import Oracle
from scenarios.drivers.surveying import Surveying
from scenarios.interface import Observation
from scenarios.survey_episode import ScopeMove, SurveyReadings


@dataclass(frozen=True)
class SurveyExplorerOptions:
    """How far the explorer strays."""

    wander: tuple[float, float, float, float] = (0.16, 0.16, 0.012, 0.5)
    """Standard deviation of what is added to where the oracle goes: yaw, pitch, insertion, roll [rad or m]."""
    memory: float = 0.9
    """Correlation of that error from one control step to the next."""
    steady_share: float = 0.3
    """Share of the time in which nothing is added, in stretches,"""
    stretch: int = 15
    """of so many control steps: the views that the oracle takes belong to what is shown too."""


class SurveyExplorer:
    """Goes where the oracle goes, but for a slowly changing error: tip and liver come all over the picture."""

    name = "explorer"
    needs_truth = True

    def __init__(self, options: SurveyExplorerOptions | None = None) -> None:
        self._options = options or SurveyExplorerOptions()
        self._oracle = Oracle(Surveying())
        self.reset(np.random.default_rng(0))

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode and draw from `rng` from here on."""
        self._rng = rng
        self._oracle.reset(rng)
        self._error: NDArray[np.float64] = np.zeros(4)
        self._step, self._steady = 0, False

    def perceive(self, observation: Observation) -> Prediction:
        """Hand on the ground truth."""
        return self._oracle.perceive(observation)

    def act(self, prediction: Prediction, readings: SurveyReadings, phase: str) -> ScopeMove:
        """Go where the oracle goes, and a bit beside it where that is free."""
        options, rng = self._options, self._rng
        move: ScopeMove = self._oracle.act(prediction, readings, phase)
        if self._step % options.stretch == 0:
            self._steady = bool(rng.random() < options.steady_share)
        self._step += 1
        keep = options.memory
        noise = np.array(options.wander) * rng.standard_normal(4)
        self._error = keep * self._error + np.sqrt(1 - keep * keep) * noise
        if self._steady:
            return move
        arm = readings.plan.reach.device.arm
        strayed = np.clip(move.joints + self._error, arm.lower[:4], arm.upper[:4])
        between = readings.joints + np.linspace(0.0, 1.0, 5)[:, None] * (strayed - readings.joints)
        return ScopeMove(strayed) if readings.plan.reach.free(between).all() else move

"""The blind driver: pushes straight ahead whatever there is to see."""

import numpy as np

from perception.prediction import Prediction
from scenarios.drivers.steering import Steering
from scenarios.interface import Observation, Readings
from scenarios.truth import nothing_seen
from sim.scope_state import ScopeCommand

_AHEAD = np.array([0.0, 0.0, 1.0])


class Blind:
    """What the body of the scope and the colon do by themselves: no driver should be worse."""

    name = "blind"
    needs_truth = False

    def __init__(self) -> None:
        self._steering = Steering()

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode."""
        self._steering.reset()

    def perceive(self, observation: Observation) -> Prediction:
        """See nothing: no class, no depth, the lumen straight ahead."""
        return nothing_seen(observation.rgb.shape[:2], _AHEAD)

    def act(self, prediction: Prediction, readings: Readings, phase: str) -> ScopeCommand:
        """Steer as every driver does, towards straight ahead."""
        return self._steering.command(prediction, readings, phase)

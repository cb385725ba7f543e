"""The oracle: perfect perception, the ground truth."""

import numpy as np

from perception.prediction import Prediction
from scenarios.drivers.steering import Steering
from scenarios.interface import Observation, Readings
from scenarios.truth import truth_as_prediction
from sim.scope_state import ScopeCommand


class Oracle:
    """Steers by the ground truth; what every other driver is measured against."""

    name = "oracle"
    needs_truth = True

    def __init__(self) -> None:
        self._steering = Steering()

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode."""
        self._steering.reset()

    def perceive(self, observation: Observation) -> Prediction:
        """Hand on the ground truth as if it were a prediction.

        Raises:
            ValueError: The loop handed over no ground truth.
        """
        truth = observation.truth
        if truth is None:
            raise ValueError("expected an observation with ground truth, found none")
        return truth_as_prediction(truth.frame, truth.lumen_direction, lumen_visible=truth.lumen_visible)

    def act(self, prediction: Prediction, readings: Readings, phase: str) -> ScopeCommand:
        """Steer as every driver does."""
        return self._steering.command(prediction, readings, phase)

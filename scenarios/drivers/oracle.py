"""The oracle: perfect perception, the ground truth."""

import numpy as np

from perception.prediction import Prediction
from scenarios.drivers.steering import Steering
from scenarios.interface import Command, Controller, Observation, Readings
from scenarios.truth import truth_as_prediction


class Oracle:
    """Steers by the ground truth; what every other driver is measured against."""

    name = "oracle"
    needs_truth = True

    def __init__(self, controller: Controller | None = None) -> None:
        """Take a task's controller; None steers a colonoscope."""
        self._controller: Controller = controller or Steering()

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode."""
        self._controller.reset()

    def perceive(self, observation: Observation) -> Prediction:
        """Hand on the ground truth as if it were a prediction.

        Raises:
            ValueError: The loop handed over no ground truth.
        """
        if observation.truth is None:
            raise ValueError("expected an observation with ground truth, found none")
        return truth_as_prediction(observation.truth)

    def act(self, prediction: Prediction, readings: Readings, phase: str) -> Command:
        """Steer as every driver does."""
        return self._controller.command(prediction, readings, phase)

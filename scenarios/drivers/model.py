"""The model in control: a network's predictions from the picture and the device's readings, nothing else."""

from collections.abc import Callable

import numpy as np

from assets.errors import InputError
from perception.prediction import CLASSES, Prediction
from scenarios.drivers.steering import Steering
from scenarios.interface import Command, Controller, Observation, Readings

Predict = Callable[..., Prediction]


class Model:
    """Steers by what a network says."""

    name = "model"
    needs_truth = False

    def __init__(self, predict: Predict, controller: Controller | None = None, class_count: int = len(CLASSES)) -> None:
        """Take a network, and a task's controller and number of classes; None steers a colonoscope."""
        self._predict, self._class_count = predict, class_count
        self._controller: Controller = controller or Steering()

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode."""
        self._controller.reset()

    def perceive(self, observation: Observation) -> Prediction:
        """Ask the network; its inputs are the picture and the exposure.

        Raises:
            InputError: It tells another number of classes than the task has.
        """
        prediction = self._predict(observation.rgb, observation.readings.exposure)
        if len(prediction.probabilities) != self._class_count:
            raise InputError(
                f"model: expected the probabilities of the task's {self._class_count} classes, "
                f"found {len(prediction.probabilities)}"
            )
        return prediction

    def act(self, prediction: Prediction, readings: Readings, phase: str) -> Command:
        """Steer as every driver does."""
        return self._controller.command(prediction, readings, phase)

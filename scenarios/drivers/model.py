"""The model in control: a network's predictions from the picture and the device's readings, nothing else."""

from collections.abc import Callable

import numpy as np

from perception.prediction import Prediction
from scenarios.drivers.steering import Steering
from scenarios.interface import Command, Controller, Observation, Readings

Predict = Callable[..., Prediction]


class Model:
    """Steers by what a network says."""

    name = "model"
    needs_truth = False

    def __init__(self, predict: Predict, controller: Controller | None = None) -> None:
        """Take a network and a task's controller; None steers a colonoscope."""
        self._predict = predict
        self._controller: Controller = controller or Steering()

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode."""
        self._controller.reset()

    def perceive(self, observation: Observation) -> Prediction:
        """Ask the network; its inputs are the picture and the exposure."""
        return self._predict(observation.rgb, observation.readings.exposure)

    def act(self, prediction: Prediction, readings: Readings, phase: str) -> Command:
        """Steer as every driver does."""
        return self._controller.command(prediction, readings, phase)

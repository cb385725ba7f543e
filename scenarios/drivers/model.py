"""The model in control: a network's predictions from the picture and the device's readings, nothing else."""

from collections.abc import Callable

import numpy as np

from perception.prediction import Prediction
from scenarios.drivers.steering import Steering
from scenarios.interface import Observation, Readings
from sim.scope_state import ScopeCommand

Predict = Callable[..., Prediction]


class Model:
    """Steers by what a network says."""

    name = "model"
    needs_truth = False

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self._steering = Steering()

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode."""
        self._steering.reset()

    def perceive(self, observation: Observation) -> Prediction:
        """Ask the network; its inputs are the picture and the exposure."""
        return self._predict(observation.rgb, observation.readings.exposure)

    def act(self, prediction: Prediction, readings: Readings, phase: str) -> ScopeCommand:
        """Steer as every driver does."""
        return self._steering.command(prediction, readings, phase)

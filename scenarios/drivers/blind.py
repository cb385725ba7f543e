"""The blind driver: pushes straight ahead whatever there is to see."""

import numpy as np

from perception.prediction import CLASSES, Prediction
from scenarios.drivers.steering import Steering
from scenarios.interface import Command, Controller, Observation, Readings
from scenarios.truth import nothing_seen

_AHEAD = np.array([0.0, 0.0, 1.0])


class Blind:
    """What the body of an instrument and the anatomy do by themselves: no driver should be worse."""

    name = "blind"
    needs_truth = False

    def __init__(self, controller: Controller | None = None, class_count: int = len(CLASSES)) -> None:
        """Take a task's controller and its number of classes; None steers a colonoscope."""
        self._controller: Controller = controller or Steering()
        self._class_count = class_count

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode."""
        self._controller.reset()

    def perceive(self, observation: Observation) -> Prediction:
        """See nothing: no class, no depth, the target straight ahead."""
        return nothing_seen(observation.rgb.shape[:2], _AHEAD, class_count=self._class_count)

    def act(self, prediction: Prediction, readings: Readings, phase: str) -> Command:
        """Steer as every driver does, towards straight ahead."""
        return self._controller.command(prediction, readings, phase)

"""A driver whose perception is spoiled by one named error: how good is good enough?"""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from assets.transforms import unit
from perception.prediction import LUMEN, POLYP, WALL, Prediction
from scenarios.clock import PerceptionClock
from scenarios.interface import Command, Driver, Observation, Readings
from scenarios.truth import nothing_seen

_EROSION = 0.05  # of the picture's width: what severity 1 takes from the edge of a mask
_DIRECTION = np.radians(60)  # standard deviation of the direction's error at severity 1 [rad]
_MEMORY = 0.9  # correlation of slowly changing errors from one control step to the next
_DEPTH_NOISE = 0.5  # standard deviation of the log of the depth's error at severity 1
_FREEZES = 0.03  # chance a control step that the picture freezes,
_AHEAD = np.array([0.0, 0.0, 1.0])
_FROZEN_STEPS = 30  # for so many control steps at severity 1


class Flawed:
    """Another driver's perception, spoiled, and its action upon that.

    Named errors, with a severity within 0 and 1:

    - `dropped_class`: in this share of the frames polyps are taken for wall, or what a task has in their place;
    - `mask_erosion`: polyps and lumen lose up to 5 % of the picture's width along their edges;
    - `depth_bias`: depth is 1 + severity times too large;
    - `depth_noise`: the log of the depth has a smooth error of standard deviation severity / 2;
    - `direction_error`: the target's direction strays slowly, with a standard deviation of severity x 60 degrees;
    - `dropped_frames`: this share of the frames brings nothing new: the last prediction stands;
    - `stale_frames`: now and then the picture freezes, for up to severity x 3 s;
    - `latency_ms`: what is perceived arrives so many milliseconds later, and is used from the first control step on
      that is not earlier (`scenarios.clock`).
    """

    def __init__(
        self,
        driver: Driver,
        error: str,
        severity: float,
        *,
        sought: int = POLYP,
        eroded: tuple[int, ...] = (POLYP, LUMEN),
        filler: int = WALL,
    ) -> None:
        """Spoil a driver.

        Args:
            driver: Whose perception it is.
            error: One of ERRORS.
            severity: Of it.
            sought: The class that `dropped_class` drops.
            eroded: Those that `mask_erosion` erodes.
            filler: What they are taken for instead.
        """
        self._sought, self._eroded, self._filler = sought, eroded, filler
        self._driver = driver
        self._error = error
        self._severity = severity
        self.name = driver.name
        self.needs_truth = driver.needs_truth
        self.reset(np.random.default_rng(0))

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode; the driver and its errors draw from generators of their own."""
        own, theirs = rng.spawn(2)
        self._rng = own
        self._driver.reset(theirs)
        self._stray = np.zeros(3)
        self._last: Prediction | None = None
        self._frozen = 0
        self._clock: PerceptionClock[Prediction] = PerceptionClock()

    def perceive(self, observation: Observation) -> Prediction:
        """Perceive as the driver does, then spoil it."""
        return _SPOIL[self._error](self, self._driver.perceive(observation), observation)

    def act(self, prediction: Prediction, readings: Readings, phase: str) -> Command:
        """Act as the driver does."""
        return self._driver.act(prediction, readings, phase)

    def _dropped_class(self, said: Prediction, observation: Observation) -> Prediction:
        if self._rng.random() >= self._severity:
            return said
        probabilities = said.probabilities.copy()
        probabilities[self._filler] += probabilities[self._sought]
        probabilities[self._sought] = 0.0
        return replace(said, probabilities=probabilities)

    def _mask_erosion(self, said: Prediction, observation: Observation) -> Prediction:
        width = said.depth.shape[1]
        radius = round(self._severity * _EROSION * width)
        if radius == 0:
            return said
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        classes = said.classes
        for index in self._eroded:
            mask = (classes == index).astype(np.uint8)
            classes = np.where((mask > 0) & (cv2.erode(mask, kernel) == 0), self._filler, classes)
        one_hot = np.arange(len(said.probabilities))[:, None, None] == classes
        return replace(said, probabilities=one_hot.astype(np.float32))

    def _depth_bias(self, said: Prediction, observation: Observation) -> Prediction:
        return replace(said, depth=said.depth * np.float32(1 + self._severity))

    def _depth_noise(self, said: Prediction, observation: Observation) -> Prediction:
        height, width = said.depth.shape
        coarse = self._rng.standard_normal((5, 5)).astype(np.float32)
        smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        return replace(said, depth=said.depth * np.exp(_DEPTH_NOISE * self._severity * smooth))

    def _direction_error(self, said: Prediction, observation: Observation) -> Prediction:
        step = self._rng.standard_normal(3)
        self._stray = _MEMORY * self._stray + np.sqrt(1 - _MEMORY**2) * step
        turned = _rotate(said.lumen_direction, self._severity * _DIRECTION * self._stray)
        return replace(said, lumen_direction=turned)

    def _dropped_frames(self, said: Prediction, observation: Observation) -> Prediction:
        if self._last is None or self._rng.random() >= self._severity:
            self._last = said
        return self._last

    def _stale_frames(self, said: Prediction, observation: Observation) -> Prediction:
        if self._frozen == 0 and self._rng.random() < _FREEZES:
            self._frozen = round(self._severity * _FROZEN_STEPS)
        if self._frozen and self._last is not None:
            self._frozen -= 1
            return self._last
        self._last = said
        return said

    def _latency(self, said: Prediction, observation: Observation) -> Prediction:
        now = observation.readings.time
        self._clock.put(now, self._severity / 1000, replace(said, time=now))
        known = self._clock.take(now)
        return nothing_seen(said.depth.shape, _AHEAD, class_count=len(said.probabilities)) if known is None else known


def _rotate(direction: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotate by a rotation vector [rad] (Rodrigues)."""
    angle = float(np.linalg.norm(turn))
    if angle < 1e-12:
        return direction
    axis = turn / angle
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = direction * cosine + np.cross(axis, direction) * sine + axis * (axis @ direction) * (1 - cosine)
    return unit(turned)


_SPOIL: dict[str, Callable[[Flawed, Prediction, Observation], Prediction]] = {
    "dropped_class": Flawed._dropped_class,
    "mask_erosion": Flawed._mask_erosion,
    "depth_bias": Flawed._depth_bias,
    "depth_noise": Flawed._depth_noise,
    "direction_error": Flawed._direction_error,
    "dropped_frames": Flawed._dropped_frames,
    "stale_frames": Flawed._stale_frames,
    "latency_ms": Flawed._latency,
}
ERRORS: tuple[str, ...] = tuple(_SPOIL)
"""Names of the errors; each has a severity within 0 and 1 but `latency_ms`, whose severity is in milliseconds."""

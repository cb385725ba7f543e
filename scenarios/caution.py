"""Safety: slow down and stop where the picture is dead or the network does not know what it sees.

Each control step the watch looks at the picture and at what was made of it:

- a **black** picture: the mean of what the lens shows is nearly 0;
- a **frozen** one: the same bytes as the last, which sensor noise keeps any live picture from;
- **uncertain** perception: `Prediction.frame_uncertainty` over the last few frames.

A dead picture stops the instrument from the second frame on (one frame lost between camera and processor is no reason)
until it is back. Uncertainty slows it in proportion, and stops it where it is high; but a scope that stands still sees
the same for ever, so that after LONGEST_STOP it goes on at a crawl. The watch sees each picture when the perception
gets it, not when that is through: it costs microseconds.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from perception.prediction import Prediction
from scenarios.interface import CONTROL_STEP, Command, Driver, Observation, Task

LONGEST_STOP = 3.0
"""[s] of standing still for uncertainty alone."""


@dataclass(frozen=True)
class CautionOptions:
    """When to slow down and to stop."""

    slow_at: float = 0.45
    """Uncertainty of the frame above which the instrument slows; chosen above what clean frames of an unseen colon gave
    a network trained for 16 minutes, 0.27 to 0.41,"""
    stop_at: float = 0.60
    """and from which on it stops; a black picture gave it 0.78. A fogged lens gave it no more than clean frames."""
    frames: int = 3
    """The median over so many frames counts."""
    dead_frames: int = 2
    """So many dead pictures in a row stop it."""
    black: float = 4.0
    """A picture whose mean is at most this, of 255, is black; the exposure holds live ones near 100."""
    crawl: float = 0.2
    """Share of the speed after LONGEST_STOP."""


class Watch:
    """Looks at one frame after another, and says how fast one may go."""

    def __init__(self, options: CautionOptions | None = None) -> None:
        self._options = options or CautionOptions()
        self.reset()

    def reset(self) -> None:
        """Forget the last episode."""
        self._picture: UInt8[np.ndarray, "h w 3"] | None = None
        self._dead = 0
        self._doubts: deque[float] = deque(maxlen=self._options.frames)
        self._stopped = 0

    def look(self, observation: Observation) -> None:
        """Look at the picture of this control step."""
        rgb = observation.rgb
        _, shown = observation.camera.rays()
        frozen = self._picture is not None and np.array_equal(self._picture, rgb)
        black = float(rgb[shown].mean()) <= self._options.black
        self._dead = self._dead + 1 if frozen or black else 0
        self._picture = rgb

    def share(self, doubt: float) -> float:
        """Return the share of the full speed that is allowed in this control step: 1 all, 0 none.

        Args:
            doubt: `Prediction.frame_uncertainty` of what the controller acts on, 0 where the driver tells none.
        """
        options = self._options
        if self._dead >= options.dead_frames:
            return 0.0
        self._doubts.append(doubt)
        level = float(np.median(self._doubts))
        allowed = float(np.interp(level, [options.slow_at, options.stop_at], [1.0, 0.0]))
        if allowed > 0:
            self._stopped = 0
            return allowed
        self._stopped += 1
        return 0.0 if self._stopped * CONTROL_STEP <= LONGEST_STOP + 1e-9 else options.crawl


class Cautious:
    """Another driver, watched: its commands are slowed as the watch says."""

    def __init__(self, driver: Driver, task: Task, options: CautionOptions | None = None) -> None:
        self._driver = driver
        self._slowed = task.slowed
        self._watch = Watch(options)
        self.name = driver.name
        self.needs_truth = driver.needs_truth
        self.shares: list[float] = []
        """Share of the full speed that was allowed, a control step each."""

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode."""
        self._driver.reset(rng)
        self._watch.reset()
        self.shares = []

    def perceive(self, observation: Observation) -> Prediction:
        """Perceive as the driver does, and look at the picture."""
        self._watch.look(observation)
        return self._driver.perceive(observation)

    def act(self, prediction: Prediction, readings: Any, phase: str) -> Command:
        """Act as the driver does, as fast as the watch allows."""
        command = self._driver.act(prediction, readings, phase)
        share = self._watch.share(prediction.frame_uncertainty)
        self.shares.append(share)
        return command if share == 1.0 else self._slowed(command, share)

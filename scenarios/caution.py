"""Safety: slow down and stop where the picture is dead or the network does not know what it sees.

Each control step the watch looks at the picture and at what was made of it:

- a **dead** picture, black or frozen (`scenarios.picture_monitor`);
- a **dull** one, blurred, veiled or wrongly exposed, as by fog on the lens (the same);
- **uncertain** perception: `Prediction.frame_uncertainty` over the last few frames.

A dead picture stops the instrument from the second frame on (one frame lost between camera and processor is no reason)
until it is back, and so does a dull one. Uncertainty slows it in proportion, and stops it where it is high. But a scope
that stands still sees the same for ever, so that after LONGEST_STOP with a live picture it goes on at a crawl. The
watch sees each picture when the perception gets it, not when that is through: it costs a fraction of a millisecond.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from perception.prediction import Prediction
from scenarios.interface import Command, Driver, Observation, Task
from scenarios.picture_monitor import DEAD, PictureMonitor, PictureOptions
from sim.control_step import CONTROL_STEP

LONGEST_STOP = 3.0
"""[s] of standing still for a dull picture or uncertainty."""


@dataclass(frozen=True)
class CautionOptions:
    """When to slow down and to stop."""

    slow_at: float = 0.45
    """Uncertainty of the frame above which the instrument slows; chosen above what clean frames of an unseen colon gave
    a network trained for 16 minutes, 0.27 to 0.41,"""
    stop_at: float = 0.60
    """and from which on it stops; a black picture gave it 0.78. A fogged lens gave it no more than clean frames,
    which is why the picture is looked at too."""
    frames: int = 3
    """The median over so many frames counts."""
    bad_frames: int = 2
    """So many dead or dull pictures in a row stop it."""
    picture: PictureOptions = field(default_factory=PictureOptions)
    """Which these are."""
    crawl: float = 0.2
    """Share of the speed after LONGEST_STOP."""


class Watch:
    """Looks at one frame after another, and says how fast one may go."""

    def __init__(self, options: CautionOptions | None = None) -> None:
        self._options = options or CautionOptions()
        self.reset()

    def reset(self) -> None:
        """Forget the last episode."""
        self._monitor = PictureMonitor(self._options.picture)
        self._causes: deque[str] = deque(maxlen=self._options.bad_frames)
        self._doubts: deque[float] = deque(maxlen=self._options.frames)
        self._stopped = 0
        self.cause = ""
        """Why it may not go at full speed: a cause of the monitor, or uncertain; empty where it may."""

    def look(self, observation: Observation) -> None:
        """Look at the picture of this control step."""
        self._causes.append(self._monitor.look(observation.rgb, observation.camera))

    def share(self, doubt: float) -> float:
        """Return the share of the full speed that is allowed in this control step, 1 all, 0 none; `cause` says why.

        Args:
            doubt: `Prediction.frame_uncertainty` of what the controller acts on, 0 where the driver tells none.
        """
        options = self._options
        bad = len(self._causes) == options.bad_frames and all(self._causes)
        self.cause = self._causes[-1] if bad else ""
        if self.cause in DEAD:
            return 0.0
        self._doubts.append(doubt)
        level = float(np.median(self._doubts))
        allowed = float(np.interp(level, [options.slow_at, options.stop_at], [1.0, 0.0]))
        if allowed > 0 and not bad:
            self._stopped = 0
            self.cause = "" if allowed == 1 else "uncertain"
            return allowed
        self.cause = self.cause or "uncertain"
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
        """Share of the full speed that was allowed, a control step each,"""
        self.causes: list[str] = []
        """and why no more was: black, frozen, blurred, veiled, exposed or uncertain; empty where all was."""

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode."""
        self._driver.reset(rng)
        self._watch.reset()
        self.shares, self.causes = [], []

    def perceive(self, observation: Observation) -> Prediction:
        """Perceive as the driver does, and look at the picture."""
        self._watch.look(observation)
        return self._driver.perceive(observation)

    def act(self, prediction: Prediction, readings: Any, phase: str) -> Command:
        """Act as the driver does, as fast as the watch allows."""
        command = self._driver.act(prediction, readings, phase)
        share = self._watch.share(prediction.frame_uncertainty)
        self.shares.append(share)
        self.causes.append(self._watch.cause)
        return command if share == 1.0 else self._slowed(command, share)

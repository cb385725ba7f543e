"""A limit of time for each look at a frame, and how often it was exceeded."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from assets.errors import InputError
from perception.prediction import Prediction

FRAME_MS = 1000 / 30
"""Budget of a video frame at 30 frames a second [ms]: who takes longer falls behind the picture."""


class Budgeted:
    """A predictor that is timed; it still answers when it is late, but that is counted."""

    def __init__(
        self,
        predict: Callable[..., Prediction],
        budget_ms: float = FRAME_MS,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Time a predictor.

        Args:
            predict: Such as `perception.predictor.Predictor`.
            budget_ms: The limit [ms].
            clock: Tells the time [s].

        Raises:
            InputError: The limit is not positive.
        """
        if not 0 < budget_ms < float("inf"):
            raise InputError(f"budget: expected a positive number of milliseconds, found {budget_ms}")
        self._predict, self._clock = predict, clock
        self.budget_ms = budget_ms
        self._times: list[float] = []

    def __call__(self, *arguments: Any) -> Prediction:
        """Predict, and note how long it took."""
        start = self._clock()
        prediction = self._predict(*arguments)
        self._times.append(1000 * (self._clock() - start))
        return prediction

    @property
    def calls(self) -> int:
        """Looks so far."""
        return len(self._times)

    @property
    def over(self) -> int:
        """Looks that took longer than the budget."""
        return sum(one > self.budget_ms for one in self._times)

    def quantile_ms(self, share: float) -> float:
        """Return the time within which a share of the looks were done [ms]; NaN before the first."""
        return float(np.quantile(self._times, share)) if self._times else float("nan")

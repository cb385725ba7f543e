"""Where a polyp may be, the scope stays for a moment and turns to it: one glimpse in passing tells too little."""

from dataclasses import dataclass

import numpy as np

from assets.instruments.flexible import COLONOSCOPE_FIELD
from perception.detector import DetectorOptions, polyp_regions
from perception.prediction import Prediction


@dataclass(frozen=True)
class SecondLookOptions:
    """When to stay, and for how long. Chosen with the model on synthetic colons 100 to 119."""

    least_score: float = 0.2
    """Score of a region (`perception.detector.Region`) from which on it is worth another look."""
    steps: int = 4
    """Control steps of a look."""
    spacing: float = 0.015
    """Way from where one look began to the next [m]: what is not told by then is passed."""
    turn: float = 0.35
    """Share of the angle to the region's middle that the tip bends in a control step."""


class SecondLook:
    """Says when to stay and where to turn; remembers the look that is under way and where the last one began."""

    def __init__(self, options: SecondLookOptions | None = None) -> None:
        self._options = options or SecondLookOptions()
        self.reset()

    def reset(self) -> None:
        """Forget the last episode."""
        self._left = 0
        self._began = np.inf

    def bend(self, prediction: Prediction, insertion: float) -> tuple[float, float] | None:
        """Return how to bend up and to the right [rad] while the scope stays; None to go on.

        Args:
            prediction: What is seen.
            insertion: Of the shaft [m].
        """
        options = self._options
        regions = polyp_regions(prediction.probabilities, prediction.polyp_centres, DetectorOptions())
        region = max(regions, key=lambda one: one.score, default=None)
        if region is None or region.score < options.least_score:
            self._left = 0
            return None
        if self._left == 0:
            if abs(insertion - self._began) < options.spacing:
                return None
            self._left, self._began = options.steps, insertion
        self._left -= 1
        height, width = region.mask.shape
        row, column = (float(places.mean()) for places in np.nonzero(region.mask))
        share = options.turn * COLONOSCOPE_FIELD / width  # a fisheye's pixels are equal angles apart
        return -share * (row - (height - 1) / 2), share * (column - (width - 1) / 2)

"""What was derived from a CT without labels: a mask, how it was found, and how far to trust it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True)
class Found:
    """One structure."""

    name: str
    """A name of `assets/labels.csv`."""
    mask: Bool[np.ndarray, "i j k"]
    confidence: Confidence
    """high: the rule leaves no doubt; medium: usual anatomy and no contrast agent are taken for granted; low: parts of
    it may be something else, or are missing."""
    reason: str
    """For the confidence."""
    method: str
    """With its source."""

"""What is reported of one run of a task: plain numbers, kept as JSON."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from assets.errors import InputError


@dataclass(frozen=True)
class EpisodeSummary:
    """The outcome of one episode, and what it took."""

    scenario: str
    driver: str
    patient: str
    seed: int
    success: bool
    reason: str
    """Why it ended: `done`, or what stopped it and where."""
    steps: int
    """Control steps of 0.1 s."""
    insertion_steps: int
    """Control steps until the caecum was reached; all of them if it was not."""
    simulated_time: float
    """[s]"""
    wall_time: float
    """What it took to compute [s]."""
    path_length: float
    """Way of the tip [m]."""
    centreline_length: float
    """[m]"""
    reached_arc: float
    """The farthest place along the centreline that the tip reached, from the entrance [m]."""
    contact_time: float
    """Simulated time in which the tip touched the wall [s]."""
    contact_depth_max: float
    """Greatest overlap of the tip with the wall [m]."""
    mucosa_seen: float
    """Seen area over whole area."""
    polyps_present: int
    polyps_found: int
    false_alarms: int
    latency_p50_ms: float
    """Median time from a picture to what is perceived in it."""
    latency_p99_ms: float
    minimum_distance_to_caecum: float
    """[m]"""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values by field; a number that is not finite becomes null."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], where: str = "episode") -> "EpisodeSummary":
        """Undo `to_json`; null becomes NaN.

        Raises:
            InputError: A field is missing, unknown, or of another type; the line starts with `where`.
        """
        types: dict[str, Any] = {field.name: field.type for field in fields(cls)}
        if set(stored) != set(types):
            found = ", ".join(sorted(set(stored) ^ set(types)))
            raise InputError(f"{where}: expected the fields of an episode, found missing or unknown: {found}")
        values: dict[str, Any] = {}
        for name, kind in types.items():
            value = stored[name]
            if kind is float and value is None:
                value = math.nan
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if type(value) is not kind:
                raise InputError(f"{where}: {name}: expected {kind.__name__}, found {value!r}")
            values[name] = value
        return cls(**values)

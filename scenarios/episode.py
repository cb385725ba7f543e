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
    success_steps: int
    """Control steps until the success; all of them if it never came."""
    simulated_time: float
    """[s]"""
    wall_time: float
    """What it took to compute [s]."""
    latency_p50_ms: float
    """Median time from a picture to what is perceived in it."""
    latency_p99_ms: float
    measures: dict[str, float]
    """What the task counts, such as the share of mucosa seen; each task says what it means by it."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values by field; a number that is not finite becomes null."""
        stored = {name: _plain(value) for name, value in asdict(self).items()}
        return {**stored, "measures": {name: _plain(value) for name, value in self.measures.items()}}

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
            if name == "measures":
                continue
            values[name] = _typed(stored[name], kind, f"{where}: {name}")
        measures = stored["measures"]
        if not isinstance(measures, dict):
            raise InputError(f"{where}: measures: expected numbers by name, found {measures!r:.100}")
        return cls(
            **values, measures={name: _typed(value, float, f"{where}: {name}") for name, value in measures.items()}
        )


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _typed(value: Any, kind: type, where: str) -> Any:
    if kind is float and value is None:
        value = math.nan
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise InputError(f"{where}: expected {kind.__name__}, found {value!r}")
    return value

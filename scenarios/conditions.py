"""What is wrong in an episode: nothing, one error of the oracle's perception, or something about the picture.

The picture is degraded from the start, or it fails in the middle; then the driver is watched (`scenarios.caution`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from assets.errors import InputError
from scenarios.caution import Cautious
from scenarios.clock import MOST_LATENCY_MS
from scenarios.drivers.flawed import ERRORS, Flawed
from scenarios.interface import Driver, Task
from scenarios.planted import FAILURES, Failure, Planted
from sim.degradations.settings import AXES, Degradations, single

Kind = Literal["nominal", "error", "degradation", "caution", "planted"]

SEVERITIES = (0.25, 0.5, 0.75, 1.0)
"""Taken where a name comes without a severity."""
LATENCIES_MS = (100.0, 200.0, 400.0, 800.0)
"""The same for `latency_ms`."""


@dataclass(frozen=True)
class Condition:
    """One thing that is wrong, at one severity; the default is that nothing is."""

    kind: Kind = "nominal"
    name: str = ""
    """An error's, an axis' or a failure's name."""
    severity: float = 0.0
    """Within 0 and 1; of `latency_ms` in milliseconds."""

    @property
    def label(self) -> str:
        """What stands behind the subset's name and in file names; empty where nothing is wrong."""
        if self.kind == "nominal":
            return ""
        if self.kind == "caution":
            return "caution=on"
        return f"planted={self.name}" if self.kind == "planted" else f"{self.name}={self.severity:g}"

    def spoil(self, driver: Driver, task: Task) -> Driver:
        """Return the driver, with the error if it is one, and watched where that is asked for."""
        if self.kind == "error":
            return Flawed(driver, self.name, self.severity, sought=task.sought, eroded=task.eroded, filler=task.filler)
        return Cautious(driver, task) if self.kind in ("caution", "planted") else driver

    def planted(self, seed: int) -> Planted | None:
        """Return the failure in the middle of the episode, if that is it."""
        failure: Failure | None = next((one for one in FAILURES if one == self.name), None)
        return Planted(failure, seed) if self.kind == "planted" and failure is not None else None

    def degradations(self, seed: int) -> Degradations | None:
        """Return what goes wrong with the picture, if that is it."""
        return single(self.name, self.severity, seed=seed) if self.kind == "degradation" else None


NOMINAL = Condition()
CAUTION = Condition("caution", "caution")


def conditions_of(texts: Sequence[str], kind: Kind) -> list[Condition]:
    """Read `NAME=SEVERITY`, or `NAME` for a range of severities.

    Raises:
        InputError: There is no such name, or the severity is out of range.
    """
    known = ERRORS if kind == "error" else AXES
    found: list[Condition] = []
    for text in texts:
        name, given, number = text.partition("=")
        if name not in known:
            raise InputError(f"expected an {kind} of {', '.join(known)}, found {name!r} in {text!r}")
        milliseconds = name == "latency_ms"
        if not given:
            found += [Condition(kind, name, one) for one in (LATENCIES_MS if milliseconds else SEVERITIES)]
            continue
        most = MOST_LATENCY_MS if milliseconds else 1.0
        try:
            severity = float(number)
        except ValueError:
            severity = -1.0
        if not 0 <= severity <= most:
            raise InputError(f"expected {name}=X with X within 0 and {most:g}, found {text!r}")
        found.append(Condition(kind, name, severity))
    return list(dict.fromkeys(found))

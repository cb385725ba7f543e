"""Perception has a clock: what a frame shows is known only some time after the frame was taken."""

from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from assets.errors import InputError

Said = TypeVar("Said")

Latency = float | Literal["measured"]
"""Milliseconds, or the time that each perception took on this machine."""

MOST_LATENCY_MS = 10_000.0
_SAME_TIME = 1e-9  # s: control steps are sums of 0.1 s, which are not exact


def check_latency(latency: Latency, where: str) -> None:
    """Refuse a latency that is none.

    Raises:
        InputError: It is neither "measured" nor within 0 and MOST_LATENCY_MS.
    """
    if latency != "measured" and not 0 <= float(latency) <= MOST_LATENCY_MS:
        raise InputError(
            f"{where}: expected a latency within 0 and {MOST_LATENCY_MS:g} ms or measured, found {latency}"
        )


@dataclass
class PerceptionClock(Generic[Said]):
    """Holds back what was perceived until its time has come.

    What was seen at t with a latency of L is known from t + L on: a controller that acts at control steps uses it in
    the first one that is not earlier, and until then what it knew before. A latency of 0 is in time for its own step,
    any other at best for the next. Where the newer overtakes the older, the older is dropped.
    """

    _coming: list[tuple[float, float, Said]] = field(default_factory=list)
    _known: tuple[float, Said] | None = None
    _free_at: float = float("-inf")

    def reset(self) -> None:
        """Forget all, for a new episode."""
        self._coming.clear()
        self._known, self._free_at = None, float("-inf")

    def busy(self, now: float) -> bool:
        """Tell whether the last perception is still under way; one processor looks at one frame at a time."""
        return now < self._free_at - _SAME_TIME

    def put(self, seen_at: float, latency: float, said: Said) -> None:
        """Hand in what was perceived in the frame of a time [s]; it is known `latency` seconds later."""
        self._free_at = seen_at + latency
        self._coming.append((seen_at, seen_at + latency, said))

    def take(self, now: float) -> Said | None:
        """Return what is known at a time [s], of the newest frame that is through; None before the first is."""
        due = [one for one in self._coming if one[1] <= now + _SAME_TIME]
        self._coming = [one for one in self._coming if one[1] > now + _SAME_TIME]
        for seen_at, _, said in due:
            if self._known is None or seen_at >= self._known[0]:
                self._known = seen_at, said
        return None if self._known is None else self._known[1]

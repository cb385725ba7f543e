"""Frames of different splits that show the same: pictures of the same gradients before the same shape."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float32, UInt64
from numpy.typing import NDArray

from sim.frame import Frame

BITS = 2
"""So many of the 64 bits may differ."""
DEPTH = 0.02
"""The middle of the relative differences of depth may be so large."""
_CELLS = 8  # a side, of the thumbnails
_LEAST_CONTRAST = 8.0  # grey levels between the 5th and 95th per cent of cells: less, and the bits are noise
_CHUNKS = (22, 21, 21)  # two bits that differ leave one of three chunks alike
_BLOCK = 1 << 20  # pairs compared at once


@dataclass
class Prints:
    """What is kept of each frame: 8 bytes of its picture and 256 of its depth."""

    splits: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    depths: list[Float32[np.ndarray, "64"]] = field(default_factory=list)

    def add(self, split: str, place: str, frame: Frame) -> None:
        """Take the prints of a frame; one without contrast (black, all fog) is like nothing and is passed over."""
        grey = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)
        cells = cv2.resize(grey, (_CELLS + 1, _CELLS), interpolation=cv2.INTER_AREA).astype(np.float32)
        low, high = np.percentile(cells, (5, 95))
        if high - low < _LEAST_CONTRAST:
            return
        bits = (cells[:, 1:] > cells[:, :-1]).reshape(-1)
        self.splits.append(split)
        self.places.append(place)
        self.hashes.append(int.from_bytes(np.packbits(bits).tobytes(), "big"))
        self.depths.append(cv2.resize(frame.depth, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA).reshape(-1))

    def extend(self, others: "Prints") -> None:
        """Add the prints of frames that come later."""
        self.splits += others.splits
        self.places += others.places
        self.hashes += others.hashes
        self.depths += others.depths

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Name the first near-duplicate in another split of each frame that has one, the one that came later first."""
        if not self.hashes:
            return
        hashes = np.array(self.hashes, np.uint64)
        depths = np.stack(self.depths)
        _, split = np.unique(self.splits, return_inverse=True)
        nearest: dict[int, int] = {}
        for one, other in _candidates(hashes, split):
            alike = _same_shape(depths[one], depths[other])
            for a, b in zip(one[alike].tolist(), other[alike].tolist(), strict=True):
                first, later = min(a, b), max(a, b)
                nearest[later] = min(first, nearest.get(later, first))
        for later, first in sorted(nearest.items()):
            yield self.places[later], self.places[first]


def _candidates(
    hashes: UInt64[np.ndarray, "n"], split: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield indices of pairs of different splits whose hashes differ by at most BITS."""
    shift = 0
    for width in _CHUNKS:
        chunk = (hashes >> np.uint64(shift)) & np.uint64((1 << width) - 1)
        shift += width
        order = np.argsort(chunk, kind="stable")
        bounds = np.flatnonzero(np.diff(chunk[order])) + 1
        for group in np.split(order, bounds):
            if len(group) > 1 and len(np.unique(split[group])) > 1:
                yield from _within(group, hashes, split)


def _within(
    group: NDArray[np.intp], hashes: UInt64[np.ndarray, "n"], split: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    rows = max(1, _BLOCK // len(group))
    for start in range(0, len(group), rows):
        some = group[start : start + rows]
        differ = np.bitwise_count(hashes[some][:, None] ^ hashes[group][None])
        near = (differ <= BITS) & (split[some][:, None] < split[group][None])
        row, column = np.nonzero(near)
        if len(row):
            yield some[row], group[column]


def _same_shape(one: Float32[np.ndarray, "n 64"], other: Float32[np.ndarray, "n 64"]) -> NDArray[np.bool_]:
    total = one + other
    apart = np.divide(2 * np.abs(one - other), total, out=np.zeros_like(total), where=total > 0)
    shown = total > 0
    # cells that show nothing in either say nothing
    middle = np.array(
        [np.median(line[there]) if there.any() else 1.0 for line, there in zip(apart, shown, strict=True)]
    )
    return middle <= DEPTH

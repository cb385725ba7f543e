"""Grow a tube out of its centreline without ever joining it to itself: the result is a ball, topologically.

Fused limbs come apart by two rules. A voxel is refused where it would touch a part of the tube that lies elsewhere
along the centreline, which leaves a wall between two limbs; and where it would close a loop or a cavity at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, Int16
from numpy.typing import NDArray

from assets.lumen.simple_points import OFFSETS, SimplePoints

_REACH = 2
"""Half of the wall's thickness in voxels: two limbs keep at least this many voxels between them."""

_WINDOW = 12
"""How many centreline points a voxel may lie ahead of or behind the voxel that it grew from."""

_BATCH = 1 << 16
"""Voxels worked on at a time; bounds the memory."""

_POWER_BATCH = 1 << 13

OUTSIDE, INSIDE, BETWEEN_LIMBS, WOULD_LOOP = 0, 1, 2, 3
"""What became of a voxel: not reached, in the lumen, refused for a wall between limbs, refused for topology."""


@dataclass(frozen=True)
class Growth:
    """The lumen as voxels."""

    state: Int[np.ndarray, "i j k"]
    """`OUTSIDE`, `INSIDE`, `BETWEEN_LIMBS` or `WOULD_LOOP`."""
    nearest: Int16[np.ndarray, "i j k"]
    """Index of the centreline point that each inside voxel belongs to; -1 elsewhere."""


def grow(
    centreline: Float64[np.ndarray, "n 3"],
    separation: Float64[np.ndarray, "n"],
    stages: Sequence[tuple[Bool[np.ndarray, "i j k"], Float32[np.ndarray, "i j k"] | None]],
) -> Growth:
    """Grow from the first centreline point through one region after the other.

    Args:
        centreline: Points in voxels, evenly spaced.
        separation: Points of the centreline farther apart than this belong to different limbs, in points.
        stages: Regions, each with the order in which its voxels are taken (steps of 1; None: as they come).
    """
    shape = stages[0][0].shape
    padded = tuple(n + 2 * _REACH for n in shape)
    strides = np.array([padded[1] * padded[2], padded[2], 1])
    grower = _Grower(padded, strides, centreline + _REACH, separation)
    grower.plant(int(np.rint(centreline[0] + _REACH).astype(int) @ strides))
    for region, order in stages:
        allowed = np.pad(region, _REACH).ravel()
        if order is None:
            grower.fill(allowed)
            continue
        level = np.pad(np.where(region, order, np.inf), _REACH, constant_values=np.inf).ravel()
        values = level[allowed]
        for limit in np.arange(np.floor(values.min()), np.ceil(values.max()) + 1.0):
            grower.fill(level <= limit)
    inner = tuple(slice(_REACH, -_REACH) for _ in range(3))
    return Growth(
        state=grower.state.reshape(padded)[inner].astype(np.int64),
        nearest=np.ascontiguousarray(grower.nearest.reshape(padded)[inner]),
    )


class _Grower:
    """The state of a growth, on flat padded arrays."""

    def __init__(
        self,
        shape: tuple[int, ...],
        strides: NDArray[np.int64],
        centreline: NDArray[np.float64],
        separation: NDArray[np.float64],
    ) -> None:
        self.shape = shape
        self.state = np.zeros(int(np.prod(shape)), np.uint8)
        self.nearest = np.full(int(np.prod(shape)), -1, np.int16)
        self._centreline = centreline.astype(np.float32)
        self._separation = separation
        self._neighbours = OFFSETS @ strides
        self._faces = self._neighbours[np.abs(OFFSETS).sum(axis=1) == 1]
        span = np.arange(-_REACH, _REACH + 1)
        self._around = (np.stack(np.meshgrid(span, span, span, indexing="ij"), -1).reshape(-1, 3)) @ strides
        self._simple = SimplePoints()
        self._seeds = np.empty(0, np.int64)

    def plant(self, seed: int) -> None:
        self.state[seed] = INSIDE
        self.nearest[seed] = 0
        self._seeds = np.array([seed])

    def fill(self, allowed: NDArray[np.bool_]) -> None:
        """Take every allowed voxel that can be reached, layer by layer."""
        inside = np.flatnonzero(self.state == INSIDE) if self._seeds.size == 0 else self._seeds
        self._seeds = np.empty(0, np.int64)
        front = self._front(inside, allowed)
        while front.size:
            added = []
            position = np.stack(np.unravel_index(front, self.shape))
            parity = (position % 2).T @ np.array([4, 2, 1])
            # Voxels of one parity are no neighbours of each other: they may be added at once.
            for group in range(8):
                members = front[parity == group]
                for start in range(0, members.size, _BATCH):
                    added.append(self._add(members[start : start + _BATCH]))
            front = self._front(np.concatenate(added), allowed)

    def _front(self, grown: NDArray[np.int64], allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        candidates = (grown[:, None] + self._faces).ravel()
        candidates = candidates[allowed[candidates] & (self.state[candidates] != INSIDE)]
        return np.unique(candidates)

    def _add(self, voxels: NDArray[np.int64]) -> NDArray[np.int64]:
        near = self.state[voxels[:, None] + self._neighbours] == INSIDE
        simple = self._simple(near @ (1 << np.arange(26)))
        self.state[voxels[~simple]] = WOULD_LOOP
        voxels = voxels[simple]
        # The centreline point is sought near that of a neighbour, so a fused limb's points are never candidates.
        beside = self.nearest[voxels[:, None] + self._faces]
        parent = beside[np.arange(len(voxels)), np.argmax(beside >= 0, axis=1)]
        window = np.clip(parent[:, None] + np.arange(-_WINDOW, _WINDOW + 1), 0, len(self._centreline) - 1)
        position = np.stack(np.unravel_index(voxels, self.shape), axis=1).astype(np.float32)
        apart = ((position[:, None] - self._centreline[window]) ** 2).sum(axis=2)
        own = window[np.arange(len(voxels)), np.argmin(apart, axis=1)]
        refused = self._meets_limb(voxels, own)
        self.state[voxels[refused]] = BETWEEN_LIMBS
        voxels, own = voxels[~refused], own[~refused]
        self.nearest[voxels] = own
        # Two fronts that meet within one batch see each other only now; both step back.
        refused = self._meets_limb(voxels, own)
        self.state[voxels[refused]] = BETWEEN_LIMBS
        self.nearest[voxels[refused]] = -1
        self.state[voxels[~refused]] = INSIDE
        return voxels[~refused]

    def _meets_limb(self, voxels: NDArray[np.int64], own: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say by voxel whether another limb lies within reach, given the centreline points of the voxels."""
        around = self.nearest[voxels[:, None] + self._around]
        far = (np.abs(around - own[:, None]) > self._separation[own][:, None]) & (around >= 0)
        return np.asarray(far.any(axis=1))


def power_order(
    voxels: Int[np.ndarray, "n 3"],
    points: Float64[np.ndarray, "m 3"],
    radius: Float64[np.ndarray, "m"],
) -> NDArray[np.float32]:
    """Order voxels by their power distance to the spheres along a centreline, in voxels, shape (n,).

    With it the fronts of two touching limbs meet where their spheres do, also where one is wider than the other
    (the power diagram of Aurenhammer, SIAM J. Comput. 16(1), 1987).

    Args:
        voxels: Indices.
        points: Centres of the spheres, in voxels.
        radius: Of the spheres, in voxels.
    """
    order = np.empty(len(voxels), np.float32)
    centre = points.mean(axis=0)
    points32 = (points - centre).astype(np.float32)
    constant = (points32**2).sum(axis=1) - (radius.astype(np.float32)) ** 2
    for start in range(0, len(voxels), _POWER_BATCH):
        part = (voxels[start : start + _POWER_BATCH] - centre).astype(np.float32)
        power = (part**2).sum(axis=1) + (constant - 2.0 * (part @ points32.T)).min(axis=1)
        order[start : start + _POWER_BATCH] = np.sign(power) * np.sqrt(np.abs(power))
    return order

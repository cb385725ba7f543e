"""One lattice that all fields of a patient share: boxes cut out of it, whole, halved or quartered in spacing."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray

Array = NDArray[np.float64]
Field = NDArray[np.float32]

SPACING = 0.0025
"""Distance of neighbouring nodes of the whole lattice [m]."""


@dataclass(frozen=True)
class Box:
    """A block of nodes; node (i, j, k) lies at (low + (i, j, k)) * spacing."""

    low: tuple[int, int, int]
    shape: tuple[int, int, int]
    spacing: float = SPACING
    """SPACING divided by a whole number [m]."""

    @classmethod
    def around(
        cls, low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"], spacing: float = SPACING, margin: float = 0.0
    ) -> "Box":
        """Return the smallest block that holds two corners [m] and a margin [m], with two nodes to spare."""
        first = np.floor((low - margin) / spacing).astype(int) - 2
        last = np.ceil((high + margin) / spacing).astype(int) + 2
        a, b, c = (last - first + 1).tolist()
        i, j, k = first.tolist()
        return cls((i, j, k), (a, b, c), spacing)

    @cached_property
    def axes(self) -> tuple[Field, Field, Field]:
        """Coordinates of the nodes along x, y and z [m], shapes (i, 1, 1), (1, j, 1) and (1, 1, k)."""
        lines = [
            (np.arange(first, first + count) * self.spacing).astype(np.float32)
            for first, count in zip(self.low, self.shape, strict=True)
        ]
        return lines[0][:, None, None], lines[1][None, :, None], lines[2][None, None, :]

    @property
    def origin(self) -> Array:
        """Position of node (0, 0, 0) [m]."""
        return np.asarray(np.array(self.low) * self.spacing)

    def points(self, mask: NDArray[np.bool_]) -> Array:
        """Return the positions of the nodes of a mask [m], shape (n, 3)."""
        return np.asarray((np.argwhere(mask) + np.array(self.low)) * self.spacing)


def sample(box: Box, field: Float32[np.ndarray, "i j k"], points: Float[np.ndarray, "n 3"]) -> Array:
    """Interpolate a field linearly; points outside take the value at the border, shape (n,)."""
    place = (points - box.origin) / box.spacing
    place = np.clip(place, 0.0, np.array(box.shape) - 1.000001)
    index = place.astype(np.intp)
    share = place - index
    result = np.zeros(len(points))
    for corner in range(8):
        bits = np.array([corner & 1, corner >> 1 & 1, corner >> 2 & 1])
        weight = np.where(bits, share, 1.0 - share).prod(axis=1)
        at = index + bits
        result += weight * field[at[:, 0], at[:, 1], at[:, 2]]
    return result


def slopes(box: Box, field: Float32[np.ndarray, "i j k"], points: Float[np.ndarray, "n 3"]) -> Array:
    """Return the gradient of a field by central differences over one spacing, shape (n, 3)."""
    step = np.eye(3) * box.spacing
    parts = [sample(box, field, points + e) - sample(box, field, points - e) for e in step]
    return np.stack(parts, axis=1) / (2 * box.spacing)


def volume(box: Box, *fields: Float32[np.ndarray, "i j k"]) -> float:
    """Return the volume of what is inside of all fields [m^3], counted to a share of a node by their greatest value."""
    field = np.maximum.reduce(fields)
    return float(np.clip(0.5 - field / np.float32(box.spacing), 0.0, 1.0).sum(dtype=np.float64)) * box.spacing**3

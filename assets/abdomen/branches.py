"""Pieces of vessels in the liver, and how they are kept below its capsule."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from assets.abdomen.lattice import Array, Box, sample, slopes
from assets.abdomen.solids import curve
from assets.transforms import unit

STEP = 0.0015
"""Distance of the points of a centreline [m]."""
DEPTH = 0.009
"""Vessels end this far below the capsule [m]; finer ones are left out."""
BELOW = 0.003
"""The wall of any vessel lies at least so far below the capsule [m], or the lattice on which that is measured would let
it out where the liver is notched; chosen."""


@dataclass(frozen=True)
class Branch:
    """A piece of a vessel."""

    name: str
    """Such as `portal_segment_5_2` or `hepatic_vein_middle`."""
    points: Array
    """Centreline from its root outwards [m], shape (n, 3)."""
    radii: Array
    """[m], shape (n,)."""

    def until(self, count: int) -> "Branch":
        """Return its first so many points, from the root."""
        return Branch(self.name, self.points[:count], self.radii[:count])


def branch_of(name: str, nodes: list[Array], root: float, end: float) -> Branch:
    """Lead a branch through nodes [m], with its radius [m] falling evenly from root to end."""
    radii = np.linspace(root, end, len(nodes))
    line = curve(np.column_stack([np.stack(nodes), radii]), STEP)
    return Branch(name, line[:, :3], line[:, 3])


def pulled(box: Box, depth: Float[np.ndarray, "i j k"], points: Array, least: Array | float = DEPTH) -> Array:
    """Pull points [m] into the liver until each lies at least so deep below its capsule [m]."""
    points = points.copy()
    for _ in range(12):
        lack = np.maximum(least - sample(box, depth, points), 0.0)
        if not lack.any():
            break
        points += 0.6 * lack[:, None] * unit(slopes(box, depth, points))
    return points

"""How well neighbours fit: how deep they reach into each other, and how far apart they lie where they touch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assets.abdomen.lattice import Array, sample
from assets.abdomen.solids import Solid
from assets.mesh import Mesh
from assets.mesh_check import winding_number
from assets.mesh_distance import distance_to

NEAR = 0.004
"""Vertices farther than this from another organ's box are not asked [m]."""
PRESSED = 0.002
"""A vertex that lies this deep in its organ's own shape was pushed back by a neighbour, so it touches one [m]."""


@dataclass(frozen=True)
class Contact:
    """What was found of one organ against all others."""

    name: str
    overlap: float
    """Greatest depth of one of its vertices inside another organ [m]; 0 where there is none."""
    overlapping: int
    """Vertices that lie inside another organ."""
    into: str
    """The organ that it reaches into deepest; empty where there is none."""
    gaps: Array
    """Distance from the nearest neighbour of the vertices that were pushed back [m], shape (n,)."""
    asked: int
    """Vertices looked at."""


def contacts(
    solids: Sequence[Solid], surfaces: Mapping[str, Mesh], rng: np.random.Generator, most: int
) -> list[Contact]:
    """Measure overlaps and gaps of all organs in the cavity, on up to `most` random vertices of each.

    Args:
        solids: In the order in which they give way.
        surfaces: Their meshes, and that of `abdominal_wall`.
        rng: Chooses the vertices.
        most: Vertices of an organ.
    """
    found = []
    for solid in solids:
        mesh = surfaces[solid.name]
        chosen = rng.permutation(len(mesh.vertices))[:most]
        points = mesh.vertices[np.sort(chosen)].astype(np.float64)
        own = sample(solid.box, solid.function(solid.box), points)
        nearest = np.full(len(points), np.inf)
        deepest, count, into = 0.0, 0, ""
        for other in (*solids, None):
            name = other.name if other else "abdominal_wall"
            if name == solid.name or name in solid.within or (other and solid.name in other.within):
                continue
            near = _near(points, surfaces[name]) if other else np.ones(len(points), bool)
            if not near.any():
                continue
            distance, behind = distance_to(surfaces[name], points[near])
            nearest[near] = np.minimum(nearest[near], distance)
            # within the wall's surface is where organs belong; within another organ's is where they do not
            wrong = ~behind if other is None else behind
            doubtful = np.flatnonzero(wrong & (distance < NEAR))
            if not len(doubtful):
                continue
            winding = winding_number(surfaces[name], points[near][doubtful])
            sure = doubtful[winding < 0.5 if other is None else winding > 0.5]
            count += len(sure)
            if len(sure) and float(distance[sure].max()) > deepest:
                deepest, into = float(distance[sure].max()), name
        pressed = own < -PRESSED
        found.append(Contact(solid.name, deepest, count, into, nearest[pressed], len(points)))
    return found


def _near(points: Array, mesh: Mesh) -> NDArray[np.bool_]:
    low, high = mesh.vertices.min(axis=0) - NEAR, mesh.vertices.max(axis=0) + NEAR
    return np.asarray(((points > low) & (points < high)).all(axis=1))

"""The peripheral target: a solid lesion beside a small bronchus."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from trimesh.creation import icosphere

from assets.bronchi.tree import Tree
from assets.mesh import Mesh
from assets.patient import Centreline, Organ
from assets.transforms import unit

Array = NDArray[np.float64]

DIAMETER = (0.008, 0.020)
"""Least and most [m], chosen; a nodule is up to 30 mm wide (Hansell et al., Radiology 246, 2008,
doi:10.1148/radiol.2462070712)."""
WALL = 0.0006
"""Between the lumen and the lesion [m]: the bronchus' wall."""
LOBES = 0.07
"""Depth of the lobulation over the radius."""


def draw_target(rng: np.random.Generator, tree: Tree, lines: Sequence[Centreline], lumen: Mesh) -> Organ:
    """Put a lesion beside the outer half of a bronchus that ends blindly, where there is room for it.

    Args:
        rng: The only source of chance.
        tree: The branches.
        lines: The centrelines.
        lumen: The wall, which it does not touch.

    Returns:
        The organ; its attributes name the centreline that leads to it, and how far along it it lies.
    """
    parents = {branch.parent for branch in tree.values()}
    ends = [line for line in lines if line.name.startswith("bronchi_") and line.name[8:] not in parents]
    walls = cKDTree(lumen.vertices)
    radius = rng.uniform(*DIAMETER) / 2
    best: tuple[float, Centreline, int, Array] | None = None
    for _ in range(60):
        line = ends[int(rng.integers(len(ends)))]
        length = tree[line.name[8:]].length
        back = int(rng.integers(0, max(1, int(0.5 * length / 0.0015))))
        place = len(line.points) - 1 - back
        way = unit(line.points[place] - line.points[place - 2])
        out = unit(np.cross(way, rng.standard_normal(3)))
        reach = tree[line.name[8:]].radius + WALL + radius * (1.0 + LOBES)
        centre = line.points[place] + reach * out
        room = float(walls.query(centre)[0]) - radius * (1.0 + LOBES)
        if best is None or room > best[0]:
            best = (room, line, place, centre)
        if room > 0.5 * WALL:
            break
    assert best is not None
    room, line, place, centre = best
    radius = min(radius, (radius * (1.0 + LOBES) + room - 0.5 * WALL) / (1.0 + LOBES))
    arc = np.linalg.norm(np.diff(line.points[: place + 1], axis=0), axis=1).sum()
    return Organ(
        name="peripheral_target",
        label="tumour",
        kind="solid",
        material="soft_tissue",
        surface=_lobulated(rng, centre, radius),
        attributes={
            "centreline": line.name,
            "arc": float(arc),
            "diameter": 2 * float(radius),
            "generation": tree[line.name[8:]].generation,
        },
    )


def _lobulated(rng: np.random.Generator, centre: Array, radius: float) -> Mesh:
    """Make a sphere with shallow lobes."""
    sphere = icosphere(subdivisions=4)
    normals = np.asarray(sphere.vertices, dtype=np.float64)
    waves = unit(rng.standard_normal((6, 3)))
    height = np.cos(normals @ waves.T * rng.uniform(3.0, 6.0, 6) + rng.uniform(0.0, 2 * np.pi, 6)).mean(axis=1)
    points = centre + radius * (1.0 + LOBES * height)[:, None] * normals
    return Mesh(points.astype(np.float32), np.asarray(sphere.faces, dtype=np.int32))

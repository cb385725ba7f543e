"""The tree of centrelines: a line from the larynx to the end of every bronchus that has no daughters, or has a name."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from assets.bronchi.field import Field
from assets.bronchi.named import SEGMENTAL
from assets.bronchi.tree import TRACHEA, Tree, children_of, lineage
from assets.bronchi.tube import ABOVE, Tube
from assets.mesh import Mesh
from assets.patient import Centreline

Array = NDArray[np.float64]

SPACING = 0.0015
"""Distance of the centrelines' points [m]."""


def entrance(tubes: Mapping[str, Tube]) -> tuple[Array, Array]:
    """Return the middle of the trachea's upper end [m] and the unit vector into it."""
    trachea = tubes[TRACHEA]
    return _at(trachea, np.array([ABOVE]))[0], trachea.frames[0, :, 2].copy()


def _at(tube: Tube, arc: Array) -> Array:
    return np.stack([np.interp(arc, tube.arc, column) for column in tube.points.T], axis=1)


def draw_lines(tree: Tree, tubes: Mapping[str, Tube], lumen: Mesh) -> tuple[Centreline, ...]:
    """Follow the axes from the larynx inwards.

    Lines that share their way share its points, exactly: so together they are the tree.

    Args:
        tree: The branches.
        tubes: Their axes.
        lumen: The wall, to which the radius is measured.

    Returns:
        `trachea` first, then the segmental bronchi, then all that end blindly: `bronchi_B6_right`,
        `bronchi_B1_2ai_left`, ... each from the larynx to its end.
    """
    parts = {}
    for name, tube in tubes.items():
        first = ABOVE if name == TRACHEA else 0.0
        arc = np.linspace(first, tube.arc[-1], max(round((tube.arc[-1] - first) / SPACING), 1) + 1)
        parts[name] = _at(tube, arc)[0 if name == TRACHEA else 1 :]  # the first point is its parent's last
    middle, inwards = entrance(tubes)
    walls = lumen.vertices[np.abs((lumen.vertices - middle) @ inwards) > 2e-4]  # without the disc: a scope passes it
    search = cKDTree(walls)
    radii = {name: np.asarray(search.query(part)[0], dtype=np.float64) for name, part in parts.items()}
    children = children_of(tree)
    names = [TRACHEA, *SEGMENTAL, *(name for name in tree if not children[name] and name not in SEGMENTAL)]
    lines = []
    for name in names:
        way = lineage(tree, name)
        title = name if name == TRACHEA else f"bronchi_{name}"
        points = np.concatenate([parts[part] for part in way])
        lines.append(Centreline(title, points, np.concatenate([radii[part] for part in way])))
    return tuple(lines)


def ridge(field: Field, one: Tube, other: Tube) -> Array:
    """Return the edge of the ridge that stands between two sisters [m], such as the carina; shape (3,)."""
    arc = np.arange(0.0, one.bend + other.bend, 0.0002)
    share = np.linspace(0.05, 0.95, 61)
    # A short branch may divide before the ridge: its axis goes on straight.
    first, second = (
        _at(tube, arc) + np.maximum(arc - tube.arc[-1], 0.0)[:, None] * tube.frames[-1, :, 2] for tube in (one, other)
    )
    between = first[:, None] + share[None, :, None] * (second - first)[:, None]  # (n, 61, 3)
    index = (between - field.origin) / field.spacing
    found = map_coordinates(field.values, np.moveaxis(index, -1, 0), order=1, mode="nearest")
    wall = found.max(axis=1)
    row = int(np.argmax(wall > 0.0)) if (wall > 0.0).any() else len(arc) - 1
    return np.asarray(between[row, int(found[row].argmax())])

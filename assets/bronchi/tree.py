"""One patient's bronchial tree: branches from node to node, with their radii."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assets.bronchi.measures import Measures
from assets.bronchi.named import NAMED
from assets.transforms import unit

Array = NDArray[np.float64]

TRACHEA, RIGHT_MAIN, LEFT_MAIN = "trachea", "right_main", "left_main"

DOWN = np.array([0.0, -0.24, -0.97])
"""Where the lower trachea runs, RAS: backwards as it descends, along the spine."""


@dataclass(frozen=True)
class Branch:
    """A stretch of airway between two divisions."""

    name: str
    parent: str | None
    generation: int
    """Divisions between the trachea's upper end and here: 0 for the trachea."""
    start: Array
    """Where its axis meets its parent's [m], shape (3,)."""
    end: Array
    """Where it divides or ends [m], shape (3,)."""
    radius: float
    """Mean radius of its lumen [m]."""
    membrane: float
    """How flat its posterior wall is: 1 as in the trachea, 0 round."""
    cartilage: float
    """How far its cartilages stand out [m]."""

    @property
    def length(self) -> float:
        """From node to node [m]."""
        return float(np.linalg.norm(self.end - self.start))

    @property
    def direction(self) -> Array:
        """Unit vector from its start to its end, shape (3,)."""
        return unit(self.end - self.start)


Tree = dict[str, Branch]
"""Branches by name, parents before their children."""


def children_of(tree: Tree) -> dict[str, list[str]]:
    """Return the names of each branch's children."""
    children: dict[str, list[str]] = {name: [] for name in tree}
    for branch in tree.values():
        if branch.parent is not None:
            children[branch.parent].append(branch.name)
    return children


def lineage(tree: Tree, name: str) -> list[str]:
    """Return the names from the trachea to a branch, both included."""
    names = [name]
    while (parent := tree[names[-1]].parent) is not None:
        names.append(parent)
    return names[::-1]


def turned(rng: np.random.Generator, direction: Array, deviation: float) -> Array:
    """Turn a unit vector by a random angle about random axes, [rad] for each of both."""
    across = rng.standard_normal(3)
    across -= (across @ direction) * direction
    return unit(direction + np.clip(deviation, 0.0, 1.0) * np.clip(across, -2.0, 2.0))


def draw_named(rng: np.random.Generator, measures: Measures) -> Tree:
    """Draw the trachea and all bronchi that have names; the trachea ends at the origin.

    Args:
        rng: The only source of chance.
        measures: The patient's.

    Returns:
        The branches. Some may come too near to each other: `crowd_of` tells.
    """
    down = turned(rng, unit(DOWN), np.radians(3.0))
    right = unit(np.array([1.0, 0.0, 0.0]) - down[0] * down)
    half = measures.width / 2
    origin = np.zeros(3)
    # The ridge of the carina stands below the point where the axes meet: where the bronchi's inner walls do.
    one, other = measures.right_angle, measures.left_angle
    ridge = measures.left_diameter / 2 * np.cos(one) + measures.right_diameter / 2 * np.cos(other)
    ridge /= np.sin(one + other)
    trachea = Branch(TRACHEA, None, 0, -(measures.length - ridge) * down, origin, half, 1.0, 0.00070)
    tree = {TRACHEA: trachea}
    # On the right to the axis of the upper lobe's bronchus, on the left back from the ridge between the lobes' bronchi.
    upper = next(row for row in NAMED if row.parent == RIGHT_MAIN).diameter * measures.scale / 2 - 0.002
    for name, side, angle, length, diameter, beyond in (
        (RIGHT_MAIN, 1.0, measures.right_angle, measures.right_length, measures.right_diameter, upper),
        (LEFT_MAIN, -1.0, measures.left_angle, measures.left_length, measures.left_diameter, -0.006),
    ):
        way = turned(rng, np.cos(angle) * down + side * np.sin(angle) * right, np.radians(1.5))
        end = (ridge * np.cos(angle) + length + beyond) * way
        tree[name] = Branch(name, TRACHEA, 1, origin, end, diameter / 2, 0.75, 0.00060)
    own = {TRACHEA: 1.0}
    for row in NAMED:
        parent = tree[row.parent]
        way = turned(rng, unit(np.array(row.direction)), np.radians(5.0))
        length = row.length * np.sqrt(measures.scale) * float(np.clip(rng.normal(1.0, 0.12), 0.78, 1.25))
        own[row.name] = own.get(row.parent, 1.0) * float(np.clip(rng.normal(1.0, 0.03), 0.94, 1.06))
        radius = row.diameter / 2 * measures.scale * own[row.name]
        tree[row.name] = Branch(
            name=row.name,
            parent=row.parent,
            generation=parent.generation + 1,
            start=parent.end,
            end=parent.end + length * way,
            radius=min(radius, 0.97 * parent.radius),
            membrane=row.membrane,
            cartilage=row.cartilage,
        )
    return tree

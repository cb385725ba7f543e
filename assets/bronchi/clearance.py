"""Whether bronchi keep apart from each other, except near the division that they both come from."""

import numpy as np
from numpy.typing import NDArray

from assets.bronchi.tree import Branch, Tree, lineage

Array = NDArray[np.float64]

WALLS = 0.0018
"""Least distance between the lumens of two bronchi [m]: two walls of about 0.9 mm, chosen."""
FORK = (1.8, 1.15)
"""Along the airway, this many times the sum of both radii from where their ways part, they must have parted: sisters,
and others. Sisters part slowly without harm, but a sister's daughter would close a ring."""
SAMPLE = 0.001
"""Distance of the points at which branches are compared [m]."""


class Crowd:
    """Branches that are there already, for quick questions about a new one."""

    def __init__(self) -> None:
        """Start with none."""
        self._tree: Tree = {}
        self._points: dict[str, Array] = {}
        self._arc: dict[str, float] = {}  # from the larynx to the branch's start
        self._names: list[str] = []
        self._middle: list[Array] = []
        self._reach: list[float] = []

    def add(self, branch: Branch) -> None:
        """Take a branch in; its parent is there already."""
        parent = None if branch.parent is None else self._tree[branch.parent]
        self._arc[branch.name] = 0.0 if parent is None else self._arc[parent.name] + parent.length
        self._tree[branch.name] = branch
        self._points[branch.name] = outline(branch)
        self._names.append(branch.name)
        self._middle.append((branch.start + branch.end) / 2)
        self._reach.append(branch.length / 2 + branch.radius)

    def clashes(self, branch: Branch) -> list[str]:
        """Return the names of those that a new branch would come too near to."""
        assert branch.parent is not None
        reach = branch.length / 2 + branch.radius + WALLS
        apart = np.linalg.norm(np.array(self._middle) - (branch.start + branch.end) / 2, axis=1)
        near = np.flatnonzero(apart < np.array(self._reach) + reach)
        if not len(near):
            return []
        points = outline(branch)
        parent = self._tree[branch.parent]
        arc = self._arc[parent.name] + parent.length + np.linalg.norm(points - branch.start, axis=1)
        own = [*lineage(self._tree, branch.parent), branch.name]
        found = []
        for index in near:
            other = self._tree[self._names[index]]
            if other.name == branch.parent:
                continue
            theirs = lineage(self._tree, other.name)
            shared = [name for name, same in zip(own, theirs, strict=False) if name == same]
            fork = self._arc[shared[-1]] + self._tree[shared[-1]].length
            others = self._points[other.name]
            along = self._arc[other.name] + np.linalg.norm(others - other.start, axis=1)
            least = FORK[0 if other.parent == branch.parent else 1] * (branch.radius + other.radius)
            first, second = points[np.abs(arc - fork) > least], others[np.abs(along - fork) > least]
            if len(first) and len(second):
                gap = np.linalg.norm(first[:, None] - second[None], axis=-1).min() - branch.radius - other.radius
                if gap < WALLS:
                    found.append(other.name)
        return found


def outline(branch: Branch) -> Array:
    """Return points along a branch's axis [m], shape (n, 3)."""
    count = max(2, round(branch.length / SAMPLE))
    return np.asarray(branch.start + np.linspace(0.0, 1.0, count)[:, None] * (branch.end - branch.start))


def crowd_of(tree: Tree) -> tuple[Crowd, list[tuple[str, str]]]:
    """Take all branches of a tree in, and return the pairs that come too near to each other."""
    crowd, pairs = Crowd(), []
    for branch in tree.values():
        if branch.parent is not None:
            pairs += [(other, branch.name) for other in crowd.clashes(branch)]
        crowd.add(branch)
    return crowd, pairs

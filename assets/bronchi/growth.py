"""Growth beyond the segmental bronchi by the rules of Kitaoka et al., as long as there is room."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from assets.bronchi.clearance import Crowd
from assets.bronchi.named import SEGMENTAL
from assets.bronchi.tree import Branch, Tree
from assets.transforms import unit

Array = NDArray[np.float64]

EXPONENT = 2.8
"""Flow goes with the diameter to this power (Kitaoka et al., J. Appl. Physiol. 87, 1999,
pages 2207 to 2217, after Raabe et al., LF-53, Lovelace Foundation, 1976)."""
LENGTH_OVER_DIAMETER = 3.0
"""Mean of a branch (Kitaoka et al., 1999)."""
SMALLER_SHARE = (0.40, 0.05)
"""Mean and standard deviation of the smaller branch's share of the flow, chosen: the diameters of two sisters are then
as 0.86 to 1 on average."""
DEEPEST = 6
"""Generation at which all growth ends."""
LEVELS = 2
"""Every segmental bronchus divides so many times, even where its generation is deeper than that."""
NARROWEST = 0.0019
"""Nothing narrower is grown [m]: no bronchoscope goes there."""
TURNS = np.radians([90.0, 75.0, 105.0, 60.0, 120.0, 45.0, 135.0, 20.0, 160.0])
"""Angles between the planes of two divisions in a row, in the order in which they are tried; 90 degrees is the rule."""


def branching_angles(share: float) -> tuple[float, float]:
    """Return the angles [rad] at which the smaller and the larger branch leave their parent.

    They make the volume of the three tubes least (Murray, J. Gen. Physiol. 9, 1926, doi:10.1085/jgp.9.6.835, with the
    exponent of Kitaoka et al., 1999).

    Args:
        share: Of the flow, of the smaller branch, above 0 and up to 0.5.
    """
    small, large = share ** (2 / EXPONENT), (1.0 - share) ** (2 / EXPONENT)
    first = (1.0 + small**2 - large**2) / (2.0 * small)
    second = (1.0 + large**2 - small**2) / (2.0 * large)
    return float(np.arccos(first)), float(np.arccos(second))


def grow(rng: np.random.Generator, tree: Tree, crowd: Crowd) -> Tree:
    """Divide the segmental bronchi again and again.

    Args:
        rng: The only source of chance.
        tree: The bronchi that have names.
        crowd: The same; the new ones are added.

    Returns:
        All branches, parents first: B1a and B1b, B1ai to B1bii, B1aia and so on. A branch whose daughters would meet
        another bronchus in every plane that is tried ends blindly.
    """
    tree = dict(tree)
    front = [(name, 0) for name in SEGMENTAL]
    while front:
        name, level = front.pop(0)
        parent = tree[name]
        if level >= LEVELS and parent.generation >= DEEPEST:
            continue
        pair = _divide(rng, tree, crowd, parent, level)
        for branch in pair:
            crowd.add(branch)
        tree |= {branch.name: branch for branch in pair}
        front += [(branch.name, level + 1) for branch in pair]
    return tree


def _divide(rng: np.random.Generator, tree: Tree, crowd: Crowd, parent: Branch, level: int) -> list[Branch]:
    share = float(np.clip(rng.normal(*SMALLER_SHARE), 0.28, 0.5))
    angles = branching_angles(share)
    radii = [parent.radius * part ** (1 / EXPONENT) for part in (share, 1.0 - share)]
    lengths = [2 * LENGTH_OVER_DIAMETER * r * float(np.clip(rng.normal(1.0, 0.15), 0.7, 1.3)) for r in radii]
    swing = rng.normal(0.0, np.radians(12.0))
    sides = rng.permutation([-1.0, 1.0])
    if 2 * radii[0] < NARROWEST:
        return []
    before = tree[parent.parent] if parent.parent else parent
    plane = np.cross(before.direction, parent.direction)  # the normal of the plane of the division before
    if np.linalg.norm(plane) < 1e-3:
        plane = np.cross(parent.direction, np.eye(3)[np.argmin(np.abs(parent.direction))])
    along, normal = parent.direction, unit(plane)
    across = np.cross(normal, along)
    for turn in TURNS:
        out = np.cos(turn + swing) * across + np.sin(turn + swing) * normal
        pair = []
        for index, (angle, side, radius, length) in enumerate(zip(angles, sides, radii, lengths, strict=True)):
            way = np.cos(angle) * along + side * np.sin(angle) * out
            pair.append(
                replace(
                    parent,
                    name=_name(parent.name, level, index),
                    parent=parent.name,
                    generation=parent.generation + 1,
                    start=parent.end,
                    end=parent.end + length * way,
                    radius=radius,
                    cartilage=0.6 * parent.cartilage,
                )
            )
        if not any(crowd.clashes(branch) for branch in pair):
            return pair
    return []


def _name(parent: str, level: int, index: int) -> str:
    """Name a daughter as bronchoscopists do: B1 divides into B1a and B1b, B1a into B1ai and B1aii, then a and b again.

    The larger daughter is the second.
    """
    stem, _, side = parent.rpartition("_")
    return f"{stem}{('a', 'b')[index] if level % 2 == 0 else ('i', 'ii')[index]}_{side}"

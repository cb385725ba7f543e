"""The axis of a branch as a smooth curve that leaves its parent's axis, with the lumen's section along it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assets.bronchi.measures import Measures
from assets.bronchi.tree import TRACHEA, Branch, Tree, children_of
from assets.transforms import parallel_frames, unit

Array = NDArray[np.float64]

STEP = 0.0008
"""Distance of an axis' points [m]."""
ABOVE = 0.002
"""The trachea's axis begins this far above its upper end, where a plane cuts it [m]."""
POSTERIOR = np.array([0.0, -1.0, 0.0])
CHORD = 0.28
"""How far the membranous wall of the trachea stands inside of the round that the cartilages follow, over its half
depth: the wall is then 1.4 of the half width wide, 12 mm in a man. Cadavers: 17.7 +- 4.4 mm in men and 11.8 +- 3.0 mm
in women (Kamel et al., Clin. Anat. 22, 2009, PubMed 19544298)."""


@dataclass(frozen=True)
class Tube:
    """A branch with the bend by which it leaves its parent.

    Sisters overlap where they begin, so that their union has smooth outer walls and a sharp ridge between both, as real
    divisions have (Heistracher and Hofmann, J. Aerosol Sci. 26, 1995, doi:10.1016/0021-8502(94)00113-D).
    """

    name: str
    points: Array
    """Of the axis [m], shape (n, 3), at equal distances; the parent's axis leads to the first."""
    arc: Array
    """From the first point [m], shape (n,)."""
    frames: Array
    """Rotation matrices without twist, shape (n, 3, 3): x to the back of the body, z along the axis."""
    radius: Array
    """Half the width of the section [m], shape (n,)."""
    depth: Array
    """Half the depth of the round that the section is cut from [m], shape (n,)."""
    chord: Array
    """Distance of the flat posterior wall from the axis [m], shape (n,); `depth` where the section is round."""
    cartilage: float
    """How far its cartilages stand out [m]."""
    membrane: float
    """How flat its posterior wall is."""
    bend: float
    """Arc at which it has left its parent [m]."""
    blind: bool
    """It has no daughters: its end is round."""


def tubes_of(rng: np.random.Generator, tree: Tree, measures: Measures) -> dict[str, Tube]:
    """Lay a smooth axis through every branch.

    Args:
        rng: The only source of chance: the slight bows of long branches.
        tree: The branches, parents first.
        measures: The patient's: how deep the trachea is.
    """
    children = children_of(tree)
    # A section of width 2 a and depth (1 + c) b, with c = 1 - CHORD where the wall is flat.
    oval = measures.depth / measures.width * 2.0 / (2.0 - CHORD) - 1.0
    tubes: dict[str, Tube] = {}
    for branch in tree.values():
        last = branch.length - (_overlap(branch) if children[branch.name] else 0.0)
        axis = _bowed(rng, branch)
        if branch.parent is None:
            axis = np.concatenate([[branch.start - ABOVE * branch.direction], axis])
            bend, curve = 0.0, _resample(_until(axis, last + ABOVE))
            first = POSTERIOR
        else:
            parent = tree[branch.parent]
            inside, outside = _overlap(parent), min(1.3 * parent.radius, 0.55 * branch.length)
            start = tubes[branch.parent].points[-1]
            corner = start + inside * tubes[branch.parent].frames[-1, :, 2]
            from_start = np.linspace(0.0, branch.length, len(axis))
            # Bows do not lead the parent's axis quite to its node; the shift fades out along the branch.
            fade = np.clip((branch.length - from_start) / (branch.length - outside), 0.0, 1.0)[:, None]
            rest = (axis + fade * (corner - branch.start))[from_start > outside]
            turn = _bend(start, corner, rest[0])
            bend = float(np.linalg.norm(np.diff(turn, axis=0), axis=1).sum())
            whole = np.concatenate([turn, rest[1:]])
            total = float(np.linalg.norm(np.diff(whole, axis=0), axis=1).sum())
            curve = _resample(_until(whole, total - (branch.length - last)))
            first = tubes[branch.parent].frames[-1, :, 0]
        tubes[branch.name] = _tube(branch, tree, curve, bend, first, oval, blind=not children[branch.name])
    return tubes


def _overlap(branch: Branch) -> float:
    """Return how long before its end a branch's daughters begin to leave it [m]."""
    return min(branch.radius, 0.4 * branch.length)


def _bowed(rng: np.random.Generator, branch: Branch) -> Array:
    """Run from node to node with a slight bow that has no slope at the ends; shape (n, 3)."""
    count = max(int(branch.length / STEP), 4)
    t = np.linspace(0.0, 1.0, count)[:, None]
    across = rng.standard_normal(3)
    across -= (across @ branch.direction) * branch.direction
    bow = 0.022 * branch.length * np.clip(across, -1.5, 1.5) * (0.5 if branch.name == TRACHEA else 1.0)
    return np.asarray(branch.start + t * (branch.end - branch.start) + bow * np.sin(np.pi * t) ** 2)


def _bend(start: Array, corner: Array, end: Array) -> Array:
    """Turn from one direction into another by a parabola; shape (n, 3)."""
    count = max(int((np.linalg.norm(corner - start) + np.linalg.norm(end - corner)) / STEP), 6)
    t = np.linspace(0.0, 1.0, count)[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t**2 * end)


def _until(points: Array, length: float) -> Array:
    """Cut a polyline off at a length [m]."""
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.append(arc[arc < length - 1e-6], min(length, arc[-1]))
    return np.stack([np.interp(at, arc, column) for column in points.T], axis=1)


def _resample(points: Array) -> Array:
    """Place points at equal distances along a polyline, about `STEP` apart; shape (n, 3)."""
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.linspace(0.0, arc[-1], max(int(arc[-1] / STEP), 3) + 1)
    return np.stack([np.interp(at, arc, column) for column in points.T], axis=1)


def _tube(branch: Branch, tree: Tree, curve: Array, bend: float, first: Array, oval: float, *, blind: bool) -> Tube:
    arc = np.linspace(0.0, float(np.linalg.norm(np.diff(curve, axis=0), axis=1).sum()), len(curve))
    frames = parallel_frames(unit(np.gradient(curve, axis=0)), first)
    parent = tree[branch.parent] if branch.parent else branch
    u = np.clip(arc / bend, 0.0, 1.0) if bend else np.ones(len(arc))
    # Narrower soon after it has left: an orifice in its parent's wall rather than a funnel.
    radius = branch.radius + (0.99 * parent.radius - branch.radius) * (1.0 - u) ** 2
    smooth = u * u * (3.0 - 2.0 * u)
    membrane = parent.membrane + (branch.membrane - parent.membrane) * smooth
    depth = radius * (1.0 + oval * membrane)
    return Tube(
        name=branch.name,
        points=curve,
        arc=arc,
        frames=frames,
        radius=radius,
        depth=depth,
        chord=depth * (1.0 - CHORD * membrane),
        cartilage=branch.cartilage,
        membrane=branch.membrane,
        bend=bend,
        blind=blind,
    )

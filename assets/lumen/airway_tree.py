"""The centrelines of an airway that is known as voxels: a tree from the trachea's upper end to the ends of its bronchi.

The mask is thinned (Lee, Kashyap & Chu, CVGIP 56(6), 1994), the skeleton's shortest-path tree from the uppermost end is
taken, and twigs that hardly leave the tube that they stand on are cut: the skeleton of a rough surface is full of them
(Palagyi et al., Comput. Biol. Med. 36, 2006, doi:10.1016/j.compbiomed.2005.05.004). What is left is smoothed branch by
branch, with its nodes where they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from assets.lumen.boundary import boundary_points
from assets.lumen.curves import arc_lengths, interpolated, resampled, smoothed
from assets.lumen.grid import Grid, resample
from assets.lumen.skeleton_graph import Edge, SkeletonGraph, skeleton_graph
from assets.patient import Centreline

FINEST, COARSEST = 0.0006, 0.0015
"""Least and greatest voxel of the grid that the airway is thinned on [m]."""
MOST_VOXELS = 60_000_000
"""Of that grid; a larger airway is thinned on a coarser one."""
SPACING = 0.0015
"""Distance of the centrelines' points [m]."""
SMOOTHING = 0.002
"""Standard deviation of the Gaussian along a branch [m]; less on short ones."""
STANDS_OUT = 1.0
"""A twig is a branch if it is longer than this many radii of the tube that it stands on, and LEAST more; chosen."""
LEAST = 0.003
"""[m]; chosen: the shortest bronchus of the first six generations is 5 mm long."""
MAIN = 0.015
"""At the carina the airway parts into two that both go on for so long [m]; chosen."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class AirwayBranch:
    """A piece of the airway between two divisions."""

    name: str
    """`trachea`, `right_main`, `left_main`, then a letter a division: `right_a` is wider than `right_b`."""
    parent: str | None
    generation: int
    """0 for the trachea."""
    points: Float64[np.ndarray, "n 3"]
    """From its start, the last point of its parent, to its end [m]."""
    radius: Float64[np.ndarray, "n"]
    """Distance of the boundary [m]."""

    @property
    def length(self) -> float:
        """Arc length [m]."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    def row(self) -> dict[str, Any]:
        """Return what stands in the organ's attributes, as that of a synthetic bronchus does."""
        return {
            "name": self.name,
            "parent": self.parent,
            "generation": self.generation,
            "length": round(self.length, 6),
            "diameter": round(2 * float(np.median(self.radius)), 6),
            "start": self.points[0].round(6).tolist(),
            "end": self.points[-1].round(6).tolist(),
        }


@dataclass(frozen=True)
class AirwayTree:
    """All branches, parents first; of the daughters of one branch the wider comes first."""

    branches: tuple[AirwayBranch, ...]
    twigs_cut: int
    """Short ends of the skeleton that were taken for roughness."""
    rings_cut: int
    """Curves that closed a ring, as leaks and touching bronchi do."""
    voxel: float
    """Of the grid that the airway was thinned on [m]."""

    carina: Array | None
    """Edge of the ridge between both main bronchi [m], shape (3,); None where the airway has one branch."""

    def lines(self) -> tuple[Centreline, ...]:
        """Return `trachea`, then a line from the trachea's upper end to each blind end; they share points exactly."""
        named = {branch.name: branch for branch in self.branches}
        parents = {branch.parent for branch in self.branches}
        result = []
        for branch in self.branches:
            if branch.parent is not None and branch.name in parents:
                continue
            way = [branch]
            while way[0].parent is not None:
                way.insert(0, named[way[0].parent])
            points = np.concatenate([way[0].points, *(part.points[1:] for part in way[1:])])
            radius = np.concatenate([way[0].radius, *(part.radius[1:] for part in way[1:])])
            title = branch.name if branch.parent is None else f"bronchi_{branch.name}"
            result.append(Centreline(title, points, radius))
        return tuple(result)


@dataclass(eq=False)
class _Node:
    """A branch while the tree is built: its curve from the parent's end, and its daughters."""

    points: Array
    radius: Array
    daughters: "list[_Node]"

    @property
    def length(self) -> float:
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    @property
    def reach(self) -> float:
        """Length of the longest way from its start to an end [m]."""
        return self.length + max((daughter.reach for daughter in self.daughters), default=0.0)


def airway_tree(mask: Bool[np.ndarray, "i j k"], T_world_index: Float64[np.ndarray, "4 4"]) -> AirwayTree | None:
    """Find the centrelines of an airway.

    Args:
        mask: Trachea, with bronchi where they are known; its largest piece counts.
        T_world_index: Maps its indices to RAS [m]; columns perpendicular.

    Returns:
        The tree; None where the mask is too small to have an axis.
    """
    pieces, count = ndimage.label(mask, ndimage.generate_binary_structure(3, 3))
    if count == 0:
        return None
    largest = pieces == int(np.bincount(pieces.ravel())[1:].argmax()) + 1
    occupancy, grid = resample(largest, T_world_index, spacing=_spacing(largest, T_world_index), margin=0.002)
    fine = ndimage.binary_fill_holes(occupancy > 0.5)
    distance = (ndimage.distance_transform_edt(fine) * grid.spacing).astype(np.float32)
    if distance.max() < 2 * grid.spacing:
        return None
    graph = skeleton_graph(fine, distance, grid)
    if not graph.edges:
        return None
    root, rings = _rooted(graph)
    _join(root)
    twigs = _cut(root) + _without_side_twigs(root)
    if root.length < 2 * SPACING:
        return None
    branches = tuple(_named(_smooth(root, occupancy, grid)))
    return AirwayTree(branches, twigs, rings, grid.spacing, _ridge(branches, occupancy, grid))


def _spacing(mask: NDArray[np.bool_], T_world_index: Array) -> float:
    voxel = np.linalg.norm(T_world_index[:3, :3], axis=0)
    wanted = float(np.clip(voxel.min(), FINEST, COARSEST))
    extent = [np.ptp(np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {n})))) * voxel[n] + 0.01 for n in range(3)]
    return max(wanted, float((np.prod(extent) / MOST_VOXELS) ** (1 / 3)))


def _rooted(graph: SkeletonGraph) -> tuple[_Node, int]:
    """Hang the skeleton up by its uppermost end: the tree of shortest ways, and the curves that it leaves out."""
    count = len(graph.nodes)
    best: dict[tuple[int, int], int] = {}
    for index, edge in enumerate(graph.edges):
        pair = (min(edge.nodes), max(edge.nodes))
        if pair not in best or edge.length < graph.edges[best[pair]].length:
            best[pair] = index
    rows, columns = np.array(list(best)).T
    lengths = np.array([max(graph.edges[index].length, 1e-9) for index in best.values()])
    degree = np.bincount(np.array([edge.nodes for edge in graph.edges]).ravel(), minlength=count)
    ends = np.flatnonzero(degree == 1)
    top = int(ends[graph.nodes[ends, 2].argmax()]) if len(ends) else int(graph.nodes[:, 2].argmax())
    links = coo_array((lengths, (rows, columns)), shape=(count, count))
    _, before = dijkstra(links.tocsr(), directed=False, indices=top, return_predecessors=True)
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(before.tolist()):
        if parent >= 0:
            children.setdefault(parent, []).append(node)

    def hang(parent: int, node: int) -> _Node:
        edge: Edge = graph.edges[best[min(parent, node), max(parent, node)]].leaving(parent)
        made = _Node(edge.points, edge.radius, [])
        waiting = [(made, node)]
        while waiting:
            above, at = waiting.pop()
            for below in children.get(at, []):
                edge = graph.edges[best[min(at, below), max(at, below)]].leaving(at)
                daughter = _Node(edge.points, edge.radius, [])
                above.daughters.append(daughter)
                waiting.append((daughter, below))
        return made

    first = children.get(top, [])
    if not first:
        return _Node(graph.nodes[[top]], np.zeros(1), []), 0
    root = hang(top, first[0])
    kept = int((before >= 0).sum())
    reachable = sum(1 for edge in graph.edges if edge.nodes[0] == top or before[edge.nodes[0]] >= 0)
    return root, reachable - kept


def _walk(root: _Node) -> Iterator[_Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop(0)
        yield node
        waiting += node.daughters


def _cut(root: _Node) -> int:
    """Cut ends that are no longer than the tube that they stand on is wide, the shortest first; return how many."""
    count = 0
    while True:
        worst: tuple[float, _Node, _Node] | None = None
        for node in _walk(root):
            for daughter in node.daughters:
                if daughter.daughters:
                    continue
                over = daughter.length - STANDS_OUT * float(daughter.radius[0]) - LEAST
                if over < 0 and (worst is None or over < worst[0]):
                    worst = (over, node, daughter)
        if worst is None:
            return count
        worst[1].daughters.remove(worst[2])
        count += 1
        _join(root)


def _join(root: _Node) -> None:
    """Make one branch of every branch with its single daughter."""
    for node in _walk(root):
        while len(node.daughters) == 1:
            (daughter,) = node.daughters
            node.points = np.concatenate([node.points, daughter.points[1:]])
            node.radius = np.concatenate([node.radius, daughter.radius[1:]])
            node.daughters = daughter.daughters


def _smooth(root: _Node, occupancy: NDArray[np.float32], grid: Grid) -> _Node:
    """Space the points of every branch evenly, take the voxels' steps out, and measure the radius to the boundary."""
    boundary = boundary_points(occupancy, grid)
    for node in _walk(root):
        even = resampled(node.points, SPACING)
        if len(even) > 3:
            step = float(np.linalg.norm(np.diff(even, axis=0), axis=1).mean())
            even = smoothed(even, step, min(SMOOTHING, 0.2 * node.length))
            even[[0, -1]] = node.points[[0, -1]]
        node.points = even
        node.radius = np.asarray(boundary.query(even)[0], dtype=np.float64)
    return root


def _ridge(branches: Sequence[AirwayBranch], occupancy: NDArray[np.float32], grid: Grid) -> Array | None:
    """Find where a wall first stands between the axes of the main bronchi, equally far along both."""
    main = [branch for branch in branches if branch.name in ("right_main", "left_main")]
    if len(main) < 2:
        return None
    arcs = [arc_lengths(branch.points) for branch in main]
    steps = np.arange(0.0, min(arc[-1] for arc in arcs), grid.spacing / 2)
    ends = [interpolated(arc, branch.points, steps) for arc, branch in zip(arcs, main, strict=True)]
    share = np.linspace(0.0, 1.0, 41)[None, :, None]
    between = ends[0][:, None] + share * (ends[1] - ends[0])[:, None]  # (n, 41, 3)
    found = grid.sample(occupancy, between.reshape(-1, 3)).reshape(between.shape[:2])
    wall = found.min(axis=1) < 0.5
    row = int(np.argmax(wall)) if wall.any() else len(steps) - 1
    return np.asarray(between[row, int(found[row].argmin())])


def _without_side_twigs(root: _Node) -> int:
    """Cut what leaves the trachea before the carina and is shorter than a main bronchus; return how many."""
    count = 0
    while root.daughters:
        long = [daughter for daughter in root.daughters if daughter.reach >= MAIN]
        if len(long) > 1:
            break
        count += len(root.daughters) - len(long)
        root.daughters = long
        _join(root)
    return count


def _named(root: _Node) -> Iterator[AirwayBranch]:
    """Name the branches, parents first: trachea, main bronchi by their sides, daughters by their widths."""
    trachea = AirwayBranch("trachea", None, 0, root.points, root.radius)
    yield trachea
    main = sorted(root.daughters, key=lambda node: -node.reach)
    pair = sorted(main[:2], key=lambda node: -float(node.points[len(node.points) // 2, 0]))  # right is +x
    waiting = [(node, f"{side}_main", f"{side}_", trachea) for node, side in zip(pair, ("right", "left"), strict=False)]
    waiting += [(node, f"other_{n}", f"other_{n}", trachea) for n, node in enumerate(main[2:], start=1)]
    while waiting:
        node, name, stem, parent = waiting.pop(0)
        branch = AirwayBranch(name, parent.name, parent.generation + 1, node.points, node.radius)
        yield branch
        ordered = sorted(node.daughters, key=lambda daughter: -float(np.median(daughter.radius)))
        for letter, daughter in zip("abcdefgh", ordered, strict=False):
            waiting.append((daughter, f"{stem}{letter}", f"{stem}{letter}", branch))

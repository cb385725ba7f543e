"""The skeleton of a tubular structure as a graph: junctions and ends, and the curves between them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

from assets.errors import InputError
from assets.lumen.curves import SPACING, place
from assets.lumen.grid import Grid

SHORTEST_RING = 8
"""A curve from a junction to itself of fewer voxels than this is a detail of the junction."""


@dataclass(frozen=True)
class Edge:
    """A curve of the skeleton between two nodes."""

    nodes: tuple[int, int]
    points: Float64[np.ndarray, "n 3"]
    """From the first node to the second, RAS [m]."""
    radius: Float64[np.ndarray, "n"]
    """Distance to the structure's boundary [m]; 0 along a bridge over a gap."""

    @property
    def length(self) -> float:
        """Arc length [m]."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    def other(self, node: int) -> int:
        """Return the node at the other end."""
        return self.nodes[1] if node == self.nodes[0] else self.nodes[0]

    def leaving(self, node: int) -> "Edge":
        """Return the edge with `node` first."""
        return self if node == self.nodes[0] else Edge(self.nodes[::-1], self.points[::-1], self.radius[::-1])


@dataclass(frozen=True)
class SkeletonGraph:
    """Nodes are junctions and ends of the skeleton."""

    nodes: Float64[np.ndarray, "n 3"]
    """RAS [m]."""
    edges: tuple[Edge, ...]

    def at(self, node: int) -> list[int]:
        """Return the indices of the edges that meet in a node."""
        return [index for index, edge in enumerate(self.edges) if node in edge.nodes]


def skeleton_graph(
    mask: Bool[np.ndarray, "i j k"], distance: Float32[np.ndarray, "i j k"], grid: Grid
) -> SkeletonGraph:
    """Thin a mask and trace what is left (Lee, Kashyap & Chu, CVGIP 56(6), 1994).

    Args:
        mask: Without cavities, or the skeleton encloses them with a sheet.
        distance: Distance to the boundary [m].
        grid: Of both.
    """
    voxels = np.argwhere(skeletonize(mask))
    pairs = cKDTree(voxels).query_pairs(1.75, output_type="ndarray")  # 26 neighbours
    count = len(voxels)
    degree = np.bincount(pairs.ravel(), minlength=count)
    # Adjacent voxels with more than two neighbours are one junction.
    knots = degree != 2
    inner = pairs[(degree[pairs] > 2).all(axis=1)]
    links = coo_array((np.ones(len(inner)), (inner[:, 0], inner[:, 1])), shape=(count, count))
    cluster = connected_components(links, directed=False)[1]
    clusters, node_of = np.unique(cluster[knots], return_inverse=True)
    node = np.full(count, -1)
    node[knots] = node_of
    world = grid.to_world(voxels.astype(np.float64))
    members = np.bincount(node_of, minlength=len(clusters))
    centres = np.stack([np.bincount(node_of, world[knots, axis]) / members for axis in range(3)], axis=1)

    neighbours: list[list[int]] = [[] for _ in range(count)]
    for a, b in pairs.tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    radius = distance[tuple(voxels.T)].astype(np.float64)
    edges = []
    for chain in _chains(neighbours, node):
        first, last = int(node[chain[0]]), int(node[chain[-1]])
        points = np.vstack([centres[first], world[chain[1:-1]], centres[last]])
        if first != last:
            edges.append(Edge((first, last), points, radius[chain]))
        elif len(chain) >= SHORTEST_RING:
            # A limb whose tip is fused to its own start: a node halfway makes it two curves.
            half = len(chain) // 2
            centres = np.vstack([centres, points[half]])
            middle = len(centres) - 1
            edges.append(Edge((first, middle), points[: half + 1], radius[chain[: half + 1]]))
            edges.append(Edge((middle, last), points[half:], radius[chain[half:]]))
    return SkeletonGraph(centres, tuple(edges))


def _chains(neighbours: list[list[int]], node: NDArray[np.int64]) -> list[list[int]]:
    """Trace every curve of voxels from node to node once."""
    chains = []
    for start in np.flatnonzero(node >= 0).tolist():
        for following in neighbours[start]:
            chain = [start, following]
            while node[chain[-1]] < 0:
                chain.append(next(voxel for voxel in neighbours[chain[-1]] if voxel != chain[-2]))
            # Each curve is met from both ends; keep the one from the lower voxel.
            if (chain[0], chain[1]) <= (chain[-1], chain[-2]):
                chains.append(chain)
    return chains


def bridged(graph: SkeletonGraph, longest: float) -> SkeletonGraph:
    """Join the pieces of a graph by straight bridges (radius 0), the shortest first.

    Args:
        graph: Of any number of pieces.
        longest: Longest bridge allowed [m].

    Raises:
        InputError: A gap is longer; it names the place.
    """
    edges = list(graph.edges)
    degree = np.bincount(np.array([edge.nodes for edge in edges], dtype=int).ravel(), minlength=len(graph.nodes))
    while True:
        pairs = np.array([edge.nodes for edge in edges], dtype=int).reshape(-1, 2)
        links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(graph.nodes),) * 2)
        count, piece = connected_components(links, directed=False)
        if count <= 1:
            return SkeletonGraph(graph.nodes, tuple(edges))
        # A bridge starts from an end; a ring has none, so any of its nodes will do.
        with_end = np.bincount(piece[degree <= 1], minlength=count) > 0
        ends = np.flatnonzero((degree <= 1) | ~with_end[piece])
        gaps = np.linalg.norm(graph.nodes[ends][:, None] - graph.nodes[ends][None], axis=2)
        gaps[piece[ends][:, None] == piece[ends][None]] = np.inf
        a, b = (int(ends[n]) for n in np.unravel_index(int(np.argmin(gaps)), gaps.shape))
        gap = float(gaps.min())
        if gap > longest:
            raise InputError(
                f"expected a colon in pieces at most {longest * 1e3:.0f} mm apart, found a gap of {gap * 1e3:.0f} mm "
                f"between {place(graph.nodes[a])} and {place(graph.nodes[b])}"
            )
        steps = np.linspace(0.0, 1.0, max(int(gap / SPACING), 2))[:, None]
        line = (1 - steps) * graph.nodes[a] + steps * graph.nodes[b]
        edges.append(Edge((a, b), line, np.zeros(len(line))))

"""Boxes, rings, rods and balls of tetrahedra: nodes [m] and corner indices of structured meshes."""

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Shape = tuple[NDArray[np.float64], NDArray[np.int32]]
"""Nodes [m], shape (n, 3), and tets, shape (e, 4)."""


def box(size: tuple[float, float, float], cells: tuple[int, int, int]) -> Shape:
    """Fill a box with six tetrahedra a cell (Kuhn's division), one corner at the origin.

    Args:
        size: Along x, y, z [m].
        cells: Along x, y, z.
    """
    grid = np.stack(np.meshgrid(*(np.linspace(0, s, c + 1) for s, c in zip(size, cells, strict=True)), indexing="ij"))
    index = np.arange(grid[0].size).reshape(grid[0].shape)
    return grid.reshape(3, -1).T.copy(), _kuhn(index)


def tube(inner: float, outer: float, length: float, cells: tuple[int, int, int]) -> Shape:
    """Fill a thick-walled tube about the z axis, from z = 0.

    Args:
        inner: Radius of the bore [m].
        outer: Radius of the outside [m].
        length: [m].
        cells: Along the radius, around, and along z.
    """
    radial, around, along = cells
    radius, angle, z = np.meshgrid(
        np.linspace(inner, outer, radial + 1),
        np.linspace(0, 2 * np.pi, around, endpoint=False),
        np.linspace(0, length, along + 1),
        indexing="ij",
    )
    index = np.arange(radius.size).reshape(radius.shape)
    nodes = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1).reshape(-1, 3)
    return nodes, _kuhn(np.concatenate([index, index[:, :1]], axis=1))


def rod(radius: float, length: float, cells: tuple[int, int]) -> Shape:
    """Fill a solid cylinder about the z axis, from z = 0: a hexagon of triangles, bent to a disc and extruded.

    Args:
        radius: [m].
        length: [m].
        cells: Along the radius, and along z.
    """
    rings, along = cells
    points: list[tuple[float, float]] = []
    number: dict[tuple[int, int], int] = {}
    for a in range(-rings, rings + 1):
        for b in range(-rings, rings + 1):
            ring = max(abs(a), abs(b), abs(a + b))
            if ring <= rings:
                flat = np.array([a + b / 2, b * np.sqrt(3) / 2])
                flat *= radius / rings * ring / max(float(np.hypot(*flat)), 1e-300)
                number[a, b] = len(points)
                points.append((float(flat[0]), float(flat[1])))
    triangles = []
    for a, b in number:
        for second, third in (((a + 1, b), (a, b + 1)), ((a + 1, b - 1), (a + 1, b))):
            if second in number and third in number:
                triangles.append((number[a, b], number[second], number[third]))
    disc = np.array(points)
    heights = np.linspace(0, length, along + 1)
    nodes = np.concatenate([np.column_stack([disc, np.full(len(disc), z)]) for z in heights])
    # A prism falls into three tetrahedra; the order of the node numbers decides its diagonals alike from both sides.
    low = np.sort(np.array(triangles), axis=1)[None] + len(disc) * np.arange(along)[:, None, None]
    prism = np.concatenate([low, low + len(disc)], axis=2).reshape(-1, 6)
    tets = prism[:, [[0, 1, 2, 5], [0, 1, 4, 5], [0, 3, 4, 5]]].reshape(-1, 4)
    return nodes, _oriented(nodes, tets)


def ball(radius: float, cells: int) -> Shape:
    """Fill a ball about the origin: the 20 tetrahedra of an icosahedron, each divided into cells^3 and made round.

    Args:
        radius: [m].
        cells: Along the radius; the ball has 20 cells^3 elements.
    """
    golden = (1 + np.sqrt(5)) / 2
    corners = np.array(
        [shift for a in (-1.0, 1.0) for b in (-golden, golden) for shift in ((0, a, b), (a, b, 0), (b, 0, a))]
    )
    gaps = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    near = np.isclose(gaps, 2.0)
    faces = [
        (i, j, k) for i in range(12) for j in range(i) for k in range(j) if near[i, j] and near[j, k] and near[i, k]
    ]
    # Kuhn's division of the lattice cells n >= x >= y >= z >= 0, mapped onto (centre, i, j, k).
    lattice, cell_tets = box((cells, cells, cells), (cells, cells, cells))
    inside = (lattice[:, 0] >= lattice[:, 1] - 1e-9) & (lattice[:, 1] >= lattice[:, 2] - 1e-9)
    cell_tets = cell_tets[inside[cell_tets].all(axis=1)]
    parts = []
    for i, j, k in faces:
        edges = np.stack([corners[i], corners[j] - corners[i], corners[k] - corners[j]]) / cells
        flat = lattice @ edges
        length = np.linalg.norm(flat, axis=1, keepdims=True)
        parts.append(flat * (radius * lattice[:, :1] / cells) / np.where(length > 0, length, 1.0))
    everywhere = np.concatenate(parts)
    every_tet = np.concatenate([cell_tets + part * len(lattice) for part in range(len(faces))])
    used, local = np.unique(every_tet, return_inverse=True)
    # Faces, edges and the centre are shared: equal to rounding, hence one node.
    _, first, merged = np.unique(
        np.round(everywhere[used] / radius, 9) + 0.0, axis=0, return_index=True, return_inverse=True
    )
    nodes = everywhere[used][first]
    tets = merged.ravel()[local.ravel()].reshape(-1, 4)
    return nodes, _oriented(nodes, tets)


def _kuhn(index: NDArray[np.int64]) -> NDArray[np.int32]:
    """Divide each cell of a grid of node numbers along its main diagonal into six tetrahedra."""
    tets = []
    low = tuple(slice(0, n - 1) for n in index.shape)
    for order in permutations(range(3)):
        corner = [0, 0, 0]
        path = [index[low].ravel()]
        for axis in order:
            corner[axis] = 1
            path.append(index[tuple(slice(c, c + n - 1) for c, n in zip(corner, index.shape, strict=True))].ravel())
        odd = order in ((0, 2, 1), (1, 0, 2), (2, 1, 0))
        tets.append(np.stack([path[0], path[2], path[1], path[3]] if odd else path, axis=1))
    return np.stack(tets, axis=1).reshape(-1, 4).astype(np.int32)


def _oriented(nodes: NDArray[np.float64], tets: NDArray[np.integer]) -> NDArray[np.int32]:
    edges = nodes[tets[:, 1:]] - nodes[tets[:, :1]]
    return np.where((np.linalg.det(edges) < 0)[:, None], tets[:, [0, 2, 1, 3]], tets).astype(np.int32)

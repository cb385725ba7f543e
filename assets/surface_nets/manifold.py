"""Take one surface a label out of a net, each edge with two triangles, each vertex with one fan of them."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from assets.surface_nets.net import Sheets

Surface = tuple[NDArray[np.float64], NDArray[np.int32]]
"""Vertices, shape (v, 3), and triangles, shape (t, 3)."""


def label_surfaces(points: Float64[np.ndarray, "v 3"], sheets: Sheets) -> dict[int, Surface]:
    """Return vertices and triangles of every label but the background; normals point out of the label.

    Where two voxels of a label touch along an edge only, its surface passes through that edge twice: the sheets are
    taken apart, so that either belongs to one of the voxels, and their vertices stand in one place.
    """
    surfaces = {}
    for label, (faces, inside) in _by_label(sheets).items():
        source, corners = _parted(faces, inside)
        surfaces[label] = _untied(points[source], corners, inside)
    return surfaces


def singular(count: int, sheets: Sheets) -> NDArray[np.bool_]:
    """Say which vertices of the net are several vertices of one label, or end an edge of contact, shape (count,)."""
    found = np.zeros(count, bool)
    for faces, inside in _by_label(sheets).values():
        source, _ = _parted(faces, inside)
        found |= np.bincount(source, minlength=count) > 1
        edge, uses = np.unique(_edges(faces, count), return_counts=True)
        contact = edge[uses > 2]
        found[contact // count] = found[contact % count] = True
    return found


def _by_label(sheets: Sheets) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the triangles of each label, turned outwards, and the voxel inside each."""
    front, back = sheets.sides[:, 0] > 0, sheets.sides[:, 1] > 0
    faces = np.concatenate([sheets.triangles[front], sheets.triangles[back][:, ::-1]])
    owner = np.concatenate([sheets.sides[front, 0], sheets.sides[back, 1]])
    inside = np.concatenate([sheets.voxels[front, 0], sheets.voxels[back, 1]])
    order = np.argsort(owner, kind="stable")
    faces, owner, inside = faces[order], owner[order], inside[order]
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    last = np.append(first[1:], len(owner))
    return {int(owner[a]): (faces[a:b], inside[a:b]) for a, b in zip(first, last, strict=True)}


def _edges(corners: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return a number for the edge from each corner to the next, the same in both directions, shape (3 t,)."""
    start, end = corners.ravel(), np.roll(corners, -1, axis=1).ravel()
    return np.minimum(start, end).astype(np.int64) * count + np.maximum(start, end)


def _parted(faces: NDArray[np.int64], inside: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give a label's triangles vertices of their own.

    Returns:
        The net's vertex of each new vertex, in the order of the net; and the triangles' corners.
    """
    used, corners = np.unique(faces, return_inverse=True)
    corners = corners.reshape(-1, 3)
    group, uses = np.unique(_edges(corners, len(used)), return_inverse=True, return_counts=True)[1:]
    # Of the four triangles about an edge of contact, the two at the same voxel belong together.
    within = np.where(uses[group] > 2, np.repeat(inside, 3), 0)
    order = np.lexsort((within, group))
    one, two = order[0::2], order[1::2]  # half edges, 3 x triangle + corner
    # A half edge runs from its corner to the next; its partner runs the other way.
    next_of_one, next_of_two = one - one % 3 + (one % 3 + 1) % 3, two - two % 3 + (two % 3 + 1) % 3
    rows, columns = np.concatenate([one, next_of_one]), np.concatenate([next_of_two, two])
    links = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(corners.size, corners.size))
    count, vertex = connected_components(links, directed=False)
    source = np.zeros(count, np.int64)
    source[vertex] = used[corners.ravel()]
    rank = np.empty(count, np.int64)
    rank[np.argsort(source, kind="stable")] = np.arange(count)
    return np.sort(source), rank[vertex].reshape(-1, 3)


def _untied(points: NDArray[np.float64], faces: NDArray[np.int64], inside: NDArray[np.int64]) -> Surface:
    """Put a vertex into an edge that two pairs of triangles share from end to end, so that each pair has its own.

    This is left where both ends belong to one fan of triangles, though the sheets between them are two.
    """
    while True:
        group, uses = np.unique(_edges(faces, len(points)), return_inverse=True, return_counts=True)[1:]
        tied = np.flatnonzero(uses[group] > 2)
        if not len(tied):
            return points, faces.astype(np.int32)
        tied = tied[np.lexsort((np.repeat(inside, 3)[tied], group[tied]))]
        cut: set[int] = set()
        fresh_points: list[NDArray[np.float64]] = []
        fresh_faces: list[tuple[int, int, int]] = []
        fresh_inside: list[int] = []
        # Of the pairs of an edge all but one get a vertex; a triangle is cut once in a round.
        done = -1
        for one, two in zip(tied[0::2].tolist(), tied[1::2].tolist(), strict=True):
            if group[one] != done:
                done = int(group[one])
                continue
            if one // 3 in cut or two // 3 in cut:
                continue
            cut |= {one // 3, two // 3}
            middle = len(points) + len(fresh_points)
            a, b, _ = np.roll(faces[one // 3], -(one % 3))
            fresh_points.append((points[a] + points[b]) / 2)
            for half in (one, two):
                a, b, c = np.roll(faces[half // 3], -(half % 3)).tolist()
                fresh_faces += [(a, middle, c), (middle, b, c)]
                fresh_inside += [int(inside[half // 3])] * 2
        keep = np.ones(len(faces), bool)
        keep[list(cut)] = False
        points = np.concatenate([points, np.array(fresh_points)])
        faces = np.concatenate([faces[keep], np.array(fresh_faces, np.int64)])
        inside = np.concatenate([inside[keep], np.array(fresh_inside, np.int64)])

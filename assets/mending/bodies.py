"""Turn the triangles of each body the same way, and split a surface into its bodies."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Cells = Int64[np.ndarray, "t 3"]


@dataclass(frozen=True)
class Edges:
    """Every edge of a surface once, and the triangles at it."""

    ends: Int64[np.ndarray, "e 2"]
    """Vertices, the smaller one first."""
    uses: Int64[np.ndarray, "e"]
    """Triangles at the edge."""
    of_side: Int64[np.ndarray, "s"]
    """Edge of side k of triangle t, at 3 t + k."""
    forward: NDArray[np.bool_]
    """Whether that side runs from the smaller to the larger vertex."""


def edges_of(triangles: Cells) -> Edges:
    """Return the edges of triangles."""
    start, end = triangles.ravel(), np.roll(triangles, -1, axis=1).ravel()
    pairs = np.stack([np.minimum(start, end), np.maximum(start, end)], axis=1)
    ends, of_side, uses = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    return Edges(ends, uses, of_side.reshape(-1), start < end)


def oriented(triangles: Cells) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Turn the triangles of each body as most of them are turned.

    A body is what is joined through edges of exactly two triangles.

    Returns:
        Triangles, and for each its body, whether it was turned over, and whether it lies on a body with one side only,
        as a Moebius strip has, which cannot be oriented; shape (t,) each.
    """
    edges, count = edges_of(triangles), len(triangles)
    order = np.argsort(edges.of_side, kind="stable")
    first = order[np.searchsorted(edges.of_side[order], np.flatnonzero(edges.uses == 2))]
    second = order[np.searchsorted(edges.of_side[order], np.flatnonzero(edges.uses == 2)) + 1]
    a, b = first // 3, second // 3
    against = edges.forward[first] == edges.forward[second]  # both run the same way: one of the two is turned over
    # Two nodes a triangle, as it is and turned over; neighbours that agree are joined.
    other = np.where(against, b + count, b)
    reverse = np.where(against, b, b + count)
    rows, columns = np.concatenate([a, a + count]), np.concatenate([other, reverse])
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(2 * count, 2 * count))
    component = connected_components(graph, directed=False)[1].astype(np.int64)
    as_is, turned = component[:count], component[count:]
    one_sided = as_is == turned
    votes = np.bincount(as_is, minlength=int(component.max()) + 1 if count else 0)
    flip = (votes[turned] > votes[as_is]) | ((votes[turned] == votes[as_is]) & (turned < as_is))
    flip &= ~one_sided
    result = triangles.copy()
    result[flip] = result[flip][:, ::-1]
    body = np.unique(np.minimum(as_is, turned), return_inverse=True)[1].reshape(-1)
    return result, body.astype(np.int64), flip, one_sided


def compact(vertices: Float64[np.ndarray, "v 3"], triangles: Cells) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Leave out vertices of no triangle."""
    used, corners = np.unique(triangles, return_inverse=True)
    return vertices[used], corners.reshape(-1, 3).astype(np.int64)


def signed_volume(vertices: Float64[np.ndarray, "v 3"], triangles: Cells) -> float:
    """Return the enclosed volume [m^3]; negative where the normals point inwards."""
    a, b, c = (vertices[triangles[:, n]] - vertices.mean(axis=0) for n in range(3))
    return float((a * np.cross(b, c)).sum() / 6.0)

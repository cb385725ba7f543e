"""Normals that tell the side of a closed surface at its vertices and edges too.

After Baerentzen & Aanaes, doi:10.1109/TVCG.2005.49: with the sum of the normals of the triangles about the nearest
place, at a vertex weighted by their angles, the sign of (point - nearest place) . normal is right everywhere.
"""

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from assets.mesh import Mesh


def pseudonormals(mesh: Mesh) -> Float32[np.ndarray, "t 7 3"]:
    """Return seven normals of each triangle, not of unit length.

    Of its three corners in their order, of the edges opposite to these, and its own. An edge without another triangle
    has the triangle's own normal.
    """
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    ways = np.roll(corners, -1, axis=1) - corners  # from each corner to the next
    own = _unit(np.cross(ways[:, 0], ways[:, 1]))
    ways = _unit(ways)
    angles = np.arccos(np.clip(np.einsum("tck,tck->tc", ways, -np.roll(ways, 1, axis=1)), -1.0, 1.0))
    at_corners = np.zeros((len(mesh.vertices), 3))
    np.add.at(at_corners, mesh.triangles, angles[..., None] * own[:, None])
    ends = np.stack([np.roll(mesh.triangles, -1, axis=1), np.roll(mesh.triangles, -2, axis=1)]).astype(np.int64)
    edge = np.unique(ends.min(axis=0) * len(mesh.vertices) + ends.max(axis=0), return_inverse=True)[1].reshape(-1, 3)
    at_edges = np.zeros((edge.max(initial=-1) + 1, 3))
    np.add.at(at_edges, edge, np.repeat(own[:, None], 3, axis=1))
    return np.concatenate([at_corners[mesh.triangles], at_edges[edge], own[:, None]], axis=1).astype(np.float32)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale to length 1; what has none stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)

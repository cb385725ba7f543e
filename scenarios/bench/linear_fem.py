"""Small-deformation finite elements in SciPy, as an independent reference for `sim.soft`.

Linear tetrahedra with element or nodal integration of the volumetric part, and quadratic tetrahedra on the same mesh
(with the mid-points of its edges), solved directly. Zienkiewicz and Taylor, The Finite Element Method, 5th edition,
volume 1, chapters 6 and 8.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


def static_displacement(
    nodes: Float[np.ndarray, "n 3"],
    tets: Int[np.ndarray, "e 4"],
    lame: tuple[float, float],
    fixed: NDArray[np.bool_],
    load: Float[np.ndarray, "n 3"],
    *,
    volumetric: Literal["element", "nodal"] = "element",
) -> NDArray[np.float64]:
    """Solve for the displacement of linear tetrahedra.

    Args:
        nodes: [m]
        tets: Corners.
        lame: mu and lambda [Pa].
        fixed: Components that do not move, shape (n, 3).
        load: [N]
        volumetric: Where the lambda part is integrated: per element, or on the mean dilatation around each node.

    Returns:
        [m], shape (n, 3).
    """
    mu, lam = lame
    gradients, volumes = _gradients(nodes, tets)
    dyads = np.einsum("eia,ejb->eijab", gradients, gradients)
    dots = np.einsum("eijaa->eij", dyads)[..., None, None] * np.eye(3)
    blocks = mu * volumes[:, None, None, None, None] * (dots + dyads.transpose(0, 1, 2, 4, 3))
    matrix = _assembled(tets, blocks, len(nodes))
    weight = (volumes[:, None, None] * gradients).reshape(len(tets), 12)
    columns = (3 * tets[:, :, None] + np.arange(3)).reshape(len(tets), 12)
    rows = np.repeat(np.arange(len(tets))[:, None], 12, axis=1)
    divergence = sparse.csr_matrix((weight.ravel(), (rows.ravel(), columns.ravel())), (len(tets), 3 * len(nodes)))
    if volumetric == "nodal":
        share = sparse.csr_matrix(
            (np.full(tets.size, 0.25), (tets.ravel(), np.repeat(np.arange(len(tets)), 4))), (len(nodes), len(tets))
        )
        divergence, volumes = share @ divergence, share @ volumes
    matrix = matrix + lam * divergence.T @ sparse.diags(1 / volumes) @ divergence
    return _solved(matrix, fixed, load)


def quadratic_displacement(
    nodes: Float[np.ndarray, "n 3"],
    tets: Int[np.ndarray, "e 4"],
    lame: tuple[float, float],
    fixed: NDArray[np.bool_],
    traction: tuple[NDArray[np.integer], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Solve for the displacement of quadratic tetrahedra on the same mesh, straight-edged.

    Args:
        nodes: [m]
        tets: Corners.
        lame: mu and lambda [Pa].
        fixed: Components of the corners that do not move, shape (n, 3); a mid-point is held where both ends are.
        traction: Triangles that are pulled on, shape (t, 3), and the force on each [N], shape (t, 3).

    Returns:
        Of the corners [m], shape (n, 3).
    """
    mu, lam = lame
    count = len(nodes)
    pairs = np.sort(np.stack([tets[:, edge] for edge in _EDGES], axis=1), axis=2).astype(np.int64)
    keys, middle = np.unique(pairs[..., 0] * count + pairs[..., 1], return_inverse=True)
    every = np.concatenate([tets, middle.reshape(len(tets), 6) + count], axis=1)
    gradients, volumes = _gradients(nodes, tets)
    blocks = np.zeros((len(tets), 10, 10, 3, 3))
    a, b = (5 + 3 * np.sqrt(5)) / 20, (5 - np.sqrt(5)) / 20  # Keast's four points, exact for quadratics
    for point in range(4):
        bary = np.full(4, b)
        bary[point] = a
        slopes = [(4 * bary[i] - 1) * gradients[:, i] for i in range(4)]
        slopes += [4 * (bary[i] * gradients[:, j] + bary[j] * gradients[:, i]) for i, j in _EDGES]
        slope = np.stack(slopes, axis=1)
        dyads = np.einsum("eia,ejb->eijab", slope, slope)
        dots = np.einsum("eijaa->eij", dyads)[..., None, None] * np.eye(3)
        blocks += volumes[:, None, None, None, None] / 4 * (mu * (dots + dyads.transpose(0, 1, 2, 4, 3)) + lam * dyads)
    total = count + len(keys)
    held = np.concatenate([fixed, fixed[keys // count] & fixed[keys % count]])
    load = np.zeros((total, 3))
    triangles, force = traction
    for i in range(3):  # a constant traction goes to the mid-points of the edges, a third each
        ends = np.sort(triangles[:, [i, (i + 1) % 3]], axis=1).astype(np.int64)
        np.add.at(load, count + np.searchsorted(keys, ends[:, 0] * count + ends[:, 1]), force / 3)
    return _solved(_assembled(every, blocks, total), held, load)[:count]


def _gradients(
    nodes: NDArray[np.float64], tets: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the gradients of the corners' shape functions, shape (e, 4, 3) [1/m], and volumes (e,) [m^3]."""
    edges = nodes[tets[:, 1:]] - nodes[tets[:, :1]]
    slope = np.linalg.inv(edges).transpose(0, 2, 1)
    return np.concatenate([-slope.sum(axis=1, keepdims=True), slope], axis=1), np.linalg.det(edges) / 6


def _assembled(tets: NDArray[np.integer], blocks: NDArray[np.float64], count: int) -> sparse.csr_matrix:
    corners = tets.shape[1]
    place = 3 * tets[:, :, None] + np.arange(3)
    rows = np.broadcast_to(place[:, :, None, :, None], (len(tets), corners, corners, 3, 3))
    columns = np.broadcast_to(place[:, None, :, None, :], rows.shape)
    return sparse.csr_matrix((blocks.ravel(), (rows.ravel(), columns.ravel())), (3 * count, 3 * count))


def _solved(matrix: sparse.csr_matrix, fixed: NDArray[np.bool_], load: NDArray[np.float64]) -> NDArray[np.float64]:
    free = np.flatnonzero(~fixed.ravel())
    result = np.zeros(fixed.size)
    result[free] = splu(matrix[free][:, free].tocsc()).solve(load.ravel()[free])
    return result.reshape(-1, 3)

"""From voxels to a closed triangle mesh: smooth, of a wanted size, with the topology of the voxels."""

import fast_simplification
import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array, diags_array
from skimage.measure import marching_cubes

from assets.mesh import Mesh
from assets.mesh_check import check_mesh
from assets.transforms import apply

PASS_BAND = 0.1
"""Of Taubin's filter: structures longer than about 20 edges pass unchanged (Taubin, SIGGRAPH 1995)."""

SHRINK = 0.5
"""Taubin's first factor; the second follows from the pass band."""

_LEAST = 0.04
"""How far a voxel's value keeps from the level, so that smoothing cannot change the side that it is on."""


def closed_surface(
    inside: Bool[np.ndarray, "i j k"],
    T_world_index: Float64[np.ndarray, "4 4"],
    *,
    smoothing: float,
    iterations: int,
    triangles: int | None = None,
) -> Mesh:
    """Mesh a mask that does not touch the border of its array.

    Args:
        inside: The voxels.
        T_world_index: Maps voxel indices to RAS [m].
        smoothing: Standard deviation of the Gaussian [voxels].
        iterations: Of Taubin's filter.
        triangles: Wanted number; None keeps all. The mesh stays finer where reducing would tear it.

    Returns:
        A closed surface with its normals outwards.
    """
    vertices, faces, _, _ = marching_cubes(_field(inside, smoothing), 0.0)
    points = apply(T_world_index, vertices.astype(np.float64))
    faces = faces.astype(np.int32)
    if signed_volume(points, faces) < 0:
        faces = np.ascontiguousarray(faces[:, ::-1])
    points = taubin(points, faces, iterations)
    if triangles is not None and len(faces) > triangles:
        points, faces = _reduced(points, faces, triangles)
    return Mesh(points.astype(np.float32), faces)


def _field(inside: NDArray[np.bool_], smoothing: float) -> NDArray[np.float32]:
    """Blur the mask, but keep every voxel on its side."""
    field = inside.astype(np.float32) - np.float32(0.5)
    if smoothing > 0:
        field = ndimage.gaussian_filter(field, smoothing)
    return np.where(inside, np.maximum(field, _LEAST), np.minimum(field, -_LEAST)).astype(np.float32)


def taubin(
    points: Float64[np.ndarray, "v 3"], faces: NDArray[np.int32], iterations: int, pass_band: float = PASS_BAND
) -> NDArray[np.float64]:
    """Smooth a closed surface without shrinking it (Taubin, SIGGRAPH 1995), shape (v, 3)."""
    if iterations == 0:
        return points
    count = len(points)
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ones = np.ones(len(pairs))
    adjacent = csr_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    adjacent = adjacent + adjacent.T
    average = (diags_array(1.0 / np.maximum(adjacent.sum(axis=1), 1.0)) @ adjacent).tocsr()
    grow = 1.0 / (pass_band - 1.0 / SHRINK)
    for _ in range(iterations):
        points = points + SHRINK * (average @ points - points)
        points = points + grow * (average @ points - points)
    return np.asarray(points)


def _reduced(
    points: NDArray[np.float64], faces: NDArray[np.int32], triangles: int
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Reduce by quadric collapse; try gentler targets where the result would not be closed or change its topology."""
    whole = check_mesh(Mesh(points.astype(np.float32), faces))
    scale = 1e3  # the collapse works in single precision: millimetres keep the quadrics in range
    for share in (1.0, 1.02, 1.05, 1.1, 1.25, 1.5, 2.0):
        target = int(triangles * share)
        if target >= len(faces):
            break
        small, few = fast_simplification.simplify((points * scale).astype(np.float32), faces, target_count=target)
        reduced = small.astype(np.float64) / scale
        found = check_mesh(Mesh(reduced.astype(np.float32), few.astype(np.int32)))
        if not found.problems and (found.genus, found.body_count) == (whole.genus, whole.body_count):
            return reduced, few.astype(np.int32)
    return points, faces


def signed_volume(points: Float64[np.ndarray, "v 3"], faces: NDArray[np.int32]) -> float:
    """Return the enclosed volume [m^3]; positive where the normals point outwards."""
    a, b, c = (points[faces[:, n]] - points.mean(axis=0) for n in range(3))
    return float((a * np.cross(b, c)).sum() / 6.0)


def offset_to_volume(mesh: Mesh, volume: float) -> Mesh:
    """Move a closed surface along its normals until it encloses a volume [m^3]."""
    points, faces = mesh.vertices.astype(np.float64), mesh.triangles
    for _ in range(3):
        a, b, c = (points[faces[:, n]] for n in range(3))
        cross = np.cross(b - a, c - a)
        normals = np.zeros_like(points)
        for n in range(3):
            np.add.at(normals, faces[:, n], cross)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
        area = float(np.linalg.norm(cross, axis=1).sum() / 2)
        points = points + (volume - signed_volume(points, faces)) / area * normals
    return Mesh(points.astype(np.float32), faces)

"""The scene's triangles as the kernels want them: merged, cleaned, and sorted into small clusters."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float32, Int32
from numpy.typing import NDArray
from scipy import sparse

from assets.errors import InputError
from assets.transforms import unit
from sim.scene_objects import SceneObject

CLUSTER = 64
"""Triangles in a cluster: few enough that its bounding sphere is tight, enough that the test of it pays."""


@dataclass(frozen=True)
class Geometry:
    """All objects in one set of arrays, world frame [m]; triangles lie in the order of a space-filling curve."""

    vertices: Float32[np.ndarray, "v 3"]
    normals: Float32[np.ndarray, "v 3"]
    """Smooth unit normals towards the side from which the object is seen."""
    cavity: Float32[np.ndarray, "v"]
    """How hollow the surface is seen from that side: 1 deep in a groove, 0 flat, down to -0.2 on a ridge; a polyp is a
    ridge all over, and more would tell it by its pallor."""
    triangles: Int32[np.ndarray, "t 3"]
    scene_triangle: Int32[np.ndarray, "t"]
    """Index among the triangles of all objects one after the other."""
    flat_normals: Float32[np.ndarray, "t 3"]
    """Unit normals of the triangles towards the side from which they are seen."""
    triangle_object: Int32[np.ndarray, "t"]
    facing: Float32[np.ndarray, "o"]
    """For each object 1 if it is seen from the side to which its triangles' normals point, else -1."""
    cluster_start: Int32[np.ndarray, "c_plus_1"]
    cluster_sphere: Float32[np.ndarray, "c 4"]
    """Centre and radius [m] of a sphere around each cluster."""
    cluster_vertex_start: Int32[np.ndarray, "c_plus_1"]
    cluster_vertices: Int32[np.ndarray, "n"]
    """The vertices of each cluster, every one once, in rising order."""
    corners: Int32[np.ndarray, "t"]
    """Each triangle's vertices as places among its cluster's, 8 bits each, the first lowest; bit 24 is set where the
    triangle is seen from the side to which its normal points."""


def build_geometry(objects: Sequence[SceneObject]) -> Geometry:
    """Merge the objects; triangles without area and those with a vertex that is not finite are left out.

    Raises:
        InputError: A triangle names a vertex that is not there.
    """
    for item in objects:
        indices = item.mesh.triangles
        if indices.size and (indices.min() < 0 or indices.max() >= len(item.mesh.vertices)):
            raise InputError(
                f"scene object {item.name}: expected vertex indices 0 to {len(item.mesh.vertices) - 1}, "
                f"found {indices.min()} to {indices.max()}"
            )
    counts = [len(item.mesh.vertices) for item in objects]
    moved = [item.mesh.triangles + first for item, first in zip(objects, np.cumsum([0, *counts[:-1]]), strict=False)]
    vertices = np.concatenate([np.zeros((0, 3), np.float32), *(item.mesh.vertices for item in objects)])
    triangles = np.concatenate([np.zeros((0, 3), np.int32), *moved]).astype(np.int32)
    owner = np.repeat(np.arange(len(objects)), [len(item.mesh.triangles) for item in objects]).astype(np.int32)
    facing = np.array([-1.0 if item.kind == "lumen" else 1.0 for item in objects], np.float32)

    whole = np.isfinite(vertices).all(axis=1)
    vertices = np.where(whole[:, None], vertices, 0)
    a, b, c = (vertices[triangles[:, corner]].astype(np.float64) for corner in range(3))
    area_normal = np.cross(b - a, c - a)
    good = whole[triangles].all(axis=1) & (np.linalg.norm(area_normal, axis=1) > 0)
    chosen = np.flatnonzero(good)
    chosen = chosen[np.argsort(_curve_index((a + b + c)[chosen] / 3), kind="stable")]

    visible_normal = area_normal[chosen] * facing[owner[chosen], None]
    normals, cavity = _vertex_shape(vertices, triangles[chosen], visible_normal)
    starts = np.append(np.arange(0, len(chosen), CLUSTER), len(chosen)).astype(np.int32)
    cluster = np.arange(len(chosen)) // CLUSTER
    keys, place = np.unique(cluster[:, None] * len(vertices) + triangles[chosen], return_inverse=True)
    vertex_starts = np.searchsorted(keys, np.arange(len(starts)) * len(vertices)).astype(np.int32)
    local = place.reshape(-1, 3) - vertex_starts[cluster][:, None]
    return Geometry(
        vertices=np.ascontiguousarray(vertices, np.float32),
        normals=normals,
        cavity=cavity,
        triangles=triangles[chosen],
        scene_triangle=chosen.astype(np.int32),
        flat_normals=unit(visible_normal).astype(np.float32),
        triangle_object=owner[chosen],
        facing=facing,
        cluster_start=starts,
        cluster_sphere=_spheres(vertices, triangles[chosen], starts),
        cluster_vertex_start=vertex_starts,
        cluster_vertices=(keys % max(len(vertices), 1)).astype(np.int32),
        corners=(local @ [1, 1 << 8, 1 << 16] + (facing[owner[chosen]] > 0) * (1 << 24)).astype(np.int32),
    )


def _curve_index(points: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Interleave the bits of the coordinates (Morton order), 16 bits an axis."""
    if not len(points):
        return np.zeros(0, np.uint64)
    low = points.min(axis=0)
    cell = ((points - low) / max(float((points - low).max()), 1e-12) * 65535).astype(np.uint64)
    index = np.zeros(len(points), np.uint64)
    for bit in range(16):
        for axis in range(3):
            index |= ((cell[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(3 * bit + axis)
    return index


def _vertex_shape(
    vertices: NDArray[np.float32], triangles: NDArray[np.int32], area_normal: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return smooth normals and the cavity of each vertex."""
    count = len(vertices)
    summed = np.zeros((count, 3))
    for corner in range(3):
        for axis in range(3):
            summed[:, axis] += np.bincount(triangles[:, corner], area_normal[:, axis], minlength=count)
    normals = unit(summed)
    if not len(triangles):
        return normals.astype(np.float32), np.zeros(count, np.float32)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    links = sparse.csr_matrix((np.ones(2 * len(edges)), np.concatenate([edges, edges[:, ::-1]]).T), (count, count))
    mean = sparse.diags(1 / np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1)) @ links
    points = vertices.astype(np.float64)
    # Four rings: the radius over which a fold's groove gathers light, with 2 mm triangles about 8 mm.
    around = points
    for _ in range(4):
        around = mean @ around
    reach = np.linalg.norm(mean @ points - points, axis=1) + 1e-9
    edge = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1).mean()
    cavity = np.einsum("ij,ij->i", around - points, normals) / np.maximum(reach, edge)
    for _ in range(2):
        cavity = mean @ cavity
    return normals.astype(np.float32), np.clip(cavity, -0.2, 1).astype(np.float32)


def _spheres(
    vertices: NDArray[np.float32], triangles: NDArray[np.int32], starts: NDArray[np.int32]
) -> NDArray[np.float32]:
    spheres = np.zeros((len(starts) - 1, 4), np.float32)
    for index, (first, last) in enumerate(pairwise(starts)):
        points = vertices[triangles[first:last].ravel()].astype(np.float64)
        centre = ((points.min(axis=0) + points.max(axis=0)) / 2).astype(np.float32)
        spheres[index] = *centre, np.linalg.norm(points - centre, axis=1).max() * 1.0001 + 1e-7
    return spheres

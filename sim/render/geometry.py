"""The scene's triangles as the kernels want them: cleaned, sorted into small clusters, and merged object by object."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32
from numpy.typing import NDArray
from scipy import sparse

from assets.errors import InputError
from assets.transforms import unit
from sim.scene_objects import SceneObject

CLUSTER = 64
"""Triangles in a cluster: few enough that its bounding sphere is tight, enough that the test of it pays."""


FARTHEST = 1e5
"""Most that a coordinate may be [m]: beyond it a vertex is taken for damaged, for products of four would overflow."""


@dataclass(frozen=True)
class Geometry:
    """All objects in one set of arrays, world frame [m].

    The triangles of an object lie together, in the order of a space-filling curve; so do its vertices and clusters.
    """

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
    object_vertex: Int32[np.ndarray, "o_plus_1"]
    """Where each object's vertices start; the last entry is their count."""
    object_triangle: Int32[np.ndarray, "o_plus_1"]
    """Where each object's triangles start, likewise."""
    object_cluster: Int32[np.ndarray, "o_plus_1"]
    """Where each object's clusters start, likewise."""
    object_source: Int32[np.ndarray, "o_plus_1"]
    """Where each object's triangles start among the triangles of all objects as given, damaged ones among them."""


@dataclass(frozen=True)
class Grain:
    """What the parts of one scene are measured by, so that each can be built alone."""

    low: NDArray[np.float64]
    """Corner of the space-filling curve's cube [m]."""
    span: float
    """Side of that cube [m]."""
    edge: float
    """Mean length of an edge [m]."""


def build_geometry(objects: Sequence[SceneObject]) -> Geometry:
    """Merge the objects; triangles without area and those with a vertex that is not finite are left out.

    Raises:
        InputError: A triangle names a vertex that is not there, or there is too much of them.
    """
    grain = grain_of(objects)
    return join([build_part(item, index, grain) for index, item in enumerate(objects)])


def grain_of(objects: Sequence[SceneObject]) -> Grain:
    """Measure a scene.

    Raises:
        InputError: A triangle names a vertex that is not there.
    """
    middles, edges = [np.zeros((0, 3))], [np.zeros(0)]
    for item in objects:
        _, _, _, (a, b, c) = _clean(item)
        middles.append((a + b + c) / 3)
        edges += [np.linalg.norm(one - other, axis=1) for one, other in ((a, b), (b, c), (c, a))]
    middle, edge = np.concatenate(middles), np.concatenate(edges)
    if not len(middle):
        return Grain(np.zeros(3), 1.0, 1.0)
    low = middle.min(axis=0)
    return Grain(low, max(float((middle - low).max()), 1e-12), float(edge.mean()))


def build_part(item: SceneObject, index: int, grain: Grain) -> Geometry:
    """Build one object's share of a scene; its indices count from its own first vertex, triangle and cluster.

    Args:
        item: The object.
        index: Its place in the scene.
        grain: Of the scene.

    Raises:
        InputError: A triangle names a vertex that is not there.
    """
    vertices, triangles, kept, (a, b, c) = _clean(item)
    facing = -1.0 if item.kind == "lumen" else 1.0
    order = np.argsort(_curve_index((a + b + c) / 3, grain), kind="stable")
    chosen, triangles = kept[order], triangles[order]
    visible_normal = np.cross(b - a, c - a)[order] * facing
    normals, cavity = _vertex_shape(vertices, triangles, visible_normal, grain.edge)
    starts = np.append(np.arange(0, len(chosen), CLUSTER), len(chosen)).astype(np.int32)
    cluster = np.arange(len(chosen)) // CLUSTER
    keys, place = np.unique(cluster[:, None] * len(vertices) + triangles, return_inverse=True)
    vertex_starts = np.searchsorted(keys, np.arange(len(starts)) * len(vertices)).astype(np.int32)
    local = place.reshape(-1, 3) - vertex_starts[cluster][:, None]

    def table(count: int) -> NDArray[np.int32]:
        return np.array([0, count], np.int32)

    return Geometry(
        vertices=vertices,
        normals=normals,
        cavity=cavity,
        triangles=triangles,
        scene_triangle=chosen.astype(np.int32),
        flat_normals=unit(visible_normal).astype(np.float32),
        triangle_object=np.full(len(chosen), index, np.int32),
        facing=np.array([facing], np.float32),
        cluster_start=starts,
        cluster_sphere=_spheres(vertices, triangles, starts),
        cluster_vertex_start=vertex_starts,
        cluster_vertices=(keys % max(len(vertices), 1)).astype(np.int32),
        corners=(local @ [1, 1 << 8, 1 << 16] + (facing > 0) * (1 << 24)).astype(np.int32),
        object_vertex=table(len(vertices)),
        object_triangle=table(len(chosen)),
        object_cluster=table(len(starts) - 1),
        object_source=table(len(item.mesh.triangles)),
    )


def join(parts: Sequence[Geometry]) -> Geometry:
    """Put objects one after the other.

    Raises:
        InputError: There are more vertices or triangles than 32 bits count.
    """
    vertex = list(accumulate((len(part.vertices) for part in parts), initial=0))
    triangle = list(accumulate((len(part.triangles) for part in parts), initial=0))
    cluster = list(accumulate((len(part.cluster_sphere) for part in parts), initial=0))
    shared = list(accumulate((len(part.cluster_vertices) for part in parts), initial=0))
    source = list(accumulate((int(part.object_source[-1]) for part in parts), initial=0))
    if max(vertex[-1], source[-1], 3 * triangle[-1]) >= 1 << 31:
        raise InputError(f"scene: expected fewer than 2^31 vertices and corners, found {vertex[-1]} and {source[-1]}")

    def put(name: str, dtype: type[np.generic], shape: tuple[int, ...], offsets: Sequence[int] | None = None) -> Any:
        pieces: list[NDArray[Any]] = [np.zeros((0, *shape), dtype)]
        for index, part in enumerate(parts):
            pieces.append(getattr(part, name) + (0 if offsets is None else offsets[index]))
        return np.concatenate(pieces).astype(dtype)

    def starts(name: str, offsets: Sequence[int]) -> NDArray[np.int32]:
        pieces = [getattr(part, name)[:-1] + offsets[index] for index, part in enumerate(parts)]
        return np.concatenate([*pieces, np.array([offsets[-1]])]).astype(np.int32)

    return Geometry(
        vertices=put("vertices", np.float32, (3,)),
        normals=put("normals", np.float32, (3,)),
        cavity=put("cavity", np.float32, ()),
        triangles=put("triangles", np.int32, (3,), vertex),
        scene_triangle=put("scene_triangle", np.int32, (), source),
        flat_normals=put("flat_normals", np.float32, (3,)),
        triangle_object=put("triangle_object", np.int32, ()),
        facing=put("facing", np.float32, ()),
        cluster_start=starts("cluster_start", triangle),
        cluster_sphere=put("cluster_sphere", np.float32, (4,)),
        cluster_vertex_start=starts("cluster_vertex_start", shared),
        cluster_vertices=put("cluster_vertices", np.int32, (), vertex),
        corners=put("corners", np.int32, ()),
        object_vertex=np.array(vertex, np.int32),
        object_triangle=np.array(triangle, np.int32),
        object_cluster=np.array(cluster, np.int32),
        object_source=np.array(source, np.int32),
    )


def _clean(
    item: SceneObject,
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.intp], tuple[NDArray[np.float64], ...]]:
    """Return an object's vertices, its triangles that have an area, their indices, and their three corners."""
    mesh = item.mesh
    if mesh.triangles.size and (mesh.triangles.min() < 0 or mesh.triangles.max() >= len(mesh.vertices)):
        raise InputError(
            f"scene object {item.name}: expected vertex indices 0 to {len(mesh.vertices) - 1}, "
            f"found {mesh.triangles.min()} to {mesh.triangles.max()}"
        )
    whole = (np.abs(mesh.vertices) <= FARTHEST).all(axis=1)  # False for what is not a number
    vertices = np.where(whole[:, None], mesh.vertices, 0).astype(np.float32)
    triangles = mesh.triangles.astype(np.int32)
    a, b, c = (vertices[triangles[:, corner]].astype(np.float64) for corner in range(3))
    good = whole[triangles].all(axis=1) & (np.linalg.norm(np.cross(b - a, c - a), axis=1) > 0)
    return vertices, triangles[good], np.flatnonzero(good), (a[good], b[good], c[good])


def _curve_index(points: NDArray[np.float64], grain: Grain) -> NDArray[np.uint64]:
    """Interleave the bits of the coordinates (Morton order), 16 bits an axis."""
    cell = (np.clip((points - grain.low) / grain.span, 0, 1) * 65535).astype(np.uint64)
    index = np.zeros(len(points), np.uint64)
    for bit in range(16):
        for axis in range(3):
            index |= ((cell[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(3 * bit + axis)
    return index


def _vertex_shape(
    vertices: NDArray[np.float32], triangles: NDArray[np.int32], area_normal: NDArray[np.float64], edge: float
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

"""Closed solids of which instruments are made: rings of vertices joined into a skin, with a cap at each end."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.mesh import Mesh
from assets.transforms import apply, parallel_frames, unit

_CREASE = 4.0e-5  # [m]; smooth normals turn within this distance of an edge, so that edges look sharp
_CORNER = 1.0e-4  # [m]; corners of a section are cut by this much, for the same reason


def loft(rings: Float[np.ndarray, "r k 3"]) -> Mesh:
    """Join rings of equally many vertices, and close both ends by a fan about the ring's middle.

    Args:
        rings: Vertices [m]; each ring is star-shaped about its middle, all run the same way round.

    Returns:
        A closed surface with outward normals.
    """
    count, around = rings.shape[:2]
    index = np.arange(count * around).reshape(count, around)
    after = np.roll(index, -1, axis=1)
    a, b, c, d = index[:-1], after[:-1], index[1:], after[1:]
    first, last = count * around, count * around + 1
    triangles = np.concatenate(
        [
            np.stack([a, b, c], axis=-1).reshape(-1, 3),
            np.stack([b, d, c], axis=-1).reshape(-1, 3),
            np.stack([np.full(around, first), after[0], index[0]], axis=-1),
            np.stack([np.full(around, last), index[-1], after[-1]], axis=-1),
        ]
    )
    vertices = np.concatenate([rings.reshape(-1, 3), rings[0].mean(axis=0)[None], rings[-1].mean(axis=0)[None]])
    corners = (vertices - vertices.mean(axis=0))[triangles]
    if np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) < 0:
        triangles = triangles[:, ::-1]
    return Mesh(vertices.astype(np.float32), np.ascontiguousarray(triangles, np.int32))


def turned(profile: Sequence[tuple[float, float]], *, around: int = 32) -> Mesh:
    """Turn a profile about the z axis.

    Args:
        profile: Places (z, radius) [m] in order along the surface, radii above 0; the ends are closed by flat discs.
        around: Vertices in a ring.
    """
    points = _crisp(np.array(profile))
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    rings = np.empty((len(points), around, 3))
    rings[..., :2] = points[:, 1, None, None] * circle
    rings[..., 2] = points[:, 0, None]
    return loft(rings)


def bent_wire(points: Float[np.ndarray, "p 3"], radii: Float[np.ndarray, "p"], *, around: int = 16) -> Mesh:
    """Sweep a circle along a curve.

    Args:
        points: The curve [m].
        radii: At its points [m].
        around: Vertices in a ring.
    """
    tangents = unit(np.gradient(points, axis=0))
    across = np.eye(3)[np.argmin(np.abs(tangents[0]))]
    frames = parallel_frames(tangents, across)
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    circle = np.cos(angle)[None, :, None] * frames[:, None, :, 0] + np.sin(angle)[None, :, None] * frames[:, None, :, 1]
    return loft(points[:, None] + radii[:, None, None] * circle)


def bar(sections: Sequence[tuple[float, Float[np.ndarray, "k 2"]]]) -> Mesh:
    """Join convex polygons that stand across the z axis.

    Args:
        sections: z [m] and the polygon's corners (x, y) [m], as many in each, the same way round.
    """
    rings = []
    for z, polygon in sections:
        corners = _cut_corners(polygon)
        rings.append(np.column_stack([corners, np.full(len(corners), z)]))
    return loft(np.stack(_with_creases(rings)))


def moved(mesh: Mesh, T_a_b: Float[np.ndarray, "4 4"]) -> Mesh:
    """Return a mesh given in frame b in frame a."""
    return Mesh(apply(T_a_b, mesh.vertices.astype(np.float64)).astype(np.float32), mesh.triangles)


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """Put several bodies into one mesh; where they overlap they stay as they are."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts, strict=False)]).astype(np.int32),
    )


def _cut_corners(polygon: NDArray[np.float64]) -> NDArray[np.float64]:
    before, after = np.roll(polygon, 1, axis=0) - polygon, np.roll(polygon, -1, axis=0) - polygon

    def step(edge: NDArray[np.float64]) -> NDArray[np.float64]:
        length = np.linalg.norm(edge, axis=1, keepdims=True)
        return np.asarray(edge * np.minimum(_CORNER / np.maximum(length, 1e-12), 0.3))

    return np.stack([polygon + step(before), polygon + step(after)], axis=1).reshape(-1, 2)


def _with_creases(rings: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Put rings close beside the first and the last one, so that the caps look flat and their edges sharp."""
    first = rings[0] + _share(rings[0], rings[1]) * (rings[1] - rings[0])
    last = rings[-1] + _share(rings[-1], rings[-2]) * (rings[-2] - rings[-1])
    inset = [ring.mean(axis=0) + 0.97 * (ring - ring.mean(axis=0)) for ring in (rings[0], rings[-1])]
    return [inset[0], rings[0], first, *rings[1:-1], last, rings[-1], inset[1]]


def _share(ring: NDArray[np.float64], neighbour: NDArray[np.float64]) -> float:
    return float(min(0.3, _CREASE / max(np.linalg.norm(ring - neighbour, axis=1).max(), 1e-12)))


def _crisp(profile: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put points close beside each corner of a profile."""
    points = [profile[0] * [1, 0.97], profile[0]]
    for here, there in pairwise(profile):
        way = there - here
        length = float(np.linalg.norm(way))
        if length > 4 * _CREASE:
            points += [here + way * _CREASE / length, there - way * _CREASE / length]
        points.append(there)
    return np.array([*points, profile[-1] * [1, 0.97]])

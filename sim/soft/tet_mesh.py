"""A tetrahedral mesh of soft tissue: nodes, elements, and what each element is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int32
from numpy.typing import ArrayLike, NDArray

from assets.errors import InputError
from assets.materials import Mechanical, load_materials

MAX_TETS = 2_000_000
"""More are refused before anything is allocated for them."""

FACES = np.array([[1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1]])
"""Corners of the face opposite each corner, counter-clockwise seen from outside. A face of a mesh has the number
4 * element + corner opposite."""


@dataclass(frozen=True)
class TetMesh:
    """Tetrahedra whose corners are ordered so that their volume is positive."""

    nodes: Float64[np.ndarray, "n 3"]
    """Positions at rest [m], world frame."""
    tets: Int32[np.ndarray, "e 4"]
    """Node indices."""
    tissue: Int32[np.ndarray, "e"]
    """Index of each element's tissue in `tissues`."""
    tissues: tuple[Mechanical, ...]
    cut_faces: Int32[np.ndarray, "c"] = field(default_factory=lambda: np.zeros(0, np.int32))
    """Numbers of the faces that cuts parted, both sides, sorted, see `FACES`; at a cut's front both share nodes."""

    @cached_property
    def volumes(self) -> NDArray[np.float64]:
        """Of the elements at rest [m^3], shape (e,)."""
        return signed_volumes(self.nodes, self.tets)

    @cached_property
    def masses(self) -> NDArray[np.float64]:
        """Lumped at the nodes [kg], shape (n,): a quarter of each element's mass at each of its corners."""
        density = np.array([tissue.density for tissue in self.tissues])[self.tissue]
        return self._shared(density * self.volumes)

    @cached_property
    def node_volumes(self) -> NDArray[np.float64]:
        """A quarter of the volume of the elements around each node [m^3], shape (n,)."""
        return self._shared(self.volumes)

    @cached_property
    def lame(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shear modulus mu and Lamé's first parameter lambda of each element [Pa]."""
        young = np.array([tissue.youngs_modulus for tissue in self.tissues])[self.tissue]
        poisson = np.array([tissue.poisson_ratio for tissue in self.tissues])[self.tissue]
        return young / (2 * (1 + poisson)), young * poisson / ((1 + poisson) * (1 - 2 * poisson))

    @cached_property
    def across(self) -> NDArray[np.int32]:
        """Number of the face on the other side of each face, -1 where there is none, shape (4 e,)."""
        corners = np.sort(self.tets[:, FACES].reshape(-1, 3).astype(np.int64), axis=1)
        order = np.lexsort((corners[:, 2], corners[:, 1], corners[:, 0]))
        ranked = corners[order]
        same = (ranked[1:] == ranked[:-1]).all(axis=1)
        # A face of three elements or more has no other side.
        pair = same & ~np.append(same[1:], False) & ~np.append(False, same[:-1])
        result = np.full(len(corners), -1, np.int32)
        result[order[:-1][pair]] = order[1:][pair]
        result[order[1:][pair]] = order[:-1][pair]
        return result

    @cached_property
    def surface_faces(self) -> NDArray[np.int64]:
        """Numbers of the faces on the outside, in their order, shape (t,)."""
        return np.flatnonzero(self.across < 0)

    @cached_property
    def surface(self) -> NDArray[np.int32]:
        """Triangles on the outside, shape (t, 3), counter-clockwise seen from outside."""
        return self.face_corners(self.surface_faces)

    @cached_property
    def surface_is_cut(self) -> NDArray[np.bool_]:
        """Which triangles of the surface a cut laid open, shape (t,)."""
        return np.isin(self.surface_faces, self.cut_faces)

    def face_corners(self, faces: NDArray[np.integer]) -> NDArray[np.int32]:
        """Return the nodes of faces, shape (k, 3), counter-clockwise seen from outside."""
        return np.ascontiguousarray(self.tets[faces[:, None] // 4, FACES[faces % 4]])

    def _shared(self, per_element: NDArray[np.float64]) -> NDArray[np.float64]:
        shares = np.bincount(self.tets.ravel(), np.repeat(per_element / 4, 4), minlength=len(self.nodes))
        return np.asarray(shares, np.float64)


def signed_volumes(nodes: NDArray[np.float64], tets: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return each tetrahedron's volume [m^3], negative where it is inverted, shape (e,)."""
    edges = nodes[tets[:, 1:]] - nodes[tets[:, :1]]
    return np.linalg.det(edges) / 6


def surface_areas(nodes: NDArray[np.float64], triangles: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return each triangle's area vector [m^2], along its normal, shape (t, 3)."""
    a, b, c = (nodes[triangles[:, corner]] for corner in range(3))
    return np.asarray(np.cross(b - a, c - a) / 2)


def tet_mesh(
    nodes: ArrayLike,
    tets: ArrayLike,
    tissue: str | Mechanical | ArrayLike,
    *,
    tissues: Mapping[int, str | Mechanical] | None = None,
    name: str = "soft tissue",
) -> TetMesh:
    """Check plain arrays and make a mesh of them.

    Args:
        nodes: Positions [m], shape (n, 3).
        tets: Node indices, shape (e, 4), in either order of the corners.
        tissue: One tissue for all, as a name in `assets/materials.toml` or its constants; or a number for each element,
            shape (e,), which `tissues` explains.
        tissues: What each number in `tissue` stands for.
        name: Of the organ, for messages.

    Raises:
        InputError: Shapes, indices or constants are wrong, an element has no volume, or a node belongs to no element.
    """
    points = np.array(nodes, dtype=np.float64)
    corners = np.asarray(tets)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise InputError(f"{name}: expected finite nodes of shape (n, 3), found shape {points.shape}")
    if corners.ndim != 2 or corners.shape[1] != 4 or corners.dtype.kind not in "iu" or not len(corners):
        raise InputError(f"{name}: expected integer tets of shape (e, 4), found {corners.dtype} {corners.shape}")
    if len(corners) > MAX_TETS:
        raise InputError(f"{name}: expected at most {MAX_TETS} tetrahedra, found {len(corners)}")
    if corners.min() < 0 or corners.max() >= len(points):
        raise InputError(
            f"{name}: expected node indices 0 to {len(points) - 1}, found {corners.min()} to {corners.max()}"
        )
    corners = np.array(corners, dtype=np.int32)
    unused = np.setdiff1d(np.arange(len(points)), corners)
    if len(unused):
        raise InputError(f"{name}: expected every node in an element, found node {unused[0]} in none")
    volumes = signed_volumes(points, corners)
    corners[volumes < 0] = corners[volumes < 0][:, [0, 2, 1, 3]]
    longest = np.ptp(points[corners], axis=1).max(axis=1)
    flat = np.flatnonzero(np.abs(volumes) <= 1e-9 * longest**3)
    if len(flat):
        raise InputError(
            f"{name}: expected elements with a volume, found none in element {flat[0]}: {corners[flat[0]]}"
        )
    index, table = _tissues(tissue, tissues, len(corners), name)
    return TetMesh(points, corners, index, table)


def _tissues(
    tissue: str | Mechanical | ArrayLike,
    tissues: Mapping[int, str | Mechanical] | None,
    count: int,
    name: str,
) -> tuple[NDArray[np.int32], tuple[Mechanical, ...]]:
    if isinstance(tissue, str | Mechanical):
        numbers, explained = np.zeros(count, np.int64), {0: tissue}
    else:
        numbers, explained = np.asarray(tissue), dict(tissues or {})
    if numbers.shape != (count,) or numbers.dtype.kind not in "iu":
        raise InputError(f"{name}: expected an integer tissue for each of {count} elements, found {numbers.shape}")
    used = np.unique(numbers)
    missing = [int(number) for number in used if int(number) not in explained]
    if missing:
        raise InputError(f"{name}: expected a tissue for {missing[0]}, found {sorted(explained) or 'none'}")
    return (
        np.searchsorted(used, numbers).astype(np.int32),
        tuple(_constants(explained[int(number)], name) for number in used),
    )


def _constants(tissue: str | Mechanical, name: str) -> Mechanical:
    if isinstance(tissue, str):
        materials = load_materials()
        if tissue not in materials:
            raise InputError(f"{name}: expected a tissue of {', '.join(sorted(materials))}, found {tissue!r}")
        tissue = materials[tissue].mechanical
    if not (tissue.density > 0 and tissue.youngs_modulus > 0 and 0 <= tissue.poisson_ratio < 0.5):
        raise InputError(
            f"{name}: expected density and Young's modulus above 0 and Poisson's ratio in [0, 0.5), found {tissue}"
        )
    return tissue

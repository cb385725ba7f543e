"""Signed distances to the wall that are exact near it: the grid says where the triangles themselves have to be asked.

Between the grid's nodes a sign can be wrong where a fold is thinner than a cell. It is right where the place is nearer
to a node than that is to the wall: no wall is between them. Everywhere else the triangles say it.
"""

from dataclasses import dataclass

import numpy as np
import warp as wp
from jaxtyping import Float, Float32
from numpy.typing import NDArray

from assets.mesh import Mesh
from assets.patient import Orifice
from sim import wall_kernels, wall_surface_kernels
from sim.pseudonormals import pseudonormals
from sim.wall_building import BAND, TUNNEL, TUNNEL_INSIDE, combined, drop_orifices

_NEAR = 0.15
"""Spacings from the wall, by the grid, up to which the triangles are asked even where the sign is known."""
_ERROR = 0.87
"""Spacings by which the grid can be wrong: sum(w |p - n|) <= sqrt(sum(w |p - n|^2)) for weights w of the nodes n."""
_BEYOND = 3.0
"""Spacings beyond an orifice's rim in which the triangles are always asked: those in its disc are not in the grid."""


@dataclass(frozen=True, eq=False)
class WallSurface:
    """What a grid of wall distances was built from."""

    lumen: Mesh
    """Closed; its normals point out of the free space."""
    solids: tuple[Mesh, ...]
    """Closed; what they enclose is no free space."""
    orifices: tuple[Orifice, ...]
    opening: float
    """The orifices give way to at least this radius [m]."""


class ExactWall:
    """Owns the grid and the triangles on a device; answers queries of many points in one launch."""

    def __init__(
        self,
        surface: WallSurface,
        values: Float32[np.ndarray, "nx ny nz"],
        origin: Float[np.ndarray, "3"],
        spacing: float,
        *,
        device: str = "cpu",
    ) -> None:
        """Build the hierarchies of triangles.

        Args:
            surface: The wall's triangles.
            values: Signed distances at the nodes of the grid that was built from them [m].
            origin: World position of node (0, 0, 0) [m].
            spacing: Of the grid [m].
            device: A Warp device; the kernel is the same on CPU and CUDA.
        """
        wall_kernels.quiet()
        self._device, self._origin = device, np.asarray(origin, np.float64)
        self._grid = wp.array(values, dtype=wp.float32, device=device)
        opened = drop_orifices(surface.lumen, surface.orifices)
        self._closed = self._mesh(surface.lumen)
        self._opened = self._closed if len(opened.triangles) == len(surface.lumen.triangles) else self._mesh(opened)
        self._solids = self._mesh(combined(surface.solids), winding=True) if surface.solids else None
        boxes = np.zeros((len(surface.solids), 2, 3), np.float32)
        for box, solid in zip(boxes, surface.solids, strict=True):
            box[:] = solid.vertices.min(axis=0) - self._origin, solid.vertices.max(axis=0) - self._origin
        discs = np.zeros((len(surface.orifices), 7), np.float32)
        for disc, one in zip(discs, surface.orifices, strict=True):
            disc[:] = *(one.centre - self._origin), *one.normal, max(one.radius, surface.opening)
        wall = wall_surface_kernels.Wall()
        wall.spacing, wall.band = spacing, BAND
        wall.near, wall.error = _NEAR * spacing, _ERROR * spacing
        wall.closed, wall.opened = self._closed.id, self._opened.id
        wall.normals = wp.array(pseudonormals(surface.lumen), dtype=wp.vec3f, device=device)
        wall.solids = self._solids.id if self._solids is not None else np.uint64(0)
        wall.boxes = wp.array(boxes, dtype=wp.vec3f, device=device)
        wall.discs = wp.array(discs, dtype=wp.float32, device=device)
        wall.beyond, wall.tunnel, wall.tunnel_inside = _BEYOND * spacing, TUNNEL, TUNNEL_INSIDE
        self._wall = wall

    def query(self, points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n 3"]]:
        """Return signed distances [m] and their gradients, as `WallDistance.query` does."""
        local = (np.asarray(points, np.float64) - self._origin).astype(np.float32)
        found = wp.empty(len(local), dtype=wp.vec4f, device=self._device)
        places = wp.array(local, dtype=wp.vec3f, device=self._device, copy=False)
        wp.launch(
            wall_surface_kernels.query_wall,
            dim=len(local),
            inputs=[self._wall, self._grid, places],
            outputs=[found],
            device=self._device,
        )
        rows = found.numpy().astype(np.float64)
        return rows[:, 3], rows[:, :3]

    def _mesh(self, mesh: Mesh, *, winding: bool = False) -> wp.Mesh:
        """Build the hierarchy of a mesh about the grid's first node, where single precision is finest."""
        vertices = (mesh.vertices - self._origin).astype(np.float32)
        triangles: NDArray[np.int32] = np.ascontiguousarray(mesh.triangles.reshape(-1), dtype=np.int32)
        return wp.Mesh(
            wp.array(vertices, dtype=wp.vec3f, device=self._device),
            wp.array(triangles, dtype=wp.int32, device=self._device),
            support_winding_number=winding,
        )

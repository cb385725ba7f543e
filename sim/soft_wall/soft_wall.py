"""A wall that gives way: the shell's displacement, and the wall distance that follows it.

The rod feels the wall as ever, through a grid of signed distances: to each node the displacement of the wall nearest to
it is added, gap = distance at rest + u. Within a fold both faces are asked, and the one that leaves more room counts.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from assets.materials import HollowWall, Mechanical
from assets.mesh import Mesh
from assets.patient import Orifice
from sim.soft_wall.folds import far_faces
from sim.soft_wall.shell import Shell, ShellMechanics, vertex_normals
from sim.wall_building import BAND
from sim.wall_distance import WallDistance

MOST = 0.010
"""The wall gives way by at most this much [m]; beyond, it is rigid again."""
PATCH = 0.006
"""Radius of the patch of wall that carries the force of one place of the scope [m]: that of its tube."""
_THICKEST = 0.006  # m: what is thicker is no fold
_DEEP = MOST + 0.003  # m: how far outside the lumen the distance must be known
_HIGH = 0.016  # m: how far inside the lumen a scope can feel the wall
_SQUEEZE = 1.5  # of the wall's damping in a time step; below 1 scope and wall do not swing, from 2 on they never rest
_NEIGHBOURS = 3  # vertices whose displacement a node of the grid takes, by nearness
_GRAIN = 2.0e-6  # m: the grid follows the wall in steps of this, so that what rests costs nothing
_RIM = 0.005  # m: around an orifice the wall is held


@dataclass(frozen=True)
class WallLoad:
    """What presses on a wall."""

    pressure: float = 0.0
    """Of the insufflation, beyond that at which the anatomy was taken [Pa]."""
    places: Float[np.ndarray, "n 3"] | None = None
    """Where the scope touches it [m]."""
    forces: Float[np.ndarray, "n 3"] | None = None
    """On the wall there [N]."""


def mechanics_of(wall: HollowWall, mechanical: Mechanical, radius: float) -> ShellMechanics:
    """Return a shell of a tissue's wall in a tube of this radius [m]."""
    return ShellMechanics(
        modulus=wall.modulus,
        poisson_ratio=mechanical.poisson_ratio,
        thickness=wall.thickness,
        foundation=wall.foundation,
        tension=wall.pressure * radius,
        viscosity=wall.viscosity,
        across=wall.modulus / wall.thickness,
    )


class SoftWall:
    """The displacement of one lumen's wall, and its wall distance now."""

    def __init__(
        self,
        lumen: Mesh,
        rest: WallDistance,
        wall: HollowWall,
        mechanical: Mechanical,
        orifices: tuple[Orifice, ...],
        *,
        dt: float,
    ) -> None:
        """Build the shell and tie the grid to it.

        Args:
            lumen: Surface, normals into the tissue.
            rest: Its wall distance.
            wall: What it is made of.
            mechanical: The rest of that.
            orifices: Held open: the wall does not move there.
            dt: Time step [s].
        """
        self._damping = wall.viscosity / dt
        self._lumen = lumen
        self._normals = vertex_normals(lumen)
        partner, self._apart = far_faces(lumen, self._normals, _THICKEST)
        self._partner = partner
        held = np.zeros(len(lumen.vertices), dtype=bool)
        for orifice in orifices:
            held |= np.linalg.norm(lumen.vertices - orifice.centre, axis=1) < orifice.radius + _RIM
        self.mechanics = mechanics_of(wall, mechanical, _mean_radius(lumen))
        """Of the shell."""
        self.shell = Shell(lumen, self.mechanics, dt=dt, held=held, partner=partner)
        """Its stiffness."""
        self._tree = cKDTree(lumen.vertices)
        self.displacement = np.zeros(len(lumen.vertices))
        """Of each vertex along its normal, out of the lumen [m], shape (v,)."""
        self._felt = np.zeros(len(lumen.vertices))
        self.grid = WallDistance(rest.values.copy(), rest.origin, rest.spacing)
        """The wall distance now; its values change in place."""
        self._tie(rest)

    def contact_stiffness(self, spacing: float) -> float:
        """Return that of a rod's node that stands for `spacing` metres of it [N/m].

        Scope and wall are solved in turn. Pressed into the wall by u the scope pushes with s u on an area, and the wall
        then moves by s u / (eta / dt + k): below s = 2 eta / dt they come to rest, however soft the wall is.
        """
        return _SQUEEZE * self._damping * spacing * PATCH / 2  # the rod has twice this on a node

    @property
    def vertices(self) -> NDArray[np.float32]:
        """Where the lumen's vertices are now [m], shape (v, 3)."""
        return (self._lumen.vertices + self.displacement[:, None] * self._normals).astype(np.float32)

    def shift(self, places: Float[np.ndarray, "n 3"]) -> NDArray[np.float64]:
        """Return how far what is fixed to the wall at these places has moved [m], shape (n, 3)."""
        nearest = self._tree.query(places)[1]
        return np.asarray(self.displacement[nearest, None] * self._normals[nearest])

    def settle(self, pressure: float) -> None:
        """Blow the lumen up, or let air out, and wait until it has come to rest."""
        self.place(self.shell.settle(pressure * self.shell.areas))

    def step(self, load: WallLoad) -> None:
        """Let the wall creep through one time step under a load."""
        self.place(self.shell.creep(self.displacement, self.vertex_forces(load)))

    def place(self, displacement: Float[np.ndarray, "v"]) -> None:
        """Put the wall where a displacement says, at most MOST from its rest, and the grid with it."""
        self.displacement = np.clip(displacement, -MOST, MOST)
        felt = np.round(self.displacement / _GRAIN) * _GRAIN
        moved = felt != self._felt
        self._felt = felt
        stale = np.flatnonzero(moved[self._near].any(axis=1) | moved[self._other])
        u = felt
        gap = self._base[stale] + np.einsum("nk,nk->n", self._share[stale], u[self._near[stale]])
        behind = u[self._other[stale]] - self._depth[stale] - self._base[stale]
        values = self.grid.values.reshape(-1)
        values[self._nodes[stale]] = np.maximum(gap, behind)

    def vertex_forces(self, load: WallLoad) -> NDArray[np.float64]:
        """Return the force on each vertex along its normal [N]."""
        total: NDArray[np.float64] = load.pressure * self.shell.areas
        if load.places is None or load.forces is None or not len(load.places):
            return total
        size = np.linalg.norm(load.forces, axis=1)
        toward = load.forces / np.maximum(size, 1e-12)[:, None]
        rest = load.places - self.shift(load.places)
        distance, near = self._tree.query(rest, k=32)
        cosine = np.einsum("nki,ni->nk", self._normals[near], toward)
        facing = np.clip(cosine, 0.0, None)
        weight = self.shell.areas[near] * facing * np.clip(1 - (distance / PATCH) ** 2, 0.0, None)
        alone = weight.sum(axis=1) <= 0  # the edge of a fold, met end on: its nearest vertex takes it
        weight[alone, 0] = 1.0
        share = weight / weight.sum(axis=1, keepdims=True)
        np.add.at(total, near, share * cosine * size[:, None])
        return total

    def _tie(self, rest: WallDistance) -> None:
        """Find for each node of the grid that a scope may feel which vertices carry it."""
        values = rest.values.reshape(-1)
        known = rest.values > -BAND
        beyond = ndimage.distance_transform_edt(~known, sampling=rest.spacing) < _DEEP - BAND + 2 * rest.spacing
        wanted = np.where(known, rest.values < _HIGH, beyond)
        nodes = np.flatnonzero(wanted)
        points = np.stack(np.unravel_index(nodes, rest.values.shape), axis=1) * rest.spacing + rest.origin
        distance, near = self._tree.query(points, k=_NEIGHBOURS)
        base = values[nodes].astype(np.float64)
        deep = base <= -BAND
        base[deep] = np.minimum(-distance[deep, 0], -BAND)
        self.grid.values[~known] = -_DEEP  # it goes on falling: a wall that moves comes to no cliff
        alike = np.einsum("nki,ni->nk", self._normals[near], self._normals[near[:, 0]]) > 0  # not the fold's other face
        share = np.where(alike, 1 / np.maximum(distance, 1e-5) ** 2, 0.0)
        first = near[:, 0]
        depth = self._apart[first]
        between = np.isfinite(depth) & (base >= -depth / 2)
        self._nodes, self._base = nodes, base
        self._near, self._share = near, share / share.sum(axis=1, keepdims=True)
        self._other = np.where(between, self._partner[first], first)
        self._depth = np.where(between, depth, np.inf)
        self.grid.values.reshape(-1)[nodes] = base


def _mean_radius(lumen: Mesh) -> float:
    """Return the radius of the cylinder with the lumen's volume and area [m]."""
    corners = lumen.vertices[lumen.triangles].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    volume = np.einsum("ti,ti->", corners[:, 0], cross) / 6
    return float(2 * volume / (np.linalg.norm(cross, axis=1).sum() / 2))

"""Move nodes onto a cut before the mesh is parted there, as far as the elements stay sound.

Material does not move: a node gets another place in it, both at rest and now. On the outside, and where two tissues
meet, a node moves only along that surface, so that shape, volume and mass stay.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.soft.sweep import Sweep
from sim.soft.tet_mesh import FACES, TetMesh, signed_volumes

_SHARES = (1.0, 0.75, 0.5, 0.25)
_STEEP = 0.25  # of the way along a surface that must lead to the cut; else a node would run far for little
_CURVED = 0.03  # spread of the normals around a node, from which it lies on an edge
_VOLUME = 2e-3  # change of the volume around a node that is allowed


@dataclass
class Places:
    """Where nodes are, and what may be moved."""

    carried: NDArray[np.float64]
    """What belongs to the material: nodes at rest [m], and more, shape (n, 3 + k)."""
    now: NDArray[np.float64]
    """[m], shape (n, 3)."""
    loose: NDArray[np.bool_]
    """Nodes that may be moved, shape (n,)."""

    @property
    def rest(self) -> NDArray[np.float64]:
        """Nodes at rest [m], shape (n, 3); a view."""
        return self.carried[:, :3]


class Snapper:
    """Moves nodes of a mesh; nothing is moved beyond the bound on quality."""

    def __init__(self, mesh: TetMesh, places: Places, *, quality: float) -> None:
        """Take the places over; they are changed.

        Args:
            mesh: What connects the nodes.
            places: Where they are.
            quality: Least shape of an element, 1 where it is regular; those that are worse already do not get worse.
        """
        self._mesh, self._places, self._quality = mesh, places, quality
        order = np.argsort(mesh.tets.ravel(), kind="stable")
        self._tets = (order // 4).astype(np.int64)
        self._starts = np.searchsorted(mesh.tets.ravel()[order], np.arange(len(mesh.nodes) + 1))
        face = np.arange(4 * len(mesh.tets))
        across = mesh.across
        self._bounding = (across < 0) | (mesh.tissue[face // 4] != mesh.tissue[across // 4])

    def snap(self, nodes: NDArray[np.integer], sweep: Sweep, *, reach: float, margin: float) -> NDArray[np.int64]:
        """Move nodes towards a swept surface.

        Args:
            nodes: Which.
            sweep: In the world, now.
            reach: Distance [m] from which on nodes are let alone.
            margin: How far beside the swept surface its plane still counts [m].

        Returns:
            Those that moved.
        """
        places = self._places
        height, outside, normal = sweep.measure(places.now[nodes])
        wanted = places.loose[nodes] & (np.abs(height) <= reach) & (outside <= margin)
        wanted &= np.abs(height) > 1e-9 * max(reach, 1e-300)
        chosen = np.flatnonzero(wanted)
        # The nearest first: they stand in the way of none.
        chosen = chosen[np.argsort(np.abs(height[chosen]), kind="stable")]
        moved = [int(nodes[k]) for k in chosen if self._move(int(nodes[k]), -height[k] * normal[k])]
        return np.array(moved, np.int64)

    def _move(self, node: int, towards: NDArray[np.float64]) -> bool:
        """Move a node's place along `towards` [m], or as far along the surface it is in; tell whether it moved."""
        mesh, places = self._mesh, self._places
        near = self._tets[self._starts[node] : self._starts[node + 1]]
        faces = (4 * near[:, None] + np.arange(4)).ravel()
        faces = faces[self._bounding[faces]]
        corners = mesh.face_corners(faces)
        corners = corners[(corners == node).any(axis=1)]
        if len(corners):
            towards = _along(places.now[corners], towards)
            if not towards.any():
                return False
        tets = mesh.tets[near]
        rest, now = places.rest[tets], places.now[tets]
        corner = np.argmax(tets == node, axis=1)
        before = np.minimum(shape(rest), shape(now))
        volume = signed_volumes(places.rest, tets).sum()
        for share in _SHARES:
            new_now = places.now[node] + share * towards
            carried = self._carry(near, new_now)
            rest[np.arange(len(tets)), corner], now[np.arange(len(tets)), corner] = carried[:3], new_now
            after = np.minimum(shape(rest), shape(now))
            edges = rest[:, 1:] - rest[:, :1]
            kept = abs(float(np.linalg.det(edges).sum()) / 6 - volume) <= _VOLUME * volume
            if kept and (after >= np.minimum(self._quality, before)).all():
                places.now[node], places.carried[node] = new_now, carried
                return True
        return False

    def _carry(self, near: NDArray[np.int64], place: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what belongs to the material at a place, by the element it is in, or least outside of."""
        tets = self._mesh.tets[near]
        now = self._places.now[tets]
        local = np.linalg.solve((now[:, 1:] - now[:, :1]).transpose(0, 2, 1), (place - now[:, 0])[..., None])[..., 0]
        shares = np.concatenate([1 - local.sum(axis=1, keepdims=True), local], axis=1)
        best = int(np.argmax(shares.min(axis=1)))
        return np.asarray(shares[best] @ self._places.carried[tets[best]])


def _along(triangles: NDArray[np.float64], towards: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the way in the surface around a node that comes as far along `towards`, or zeros where there is none."""
    area = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normal = area / np.linalg.norm(area, axis=1, keepdims=True)
    values, axes = np.linalg.eigh(np.einsum("ti,tj->ij", normal, normal) / len(normal))
    free = axes[:, values < _CURVED]
    inside = free @ (free.T @ towards)
    square = float(towards @ towards)
    share = float(inside @ towards) / square
    return inside / share if share > _STEEP else np.zeros(3)


def shape(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how near tetrahedra are to regular ones: 6 sqrt(2) volume over the cube of the root mean square edge.

    1 where regular, 0 where flat, negative where inverted (Parthasarathy, Graichen and Hathaway, Finite Elements in
    Analysis and Design 15, 1994, doi:10.1016/0168-874X(94)90033-7).

    Args:
        corners: [m], shape (e, 4, 3).
    """
    pairs = corners[:, [0, 0, 0, 1, 1, 2]] - corners[:, [1, 2, 3, 2, 3, 3]]
    edge = np.sqrt(np.square(pairs).sum(axis=2).mean(axis=1))
    volume = np.linalg.det(corners[:, 1:] - corners[:, :1]) / 6
    return np.asarray(6 * np.sqrt(2) * volume / np.maximum(edge, 1e-300) ** 3)


def edge_length(mesh: TetMesh, now: NDArray[np.float64], tets: NDArray[np.integer]) -> float:
    """Return the mean edge of some elements [m]."""
    faces = now[mesh.tets[tets][:, FACES]]
    return float(np.linalg.norm(faces - np.roll(faces, 1, axis=2), axis=3).mean()) if len(tets) else 0.0

"""Cut a mesh along what a blade passes over: the faces nearest to it part, after their nodes have moved onto it.

A face parts where the line between the middles of its two elements passes through the swept surface. Of the elements
around an edge that ring closes, so that a sweep through and through parts all that is in front from all that is behind,
and several sweeps that share their edges add up. No element is taken away.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int8, Int32, Int64
from numpy.typing import NDArray

from assets.errors import InputError
from sim.soft.snapping import Places, Snapper, edge_length
from sim.soft.splitting import rejoin_crumbs, split
from sim.soft.sweep import Sweep
from sim.soft.tet_mesh import TetMesh

_NEAR = 0.45  # of an edge: nodes this near move onto the cut before it is decided where faces part
_FAR = 0.8  # of an edge: nodes of parted faces this near move onto it after
_ROUNDS = 2


@dataclass(frozen=True)
class CutOptions:
    """How a mesh is cut."""

    quality: float = 0.15
    """Least shape of an element that nodes may move for, 1 where it is regular; 0.99 moves none."""
    least: int = 5
    """Elements; smaller pieces are not cut off."""

    def __post_init__(self) -> None:
        if not (0 < self.quality < 1 and self.least >= 1):
            raise InputError(f"cut: expected a quality in (0, 1) and pieces of at least 1 element, found {self}")


@dataclass(frozen=True)
class Cut:
    """What a cut did. Elements keep their numbers, nodes too; new nodes come last."""

    before: TetMesh
    mesh: TetMesh
    source: Int64[np.ndarray, "m"]
    """Old node of each node: itself, or the one that it was parted from."""
    opened: Int32[np.ndarray, "f"]
    """Numbers of the faces that this cut parted, both sides, sorted; see `sim.soft.tet_mesh.FACES`."""
    side: Int8[np.ndarray, "e"]
    """1 for elements at the cut that are in front of it, -1 for those behind, 0 for all others."""
    moved: Int64[np.ndarray, "k"]
    """Old nodes whose place in the material changed, at rest and now."""
    positions: Float64[np.ndarray, "m 3"]
    """Nodes at the time of the cut [m]."""
    velocities: Float64[np.ndarray, "m 3"]
    """[m/s]"""
    sweep: Sweep
    edge: float
    """Mean length of the edges there [m]."""


def cut_mesh(
    mesh: TetMesh,
    positions: NDArray[np.float64],
    velocities: NDArray[np.float64],
    sweep: Sweep,
    *,
    loose: NDArray[np.bool_],
    seen: NDArray[np.float64] | None = None,
    options: CutOptions | None = None,
) -> Cut | None:
    """Part a mesh along a swept surface.

    Args:
        mesh: What is cut.
        positions: Its nodes now [m], shape (n, 3).
        velocities: [m/s], shape (n, 3); momentum is kept.
        sweep: In the world, now.
        loose: Nodes that may move onto the cut, shape (n,).
        seen: Nodes when the blade's last motion ended [m], shape (n, 3): what moved across the standing blade since is
            parted too. None where the tissue stood still.
        options: How.

    Returns:
        What it did, or None where the sweep parts nothing.
    """
    options = options or CutOptions()
    earlier = np.zeros(4 * len(mesh.tets), np.bool_)
    earlier[mesh.cut_faces] = True
    last = positions if seen is None else seen
    crossed = _crossed(mesh, earlier, sweep, last, positions)
    if not len(crossed):
        return None
    places = Places(np.hstack([mesh.nodes, velocities]), positions.copy(), loose)
    snapper = Snapper(mesh, places, quality=options.quality)
    elements = np.unique(crossed // 4)
    edge = edge_length(mesh, positions, elements)
    moved = [snapper.snap(np.unique(mesh.tets[elements]), sweep, reach=_NEAR * edge, margin=0.0)]
    parted = earlier.copy()
    parted[_crossed(mesh, earlier, sweep, last, places.now)] = True
    wall, snapped = np.unique(mesh.face_corners(np.flatnonzero(parted & ~earlier))), places.now.copy()
    moved += [snapper.snap(wall, sweep, reach=_FAR * edge, margin=edge) for _ in range(_ROUNDS)]
    # Elements whose middles came past the blade with their nodes would not be met by its next motion.
    parted[_crossed(mesh, parted, sweep, snapped, places.now, after=True)] = True
    stayed = rejoin_crumbs(mesh, parted, options.least)
    opened = np.flatnonzero(parted & ~earlier)
    if not len(opened):
        return None
    tets, source = split(mesh, parted)
    after = replace(
        mesh,
        nodes=places.rest[source],
        tets=tets,
        cut_faces=np.flatnonzero(parted).astype(np.int32),
    )
    where = np.unique(np.concatenate(moved))
    now = places.now[source]
    return Cut(
        before=mesh,
        mesh=after,
        source=source,
        opened=opened.astype(np.int32),
        side=_sides(after, now, sweep, edge, stayed),
        moved=where,
        positions=now,
        velocities=_keep_momentum(
            (mesh, positions, velocities), (after, now, places.carried[source, 3:]), where, source
        ),
        sweep=sweep,
        edge=edge,
    )


def _crossed(
    mesh: TetMesh,
    parted: NDArray[np.bool_],
    sweep: Sweep,
    last: NDArray[np.float64],
    now: NDArray[np.float64],
    *,
    after: bool = False,
) -> NDArray[np.integer]:
    """Return the whole faces, both sides, between whose elements the blade passes.

    Args:
        mesh: What is cut.
        parted: Faces that are so already, by number.
        sweep: Of the blade.
        last: Nodes before they moved [m].
        now: Nodes after that, during the sweep [m].
        after: They moved after the sweep, instead of before it.
    """
    corners = np.array([sweep.first_before, sweep.second_before, sweep.first, sweep.second])
    face = np.flatnonzero((mesh.across > np.arange(4 * len(mesh.tets))) & ~parted)
    centres = np.stack([last[mesh.tets].mean(axis=1), now[mesh.tets].mean(axis=1)])
    p, q = centres[:, face // 4], centres[:, mesh.across[face] // 4]
    low, high = np.minimum(p, q).min(axis=0), np.maximum(p, q).max(axis=0)
    close = ((low <= corners.max(axis=0)) & (high >= corners.min(axis=0))).all(axis=1)
    face, p, q = face[close], p[:, close], q[:, close]
    hit = np.zeros(len(face), np.bool_) if after else sweep.crosses(p[1], q[1])
    if last is not now:
        hit |= sweep.met(p, q, before=not after)
    return np.sort(np.concatenate([face[hit], mesh.across[face[hit]]]))


def _sides(
    mesh: TetMesh, now: NDArray[np.float64], sweep: Sweep, edge: float, stayed: NDArray[np.integer]
) -> NDArray[np.int8]:
    """Tell on which side the elements along this cut and what of earlier ones is near are.

    Those that stayed are with the other side.
    """
    at = np.zeros(len(mesh.nodes), np.bool_)
    at[mesh.face_corners(mesh.cut_faces)] = True
    near = np.flatnonzero(at[mesh.tets].any(axis=1))
    height, outside, _ = sweep.measure(now[mesh.tets[near]].mean(axis=1))
    close = (outside <= 2 * edge) & (np.abs(height) <= 2 * edge)
    side = np.zeros(len(mesh.tets), np.int8)
    side[near[close]] = np.where(height[close] >= 0, 1, -1)
    side[stayed] *= -1
    return side


def _keep_momentum(
    before: tuple[TetMesh, NDArray[np.float64], NDArray[np.float64]],
    after: tuple[TetMesh, NDArray[np.float64], NDArray[np.float64]],
    moved: NDArray[np.int64],
    source: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the velocities, those around moved nodes changed as a rigid body's so that both momenta are as before."""
    (mesh, x, v), (other, y, w) = before, after
    if not len(moved):
        return w
    changed = np.flatnonzero(np.isin(source, mesh.tets[np.isin(mesh.tets, moved).any(axis=1)]))
    mass, centre = other.masses[changed], np.average(y[changed], axis=0, weights=other.masses[changed])
    arm = y[changed] - centre
    linear = mesh.masses @ v - other.masses @ w
    angular = np.cross(x - centre, v).T @ mesh.masses - np.cross(y - centre, w).T @ other.masses
    inertia = np.einsum("n,ij,n->ij", mass, np.eye(3), np.square(arm).sum(axis=1)) - np.einsum(
        "n,ni,nj->ij", mass, arm, arm
    )
    result = w.copy()
    result[changed] += linear / mass.sum() + np.cross(np.linalg.solve(inertia, angular), arm)
    return result

"""A surface that follows a body is parted where the body is cut; the faces laid open are a surface too."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from sim.soft.body import SoftBody
from sim.soft.cutting import Cut
from sim.soft.embedding import Binding, EmbeddedSurface, barycentric_places
from sim.soft.snapping import edge_length
from sim.soft.sweep import Sweep
from sim.soft.tet_mesh import FACES, TetMesh

_NEAREST = 0.02  # share of an edge that a new vertex keeps away from its ends
_THIN = 1e-3  # of a mean edge: vertices this near to the cut are taken to be on the side of their triangles
_SEAM = 0.5  # of an edge: how deep a seam goes
_OVER = 1e-6  # of a mean edge: how far beside the swept surface an edge may cross it


def cut_surface(surface: EmbeddedSurface, cuts: Sequence[Cut]) -> EmbeddedSurface:
    """Return a surface parted along cuts: its triangles are divided at the blade, and each side follows its own tissue.

    Args:
        surface: Before the cuts.
        cuts: All that were made to its body since, in their order.

    Raises:
        InputError: The cuts are not those that lead to the body as it is now.
    """
    binding = surface.binding
    for cut in cuts:
        binding = _cut_binding(binding, cut)
    if cuts and cuts[-1].mesh is not surface.body.mesh:
        raise InputError(f"{surface.body.name}: expected all cuts up to now, found the last of another body or time")
    return EmbeddedSurface(_torn(binding, surface.body.uncut, surface.body.mesh), surface.body) if cuts else surface


def _torn(skin: Binding, uncut: TetMesh, mesh: TetMesh) -> Binding:
    """Let triangles that span the open cut go with one of its sides, as flaps of that lip.

    They are left where a blade stopped within a triangle and went on. Two elements that had a node in common and have
    none now are on different sides, and so are two that had a neighbour in common. A corner on the other side gets a
    copy that is bound to the tissue on this one.
    """
    at = np.zeros(len(mesh.nodes), np.bool_)
    at[mesh.face_corners(mesh.cut_faces)] = True
    beside = at[mesh.tets].any(axis=1)[skin.tet]
    rows = np.flatnonzero(beside[skin.triangles].any(axis=1))
    hosts = skin.tet[skin.triangles[rows]]
    apart = np.zeros((len(rows), 3, 3), np.bool_)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        first, second = hosts[:, i], hosts[:, j]
        near = _share_a_node(uncut, first, second)
        pair = near & ~_share_a_node(mesh, first, second)
        for far in np.flatnonzero(~near):
            whole, now = (_next_to_each_other(one, int(first[far]), int(second[far])) for one in (uncut, mesh))
            pair[far] = whole and not now
        apart[:, i, j] = apart[:, j, i] = pair
    stays = apart.sum(axis=2).argmin(axis=1)
    row, corner = np.nonzero(apart[np.arange(len(rows)), stays])
    host = hosts[row, stays[row]]
    copies = skin.rest[skin.triangles[rows[row], corner]]
    around = mesh.nodes[mesh.tets[host]]
    edges = (around[:, 1:] - around[:, :1]).transpose(0, 2, 1)
    inner = np.linalg.solve(edges, (copies - around[:, 0])[..., None])[..., 0]
    triangles = skin.triangles.copy()
    triangles[rows[row], corner] = len(skin.rest) + np.arange(len(row))
    return Binding(
        np.concatenate([skin.rest, copies]),
        triangles,
        np.concatenate([skin.tet, host]),
        np.concatenate([skin.shares, np.column_stack([1 - inner.sum(axis=1), inner])]),
        skin.uncut,
    )


def _share_a_node(mesh: TetMesh, first: NDArray[np.integer], second: NDArray[np.integer]) -> NDArray[np.bool_]:
    return np.asarray((mesh.tets[first][:, :, None] == mesh.tets[second][:, None]).any(axis=(1, 2)))


def _next_to_each_other(mesh: TetMesh, first: int, second: int) -> bool:
    """Tell whether an element has a node in common with both."""
    around = mesh.tets[np.isin(mesh.tets, mesh.tets[first]).any(axis=1)]
    return bool(np.isin(mesh.tets[second], around).any())


def laid_open(body: SoftBody, surface: EmbeddedSurface | None = None) -> EmbeddedSurface | None:
    """Return the surface of all cut faces that have come apart, for an object labelled `cut_tissue`; None without any.

    Its normals point out of the tissue. Make it anew after each cut.

    Args:
        body: What was cut.
        surface: One that was parted by `cut_surface`: from its edges a seam goes down along the cut, so that no gap is
            left where it lies off the tetrahedra's own outside.
    """
    mesh = body.mesh
    faces = mesh.surface_faces[mesh.surface_is_cut]
    if not len(faces):
        return None
    corners = mesh.face_corners(faces)
    nodes, first, triangles = np.unique(corners, return_index=True, return_inverse=True)
    tet, corner = faces[first // 3] // 4, FACES[faces[first // 3] % 4, first % 3]
    shares = np.eye(4)[corner]
    found = Binding(mesh.nodes[nodes], triangles.reshape(-1, 3).astype(np.int32), tet, shares)
    if surface is not None:
        found = _joined(found, _seam(surface.binding, mesh, edge_length(mesh, mesh.nodes, faces // 4) * _SEAM))
    return EmbeddedSurface(found, body)


def _seam(skin: Binding, mesh: TetMesh, depth: float) -> Binding:
    """Return strips that go down from the edges which cuts made in a surface, on each side, `depth` deep [m]."""
    ends = np.concatenate([skin.triangles[:, [k, (k + 1) % 3]] for k in range(3)]).astype(np.int64)
    count = len(skin.rest)
    open_edge = ~np.isin(ends[:, 0] * count + ends[:, 1], ends[:, 1] * count + ends[:, 0])
    edges = ends[open_edge & (ends >= skin.uncut).all(axis=1)]
    used, local = np.unique(edges, return_inverse=True)
    local = local.reshape(-1, 2)
    normals = np.zeros((count, 3))
    corners = skin.rest[skin.triangles]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    for k in range(3):
        np.add.at(normals, skin.triangles[:, k], area)
    normal = normals[used] / np.maximum(np.linalg.norm(normals[used], axis=1, keepdims=True), 1e-300)
    deep = skin.rest[used] - depth * normal
    around = mesh.nodes[mesh.tets[skin.tet[used]]]
    shares = skin.shares[used]
    inner = np.linalg.solve((around[:, 1:] - around[:, :1]).transpose(0, 2, 1), (deep - around[:, 0])[..., None])[
        ..., 0
    ]
    inner = np.concatenate([1 - inner.sum(axis=1, keepdims=True), inner], axis=1)
    a, b, below = local[:, 0], local[:, 1], len(used)
    strips = np.concatenate([np.stack([b, a, a + below], axis=1), np.stack([b, a + below, b + below], axis=1)])
    return Binding(
        np.concatenate([skin.rest[used], deep]),
        strips.astype(np.int32),
        np.tile(skin.tet[used], 2),
        np.concatenate([shares, inner]),
    )


def _joined(first: Binding, second: Binding) -> Binding:
    """Return both as one surface."""
    return Binding(
        np.concatenate([first.rest, second.rest]),
        np.concatenate([first.triangles, second.triangles + np.int32(len(first.rest))]),
        np.concatenate([first.tet, second.tet]),
        np.concatenate([first.shares, second.shares]),
    )


def _cut_binding(old: Binding, cut: Cut) -> Binding:
    mesh = cut.mesh
    tet, shares = old.tet.copy(), old.shares.copy()
    shifted = np.flatnonzero(np.isin(cut.before.tets[tet], cut.moved).any(axis=1))
    if len(shifted):
        near = np.flatnonzero(
            np.isin(cut.before.tets, cut.before.tets[np.isin(cut.before.tets, cut.moved).any(axis=1)]).any(axis=1)
        )
        tet[shifted], shares[shifted] = barycentric_places(mesh, old.rest[shifted], near)
    at = cut.side[tet] != 0
    touched = np.flatnonzero(at[old.triangles].any(axis=1))
    if not len(touched):
        return replace(old, tet=tet, shares=shares)
    place = np.einsum("vi,vij->vj", shares, cut.positions[mesh.tets[tet]])
    triangles = old.triangles[touched]
    side, scale = _side_of(place, triangles, cut.sweep)
    split = _split_edges(place, triangles, side, cut.side[tet], cut.sweep.longer(2 * cut.edge), scale)
    return _divide(replace(old, tet=tet, shares=shares), cut, touched, side, split)


def _side_of(place: NDArray[np.float64], triangles: NDArray[np.int32], sweep: Sweep) -> tuple[NDArray[np.int8], float]:
    """Tell the side of the cut on which vertices of triangles are, 0 for those of none; and the mean edge [m]."""
    used = np.unique(triangles)
    height = np.zeros(len(place))
    height[used] = sweep.measure(place[used])[0]
    edges = place[triangles] - place[np.roll(triangles, 1, axis=1)]
    scale = float(np.linalg.norm(edges, axis=2).mean())
    # A vertex in the cut itself, made by an earlier one, is where its triangles are.
    corner = height[triangles]
    most = np.take_along_axis(corner, np.abs(corner).argmax(axis=1)[:, None], axis=1)[:, 0]
    leaning = np.bincount(triangles.ravel(), np.repeat(most, 3), minlength=len(place))
    height = np.where(np.abs(height) < _THIN * scale, leaning, height)
    side = np.zeros(len(place), np.int8)
    side[used] = np.where(height[used] >= 0, 1, -1)
    return side, scale


def _split_edges(
    place: NDArray[np.float64],
    triangles: NDArray[np.int32],
    side: NDArray[np.int8],
    host: NDArray[np.int8],
    sweep: Sweep,
    scale: float,
) -> dict[tuple[int, int], float]:
    """Return the edges (lower vertex first) that the cut divides, and at which share of their length."""
    edges = np.unique(
        np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])), axis=0
    )
    edges = edges[side[edges[:, 0]] != side[edges[:, 1]]]
    if not len(edges):
        return {}
    first, second = place[edges[:, 0]], place[edges[:, 1]]
    above, _, normal = sweep.measure(first)
    below = np.einsum("ki,ki->k", second - first, normal) + above
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.nan_to_num(above / (above - below), nan=0.5, posinf=0.5, neginf=0.5)
    share = np.clip(share, _NEAREST, 1 - _NEAREST)
    outside = sweep.measure(first + share[:, None] * (second - first))[1]
    hosts = host[edges]
    wanted = ((outside <= _OVER * scale) & (hosts != 0).any(axis=1)) | (hosts != 0).all(axis=1)
    return {(int(a), int(b)): float(t) for (a, b), t in zip(edges[wanted], share[wanted], strict=True)}


def _divide(
    old: Binding, cut: Cut, touched: NDArray[np.int64], side: NDArray[np.int8], split: dict[tuple[int, int], float]
) -> Binding:
    """Divide the touched triangles at split edges, and bind every vertex at the cut to tissue on its own side."""
    triangles = old.triangles[touched].tolist()
    on = [[key for key in _edges(corners) if key in split] for corners in triangles]
    ends = {keys[0] for keys in on if len(keys) == 1}  # the cut stops in a triangle: both sides meet there still
    rest, sides, number = [], [], {}
    for key, share in split.items():
        point = old.rest[key[0]] + share * (old.rest[key[1]] - old.rest[key[0]])
        for way in (1, -1):
            if way == 1 or key not in ends:
                rest.append(point)
                sides.append(0 if key in ends else way)
            number[key, way] = len(old.rest) + len(rest) - 1
    made: list[list[int]] = []
    for corners, keys in zip(triangles, on, strict=True):
        made += _parts(corners, keys, side, number)
    count = len(old.rest)
    kept = np.delete(old.triangles, touched, axis=0)
    every = np.concatenate([kept, np.array(made, np.int32).reshape(-1, 3)])
    points = np.concatenate([old.rest, np.array(rest).reshape(-1, 3)])
    wanted = np.concatenate([side, np.array(sides, np.int8)])
    tet = np.concatenate([old.tet, np.full(len(rest), -1)])
    shares = np.concatenate([old.shares, np.zeros((len(rest), 4))])
    wrong = np.zeros(len(points), np.bool_)
    wrong[count:] = True
    wrong[:count] = (cut.side[old.tet] * side) < 0
    nodes = np.zeros(len(cut.mesh.nodes), np.bool_)
    nodes[cut.mesh.tets[cut.side != 0]] = True
    near = np.flatnonzero(nodes[cut.mesh.tets].any(axis=1))
    for way in (1, -1, 0):
        which = np.flatnonzero(wrong & (wanted == way))
        among = near[cut.side[near] != -way] if way else near
        if len(which) and len(among):
            tet[which], shares[which] = barycentric_places(cut.mesh, points[which], among)
    return Binding(points, every.astype(np.int32), tet, shares, old.uncut)


def _edges(corners: list[int]) -> list[tuple[int, int]]:
    a, b, c = corners
    return [(min(p, q), max(p, q)) for p, q in ((a, b), (b, c), (c, a))]


def _parts(
    corners: list[int],
    keys: list[tuple[int, int]],
    side: NDArray[np.int8],
    number: dict[tuple[tuple[int, int], int], int],
) -> list[list[int]]:
    """Return what a triangle is divided into, in its own sense."""
    if not keys:
        return [corners]
    # Turn it so that its first edge is divided, and its third too if two are.
    for turn in range(3):
        a, b, c = (corners[(turn + k) % 3] for k in range(3))
        first, _, third = _edges([a, b, c])
        if first in keys and (len(keys) == 1 or third in keys):
            break
    if len(keys) == 1:
        middle = number[first, 1]
        return [[a, middle, c], [middle, b, c]]
    alone, others = int(side[a]), -int(side[a])
    p, q = number[first, others], number[third, others]
    return [[a, number[first, alone], number[third, alone]], [p, b, c], [p, c, q]]

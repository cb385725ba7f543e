"""Part a tetrahedral mesh along faces: nodes become two or more where the elements around them fall apart."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sim.soft.tet_mesh import FACES, TetMesh


def pieces(mesh: TetMesh, parted: NDArray[np.bool_] | None = None) -> NDArray[np.int32]:
    """Number the pieces that hang together by faces, shape (e,).

    Args:
        mesh: Of any number of pieces.
        parted: Faces that hold nothing together, by number, shape (4 e,).
    """
    there = mesh.across >= 0
    if parted is not None:
        there &= ~parted
    face = np.flatnonzero(there)
    count = len(mesh.tets)
    graph = coo_array((np.ones(len(face), np.int8), (face // 4, mesh.across[face] // 4)), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def rejoin_crumbs(mesh: TetMesh, parted: NDArray[np.bool_], least: int) -> NDArray[np.int64]:
    """Close faces again around pieces of fewer than `least` elements that the cut would make.

    Each joins the piece with which it has most of the cut in common.

    Args:
        mesh: Before the cut.
        parted: By number, shape (4 e,); changed.
        least: Elements of a piece that may fall off.

    Returns:
        The elements that stay where they would have fallen off.
    """
    before = np.bincount(pieces(mesh))[pieces(mesh)]
    stay: list[NDArray[np.int64]] = []
    while True:
        piece = pieces(mesh, parted)
        size = np.bincount(piece)[piece]
        crumb = np.flatnonzero((size < least) & (size < before))
        if not len(crumb):
            return np.concatenate(stay) if stay else np.zeros(0, np.int64)
        members = np.flatnonzero(piece == piece[crumb[0]])
        faces = (4 * members[:, None] + np.arange(4)).ravel()
        faces = faces[parted[faces]]
        beyond = piece[mesh.across[faces] // 4]
        joined = faces[beyond == np.argmax(np.bincount(beyond))]
        parted[joined] = False
        parted[mesh.across[joined]] = False
        stay.append(members)


def split(mesh: TetMesh, parted: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Give the elements on both sides of faces nodes of their own.

    Around each node of a parted face the elements form groups that hang together by other faces at that node. The group
    of the lowest element keeps the node, each other gets a new one, in the order of node and element. Around the front
    of a cut all hang together still, and nothing is new.

    Args:
        mesh: Before.
        parted: Faces by number, shape (4 e,), both sides of each.

    Returns:
        Corners of the elements, shape (e, 4), and the old node of each new one, shape (n', ), where the first n are the
        old ones themselves.
    """
    tets, count = mesh.tets.copy(), len(mesh.nodes)
    touched = np.zeros(count, np.bool_)
    touched[mesh.face_corners(np.flatnonzero(parted))] = True
    near = np.flatnonzero(touched[tets].any(axis=1))
    row = np.full(len(tets), -1)
    row[near] = np.arange(len(near))
    # An entity is an element's corner; two are one where their elements share a whole face at that node.
    face = (4 * near[:, None] + np.arange(4)).ravel()
    face = face[(mesh.across[face] >= 0) & ~parted[face]]
    nodes, other = mesh.face_corners(face), mesh.across[face] // 4
    own = FACES[face % 4]
    there = np.argmax(tets[other][:, None, :] == nodes[:, :, None], axis=2)
    wanted = touched[nodes] & (row[other] >= 0)[:, None]
    first = (4 * row[face // 4][:, None] + own)[wanted]
    second = (4 * row[other][:, None] + there)[wanted]
    size = 4 * len(near)
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(size, size))
    group = connected_components(graph, directed=False)[1]
    entity = np.flatnonzero(touched[tets[near]].ravel())
    node = tets[near].ravel()[entity]
    order = np.lexsort((near[entity // 4], node))
    entity, node = entity[order], node[order]
    _, at, inverse = np.unique(group[entity], return_index=True, return_inverse=True)
    started = np.sort(at)  # entities that are the first of their groups, by node and element
    keeps = np.append(True, node[started][1:] != node[started][:-1])
    number = np.where(keeps, node[started], 0)
    number[~keeps] = count + np.arange((~keeps).sum())
    of_group = number[np.searchsorted(started, at)][inverse]
    tets[near[entity // 4], entity % 4] = of_group
    return tets, np.concatenate([np.arange(count), node[started][~keeps]])

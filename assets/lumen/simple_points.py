"""Digital topology: may a voxel be added without changing the number of pieces, handles or cavities?

A voxel is simple when its neighbours inside (that touch by faces) and those outside (by faces, edges or corners) are
one piece each around it (Bertrand and Malandain, Pattern Recognition Letters 15(2), 1994). Besides, a voxel is refused
while it would touch another by an edge or a corner alone: what grows stays well-composed (Latecki, Eckhardt and
Rosenfeld, Computer Vision and Image Understanding 61(1), 1995), so that every kind of neighbourhood, and marching
cubes, see the same topology.
"""

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray

OFFSETS = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1) if (i, j, k) != (0, 0, 0)])
"""The 26 neighbours; bit n of a code is neighbour n."""

_STEPS = np.abs(OFFSETS).sum(axis=1)
_APART = np.abs(OFFSETS[:, None] - OFFSETS[None])
_FACE = _STEPS == 1
_NEAR = _STEPS <= 2
_TOUCH_FACE = ((_APART.sum(axis=2) == 1) & _NEAR[:, None] & _NEAR[None]).astype(np.float32)
_TOUCH_ANY = (_APART.max(axis=2) == 1).astype(np.float32)


class SimplePoints:
    """Answers by table, filled as configurations turn up; there are 2 ** 26."""

    def __init__(self) -> None:
        # 0 not yet known, 1 may be added, 2 may not; the pages of memory are only taken where they are touched.
        self._table = np.zeros(1 << 26, np.uint8)

    def __call__(self, codes: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
        """Say which voxels may be added.

        Args:
            codes: Bit n is set where neighbour n of `OFFSETS` is inside, shape (n,).
        """
        known = self._table[codes]
        if not known.all():
            fresh = np.unique(codes[known == 0])
            self._table[fresh] = np.where(_addable(fresh), 1, 2)
            known = self._table[codes]
        return np.asarray(known == 1)


def _addable(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    inside = (codes[:, None] >> np.arange(26)) & 1 == 1
    one_inside = _one_piece(inside & _FACE, inside & _NEAR, _TOUCH_FACE)
    one_outside = _one_piece(~inside, ~inside, _TOUCH_ANY)
    return np.asarray(one_inside & one_outside & _well_composed(inside))


def _one_piece(starts: NDArray[np.bool_], allowed: NDArray[np.bool_], touch: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say by row whether there are starts and all are connected through what is allowed."""
    reached = np.zeros_like(starts)
    rows = np.flatnonzero(starts.any(axis=1))
    reached[rows, np.argmax(starts[rows], axis=1)] = True
    while True:
        grown = reached | ((reached.astype(np.float32) @ touch > 0) & allowed)
        if np.array_equal(grown, reached):
            return np.asarray(starts.any(axis=1) & ~(starts & ~reached).any(axis=1))
        reached = grown


def _well_composed(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say by row whether no square or cube around the added voxel joins two voxels across an edge or corner alone."""
    good = np.ones(len(inside), bool)
    for corner in np.flatnonzero(_STEPS == 3):
        signs = OFFSETS[corner]
        # The cube's voxels as bits of x, y, z away from the added voxel, which is 0 and inside.
        cube = np.ones((len(inside), 8), bool)
        for away in range(1, 8):
            offset = signs * [(away >> axis) & 1 for axis in range(3)]
            cube[:, away] = inside[:, np.flatnonzero((offset == OFFSETS).all(axis=1))[0]]
        for first in range(4):
            opposite = cube[:, first] == cube[:, 7 - first]
            others = np.delete(cube, [first, 7 - first], axis=1)
            good &= ~(opposite & (others != cube[:, [first]]).all(axis=1))
        for a, b in ((1, 2), (1, 4), (2, 4)):
            good &= ~(cube[:, a | b] & ~cube[:, a] & ~cube[:, b])
    return good

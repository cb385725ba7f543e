"""Digital topology: may a voxel be added without changing the number of pieces, handles or cavities?

A voxel is simple when both its neighbours inside and its neighbours outside are one piece around it (Bertrand and
Malandain, Pattern Recognition Letters 15(2), 1994). Inside, voxels touch by faces; outside, by faces, edges or corners,
so that a wall of one voxel separates.
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
_TOUCH_FACE = ((_APART.sum(axis=2) <= 1) & _NEAR[:, None] & _NEAR[None]).astype(np.float32)
_TOUCH_ANY = (_APART.max(axis=2) <= 1).astype(np.float32)


class SimplePoints:
    """Answers by table, filled as configurations turn up; there are 2 ** 26."""

    def __init__(self) -> None:
        # 0 not yet known, 1 simple, 2 not; the pages of memory are only taken where they are touched.
        self._table = np.zeros(1 << 26, np.uint8)

    def __call__(self, codes: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
        """Say which voxels may be added.

        Args:
            codes: Bit n is set where neighbour n of `OFFSETS` is inside, shape (n,).
        """
        known = self._table[codes]
        if not known.all():
            fresh = np.unique(codes[known == 0])
            self._table[fresh] = np.where(_simple(fresh), 1, 2)
            known = self._table[codes]
        return np.asarray(known == 1)


def _simple(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    inside = (codes[:, None] >> np.arange(26)) & 1 == 1
    near = inside & _NEAR
    faces = inside & _FACE
    one_inside = faces.any(axis=1) & ~(faces & ~_reached(faces, near, _TOUCH_FACE)).any(axis=1)
    outside = ~inside
    one_outside = outside.any(axis=1) & ~(outside & ~_reached(outside, outside, _TOUCH_ANY)).any(axis=1)
    return np.asarray(one_inside & one_outside)


def _reached(starts: NDArray[np.bool_], allowed: NDArray[np.bool_], touch: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Flood from the first start of each row through what is allowed."""
    reached = np.zeros_like(starts)
    rows = np.flatnonzero(starts.any(axis=1))
    reached[rows, np.argmax(starts[rows], axis=1)] = True
    while True:
        grown = ((reached.astype(np.float32) @ touch) > 0) & allowed
        grown |= reached
        if np.array_equal(grown, reached):
            return reached
        reached = grown

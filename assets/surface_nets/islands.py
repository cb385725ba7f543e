"""Small separate pieces of a label: found by a rule, counted, and given to what surrounds them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt16
from numpy.typing import NDArray
from scipy import ndimage

SHARE = 0.01
"""A piece is an island where it has less than this share of its label's voxels ..."""

LARGEST = 0.5e-6
"""... and less than this volume [m^3], half a millilitre: a speck of a segmentation, and no part of an organ."""

_TOUCHING = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class Islands:
    """What was dropped of one label."""

    count: int
    voxels: int


def without_islands(
    labels: UInt16[np.ndarray, "i j k"], voxel: float
) -> tuple[UInt16[np.ndarray, "i j k"], dict[int, Islands]]:
    """Drop the islands of every label; a label's largest piece always stays.

    Pieces are apart where they touch not even at a corner. An island's voxels go to what most of their faces touch,
    another label or the background.

    Args:
        labels: The labels; not changed.
        voxel: Volume of a voxel [m^3].

    Returns:
        The labels without islands, and what was dropped, by label.
    """
    marks = np.zeros(labels.shape, np.int32)
    found: dict[int, Islands] = {}
    total = 0
    for number, box in enumerate(ndimage.find_objects(labels.astype(np.int32)), start=1):
        if box is None:
            continue
        pieces, count = ndimage.label(labels[box] == number, _TOUCHING)
        if count < 2:
            continue
        size = np.bincount(pieces.ravel(), minlength=count + 1)
        small = (size < SHARE * size[1:].sum()) & (size * voxel < LARGEST)
        small[0] = small[1 + int(np.argmax(size[1:]))] = False
        if small.any():
            rank = np.where(small, total + np.cumsum(small), 0)
            marks[box] += rank[pieces].astype(np.int32)
            total += int(small.sum())
            found[number] = Islands(int(small.sum()), int(size[small].sum()))
    if not total:
        return labels, found
    result = labels.copy()
    result[marks > 0] = _surroundings(labels, marks, total)[marks[marks > 0]]
    return result, found


def _surroundings(labels: NDArray[np.uint16], marks: NDArray[np.int32], total: int) -> NDArray[np.uint16]:
    """Return by island the label that most of its faces touch, shape (total + 1,)."""
    votes = []
    for axis in range(3):
        here = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        there = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        for inner, outer in ((here, there), (there, here)):
            across = (marks[inner] > 0) & (marks[outer] == 0)
            votes.append(np.stack([marks[inner][across], labels[outer][across].astype(np.int32)], axis=1))
    pair, count = np.unique(
        np.concatenate(votes).astype(np.int64) @ np.array([1 << 16, 1], np.int64), return_counts=True
    )
    winner = np.zeros(total + 1, np.uint16)
    order = np.argsort(count, kind="stable")  # the last one written is the most frequent
    winner[pair[order] >> 16] = (pair[order] & 0xFFFF).astype(np.uint16)
    return winner

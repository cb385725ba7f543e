"""Merge blocks of fine voxels to one: the label that most of a block's voxels have."""

import numpy as np
from jaxtyping import UInt16
from numpy.typing import NDArray


def merged(labels: UInt16[np.ndarray, "i j k"], factor: tuple[int, int, int]) -> UInt16[np.ndarray, "a b c"]:
    """Merge blocks of `factor` voxels, the first of which begins at voxel 0; beyond the end there is background.

    Of labels that are equally frequent in a block the highest wins, so that a structure wins over the background.
    """
    blocks = [-(-n // f) for n, f in zip(labels.shape, factor, strict=True)]
    result = np.empty(blocks, np.uint16)
    for slab in range(blocks[0]):  # a slab of blocks at a time, to spare memory
        part = labels[slab * factor[0] : (slab + 1) * factor[0]]
        room = [
            (0, f * (slab + 1 if axis == 0 else n) - s)
            for axis, (f, n, s) in enumerate(zip(factor, blocks, labels.shape, strict=True))
        ]
        room[0] = (0, factor[0] - part.shape[0])
        part = np.pad(part, room)
        split = part.reshape(factor[0], blocks[1], factor[1], blocks[2], factor[2])
        result[slab] = _most_frequent(split.transpose(1, 3, 0, 2, 4).reshape(blocks[1] * blocks[2], -1)).reshape(
            blocks[1], blocks[2]
        )
    return result


def _most_frequent(rows: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the most frequent number of each row, shape (n,)."""
    result = rows[:, 0].copy()
    mixed = np.flatnonzero((rows != rows[:, :1]).any(axis=1))
    some = -np.sort(-rows[mixed].astype(np.int32), axis=1)
    count = (some[:, :, None] == some[:, None, :]).sum(axis=2)
    result[mixed] = some[np.arange(len(some)), np.argmax(count, axis=1)].astype(np.uint16)
    return result

"""COCO's run-length code of a mask, as `pycocotools` has it: runs down the columns, in text of 6 bits a letter.

Definition: the MS COCO API's masks, https://github.com/cocodataset/cocoapi (Lin et al., ECCV 2014,
doi:10.1007/978-3-319-10602-1_48).
"""

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from assets.errors import InputError


def encode_rle(mask: Bool[np.ndarray, "h w"]) -> str:
    """Write a mask as COCO's compressed runs."""
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    runs = np.diff(edges).tolist()
    if flat.size and flat[0]:
        runs = [0, *runs]  # the first run is of zeros
    return _letters(runs)


def decode_rle(text: str, height: int, width: int) -> NDArray[np.bool_]:
    """Undo `encode_rle`, shape (height, width).

    Raises:
        InputError: The runs are not as long as the image.
    """
    runs = _runs(text)
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise InputError(f"mask: expected runs of {height * width} pixels in all, found {sum(runs)}")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _letters(runs: list[int]) -> str:
    """Write each run, from the fourth on less the one two before it, in groups of 5 bits, least first, as letters."""
    letters = []
    for index, run in enumerate(runs):
        rest = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            group, rest = rest & 31, rest >> 5
            more = rest != -1 if group & 16 else rest != 0  # the last group's highest bit is the sign
            letters.append(chr(48 + (group | 32 if more else group)))
    return "".join(letters)


def _runs(text: str) -> list[int]:
    runs: list[int] = []
    value, shift = 0, 0
    for letter in text:
        group = ord(letter) - 48
        if not 0 <= group < 64 or shift > 60:
            raise InputError(f"mask: expected COCO's run-length letters, found {text[:20]!r}")
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            if group & 16:
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value, shift = 0, 0
    return runs

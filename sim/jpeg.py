"""JPEG files of colours: smaller than PNG, and not exact."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from assets.errors import InputError
from sim.png import require_size

QUALITY = 95
"""Of 100; with colours in full resolution (4:4:4), so that they do not run over the edges of masks."""

_START, _END = b"\xff\xd8", b"\xff\xd9"
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
"""Markers of what says the picture's size, ITU-T T.81 table B.1."""


def encode_jpeg(rgb: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Write colours."""
    options = (
        *(cv2.IMWRITE_JPEG_QUALITY, QUALITY),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    )
    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    assert done
    return data.tobytes()


def decode_jpeg(data: bytes, where: str) -> NDArray[np.uint8]:
    """Read colours, shape (h, w, 3), whatever the file says of how the picture is turned.

    Raises:
        InputError: It is no whole JPEG, too large, or has no colours; the line starts with `where`.
    """
    width, height, channel_count = _size(data, where)
    require_size(width, height, where)
    if channel_count != 3:
        raise InputError(f"{where}: expected a JPEG of 3 channels, found {channel_count}")
    how = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    if image is None or not data.endswith(_END):
        raise InputError(f"{where}: expected a whole JPEG, found a damaged one")
    return np.ascontiguousarray(image[..., ::-1])


def _size(data: bytes, where: str) -> tuple[int, int, int]:
    """Return width, height and channel count from the header, before OpenCV allocates what it claims."""
    place = 2
    while data[:2] == _START and place + 9 < len(data) and data[place] == 0xFF:
        if data[place + 1] in _FRAMES:
            height, width = (int.from_bytes(data[place + at : place + at + 2], "big") for at in (5, 7))
            return width, height, data[place + 9]
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    raise InputError(f"{where}: expected a JPEG, found {data[:8]!r}")

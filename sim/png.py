"""PNG files, written for speed: one filter for all rows, and deflate by ISA-L where the package isal is there.

Of 512 x 512 px of a rendered frame the five usual channels take 5 ms so, and 15 ms by libpng at level 1, at 5 % more
bytes. Reading is OpenCV's. Format: ISO/IEC 15948, https://www.w3.org/TR/png-3/.
"""

import struct
import zlib
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError

try:
    from isal import isal_zlib
except ImportError:  # no wheel for this machine
    isal_zlib = None  # type: ignore[assignment]

MAX_SIDE = 8192
"""The largest side that is read [px]."""

Filter = Literal["none", "up", "average"]
"""What is taken off each byte before it is packed: nothing, the one above, or the mean of those above and before."""

_FILTER_BYTE: dict[Filter, int] = {"none": 0, "up": 2, "average": 3}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"IEND\xaeB`\x82"
_COLOUR_TYPE = {1: 0, 3: 2}  # by channel count: grey, RGB
_LEVEL = 1


def encode_png(image: NDArray[Any], how: Filter) -> bytes:
    """Write an image; the same image gives the same bytes on machines of one kind.

    Args:
        image: Shape (h, w), or (h, w, 3) for RGB; uint8 or uint16.
        how: The filter of all rows: none for masks, up for what is smooth, average for colours.
    """
    height, width = image.shape[:2]
    bits = 8 * image.dtype.itemsize
    colour = _COLOUR_TYPE[image.shape[2] if image.ndim == 3 else 1]
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    packed = _deflated(_filtered(image, how), how)
    return b"".join((_SIGNATURE, *_chunk(b"IHDR", head), *_chunk(b"IDAT", packed), *_chunk(b"IEND", b"")))


def decode_png(data: bytes, dtype: type[np.generic], channel_count: int, where: str) -> NDArray[Any]:
    """Read an image, shape (h, w), or (h, w, 3) for RGB.

    Raises:
        InputError: It is no whole PNG, larger than MAX_SIDE, or of another type; the line starts with `where`.
    """
    # The size is in the first bytes; look there before OpenCV allocates what they claim.
    if len(data) < 33 or data[:8] != _SIGNATURE:
        raise InputError(f"{where}: expected a PNG, found {data[:8]!r}")
    width, height = struct.unpack(">II", data[16:24])
    require_size(width, height, where)
    image: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or not data.endswith(_END):
        raise InputError(f"{where}: expected a whole PNG, found a damaged one")
    found_count = image.shape[2] if image.ndim == 3 else 1
    if image.dtype != dtype or found_count != channel_count:
        raise InputError(
            f"{where}: expected {channel_count} channel(s) of {dtype.__name__}, found {found_count} of {image.dtype}"
        )
    return np.ascontiguousarray(image[..., ::-1]) if channel_count == 3 else image


def require_size(width: int, height: int, where: str) -> None:
    """Refuse a picture that is empty or larger than MAX_SIDE.

    Raises:
        InputError: It is; the line starts with `where`.
    """
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise InputError(f"{where}: expected 1 to {MAX_SIDE} px a side, found {width} x {height}")


def _filtered(image: NDArray[Any], how: Filter) -> NDArray[np.uint8]:
    """Return the rows as PNG packs them, each behind its filter's byte, shape (h, 1 + bytes a row)."""
    height = len(image)
    stored = np.ascontiguousarray(image.astype(">u2") if image.dtype == np.uint16 else image)
    raw = stored.view(np.uint8).reshape(height, -1)
    rows = np.empty((height, raw.shape[1] + 1), np.uint8)
    rows[:, 0] = _FILTER_BYTE[how]
    body = rows[:, 1:]
    if how == "none":
        body[:] = raw
    elif how == "up":
        body[0] = raw[0]
        np.subtract(raw[1:], raw[:-1], out=body[1:])
    else:
        step = raw.shape[1] // image.shape[1]  # bytes a pixel
        left, above = np.zeros_like(raw), np.zeros_like(raw)
        left[:, step:], above[1:] = raw[:, :-step], raw[:-1]
        np.subtract(raw, (left & above) + ((left ^ above) >> 1), out=body)  # the mean without a ninth bit
    return rows


def _deflated(rows: NDArray[np.uint8], how: Filter) -> bytes:
    if isal_zlib is not None:
        packed: bytes = isal_zlib.compress(rows, _LEVEL)
        return packed
    # For colours runs are enough, and twice as quick to find as repeats.
    strategy = zlib.Z_RLE if how == "average" else zlib.Z_DEFAULT_STRATEGY
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    return packer.compress(rows) + packer.flush()


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))

"""Images from outside: what size they claim is looked at before anything of that size is made."""

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError

_MAX_SIDE = 8192  # px, as of `sim.camera.Camera`
_MAX_BYTES = 512 << 20
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257  # tags of TIFF 6.0
_TIFF_NUMBERS = {3: "H", 4: "I"}  # SHORT and LONG


def read_image(path: Path, dtype: type[np.generic], channels: int) -> NDArray[Any]:
    """Read a PNG or TIFF; a fourth channel, opacity, is dropped where three are asked for.

    Returns:
        Shape (h, w) or (h, w, 3) in the order red, green, blue.

    Raises:
        InputError: The file is missing, too large, damaged, or of another kind.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: expected at most {_MAX_BYTES} bytes, found {path.stat().st_size}")
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: expected an image, found none") from None
    width, height = _size(data, path)
    if not (1 <= width <= _MAX_SIDE and 1 <= height <= _MAX_SIDE):
        raise InputError(f"{path}: expected at most {_MAX_SIDE} px a side, found {width} x {height}")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise InputError(f"{path}: expected an image, found a damaged one: {error.err}") from None
    if image is None:
        raise InputError(f"{path}: expected an image, found a damaged one")
    found = image.shape[2] if image.ndim == 3 else 1
    if image.dtype != dtype or found not in ((channels, 4) if channels == 3 else (channels,)):
        raise InputError(
            f"{path}: expected {channels} channel(s) of {dtype.__name__}, found {found} of {image.dtype.name}"
        )
    return np.ascontiguousarray(image[..., 2::-1]) if channels == 3 else image


def _size(data: bytes, path: Path) -> tuple[int, int]:
    """Return width and height as the head of the file says."""
    if len(data) >= 33 and data[:8] == b"\x89PNG\r\n\x1a\n":
        width, height = struct.unpack(">II", data[16:24])
        return int(width), int(height)
    if data[:4] in (b"II*\0", b"MM\0*"):
        try:
            return _tiff_size(data, "<" if data[:2] == b"II" else ">")
        except (struct.error, KeyError) as error:
            raise InputError(f"{path}: expected a TIFF that says its size, found {type(error).__name__}") from None
    raise InputError(f"{path}: expected a PNG or TIFF, found {data[:8]!r}")


def _tiff_size(data: bytes, order: str) -> tuple[int, int]:
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, directory)
    sides = {}
    for index in range(count):
        place = directory + 2 + 12 * index
        tag, kind, _ = struct.unpack_from(f"{order}HHI", data, place)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT):
            (sides[tag],) = struct.unpack_from(order + _TIFF_NUMBERS[kind], data, place + 8)
    return int(sides[_TIFF_WIDTH]), int(sides[_TIFF_HEIGHT])

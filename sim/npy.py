"""NPY files of exact arrays: 32 bit floats, little-endian, C order; read without pickle, and never more than is there.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

import ast
from io import BytesIO

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from assets.errors import InputError
from sim.png import require_size

_DTYPE = np.dtype("<f4")
_MAGIC = b"\x93NUMPY\x01\x00"
_MAX_HEADER = 1024  # bytes: it is parsed as a Python literal


def encode_npy(array: Float32[np.ndarray, "..."]) -> bytes:
    """Write an array of 32 bit floats."""
    stream = BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array, _DTYPE), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def decode_npy(data: bytes, channel_count: int, where: str) -> NDArray[np.float32]:
    """Read an array of finite 32 bit floats, shape (h, w), or (h, w, channels).

    Raises:
        InputError: It is no whole NPY file of version 1.0, of another shape, type or order, or a number is not finite;
            the line starts with `where`.
    """
    shape, start = _shape(data, where)
    wanted = 2 if channel_count == 1 else 3
    if len(shape) != wanted or (wanted == 3 and shape[2] != channel_count):
        raise InputError(f"{where}: expected {channel_count} channel(s), found an array of {shape}")
    require_size(shape[1], shape[0], where)
    rest = len(data) - start
    if rest != _DTYPE.itemsize * int(np.prod(shape)):
        raise InputError(f"{where}: expected {shape} numbers, found {rest} bytes")
    array = np.frombuffer(data, _DTYPE, offset=start).reshape(shape).astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"{where}: expected finite numbers, found others")
    return array


def _shape(data: bytes, where: str) -> tuple[tuple[int, ...], int]:
    """Return the shape that the header says, and where the numbers begin.

    NumPy's own reader of headers lets errors of Python's tokenizer through.
    """
    length = int.from_bytes(data[8:10], "little")
    if data[:8] != _MAGIC or length > _MAX_HEADER:
        raise InputError(f"{where}: expected an NPY file of version 1.0, found {data[:10]!r}")
    try:
        head = ast.literal_eval(data[10 : 10 + length].decode("ascii"))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        head = None
    shape = head.get("shape") if isinstance(head, dict) else None
    if not isinstance(shape, tuple) or not all(type(side) is int for side in shape):
        raise InputError(f"{where}: expected an NPY file with a shape, found {data[10 : 10 + length][:100]!r}")
    if head.get("descr") != _DTYPE.str or head.get("fortran_order") is not False:
        raise InputError(
            f"{where}: expected numbers {_DTYPE.str} in C order, found {head.get('descr')!r:.50} with fortran_order "
            f"{head.get('fortran_order')!r:.50}"
        )
    return shape, 10 + length

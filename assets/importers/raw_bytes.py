"""Bytes of files from outside: read and inflated up to the number that is expected, never further."""

import bz2
import hashlib
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from assets.errors import InputError

Packing = Literal["raw", "gzip", "zlib", "bzip2"]

MOST_INFLATED = {"raw": 1, "gzip": 1032, "zlib": 1032, "bzip2": 1 << 16}
"""Most bytes that one byte of a packed file can become. Deflate: 258 bytes from 2 bits (Deutsch, RFC 1951, 1996);
bzip2: a block of 900 kB can shrink to some 40 bytes."""

SLACK = 1 << 16
"""Bytes of headers by which a file may be short of that bound."""

_CHUNK = 1 << 20


def one_line(error: BaseException) -> str:
    """Return an error's text as one line of at most 160 characters."""
    return " ".join(str(error).split())[:160] or type(error).__name__


def read_head(path: Path, count: int) -> bytes:
    """Return the first bytes of a file.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise InputError(f"expected a file that can be read, found {error.strerror} at {path}") from None


def sha256_of(files: Iterable[Path]) -> str:
    """Return the SHA-256 of the files' bytes, one after the other.

    Raises:
        InputError: A file cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise InputError(f"expected a file that can be read, found {error.strerror} at {path}") from None
    return digest.hexdigest()


def check_claim(expected: int, stored: int, packing: Packing, where: str) -> None:
    """Refuse a header that promises more bytes than its data can hold, before anything is allocated.

    Args:
        expected: Bytes that the header promises.
        stored: Bytes of the file from where the data begin.
        packing: How they are packed.
        where: What to call the file in errors.

    Raises:
        InputError: There are too few bytes.
    """
    if expected > stored * MOST_INFLATED[packing] + (0 if packing == "raw" else SLACK):
        raise InputError(
            f"expected {expected} bytes of voxels as the header says, found {stored} ({packing}) in {where}"
        )


def read_block(path: Path, offset: int, expected: int, packing: Packing) -> bytearray:
    """Read and unpack exactly the expected number of bytes.

    Args:
        path: The file that holds them.
        offset: Where they begin; -1: a raw block that ends with the file.
        expected: Their number, unpacked.
        packing: How they are packed.

    Raises:
        InputError: There are fewer or more, or they are damaged.
    """
    try:
        size = path.stat().st_size
        if offset < 0:
            if packing != "raw":
                raise InputError(f"expected a place where the packed data begin, found none in {path}")
            offset = max(size - expected, 0)
        check_claim(expected, max(size - offset, 0), packing, str(path))
        result = bytearray()
        unpacker = _unpacker(packing)
        with path.open("rb") as file:
            file.seek(offset)
            # A packed block goes on to its own end, which says that it is whole; one byte too many ends it too.
            while len(result) <= expected and not (unpacker is None and len(result) == expected):
                chunk = file.read(min(_CHUNK, expected - len(result)) if unpacker is None else _CHUNK)
                if not chunk:
                    break
                result += chunk if unpacker is None else unpacker.decompress(chunk, expected + 1 - len(result))
                if unpacker is not None and unpacker.eof:
                    break
        if unpacker is not None and not unpacker.eof and len(result) <= expected:
            raise InputError(f"expected {packing} data to the end of its stream, found it cut off in {path}")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(f"expected {packing} data of {expected} bytes, found {one_line(error)} in {path}") from None
    if len(result) != expected:
        found = f"more than {expected}" if len(result) > expected else len(result)
        raise InputError(f"expected {expected} bytes of voxels, found {found} in {path}")
    return result


def _unpacker(packing: Packing) -> "zlib._Decompress | bz2.BZ2Decompressor | None":
    if packing == "raw":
        return None
    if packing == "bzip2":
        return bz2.BZ2Decompressor()
    return zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, as the data say


def beside(path: Path, name: str, what: str) -> Path:
    """Return the file of a plain name in the same folder.

    Raises:
        InputError: The name is a path, or there is no such file in that folder itself.
    """
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\x00" in name or ":" in name:
        raise InputError(f"expected {what} to be a plain file name beside it, found {name[:80]!r} in {path}")
    found = path.parent / name
    if not found.is_file() or found.resolve().parent != path.parent.resolve():
        raise InputError(f"expected {what} beside it, found no file {name[:80]!r} for {path}")
    return found


def as_volume(block: bytearray, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Give bytes a type and a shape whose first axis runs fastest."""
    return np.frombuffer(block, np.dtype(kind)).reshape(shape, order="F")

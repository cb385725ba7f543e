"""What a mesh file holds, and the checks that every reader makes before it believes a count."""

import stat
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import DTypeLike, NDArray

from assets.errors import InputError

MAX_BYTES = 1 << 28
"""Largest file that is read: 256 MiB, such as five million triangles of a binary STL."""

MAX_ITEMS = 1 << 22
"""Most vertices, triangles or tetrahedra of one file, 4.2 million; instances in a scene count each. Merging the corners
of so many takes about a GiB."""

MAX_COORDINATE = 1e7
"""Largest coordinate in the unit of the file: 10 km in millimetres."""


@dataclass(frozen=True)
class RawMesh:
    """One object of a mesh file as it was written: any unit, any axes, any state of repair."""

    name: str
    """Of the object in the file; empty where the file names none."""
    vertices: Float64[np.ndarray, "v 3"]
    """In the unit of the file."""
    triangles: Int64[np.ndarray, "t 3"]
    tetrahedra: Int64[np.ndarray, "k 4"]
    axes: str | None = None
    """What the file says its axes run to, such as `LPS`; None where it says nothing."""
    notes: tuple[str, ...] = ()
    """What was left out or changed in reading, in words."""


def no_cells(corners: int) -> NDArray[np.int64]:
    """Return an empty table of cells, shape (0, corners)."""
    return np.zeros((0, corners), np.int64)


def raw_mesh(
    where: str,
    vertices: NDArray[np.float64],
    triangles: NDArray[np.int64] | None = None,
    tetrahedra: NDArray[np.int64] | None = None,
    *,
    name: str = "",
    axes: str | None = None,
    notes: tuple[str, ...] = (),
) -> RawMesh:
    """Check what a reader has found and put it together.

    Raises:
        InputError: A coordinate is NaN, infinite or absurd, or an index names no vertex.
    """
    triangles = no_cells(3) if triangles is None else triangles
    tetrahedra = no_cells(4) if tetrahedra is None else tetrahedra
    bad = ~(np.abs(vertices) <= MAX_COORDINATE).all(axis=1)  # also true for NaN
    if bad.any():
        index = int(np.argmax(bad))
        raise InputError(
            f"expected coordinates of at most {MAX_COORDINATE:.0e}, found {vertices[index].tolist()} "
            f"for vertex {index} in {where}"
        )
    for kind, cells in (("triangle", triangles), ("tetrahedron", tetrahedra)):
        wrong = ((cells < 0) | (cells >= len(vertices))).any(axis=1)
        if wrong.any():
            index = int(np.argmax(wrong))
            raise InputError(
                f"expected corners from 0 to {len(vertices) - 1}, found {cells[index].tolist()} "
                f"in {kind} {index} of {where}"
            )
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)  # it will stand in messages
    return RawMesh(shown, vertices, triangles, tetrahedra, axes, notes)


def joined(objects: Sequence[RawMesh]) -> RawMesh:
    """Return several objects of a file as one."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in objects)]).tolist()
    return RawMesh(
        "",
        np.concatenate([mesh.vertices for mesh in objects]),
        np.concatenate([mesh.triangles + start for mesh, start in zip(objects, starts, strict=False)]),
        np.concatenate([mesh.tetrahedra + start for mesh, start in zip(objects, starts, strict=False)]),
        objects[0].axes,
        (*dict.fromkeys(note for mesh in objects for note in mesh.notes), f"{len(objects)} objects were joined"),
    )


def read_bytes(path: Path) -> bytes:
    """Read a file that is a plain one and not too large.

    Raises:
        InputError: It is missing, a device or a pipe, empty, or larger than `MAX_BYTES`.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"expected a mesh file, found something else at {path}")
        if found.st_size > MAX_BYTES:
            raise InputError(f"expected at most {MAX_BYTES} bytes, found {found.st_size} in {path}")
        with path.open("rb") as file:
            data = file.read(found.st_size)  # a buffer of so many bytes is made before any are read
    except OSError as error:
        raise InputError(f"expected a mesh file, found {error.strerror} at {path}") from None
    except ValueError:  # a NUL in the name
        raise InputError(f"expected a mesh file, found the name {str(path)!r}") from None
    if not data:
        raise InputError(f"expected a mesh, found an empty file at {path}")
    return data


def whole(text: str | bytes, what: str, where: str, *, most: int = MAX_ITEMS) -> int:
    """Return a count that a file declares.

    Raises:
        InputError: It is no whole number from 0 to `most`.
    """
    word = text.decode("ascii", errors="replace") if isinstance(text, bytes) else text
    if not (word.isascii() and word.isdigit() and len(word) < 20 and int(word) <= most):
        raise InputError(f"expected {what} from 0 to {most}, found {word[:40]!r} in {where}")
    return int(word)


def items(data: bytes, kind: DTypeLike, count: int, start: int, what: str, where: str) -> NDArray[Any]:
    """Return `count` items out of a file's bytes, without a copy.

    Raises:
        InputError: The file ends before them; nothing has been allocated then.
    """
    size = np.dtype(kind).itemsize
    if count < 0 or start < 0 or start + count * size > len(data):
        raise InputError(
            f"expected {count} {what} of {size} bytes from byte {start} on, found a file of {len(data)} bytes: {where}"
        )
    return np.frombuffer(data, kind, count, start)


def numbers(text: bytes, what: str, where: str) -> NDArray[np.float64]:
    """Read numbers that are written out, with spaces or line ends between them.

    Raises:
        InputError: Something else stands there.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = np.fromstring(text, dtype=np.float64, sep=" ") if text.strip() else np.zeros(0)
    except (ValueError, DeprecationWarning):
        raise InputError(f"expected numbers as {what}, found something else in {where}") from None
    return found


def floats(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return numbers of any type as float64; a signalling NaN becomes a quiet one without a warning."""
    with np.errstate(invalid="ignore"):
        return values.astype(np.float64)


def indices(values: NDArray[np.generic], what: str, where: str) -> NDArray[np.int64]:
    """Return whole numbers as int64.

    Raises:
        InputError: One is a fraction, NaN, or beyond 2^53.
    """
    if values.dtype.kind in "iu":
        if values.dtype.kind == "u" and values.dtype.itemsize == 8 and len(values) and int(values.max()) >> 62:
            raise InputError(f"expected whole numbers as {what}, found {int(values.max())} in {where}")
        return values.astype(np.int64)
    numbers_of = floats(values)
    good = (np.abs(numbers_of) < 2.0**53) & (np.floor(numbers_of) == numbers_of)
    if not good.all():
        raise InputError(f"expected whole numbers as {what}, found {numbers_of[int(np.argmin(good))]!s} in {where}")
    return numbers_of.astype(np.int64)


def fans(corners: NDArray[np.int64], sizes: NDArray[np.int64], where: str) -> NDArray[np.int64]:
    """Cut polygons into fans of triangles from their first corner.

    Args:
        corners: Corners of all polygons, one polygon after the other, shape (sum of sizes,).
        sizes: Corners of each polygon.
        where: What to call the file in errors.

    Returns:
        Triangles, shape (t, 3).

    Raises:
        InputError: A polygon has fewer than 3 corners.
    """
    if len(sizes) and int(sizes.min()) < 3:
        raise InputError(f"expected polygons of at least 3 corners, found {int(sizes.min())} in {where}")
    if len(sizes) == 0:
        return no_cells(3)
    if int(sizes.max()) == 3:
        return corners.reshape(-1, 3)
    start = np.cumsum(sizes) - sizes
    first = np.repeat(start, sizes - 2)
    step = np.arange(len(first)) - np.repeat(np.cumsum(sizes - 2) - (sizes - 2), sizes - 2)
    return np.stack([corners[first], corners[first + step + 1], corners[first + step + 2]], axis=1)


def strips(corners: NDArray[np.int64], where: str) -> NDArray[np.int64]:
    """Cut one strip into triangles that all turn the same way, shape (t, 3).

    Raises:
        InputError: It has fewer than 3 corners.
    """
    if len(corners) < 3:
        raise InputError(f"expected strips of at least 3 corners, found {len(corners)} in {where}")
    found = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
    found[1::2] = found[1::2, ::-1]
    return found


def stated_axes(header: bytes) -> str | None:
    """Find what 3D Slicer writes into a header or comment: `SPACE=LPS` or `SPACE=RAS`."""
    for axes in ("LPS", "RAS"):
        if f"SPACE={axes}".encode() in header:
            return axes
    return None

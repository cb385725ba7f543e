"""VTK legacy files, ASCII and binary: poly data and unstructured grids of versions 1 to 5."""

import re

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.mesh_files.raw import RawMesh, floats, indices, items, raw_mesh, stated_axes, whole
from assets.mesh_files.vtk_cells import sort_cells

_TYPES = {
    "char": ">i1",
    "unsigned_char": ">u1",
    "short": ">i2",
    "unsigned_short": ">u2",
    "int": ">i4",
    "unsigned_int": ">u4",
    "long": ">i8",
    "unsigned_long": ">u8",
    "vtktypeint64": ">i8",
    "vtkidtype": ">i4",
    "float": ">f4",
    "double": ">f8",
}
_POLY_CELLS = {"POLYGONS": 7, "TRIANGLE_STRIPS": 6, "VERTICES": 2, "LINES": 4}
_END = ("POINT_DATA", "CELL_DATA", "FIELD", "COLOR_SCALARS", "LOOKUP_TABLE")
"""What begins data upon points and cells, which come last and are not read."""


def parse_vtk(data: bytes, where: str) -> tuple[RawMesh, ...]:
    """Read a VTK legacy file's bytes.

    Raises:
        InputError: The file is truncated, declares more than it holds, or is of another kind.
    """
    return (_Reader(data, where).mesh(),)


class _Reader:
    """A place in the file that moves on, past lines and past arrays."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where, self.at = data, where, 0
        head, self.title = self.line(), self.line()
        if not re.match(r"# vtk DataFile Version [1-5]\.\d+\s*$", head):
            raise InputError(f"expected '# vtk DataFile Version 1.0' to 5.x, found {head[:60]!r} in {where}")
        kind = self.line().strip().upper()
        if kind not in ("ASCII", "BINARY"):
            raise InputError(f"expected ASCII or BINARY, found {kind[:40]!r} in {where}")
        self.binary = kind == "BINARY"

    def line(self) -> str:
        """Return the next line, at most 4096 bytes of it."""
        end = self.data.find(b"\n", self.at, self.at + 4096)
        end = min(self.at + 4096, len(self.data)) if end < 0 else end
        text = self.data[self.at : end].decode("ascii", errors="replace")
        self.at = end + 1
        return text

    def words(self) -> list[str]:
        """Return the words of the next line that has any; none at the end."""
        while self.at < len(self.data):
            words = self.line().split()
            if words:
                return words
        return []

    def array(self, kind: str, count: int, what: str) -> NDArray[np.generic]:
        """Read `count` values."""
        dtype = _TYPES.get(kind.lower())
        if dtype is None:
            raise InputError(f"expected a type of {', '.join(_TYPES)}, found {kind[:40]!r} for {what} in {self.where}")
        if self.binary:
            found = items(self.data, dtype, count, self.at, what, self.where)
            self.at += found.nbytes
            return found
        if self.at + 2 * count - 1 > len(self.data):
            raise InputError(f"expected {count} {what}, found {len(self.data) - self.at} bytes in {self.where}")
        values: list[NDArray[np.float64]] = []
        missing = count
        while missing:
            chunk_end = self._end_of_lines(missing)
            part = self._numbers(self.data[self.at : chunk_end], what)
            if not len(part) and chunk_end >= len(self.data):
                raise InputError(f"expected {count} {what}, found {count - missing} in {self.where}")
            if len(part) > missing:
                raise InputError(f"expected {count} {what}, found more on a line in {self.where}")
            self.at = chunk_end
            values.append(part)
            missing -= len(part)
        return np.concatenate(values) if values else np.zeros(0)

    def _end_of_lines(self, missing: int) -> int:
        """Return a line end before which there are at most `missing` values, or the end of the next line."""
        # A value and the space behind it take two bytes at least, so this far there cannot be more of them.
        end = self.data.rfind(b"\n", self.at, self.at + 2 * missing)
        if end < self.at:
            end = self.data.find(b"\n", self.at)
        return len(self.data) if end < 0 else end + 1

    def _numbers(self, text: bytes, what: str) -> NDArray[np.float64]:
        try:
            return np.array(text.split(), dtype=np.float64)
        except ValueError:
            raise InputError(f"expected numbers as {what}, found {text[:40]!r} in {self.where}") from None

    def mesh(self) -> RawMesh:
        words = self.words()
        if [word.upper() for word in words] not in (["DATASET", "POLYDATA"], ["DATASET", "UNSTRUCTURED_GRID"]):
            raise InputError(
                f"expected DATASET POLYDATA or UNSTRUCTURED_GRID, found {' '.join(words)[:60]!r} in {self.where}"
            )
        points: NDArray[np.float64] | None = None
        types: NDArray[np.int64] | None = None
        cells: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]] = []
        while words := self.words():
            match [words[0].upper(), *words[1:]]:
                case ["POINTS", count, kind]:
                    total = whole(count, "points", self.where)
                    points = floats(self.array(kind, 3 * total, "coordinates")).reshape(-1, 3)
                case ["CELLS" | "POLYGONS" | "TRIANGLE_STRIPS" | "VERTICES" | "LINES" as key, first, second]:
                    cells.append((_POLY_CELLS.get(key, 0), *self.cells(first, second)))
                case ["CELL_TYPES", count]:
                    types = indices(self.array("int", whole(count, "cells", self.where), "types"), "types", self.where)
                case ["METADATA"]:
                    while self.at < len(self.data) and self.line().strip():
                        pass
                case [key, *_] if key in _END:
                    break
                case _:
                    raise InputError(f"expected POINTS, CELLS or POLYGONS, found {words[0][:40]!r} in {self.where}")
        if points is None:
            raise InputError(f"expected POINTS, found none in {self.where}")
        return self.sorted_cells(points, types, cells)

    def cells(self, first: str, second: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Read cells of either layout; return their offsets and their corners."""
        a, b = whole(first, "cells", self.where), whole(second, "values", self.where, most=1 << 28)
        before = self.at
        words = self.words()
        if len(words) == 2 and words[0].upper() == "OFFSETS":  # version 5: offsets, then corners
            offsets = indices(self.array(words[1], a, "offsets"), "offsets", self.where)
            words = self.words()
            if len(words) != 2 or words[0].upper() != "CONNECTIVITY":
                raise InputError(f"expected CONNECTIVITY, found {' '.join(words)[:40]!r} in {self.where}")
            corners = indices(self.array(words[1], b, "corners"), "corners", self.where)
            return offsets if a else np.zeros(1, np.int64), corners
        self.at = before
        flat = indices(self.array("int", b, "corners"), "corners", self.where)
        return self._unpacked(flat, a)

    def _unpacked(self, flat: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Take the lengths out of `n c1 ... cn n c1 ...`."""
        if count and len(flat) % count == 0:
            table = flat.reshape(count, -1)
            width = table.shape[1] - 1
            if width >= 0 and (table[:, 0] == width).all():
                return np.arange(count + 1) * width, table[:, 1:].reshape(-1)
        starts = np.zeros(count + 1, np.int64)
        at = 0
        for index in range(count):
            if at >= len(flat) or not 0 <= flat[at] < len(flat) - at:
                raise InputError(f"expected the corners of {count} cells, found {index} whole ones in {self.where}")
            at += int(flat[at]) + 1
            starts[index + 1] = at
        if at != len(flat):
            raise InputError(f"expected {at} values of {count} cells, found {len(flat)} in {self.where}")
        keep = np.ones(len(flat), bool)
        keep[starts[:-1]] = False
        return starts - np.arange(count + 1), flat[keep]

    def sorted_cells(
        self,
        points: NDArray[np.float64],
        types: NDArray[np.int64] | None,
        cells: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]],
    ) -> RawMesh:
        triangles, tetrahedra = [], []
        notes: list[str] = []
        for kind, offsets, corners in cells:
            own = np.full(len(offsets) - 1, kind) if kind else types
            if own is None:
                raise InputError(f"expected CELL_TYPES, found none in {self.where}")
            found = sort_cells(own, offsets, corners, self.where)
            triangles.append(found[0])
            tetrahedra.append(found[1])
            notes += found[2]
        return raw_mesh(
            self.where,
            points,
            np.concatenate(triangles) if triangles else None,
            np.concatenate(tetrahedra) if tetrahedra else None,
            axes=stated_axes(self.title.encode()),
            notes=tuple(dict.fromkeys(notes)),
        )

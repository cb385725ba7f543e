"""VTK XML files: poly data (.vtp) and unstructured grids (.vtu)."""

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.mesh_files.raw import RawMesh, floats, indices, raw_mesh, whole
from assets.mesh_files.vtk_arrays import ArrayReader
from assets.mesh_files.vtk_cells import sort_cells

_APPENDED = re.compile(rb"<AppendedData\b[^>]{0,200}>\s{0,80}_")
_POLY = {"Verts": (2, "NumberOfVerts"), "Lines": (4, "NumberOfLines"), "Strips": (6, "NumberOfStrips"),
         "Polys": (7, "NumberOfPolys")}  # fmt: skip
_MAX_PIECES = 4096
_MAX_TAGS = 1 << 17
"""Each element takes some hundred bytes of memory, a hundred times what it takes in the file."""


def parse_vtk_xml(data: bytes, where: str) -> tuple[RawMesh, ...]:
    """Read the bytes of a `.vtp` or `.vtu`, all pieces as one object.

    Raises:
        InputError: The file is truncated, declares more than it holds, inflates too far, or is of another kind.
    """
    root, reader = _opened(data, where)
    kind = root.get("type", "")
    grid = root.find(kind) if kind in ("PolyData", "UnstructuredGrid") else None
    if root.tag != "VTKFile" or grid is None:
        raise InputError(f"expected a VTKFile of PolyData or UnstructuredGrid, found {kind[:40]!r} in {where}")
    pieces = grid.findall("Piece")
    if not 0 < len(pieces) <= _MAX_PIECES:
        raise InputError(f"expected 1 to {_MAX_PIECES} pieces, found {len(pieces)} in {where}")
    points, triangles, tetrahedra, start = [], [], [], 0
    notes: list[str] = []
    for piece in pieces:
        own = _points(piece, reader, where)
        for found in _poly(piece, reader, where) if kind == "PolyData" else _grid(piece, reader, where):
            for cells in found[:2]:
                if len(cells) and not (cells.min() >= 0 and cells.max() < len(own)):
                    raise InputError(f"expected corners from 0 to {len(own) - 1}, found {cells.max()} in {where}")
            triangles.append(found[0] + start)
            tetrahedra.append(found[1] + start)
            notes += found[2]
        points.append(own)
        start += len(own)
    return (
        raw_mesh(
            where,
            np.concatenate(points),
            np.concatenate(triangles) if triangles else None,
            np.concatenate(tetrahedra) if tetrahedra else None,
            notes=tuple(dict.fromkeys(notes)),
        ),
    )


def _opened(data: bytes, where: str) -> tuple[Element, ArrayReader]:
    """Parse the XML without its appended data, which may be raw bytes and thus no XML."""
    if b"<!DOCTYPE" in data[:4096] or b"<!ENTITY" in data:
        # A document type could define entities that grow without bound; a mesh needs none.
        raise InputError(f"expected a VTK XML file without a document type, found one in {where}")
    text, appended, encoded = data, None, False
    match = _APPENDED.search(data)
    if match:
        end = data.rfind(b"</AppendedData>")
        if end < match.end():
            raise InputError(f"expected the end of AppendedData, found none: truncated: {where}")
        appended, encoded = data[match.end() : end], b'"base64"' in match[0]
        text = data[: match.start()] + data[end + len(b"</AppendedData>") :]
        if encoded:
            appended = appended.strip()
    tags = text.count(b"<")
    if tags > _MAX_TAGS:
        raise InputError(f"expected at most {_MAX_TAGS} tags, found {tags} in {where}")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise InputError(f"expected a VTK XML file, found {error} in {where}") from None
    return root, ArrayReader(root, appended, encoded, where)


def _points(piece: Element, reader: ArrayReader, where: str) -> NDArray[np.float64]:
    count = whole(piece.get("NumberOfPoints", ""), "NumberOfPoints", where)
    array = piece.find("Points/DataArray")
    if count == 0:
        return np.zeros((0, 3))
    if array is None:
        raise InputError(f"expected Points, found none in {where}")
    return floats(reader.read(array, "points", 3 * count)).reshape(-1, 3)


_Cells = tuple[NDArray[np.int64], NDArray[np.int64], tuple[str, ...]]


def _poly(piece: Element, reader: ArrayReader, where: str) -> list[_Cells]:
    found = []
    for tag, (kind, attribute) in _POLY.items():
        count = whole(piece.get(attribute, "0"), attribute, where)
        cells = piece.find(tag)
        if count and cells is None:
            raise InputError(f"expected {count} {tag}, found none in {where}")
        if count and cells is not None:
            arrays = _arrays(cells, reader, count, where)
            found.append(sort_cells(np.full(count, kind), arrays["offsets"], arrays["connectivity"], where))
    return found


def _grid(piece: Element, reader: ArrayReader, where: str) -> list[_Cells]:
    count = whole(piece.get("NumberOfCells", ""), "NumberOfCells", where)
    cells = piece.find("Cells")
    if count and cells is None:
        raise InputError(f"expected {count} cells, found none in {where}")
    if not count or cells is None:
        return []
    arrays = _arrays(cells, reader, count, where)
    types = arrays.get("types")
    if types is None:
        raise InputError(f"expected types of cells, found none in {where}")
    return [sort_cells(types, arrays["offsets"], arrays["connectivity"], where)]


def _arrays(cells: Element, reader: ArrayReader, count: int, where: str) -> dict[str, NDArray[np.int64]]:
    """Read connectivity, offsets (with a 0 in front) and, where there are any, types."""
    elements = {array.get("Name", ""): array for array in cells.findall("DataArray")}
    if not {"connectivity", "offsets"} <= set(elements):
        raise InputError(f"expected connectivity and offsets, found {', '.join(elements)[:60] or 'none'} in {where}")
    found: dict[str, NDArray[np.int64]] = {}
    for name in ("connectivity", "offsets", "types"):
        if name in elements:
            values = reader.read(elements[name], name, None if name == "connectivity" else count)
            found[name] = indices(values, name, where)
    found["offsets"] = np.concatenate([[0], found["offsets"]])
    return found

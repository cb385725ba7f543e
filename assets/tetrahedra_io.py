"""Tetrahedra as VTK XML files (.vtu), which every mesh tool reads; reading trusts nothing that a file declares."""

import base64

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.mesh_files.vtk_xml import parse_vtk_xml
from assets.tetrahedra import Tetrahedra

_TETRA = 10
"""VTK's cell type."""


def vtu_bytes(mesh: Tetrahedra) -> bytes:
    """Return tetrahedra as a VTU file; the same tetrahedra give the same bytes."""
    count = len(mesh.tetrahedra)
    cells = (
        _array("Int32", "connectivity", mesh.tetrahedra.astype("<i4")),
        _array("Int32", "offsets", (np.arange(1, count + 1) * 4).astype("<i4")),
        _array("UInt8", "types", np.full(count, _TETRA, "u1")),
    )
    lines = (
        '<?xml version="1.0"?>',
        '<VTKFile type="UnstructuredGrid" version="1.0" byte_order="LittleEndian" header_type="UInt32">',
        "<!-- unit metre -->",
        "<UnstructuredGrid>",
        f'<Piece NumberOfPoints="{len(mesh.vertices)}" NumberOfCells="{count}">',
        "<Points>",
        _array("Float32", "Points", mesh.vertices.astype("<f4"), components=3),
        "</Points>",
        "<Cells>",
        *cells,
        "</Cells>",
        "</Piece>",
        "</UnstructuredGrid>",
        "</VTKFile>",
    )
    return ("\n".join(lines) + "\n").encode("ascii")


def _array(kind: str, name: str, values: NDArray[np.generic], *, components: int = 1) -> str:
    body = values.tobytes()
    text = base64.b64encode(np.uint32(len(body)).astype("<u4").tobytes() + body).decode("ascii")
    width = f' NumberOfComponents="{components}"' if components > 1 else ""
    return f'<DataArray type="{kind}" Name="{name}"{width} format="binary">{text}</DataArray>'


def parse_vtu(data: bytes, where: str) -> Tetrahedra:
    """Read tetrahedra in metres out of a VTU file's bytes.

    Raises:
        InputError: The file is damaged, too large, or holds other cells than tetrahedra.
    """
    (mesh,) = parse_vtk_xml(data, where)
    if len(mesh.triangles) or not len(mesh.tetrahedra):
        raise InputError(
            f"expected tetrahedra only, found {len(mesh.tetrahedra)} and {len(mesh.triangles)} triangles in {where}"
        )
    return Tetrahedra(mesh.vertices.astype(np.float32), mesh.tetrahedra.astype(np.int32))

"""Meshes as binary little-endian PLY files; reading trusts nothing that a file declares."""

from pathlib import Path

import numpy as np

from assets.errors import InputError
from assets.mesh import Mesh

HEADER_LIMIT = 65536
"""Most bytes of a header."""

SCALARS = {
    **dict.fromkeys(("char", "int8"), "<i1"),
    **dict.fromkeys(("uchar", "uint8"), "<u1"),
    **dict.fromkeys(("short", "int16"), "<i2"),
    **dict.fromkeys(("ushort", "uint16"), "<u2"),
    **dict.fromkeys(("int", "int32"), "<i4"),
    **dict.fromkeys(("uint", "uint32"), "<u4"),
    **dict.fromkeys(("float", "float32"), "<f4"),
    **dict.fromkeys(("double", "float64"), "<f8"),
}

CORNER_LISTS = ("vertex_indices", "vertex_index")


def ply_bytes(mesh: Mesh) -> bytes:
    """Return a mesh as a PLY file; the same mesh gives the same bytes."""
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment unit metre\n"
        f"element vertex {len(mesh.vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(mesh.triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    faces = np.empty(len(mesh.triangles), dtype=[("count", "<u1"), ("corners", "<i4", 3)])
    faces["count"] = 3
    faces["corners"] = mesh.triangles
    return header.encode("ascii") + mesh.vertices.astype("<f4").tobytes() + faces.tobytes()


def save_ply(mesh: Mesh, path: Path) -> None:
    """Write a mesh to a file.

    Raises:
        InputError: The file cannot be written.
    """
    try:
        path.write_bytes(ply_bytes(mesh))
    except OSError as error:
        raise InputError(f"expected to write a mesh, found {error.strerror} at {path}") from error


def load_ply(path: Path) -> Mesh:
    """Read a mesh of triangles in metres; properties other than positions and corners are skipped.

    Raises:
        InputError: The file is missing, damaged, of another format, or has other polygons than triangles.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"expected a PLY file, found {error.strerror} at {path}") from error
    return parse_ply(data, str(path))


def parse_ply(data: bytes, where: str) -> Mesh:
    """Read a mesh out of a PLY file's bytes.

    Args:
        data: The whole file.
        where: What to call it in errors.

    Raises:
        InputError: As `load_ply`.
    """
    elements, start = _header(data, where)
    kinds = [element[0] for element in elements]
    if kinds != ["vertex", "face"]:
        raise InputError(f"expected elements vertex and face, found {', '.join(kinds) or 'none'} in {where}")
    (_, vertex_count, vertex_row), (_, face_count, face_row) = elements
    expected = start + vertex_count * vertex_row.itemsize + face_count * face_row.itemsize
    if expected != len(data):
        raise InputError(
            f"expected {expected} bytes for {vertex_count} vertices and {face_count} triangles, "
            f"found {len(data)} in {where}"
        )
    rows = np.frombuffer(data, vertex_row, vertex_count, start)
    faces = np.frombuffer(data, face_row, face_count, start + vertex_count * vertex_row.itemsize)
    if (faces["count"] != 3).any():
        raise InputError(f"expected triangles only, found a polygon of other size in {where}")
    vertices = np.stack([rows[axis].astype(np.float32) for axis in "xyz"], axis=1)
    corners = faces["corners"].astype(np.int64)
    if not np.isfinite(vertices).all():
        raise InputError(f"expected finite coordinates, found NaN or infinity in {where}")
    if face_count and not (corners.min() >= 0 and corners.max() < vertex_count):
        raise InputError(f"expected corners from 0 to {vertex_count - 1}, found {corners.max()} in {where}")
    return Mesh(vertices, corners.astype(np.int32))


def _header(data: bytes, where: str) -> tuple[list[tuple[str, int, np.dtype[np.void]]], int]:
    """Return name, count and row type of each element, and where the data begin."""
    end = data.find(b"end_header\n", 0, HEADER_LIMIT)
    if not data.startswith(b"ply\n") or end < 0:
        raise InputError(f"expected a PLY header of at most {HEADER_LIMIT} bytes, found none in {where}")
    try:
        lines = data[:end].decode("ascii").splitlines()[1:]
    except UnicodeDecodeError as error:
        raise InputError(f"expected an ASCII header, found byte {error.object[error.start]:#x} in {where}") from error
    if "format binary_little_endian 1.0" not in lines:
        found = next((line for line in lines if line.startswith("format")), "none")
        raise InputError(f"expected format binary_little_endian 1.0, found {found!r} in {where}")
    elements: list[tuple[str, int, list[tuple[str, str] | tuple[str, str, int]]]] = []
    for line in lines:
        words = line.split()
        match words:
            case [] | ["comment" | "obj_info" | "format", *_]:
                continue
            case ["element", name, count] if count.isascii() and count.isdigit() and len(count) < 12:
                elements.append((name, int(count), []))
            case ["property", "list", size, kind, name] if (
                elements and elements[-1][0] == "face" and name in CORNER_LISTS and SCALARS.get(size) == "<u1"
                and SCALARS.get(kind) in ("<i4", "<u4")
            ):  # fmt: skip
                elements[-1][2].extend([("count", SCALARS[size]), ("corners", SCALARS[kind], 3)])
            case ["property", kind, name] if elements and kind in SCALARS and kind != "list":
                elements[-1][2].append((name, SCALARS[kind]))
            case _:
                raise InputError(f"expected a PLY header for triangles, found {line[:60]!r} in {where}")
    rows = []
    for element, total, fields in elements:
        names = [field[0] for field in fields]
        needed = {"vertex": {"x", "y", "z"}, "face": {"count", "corners"}}.get(element, set())
        if len(set(names)) != len(names) or not needed <= set(names):
            raise InputError(f"expected properties {', '.join(sorted(needed))} of {element}, found {names} in {where}")
        rows.append((element, total, np.dtype(fields)))
    return rows, end + len(b"end_header\n")

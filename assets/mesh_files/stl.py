"""STL files, binary and ASCII."""

import re

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.mesh_files.raw import MAX_ITEMS, RawMesh, floats, indices, items, numbers, raw_mesh, stated_axes

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("colour", "<u2")])
_SOLID = re.compile(rb"^[ \t]*solid\b([^\r\n]*)", re.MULTILINE)
_VERTEX = re.compile(rb"\bvertex[ \t]+([^\r\n]+)")


def parse_stl(data: bytes, where: str) -> tuple[RawMesh, ...]:
    """Read an STL file's bytes: one object of a binary file, one of each `solid` of an ASCII file.

    The facets' own normals are not used: the order of the corners says as much.

    Raises:
        InputError: The file is truncated, declares more than it holds, or is of another format.
    """
    count = int.from_bytes(data[80:84], "little") if len(data) >= 84 else -1
    expected = 84 + _FACET.itemsize * count
    if count >= 0 and expected == len(data):
        return (_binary(data, count, where),)
    if data[:512].lstrip().startswith(b"solid") and b"\0" not in data[:512]:
        return _ascii(data, where)
    if count < 0:
        raise InputError(f"expected an STL file of at least 84 bytes, found {len(data)} in {where}")
    raise InputError(
        f"expected {expected} bytes for the {count} triangles that a binary STL declares, found {len(data)} in {where}"
    )


def _binary(data: bytes, count: int, where: str) -> RawMesh:
    if count > MAX_ITEMS:
        raise InputError(f"expected at most {MAX_ITEMS} triangles, found {count} in {where}")
    facets = items(data, _FACET, count, 84, "triangles", where)
    return _soup(floats(facets["corners"].reshape(-1, 3)), where, "", data[:80])


def _ascii(data: bytes, where: str) -> tuple[RawMesh, ...]:
    heads = list(_SOLID.finditer(data))
    found = []
    for index, head in enumerate(heads):
        body = data[head.end() : heads[index + 1].start() if index + 1 < len(heads) else len(data)]
        lines = _VERTEX.findall(body)
        points = numbers(b"\n".join(lines), "vertices", where)
        facets = body.count(b"endfacet")
        if len(points) != 9 * facets or len(lines) != 3 * facets or b"endsolid" not in body:
            raise InputError(
                f"expected three vertices a facet and an endsolid, found {facets} whole facets, {len(lines)} vertices "
                f"and {len(points)} numbers: truncated or damaged: {where}"
            )
        name = head[1].decode("utf-8", errors="replace").split("SPACE=")[0].strip()
        found.append(_soup(points.reshape(-1, 3), where, name[:64], head[1]))
    return tuple(found)


def _soup(points: NDArray[np.float64], where: str, name: str, header: bytes) -> RawMesh:
    """Give corners at the same place one vertex, since STL repeats each vertex in every triangle."""
    if not np.isfinite(points).all():
        raise InputError(f"expected finite coordinates, found NaN or infinity in {where}")
    vertices, corner = np.unique(points + 0.0, axis=0, return_inverse=True)  # + 0.0: -0 and 0 are one place
    triangles = indices(corner.reshape(-1), "corners", where).reshape(-1, 3)
    return raw_mesh(where, vertices, triangles, name=name, axes=stated_axes(header))

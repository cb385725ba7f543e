"""Wavefront OBJ files; materials and textures are never opened."""

import numpy as np

from assets.errors import InputError
from assets.mesh_files.raw import MAX_ITEMS, RawMesh, fans, numbers, raw_mesh, stated_axes

_IGNORED = {"vt", "vn", "vp", "s", "l", "p", "mtllib", "usemtl", "lod", "maplib", "usemap", "shadow_obj", "trace_obj"}


def parse_obj(data: bytes, where: str) -> tuple[RawMesh, ...]:
    """Read an OBJ file's bytes: one object of each `o`, or of each `g` where there is no `o`.

    Raises:
        InputError: The file is damaged, or holds curves, which are no triangles.
    """
    lines = data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines()
    split = b"o" if any(line.startswith(b"o ") for line in lines) else b"g"
    points: list[bytes] = []
    names, parts = [""], [([], [])]  # type: list[str], list[tuple[list[int], list[int]]]
    textured = False
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith(b"#"):
            continue
        key = words[0]
        if key == b"v":
            if not 4 <= len(words) <= 8:
                raise InputError(f"expected v x y z, found {len(words) - 1} values in {where}, line {number}")
            points.append(b" ".join(words[1:4]))
        elif key == b"f":
            corners = [_corner(word, len(points), where, number) for word in words[1:]]
            parts[-1][0].extend(corners)
            parts[-1][1].append(len(corners))
        elif key == split:
            names.append(b" ".join(words[1:]).decode("utf-8", errors="replace")[:64])
            parts.append(([], []))
        elif key in (b"g", b"o"):
            continue
        elif key.decode("ascii", errors="replace") in _IGNORED:
            textured |= key in (b"mtllib", b"usemtl", b"vt")
        else:
            raise InputError(f"expected v and f, found {line[:40]!r} in {where}, line {number}")
    if not points or len(points) > MAX_ITEMS:
        raise InputError(f"expected 1 to {MAX_ITEMS} vertices, found {len(points)} in {where}")
    vertices = numbers(b"\n".join(points), "coordinates", where)
    if len(vertices) != 3 * len(points):
        raise InputError(f"expected three numbers a vertex, found {len(vertices)} for {len(points)} in {where}")
    notes = ("materials and texture coordinates are ignored",) if textured else ()
    axes = stated_axes(data[:1024])
    found = []
    for name, (flat, sizes) in zip(names, parts, strict=True):
        if sizes:
            triangles = fans(np.array(flat, np.int64), np.array(sizes, np.int64), where)
            used, own_corners = np.unique(triangles, return_inverse=True)
            if used[-1] >= len(points):
                raise InputError(f"expected corners from 1 to {len(points)}, found {used[-1] + 1} in {where}")
            own = vertices.reshape(-1, 3)[used]
            found.append(raw_mesh(where, own, own_corners.reshape(-1, 3), name=name, axes=axes, notes=notes))
    return tuple(found)


def _corner(word: bytes, count: int, where: str, number: int) -> int:
    """Return a corner's vertex from 0; negative ones count back from the last vertex so far."""
    first = word.split(b"/", 1)[0]
    if not first.removeprefix(b"-").isdigit() or len(first) > 12 or int(first) == 0:
        raise InputError(f"expected a vertex from 1 on, found {word[:20]!r} in {where}, line {number}")
    index = int(first)
    if index < 0 and count + index < 0:
        raise InputError(f"expected at most {count} vertices back, found {index} in {where}, line {number}")
    return index - 1 if index > 0 else count + index

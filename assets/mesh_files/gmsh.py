"""Gmsh MSH files of versions 2.2 and 4.1, ASCII and binary (Gmsh reference manual, chapter File formats)."""

import re

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.mesh_files.raw import MAX_ITEMS, RawMesh, floats, indices, items, no_cells, numbers, raw_mesh

_NODES = {1: 2, 2: 3, 3: 4, 4: 4, 5: 8, 6: 6, 7: 5, 8: 3, 9: 6, 10: 9, 11: 10, 15: 1, 16: 8}
"""Nodes of an element by its type."""
_LEFT_OUT = {1: "lines are left out", 8: "lines are left out", 15: "points are left out"}
_CURVED = {9: 2, 11: 4, 10: 3, 16: 3}
"""Quadratic elements and their straight kin, whose nodes come first."""
_HEAD = re.compile(rb"\$MeshFormat\s+(\d+(?:\.\d+)?)\s+([01])\s+(\d+)[ \t\r]*\n")
_Blocks = list[tuple[int, NDArray[np.int64]]]
"""Type of elements, and their nodes' tags, shape (n, nodes)."""


def parse_msh(data: bytes, where: str) -> tuple[RawMesh, ...]:
    """Read an MSH file's bytes.

    Raises:
        InputError: The file is truncated, declares more than it holds, or is of another version.
    """
    head = _HEAD.match(data)
    if head is None:
        found = "version 1" if data.lstrip().startswith(b"$NOD") else repr(data[:40])
        raise InputError(f"expected a Gmsh MSH file of version 2.2 or 4.1, found {found} in {where}")
    version, binary, size = head[1].decode(), head[2] == b"1", int(head[3])
    if version not in ("2.2", "4.1"):
        raise InputError(
            f"expected MSH version 2.2 or 4.1, found {version} in {where}: write it anew with gmsh -format msh41"
        )
    if size != 8:
        raise InputError(f"expected numbers of 8 bytes, found {size} in {where}")
    order = ""
    if binary:
        one = data[head.end() : head.end() + 4]
        if one not in (b"\1\0\0\0", b"\0\0\0\1"):
            raise InputError(f"expected the number 1 behind the header, found {one!r} in {where}")
        order = "<" if one[0] else ">"
    if version == "2.2":
        tags, points = _nodes_2(_section(data, b"Nodes", where), order, where)
        blocks = _elements_2(_section(data, b"Elements", where), order, where)
    else:
        tags, points = _nodes_4(_section(data, b"Nodes", where), order, where)
        blocks = _elements_4(_section(data, b"Elements", where), order, where)
    return (_assembled(tags, points, blocks, where),)


def _section(data: bytes, name: bytes, where: str) -> bytes:
    start = data.find(b"$" + name)
    line = data.find(b"\n", start)
    end = data.rfind(b"$End" + name)
    if start < 0 or line < 0 or end < line:
        raise InputError(f"expected ${name.decode()} to $End{name.decode()}, found no such section in {where}")
    return data[line + 1 : end]


class _Stream:
    """Values of a section one after the other, of an ASCII or of a binary file."""

    def __init__(self, data: bytes, order: str, where: str) -> None:
        self.order, self.where, self.at = order, where, 0
        self.data = data
        self.flat = None if order else numbers(data, "values", where)

    def take(self, kind: str, count: int, what: str) -> NDArray[np.generic]:
        if self.flat is None:
            found = items(self.data, self.order + kind, count, self.at, what, self.where)
            self.at += found.nbytes
            return found
        if count < 0 or self.at + count > len(self.flat):
            raise InputError(f"expected {count} {what}, found {len(self.flat) - self.at} values in {self.where}")
        self.at += count
        return self.flat[self.at - count : self.at]

    def whole(self, kind: str, count: int, what: str) -> list[int]:
        return [int(value) for value in indices(self.take(kind, count, what), what, self.where)]

    def count_line(self, what: str) -> int:
        """Return a count that is written out also in a binary file."""
        if self.flat is not None:
            return bounded(self.whole("i4", 1, what)[0], what, self.where)
        end = self.data.find(b"\n", self.at, self.at + 32)
        word = self.data[self.at : end].strip() if end >= 0 else b"?"
        if not word.isdigit():
            raise InputError(f"expected a count of {what}, found {word[:20]!r} in {self.where}")
        self.at = end + 1
        return bounded(int(word), what, self.where)


def bounded(count: int, what: str, where: str) -> int:
    """Return a count that is not absurd.

    Raises:
        InputError: It is.
    """
    if not 0 <= count <= MAX_ITEMS:
        raise InputError(f"expected {what} from 0 to {MAX_ITEMS}, found {count} in {where}")
    return count


def _nodes_2(section: bytes, order: str, where: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    stream = _Stream(section, order, where)
    count = stream.count_line("nodes")
    if order:
        rows = stream.take(f"i4,{order}3f8", count, "nodes")
        return rows["f0"].astype(np.int64), floats(rows["f1"])  # type: ignore[call-overload]
    table = floats(stream.take("f8", 4 * count, "numbers of nodes").reshape(-1, 4))
    return indices(table[:, 0], "node tags", where), table[:, 1:]


def _elements_2(section: bytes, order: str, where: str) -> _Blocks:
    stream = _Stream(section, order, where)
    total = stream.count_line("elements")
    found: dict[int, list[NDArray[np.int64]]] = {}
    done = 0
    while done < total:
        if order:  # blocks: type, number of elements, number of tags; then number, tags and nodes of each
            kind, count, tag_count = stream.whole("i4", 3, "words of a block")
            if not 0 < count <= total - done:
                raise InputError(f"expected a block of 1 to {total - done} elements, found {count} in {where}")
        else:
            count = 1
            _, kind, tag_count = stream.whole("i4", 3, "words of an element")
        nodes = _node_count(kind, where)
        if not 0 <= tag_count <= 64:
            raise InputError(f"expected 0 to 64 tags, found {tag_count} in {where}")
        lead = 1 if order else 0
        width = lead + tag_count + nodes
        rows = indices(stream.take("i4", count * width, "words of elements"), "nodes", where).reshape(count, width)
        found.setdefault(kind, []).append(rows[:, lead + tag_count :])
        done += count
    return [(kind, np.concatenate(rows)) for kind, rows in found.items()]


def _nodes_4(section: bytes, order: str, where: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    stream = _Stream(section, order, where)
    blocks, total, _, _ = stream.whole("u8", 4, "words of nodes")
    bounded(total, "nodes", where)
    bounded(blocks, "blocks of nodes", where)
    tags, points = [np.zeros(0, np.int64)], [np.zeros((0, 3))]
    left = total
    for _ in range(blocks):
        dimension, _, parametric = stream.whole("i4", 3, "words of a block")
        (count,) = stream.whole("u8", 1, "words of a block")
        if not 0 <= count <= left or parametric not in (0, 1) or not 0 <= dimension <= 3:
            raise InputError(f"expected a block of 0 to {left} nodes, found {count} in {where}")
        width = 3 + (dimension if parametric else 0)
        tags.append(indices(stream.take("u8", count, "node tags"), "node tags", where))
        points.append(floats(stream.take("f8", width * count, "coordinates")).reshape(-1, width)[:, :3])
        left -= count
    if left:
        raise InputError(f"expected {total} nodes, found {total - left} in {where}")
    return np.concatenate(tags), np.concatenate(points)


def _elements_4(section: bytes, order: str, where: str) -> _Blocks:
    stream = _Stream(section, order, where)
    blocks, total, _, _ = stream.whole("u8", 4, "words of elements")
    bounded(total, "elements", where)
    bounded(blocks, "blocks of elements", where)
    found: _Blocks = []
    left = total
    for _ in range(blocks):
        _, _, kind = stream.whole("i4", 3, "words of a block")
        (count,) = stream.whole("u8", 1, "words of a block")
        if not 0 <= count <= left:
            raise InputError(f"expected a block of 0 to {left} elements, found {count} in {where}")
        width = 1 + _node_count(kind, where)
        rows = indices(stream.take("u8", count * width, "words of elements"), "nodes", where)
        found.append((kind, rows.reshape(count, width)[:, 1:]))
        left -= count
    if left:
        raise InputError(f"expected {total} elements, found {total - left} in {where}")
    return found


def _node_count(kind: int, where: str) -> int:
    if kind not in _NODES:
        raise InputError(f"expected a type of elements of Gmsh, found {kind} in {where}")
    return _NODES[kind]


def _assembled(tags: NDArray[np.int64], points: NDArray[np.float64], blocks: _Blocks, where: str) -> RawMesh:
    """Turn node tags, which may leave gaps, into vertices from 0, and sort the elements."""
    order = np.argsort(tags, kind="stable")
    known = tags[order]
    if len(known) > 1 and (np.diff(known) == 0).any():
        raise InputError(f"expected every node once, found {known[1:][np.diff(known) == 0][0]} twice in {where}")
    triangles, tetrahedra, notes = [no_cells(3)], [no_cells(4)], []
    for kind, nodes in blocks:
        if kind in _LEFT_OUT:
            notes.append(_LEFT_OUT[kind])
            continue
        plain = _CURVED.get(kind, kind)
        if plain not in (2, 3, 4):
            raise InputError(
                f"expected triangles and tetrahedra, found {len(nodes)} elements of type {kind} in {where}"
            )
        wanted = nodes[:, : _NODES[plain]]
        place = np.searchsorted(known, wanted).clip(0, max(len(known) - 1, 0))
        if len(wanted) and (len(known) == 0 or (known[place] != wanted).any()):
            missing = wanted[known[place] != wanted][0] if len(known) else wanted[0, 0]
            raise InputError(f"expected nodes of the file, found {missing} in an element of {where}")
        cells = order[place] if len(wanted) else wanted
        notes += ["quadratic elements were made straight"] if kind in _CURVED else []
        if plain == 4:
            tetrahedra.append(cells)
        elif plain == 2:
            triangles.append(cells)
        else:
            triangles += [cells[:, [0, 1, 2]], cells[:, [0, 2, 3]]]
            notes.append("quadrilaterals were cut into triangles")
    return raw_mesh(
        where,
        points,
        np.concatenate(triangles),
        np.concatenate(tetrahedra),
        notes=tuple(dict.fromkeys(notes)),
    )

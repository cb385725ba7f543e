"""PLY files of any kind: ASCII or binary, polygons, and properties that are skipped, such as texture coordinates."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.mesh_files.raw import RawMesh, fans, floats, indices, items, numbers, raw_mesh, stated_axes, whole
from assets.mesh_io import CORNER_LISTS, HEADER_LIMIT, SCALARS

_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
MAX_PROPERTIES = 64
"""Of one element."""
MAX_LIST = 4096
"""Most entries of one list, such as the corners of a polygon."""


@dataclass
class _Element:
    name: str
    count: int
    fields: list[tuple[str, str, str]] = field(default_factory=list)
    """Name, type of the length (empty for a scalar) and type, as NumPy has them."""


def parse_ply(data: bytes, where: str) -> tuple[RawMesh, ...]:
    """Read a PLY file's bytes.

    Raises:
        InputError: The file is truncated, declares more than it holds, or is of another format.
    """
    order, elements, header, start = _header(data, where)
    flat = numbers(data[start:], "values", where) if order == "" else None
    notes = ["texture coordinates are ignored"] if b"texcoord" in header or b"TextureFile" in header else []
    vertices = np.zeros((0, 3))
    triangles = np.zeros((0, 3), np.int64)
    for element in elements:
        if flat is None:
            table, start = _binary(data, element, start, order, where)
        else:
            table, start = _ascii(flat, element, 0 if element is elements[0] else start, where)
        if element.name == "vertex":
            if not all(axis in table and len(table[axis][1]) == element.count for axis in "xyz"):
                raise InputError(f"expected vertices with x, y and z, found {', '.join(table)[:80]} in {where}")
            vertices = np.stack([floats(table[axis][1]) for axis in "xyz"], axis=1)
            notes += ["texture coordinates are ignored"] if {"s", "t"} <= set(table) or "u" in table else []
        elif element.name == "face":
            name = next((name for name in CORNER_LISTS if name in table), None)
            if name is None:
                raise InputError(f"expected faces with vertex_indices, found {', '.join(table)[:80]} in {where}")
            sizes, corners = table[name]
            triangles = fans(indices(corners, "corners", where), sizes, where)
            notes += ["polygons were cut into triangles"] if len(sizes) and int(sizes.max()) > 3 else []
        elif element.name in ("tristrips", "tet"):
            raise InputError(f"expected elements vertex and face, found {element.name} in {where}")
    end = len(data) if flat is None else len(flat)
    if start != end:
        raise InputError(f"expected {start} bytes or values as declared, found {end} in {where}")
    return (raw_mesh(where, vertices, triangles, axes=stated_axes(header), notes=tuple(dict.fromkeys(notes))),)


def _header(data: bytes, where: str) -> tuple[str, list[_Element], bytes, int]:
    end = data.find(b"end_header", 0, HEADER_LIMIT)
    line_end = data.find(b"\n", end) if end >= 0 else -1
    if not data.startswith(b"ply") or end < 0 or not 0 <= line_end - end - 10 <= 1:
        raise InputError(f"expected a PLY header of at most {HEADER_LIMIT} bytes, found none in {where}")
    header = data[:end]
    order: str | None = None
    elements: list[_Element] = []
    for line in header.decode("ascii", errors="replace").splitlines()[1:]:
        match line.split():
            case [] | ["comment" | "obj_info", *_]:
                continue
            case ["format", kind, "1.0"] if kind in _ORDERS and order is None:
                order = _ORDERS[kind]
            case ["element", name, count]:
                elements.append(_Element(name, whole(count, f"a count of {name}", where)))
            case ["property", "list", size, kind, name] if elements and {size, kind} <= set(SCALARS):
                if SCALARS[size][1] == "f":
                    raise InputError(f"expected a whole number as a list's length, found {size} in {where}")
                elements[-1].fields.append((name, SCALARS[size][1:], SCALARS[kind][1:]))
            case ["property", kind, name] if elements and kind in SCALARS:
                elements[-1].fields.append((name, "", SCALARS[kind][1:]))
            case _:
                raise InputError(f"expected a PLY header, found {line[:60]!r} in {where}")
    names = [element.name for element in elements]
    if order is None or len(set(names)) != len(names) or "vertex" not in names:
        raise InputError(f"expected a format and the element vertex once, found {', '.join(names)[:80]} in {where}")
    for element in elements:
        fields = [name for name, _, _ in element.fields]
        if not 0 < len(fields) <= MAX_PROPERTIES or len(set(fields)) != len(fields):
            raise InputError(f"expected 1 to {MAX_PROPERTIES} different properties of {element.name} in {where}")
    return order, elements, header, line_end + 1


_Table = dict[str, tuple[NDArray[np.int64], NDArray[np.generic]]]
"""By property: the lengths of its lists (of 1 where it is a scalar), and all values one after the other."""


def _binary(data: bytes, element: _Element, start: int, order: str, where: str) -> tuple[_Table, int]:
    least = sum(np.dtype(size or kind).itemsize for _, size, kind in element.fields)
    if start + least * element.count > len(data):
        raise InputError(
            f"expected at least {least} bytes for each of {element.count} {element.name}, "
            f"found {max(len(data) - start, 0)} bytes in {where}"
        )
    lengths = _first_lengths(data, element, start, order, where) if element.count else [1] * len(element.fields)
    columns: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
    for index, ((_, size, kind), length) in enumerate(zip(element.fields, lengths, strict=True)):
        columns += [(f"n{index}", order + size)] if size else []
        columns.append((f"v{index}", order + kind, (length,)))
    row = np.dtype(columns)
    if start + row.itemsize * element.count <= len(data):
        rows = items(data, row, element.count, start, element.name, where)
        listed = [(index, length) for index, length in enumerate(lengths) if element.fields[index][1]]
        if all((rows[f"n{index}"] == length).all() for index, length in listed):
            table = {
                name: (np.full(element.count, length), rows[f"v{index}"].reshape(-1))
                for index, ((name, _, _), length) in enumerate(zip(element.fields, lengths, strict=True))
            }
            return table, start + row.itemsize * element.count
    return _ragged(data, element, start, order, where)


def _first_lengths(data: bytes, element: _Element, start: int, order: str, where: str) -> list[int]:
    lengths = []
    for name, size, kind in element.fields:
        length = 1
        if size:
            length = _length(items(data, order + size, 1, start, "length", where)[0], name, where)
            start += np.dtype(size).itemsize
        lengths.append(length)
        start += length * np.dtype(kind).itemsize
    return lengths


def _length(value: Any, name: str, where: str) -> int:
    if not (0 <= float(value) <= MAX_LIST and float(value).is_integer()):
        raise InputError(f"expected lists {name} of at most {MAX_LIST} entries, found {value!s} in {where}")
    return int(value)


def _ragged(data: bytes, element: _Element, start: int, order: str, where: str) -> tuple[_Table, int]:
    """Read rows whose lists differ in length, one by one."""
    sizes: dict[str, list[int]] = {name: [] for name, _, _ in element.fields}
    values: dict[str, list[NDArray[np.generic]]] = {name: [] for name, _, _ in element.fields}
    for _ in range(element.count):
        for name, size, kind in element.fields:
            length = 1
            if size:
                length = _length(items(data, order + size, 1, start, "length", where)[0], name, where)
                start += np.dtype(size).itemsize
            values[name].append(items(data, order + kind, length, start, name, where))
            sizes[name].append(length)
            start += length * np.dtype(kind).itemsize
    return {name: (np.array(sizes[name], np.int64), np.concatenate(values[name])) for name in sizes}, start


def _ascii(flat: NDArray[np.float64], element: _Element, start: int, where: str) -> tuple[_Table, int]:
    """Take an element out of all numbers of the file, from `start` on."""
    if start + len(element.fields) * element.count > len(flat):
        raise InputError(
            f"expected {element.count} {element.name} of at least {len(element.fields)} values, "
            f"found {len(flat) - start} values in {where}"
        )
    if not any(size for _, size, _ in element.fields):
        end = start + len(element.fields) * element.count
        columns = flat[start:end].reshape(element.count, len(element.fields))
        ones = np.ones(element.count, np.int64)
        return {name: (ones, columns[:, index]) for index, (name, _, _) in enumerate(element.fields)}, end
    sizes: dict[str, list[int]] = {name: [] for name, _, _ in element.fields}
    values: dict[str, list[NDArray[np.generic]]] = {name: [] for name, _, _ in element.fields}
    for _ in range(element.count):
        for name, size, _ in element.fields:
            length = 1
            if size and start < len(flat):
                length = _length(flat[start], name, where)
                start += 1
            if start + length > len(flat):
                raise InputError(f"expected {length} values of {name}, found the end of {where}")
            values[name].append(flat[start : start + length])
            sizes[name].append(length)
            start += length
    found = {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in values.items()}
    return {name: (np.array(sizes[name], np.int64), found[name]) for name in sizes}, start

"""NRRD files, attached or detached, with Slicer's segments (`.seg.nrrd`), overlapping layers included.

The format: "Definition of NRRD File Format", https://teem.sourceforge.net/nrrd/format.html; Slicer's keys:
"Segmentation file format", https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html.
"""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.importers.raw_bytes import Packing, as_volume, beside, one_line, read_block, read_head, sha256_of
from assets.importers.volume import MAX_SEGMENTS, Segment, Volume, check_affine, check_shape, ras_from_lps

LONGEST_HEADER = 1 << 22
"""Most bytes of a header; a segmentation of 100 structures has 80 kB."""

TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}

PACKINGS: dict[str, Packing] = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}

# Signs that bring each named space to left, posterior, superior.
SPACES = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (1.0, 1.0, 1.0)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1.0, -1.0, 1.0)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1.0, -1.0, 1.0)),
}

METRES_PER_UNIT = {"mm": 1e-3, "millimeter": 1e-3, "cm": 1e-2, "m": 1.0, "um": 1e-6, "": 1e-3}


def is_nrrd(path: Path, head: bytes) -> bool:
    """Say whether a file is NRRD by its first bytes."""
    return head.startswith(b"NRRD000")


def read_nrrd(path: Path) -> Volume:
    """Read a volume, or a segmentation with one or more layers.

    Raises:
        InputError: The file is damaged, too large, has no orientation, or is no volume.
    """
    fields, keys, start = _header(path)
    sizes = _whole_numbers(_field(fields, "sizes", path), "sizes", path)
    dimension = _whole_numbers(_field(fields, "dimension", path), "dimension", path)
    if dimension != [len(sizes)] or not 3 <= len(sizes) <= 4:
        raise InputError(f"expected 3 axes, or 4 where one lists layers, found sizes {sizes} in {path}")
    kind = TYPES.get(fields.get("type", "").lower())
    if kind is None:
        raise InputError(f"expected a type of whole or real numbers, found {fields.get('type')!r} in {path}")
    columns, list_axis = _directions(fields, len(sizes), path)
    shape = check_shape(
        tuple(n for axis, n in enumerate(sizes) if axis != list_axis),
        1 if list_axis is None else sizes[list_axis],
        path,
    )
    signs = SPACES.get(fields.get("space", "").lower())
    if signs is None:
        raise InputError(
            f"expected space {', '.join(SPACES)}, found {fields.get('space', 'none')!r}: "
            f"without it left and right cannot be told, in {path}"
        )
    origin = np.array(_vector(fields.get("space origin", ""), path) or [math.nan] * 3)
    unit = METRES_PER_UNIT.get(
        fields.get("space units", "").replace('"', " ").split()[0]
        if fields.get("space units", "").replace('"', " ").split()
        else ""
    )
    if unit is None:
        raise InputError(f"expected space units of mm, cm or m, found {fields['space units'][:40]} in {path}")
    T_world_index = ras_from_lps(np.array(signs)[:, None] * columns, np.array(signs) * origin, unit)
    check_affine(T_world_index, path)
    segments = _segments(keys, list_axis, path)
    voxels, files = _voxels(fields, kind, tuple(sizes), path, start)
    layers = (voxels,) if list_axis is None else tuple(np.moveaxis(voxels, list_axis, 0))
    if len(layers) > 1 and not segments:
        raise InputError(f"expected one volume, or Slicer's names of segments, found {len(layers)} layers in {path}")
    beyond = [one for one in segments if not 0 <= one.layer < len(layers)]
    if beyond:
        raise InputError(
            f"expected layers below {len(layers)}, found {beyond[0].layer} for {beyond[0].name!r} in {path}"
        )
    return Volume(
        tuple(np.ascontiguousarray(layer).reshape(shape) for layer in layers),
        T_world_index,
        "NRRD segmentation" if segments else "NRRD",
        sha256_of(files),
        segments,
        content="labels" if segments else None,
    )


def _header(path: Path) -> tuple[dict[str, str], dict[str, str], int]:
    """Return fields, key/value pairs, and where attached data begin."""
    data = read_head(path, LONGEST_HEADER)
    ends = [match.end() for match in (re.search(rb"\r?\n\r?\n", data),) if match]
    detached = re.search(rb"(?im)^data ?file *:", data[: ends[0]] if ends else data) is not None
    if not ends and not detached:
        raise InputError(
            f"expected an empty line after a header of at most {LONGEST_HEADER} bytes, found none in {path}"
        )
    start = ends[0] if ends else len(data)
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    for line in data[:start].decode("utf-8", errors="replace").splitlines()[1:]:
        if not line or line.startswith("#"):
            continue
        # A key may hold ": " and a field may hold ":=", so what comes first decides.
        match = re.match(r"([^:]*?)(:=|: ?)(.*)$", line)
        if match is None:
            raise InputError(f"expected 'field: value' or 'key:=value', found {line[:60]!r} in the header of {path}")
        table = keys if match[2] == ":=" else fields
        name = match[1].strip() if table is keys else " ".join(match[1].lower().split())
        if name in table and table is fields:
            raise InputError(f"expected the field {name!r} once, found it twice in {path}")
        table[name] = match[3].strip()
    for alias, name in (("datafile", "data file"), ("lineskip", "line skip"), ("byteskip", "byte skip")):
        if alias in fields:
            fields[name] = fields.pop(alias)
    return fields, keys, start


def _field(fields: dict[str, str], name: str, path: Path) -> str:
    if name not in fields:
        raise InputError(f"expected the field {name!r}, found {', '.join(sorted(fields))[:120]} in {path}")
    return fields[name]


def _whole_numbers(text: str, name: str, path: Path) -> list[int]:
    words = text.split()
    if not words or len(words) > 16 or not all(re.fullmatch(r"[0-9]{1,12}", word) for word in words):
        raise InputError(f"expected whole numbers for {name}, found {text[:60]!r} in {path}")
    return [int(word) for word in words]


def _vector(text: str, path: Path) -> list[float] | None:
    match = re.fullmatch(r"\(([^()]*)\)", text.strip())
    words = match[1].split(",") if match else []
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise InputError(f"expected numbers, found {one_line(error)} in the header of {path}") from None
    return numbers if len(numbers) == 3 else None


def _directions(fields: dict[str, str], count: int, path: Path) -> tuple[NDArray[np.float64], int | None]:
    """Return the step along each axis of the volume, a column an axis, and the axis that lists layers."""
    words = re.findall(r"none|\([^()]*\)", fields.get("space directions", ""))
    vectors = [None if word == "none" else _vector(word, path) for word in words]
    lists = [axis for axis, vector in enumerate(vectors) if vector is None]
    if len(vectors) != count or len(lists) != count - 3:
        raise InputError(
            f"expected space directions of 3 axes, found {fields.get('space directions', 'none')[:80]!r} in {path}"
        )
    return np.array([vector for vector in vectors if vector is not None], np.float64).T, lists[0] if lists else None


def _segments(keys: dict[str, str], list_axis: int | None, path: Path) -> tuple[Segment, ...]:
    numbers = sorted({int(match[1]) for key in keys if (match := re.fullmatch(r"Segment([0-9]{1,6})_\w+", key))})
    if len(numbers) > MAX_SEGMENTS:
        raise InputError(f"expected at most {MAX_SEGMENTS} segments, found {len(numbers)} in {path}")
    segments = []
    for number in numbers:
        name = keys.get(f"Segment{number}_Name", "").strip() or keys.get(f"Segment{number}_ID", "").strip()
        # Before version 4.11 Slicer wrote a layer of ones for each segment, and neither of the two keys.
        layer = keys.get(f"Segment{number}_Layer", "0" if list_axis is None else str(number))
        value = keys.get(f"Segment{number}_LabelValue", "1")
        if not name or not re.fullmatch(r"[0-9]{1,6}", layer) or not re.fullmatch(r"[0-9]{1,6}", value):
            raise InputError(
                f"expected name, layer and label value of Segment{number}, found {name[:40]!r}, {layer[:20]!r} and "
                f"{value[:20]!r} in {path}"
            )
        segments.append(Segment(name, int(layer), int(value)))
    places = [(one.layer, one.value) for one in segments]
    if len(set(places)) != len(places):
        twice = next(one for one in segments if places.count((one.layer, one.value)) > 1)
        raise InputError(f"expected one segment a layer and value, found {twice} shared in {path}")
    return tuple(segments)


def _voxels(
    fields: dict[str, str], kind: str, sizes: tuple[int, ...], path: Path, start: int
) -> tuple[NDArray[Any], list[Path]]:
    packing = PACKINGS.get(fields.get("encoding", "").lower())
    if packing is None:
        raise InputError(f"expected encoding {', '.join(PACKINGS)}, found {fields.get('encoding')!r} in {path}")
    order = {"little": "<", "big": ">"}.get(fields.get("endian", "little").lower())
    if order is None:
        raise InputError(f"expected endian little or big, found {fields['endian'][:20]!r} in {path}")
    file, files = path, [path]
    if "data file" in fields:
        file, start = beside(path, fields["data file"].removeprefix("./"), "data file"), 0
        files.append(file)
    if fields.get("line skip", "0") != "0":
        raise InputError(f"expected no line skip, found {fields['line skip'][:20]!r} in {path}")
    skip = fields.get("byte skip", "0")
    if not re.fullmatch(r"-1|[0-9]{1,12}", skip) or (skip != "0" and packing != "raw"):
        raise InputError(f"expected a byte skip for raw data only, found {skip[:20]!r} in {path}")
    expected = math.prod(sizes) * np.dtype(kind).itemsize
    block = read_block(file, -1 if skip == "-1" else start + int(skip), expected, packing)
    return as_volume(block, order + kind, sizes), files

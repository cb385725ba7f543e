"""MetaImage files: `.mha`, or `.mhd` with its data in a file beside it; raw or zlib-compressed.

The format as ITK writes it: https://itk.org/Wiki/ITK/MetaIO/Documentation. Positions are LPS [mm]; each row of
TransformMatrix is the direction of one voxel axis.
"""

import math
import re
from pathlib import Path

import numpy as np

from assets.errors import InputError
from assets.importers.raw_bytes import as_volume, beside, read_block, read_head, sha256_of
from assets.importers.volume import Volume, check_affine, check_shape, ras_from_lps

LONGEST_HEADER = 1 << 16

TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}

USED = (
    "ObjectType", "NDims", "BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB", "CompressedData",
    "CompressedDataSize", "TransformMatrix", "Rotation", "Orientation", "Offset", "Position", "Origin",
    "ElementSpacing", "ElementSize", "DimSize", "ElementType", "ElementNumberOfChannels", "HeaderSize",
    "DistanceUnits", "ElementDataFile",
)  # fmt: skip

IGNORED = (
    "ObjectSubType", "Comment", "Name", "ID", "ParentID", "Color", "CenterOfRotation", "AnatomicalOrientation",
    "Modality", "SequenceID", "AcquisitionDate", "TransformType", "CompressedDataLevel", "CompressionLevel",
    "ElementMin", "ElementMax",
    "ElementNBits", "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset", "ITK_InputFilterName",
    "ITK_original_direction", "ITK_original_spacing", "ITK_non_uniform_sampling_deviation", "Kinds",
)  # fmt: skip
"""Keys that change neither the voxels nor where they lie. Any other key is refused."""

METRES_PER_UNIT = {"mm": 1e-3, "millimeter": 1e-3, "cm": 1e-2, "m": 1.0, "um": 1e-6, "?": 1e-3}


def is_metaimage(path: Path, head: bytes) -> bool:
    """Say whether a file is a MetaImage by its name or first bytes."""
    return path.suffix.lower() in (".mha", ".mhd") or re.match(rb"ObjectType\s*=\s*Image", head) is not None


def read_metaimage(path: Path) -> Volume:
    """Read a volume.

    Raises:
        InputError: The file is damaged, too large, holds an unknown key, or is no volume.
    """
    keys, start = _header(path)
    for key, allowed in (("ObjectType", ("image",)), ("BinaryData", ("true",)), ("ElementNumberOfChannels", ("1",))):
        if keys.get(key, allowed[0]).lower() not in allowed:
            raise InputError(f"expected {key} {allowed[0]}, found {keys[key][:40]!r} in {path}")
    count = keys.get("NDims", "")
    sizes = _numbers(keys, ("DimSize",), 3, None, path)
    if count != "3" or not all(n == int(n) and n >= 0 for n in sizes):
        raise InputError(
            f"expected NDims 3 and whole DimSize, found {count[:10]!r} and {keys['DimSize'][:40]!r} in {path}"
        )
    shape = check_shape(tuple(int(n) for n in sizes), 1, path)
    kind = TYPES.get(keys.get("ElementType", ""))
    if kind is None:
        raise InputError(
            f"expected ElementType {', '.join(TYPES)}, found {keys.get('ElementType', 'none')[:40]!r} in {path}"
        )
    directions = _numbers(keys, ("TransformMatrix", "Rotation", "Orientation"), 9, np.eye(3).ravel().tolist(), path)
    origin = _numbers(keys, ("Offset", "Position", "Origin"), 3, [0.0, 0.0, 0.0], path)
    spacing = _numbers(keys, ("ElementSpacing", "ElementSize"), 3, None, path)
    unit = METRES_PER_UNIT.get(keys.get("DistanceUnits", "mm").lower())
    if unit is None:
        raise InputError(f"expected DistanceUnits mm, cm or m, found {keys['DistanceUnits'][:20]!r} in {path}")
    columns = np.array(directions).reshape(3, 3).T * np.array(spacing)
    T_world_index = ras_from_lps(columns, np.array(origin), unit)
    check_affine(T_world_index, path)

    order = (
        ">"
        if "true" in (keys.get(key, "").lower() for key in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"))
        else "<"
    )
    name, file, files = keys["ElementDataFile"], path, [path]
    if name.upper() != "LOCAL":
        if name.upper().startswith("LIST") or "%" in name:
            raise InputError(f"expected ElementDataFile LOCAL or one file, found {name[:40]!r} in {path}")
        file, start = beside(path, name, "ElementDataFile"), 0
        files.append(file)
    packed = keys.get("CompressedData", "false").lower() == "true"
    skip = keys.get("HeaderSize", "0")
    if not re.fullmatch(r"-1|[0-9]{1,9}", skip) or (skip != "0" and packed):
        raise InputError(f"expected HeaderSize for raw data only, found {skip[:20]!r} in {path}")
    expected = math.prod(shape) * np.dtype(kind).itemsize
    block = read_block(file, -1 if skip == "-1" else start + int(skip), expected, "zlib" if packed else "raw")
    return Volume((as_volume(block, order + kind, shape),), T_world_index, "MetaImage", sha256_of(files))


def _header(path: Path) -> tuple[dict[str, str], int]:
    """Return the keys, and where the data begin in the same file; ElementDataFile ends the header."""
    data = read_head(path, LONGEST_HEADER)
    keys: dict[str, str] = {}
    at = 0
    while True:
        end = data.find(b"\n", at)
        line = data[at : end if end >= 0 else len(data)].decode("latin-1").strip()
        key, sign, value = (part.strip() for part in line.partition("="))
        if not sign or key not in (*USED, *IGNORED):
            raise InputError(f"expected a MetaImage key such as {', '.join(USED[:4])}, found {line[:60]!r} in {path}")
        if key in keys:
            raise InputError(f"expected the key {key} once, found it twice in {path}")
        keys[key] = value
        at = end + 1
        if key == "ElementDataFile":
            return keys, at if end >= 0 else len(data)
        if end < 0:
            raise InputError(f"expected ElementDataFile at the end of the header, found none in {path}")


def _numbers(
    keys: dict[str, str], names: tuple[str, ...], count: int, default: list[float] | None, path: Path
) -> list[float]:
    text = next((keys[name] for name in names if name in keys), None)
    if text is None and default is not None:
        return default
    words = (text or "").split()
    try:
        numbers = [float(word) for word in words[: count + 1]]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise InputError(f"expected {count} numbers for {names[0]}, found {(text or 'none')[:60]!r} in {path}")
    return numbers

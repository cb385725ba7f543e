"""NIfTI-1 and NIfTI-2 files (`.nii`, `.nii.gz`), and folders of one file a class."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from assets.errors import InputError
from assets.importers.raw_bytes import check_claim, one_line, sha256_of
from assets.importers.schemes import header_names
from assets.importers.volume import MAX_SEGMENTS, MAX_VOXELS, Segment, Volume, check_affine, check_shape

METRES_PER_UNIT = {"mm": 1e-3, "unknown": 1e-3, "meter": 1.0, "micron": 1e-6}
"""NIfTI-1's spatial units; where the file says none, millimetres, as every CT tool writes them."""

LONGEST_HEADER = 1 << 22
"""Most bytes before the voxels: the header of 348 or 540 bytes and its extensions."""

_READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    MemoryError,
    TypeError,
    struct.error,
    zlib.error,
    ImageFileError,
    HeaderDataError,
)


def is_nifti(path: Path, head: bytes) -> bool:
    """Say whether a file is NIfTI by its name and first bytes, or a folder holds some."""
    if path.is_dir():
        return any(path.glob("*.nii.gz")) or any(path.glob("*.nii"))
    return path.name.lower().endswith((".nii", ".nii.gz"))


def read_nifti(path: Path) -> Volume:
    """Read a file, or a folder of `<class>.nii.gz` on one grid whose files' names are the structures'.

    Raises:
        InputError: The file is damaged, too large, sheared, or no volume.
    """
    if path.is_dir():
        return _read_folder(path)
    voxels, T_world_index, extensions = _read_file(path)
    names = header_names(extensions)
    segments = tuple(Segment(name, 0, value) for value, name in names.items())
    return Volume(
        (voxels,), T_world_index, "NIfTI", sha256_of([path]), segments, content="labels" if segments else None
    )


def _read_folder(folder: Path) -> Volume:
    files = sorted([*folder.glob("*.nii.gz"), *folder.glob("*.nii")])
    if not 0 < len(files) <= MAX_SEGMENTS:
        raise InputError(f"expected 1 to {MAX_SEGMENTS} files <class>.nii.gz, found {len(files)} in {folder}")
    layers: list[NDArray[np.uint16]] = []
    segments: list[Segment] = []
    T_world_index = np.eye(4)
    for value, file in enumerate(files, start=1):
        voxels, transform, _ = _read_file(file)
        mask = voxels > 0
        if not layers:
            layers, T_world_index = [np.zeros(mask.shape, np.uint16)], transform
        if mask.shape != layers[0].shape or not np.allclose(transform, T_world_index, atol=1e-6):
            raise InputError(f"expected the grid of {files[0].name} in every file, found another in {file}")
        # Where structures overlap, a further layer holds the later one, so that nothing is lost.
        free = next((n for n, layer in enumerate(layers) if not layer[mask].any()), len(layers))
        if free == len(layers):
            check_shape(mask.shape, free + 1, folder)
            layers.append(np.zeros(mask.shape, np.uint16))
        layers[free][mask] = value
        segments.append(Segment(file.name.removesuffix(".gz").removesuffix(".nii"), free, value))
    return Volume(tuple(layers), T_world_index, "NIfTI folder", sha256_of(files), tuple(segments), content="labels")


def _unit_of(header: Any) -> str:
    """Return the header's unit of length.

    Raises:
        ValueError: It has a code that the format does not know.
    """
    if not hasattr(header, "get_xyzt_units"):
        return "unknown"
    try:
        return str(header.get_xyzt_units()[0])
    except KeyError as error:
        raise ValueError(f"unknown code {error} of the units") from None


def _read_file(path: Path) -> tuple[NDArray[Any], NDArray[np.float64], list[bytes]]:
    """Return voxels, T_world_index [m] and header extensions."""
    try:
        _check_offset(path)
        image: Any = nib.load(path)
        shape = tuple(int(n) for n in image.shape)
        units = _unit_of(image.header)
        kind = image.get_data_dtype()
    except _READ_ERRORS as error:
        raise InputError(f"expected a NIfTI volume, found {one_line(error)} in {path}") from None
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    shape = check_shape(shape, 1, path)
    check_claim(
        math.prod(shape) * kind.itemsize,
        path.stat().st_size,
        "gzip" if path.name.lower().endswith(".gz") else "raw",
        str(path),
    )
    scale = METRES_PER_UNIT.get(units, 1e-3)
    T_world_index = np.diag([scale, scale, scale, 1.0]) @ np.asarray(image.affine, np.float64)
    check_affine(T_world_index, path)
    try:
        raw = np.asanyarray(image.dataobj.get_unscaled()).reshape(shape)
        slope, offset = image.dataobj.slope, image.dataobj.inter
        if raw.dtype.kind in "biuf" and (slope, offset) != (1, 0):
            raw = raw.astype(np.float32) * np.float32(slope) + np.float32(offset)
    except _READ_ERRORS as error:
        raise InputError(
            f"expected {math.prod(shape)} voxels, found a damaged file ({one_line(error)}): {path}"
        ) from None
    extensions = [
        content if isinstance(content, bytes) else str(content).encode()
        for content in (extension.get_content() for extension in getattr(image.header, "extensions", ()))
    ]
    return raw, T_world_index, extensions


def _check_offset(path: Path) -> None:
    """Refuse a header that places the voxels so far on that reading up to them would fill the memory."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rb") as file:
        head = file.read(544)
    if len(head) < 348:
        raise InputError(f"expected a NIfTI header of at least 348 bytes, found {len(head)} in {path}")
    for order in "<>":
        size = struct.unpack(f"{order}i", head[:4])[0]
        offset: float = 0.0
        if size == 348:
            offset = struct.unpack(f"{order}f", head[108:112])[0]
            shape = struct.unpack(f"{order}8h", head[40:56])
        elif size == 540 and len(head) >= 540:
            offset = struct.unpack(f"{order}q", head[168:176])[0]
            shape = struct.unpack(f"{order}8q", head[16:80])
        else:
            continue
        if not 0 <= offset <= LONGEST_HEADER:
            raise InputError(f"expected the voxels within {LONGEST_HEADER} bytes, found offset {offset:.6g} in {path}")
        if 0 < shape[0] < 8 and math.prod(max(n, 1) for n in shape[1 : shape[0] + 1]) > MAX_VOXELS:
            raise InputError(
                f"expected at most {MAX_VOXELS} voxels, found {math.prod(max(n, 1) for n in shape[1:4])} "
                f"({shape[1 : shape[0] + 1]}) in the header of {path}"
            )
        return

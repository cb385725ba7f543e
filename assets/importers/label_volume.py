"""Read a label map (NIfTI, or a folder of one NIfTI a class) into one array in nearly RAS voxel order."""

import hashlib
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float64, UInt16
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from assets.errors import InputError
from assets.importers.schemes import header_names, resolve_names

MAX_VOXELS = 1 << 28
"""Largest volume that is read: 268 million voxels, such as 512 x 512 x 1024; 0.5 GiB as labels."""

METRES_PER_UNIT = {"mm": 1e-3, "unknown": 1e-3, "meter": 1.0, "micron": 1e-6}
"""NIfTI-1's spatial units; where the file says none, millimetres, as every CT tool writes them."""

MAX_SHEAR = 0.01
"""Largest cosine between two voxel axes; distances inside the volume take the axes as perpendicular."""

_READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    ImageFileError,
    HeaderDataError,
)


@dataclass(frozen=True)
class LabelVolume:
    """Labels on a grid whose axes run to the patient's right, front and head as nearly as the scan allows."""

    data: UInt16[np.ndarray, "i j k"]
    """Ids; 0 is nothing."""
    T_world_index: Float64[np.ndarray, "4 4"]
    """Maps voxel indices (centres) to RAS [m]; its columns are perpendicular."""
    names: dict[int, str]
    """Name of each id that occurs."""
    origin_of_names: str
    """`header`, or the scheme."""
    sha256: str
    """Of the file, or of the files in the order of their names."""

    @property
    def spacing(self) -> Float64[np.ndarray, "3"]:
        """Distance of voxel centres along each axis [m]."""
        return np.asarray(np.linalg.norm(self.T_world_index[:3, :3], axis=0))


def read_label_volume(path: Path, *, scheme: str | Path | None = None) -> LabelVolume:
    """Read a label map.

    Args:
        path: A `.nii` or `.nii.gz` with several labels, or a folder of `<class>.nii.gz`.
        scheme: What the ids mean where the header does not say it.

    Raises:
        InputError: The file is missing, damaged, too large, sheared, no label map, or of unknown scheme.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise InputError(f"expected a label map (.nii, .nii.gz, or a folder of them), found nothing at {path}")
    data, T_world_index, extensions = _read_nifti(path)
    ids = np.flatnonzero(np.bincount(data.ravel()))
    names, origin = resolve_names(ids[ids > 0], header_names(extensions), scheme, str(path))
    return LabelVolume(data, T_world_index, names, origin, _hash([path]))


def _read_folder(folder: Path) -> LabelVolume:
    files = sorted(folder.glob("*.nii.gz"))
    if not files:
        raise InputError(f"expected files <class>.nii.gz, found none in {folder}")
    names: dict[int, str] = {}
    data: NDArray[np.uint16] | None = None
    T_world_index = np.eye(4)
    for label, file in enumerate(files, start=1):
        mask, transform, _ = _read_nifti(file)
        if data is None:
            data, T_world_index = np.zeros(mask.shape, np.uint16), transform
        if mask.shape != data.shape or not np.allclose(transform, T_world_index, atol=1e-6):
            raise InputError(f"expected the grid of {files[0].name} in every file, found another in {file}")
        data[mask > 0] = label
        names[label] = file.name.removesuffix(".nii.gz")
    assert data is not None
    present = set(np.unique(data).tolist())
    names = {label: name for label, name in names.items() if label in present}
    return LabelVolume(data, T_world_index, names, "file names", _hash(files))


def _read_nifti(path: Path) -> tuple[NDArray[np.uint16], NDArray[np.float64], list[bytes]]:
    try:
        image: Any = nib.load(path)
        shape = tuple(int(n) for n in image.shape)
        units = image.header.get_xyzt_units()[0] if hasattr(image.header, "get_xyzt_units") else "unknown"
    except _READ_ERRORS as error:
        raise InputError(f"expected a NIfTI label map, found {_one_line(error)} in {path}") from None
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 2:
        raise InputError(f"expected a volume of 3 axes, found shape {image.shape} in {path}")
    if math.prod(shape) > MAX_VOXELS:
        raise InputError(
            f"expected at most {MAX_VOXELS} voxels, found {math.prod(shape)} ({shape}) in the header of {path}"
        )
    affine = np.asarray(image.affine, np.float64)
    _check_affine(affine, path)
    try:
        # The canonical order flips and swaps axes only; obliqueness stays in the affine.
        image = nib.as_closest_canonical(image)
        raw = np.asanyarray(image.dataobj).reshape(image.shape[:3])
    except _READ_ERRORS as error:
        raise InputError(
            f"expected {math.prod(shape)} voxels, found a damaged file ({_one_line(error)}): {path}"
        ) from None
    scale = METRES_PER_UNIT.get(units, 1e-3)
    T_world_index = np.diag([scale, scale, scale, 1.0]) @ np.asarray(image.affine, np.float64)
    extensions = [
        content if isinstance(content, bytes) else str(content).encode()
        for content in (extension.get_content() for extension in getattr(image.header, "extensions", ()))
    ]
    return _as_ids(raw, path), T_world_index, extensions


def _check_affine(affine: NDArray[np.float64], path: Path) -> None:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or lengths.min() < 1e-6:
        raise InputError(f"expected a voxel size and direction, found a singular affine in {path}")
    axes = affine[:3, :3] / lengths
    shear = np.abs(axes.T @ axes - np.eye(3)).max()
    if shear > MAX_SHEAR:
        raise InputError(f"expected perpendicular voxel axes, found cosine {shear:.3f} between two axes in {path}")


def _as_ids(raw: NDArray[Any], path: Path) -> NDArray[np.uint16]:
    if raw.dtype.kind not in "biuf":
        raise InputError(f"expected whole numbers as labels, found voxels of type {raw.dtype} in {path}")
    low, high = (float(raw.min()), float(raw.max())) if raw.size else (0.0, 0.0)
    if not (low >= 0 and high <= np.iinfo(np.uint16).max):  # also false for NaN
        raise InputError(
            f"expected labels from 0 to 65535, found values from {low} to {high} (is this a CT?) in {path}"
        )
    ids = raw.astype(np.uint16)
    if raw.dtype.kind == "f" and not np.array_equal(ids, raw):
        raise InputError(f"expected whole numbers as labels, found fractions (is this a CT?) in {path}")
    return ids


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__

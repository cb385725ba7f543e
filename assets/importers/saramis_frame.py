"""Where SARAMIS meshes lie: from `(voxel index + 1) x diagonal spacing` back to the scanner's RAS.

The meshes were made of voxel indices times the diagonal of the volume's directions [mm], with a border of one voxel,
and without origin or off-diagonal directions. The diagonal may be negative, which mirrors them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Float64
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from assets.errors import InputError

MAX_HEADER_BYTES = 1 << 20
_SIGNS = {"right": 1, "left": -1, "anterior": 1, "posterior": -1, "superior": 1, "inferior": -1}
_SHORT = {"R": "right", "L": "left", "A": "anterior", "P": "posterior", "S": "superior", "I": "inferior"}
_SLACK = 1.5
"""How far a mesh may reach beyond its volume [voxels]: smoothing moves it by a fraction of one."""


@dataclass(frozen=True)
class VolumeFrame:
    """The grid of the volume that the meshes were made of."""

    T_space_index: Float64[np.ndarray, "4 4"]
    """Maps voxel indices (centres) to the file's own space [mm]."""
    T_ras_space: Float64[np.ndarray, "4 4"]
    """Maps that space to RAS [mm]."""
    shape: tuple[int, int, int]
    source: str
    """The file's name."""


def read_volume_frame(path: Path) -> VolumeFrame:
    """Read the grid out of a NRRD or NIfTI header; the voxels are not read.

    Raises:
        InputError: The file is missing, damaged, or says no grid of three axes.
    """
    return _nrrd(path) if path.suffix.lower() == ".nrrd" else _nifti(path)


def _nrrd(path: Path) -> VolumeFrame:
    try:
        with path.open("rb") as file:
            head = file.read(MAX_HEADER_BYTES).replace(b"\r\n", b"\n")
    except OSError as error:
        raise InputError(f"expected a NRRD header, found {error.strerror} at {path}") from None
    end = head.find(b"\n\n")
    if not head.startswith(b"NRRD000") or end < 0:
        raise InputError(f"expected a NRRD header of at most {MAX_HEADER_BYTES} bytes, found none in {path}")
    fields: dict[str, str] = {}
    for line in head[:end].decode("utf-8", errors="replace").splitlines()[1:]:
        name, separator, value = line.partition(": ")
        if separator and ":=" not in line:
            fields.setdefault(name.strip().lower(), value.strip())
    try:
        vectors = re.findall(r"none|\([^()]{1,200}\)", fields["space directions"])
        sizes = [int(word) for word in fields["sizes"].split()]
        rows = [
            (np.array([float(x) for x in vector[1:-1].split(",")]), size)
            for vector, size in zip(vectors, sizes, strict=True)
            if vector != "none"
        ]
        origin = np.array([float(x) for x in fields["space origin"].strip("()").split(",")])
        words = fields["space"].lower().split("-")
        words = [_SHORT[letter] for letter in fields["space"].upper()] if len(words) == 1 else words
        signs = [_SIGNS[word] for word in words]
        order = [("right", "left", "anterior", "posterior", "superior", "inferior").index(word) // 2 for word in words]
        T = np.eye(4)
        T[:3, :3] = np.stack([vector for vector, _ in rows], axis=1)
        T[:3, 3] = origin
        shape = tuple(size for _, size in rows)
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(
            f"expected space, sizes, space directions and space origin of three axes in a NRRD header, found "
            f"{type(error).__name__} {error!s:.60} in {path}"
        ) from None
    if len(shape) != 3 or order != [0, 1, 2] or not np.isfinite(T).all() or abs(np.linalg.det(T[:3, :3])) < 1e-9:
        raise InputError(f"expected three axes of space right/left, anterior/posterior, superior/inferior in {path}")
    return VolumeFrame(T, np.diag([*signs, 1.0]), shape, path.name)


def _nifti(path: Path) -> VolumeFrame:
    try:
        image = nib.load(path)
        shape, affine = tuple(int(n) for n in image.shape[:3]), np.asarray(image.affine, np.float64)
    except (OSError, EOFError, ValueError, ImageFileError, HeaderDataError) as error:
        raise InputError(f"expected a NIfTI header, found {' '.join(str(error).split())[:100]} in {path}") from None
    if len(shape) != 3 or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError(f"expected a grid of three axes, found shape {shape} in {path}")
    # A NRRD of the same volume is in LPS, and the meshes' spacing is its diagonal.
    T_lps_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    return VolumeFrame(T_lps_ras @ affine, T_lps_ras, shape, path.name)


def T_ras_mesh(  # noqa: N802
    frame: VolumeFrame, boxes: Sequence[tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]]
) -> NDArray[np.float64]:
    """Return what maps mesh coordinates [mm] to RAS [m], shape (4, 4).

    Args:
        frame: Of the volume.
        boxes: Lowest and highest corner of every mesh [mm], as written.

    Raises:
        InputError: The meshes do not lie within the volume, in either sign of its diagonal.
    """
    diagonal = np.diag(frame.T_space_index)[:3]
    length = np.linalg.norm(frame.T_space_index[:3, :3], axis=0)
    if (np.abs(diagonal) < 0.1 * length).any():
        raise InputError(
            f"expected voxel axes nearly along the space's, found a diagonal of {np.round(diagonal, 4).tolist()} in "
            f"{frame.source}: the meshes were made with it and cannot be put back"
        )
    low = np.min([box[0] for box in boxes], axis=0)
    high = np.max([box[1] for box in boxes], axis=0)
    spacing = np.empty(3)
    for axis in range(3):
        # Whether the meshes kept the diagonal's sign shows in the sign of their coordinates.
        step = abs(float(diagonal[axis]))
        ends = sorted((low[axis] / step, high[axis] / step))
        if ends[1] <= 0.5:
            ends, step = [-ends[1], -ends[0]], -step
        if ends[0] < 1 - _SLACK or ends[1] > frame.shape[axis] + _SLACK:
            raise InputError(
                f"expected meshes within the {frame.shape[axis]} voxels of axis {axis} of {frame.source} and a border "
                f"of one, found them from {ends[0]:.1f} to {ends[1]:.1f}"
            )
        spacing[axis] = step
    T_index_mesh = np.diag([*(1 / spacing), 1.0])
    T_index_mesh[:3, 3] = -1.0  # the border
    T = frame.T_ras_space @ frame.T_space_index @ T_index_mesh
    return np.asarray(np.diag([1e-3, 1e-3, 1e-3, 1.0]) @ T)

"""CT images in DICOM: a series of one slice a file, or one file with many frames; out come Hounsfield units."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.importers.dicom_decoder import FrameDecoder
from assets.importers.dicom_files import frames, number, plane, read_dataset, text, vector
from assets.importers.raw_bytes import sha256_of
from assets.importers.volume import Volume, check_affine, check_shape, ras_from_lps

UNEVEN = 0.02
"""Largest difference of a slice's place from an even spacing, in spacings."""


def read_series(files: list[tuple[Path, Any]], where: Path) -> Volume:
    """Read the files of one series, whatever their order.

    Args:
        files: Each file and its data set without pixels.
        where: Named in an error.

    Raises:
        InputError: Slices differ in size or direction, are missing or doubled, or are damaged.
    """
    # Localizers and screen shots in a series have another direction; they are refused with the place.
    first = files[0][1]
    axes = plane(vector(first, "ImageOrientationPatient", 6, files[0][0]), files[0][0])
    rows, columns = int(number(first, "Rows", files[0][0])), int(number(first, "Columns", files[0][0]))
    spacing = vector(first, "PixelSpacing", 2, files[0][0])
    positions = np.empty((len(files), 3))
    for index, (file, header) in enumerate(files):
        turned = np.abs(plane(vector(header, "ImageOrientationPatient", 6, file), file) - axes).max()
        size = int(number(header, "Rows", file)), int(number(header, "Columns", file))
        if (
            size != (rows, columns)
            or turned > 1e-3
            or np.abs(vector(header, "PixelSpacing", 2, file) - spacing).max() > 1e-4
        ):
            raise InputError(f"expected slices of one size, spacing and direction, found another in {file}")
        if text(header, "NumberOfFrames") not in ("", "1"):
            raise InputError(f"expected one frame a file, found {text(header, 'NumberOfFrames')[:12]} in {file}")
        positions[index] = vector(header, "ImagePositionPatient", 3, file)
    order = np.argsort(positions @ axes[:, 2], kind="stable")
    step, origin = _even_steps(positions[order], axes[:, 2], where)
    shape = check_shape((columns, rows, len(files)), 1, where)
    T_world_index = ras_from_lps(
        np.stack([axes[:, 0] * spacing[1], axes[:, 1] * spacing[0], step], axis=1), origin, 1e-3
    )
    check_affine(T_world_index, where)
    scales = [_scale(files[index][1], files[index][0]) for index in order]
    voxels = np.empty(shape, _kind(scales))
    with FrameDecoder() as decoder:
        for place, index in enumerate(order):
            dataset = read_dataset(files[index][0], pixels=True)
            (frame,) = frames(dataset, 1, files[index][0], decoder)
            voxels[:, :, place] = _hounsfield(frame, scales[place], voxels.dtype).T
    return Volume((voxels,), T_world_index, "DICOM series", sha256_of(files[index][0] for index in order), content="ct")


def read_enhanced(path: Path) -> Volume:
    """Read a CT of many frames in one file.

    Raises:
        InputError: Frames differ in direction, are missing or doubled, or are damaged.
    """
    dataset = read_dataset(path, pixels=True)
    count = int(number(dataset, "NumberOfFrames", path))
    rows, columns = int(number(dataset, "Rows", path)), int(number(dataset, "Columns", path))
    shape = check_shape((columns, rows, count), 1, path)
    groups = functional_groups(dataset, count, path)
    axes = plane(vector(macro(groups, 0, "PlaneOrientationSequence", path), "ImageOrientationPatient", 6, path), path)
    spacing = vector(macro(groups, 0, "PixelMeasuresSequence", path), "PixelSpacing", 2, path)
    positions = np.empty((count, 3))
    scales = []
    for index in range(count):
        turned = vector(macro(groups, index, "PlaneOrientationSequence", path), "ImageOrientationPatient", 6, path)
        if np.abs(plane(turned, path) - axes).max() > 1e-3:
            raise InputError(f"expected frames of one direction, found another at frame {index} of {path}")
        positions[index] = vector(macro(groups, index, "PlanePositionSequence", path), "ImagePositionPatient", 3, path)
        scales.append(_scale(macro(groups, index, "PixelValueTransformationSequence", path), path))
    order = np.argsort(positions @ axes[:, 2], kind="stable")
    step, origin = _even_steps(positions[order], axes[:, 2], path)
    T_world_index = ras_from_lps(
        np.stack([axes[:, 0] * spacing[1], axes[:, 1] * spacing[0], step], axis=1), origin, 1e-3
    )
    check_affine(T_world_index, path)
    voxels = np.empty(shape, _kind(scales))
    place = np.argsort(order, kind="stable")
    with FrameDecoder() as decoder:
        for index, frame in enumerate(frames(dataset, count, path, decoder)):
            voxels[:, :, place[index]] = _hounsfield(frame, scales[index], voxels.dtype).T
    return Volume((voxels,), T_world_index, "DICOM multi-frame", sha256_of([path]), content="ct")


def functional_groups(dataset: Any, count: int, path: Path) -> tuple[Any, Any]:
    """Return what all frames share, and what each has of its own.

    Raises:
        InputError: There is not one entry a frame.
    """
    shared, own = dataset.get("SharedFunctionalGroupsSequence"), dataset.get("PerFrameFunctionalGroupsSequence")
    if own is None or len(own) != count:
        found = "none" if own is None else len(own)
        raise InputError(f"expected {count} per-frame functional groups, found {found} in {path}")
    return (shared[0] if shared else {}), own


def macro(groups: tuple[Any, Any], index: int, name: str, path: Path) -> Any:
    """Return one description of a frame, its own or the shared one.

    Raises:
        InputError: There is none.
    """
    for group in (groups[1][index], groups[0]):
        found = group.get(name)
        if found:
            return found[0]
    raise InputError(f"expected {name} of frame {index}, found none in {path}")


def _even_steps(
    positions: NDArray[np.float64], normal: NDArray[np.float64], where: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the step from slice to slice and the first slice's position [mm], for positions in their order."""
    if len(positions) < 2:
        raise InputError(f"expected at least 2 slices, found {len(positions)} in {where}")
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    gap = np.diff(positions @ normal)
    usual = float(np.median(gap))
    if usual < 1e-4 or gap.min() < 0.5 * usual:
        raise InputError(f"expected one slice at each place, found two {gap.min():.4g} mm apart in {where}")
    ideal = positions[0] + np.arange(len(positions))[:, None] * step
    off = np.abs((positions - ideal) @ normal).max() / usual
    if off > UNEVEN or np.abs(gap / usual - 1).max() > 5 * UNEVEN:
        at = int(np.argmax(np.abs(gap / usual - 1)))
        raise InputError(
            f"expected slices {usual:.4g} mm apart, found {gap[at]:.4g} mm after slice {at + 1} of {len(positions)} "
            f"(slices are missing, or of several reconstructions) in {where}"
        )
    return step, positions[0]


def _scale(header: Any, path: Path) -> tuple[float, float]:
    return number(header, "RescaleSlope", path, 1.0), number(header, "RescaleIntercept", path, 0.0)


def _kind(scales: list[tuple[float, float]]) -> type[np.int16] | type[np.float32]:
    whole = all(slope == int(slope) and offset == int(offset) for slope, offset in scales)
    return np.int16 if whole else np.float32


def _hounsfield(frame: NDArray[Any], scale: tuple[float, float], kind: np.dtype[Any]) -> NDArray[Any]:
    """Return Hounsfield units; what 16 bits do not hold is no tissue, and is clipped."""
    values = frame.astype(np.float64) * scale[0] + scale[1]
    if kind == np.int16:
        values = np.clip(values, -32768, 32767)
    return values.astype(kind)

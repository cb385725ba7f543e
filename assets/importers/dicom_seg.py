"""DICOM segmentations: binary, fractional or label map; segments that overlap come in several layers.

DICOM PS3.3, A.51 and C.8.20: each frame is a slice of one segment; slices without the segment may be left out.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.importers.dicom_decoder import FrameDecoder
from assets.importers.dicom_files import frames, number, plane, read_dataset, text, vector
from assets.importers.dicom_series import functional_groups, macro
from assets.importers.raw_bytes import sha256_of
from assets.importers.volume import MAX_SEGMENTS, Segment, Volume, check_affine, check_shape, ras_from_lps

OFF_GRID = 0.05
"""Largest distance of a frame from the grid of slices, in slices."""


def read_segmentation(path: Path) -> Volume:
    """Read a segmentation onto the grid of its frames.

    Raises:
        InputError: It is damaged, its frames lie on no common grid, or a frame is of no listed segment.
    """
    dataset = read_dataset(path, pixels=True)
    kind = text(dataset, "SegmentationType").upper()
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise InputError(f"expected SegmentationType BINARY, FRACTIONAL or LABELMAP, found {kind[:20]!r} in {path}")
    count = int(number(dataset, "NumberOfFrames", path, 1.0))
    rows, columns = int(number(dataset, "Rows", path)), int(number(dataset, "Columns", path))
    labels = _labels(dataset, path)
    groups = functional_groups(dataset, count, path)
    slices, T_world_index, depth = _grid(groups, count, path)
    shape = check_shape((columns, rows, depth), 1, path)
    if kind == "LABELMAP":
        voxels = np.zeros(shape, np.uint16)
        with FrameDecoder() as decoder:
            for index, frame in enumerate(frames(dataset, count, path, decoder)):
                if frame.max(initial=0) > np.iinfo(np.uint16).max:
                    raise InputError(f"expected segment numbers up to 65535, found {frame.max()} in {path}")
                voxels[:, :, slices[index]] = frame.T
        layers, segments = [voxels], [Segment(name, 0, value) for value, name in labels.items() if value > 0]
    else:
        least = 1.0 if kind == "BINARY" else number(dataset, "MaximumFractionalValue", path) / 2
        owners = [_owner(groups, index, labels, path) for index in range(count)]
        with FrameDecoder() as decoder:
            pictures = frames(dataset, count, path, decoder)
            layers, segments = _stacked(pictures, owners, slices, labels, least, shape, path)
    notes = ("Fractional segments count from half of their largest value on.",) if kind == "FRACTIONAL" else ()
    return Volume(
        tuple(layers), T_world_index, "DICOM-SEG", sha256_of([path]), tuple(segments), content="labels", notes=notes
    )


def _labels(dataset: Any, path: Path) -> dict[int, str]:
    """Return the names of the segments by number."""
    rows = dataset.get("SegmentSequence") or []
    if not 0 < len(rows) <= MAX_SEGMENTS:
        raise InputError(f"expected 1 to {MAX_SEGMENTS} segments, found {len(rows)} in {path}")
    labels: dict[int, str] = {}
    for row in rows:
        value, name = int(number(row, "SegmentNumber", path)), text(row, "SegmentLabel")
        if value in labels or not 0 <= value <= np.iinfo(np.uint16).max or not name:
            raise InputError(
                f"expected each SegmentNumber once with a SegmentLabel, found {value} {name[:40]!r} in {path}"
            )
        labels[value] = name
    return labels


def _owner(groups: tuple[Any, Any], index: int, labels: dict[int, str], path: Path) -> int:
    found = int(number(macro(groups, index, "SegmentIdentificationSequence", path), "ReferencedSegmentNumber", path))
    if found not in labels:
        raise InputError(f"expected a segment of {sorted(labels)[:5]}, found {found} at frame {index} of {path}")
    return found


def _grid(groups: tuple[Any, Any], count: int, path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Return each frame's slice, T_world_index [m], and the number of slices."""
    axes = plane(vector(macro(groups, 0, "PlaneOrientationSequence", path), "ImageOrientationPatient", 6, path), path)
    measures = macro(groups, 0, "PixelMeasuresSequence", path)
    spacing = vector(measures, "PixelSpacing", 2, path)
    positions = np.array(
        [
            vector(macro(groups, index, "PlanePositionSequence", path), "ImagePositionPatient", 3, path)
            for index in range(count)
        ]
    )
    along = positions @ axes[:, 2]
    gaps = np.diff(np.unique(np.round(along, 3)))
    step = number(measures, "SpacingBetweenSlices", path, float(gaps.min()) if len(gaps) else 0.0)
    step = abs(step) or number(measures, "SliceThickness", path, 0.0)
    if not 1e-3 < step < 1e3:
        raise InputError(f"expected a distance of slices, found {step} mm in {path}")
    place = (along - along.min()) / step
    aside = np.abs((positions - positions[0]) @ axes[:, :2]).max()
    if np.abs(place - np.rint(place)).max() > OFF_GRID or aside > 0.01 * spacing.max():
        raise InputError(f"expected frames on one grid of slices {step:.4g} mm apart, found others in {path}")
    slices = np.rint(place).astype(np.int64)
    origin = positions[int(np.argmin(along))]
    columns = np.stack([axes[:, 0] * spacing[1], axes[:, 1] * spacing[0], axes[:, 2] * step], axis=1)
    T_world_index = ras_from_lps(columns, origin, 1e-3)
    check_affine(T_world_index, path)
    return slices, T_world_index, max(int(slices.max()) + 1, 2)  # a single slice gets an empty one beside it


def _stacked(
    pictures: Any,
    owners: list[int],
    slices: NDArray[np.int64],
    labels: dict[int, str],
    least: float,
    shape: tuple[int, int, int],
    path: Path,
) -> tuple[list[NDArray[np.uint16]], list[Segment]]:
    """Put each segment into the first layer in which it overlaps nothing."""
    found: dict[int, list[tuple[int, NDArray[np.uint8]]]] = {}
    for index, frame in enumerate(pictures):
        mask = frame >= least
        if mask.any():
            found.setdefault(owners[index], []).append((int(slices[index]), np.packbits(mask.T)))
    layers = [np.zeros(shape, np.uint16)]
    segments = []
    for value, parts in sorted(found.items()):
        masks = [(at, np.unpackbits(part, count=shape[0] * shape[1]).reshape(shape[:2]) > 0) for at, part in parts]
        free = next(
            (n for n, layer in enumerate(layers) if not any(layer[:, :, at][mask].any() for at, mask in masks)),
            len(layers),
        )
        if free == len(layers):
            check_shape(shape, free + 1, path)
            layers.append(np.zeros(shape, np.uint16))
        for at, mask in masks:
            layers[free][:, :, at][mask] = value
        segments.append(Segment(labels[value], free, value))
    return layers, segments

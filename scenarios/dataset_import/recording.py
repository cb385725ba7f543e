"""What an importer finds in a public set, and how one of its frames becomes one of ours."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from assets.errors import InputError
from assets.labels import label_id
from sim.camera import Camera
from sim.frame import Frame

MAX_TEXT = 16 << 20
"""Bytes of a text file from outside."""
_EDGE = 0.02  # a step in depth by more than this share of it may be an edge
_FRAMES_A_SECOND = 30.0  # neither set says when a frame was taken; both are meant as video


@dataclass(frozen=True)
class Recording:
    """A sequence of frames in a public set."""

    name: str
    """Of the sequence; letters, digits, `_` and `-`."""
    group: str
    """What it shares its anatomy with."""
    split: str | None
    """As the set's authors split it; None where they do not."""
    numbers: tuple[int, ...]
    """Of its frames, in order."""
    read: Callable[[int], Frame]
    """Reads the frame of a number."""


@dataclass(frozen=True)
class PublicSet:
    """All that was found."""

    recordings: tuple[Recording, ...]
    depth_step: float
    """Step of the stored depth [m]: that of the set, so that nothing is rounded."""
    about: dict[str, str]
    """Name, licence, citation and what is made up, for dataset.json."""


def frame_from(
    rgb: NDArray[Any],
    depth: Float32[np.ndarray, "h w"],
    T_world_camera: NDArray[np.float64],
    camera: Camera,
    number: int,
    *,
    normal: Float32[np.ndarray, "h w 3"] | None = None,
    where: Path,
) -> Frame:
    """Make a frame of what a public set has: all that is seen is wall, one object.

    Args:
        rgb: Shape (h, w, 3), uint8.
        depth: z-depth [m]; 0 where not known.
        T_world_camera: Pose, OpenCV axes.
        camera: The lens.
        number: Of the frame in its sequence.
        normal: Camera axes; zero where not known. Where it is not known, or faces away, it is worked out from depth.
        where: The place that errors name.

    Raises:
        InputError: The channels differ in size from the camera's.
    """
    shape = (camera.height, camera.width)
    if rgb.shape[:2] != shape or depth.shape != shape:
        raise InputError(
            f"{where}: expected {shape[1]} x {shape[0]} px as the camera, found colours of "
            f"{rgb.shape[1]} x {rgb.shape[0]} and depth of {depth.shape[1]} x {depth.shape[0]}"
        )
    rays, shown = camera.rays()
    depth = np.where(shown, depth, np.float32(0))
    there = depth > 0
    worked_out = normals_from_depth(depth, camera)
    if normal is None:
        normal = worked_out
    else:
        facing = there & normal.any(axis=-1) & ((normal * rays).sum(axis=-1) <= 0)
        normal = np.where(facing[..., None], normal, worked_out)
    return Frame(
        rgb=rgb,
        semantic=np.where(there, label_id("colon_wall"), 0).astype(np.uint8),
        instance=there.astype(np.uint16),
        depth=depth,
        normal=normal,
        flow=np.zeros((*shape, 2), np.float32),
        flow_valid=np.zeros(shape, np.bool_),
        T_world_camera=T_world_camera,
        camera=camera,
        time=number / _FRAMES_A_SECOND,
        exposure=1.0,
    )


def normals_from_depth(depth: Float32[np.ndarray, "h w"], camera: Camera) -> NDArray[np.float32]:
    """Work unit normals out from neighbouring depths [m], shape (h, w, 3), facing the camera; 0 where depth is 0.

    Both neighbours along each side count, but where one is much farther away in depth than the other, only the other
    does, so that an edge does not bend what is beside it. A pixel without neighbours gets its ray turned round.
    """
    rays, shown = camera.rays()
    there = (depth > 0) & shown
    points = rays / np.where(there, rays[..., 2], 1)[..., None] * depth[..., None]
    normal = np.cross(_along(points, there, axis=1), _along(points, there, axis=0))
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = np.where(length > 0, normal / np.where(length > 0, length, 1), -rays)
    away = (normal * rays).sum(axis=-1, keepdims=True) > 0
    return np.where(there[..., None], np.where(away, -normal, normal), 0).astype(np.float32)


def _along(points: NDArray[np.float32], there: NDArray[np.bool_], *, axis: int) -> NDArray[np.float64]:
    """Return the step [m] to the neighbours after and before, or to one of them; 0 where neither is there."""
    ahead = np.zeros(points.shape, np.float64)
    known = np.zeros(there.shape, np.bool_)
    first, last = [slice(None)] * 2, [slice(None)] * 2
    first[axis], last[axis] = slice(None, -1), slice(1, None)
    before, after = tuple(first), tuple(last)
    ahead[before] = points[after].astype(np.float64) - points[before]
    known[before] = there[after] & there[before]
    behind, known_behind = np.zeros_like(ahead), np.zeros_like(known)
    behind[after], known_behind[after] = ahead[before], known[before]
    rise, rise_behind = np.abs(ahead[..., 2]), np.abs(behind[..., 2])
    tolerated = _EDGE * points[..., 2]
    use = known & ~(known_behind & (rise > 3 * rise_behind + tolerated))
    use_behind = known_behind & ~(known & (rise_behind > 3 * rise + tolerated))
    return np.where(use[..., None], ahead, 0.0) + np.where(use_behind[..., None], behind, 0.0)


def read_numbers(path: Path, columns: int, *, separator: str | None = None) -> NDArray[np.float64]:
    """Read a table of finite numbers, shape (n, columns).

    Raises:
        InputError: The file is missing, too large, or a line has other than so many finite numbers.
    """
    rows = []
    for place, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = [float(word) for word in line.strip().strip(separator or " ").split(separator)]
        except ValueError:
            row = []
        if len(row) != columns or not np.isfinite(row).all():
            raise InputError(f"{path}: line {place}: expected {columns} finite numbers, found {line[:60]!r}")
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, columns)


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        InputError: It is missing, too large or no text.
    """
    try:
        if path.stat().st_size > MAX_TEXT:
            raise InputError(f"{path}: expected at most {MAX_TEXT} bytes, found {path.stat().st_size}")
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise InputError(f"{path}: expected a text file, found none") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected text, found other bytes") from None

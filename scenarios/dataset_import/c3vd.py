"""C3VD's registered videos; the layout is described in `scenarios/export/c3vd.py`."""

import re
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from assets.errors import InputError
from scenarios.dataset_import.images import read_image
from scenarios.dataset_import.recording import PublicSet, Recording, frame_from, read_numbers, read_text
from scenarios.export.c3vd import FULL, REACH
from scenarios.export.omnidirectional import CF_HQ190L, NAMES
from sim.camera import Camera
from sim.frame import Frame

ABOUT = {
    "source": "C3VD",
    "licence": "CC BY-NC-SA 4.0",
    "citation": "Bobrow et al., Medical Image Analysis 90, 2023, doi:10.1016/j.media.2023.102956",
    "made_up": "depth of 0 and of 100 mm is nothing; normals that are missing are worked out from depth; all that is "
    "seen is colon_wall; the time is the frame's number / 30 s; lumen_direction is the camera's axis and lumen_visible "
    "false: the set has neither; flow, which goes to the frame before, and occlusion are left out",
    "splits": "the set has none; sequences of one model (cecum, desc, sigmoid, trans) stay together",
}
_COLOUR = re.compile(r"(\d{1,6})_color\.png")
_LENS = ("width", "height", "cx", "cy", *NAMES)


def find(folder: Path) -> PublicSet:
    """Find the sequences, in SRC itself if it is one, else in its folders.

    Raises:
        InputError: There is none, or a file is missing or damaged.
    """
    places = [folder] if (folder / "pose.txt").is_file() else sorted(path.parent for path in folder.glob("*/pose.txt"))
    if not places:
        raise InputError(f"{folder}: expected C3VD, a folder with pose.txt and 0000_color.png in it, found none")
    return PublicSet(tuple(_recording(place.resolve()) for place in places), REACH / FULL, ABOUT)


def _recording(place: Path) -> Recording:
    names = {int(match[1]): path.name for path in place.iterdir() if (match := _COLOUR.fullmatch(path.name))}
    poses = read_poses(place / "pose.txt")
    if not names or max(names) >= len(poses):
        raise InputError(
            f"{place}: expected frames for the {len(poses)} poses of pose.txt, found {len(names)} frames"
            + (f" up to number {max(names)}" if names else "")
        )
    height, width = read_image(place / names[min(names)], np.uint8, 3).shape[:2]
    camera = read_lens(place, width, height)
    name = re.sub(r"[^A-Za-z0-9_-]", "-", place.name)[:60]
    read = partial(_frame, place, names, camera, poses)
    return Recording(name, name.split("_")[0], None, tuple(sorted(names)), read)


def _frame(
    place: Path,
    names: dict[int, str],
    camera: Camera,
    poses: Float64[np.ndarray, "n 4 4"],
    number: int,
) -> Frame:
    stored = read_image(_one_of(place, number, "depth"), np.uint16, 1)
    depth = np.where(stored == FULL, 0, stored).astype(np.float32) * np.float32(REACH / FULL)
    normal_path = _one_of(place, number, "normals")
    normal = None
    if normal_path.is_file():
        normal = restored_normal(read_image(normal_path, np.uint16, 3))
        if normal.shape[:2] != stored.shape:
            raise InputError(
                f"{normal_path}: expected the size of the depth, found {normal.shape[1]} x {normal.shape[0]}"
            )
    rgb = read_image(place / names[number], np.uint8, 3)
    return frame_from(rgb, depth, poses[number], camera, number, normal=normal, where=place / names[number])


def restored_normal(stored: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Turn stored normals, shape (h, w, 3), into unit vectors; 0 where nothing."""
    vector = stored.astype(np.float32) * np.float32(2 / FULL) - 1
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    something = stored.any(axis=-1, keepdims=True) & (length > 0.1)
    return np.where(something, vector / np.where(length > 0, length, 1), 0).astype(np.float32)


def read_poses(path: Path) -> NDArray[np.float64]:
    """Read T_world_camera of each frame, shape (n, 4, 4) [m]; matrices row by row are known by their last row.

    Raises:
        InputError: The file is missing or damaged, or a matrix is no rigid, right-handed pose.
    """
    values = read_numbers(path, 16, separator=",")
    by_columns, by_rows = ((np.abs(values[:, place]) < 1e-6).all() for place in ([3, 7, 11], [12, 13, 14]))
    if len(values) == 0 or not (by_columns or by_rows) or np.abs(values[:, 15] - 1).max() > 1e-6:
        raise InputError(f"{path}: expected 4 x 4 poses with 0, 0, 0, 1 as last row or column, found other numbers")
    poses = values.reshape(-1, 4, 4)
    if by_columns:  # as the set has it; also where no camera is away from the origin, and nobody can tell
        poses = poses.transpose(0, 2, 1)
    rotations = poses[:, :3, :3]
    off = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    wrong = np.flatnonzero((off > 1e-2) | (np.linalg.det(rotations) < 0))
    if len(wrong):
        raise InputError(f"{path}: line {wrong[0] + 1}: expected a rotation, right-handed, found {rotations[wrong[0]]}")
    poses = poses.copy()
    poses[:, :3, 3] /= 1000
    return poses


def read_lens(place: Path, width: int, height: int) -> Camera:
    """Read config.ini of the sequence or of the folder above; without one, the colonoscope of C3VD if the size is its.

    Raises:
        InputError: There is no lens for this size, or the file is damaged.
    """
    for path in (place / "config.ini", place.parent / "config.ini"):
        if path.is_file():
            lens = _parsed(path)
            if (lens.width, lens.height) != (width, height):
                raise InputError(
                    f"{path}: expected the images' {width} x {height} px, found {lens.width} x {lens.height}"
                )
            return lens
    if (width, height) == (CF_HQ190L.width, CF_HQ190L.height):
        return CF_HQ190L
    raise InputError(
        f"{place}: expected images of {CF_HQ190L.width} x {CF_HQ190L.height} px or a config.ini with their lens, "
        f"found {width} x {height} px and none"
    )


def _parsed(path: Path) -> Camera:
    values: dict[str, str] = {}
    for line in read_text(path).splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith(";"):
            values[name.strip()] = value.strip()
    missing = [name for name in _LENS if name not in values]
    if missing:
        raise InputError(f"{path}: expected {', '.join(_LENS)}, found no {', '.join(missing)}")
    try:
        width, height, cx, cy, *rest = (float(values[name]) for name in _LENS)
        return Camera.omnidirectional(int(width), int(height), (cx, cy), tuple(rest))
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: expected numbers, found {error}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _one_of(place: Path, number: int, what: str) -> Path:
    """Return the file of a frame; the set pads some numbers with zeros and others not."""
    names = [f"{stem}_{what}.{suffix}" for stem in (f"{number:04d}", str(number)) for suffix in ("tiff", "tif", "png")]
    return next((place / name for name in names if (place / name).is_file()), place / names[0])

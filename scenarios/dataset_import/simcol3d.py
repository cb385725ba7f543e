"""SimCol3D's folders; the layout is described in `scenarios/export/simcol3d.py`."""

import re
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from assets.errors import InputError
from scenarios.dataset_import.images import read_image
from scenarios.dataset_import.recording import PublicSet, Recording, frame_from, read_numbers, read_text
from scenarios.export.simcol3d import FLIP, FULL, SPLIT_FILES, STEPS
from sim.camera import Camera
from sim.frame import Frame

ABOUT = {
    "source": "SimCol3D",
    "licence": "CC BY-NC-SA 4.0",
    "citation": "Rau et al., Medical Image Analysis 96, 2024, doi:10.1016/j.media.2024.103195",
    "made_up": "depth of more than 20 cm is nothing; normals are worked out from depth; all that is seen is "
    "colon_wall; the time is the frame's number / 30 s; lumen_direction is the camera's axis and lumen_visible false: "
    "the set has neither",
    "splits": "those of the challenge, by sequence: SyntheticColon_I and _II have sequences in train and in test, only "
    "SyntheticColon_III is a colon that training never sees",
}
TEST = frozenset({"S5", "S10", "S15", "B5", "B10", "B15", "O1", "O2", "O3"})
"""The challenge's test sequences."""
_FRAME = re.compile(r"FrameBuffer_(\d{1,6})\.png")
_SEQUENCE = re.compile(r"Frames_([A-Za-z0-9_-]{1,60})")


def find(folder: Path) -> PublicSet:
    """Find the sequences, in SRC itself if it is a scene, else in its scenes.

    Raises:
        InputError: There is none, or a file is missing or damaged.
    """
    scenes = [folder] if (folder / "cam.txt").is_file() else sorted(path.parent for path in folder.glob("*/cam.txt"))
    listed = _listed(folder / "misc")
    recordings = [
        _recording(scene, place, match[1], listed)
        for scene in scenes
        for place in sorted(scene.iterdir())
        if place.is_dir() and (match := _SEQUENCE.fullmatch(place.name))
    ]
    if not recordings:
        raise InputError(
            f"{folder}: expected SimCol3D, a folder SyntheticColon_I with cam.txt and Frames_S1 in it, found none"
        )
    return PublicSet(tuple(recordings), 1 / STEPS, ABOUT)


def _recording(scene: Path, place: Path, name: str, listed: dict[str, str]) -> Recording:
    camera = _camera(scene / "cam.txt", place)
    poses = read_poses(scene, name)
    numbers = sorted(int(match[1]) for path in place.iterdir() if (match := _FRAME.fullmatch(path.name)))
    if not numbers or numbers[-1] >= len(poses):
        raise InputError(
            f"{place}: expected frames for the {len(poses)} poses of SavedPosition_{name}.txt, "
            f"found {len(numbers)} frames" + (f" up to number {numbers[-1]}" if numbers else "")
        )
    split = listed.get(name, "test" if name in TEST else "train")
    return Recording(name, scene.name, split, tuple(numbers), partial(_frame, place, camera, poses))


def _frame(place: Path, camera: Camera, poses: Float64[np.ndarray, "n 4 4"], number: int) -> Frame:
    names = [f"{{}}_{number:04d}.png", f"{{}}_{number}.png"]  # the set has four digits; be kind to those that have none
    name = next((one for one in names if (place / one.format("FrameBuffer")).is_file()), names[0])
    rgb = read_image(place / name.format("FrameBuffer"), np.uint8, 3)
    stored = read_image(place / name.format("Depth"), np.uint16, 1)
    depth = np.where(stored > FULL, 0, stored).astype(np.float32) / np.float32(STEPS)
    return frame_from(rgb, depth, poses[number], camera, number, where=place / name.format("Depth"))


def read_poses(scene: Path, name: str) -> NDArray[np.float64]:
    """Read T_world_camera of each frame of a sequence, shape (n, 4, 4) [m], right-handed, OpenCV camera axes.

    Raises:
        InputError: A file is missing or damaged, the two differ in length, or a quaternion is not of length 1.
    """
    positions_cm = read_numbers(scene / f"SavedPosition_{name}.txt", 3)
    path = scene / f"SavedRotationQuaternion_{name}.txt"
    quaternions = read_numbers(path, 4)
    if len(quaternions) != len(positions_cm):
        raise InputError(f"{path}: expected {len(positions_cm)} lines as SavedPosition, found {len(quaternions)}")
    wrong = np.flatnonzero(np.abs(np.linalg.norm(quaternions, axis=1) - 1) > 1e-3)
    if len(wrong):
        raise InputError(
            f"{path}: line {wrong[0] + 1}: expected a quaternion of length 1, found {quaternions[wrong[0]]}"
        )
    poses = np.tile(np.eye(4), (len(positions_cm), 1, 1))
    if len(poses):
        poses[:, :3, :3] = Rotation.from_quat(quaternions).as_matrix()
    poses[:, :3, 3] = positions_cm / 100
    return np.asarray(FLIP @ poses @ FLIP)


def _camera(path: Path, place: Path) -> Camera:
    """Read the intrinsics, nine numbers of K; the size is that of the first image."""
    try:
        values = np.array(read_text(path).replace(",", " ").split(), dtype=np.float64)
    except ValueError:
        values = np.empty(0)
    if values.shape != (9,) or not np.isfinite(values).all() or values[[1, 3, 6, 7]].any() or values[8] != 1:
        raise InputError(f"{path}: expected the nine numbers of fx 0 cx 0 fy cy 0 0 1, found {values.tolist()}")
    first = min((one for one in place.iterdir() if _FRAME.fullmatch(one.name)), default=place / "FrameBuffer_0000.png")
    height, width = read_image(first, np.uint8, 3).shape[:2]
    fx, cx, fy, cy = values[[0, 2, 4, 5]].tolist()
    return Camera(width, height, fx, fy, cx, cy)


def _listed(misc: Path) -> dict[str, str]:
    """Read which split each sequence is in, where the lists are there."""
    listed: dict[str, str] = {}
    for split, name in SPLIT_FILES.items():
        if (misc / name).is_file():
            for line in read_text(misc / name).splitlines():
                match = _SEQUENCE.fullmatch(Path(line.strip()).name)
                if match:
                    listed[match[1]] = split
    return listed

"""SimCol3D: a folder a patient, in it a folder a sequence and two files of its poses, as the challenge's data have it.

`SyntheticColon_NAME/Frames_SEQUENCE/FrameBuffer_0000.png` and `Depth_0000.png` (16 bit: / 255 / 256 is 0 to 1 for 0 to
20 cm), `SyntheticColon_NAME/SavedPosition_SEQUENCE.txt` (centimetres), `SavedRotationQuaternion_SEQUENCE.txt` (xyzw),
both left-handed with y up, `SyntheticColon_NAME/cam.txt` (the intrinsics, 3 x 3), and `misc/train_file.txt`,
`val_file.txt` and `test_file.txt` with the sequences of each split.

Rau et al., SimCol3D: 3D reconstruction during colonoscopy challenge, Medical Image Analysis 96, 2024,
doi:10.1016/j.media.2024.103195.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from assets.errors import InputError
from scenarios.export.files import number, numbers, text_file, write_bytes, write_image
from scenarios.export.source import Advance, Source
from sim.camera import Camera

STEPS = 5 * 255 * 256
"""Stored depth of a metre: 255 * 256 steps are 20 cm."""
FULL = 255 * 256
"""Stored depth of 20 cm, the most the format has."""
BEYOND = 65535
"""Stored where the depth is more than that."""
SIZE = 475
"""Sides of the challenge's images [px]."""
INTRINSICS = (227.60416, 237.5, 227.60416, 237.5)
"""fx, fy, cx, cy of the challenge's images [px]."""
FLIP = np.diag([1.0, -1.0, 1.0, 1.0])
"""Left- to right-handed and back: T P T."""
SPLIT_FILES = {"train": "train_file.txt", "validation": "val_file.txt", "test": "test_file.txt"}


def stored_depth(depth: Float32[np.ndarray, "h w"]) -> NDArray[np.uint16]:
    """Turn depth [m] into the format's steps; 0 where nothing, BEYOND where it is more than 20 cm."""
    steps = np.rint(depth.astype(np.float64) * STEPS)
    return np.where(steps <= FULL, steps, BEYOND).astype(np.uint16)


def stored_pose(T_world_camera: Float[np.ndarray, "4 4"]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn a pose into the format's position [cm] and quaternion (xyzw), left-handed."""
    flipped = FLIP @ T_world_camera @ FLIP
    return flipped[:3, 3] * 100, Rotation.from_matrix(flipped[:3, :3]).as_quat()


def export(source: Source, out: Path, advance: Advance) -> list[str]:
    """Write every sequence.

    Raises:
        InputError: The data set is damaged, a patient has two cameras, or a sequence has more than 10,000 frames.
        OSError: The folder cannot be written.
    """
    sequence, files = "", list[TextIO]()
    cameras: dict[str, Camera] = {}
    places: dict[str, list[str]] = {split: [] for split in source.splits}
    beyond, frames_beyond = 0, 0
    with ExitStack() as stack:
        for view in source.views():
            scene = out / f"SyntheticColon_{view.shard}"
            if view.sequence != sequence:
                stack.close()
                sequence = view.sequence
                names = (f"SavedPosition_{sequence}.txt", f"SavedRotationQuaternion_{sequence}.txt")
                files = [stack.enter_context(text_file(scene / name)) for name in names]
                places[view.split].append(f"{scene.name}/Frames_{sequence}")
            frame = view.frame
            if cameras.setdefault(view.shard, frame.camera) != frame.camera or view.number > 9999:
                raise InputError(
                    f"{view.sample.where}: expected one camera a patient and at most 10000 frames a sequence, "
                    f"found {frame.camera} after {cameras[view.shard]}, frame {view.number}"
                )
            depth = stored_depth(frame.depth)
            pixels = int(np.count_nonzero(depth == BEYOND))
            beyond, frames_beyond = beyond + pixels, frames_beyond + (pixels > 0)
            folder = scene / f"Frames_{sequence}"
            write_bytes(folder / f"FrameBuffer_{view.number:04d}.png", view.colours_as_png())
            write_image(folder / f"Depth_{view.number:04d}.png", depth)
            for stream, values in zip(files, stored_pose(frame.T_world_camera), strict=True):
                stream.write(f"{numbers(values)}\n")
            advance()
    for shard, camera in cameras.items():
        with text_file(out / f"SyntheticColon_{shard}" / "cam.txt") as stream:
            stream.write(f"{number(camera.fx)} 0.0 {number(camera.cx)} 0.0 {number(camera.fy)} {number(camera.cy)} ")
            stream.write("0.0 0.0 1.0\n")
    for split, found in places.items():
        with text_file(out / "misc" / SPLIT_FILES.get(split, f"{split}_file.txt")) as stream:
            stream.writelines(f"{place}\n" for place in found)
    return [*_misfits(set(cameras.values())), *_too_far(beyond, frames_beyond), "masks, normals, flow, times"]


def _misfits(cameras: set[Camera]) -> list[str]:
    """Say what of the cameras is not as in the challenge."""
    lines = []
    for camera in cameras:
        if camera.model != "pinhole":
            lines.append("the lens's distortion: cam.txt has a pinhole; --pinhole resamples the frames to one")
        if (camera.width, camera.height) != (SIZE, SIZE):
            lines.append(f"the challenge's size {SIZE} x {SIZE} px: these are {camera.width} x {camera.height} px")
        found = (camera.fx, camera.fy, camera.cx, camera.cy)
        if not np.allclose(found, INTRINSICS, rtol=0, atol=1e-3):
            lines.append(
                "the challenge's intrinsics fx, fy, cx, cy of 227.604, 237.5, 227.604, 237.5 px: these are "
                + ", ".join(f"{value:.3f}" for value in found)
            )
    return list(dict.fromkeys(lines))


def _too_far(pixels: int, frames: int) -> list[str]:
    return [f"depth beyond 20 cm: {pixels} px in {frames} frames, stored as {BEYOND}"] if pixels else []

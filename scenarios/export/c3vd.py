"""C3VD: a folder a sequence, as the registered videos of the Colonoscopy 3D Video Dataset have it.

`SEQUENCE/0000_color.png`; `0000_depth.tiff`: 16 bit, 0 to 65535 is 0 to 100 mm along the axis, both ends mean unknown;
`0000_normals.tiff`: 16 bit, red x, green y, blue z, 0 to 65535 is -1 to 1, camera axes, 0, 0, 0 where nothing;
`0000_flow.tiff`: 16 bit, red to the right, green down, 0 to 65535 is -20 to 20 px, to the frame before, 0, 0 where
unknown; `pose.txt`: a line a frame of 16 numbers apart by commas, camera to world, column by column, millimetres;
`config.ini`: the omnidirectional lens. Camera axes x right, y down, z forward.

Bobrow et al., Medical Image Analysis 90, 2023, doi:10.1016/j.media.2023.102956. The data set's page says that the
normals' z goes from 0 to 1 and the poses row by row; its renderer and its example of a loader do as said here.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import numpy as np
from jaxtyping import Bool, Float, Float32
from numpy.typing import NDArray

from assets.errors import InputError
from scenarios.export.files import number, text_file, write_bytes, write_image
from scenarios.export.omnidirectional import NAMES, omnidirectional
from scenarios.export.reprojection import with_static_flow
from scenarios.export.source import Advance, Source
from sim.camera import Camera
from sim.frame import Frame

FULL = 65535
"""The most that is stored."""
REACH = 0.1
"""Depth [m] stored as FULL, which means unknown."""
MAX_FLOW = 20.0
"""Flow [px] stored as FULL; its opposite is stored as 0."""


def stored_depth(depth: Float32[np.ndarray, "h w"]) -> NDArray[np.uint16]:
    """Turn depth [m] into the format's steps; 0 where nothing, FULL from 100 mm on."""
    return np.minimum(np.rint(depth.astype(np.float64) * (FULL / REACH)), FULL).astype(np.uint16)


def stored_normal(normal: Float32[np.ndarray, "h w 3"]) -> NDArray[np.uint16]:
    """Turn unit normals into the format's steps; 0, 0, 0 where nothing."""
    steps = np.rint((np.clip(normal.astype(np.float64), -1, 1) + 1) * (FULL / 2))
    return np.where(normal.any(axis=-1, keepdims=True), steps, 0).astype(np.uint16)


def stored_flow(flow: Float32[np.ndarray, "h w 2"], valid: Bool[np.ndarray, "h w"]) -> NDArray[np.uint16]:
    """Turn flow [px] to the frame before into the format's steps; 0, 0, 0 where not valid or beyond 20 px."""
    fits = valid & (np.abs(flow) < MAX_FLOW).all(axis=-1)
    steps = np.rint((flow.astype(np.float64) + MAX_FLOW) * (FULL / (2 * MAX_FLOW)))
    stored = np.zeros((*valid.shape, 3), np.uint16)
    stored[fits, :2] = np.maximum(steps[fits], 1)  # 0 is unknown
    return stored


def stored_pose(T_world_camera: Float[np.ndarray, "4 4"]) -> str:
    """Turn a pose into the format's line: millimetres, column by column."""
    pose_mm = T_world_camera.copy()
    pose_mm[:3, 3] *= 1000
    return ",".join(number(value) for value in pose_mm.T.ravel())


def export(source: Source, out: Path, advance: Advance) -> list[str]:
    """Write every sequence.

    Raises:
        InputError: The data set is damaged, or a sequence has two cameras.
        OSError: The folder cannot be written.
    """
    sequence, before, poses = "", None, None
    lenses: dict[Camera, tuple[Camera, float]] = {}
    far, fast = 0, 0
    with ExitStack() as stack:
        for view in source.views():
            frame, folder = view.frame, out / view.sequence
            if frame.camera not in lenses:
                lenses[frame.camera] = omnidirectional(frame.camera)
            if view.sequence != sequence:
                stack.close()
                sequence, before = view.sequence, None
                poses = stack.enter_context(text_file(folder / "pose.txt"))
                _write_lens(folder / "config.ini", lenses[frame.camera][0])
            if before is not None and before.camera != frame.camera:
                raise InputError(f"{view.sample.where}: expected one camera a sequence, found {frame.camera}")
            assert poses is not None
            write_bytes(folder / f"{view.number:04d}_color.png", view.colours_as_png())
            fast += _write_truth(folder, view.number, frame, before, poses)
            far += int(np.count_nonzero(frame.depth >= REACH))
            before = frame
            advance()
    return [
        *([f"depth of 100 mm and more: {far} px, stored as {FULL}, which means unknown"] if far else []),
        *([f"flow beyond 20 px: {fast} px, stored as unknown"] if fast else []),
        "flow to the frame after; what is stored, to the frame before, is worked out from depth and poses, as nothing "
        "in the scene moves",
        "occlusion: what lies behind a surface is not in the shards",
        "meshes and coverage: they are not in the shards",
        "masks, times",
        *_rounded(max(off for _, off in lenses.values())),
    ]


def _write_truth(folder: Path, place: int, frame: Frame, before: Frame | None, poses: TextIO) -> int:
    """Write depth, normals, flow and pose; return how many pixels move too fast for the format."""
    write_image(folder / f"{place:04d}_depth.tiff", stored_depth(frame.depth))
    write_image(folder / f"{place:04d}_normals.tiff", stored_normal(frame.normal))
    poses.write(f"{stored_pose(frame.T_world_camera)}\n")
    if before is None:
        return 0
    back = with_static_flow(frame, before)
    write_image(folder / f"{place:04d}_flow.tiff", stored_flow(back.flow, back.flow_valid))
    return int(np.count_nonzero(back.flow_valid & (np.abs(back.flow) >= MAX_FLOW).any(axis=-1)))


def _write_lens(path: Path, camera: Camera) -> None:
    place = {"width": camera.width, "height": camera.height, "cx": camera.cx, "cy": camera.cy}
    values = {**place, **dict(zip(NAMES, camera.distortion, strict=True)), "a1": 0.0}
    with text_file(path) as stream:
        stream.writelines(f"{name} = {values[name]!r}\n" for name in (*place, "a0", "a1", *NAMES[1:]))


def _rounded(off: float) -> list[str]:
    if off < 1e-6:
        return []
    return [f"the lens to the last digit: config.ini is up to {off:.2g} px off; cameras in export.json are exact"]

"""TUM RGB-D: a folder a sequence with images named by time, the list of them, and the camera's path.

`rgb/TIME.png`, `depth/TIME.png` (16 bit, 5000 a metre), `rgb.txt`, `depth.txt`, `associations.txt`, `groundtruth.txt`
with `time tx ty tz qx qy qz qw`: metres, the camera's place in the world, camera axes x right, y down, z forward.
Format: https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats (Sturm et al., IROS 2012,
doi:10.1109/IROS.2012.6385773).
"""

from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import numpy as np
from scipy.spatial.transform import Rotation

from assets.errors import InputError
from scenarios.export.files import numbers, text_file, write_bytes, write_image
from scenarios.export.source import Advance, Source

DEPTH_FACTOR = 5000
"""Stored depth of a metre."""
_HEADS = {
    "rgb.txt": "# timestamp filename",
    "depth.txt": "# timestamp filename",
    "associations.txt": "# timestamp rgb timestamp depth",
    "groundtruth.txt": "# timestamp tx ty tz qx qy qz qw",
}


def export(source: Source, out: Path, advance: Advance) -> list[str]:
    """Write a folder a sequence.

    Raises:
        InputError: The data set is damaged, two frames of a sequence have one time, or a depth is beyond 13 m.
        OSError: The folder cannot be written.
    """
    sequence, before, files = "", -np.inf, dict[str, TextIO]()
    with ExitStack() as stack:
        for view in source.views():
            folder = out / view.sequence
            if view.sequence != sequence:
                stack.close()
                files = {name: stack.enter_context(text_file(folder / name)) for name in _HEADS}
                for name, head in _HEADS.items():
                    files[name].write(f"{head}\n")
                sequence, before = view.sequence, -np.inf
            frame = view.frame
            if frame.time <= before:
                raise InputError(f"{view.sample.where}: expected a time after {before:.6f} s, found {frame.time:.6f} s")
            before = frame.time
            stored = np.rint(frame.depth.astype(np.float64) * DEPTH_FACTOR)
            if stored.max() > 65535:
                raise InputError(
                    f"{view.sample.where}: expected depths of at most {65535 / DEPTH_FACTOR:.1f} m, "
                    f"found {frame.depth.max():.1f} m"
                )
            stamp = f"{frame.time:.6f}"
            write_bytes(folder / "rgb" / f"{stamp}.png", view.colours_as_png())
            write_image(folder / "depth" / f"{stamp}.png", stored.astype(np.uint16))
            quaternion = Rotation.from_matrix(frame.T_world_camera[:3, :3]).as_quat()
            pose = numbers(np.concatenate([frame.T_world_camera[:3, 3], quaternion]))
            files["rgb.txt"].write(f"{stamp} rgb/{stamp}.png\n")
            files["depth.txt"].write(f"{stamp} depth/{stamp}.png\n")
            files["associations.txt"].write(f"{stamp} rgb/{stamp}.png {stamp} depth/{stamp}.png\n")
            files["groundtruth.txt"].write(f"{stamp} {pose}\n")
            advance()
    return [
        "lens: TUM has no file of it; cameras in export.json have the intrinsics and the distortion",
        "masks, normals, flow, splits",
        f"depth finer than {1000 / DEPTH_FACTOR} mm: the format has {DEPTH_FACTOR} steps a metre",
    ]

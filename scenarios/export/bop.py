"""BOP: a scene a sequence, with depth, masks of each object, and the poses of camera and objects in millimetres.

`SPLIT/SCENE/rgb/IMAGE.png` (.jpg where the shards have that), `depth/`, `mask_visib/IMAGE_OBJECT.png`,
`scene_camera.json`, `scene_gt.json`, `scene_gt_info.json`. Format:
https://github.com/thodan/bop_toolkit/blob/master/docs/bop_datasets_format.md (Hodan et al., ECCV 2018,
doi:10.1007/978-3-030-01249-6_2).
"""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from assets.transforms import inverse
from scenarios.export.files import csv_table, text_file, write_bytes, write_image
from scenarios.export.instances import instances
from scenarios.export.source import Advance, Source, View
from scenarios.runs import write_json

SPLITS = {"train": "train", "validation": "val", "test": "test"}
"""BOP's names of our splits."""
_TABLES = ("scene_camera", "scene_gt", "scene_gt_info")


def export(source: Source, out: Path, advance: Advance) -> list[str]:
    """Write a scene a sequence; scenes.csv says which is which, labels.json what an obj_id stands for.

    Raises:
        InputError: The data set is damaged.
        OSError: The folder cannot be written.
    """
    sequence, scene, folder, distorted, rounded = "", -1, out, False, False
    tables: dict[str, TextIO] = {}
    with csv_table(out / "scenes.csv", ["scene", "split", "sequence", "patient"]) as scenes, ExitStack() as stack:
        for view in source.views():
            if view.sequence != sequence:
                _close(tables)
                stack.close()
                sequence, scene = view.sequence, scene + 1
                split = SPLITS.get(view.split, view.split)
                folder = out / split / f"{scene:06d}"
                tables = {name: stack.enter_context(text_file(folder / f"{name}.json")) for name in _TABLES}
                scenes.writerow([f"{scene:06d}", split, view.sequence, view.patient])
            _write(view, folder, tables)
            distorted |= view.frame.camera.model != "pinhole"
            rounded |= view.sample.stored("depth")[0] != "depth.png"
            advance()
        _close(tables)
    write_json(out / "labels.json", {str(label): name for label, name in source.label_names().items()})
    left_out = [
        "models of the objects, and so their whole silhouettes: the shards hold no meshes; obj_id is the label",
        "normals, flow, times",
    ]
    if rounded:
        left_out.append("exact depth: it is stored in steps of depth_scale")
    if distorted:
        left_out.insert(0, "the lens's distortion: cam_K is its focal length and centre; see cameras in export.json")
    return left_out


def _write(view: View, folder: Path, tables: dict[str, TextIO]) -> None:
    frame, image = view.frame, f"{view.number:06d}"
    suffix, colours = view.colours()
    write_bytes(folder / "rgb" / f"{image}{suffix}", colours)
    depth_step = _write_depth(folder / "depth" / f"{image}.png", view)
    T_camera_world = inverse(frame.T_world_camera)
    rotation, shift_mm = T_camera_world[:3, :3].ravel().tolist(), (T_camera_world[:3, 3] * 1000).tolist()
    camera = frame.camera
    truth, info = [], []
    for place, one in enumerate(instances(view)):
        write_image(folder / "mask_visib" / f"{image}_{place:06d}.png", one.mask.astype(np.uint8) * 255)
        # Objects do not move, and their model's axes are the patient's: model to camera is world to camera.
        truth.append({"obj_id": one.label, "cam_R_m2c": rotation, "cam_t_m2c": shift_mm, "instance": one.number})
        valid = int(np.count_nonzero(frame.depth[one.mask]))
        info.append({"bbox_visib": list(one.box), "px_count_visib": one.area, "px_count_valid": valid})
    intrinsics = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    poses = {"cam_R_w2c": rotation, "cam_t_w2c": shift_mm}
    _add(tables["scene_camera"], view.number, {"cam_K": intrinsics, "depth_scale": depth_step * 1000, **poses})
    _add(tables["scene_gt"], view.number, truth)
    _add(tables["scene_gt_info"], view.number, info)


def _write_depth(path: Path, view: View) -> float:
    """Write depth in steps of 16 bit; return the step [m], which is coarser where exact depth reaches farther."""
    name, data = view.sample.stored("depth")
    step = float(view.meta["depth_step"])
    if name == "depth.png":
        write_bytes(path, data)
        return step
    depth = view.frame.depth.astype(np.float64)
    step = max(step, float(depth.max()) / 65535)
    write_image(path, np.maximum(np.rint(depth / step), depth > 0).astype(np.uint16))
    return step


def _add(stream: TextIO, number: int, record: Any) -> None:
    stream.write(f'{"," if number else "{"}\n"{number}": {json.dumps(record, allow_nan=False)}')


def _close(tables: dict[str, TextIO]) -> None:
    for stream in tables.values():
        stream.write("\n}\n")

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from assets.errors import InputError
from scenarios.export.command import ExportOptions, export
from sim.shards import encode, write_shard

spec = importlib.util.spec_from_file_location("export_readers", Path(__file__).with_name("readers.py"))
readers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(readers)


def test_tum_gives_path_and_depth_back(pinhole_set: Path, tmp_path: Path) -> None:
    export(ExportOptions(pinhole_set, "tum", tmp_path / "out"))
    seen = 0
    for view in readers.views(pinhole_set):
        folder = tmp_path / "out" / view.sequence
        truth = {line[0]: np.array(line[1:], float) for line in readers.table(folder / "groundtruth.txt")}
        line = readers.table(folder / "associations.txt")[view.number]
        assert line[0] == line[2]
        assert float(line[0]) == pytest.approx(view.frame.time, abs=1e-6)
        assert [line[0], line[1]] in readers.table(folder / "rgb.txt")
        assert [line[2], line[3]] in readers.table(folder / "depth.txt")
        assert (readers.image(folder / line[1]) == view.frame.rgb).all()
        stored = readers.image(folder / line[3])
        assert stored.dtype == np.uint16
        assert np.abs(stored / 5000 - view.frame.depth).max() <= 0.5 / 5000 + 1e-7
        pose = truth[line[0]]
        assert np.abs(pose[:3] - view.frame.T_world_camera[:3, 3]).max() < 1e-9
        rotation = Rotation.from_quat(pose[3:]).as_matrix()
        assert np.abs(rotation - view.frame.T_world_camera[:3, :3]).max() < 1e-9
        seen += 1
    assert seen == 16
    assert len(list((tmp_path / "out").glob("*/groundtruth.txt"))) == 4


def test_tum_refuses_times_that_do_not_grow(make_scene, tmp_path: Path) -> None:
    folder = make_scene(tmp_path / "data", frames=2)
    same = [
        encode(view.frame, {"patient": "ann"}, key=f"ann-00-{view.position:05d}")
        for view in readers.views(folder)
        if view.sequence == "ann-00" and view.number == 0
    ]
    again = [encode(same[0].frame(), {"patient": "ann"}, key=f"ann-{i}") for i in range(4)]
    write_shard(folder / "ann.tar", again)
    with pytest.raises(InputError, match=r"ann\.tar: ann-1: expected a time after 0\.000000 s"):
        export(ExportOptions(folder, "tum", tmp_path / "out"))


def test_bop_gives_masks_depth_poses_and_intrinsics_back(pinhole_set: Path, tmp_path: Path) -> None:
    left_out = export(ExportOptions(pinhole_set, "bop", tmp_path / "out"))
    assert not any("distortion" in line for line in left_out)
    scenes = [line.split(",") for line in (tmp_path / "out" / "scenes.csv").read_text().splitlines()[1:]]
    folders = {line[2]: tmp_path / "out" / line[1] / line[0] for line in scenes}
    names = json.loads((tmp_path / "out" / "labels.json").read_text())
    for view in readers.views(pinhole_set):
        folder, number, frame = folders[view.sequence], str(view.number), view.frame
        tables = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
        camera = tables["scene_camera"][number]
        assert camera["cam_K"] == [frame.camera.fx, 0, frame.camera.cx, 0, frame.camera.fy, frame.camera.cy, 0, 0, 1]
        T_camera_world = np.eye(4)
        T_camera_world[:3, :3] = np.reshape(camera["cam_R_w2c"], (3, 3))
        T_camera_world[:3, 3] = np.array(camera["cam_t_w2c"]) / 1000
        assert np.abs(np.linalg.inv(T_camera_world) - frame.T_world_camera).max() < 1e-9
        stem = f"{view.number:06d}"
        depth_mm = readers.image(folder / "depth" / f"{stem}.png") * camera["depth_scale"]
        assert np.abs(depth_mm / 1000 - frame.depth).max() < 1e-8
        assert (readers.image(folder / "rgb" / f"{stem}.png") == frame.rgb).all()
        instance, semantic = np.zeros_like(frame.instance), np.zeros_like(frame.semantic)
        truth, info = tables["scene_gt"][number], tables["scene_gt_info"][number]
        for place, (one, about) in enumerate(zip(truth, info, strict=True)):
            mask = readers.image(folder / "mask_visib" / f"{stem}_{place:06d}.png") == 255
            instance[mask], semantic[mask] = one["instance"], one["obj_id"]
            assert about["px_count_visib"] == mask.sum() == about["px_count_valid"]
            assert names[str(one["obj_id"])] in ("colon_wall", "polyp")
            # the models' axes are the world's: a point of a ball, through K, falls on its mask
            assert one["cam_R_m2c"] == camera["cam_R_w2c"]
            assert one["cam_t_m2c"] == camera["cam_t_w2c"]
        assert (instance == frame.instance).all()
        assert (semantic == frame.semantic).all()


def test_bop_projects_a_ball_s_centre_onto_its_mask(pinhole_set: Path, tmp_path: Path) -> None:
    export(ExportOptions(pinhole_set, "bop", tmp_path / "out"))
    folder = tmp_path / "out" / "train" / "000000"
    camera = json.loads((folder / "scene_camera.json").read_text())["0"]
    truth = json.loads((folder / "scene_gt.json").read_text())["0"]
    place = next(index for index, one in enumerate(truth) if one["instance"] == 2)
    centre_mm = np.array([15.0, 4.0, 45.0])  # of the first ball
    point = np.reshape(truth[place]["cam_R_m2c"], (3, 3)) @ centre_mm + truth[place]["cam_t_m2c"]
    u, v, _ = np.reshape(camera["cam_K"], (3, 3)) @ point / point[2]
    assert readers.image(folder / "mask_visib" / f"000000_{place:06d}.png")[round(v), round(u)] == 255


def test_a_format_without_distortion_says_so(fisheye_set: Path, tmp_path: Path) -> None:
    assert any("distortion" in line for line in export(ExportOptions(fisheye_set, "bop", tmp_path / "out")))
    note = json.loads((tmp_path / "out" / "export.json").read_text())
    assert note["cameras"][0]["distortion"] == [-0.02, 0.004, 0.0, 0.0]
    assert note["cameras"][0]["frames"] == 16

"""Data sets with several looks, a right eye, colours as JPEG and exact channels: every reader and every export."""

import importlib.util
import json
import tarfile
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from perception.random_access import FrameDataset
from perception.streaming import FrameStream
from perception.targets import sample_targets
from scenarios.dataset_check import CheckOptions, check
from scenarios.dataset_import.command import ImportOptions, import_dataset
from scenarios.export.command import ExportOptions, export
from scenarios.export.reprojection import with_static_flow
from sim.dataset_index import read_dataset
from sim.shards import read_shard

spec = importlib.util.spec_from_file_location("export_readers", Path(__file__).with_name("readers.py"))
readers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(readers)

SEQUENCES = [f"ann-{episode:02d}{kind}" for kind in ("", "-l01", "-l01-right", "-right") for episode in (0, 1)]
COUNT, MOMENTS = 24, 3


def exported(folder: Path, format_: str, out: Path) -> list[str]:
    return export(ExportOptions(folder, format_, out))


def quaternion(T: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(T[:3, :3]).as_quat()


def same_pose(row: list[float], T: np.ndarray) -> None:
    np.testing.assert_allclose(row[:3], T[:3, 3], atol=1e-6)
    assert abs(np.dot(row[3:], quaternion(T))) == pytest.approx(1, abs=1e-6)


def test_each_look_of_each_eye_is_a_sequence_of_its_own(views_set: Path) -> None:
    views = readers.views(views_set)
    assert len(views) == COUNT
    assert [view.sequence for view in views] == [name for name in SEQUENCES for _ in range(MOMENTS)]
    assert [view.number for view in views] == list(range(MOMENTS)) * len(SEQUENCES)
    assert [view.position for view in views] == list(range(COUNT))
    for view in views:
        assert (view.meta["view"] == "right") == view.sequence.endswith("-right")
        assert (view.meta["look"] == 1) == ("-l01" in view.sequence)


def test_our_readers_give_what_was_stored(views_set: Path) -> None:
    frames = {view.key: view.frame for view in readers.views(views_set)}
    data = FrameDataset(views_set, ["train"], lambda sample: sample)
    stream = FrameStream(views_set, ["train"], lambda sample: sample, seed=3)
    for samples in ([data[number] for number in range(len(data))], list(stream)):
        assert sorted(sample.key for sample in samples) == sorted(frames)
        for sample in samples:
            assert {"rgb.jpg", "depth.npy", "normal.npy"} <= set(sample.members)
            np.testing.assert_array_equal(sample.channel("depth"), frames[sample.key].depth)
            targets = sample_targets(sample)
            np.testing.assert_array_equal(targets.rgb, frames[sample.key].rgb)
            assert targets.depth.dtype == np.float32
    check(CheckOptions(views_set))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_decodes_them(views_set: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    frames = {view.key: view.frame for view in readers.views(views_set)}
    found = 0
    for sample in webdataset.WebDataset(str(views_set / "ann.tar"), shardshuffle=False).decode("rgb8"):
        frame = frames[sample["__key__"]]
        np.testing.assert_array_equal(sample["depth.npy"], frame.depth)
        np.testing.assert_array_equal(sample["normal.npy"], frame.normal)
        assert np.abs(sample["rgb.jpg"].astype(int) - frame.rgb).max() <= 2
        if "flow.npy" in sample:
            np.testing.assert_array_equal(sample["flow.npy"][..., :2], frame.flow)
            np.testing.assert_array_equal(sample["flow.npy"][..., 2] == 1, frame.flow_valid)
        found += 1
    assert found == COUNT


def test_tarfile_and_the_conventions_are_enough(views_set: Path) -> None:
    about = json.loads((views_set / "dataset.json").read_text())
    assert "32 bit floats, exact" in about["conventions"]["depth.npy"]
    assert "JPEG" in about["conventions"]["rgb.jpg"]
    frames = {view.key: view.frame for view in readers.views(views_set)}
    with tarfile.open(views_set / "ann.tar") as tar:
        for key, frame in frames.items():
            exact = np.load(BytesIO(tar.extractfile(f"{key}.depth.npy").read()), allow_pickle=False)
            np.testing.assert_array_equal(exact, frame.depth)


def test_folders_hold_all_of_it(views_set: Path, tmp_path: Path) -> None:
    exported(views_set, "folders", tmp_path / "out")
    for sample in read_shard(views_set / "ann.tar"):
        for name, folder in (("rgb.jpg", "rgb"), ("depth.npy", "depth"), ("instance.png", "masks/instance")):
            path = tmp_path / "out" / folder / f"{sample.key}.{name.partition('.')[2]}"
            assert path.read_bytes() == sample.members[name]
    assert len(readers.table(tmp_path / "out" / "frames.csv")) == 1 + COUNT


def test_coco_names_the_pictures_and_says_which_belong_together(views_set: Path, tmp_path: Path) -> None:
    exported(views_set, "coco", tmp_path / "out")
    coco = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text())
    frames = {view.key: view for view in readers.views(views_set)}
    areas: dict[int, int] = {}
    for one in coco["annotations"]:
        areas[one["image_id"]] = areas.get(one["image_id"], 0) + one["area"]
    assert len(coco["images"]) == COUNT
    for one in coco["images"]:
        path = tmp_path / "out" / "images" / one["file_name"]
        view = frames[path.stem]
        assert path.read_bytes() == view.sample.members["rgb.jpg"]
        assert areas[one["id"]] == np.count_nonzero(view.frame.semantic)
        assert [one[name] for name in ("geometry", "look", "view")] == [
            view.meta[name] for name in ("geometry", "look", "view")
        ]


def test_yolo_has_a_picture_and_its_outlines_for_each(views_set: Path, tmp_path: Path) -> None:
    exported(views_set, "yolo", tmp_path / "out")
    for view in readers.views(views_set):
        path = tmp_path / "out" / "images" / "train" / f"{view.key}.jpg"
        assert path.read_bytes() == view.sample.members["rgb.jpg"]
        mask = np.zeros(view.frame.semantic.shape, np.uint8)
        for _, *ring in readers.table(tmp_path / "out" / "labels" / "train" / f"{view.key}.txt"):
            points = np.array(ring, float).reshape(-1, 2) * (view.camera.width, view.camera.height)
            cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
        assert (mask[view.frame.semantic > 0] == 1).all()


def test_tum_has_a_path_for_each_eye(views_set: Path, tmp_path: Path) -> None:
    exported(views_set, "tum", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == sorted(SEQUENCES)
    for view in readers.views(views_set):
        folder = tmp_path / "out" / view.sequence
        stamp, *row = readers.table(folder / "groundtruth.txt")[view.number]
        same_pose([float(one) for one in row], view.frame.T_world_camera)
        np.testing.assert_array_equal(readers.image(folder / "rgb" / f"{stamp}.png"), view.frame.rgb)
        depth = readers.image(folder / "depth" / f"{stamp}.png") / 5000
        assert np.abs(depth - view.frame.depth).max() <= 1.01e-4


def test_bop_has_a_scene_for_each_and_steps_of_depth_for_exact_ones(views_set: Path, tmp_path: Path) -> None:
    left_out = exported(views_set, "bop", tmp_path / "out")
    assert "exact depth: it is stored in steps of depth_scale" in left_out
    scenes = [line.split(",") for line in (tmp_path / "out" / "scenes.csv").read_text().splitlines()[1:]]
    assert [line[2] for line in scenes] == SEQUENCES
    folders = {line[2]: tmp_path / "out" / line[1] / line[0] for line in scenes}
    for view in readers.views(views_set):
        folder = folders[view.sequence]
        camera = json.loads((folder / "scene_camera.json").read_text())[str(view.number)]
        depth = readers.image(folder / "depth" / f"{view.number:06d}.png") * camera["depth_scale"] / 1000
        assert np.abs(depth - view.frame.depth).max() <= 0.51e-5
        T = np.eye(4)
        T[:3, :3] = np.reshape(camera["cam_R_w2c"], (3, 3))
        T[:3, 3] = np.array(camera["cam_t_w2c"]) / 1000
        np.testing.assert_allclose(np.linalg.inv(T), view.frame.T_world_camera, atol=1e-9)
        assert (folder / "rgb" / f"{view.number:06d}.jpg").read_bytes() == view.sample.members["rgb.jpg"]


@pytest.mark.parametrize("format_", ["simcol3d", "c3vd"])
def test_layouts_of_public_sets_come_back_sequence_by_sequence(views_set: Path, tmp_path: Path, format_: str) -> None:
    exported(views_set, format_, tmp_path / "out")
    import_dataset(ImportOptions(tmp_path / "out", format_, tmp_path / "back"))
    expected: dict[str, list] = {}
    for view in readers.views(views_set):
        expected.setdefault(view.sequence, []).append(view.frame)
    back: dict[str, list] = {}
    for view in readers.views(tmp_path / "back"):
        back.setdefault(view.shard, []).append(view.frame)
    matched = {
        next(name for name in sorted(expected, key=len, reverse=True) if key.endswith(name)): key for key in back
    }
    assert len(back) == len(matched) == len(expected)
    for name, key in matched.items():
        for found, frame in zip(back[key], expected[name], strict=True):
            np.testing.assert_allclose(found.T_world_camera, frame.T_world_camera, atol=1e-6)
            np.testing.assert_array_equal(found.rgb, frame.rgb)
            assert np.abs(found.depth - frame.depth).max() < 2e-6


def test_c3vd_s_flow_goes_to_the_frame_before_of_the_same_eye(views_set: Path, tmp_path: Path) -> None:
    exported(views_set, "c3vd", tmp_path / "out")
    before = None
    for view in readers.views(views_set):
        if view.number:
            stored = readers.image(tmp_path / "out" / view.sequence / f"{view.number:04d}_flow.tiff")
            truth = with_static_flow(view.frame, before)
            valid = truth.flow_valid & (np.abs(truth.flow) < 20).all(axis=-1)
            flow = stored[..., :2].astype(float) * (40 / 65535) - 20
            assert np.abs(flow - truth.flow)[valid].max() < 1e-3
            assert valid.mean() > 0.2
        before = view.frame


def test_lerobot_has_an_episode_for_each(views_set: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    exported(views_set, "lerobot", tmp_path / "out")
    rows = parquet.read_table(next((tmp_path / "out" / "data").rglob("*.parquet"))).to_pylist()
    views = readers.views(views_set)
    assert [row["episode_index"] for row in rows] == [SEQUENCES.index(view.sequence) for view in views]
    for row, view in zip(rows, views, strict=True):
        same_pose(row["observation.state"], view.frame.T_world_camera)
    assert len(list((tmp_path / "out" / "videos").rglob("*.mp4"))) == len(SEQUENCES)


def test_resampled_to_a_pinhole_exact_depth_stays_exact(views_set: Path, tmp_path: Path) -> None:
    export(ExportOptions(views_set, "folders", tmp_path / "out", pinhole=(40, 32, 60.0)))
    names = {path.suffix for path in (tmp_path / "out" / "depth").iterdir()}
    assert names == {".npy"}
    assert {path.suffix for path in (tmp_path / "out" / "rgb").iterdir()} == {".png"}
    assert read_dataset(views_set).shards["train"][0].count == len(list((tmp_path / "out" / "depth").iterdir()))

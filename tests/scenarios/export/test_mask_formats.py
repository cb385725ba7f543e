import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from assets.errors import InputError
from scenarios.export.command import ExportOptions, export
from sim.dataset_index import read_dataset, read_records, write_dataset
from sim.shards import Sample, read_shard, write_shard

spec = importlib.util.spec_from_file_location("export_readers", Path(__file__).with_name("readers.py"))
readers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(readers)

COCO = pytest.importorskip("pycocotools.coco").COCO
# https://github.com/ppwwyyxx/cocoapi: its arrays know nothing of numpy 2's copy keyword
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


@pytest.fixture(scope="module")
def coco_set(fisheye_set, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("coco") / "out"
    left_out = export(ExportOptions(fisheye_set, "coco", out))
    assert left_out == ["depth, normals, flow, poses and lens of each frame", "key points: the frames have none"]
    return out


@pytest.mark.parametrize("masks", ["instances", "polygons"])
def test_coco_gives_every_instance_back_in_pycocotools(masks: str, coco_set: Path, fisheye_set: Path, capsys) -> None:
    frames = {view.key: view.frame for view in readers.views(fisheye_set)}
    seen = 0
    for split in ("train", "validation"):
        coco = COCO(str(coco_set / "annotations" / f"{masks}_{split}.json"))
        assert {one["name"] for one in coco.loadCats(coco.getCatIds())} == {"colon_wall", "polyp"}
        for stored in coco.loadImgs(coco.getImgIds()):
            frame = frames[Path(stored["file_name"]).stem]
            assert (readers.image(coco_set / "images" / stored["file_name"]) == frame.rgb).all()
            assert (stored["height"], stored["width"]) == frame.semantic.shape
            instance, semantic = np.zeros_like(frame.instance), np.zeros_like(frame.semantic)
            for one in coco.loadAnns(coco.getAnnIds(imgIds=stored["id"])):
                mask = coco.annToMask(one).astype(bool)
                assert one["area"] == mask.sum() == int(one["area"])
                columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
                corner = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
                assert one["bbox"] == corner
                assert not instance[mask].any()
                instance[mask], semantic[mask] = one["instance"], one["category_id"]
            assert (instance == frame.instance).all()
            assert (semantic == frame.semantic).all()
            seen += 1
    assert seen == len(frames) == 16


def test_coco_annotations_have_ids_of_their_own(coco_set: Path) -> None:
    stored = json.loads((coco_set / "annotations" / "instances_train.json").read_text())
    ids = [one["id"] for one in stored["annotations"]]
    assert len(set(ids)) == len(ids) > 12
    assert not list(coco_set.rglob("*.part"))


def with_key_points(folder: Path, points: list[list[dict]]) -> Path:
    """Rewrite the first shard so that its frames have these key points."""
    index = read_dataset(folder)
    path = folder / index.shards["train"][0].name
    changed = []
    for sample, wanted in zip(read_shard(path), points + [[]] * 99, strict=False):
        meta = json.loads(sample.members["meta.json"]) | {"keypoints": wanted}
        changed.append(Sample(sample.key, {**sample.members, "meta.json": json.dumps(meta).encode()}))
    info = write_shard(path, changed)
    shards = {split: [info if one.name == info.name else one for one in infos] for split, infos in index.shards.items()}
    write_dataset(
        folder,
        list(read_records(folder)),
        labels=index.labels,
        depth_step=index.depth_step,
        splits=index.splits,
        shards=shards,
        config=index.config,
    )
    return folder


def test_coco_holds_key_points(make_scene, tmp_path: Path) -> None:
    tip = {"name": "tip", "instance": 2, "pixel": [10.5, 4.0], "visible": True}
    base = {"name": "base", "instance": 2, "pixel": [3.0, 2.0], "visible": False}
    folder = with_key_points(make_scene(tmp_path / "data"), [[tip, base], [tip]])
    left_out = export(ExportOptions(folder, "coco", tmp_path / "out"))
    assert not any("key points" in line for line in left_out)
    coco = COCO(str(tmp_path / "out" / "annotations" / "instances_train.json"))
    kinds = {one["name"]: one.get("keypoints") for one in coco.loadCats(coco.getCatIds())}
    assert kinds == {"colon_wall": None, "polyp": ["tip", "base"]}
    first, second = [one for one in coco.loadAnns(coco.getAnnIds(imgIds=[1, 2])) if one["instance"] == 2]
    assert first["keypoints"] == [10.5, 4.0, 2, 3.0, 2.0, 1]
    assert first["num_keypoints"] == 2
    assert second["keypoints"] == [10.5, 4.0, 2, 0, 0, 0]
    assert second["num_keypoints"] == 1


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([[{"name": "tip"}]], "expected keypoints with name"),
        (
            [[{"name": name, "instance": 2, "pixel": [0, 0], "visible": True}] for name in ("tip", "base")],
            "expected key points tip of polyp",
        ),
    ],
)
def test_key_points_of_another_form_are_refused(points: list, said: str, make_scene, tmp_path: Path) -> None:
    folder = with_key_points(make_scene(tmp_path / "data"), points)
    with pytest.raises(InputError, match=said):
        export(ExportOptions(folder, "coco", tmp_path / "out"))


def test_yolo_gives_the_classes_back(fisheye_set: Path, tmp_path: Path) -> None:
    left_out = export(ExportOptions(fisheye_set, "yolo", tmp_path / "out"))
    assert any("which pieces belong to one object" in line for line in left_out)
    config = (tmp_path / "out" / "data.yaml").read_text()
    assert '  0: "colon_wall"\n  1: "polyp"\n' in config
    assert "train: images/train\nval: images/val\n" in config
    ids = read_dataset(fisheye_set).labels
    labels = [ids["colon_wall"], ids["polyp"]]
    for view in readers.views(fisheye_set):
        split = {"train": "train", "validation": "val"}[view.split]
        assert (readers.image(tmp_path / "out" / "images" / split / f"{view.key}.png") == view.frame.rgb).all()
        height, width = view.frame.semantic.shape
        semantic = np.zeros((height, width), np.uint8)
        for line in readers.table(tmp_path / "out" / "labels" / split / f"{view.key}.txt"):
            assert len(line) >= 7  # a class and at least three points; five numbers would be a box
            points = np.array(line[1:], float).reshape(-1, 2)
            assert (points >= 0).all()
            assert (points < 1).all()
            # what YOLO's loaders do: to pixels, cut to whole numbers, filled
            outline = np.floor(points * (width, height) + 1e-4).astype(np.int32)
            cv2.fillPoly(semantic, [outline], labels[int(line[0])])
        assert (semantic == view.frame.semantic).all()


def test_yolo_without_a_validation_split_still_names_one(fisheye_set: Path, tmp_path: Path) -> None:
    export(ExportOptions(fisheye_set, "yolo", tmp_path / "out", ("train",)))
    assert "\nval: images/train" in (tmp_path / "out" / "data.yaml").read_text()


def test_folders_hold_everything(fisheye_set: Path, tmp_path: Path) -> None:
    import csv

    assert export(ExportOptions(fisheye_set, "folders", tmp_path / "out")) == []
    views = {view.key: view for view in readers.views(fisheye_set)}
    with (tmp_path / "out" / "frames.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["key"] for row in rows] == list(views)
    for row in rows:
        view = views[row["key"]]
        frame, name = view.frame, f"{view.key}.png"
        out = tmp_path / "out"
        assert (readers.image(out / "rgb" / name) == frame.rgb).all()
        assert (readers.image(out / "masks" / "semantic" / name) == frame.semantic).all()
        assert (readers.image(out / "masks" / "instance" / name) == frame.instance).all()
        depth = readers.image(out / "depth" / name).astype(np.float32) * np.float32(row["depth_step"])
        assert (depth == frame.depth).all()
        normal = readers.image(out / "normal" / name).astype(float) - 128
        there = frame.depth > 0
        length = np.linalg.norm(normal, axis=-1)
        assert np.allclose(normal[there] / length[there][:, None], frame.normal[there], atol=1e-6)
        flow = readers.image(out / "flow" / name)
        assert ((flow[..., 2] > 0) == frame.flow_valid).all()
        assert ((flow[..., :2] - 32768.0)[frame.flow_valid] / 64 == frame.flow[frame.flow_valid]).all()
        pose = np.array([[float(row[f"T_world_camera_{i}{j}"]) for j in range(4)] for i in range(4)])
        assert (pose == frame.T_world_camera).all()
        camera = replace(
            frame.camera,
            **{name: float(row[name]) for name in ("fx", "fy", "cx", "cy", "content_radius")},
            width=int(row["width"]),
            height=int(row["height"]),
            model=row["model"],
            distortion=tuple(map(float, row["distortion"].split())),
        )
        assert camera == frame.camera
        assert json.loads((out / "meta" / f"{view.key}.json").read_text()) == view.meta
        assert (row["split"], row["patient"], row["sequence"]) == (view.split, view.patient, view.sequence)


def test_masks_of_another_size_than_the_camera_are_refused(make_scene, tmp_path: Path) -> None:
    folder = make_scene(tmp_path / "data", frames=1)
    path = folder / "bob.tar"
    (sample,) = read_shard(path)
    smaller = cv2.imencode(".png", np.ones((8, 8), np.uint8))[1].tobytes()
    write_shard(path, [Sample(sample.key, {**sample.members, "semantic.png": smaller})])
    with pytest.raises(InputError, match=r"bob\.tar: .*expected masks of 40 x 32 px as the camera, found 8 x 8"):
        export(ExportOptions(folder, "yolo", tmp_path / "out"))

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assets.errors import InputError
from scenarios.dataset_check import CheckOptions, check, disagreements
from scenarios.figures import CheckFailedError
from sim.camera import Camera
from sim.dataset_index import write_dataset
from sim.frame import Frame
from sim.shards import encode, index_record, read_shard, write_shard

CAMERA = Camera.with_fov(8, 6, 90.0)


def make_frame(polyp_pixels: int = 6) -> Frame:
    """Make a wall 50 mm ahead with a polyp in the top left corner; the last row shows nothing."""
    semantic = np.ones((6, 8), np.uint8)
    semantic[5] = 0
    semantic.reshape(-1)[:polyp_pixels] = 2
    something = semantic > 0
    normal = np.zeros((6, 8, 3), np.float32)
    normal[something] = (0, 0, -1)
    return Frame(
        rgb=np.zeros((6, 8, 3), np.uint8),
        semantic=semantic,
        instance=semantic.astype(np.uint16),
        depth=np.where(something, 0.05, 0).astype(np.float32),
        normal=normal,
        flow=np.zeros((6, 8, 2), np.float32),
        flow_valid=np.zeros((6, 8), np.bool_),
        T_world_camera=np.eye(4),
        camera=CAMERA,
        time=0.0,
        exposure=1.0,
    )


def make_dataset(folder: Path, frame: Frame, *, test_patient: str = "b", listed: bool = True) -> Path:
    shards, records = {}, []
    for split, patient in (("train", "a"), ("test", test_patient)):
        path = folder / f"{split}.tar"
        info = write_shard(
            path, [encode(frame, {"patient": patient, "split": split}, key=f"{split}-{i}") for i in (0, 1)]
        )
        shards[split] = [info]
        records += [index_record(sample, path.name) for sample in read_shard(path)]
    write_dataset(
        folder,
        records if listed else records[:-1],
        labels={"colon_wall": 1, "polyp": 2},
        depth_step=1e-5,
        splits={"train": ["a"], "test": ["b"]},
        shards=shards,
        config={},
    )
    return folder


def faults_of(folder: Path) -> tuple[str, ...]:
    with pytest.raises(CheckFailedError) as caught:
        check(CheckOptions(folder))
    assert next(one for one in caught.value.figures if one.name == "dataset.faults").value == len(caught.value.faults)
    return caught.value.faults


def test_a_sound_data_set_is_counted(tmp_path: Path) -> None:
    figures = check(CheckOptions(make_dataset(tmp_path, make_frame())))
    found = {(one.name, one.subset): one.value for one in figures}
    assert found["dataset.frames", "train"] == 2
    assert found["dataset.patients", "test"] == 1
    assert found["dataset.share.polyp", "train"] == pytest.approx(6 / 48)
    assert found["dataset.share.background", "test"] == pytest.approx(8 / 48)
    assert found["dataset.share.colon_wall", "test"] == pytest.approx(34 / 48)
    assert found["dataset.faults", "all"] == 0


def test_no_data_set_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a data set"):
        check(CheckOptions(tmp_path))


def test_a_sample_of_another_split_s_patient_is_a_leak(tmp_path: Path) -> None:
    faults = faults_of(make_dataset(tmp_path, make_frame(), test_patient="a"))
    assert "test.tar: test-0: expected a patient of the split test, found a" in faults
    assert "samples: expected each patient in one split, found a in test and train" in faults


def test_a_leak_in_the_description_is_found(tmp_path: Path) -> None:
    make_dataset(tmp_path, make_frame())
    stored = json.loads((tmp_path / "dataset.json").read_text())
    stored["splits"]["train"].append("b")
    (tmp_path / "dataset.json").write_text(json.dumps(stored))
    assert faults_of(tmp_path) == ("dataset.json: expected each patient in one split, found b in test and train",)


def test_a_changed_shard_fails_its_checksum(tmp_path: Path) -> None:
    make_dataset(tmp_path, make_frame())
    write_shard(
        tmp_path / "test.tar",
        [encode(make_frame(4), {"patient": "b"}, key=f"test-{i}") for i in (0, 1)],
    )
    assert faults_of(tmp_path) == (
        "test.tar: expected the checksum of dataset.json, found another: the file was changed",
    )


def test_missing_and_damaged_shards_are_named(tmp_path: Path) -> None:
    make_dataset(tmp_path, make_frame())
    (tmp_path / "train.tar").unlink()
    data = (tmp_path / "test.tar").read_bytes()
    (tmp_path / "test.tar").write_bytes(data[:1500])
    faults = faults_of(tmp_path)
    assert "train.tar: expected a shard, found no such file" in faults
    assert "test.tar: test-0: expected a member meta.json, found depth.png" in faults
    assert "test.tar: expected 2 samples, found 1" in faults
    assert "index.jsonl: expected only samples that are there, found train-0" in faults


def test_samples_that_the_index_misses_are_named(tmp_path: Path) -> None:
    assert faults_of(make_dataset(tmp_path, make_frame(), listed=False)) == (
        "test.tar: test-1: expected a line in index.jsonl, found none for this shard",
    )


def test_channels_that_disagree_are_found() -> None:
    frame = make_frame()
    assert list(disagreements(frame)) == []
    frame.depth[2, 3] = 0
    assert list(disagreements(frame)) == [
        "depth and semantic disagree on what is nothing at 1 px, first at row 2, column 3"
    ]
    assert list(disagreements(replace(make_frame(), normal=-make_frame().normal))) == [
        "40 normals face away from the camera"
    ]
    mixed = make_frame()
    mixed.instance[0, 0] = 1
    assert list(disagreements(mixed)) == ["instance 1 has 2 labels: 1, 2"]

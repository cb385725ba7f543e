import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from assets.errors import InputError
from assets.labels import label_id
from scenarios.dataset_check import CheckOptions, check
from scenarios.figures import CheckFailedError
from scenarios.near_duplicates import Prints
from scenarios.shard_check import disagreements
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


@pytest.mark.slow
def test_two_workers_find_what_one_finds_in_the_same_order(tmp_path):
    folder = make_dataset(tmp_path, make_frame(), test_patient="a", listed=False)
    (folder / "test.tar").write_bytes((folder / "test.tar").read_bytes()[:-2000])
    said = []
    for workers in (1, 2):
        with pytest.raises(CheckFailedError) as failed:
            check(CheckOptions(folder, contact_sheet=tmp_path / f"{workers}.jpg", workers=workers))
        said.append((failed.value.faults, failed.value.figures))
    assert len(said[0][0]) > 3
    assert said[0] == said[1]
    assert (tmp_path / "1.jpg").read_bytes() == (tmp_path / "2.jpg").read_bytes()


def test_a_film_of_blood_has_no_instance_and_other_things_must_have_one():
    frame = make_frame()
    film = frame.semantic == 2
    bloody = replace(
        frame,
        semantic=np.where(film, label_id("blood"), frame.semantic).astype(np.uint8),
        instance=np.where(film, 0, frame.instance).astype(np.uint16),
    )
    assert not list(disagreements(bloody))
    assert list(disagreements(replace(bloody, semantic=frame.semantic)))


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


def test_flow_that_leaves_the_picture_or_begins_at_nothing_is_found() -> None:
    frame = make_frame()
    frame.flow_valid[1, 2] = True
    frame.flow[1, 2] = (5.0, 3.0)  # to (7, 4): the last column
    assert list(disagreements(frame)) == []
    frame.flow[1, 2] = (7.0, 0.0)
    assert list(disagreements(frame)) == ["flow is out of range at 1 px, first at row 1, column 2"]
    frame.flow_valid[1, 2], frame.flow_valid[5, 0] = False, True
    assert list(disagreements(frame)) == ["flow begins at nothing at 1 px, first at row 5, column 0"]


def textured(seed: int, *, depth: float = 0.05, noise: float = 0.0) -> Frame:
    """Make a frame of a smooth random picture and a random relief."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(20, 235, (9, 9, 3)).astype(np.float32)
    relief = rng.uniform(0.6, 1.4, (9, 9)).astype(np.float32)
    rgb = cv2.resize(small, (64, 64)) + np.random.default_rng(99).normal(0, noise, (64, 64, 3))
    everywhere = np.ones((64, 64), np.uint8)
    return replace(
        make_frame(),
        rgb=np.clip(rgb, 0, 255).astype(np.uint8),
        semantic=everywhere,
        instance=everywhere.astype(np.uint16),
        depth=depth * cv2.resize(relief, (64, 64)),
        normal=np.broadcast_to(np.array([0, 0, -1], np.float32), (64, 64, 3)),
        flow=np.zeros((64, 64, 2), np.float32),
        flow_valid=np.zeros((64, 64), np.bool_),
        camera=Camera.with_fov(64, 64, 60.0),
    )


def pairs(*frames: tuple[str, Frame]) -> list[tuple[str, str]]:
    prints = Prints()
    for number, (split, frame) in enumerate(frames):
        prints.add(split, f"{split}-{number}", frame)
    return list(prints.pairs())


def test_a_frame_that_shows_the_same_in_another_split_is_found_and_both_are_named() -> None:
    others = [("train", textured(seed)) for seed in range(2, 40)] + [("test", textured(seed)) for seed in range(40, 80)]
    assert pairs(*others) == []
    again = textured(1, noise=2.0)
    assert pairs(("train", textured(1)), *others, ("test", again)) == [("test-79", "train-0")]
    assert pairs(("train", textured(1)), ("train", again)) == []  # within a split it is no leak
    assert pairs(("train", textured(1)), ("test", textured(1, depth=0.06))) == []  # the same colours, elsewhere


def test_black_frames_are_no_duplicates() -> None:
    black = replace(textured(1), rgb=np.zeros((64, 64, 3), np.uint8))
    assert pairs(("train", black), ("test", black)) == []


def test_hashes_two_bits_apart_are_compared_whichever_bits_they_are() -> None:
    rng = np.random.default_rng(0)
    depth = np.full(64, 0.05, np.float32)
    for first, second in rng.integers(64, size=(200, 2)):
        prints = Prints(["a", "b"], ["a-0", "b-0"], [0, (1 << int(first)) | (1 << int(second))], [depth, depth])
        assert list(prints.pairs()) == [("b-0", "a-0")]
    three = Prints(["a", "b"], ["a-0", "b-0"], [0, 0b111], [depth, depth])
    assert list(three.pairs()) == []


def test_a_near_duplicate_across_splits_fails_the_check(tmp_path: Path) -> None:
    faults = faults_of(make_dataset(tmp_path, textured(1)))
    assert faults == (
        "train.tar: train-0: expected no frame of another split that shows the same, found test.tar: test-0",
        "train.tar: train-1: expected no frame of another split that shows the same, found test.tar: test-0",
    )


def test_the_contact_sheet_shows_frames_above_their_labels(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "data", make_frame())
    check(CheckOptions(folder, contact_sheet=tmp_path / "sheet.jpg"))
    sheet = cv2.imread(str(tmp_path / "sheet.jpg"))
    assert sheet.shape == (192, 10 * 132 - 4, 3)  # 4 frames of 128 x 96 px and their labels
    assert sheet[40, 64].max() < 10  # the picture is black
    assert sheet[150, 64].max() > 50  # its labels are not


def test_a_table_that_differs_from_the_index_is_named(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra export is not installed")
    folder = make_dataset(tmp_path, make_frame())
    table = pq.read_table(folder / "index.parquet")
    assert table.column("pixels_polyp").to_pylist() == [6] * 4
    assert table.column("split").to_pylist() == ["train", "train", "test", "test"]
    pq.write_table(table.slice(0, 3), folder / "index.parquet")
    assert faults_of(folder) == ("index.parquet: row 3: expected what index.jsonl says of test-1, found other",)
    (folder / "index.parquet").write_bytes(b"PAR1")
    assert faults_of(folder)[0].startswith("index.parquet: expected a Parquet file, found ")

import json
from pathlib import Path

import pytest

from assets.errors import InputError
from sim.dataset_index import leaks, read_dataset, read_records, write_dataset
from sim.shards import ShardInfo, file_sha256

SHARDS = {"train": [ShardInfo("train-000000.tar", "ab", 2, 10240)], "test": []}


def write(folder: Path, **changed: object) -> None:
    options = {
        "labels": {"colon_wall": 3},
        "depth_step": 2e-5,
        "splits": {"train": ["synth:colon:0"], "test": ["synth:colon:1"]},
        "shards": SHARDS,
        "config": {"frames": 2},
    }
    write_dataset(folder, [{"key": "a", "step": 1}, {"key": "b", "step": 2}], **{**options, **changed})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write(tmp_path)
    index = read_dataset(tmp_path)
    assert index.paths(tmp_path, "train") == [tmp_path / "train-000000.tar"]
    assert index.shards["train"] == tuple(SHARDS["train"])
    assert (index.labels, index.depth_step, index.config) == ({"colon_wall": 3}, 2e-5, {"frames": 2})
    assert index.splits == {"train": ("synth:colon:0",), "test": ("synth:colon:1",)}
    assert index.index_sha256 == file_sha256(tmp_path / "index.jsonl")
    assert [record["key"] for record in read_records(tmp_path)] == ["a", "b"]
    with pytest.raises(InputError, match="expected a split of test, train, found 'val'"):
        index.paths(tmp_path, "val")


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert set(names) >= {"dataset.json", "index.jsonl"}
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_without_pyarrow_there_is_no_table_not_even_an_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.parquet").write_bytes(b"of before")
    monkeypatch.setattr("sim.index_table.find_spec", lambda name: None)
    write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset.json", "index.jsonl"]


def test_a_patient_in_two_splits_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    assert leaks({"a": ["x", "y"], "b": ["y", "y"], "c": ["z"]}) == {"y": ["a", "b"]}
    with pytest.raises(InputError, match="found y in test and train"):
        write(tmp_path, splits={"train": ["x", "y"], "test": ["y"]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "expected version 1, found 2"),
        ({"labels": 3}, "expected the fields of a data set"),
        ({"shards": {"train": [{"name": "../x.tar", "sha256": "", "count": 1, "bytes": 1}]}}, "no plain file name"),
    ],
)
def test_a_damaged_description_is_named(tmp_path: Path, change: dict, message: str) -> None:
    write(tmp_path)
    stored = json.loads((tmp_path / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps({**stored, **change}))
    with pytest.raises(InputError, match=message):
        read_dataset(tmp_path)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dataset\.json: expected a data set"):
        read_dataset(tmp_path)
    with pytest.raises(InputError, match="found none"):
        list(read_records(tmp_path))
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="expected JSON"):
        read_dataset(tmp_path)
    (tmp_path / "index.jsonl").write_text('{"a":1}\n{\n')
    with pytest.raises(InputError, match="line 2"):
        list(read_records(tmp_path))

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from assets.errors import InputError
from perception.random_access import FrameDataset
from perception.streaming import FrameStream, Position
from perception.targets import sample_targets
from sim.dataset_index import read_dataset
from sim.shards import Sample, read_shard


def key_of(sample: Sample) -> str:
    return sample.key


def keys_of(folder: Path, split: str) -> list[str]:
    return [sample.key for path in read_dataset(folder).paths(folder, split) for sample in read_shard(path)]


@pytest.fixture(scope="module")
def many(make_tubes, tmp_path_factory) -> Path:
    """Give seven small shards to train on."""
    return make_tubes(tmp_path_factory.mktemp("many"), {"train": [5, 3, 4, 6, 5, 4, 3], "validation": [2]}, 16)


def test_any_frame_is_read_by_its_number(tubes: Path) -> None:
    data = FrameDataset(tubes, ["train", "validation"], lambda sample: sample)
    expected = [
        sample
        for split in ("train", "validation")
        for path in read_dataset(tubes).paths(tubes, split)
        for sample in read_shard(path)
    ]
    assert len(data) == len(expected) == 64
    for number in (63, 0, 17, 17, 40, -1):
        assert data[number] == expected[number]
    with pytest.raises(IndexError):
        data[64]


def test_a_loader_of_two_workers_gives_targets_in_order(tubes: Path) -> None:
    data = FrameDataset(tubes, ["validation"], sample_targets)
    loader = DataLoader(data, batch_size=4, num_workers=2, collate_fn=list)
    found = [targets for batch in loader for targets in batch]
    assert [targets.patient for targets in found] == ["tube2"] * 8 + ["tube3"] * 8
    assert all((a.depth == b.depth).all() for a, b in zip(found, data, strict=False))


def test_a_shard_that_is_not_as_described_is_refused(make_tubes, tmp_path: Path) -> None:
    folder = make_tubes(tmp_path, {"train": [3, 3]}, 16)
    whole = (folder / "tube0.tar").read_bytes()
    (folder / "tube0.tar").write_bytes((folder / "tube1.tar").read_bytes()[: len(whole) // 3])
    for read in (lambda: FrameDataset(folder, ["train"], key_of), lambda: list(FrameStream(folder, ["train"], key_of))):
        with pytest.raises(InputError, match=r"tube0\.tar"):
            read()
    (folder / "tube0.tar").unlink()
    with pytest.raises(InputError, match=r"tube0\.tar: expected a shard, found no such file"):
        FrameDataset(folder, ["train"], key_of)


def test_an_epoch_gives_every_frame_once_and_the_next_another_order(many: Path) -> None:
    stream = FrameStream(many, ["train"], key_of, seed=3, buffer=8)
    first, again = list(stream), list(stream)
    assert first == again
    assert sorted(first) == sorted(keys_of(many, "train"))
    stream.position = Position(epoch=1)
    second = list(stream)
    assert sorted(second) == sorted(first)
    assert second != first
    assert list(FrameStream(many, ["train"], key_of, seed=4, buffer=8)) != first
    assert first != keys_of(many, "train")


@pytest.mark.parametrize(("ranks", "workers"), [(1, 2), (2, 0), (2, 2), (3, 1)])
def test_ranks_and_workers_divide_the_frames(ranks: int, workers: int, many: Path) -> None:
    found = []
    for rank in range(ranks):
        stream = FrameStream(many, ["train"], key_of, rank=rank, ranks=ranks, buffer=4)
        found += list(DataLoader(stream, batch_size=None, num_workers=workers))
    assert sorted(found) == sorted(keys_of(many, "train"))


@pytest.mark.parametrize(("workers", "taken"), [(0, 1), (0, 29), (2, 2), (2, 14), (2, 28), (3, 15), (3, 29), (3, 30)])
@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker:UserWarning")  # on fewer cores
def test_a_stream_goes_on_exactly_where_it_was_left(taken: int, workers: int, many: Path) -> None:
    def stream() -> FrameStream[str]:
        return FrameStream(many, ["train"], key_of, seed=1, buffer=5, start=Position(epoch=2))

    unbroken = list(DataLoader(stream(), batch_size=None, num_workers=workers))
    left = stream()
    loader = iter(DataLoader(left, batch_size=None, num_workers=workers))
    first = [next(loader) for _ in range(taken)]
    del loader
    state = left.state(taken, workers)
    resumed = stream()
    resumed.resume(state)
    rest = list(DataLoader(resumed, batch_size=None, num_workers=workers))
    assert first + rest == unbroken
    assert sum(state["taken"]) == taken


def test_frames_that_were_taken_are_not_decoded_again(many: Path) -> None:
    decoded = []
    stream = FrameStream(many, ["train"], lambda sample: decoded.append(sample.key), start=Position(0, (25,)))
    assert len(list(stream)) == len(decoded) == len(keys_of(many, "train")) - 25


def test_the_buffer_is_all_that_is_held(many: Path) -> None:
    assert list(FrameStream(many, ["validation"], key_of, buffer=1)) == keys_of(many, "validation")


def test_batches_of_tensors_come_from_a_stream(many: Path) -> None:
    def colours(sample: Sample) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(sample.channel("rgb")))

    batches = list(DataLoader(FrameStream(many, ["train"], colours), batch_size=10))
    assert [tuple(batch.shape) for batch in batches] == [(10, 16, 16, 3)] * 3


@pytest.mark.parametrize("wrong", [{"rank": 2, "ranks": 2}, {"rank": -1}, {"buffer": 0}])
def test_nonsense_is_refused(wrong: dict, many: Path) -> None:
    with pytest.raises(InputError, match="stream: expected"):
        FrameStream(many, ["train"], key_of, **wrong)


def test_states_of_another_kind_are_refused(many: Path) -> None:
    stream = FrameStream(many, ["train"], key_of)
    with pytest.raises(ValueError, match="whole round of 2"):
        stream.state(3, 2)
    stream.resume({"epoch": 0, "taken": [3, 3]})
    with pytest.raises(InputError, match="expected 2 workers as where it was left, found 1"):
        list(stream)
    for state in ({}, {"epoch": 1}, {"epoch": "x", "taken": 1}):
        with pytest.raises(InputError, match="expected a state"):
            stream.resume(state)

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from assets.errors import InputError
from perception.augment import Turn, jitter, turn_of, turns_of
from perception.dataset import balanced_order, cut_batch, load_split, open_dataset
from perception.targets import sample_targets, straight_distance
from sim.camera import Camera
from sim.shards import read_shard

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def frames(tubes):
    return load_split(tubes, "train")


def test_a_split_holds_what_its_shards_hold_in_their_order(tubes, frames):
    assert len(frames) == 48
    samples = [sample for name in ("tube0.tar", "tube1.tar") for sample in read_shard(tubes / name)]
    assert frames.patients == ("tube0",) * 24 + ("tube1",) * 24
    for row in (0, 30, 47):
        targets = sample_targets(samples[row])
        np.testing.assert_array_equal(frames.rgb[row], targets.rgb)
        np.testing.assert_array_equal(frames.classes[row], targets.classes)
        np.testing.assert_allclose(
            frames.distance[row].astype(np.float32), straight_distance(targets.depth, targets.camera), rtol=6e-4
        )
        np.testing.assert_allclose(frames.log_exposure[row], np.log(targets.exposure), rtol=1e-6)


def test_memory_is_bounded_by_taking_every_so_many_frames(tubes, frames):
    fewer = load_split(tubes, "train", max_bytes=20 * 64 * 64 * 6)
    assert len(fewer) == 16
    np.testing.assert_array_equal(fewer.rgb, frames.rgb[::3])
    np.testing.assert_array_equal(fewer.rgb, frames.every(3).rgb)
    assert fewer.patients == frames.patients[::3]


def test_leaks_between_splits_are_refused(make_tubes, tmp_path):
    folder = make_tubes(tmp_path, {"train": [2], "validation": [2]}, 32)
    index = json.loads((folder / "dataset.json").read_text())
    leaking = {**index, "splits": {"train": ["tube0", "tube1"], "validation": ["tube1"]}}
    (folder / "dataset.json").write_text(json.dumps(leaking))
    with pytest.raises(InputError, match="tube1 in train and validation"):
        open_dataset(folder)
    # A shard that holds a patient of another split is a leak as well.
    swapped = {**index, "shards": {"train": index["shards"]["validation"], "validation": index["shards"]["train"]}}
    (folder / "dataset.json").write_text(json.dumps(swapped))
    with pytest.raises(InputError, match="patient of split 'train'"):
        load_split(folder, "train")


def test_missing_empty_and_miscounted_data_are_refused(make_tubes, tmp_path):
    with pytest.raises(InputError, match=r"dataset\.json"):
        load_split(tmp_path / "nowhere", "train")
    folder = make_tubes(tmp_path, {"train": [3], "validation": []}, 32)
    with pytest.raises(InputError, match="found none"):
        load_split(folder, "validation")
    with pytest.raises(InputError, match="split"):
        load_split(folder, "holdout")
    index = json.loads((folder / "dataset.json").read_text())
    for count in (2, 4):
        index["shards"]["train"][0]["count"] = count
        (folder / "dataset.json").write_text(json.dumps(index))
        with pytest.raises(InputError, match=f"expected {count} frames"):
            load_split(folder, "train")


def test_a_size_that_the_network_cannot_halve_is_refused(make_tubes, tmp_path):
    with pytest.raises(InputError, match="multiples of 16"):
        load_split(make_tubes(tmp_path, {"train": [2]}, 40), "train")


@pytest.mark.parametrize("turn", turns_of(Camera.with_fov(32, 32, 140.0)))
def test_a_turned_image_shows_the_turned_direction(turn):
    camera = Camera.with_fov(32, 32, 140.0)
    rays, _ = camera.rays()
    turned = turn_of(rays, turn)
    for row, column in ((3, 7), (30, 12), (16, 16)):
        # What now lies in this pixel was seen along `turned`; turned itself, it must be this pixel's own ray.
        np.testing.assert_allclose(turn.direction(turned[row, column]), rays[row, column], atol=1e-6)


def test_the_turns_are_the_eight_of_a_square_and_a_lens_without_a_centre_has_fewer():
    camera = Camera.with_fov(32, 32, 140.0)
    image = np.arange(32 * 32).reshape(32, 32)
    assert len({turn_of(image, turn).tobytes() for turn in turns_of(camera)}) == 8
    assert (
        len({np.rot90(image, k).tobytes() for k in range(4)} - {turn_of(image, t).tobytes() for t in turns_of(camera)})
        == 0
    )
    assert len(turns_of(Camera.with_fov(32, 16, 140.0))) == 4
    assert turns_of(replace(camera, cx=14.0)) == [Turn(), Turn(flip_rows=True)]


def test_a_batch_turns_every_channel_alike(frames):
    rows = np.arange(24)
    batch = cut_batch(frames, rows, CPU, np.random.default_rng(1))
    plain = cut_batch(frames, rows, CPU)
    assert not torch.equal(batch.classes, plain.classes)
    for row in rows:
        found = [
            turn
            for turn in turns_of(frames.camera)
            if np.array_equal(turn_of(frames.rgb[row], turn), (batch.image[row] * 255).round().byte().permute(1, 2, 0))
        ]
        assert found
        turn = found[0]
        np.testing.assert_array_equal(batch.classes[row].numpy(), turn_of(frames.classes[row], turn))
        np.testing.assert_array_equal(batch.distance[row].numpy(), turn_of(frames.distance[row], turn))
        np.testing.assert_allclose(batch.direction[row].numpy(), turn.direction(frames.direction[row]))


def test_jitter_keeps_the_range_and_hangs_on_its_generator_alone(frames):
    batch = cut_batch(frames, np.arange(32), CPU)
    image, exposure = batch.image, batch.log_exposure
    altered, _ = jitter(image, exposure, np.random.default_rng(0))
    assert altered.shape == image.shape
    assert altered.min() >= 0
    assert altered.max() <= 1
    assert torch.equal(altered, jitter(image, exposure, np.random.default_rng(0))[0])
    assert not torch.equal(altered, jitter(image, exposure, np.random.default_rng(1))[0])


def test_jitter_brightens_image_and_exposure_together_so_that_the_radiance_still_tells_the_distance():
    grey = torch.full((200, 3, 16, 16), 0.4)
    exposure = torch.zeros(200)
    image, altered = jitter(grey, exposure, np.random.default_rng(0))

    def log_linear(srgb):  # the exact curve, not the power law that jitter takes for it
        return torch.log(((srgb + 0.055) / 1.055) ** 2.4)

    change = log_linear(image.median(dim=3).values.median(dim=2).values.mean(dim=1)) - log_linear(torch.tensor(0.4))
    assert float(change.std()) > 0.15  # the images do differ
    assert float((change - altered).abs().mean()) < 0.06
    assert abs(float((change - altered).mean())) < 0.02


def test_polyps_come_as_often_as_wanted_and_no_frame_twice_before_all_have_come():
    with_polyp = np.zeros(100, np.bool_)
    with_polyp[::10] = True
    order = balanced_order(with_polyp, 0.5, np.random.default_rng(0))
    assert len(order) == 100
    assert with_polyp[order].mean() == 0.5
    counts = np.bincount(order, minlength=100)
    assert set(counts[with_polyp]) == {5}
    assert set(counts[~with_polyp]) <= {0, 1}
    every = balanced_order(with_polyp, 0.05, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(every), np.arange(100))
    only = balanced_order(with_polyp, 1.0, np.random.default_rng(0))
    assert set(np.bincount(only, minlength=100)[with_polyp]) == {10}
    none = balanced_order(np.zeros(10, np.bool_), 0.5, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(none), np.arange(10))

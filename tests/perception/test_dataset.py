import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from assets.errors import InputError
from perception.augment import Turn, jitter, turn_of, turns_of
from perception.batches import cut_batch
from perception.dataset import load_split, open_dataset
from perception.prediction import POLYP
from perception.targets import polyp_centres, sample_targets, straight_distance
from perception.views import STILLS, View, from_another_device, magnified
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
        np.testing.assert_array_equal(frames.sought(row), targets.sought)
        assert (frames.sought(row) >= (targets.classes == POLYP)).all()
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


def test_a_turned_point_lies_on_the_turned_pixel():
    image = np.zeros((6, 9), np.uint8)
    image[1, 7] = 1
    for turn in (Turn(*choice) for choice in product((False, True), repeat=3)):
        (row,), (column,) = np.nonzero(turn_of(image, turn))
        np.testing.assert_array_equal(turn.point(np.array([[7, 1]], np.float32), 9, 6), [[column, row]])


def test_a_batch_that_is_not_altered_widely_is_turned_alone(frames):
    rows = np.arange(24)
    batch, plain = cut_batch(frames, rows, CPU, np.random.default_rng(1), alteration=None), cut_batch(frames, rows, CPU)
    assert not batch.foreign.any()
    assert not torch.equal(batch.classes, plain.classes)
    for row in rows:
        assert batch.classes[row].flatten().bincount().tolist() == plain.classes[row].flatten().bincount().tolist()


def test_stills_are_of_other_devices_mostly_and_magnified_about_polyps(frames):
    rows = np.tile(np.arange(24), 4)
    batch, plain = (cut_batch(frames, rows, CPU, np.random.default_rng(1), alteration=one) for one in (STILLS, None))
    assert 0.7 < batch.foreign.mean() < 0.9
    share, before = ((one.classes == POLYP).float().mean() for one in (batch, plain))
    assert share > 1.3 * before  # magnified about polyps
    assert not (batch.classes[(plain.classes != POLYP).all(dim=(1, 2))] == POLYP).any()


def test_in_an_altered_batch_every_label_still_fits_its_pixel(frames):
    # The camera's own scene is a tube: what a pixel's ray meets is known, wherever the pixel has gone.
    rows = np.arange(24)
    batch = cut_batch(frames, rows, CPU, np.random.default_rng(1))
    plain = cut_batch(frames, rows, CPU)
    assert 4 <= batch.foreign.sum() <= 14
    assert not torch.equal(batch.classes, plain.classes)
    assert (batch.log_exposure[batch.foreign] == 0).all()
    assert (batch.distance[batch.foreign] == 0).all()
    own = ~batch.foreign
    assert torch.equal(batch.log_exposure[own], plain.log_exposure[own])
    zooms = 0
    for row in np.flatnonzero(own):
        rays, plain_rays = batch.rays[row].permute(1, 2, 0).numpy(), plain.rays[row].permute(1, 2, 0).numpy()
        zooms += not np.array_equal(rays, plain_rays)
        # Undo the turn by the direction and the zoom by the ray: the distance there must be the distance here.
        fits = []
        for turn in turns_of(frames.camera):
            if not np.allclose(turn.direction(frames.direction[row]), batch.direction[row].numpy()):
                continue
            truth = turn_of(frames.distance[row], turn)
            classes = turn_of(frames.classes[row], turn)
            v, u = np.nonzero((np.linalg.norm(rays, axis=-1) > 0) & (batch.distance[row].numpy() > 0))
            place, _ = frames.camera.project(rays[v, u].astype(np.float64))
            near = np.rint(place).astype(int).clip(0, 63)
            same = np.isclose(truth[near[:, 1], near[:, 0]], batch.distance[row].numpy()[v, u], rtol=2e-3)
            alike = classes[near[:, 1], near[:, 0]] == batch.classes[row].numpy()[v, u]
            fits.append(min(same.mean(), alike.mean()))
        assert max(fits) > 0.97
    assert zooms >= 4


def view_of(frames, row):
    return View(
        frames.rgb[row],
        frames.classes[row],
        frames.distance[row].astype(np.float32),
        frames.camera.rays()[0],
        frames.centres[row],
        frames.direction[row],
        bool(frames.visible[row]),
        POLYP,
    )


def test_a_magnified_view_brings_the_aim_to_the_middle_with_its_ray_and_its_polyp(frames):
    row = int(np.flatnonzero([len(one) == 1 for one in frames.centres])[0])
    view = view_of(frames, row)
    u, v, pixels = view.centres[0]
    seen = magnified(view, 2.0, np.array([u, v], np.float64))
    np.testing.assert_allclose(seen.centres, [[31.5, 31.5, 4 * pixels]], atol=1e-4)
    place, _ = frames.camera.project(seen.rays[31:33, 31:33].astype(np.float64).mean(axis=(0, 1))[None])
    np.testing.assert_allclose(place[0], [u, v], atol=0.05)
    # The middle of the polyp's pixels, counted anew, is the centre that was computed.
    rows, columns = np.nonzero(seen.classes == POLYP)
    if rows.min() > 0 and columns.min() > 0 and rows.max() < 63 and columns.max() < 63:
        np.testing.assert_allclose([columns.mean(), rows.mean()], [31.5, 31.5], atol=1.0)
    away = magnified(view, 2.0, np.array([63 - u, 63 - v], np.float64))
    assert len(away.centres) == int(max(abs(63 - 2 * u), abs(63 - 2 * v)) < 16)
    assert not magnified(view, 4.0, np.array([0.0, 0.0])).visible


def test_a_shrunk_view_shows_nothing_around_itself(frames):
    seen = magnified(view_of(frames, 0), 0.5, np.array([31.5, 31.5]))
    outside = np.ones((64, 64), np.bool_)
    outside[15:49, 15:49] = False
    for image in (seen.rgb, seen.classes, seen.distance, seen.rays):
        assert not image[outside].any()
    lengths = np.linalg.norm(seen.rays, axis=-1)
    assert set(np.round(lengths.ravel(), 5)) <= {0.0, 1.0}


def test_another_device_covers_but_never_renames(frames):
    covered = 0
    for seed in range(40):
        view = view_of(frames, seed % 24)
        seen = from_another_device(view, np.random.default_rng(seed))
        hidden = seen.classes != view.classes
        assert (seen.classes[hidden] == 0).all()
        covered += int(hidden.any())
        assert (seen.rgb.astype(int)[hidden].max(initial=0)) <= 255
        assert not seen.distance.any()
        np.testing.assert_array_equal(seen.rays, view.rays)
        for u, v, _ in seen.centres:
            assert (
                seen.classes[max(0, round(v) - 2) : round(v) + 3, max(0, round(u) - 2) : round(u) + 3] == POLYP
            ).any()
        np.testing.assert_array_equal(view.rgb, frames.rgb[seed % 24])  # the frame itself stays
    assert 15 <= covered <= 40


def test_polyp_centres_are_the_middles_of_what_is_seen_of_each():
    classes, instance = np.ones((20, 20), np.uint8), np.ones((20, 20), np.uint16)
    classes[2:5, 2:7], instance[2:5, 2:7] = POLYP, 5  # two that touch
    classes[2:5, 7:9], instance[2:5, 7:9] = POLYP, 6
    classes[10, 10], instance[10, 10] = POLYP, 7  # a speck
    np.testing.assert_allclose(polyp_centres(classes, instance), [[4, 3, 15], [7.5, 3, 6]])
    assert polyp_centres(np.ones((4, 4), np.uint8), instance[:4, :4]).shape == (0, 3)


def test_jitter_keeps_the_range_and_hangs_on_its_generator_alone(frames):
    batch = cut_batch(frames, np.arange(32), CPU)
    image, exposure, foreign = batch.image, batch.log_exposure, np.arange(32) % 2 == 0
    altered, exposed = jitter(image, exposure, foreign, np.random.default_rng(0))
    assert altered.shape == image.shape
    assert altered.min() >= 0
    assert altered.max() <= 1
    assert torch.equal(exposed[foreign], exposure[foreign])
    assert (exposed != exposure)[~foreign].all()
    assert torch.equal(altered, jitter(image, exposure, foreign, np.random.default_rng(0))[0])
    assert not torch.equal(altered, jitter(image, exposure, foreign, np.random.default_rng(1))[0])


def test_jitter_brightens_image_and_exposure_together_so_that_the_radiance_still_tells_the_distance():
    grey = torch.full((200, 3, 16, 16), 0.4)
    exposure = torch.zeros(200)
    image, altered = jitter(grey, exposure, np.zeros(200, np.bool_), np.random.default_rng(0))

    def log_linear(srgb):  # the exact curve, not the power law that jitter takes for it
        return torch.log(((srgb + 0.055) / 1.055) ** 2.4)

    change = log_linear(image.median(dim=3).values.median(dim=2).values.mean(dim=1)) - log_linear(torch.tensor(0.4))
    assert float(change.std()) > 0.15  # the images do differ
    assert float((change - altered).abs().mean()) < 0.06
    assert abs(float((change - altered).mean())) < 0.02

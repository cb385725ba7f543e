import numpy as np
import pytest
import torch
from torch.nn import functional

from perception.batches import balanced_order, centre_map, cut_batch, sought_weight
from perception.dataset import load_split
from perception.losses import weighted_cross_entropy
from perception.prediction import POLYP


def squares(*sides: int) -> np.ndarray:
    """Mark squares of these sides, apart from each other, in a picture of 128 x 128 px."""
    mask, left = np.zeros((128, 128), np.bool_), 2
    for side in sides:
        mask[2 : 2 + side, left : left + side] = True
        left += side + 3
    return mask


def test_a_region_counts_by_the_root_of_its_area():
    mask = squares(20, 10, 5)
    weight = sought_weight(mask)
    assert weight.dtype == np.float32
    assert (weight[~mask] == 1).all()
    assert float(weight[2, 2]) == 1  # 400 px
    assert float(weight[2, 25]) == pytest.approx(2)  # 100 px: the root of 400 / 100
    assert float(weight[2, 38]) == pytest.approx(4)  # 25 px


def test_specks_and_large_regions_are_bounded():
    assert sought_weight(squares(1)).max() == 4
    assert (sought_weight(squares(60)) == 1).all()
    assert (sought_weight(squares()) == 1).all()


def test_the_weight_of_a_batch_is_that_of_its_altered_classes(tubes):
    frames = load_split(tubes, "train")
    batch = cut_batch(frames, np.arange(16), torch.device("cpu"), np.random.default_rng(2))
    for classes, weight in zip(batch.classes.numpy(), batch.weight.numpy(), strict=True):
        np.testing.assert_array_equal(weight, sought_weight(classes == POLYP))
    assert float(batch.weight.max()) > 1


def test_cross_entropy_weighs_pixels_and_classes():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 8, 8, generator=generator)
    classes = torch.randint(4, (2, 8, 8), generator=generator)
    of_class = torch.tensor([1.0, 1.0, 3.0, 2.0])
    even = torch.ones(2, 8, 8)
    expected = functional.cross_entropy(logits, classes, of_class)
    assert float(weighted_cross_entropy(logits, classes, even, of_class)) == pytest.approx(float(expected))
    one = even * 1e-6
    one[1, 3, 4] = 1
    alone = functional.cross_entropy(logits[1:, :, 3, 4], classes[1:, 3, 4])
    assert float(weighted_cross_entropy(logits, classes, one, of_class)) == pytest.approx(float(alone), rel=1e-2)


def test_a_centre_map_peaks_in_the_cell_of_the_centre():
    drawn = centre_map(np.array([[9.0, 21.0, 300.0], [31.0, 3.0, 4.0]], np.float32), (8, 8))
    assert drawn[5, 2] == 1
    assert drawn[0, 7] == 1
    assert (drawn == 1).sum() == 2
    assert drawn[5, 3] == pytest.approx(np.exp(-1 / (2 * (np.sqrt(300 / np.pi) / 12) ** 2)), rel=1e-5)
    assert drawn[1, 7] == pytest.approx(np.exp(-1 / (2 * 0.49)), rel=1e-5)
    assert not centre_map(np.zeros((0, 3), np.float32), (8, 8)).any()


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

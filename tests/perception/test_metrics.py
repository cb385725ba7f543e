import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import dice as scipy_dice
from scipy.spatial.distance import jaccard as scipy_jaccard

from perception.metrics import angular_error, bootstrap_by_group, confusion, depth_errors, segmentation_scores


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_overlap_agrees_with_scipy(seed):
    rng = np.random.default_rng(seed)
    truth, prediction = rng.integers(0, 4, (2, 12, 9)).astype(np.uint8)
    scores = segmentation_scores(confusion(prediction, truth, 4))
    for index in range(4):
        a, b = (truth == index).ravel(), (prediction == index).ravel()
        if a.any() and b.any():
            assert scores.dice[index] == pytest.approx(1 - scipy_dice(a, b))
            assert scores.iou[index] == pytest.approx(1 - scipy_jaccard(a, b))
            assert scores.precision[index] == pytest.approx((a & b).sum() / b.sum())
            assert scores.recall[index] == pytest.approx((a & b).sum() / a.sum())


def test_rows_are_the_truth():
    counts = confusion(np.array([1, 1, 0], np.uint8), np.array([0, 1, 0], np.uint8), 2)
    np.testing.assert_array_equal(counts, [[1, 1], [0, 1]])


def test_an_absent_class_is_left_out_unless_it_was_predicted():
    scores = segmentation_scores(np.array([[5, 0, 2], [0, 0, 0], [0, 0, 0]]))
    assert np.isnan(scores.dice[1])
    assert np.isnan(scores.recall[1])
    assert scores.dice[2] == 0
    assert np.isnan(scores.recall[2])
    assert scores.precision[2] == 0


def test_depth_errors_by_hand():
    truth = np.array([[1.0, 2.0, 4.0, 9.0]])
    prediction = np.array([[1.1, 1.0, 4.0, 1.0]])
    errors = depth_errors(prediction, truth, np.array([[True, True, True, False]]))
    assert errors.abs_rel == pytest.approx((0.1 + 0.5 + 0) / 3)
    assert errors.rmse == pytest.approx(np.sqrt((0.01 + 1) / 3))
    assert errors.delta == pytest.approx(2 / 3)


def test_median_scaling_forgives_a_factor_and_nothing_else():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.01, 0.1, (8, 8))
    valid = np.ones_like(truth, np.bool_)
    assert depth_errors(truth * 3, truth, valid).abs_rel == pytest.approx(2)
    assert depth_errors(truth * 3, truth, valid, median_scaled=True).abs_rel == pytest.approx(0, abs=1e-12)
    assert depth_errors(truth + 0.01, truth, valid, median_scaled=True).abs_rel > 0.05


def test_no_valid_pixel_gives_nan():
    errors = depth_errors(np.ones((2, 2)), np.zeros((2, 2)), np.zeros((2, 2), np.bool_))
    assert np.isnan([errors.abs_rel, errors.rmse, errors.delta]).all()


def test_angles_by_hand_and_between_nearly_equal_vectors():
    a = np.array([[1.0, 0, 0], [0, 0, 2], [1, 1, 0], [0, 0, 1]])
    b = np.array([[0.0, 3, 0], [0, 0, -1], [1, 0, 0], [1e-9, 0, 1]])
    np.testing.assert_allclose(angular_error(a, b), [np.pi / 2, np.pi, np.pi / 4, 1e-9], rtol=1e-6)


def test_the_interval_of_equal_groups_is_that_of_their_means():
    # With one value a group it is the plain bootstrap, whose spread is close to the normal theory's for many values.
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, 400)
    mean, low, high = bootstrap_by_group(values, [str(i) for i in range(400)], rng)
    error = values.std() / np.sqrt(400)
    assert mean == pytest.approx(values.mean())
    assert low == pytest.approx(mean - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(mean + 1.96 * error, abs=0.15 * error)


def test_more_frames_of_the_same_patients_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    level = rng.normal(0, 1, 10)
    few = bootstrap_by_group(np.repeat(level, 2), np.repeat(np.arange(10), 2), np.random.default_rng(1))
    many = bootstrap_by_group(np.repeat(level, 200), np.repeat(np.arange(10), 200), np.random.default_rng(1))
    np.testing.assert_allclose(few, many)
    assert many[2] - many[1] > 0.5


def test_the_same_generator_gives_the_same_interval_and_odd_cases_are_told():
    values, groups = np.arange(6.0), list("aabbcc")
    first = bootstrap_by_group(values, groups, np.random.default_rng(5))
    assert first == bootstrap_by_group(values, groups, np.random.default_rng(5))
    assert first[1] <= first[0] <= first[2]
    one = bootstrap_by_group(np.array([1.0, 2.0]), ["a", "a"], np.random.default_rng(0))
    assert one[0] == 1.5
    assert np.isnan(one[1:]).all()
    assert np.isnan(bootstrap_by_group(np.array([]), [], np.random.default_rng(0))).all()
    with pytest.raises(ValueError, match="group for each"):
        bootstrap_by_group(values, ["a"], np.random.default_rng(0))

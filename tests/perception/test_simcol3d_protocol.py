import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from perception.simcol3d_protocol import depth_scores, path, pose_scores, steps


def step(translation: tuple[float, float, float], turn_deg: float = 0.0) -> np.ndarray:
    T_before_after = np.eye(4)
    T_before_after[:3, :3] = Rotation.from_euler("z", turn_deg, degrees=True).as_matrix()
    T_before_after[:3, 3] = translation
    return T_before_after


def test_the_truth_has_no_error_whatever_its_scale() -> None:
    truth = np.random.default_rng(0).uniform(0.005, 0.15, (3, 5, 6))
    for factor in (1.0, 0.5):
        scores = depth_scores(truth * factor, truth)
        assert scores.scale == pytest.approx(1 / factor, rel=1e-12)
        assert max(scores.l1_cm, scores.relative_percent, scores.rmse_cm) < 1e-12


def test_depth_errors_are_those_worked_out_by_hand() -> None:
    # Two frames of two pixels. Means: p 0.02, 0.06; g 0.04, 0.12: the scale is (0.0008 + 0.0072) / 0.004 = 2.
    prediction = np.array([[[0.01, 0.03]], [[0.05, 0.07]]])
    truth = np.array([[[0.03, 0.05]], [[0.10, 0.14]]])
    scores = depth_scores(prediction, truth)
    assert scores.scale == pytest.approx(2.0)
    # Scaled: 0.02, 0.06 against 0.03, 0.05 m: 1 cm off each; 0.10, 0.14 exactly right.
    assert scores.l1_cm == pytest.approx((1.0 + 0.0) / 2)
    assert scores.rmse_cm == pytest.approx((1.0 + 0.0) / 2)
    # Median of 1/3 and 1/5 is 4/15; the frames' mean is half of it.
    assert scores.relative_percent == pytest.approx(100 * (4 / 15) / 2, rel=1e-4)


def test_predictions_are_cut_to_the_range_of_the_challenge() -> None:
    truth = np.full((1, 1, 2), 0.2)
    assert depth_scores(np.full((1, 1, 2), 5.0), truth).l1_cm == pytest.approx(0)


def test_a_prediction_of_nothing_has_no_score() -> None:
    assert np.isnan(depth_scores(np.zeros((1, 2, 2)), np.ones((1, 2, 2)) / 10).l1_cm)


def test_true_steps_have_no_error_whatever_their_scale() -> None:
    rng = np.random.default_rng(1)
    truth = np.tile(np.eye(4), (6, 1, 1))
    truth[:, :3, :3] = Rotation.random(6, random_state=1).as_matrix()
    truth[:, :3, 3] = rng.uniform(-0.01, 0.01, (6, 3))
    for factor in (1.0, 40.0):
        guess = truth.copy()
        guess[:, :3, 3] *= factor
        scores = pose_scores(guess, truth)
        assert scores.scale == pytest.approx(1 / factor)
        assert max(scores.ate_cm, scores.rte_cm) < 1e-9
        assert scores.rot_deg < 1e-6


def test_errors_of_motion_are_those_worked_out_by_hand() -> None:
    # Truth: three steps of 2 cm ahead. Guess: 1, 1 and 1 cm ahead, with 1 cm to the side in the middle one.
    truth = np.stack([step((0, 0, 0.02))] * 3)
    guess = np.stack([step((0, 0, 0.01)), step((0.01, 0, 0.01)), step((0, 0, 0.01))])
    scores = pose_scores(guess, truth)
    # Scale: 3 * 0.0002 / (3 * 0.0001 + 0.0001) = 1.5, so each step is 0.5 cm short, the middle one 1.5 cm to the side.
    assert scores.scale == pytest.approx(1.5)
    # Paths apart: 0, 0.5, |(1.5, 1)|, |(1.5, 1.5)| cm: the median is the mean of the middle two.
    assert scores.ate_cm == pytest.approx((0.5 + np.hypot(1.5, 1.0)) / 2)
    # Steps apart: 0.5, |(1.5, 0.5)|, 0.5 cm.
    assert scores.rte_cm == pytest.approx(0.5)
    assert scores.rot_deg == 0


def test_angles_are_exact_even_where_they_are_tiny() -> None:
    truth = np.stack([step((0, 0, 0.01))] * 3)
    guess = np.stack([step((0, 0, 0.01), turn_deg=angle) for angle in (1e-5, 30.0, 170.0)])
    assert pose_scores(guess, truth).rot_deg == pytest.approx(30.0)
    small = np.stack([step((0, 0, 0.01), turn_deg=1e-5)] * 3)
    assert pose_scores(small, truth).rot_deg == pytest.approx(1e-5, rel=1e-6)


def test_steps_and_path_undo_each_other() -> None:
    poses = path(np.stack([step((0.01, 0, 0.02), 20.0), step((0, 0.01, 0.0), -50.0)]))
    assert np.allclose(path(steps(poses)), poses, atol=1e-15)


@pytest.mark.parametrize("count", [0, 2])
def test_other_shapes_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        pose_scores(np.zeros((count, 4, 4)), np.zeros((0, 4, 4)))
    with pytest.raises(ValueError, match="expected"):
        depth_scores(np.zeros((count, 4, 4)), np.zeros((0, 4, 4)))

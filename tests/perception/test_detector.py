import numpy as np
import torch

from perception.centres import decode_centres
from perception.detector import DetectorOptions, PolypDetector, polyp_regions
from perception.prediction import NO_CENTRES, POLYP, WALL, Prediction, mask_centres

SIZE = 64


def disc(u: float, v: float, radius: float) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.hypot(x - u, y - v) <= radius


def said(mask: np.ndarray, centres: np.ndarray | None = None) -> Prediction:
    classes = np.where(mask, POLYP, WALL)
    return Prediction(
        probabilities=(np.arange(4)[:, None, None] == classes).astype(np.float32),
        depth=np.ones(mask.shape, np.float32),
        depth_scale=np.zeros(mask.shape, np.float32),
        lumen_direction=np.array([0.0, 0.0, 1.0]),
        lumen_visible=1.0,
        uncertainty=np.zeros(mask.shape, np.float32),
        frame_uncertainty=0.0,
        polyp_centres=mask_centres(mask) if centres is None else centres,
    )


NOTHING = np.zeros((SIZE, SIZE), np.bool_)


def test_an_alarm_comes_with_the_third_of_four_frames_and_follows_what_moves():
    detector = PolypDetector()
    shown = []
    for step, there in enumerate((True, True, False, True, True, False, False, True)):
        mask = disc(20 + 2 * step, 30, 4) if there else NOTHING
        alarm = detector(said(mask))
        shown.append(bool(alarm.any()))
        if alarm.any():
            np.testing.assert_array_equal(alarm, mask)
    assert shown == [False, False, False, True, True, False, False, False]


def test_what_jumps_about_or_flickers_is_no_alarm():
    detector = PolypDetector()
    for step in range(12):
        assert not detector(said(disc(12 + 40 * (step % 2), 12 + 40 * (step // 2 % 2), 4))).any()
    assert not any(detector(said(disc(30, 30, 4) if step % 2 else NOTHING)).any() for step in range(12))


def test_two_that_stay_are_two_alarms_and_one_that_comes_later_waits():
    detector = PolypDetector()
    for _ in range(3):
        first = detector(said(disc(15, 15, 4)))
    assert first.any()
    both = [detector(said(disc(15, 15, 4) | disc(45, 45, 4))) for _ in range(3)]
    assert [bool(one[45, 45]) for one in both] == [False, False, True]
    assert all(one[15, 15] for one in both)


def test_regions_need_pixels_and_a_centre_that_is_believed_in():
    options = DetectorOptions()
    mask = disc(15, 15, 4) | disc(45, 45, 4) | disc(15, 50, 1.5)
    centres = np.array([[15, 15, 0.9], [45, 45, 0.4], [15, 50, 0.9]], np.float32)
    (only,) = polyp_regions(said(mask, centres), options)
    np.testing.assert_array_equal(only, disc(15, 15, 4))
    assert polyp_regions(said(mask, NO_CENTRES), options) == []
    (beside,) = polyp_regions(said(disc(15, 15, 4), np.array([[21.5, 15, 0.9]], np.float32)), options)
    assert beside.any()
    assert polyp_regions(said(disc(15, 15, 4), np.array([[24, 15, 0.9]], np.float32)), options) == []


def test_centres_of_a_mask_are_those_of_its_regions_the_largest_first():
    found = mask_centres(disc(15, 15, 3) | disc(45, 40, 5))
    np.testing.assert_allclose(found, [[45, 40, 1], [15, 15, 1]], atol=1e-5)
    assert mask_centres(NOTHING).shape == (0, 3)


def test_decoded_peaks_lie_in_the_middle_of_their_cells_and_a_shoulder_is_none():
    logits = torch.full((8, 8), -9.0)
    logits[2, 5], logits[2, 6], logits[6, 1] = 2.0, 1.0, 0.0
    found = decode_centres(logits)
    np.testing.assert_allclose(found[:, :2], [[21.5, 9.5], [5.5, 25.5]])
    np.testing.assert_allclose(found[:, 2], [1 / (1 + np.exp(-2)), 0.5], rtol=1e-6)
    assert decode_centres(torch.full((8, 8), -9.0)).shape == (0, 3)

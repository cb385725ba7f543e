from dataclasses import replace

import numpy as np
import pytest
import torch

from perception.centres import decode_centres
from perception.detector import DetectorOptions, PolypDetector, Region, polyp_regions
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


def believed(mask: np.ndarray, score: float) -> Prediction:
    """Say of a mask that it is a polyp as likely as not, so that its centres decide."""
    centres = mask_centres(mask)
    centres[:, 2] = score
    sure = said(mask, centres)
    polyp = np.where(mask, 0.5, 0)
    return replace(sure, probabilities=np.stack([0 * polyp, 0.9 * (1 - polyp), polyp, 0.1 * (1 - polyp)]).astype("f4"))


def test_what_is_sure_is_an_alarm_at_once_and_only_while_it_is_seen():
    detector = PolypDetector()
    for step, there in enumerate((True, True, False, True, False, False)):
        mask = disc(20 + 4 * step, 30, 4) if there else NOTHING
        np.testing.assert_array_equal(detector(said(mask)), mask)


@pytest.mark.parametrize(("score", "frames"), [(0.5, 1), (0.3, 2), (0.2, 4), (0.14, None)])
def test_doubtful_regions_wait_until_enough_speaks_for_them(score: float, frames: int | None):
    # After n frames the evidence is score (1 - 0.7^n) / 0.3.
    detector = PolypDetector()
    shown = [bool(detector(believed(disc(30, 30, 4), score)).any()) for _ in range(12)]
    assert shown == [frames is not None and number + 1 >= frames for number in range(12)]


def test_what_jumps_about_or_flickers_in_doubt_is_no_alarm():
    detector = PolypDetector()
    for step in range(12):
        place = disc(12 + 40 * (step % 2), 12 + 40 * (step // 2 % 2), 4)
        assert not detector(believed(place, 0.3)).any()
    detector = PolypDetector()
    assert not any(detector(believed(disc(30, 30, 4) if step % 2 else NOTHING, 0.2)).any() for step in range(12))


def test_evidence_goes_with_what_moves_past_and_not_to_its_neighbour():
    detector = PolypDetector()
    detector(believed(disc(20, 30, 4), 0.4))
    assert detector(believed(disc(31, 30, 4), 0.3))[30, 31]  # 3 px from edge to edge
    one, two = disc(15, 15, 4), disc(45, 45, 4)
    detector = PolypDetector()
    detector(believed(one, 0.4))
    both = detector(believed(one | two, 0.3))
    assert both[15, 15]
    assert not both[45, 45]


def test_regions_need_pixels_and_carry_their_surest_centre():
    options = DetectorOptions()
    mask = disc(15, 15, 4) | disc(45, 45, 4) | disc(15, 50, 0.5)
    centres = np.array([[15, 15, 0.9], [14, 15, 0.7], [45, 45, 0.4], [15, 50, 0.9]], np.float32)
    first, second = polyp_regions(said(mask).probabilities, centres, options)
    np.testing.assert_array_equal(first.mask, disc(15, 15, 4))
    assert (first.centre, second.centre) == (pytest.approx(0.9), pytest.approx(0.4))
    assert [one.centre for one in polyp_regions(said(mask).probabilities, NO_CENTRES, options)] == [0, 0]
    for u, score in ((20.5, 0.9), (23.0, 0.0)):  # 2 px beside the region, and 4
        centre = np.array([[u, 15, 0.9]], np.float32)
        (beside,) = polyp_regions(said(disc(15, 15, 4)).probabilities, centre, options)
        assert beside.centre == pytest.approx(score)


def test_a_region_may_be_in_doubt_and_no_farther():
    mask = disc(30, 30, 4)
    for belief, there in ((0.26, 1), (0.24, 0)):
        likely = np.where(mask, belief, 0.01)
        probabilities = np.stack([0 * likely, 1 - likely, likely, 0 * likely]).astype("f4")
        assert len(polyp_regions(probabilities, mask_centres(mask), DetectorOptions())) == there


def test_two_beliefs_are_one_by_their_odds():
    assert Region(NOTHING, 0.5, 0.7).score == pytest.approx(0.7)
    assert Region(NOTHING, 0.8, 0.6).score == pytest.approx(6 / 7)  # odds 4 and 3/2
    assert Region(NOTHING, 0.8, 0.2).score == pytest.approx(0.5)
    assert Region(NOTHING, 0.0, 0.5).score == pytest.approx(0.05)  # the least that a prediction tells
    assert Region(NOTHING, 1.0, 1.0).score == pytest.approx(1)


def test_the_size_of_the_image_does_not_matter():
    def alarms(times: int) -> list[bool]:
        detector, shown = PolypDetector(), []
        for step in range(6):
            mask = np.kron(disc(14 + 6 * step, 30, 1.5 if step % 3 else 0.9), np.ones((times, times))) > 0
            shown.append(bool(detector(believed(mask, 0.3)).any()))
        return shown

    assert alarms(1) == alarms(2) == alarms(4)
    assert any(alarms(1))


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

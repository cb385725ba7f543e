from dataclasses import replace

import cv2
import numpy as np
import pytest

from scenarios.picture_monitor import PictureMonitor, PictureOptions, picture_quality
from sim.camera import Camera

CAMERA = Camera.with_fov(32, 32, 140.0)
ALL = np.ones((32, 32), np.bool_)


def picture(seed: int, brightness: float = 100.0) -> np.ndarray:
    """A live picture: soft structure with sensor noise."""
    rng = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(rng.normal(0, 1, (32, 32)).astype(np.float32), (0, 0), 1.2)
    noisy = brightness * (1 + 0.8 * soft[..., None] * [1, 0.8, 0.7] + rng.normal(0, 0.01, (32, 32, 3)))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def said_of(pictures: list[np.ndarray]) -> list[str]:
    monitor = PictureMonitor()
    return [monitor.look(one, CAMERA) for one in pictures]


LIVE = [picture(seed) for seed in range(20)]
FOGGED = [cv2.GaussianBlur(picture(seed), (0, 0), 4) for seed in range(100, 200)]
VEILED = [(0.12 * picture(seed) + 0.88 * 100).astype(np.uint8) for seed in range(100, 103)]


def test_a_ramp_has_the_slope_and_the_contrast_that_it_was_given():
    ramp = np.repeat((40 + 4 * np.arange(32, dtype=np.uint8))[None, :, None], 32, axis=0).repeat(3, axis=2)
    inside = ALL.copy()
    inside[:, [0, 1, -2, -1]] = False
    found = picture_quality(ramp, inside)
    assert found.brightness == pytest.approx(102)
    assert found.detail == pytest.approx(4 / 102, rel=1e-5)
    assert found.contrast == pytest.approx(4 * np.arange(2, 30).std() / 102, rel=1e-5)
    assert picture_quality(ramp, ~ALL).brightness == 0


def test_a_gain_leaves_detail_and_contrast_as_they_are():
    dim, bright = (picture_quality(picture(3, brightness), ALL) for brightness in (50.0, 100.0))
    assert bright.brightness == pytest.approx(2 * dim.brightness, rel=0.02)
    assert (bright.detail, bright.contrast) == pytest.approx((dim.detail, dim.contrast), rel=0.03)


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        (FOGGED[0], "blurred"),
        (VEILED[0], "blurred"),  # a strong veil takes the detail too
        (np.zeros_like(LIVE[0]), "black"),
        (LIVE[-1], "frozen"),
        (picture(7, 20.0), "exposed"),
    ],
)
def test_what_is_wrong_is_named_at_once_and_only_while_it_lasts(bad: np.ndarray, cause: str):
    assert said_of([*LIVE, bad, picture(8)]) == [""] * 20 + [cause, ""]


def test_a_picture_whose_detail_stays_while_its_contrast_goes_is_veiled():
    y, x = np.mgrid[:32, :32]
    coarse = np.where(x < 16, 40, 200) + 8 * (x % 4 > 1)
    fine = 100 + 14 * (x % 4 > 1) + 0 * y
    pictures = [np.repeat(coarse[..., None], 3, axis=2).astype(np.uint8) + np.uint8(k % 2) for k in range(12)]
    assert said_of([*pictures, np.repeat(fine[..., None], 3, axis=2).astype(np.uint8)])[-1] == "veiled"


def test_nothing_is_unusual_before_there_is_a_usual():
    least = PictureOptions().least
    assert said_of([*LIVE[: least - 1], FOGGED[0]])[-1] == ""
    assert said_of([*LIVE[:least], FOGGED[0]])[-1] == "blurred"


def test_what_stays_becomes_the_usual():
    found = said_of([*LIVE, *FOGGED])[20:]
    patience, span = PictureOptions().patience, PictureOptions().span
    assert all(found[:patience])
    assert not any(found[patience + span :])


def test_the_lens_dark_surround_does_not_count():
    camera = replace(CAMERA, content_radius=10.0)
    _, shown = camera.rays()
    monitor = PictureMonitor()
    for seed in range(12):
        assert monitor.look(np.where(shown[..., None], picture(seed), 0).astype(np.uint8), camera) == ""
    assert monitor.look(np.where(shown[..., None], FOGGED[0], 0).astype(np.uint8), camera) == "blurred"

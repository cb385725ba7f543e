"""Statistics of frames by closed forms: flat pictures, known discs of highlights, waves of one size."""

import cv2
import numpy as np
import pytest

from assets.errors import InputError
from scenarios.bench.realism import bench_realism
from scenarios.bench.run import BenchOptions, bench
from scenarios.frame_statistics import OCTAVES, SIDE, content, distance, frame_statistics


def flat(colour, radius=120):
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    cv2.circle(picture, (SIDE // 2, SIDE // 2), radius, colour, -1)
    return picture


def test_content_leaves_the_surround_and_its_text_out():
    picture = flat((200, 100, 60))
    cv2.putText(picture, "12/03", (2, 12), cv2.FONT_HERSHEY_PLAIN, 0.8, (255, 255, 255))
    inside = content(picture)
    v, u = np.mgrid[0:SIDE, 0:SIDE]
    radius = np.hypot(u - SIDE // 2, v - SIDE // 2)
    assert inside[radius < 110].all()
    assert not inside[radius > 122].any()


def test_flat_picture_has_its_colour_and_no_detail():
    found = frame_statistics(flat((204, 102, 51)))
    assert found is not None
    assert found.values["red.mean"] == pytest.approx(0.8)
    assert found.values["green_over_red"] == pytest.approx(((0.4 + 0.055) / 1.055) ** 2.4 / 0.6038, rel=1e-3)
    assert found.values["light.deviation"] < 1e-9
    assert all(found.values[f"detail.{octave}px"] < 1e-6 for octave in OCTAVES)
    assert found.values["highlight.share"] == 0


def test_highlights_are_counted_and_sized():
    picture = flat((150, 80, 50))
    for place in ((90, 90), (150, 100), (120, 170)):
        cv2.circle(picture, place, 5, (255, 250, 240), -1)
    found = frame_statistics(picture)
    assert found is not None
    area = np.count_nonzero(picture[..., 2] == 240) / 3
    assert found.values["highlight.area"] == pytest.approx(area)
    total = found.values["highlight.count"] * area / 1e4
    assert found.values["highlight.share"] == pytest.approx(total)


def test_a_wave_shows_in_its_own_octave():
    u = np.arange(SIDE)
    for period, octave in ((8, 1), (32, 4), (64, 8)):
        wave = 120 + 40 * np.sin(2 * np.pi * u / period)
        picture = np.repeat(np.repeat(wave[None, :, None], SIDE, 0), 3, 2).astype(np.uint8)
        found = frame_statistics(picture)
        assert found is not None
        contrast = {one: found.values[f"detail.{one}px"] for one in OCTAVES}
        assert max(contrast, key=lambda one: contrast[one]) in (octave, 2 * octave)


def test_distance_is_how_far_a_histogram_moved():
    one, other = frame_statistics(flat((100, 100, 100))), frame_statistics(flat((164, 100, 100)))
    assert one is not None
    assert other is not None
    found = distance([one], [other])
    assert found["red"] == pytest.approx(64 / 256)
    assert found["green"] == 0


def test_no_content_and_no_frames_are_said(tmp_path):
    assert frame_statistics(np.zeros((64, 64, 3), np.uint8)) is None
    with pytest.raises(InputError, match="--real"):
        bench(BenchOptions("realism"))
    with pytest.raises(InputError, match="images and masks"):
        bench_realism(tmp_path)

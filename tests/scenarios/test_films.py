"""A film has a picture a control step, and its strip shows the way from the first to the last."""

from pathlib import Path

import cv2
import numpy as np

from scenarios.films import FilmOptions, film


def test_a_film_of_the_sigmoid_is_written_with_its_strip(tmp_path: Path):
    count = film(FilmOptions("sigmoid", tmp_path, size=96, steps=8))
    assert count == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sigmoid.jpg", "sigmoid.mp4"]
    video = cv2.VideoCapture(str(tmp_path / "sigmoid.mp4"))
    assert (video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)) == (8, 10)
    assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (192, 96)
    strip = cv2.imread(str(tmp_path / "sigmoid.jpg")).astype(int)
    assert strip.shape == (192, 6 * 96, 3)
    outside = [strip[:96, 96 * index : 96 * (index + 1)] for index in range(6)]
    moved = [np.count_nonzero(np.abs(one - outside[0]).max(axis=2) > 60) for one in outside]
    assert moved[1] < moved[-1]  # the scope grows, and nothing else changes
    assert moved[-1] < 0.1 * 96 * 96

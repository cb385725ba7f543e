"""The scripted scene: its path, its film, and what it refuses."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from assets.errors import InputError
from scenarios.play import PlayOptions, animation_bytes, play, script


def test_the_grasper_comes_from_its_port_and_its_path_has_no_jumps():
    port, fundus = np.array([0.11, 0.07, -0.02]), np.array([0.07, 0.06, 0.05])
    phases = script(port, fundus)
    for before, after in pairwise(phases):
        np.testing.assert_allclose(before.end, after.start, atol=1e-12)
    assert np.linalg.norm(phases[0].start - port) == pytest.approx(0.02)
    assert phases[4].name == "lift"
    assert (phases[4].end - phases[4].start)[2] > 0.03  # cranially
    fastest = max(np.linalg.norm(phase.end - phase.start) / phase.steps / 0.1 for phase in phases)
    assert fastest < 0.2  # m/s, the insertion's limit


def test_a_film_holds_every_frame_in_its_order(tmp_path):
    frames = [np.full((24, 32, 3), (value, 255 - value, 60), np.uint8) for value in (0, 80, 160, 240)]
    path = tmp_path / "film.webp"
    path.write_bytes(animation_bytes(frames, 0.1, quality=90))
    found, film = cv2.imreadanimation(str(path))
    assert found
    assert list(film.durations) == [100] * 4
    for frame, shown in zip(frames, film.frames, strict=True):
        assert np.abs(shown[..., 2::-1].astype(int) - frame).max() < 12


def test_a_patient_without_a_gallbladder_is_refused_in_a_line(tmp_path: Path):
    with pytest.raises(InputError, match="expected the landmark gallbladder_fundus"):
        play(PlayOptions(tmp_path / "out", patient="synth:colon:0"))

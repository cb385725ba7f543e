"""Automatic exposure against the closed form of its approach."""

import math

import pytest

from assets.errors import InputError
from sim.exposure import AutoExposure


def test_approaches_exponentially_and_settles():
    exposure = AutoExposure(target=0.2, settling_time=0.5)
    scene = 0.05
    for step in range(1, 40):
        exposure.update(scene * exposure.gain, 0.1)
        # The gain wanted is 4; its logarithm is approached with the time constant.
        expected = 4 ** (1 - math.exp(-step * 0.1 / 0.5))
        assert exposure.gain == pytest.approx(expected, rel=1e-9)
    assert exposure.gain == pytest.approx(4, rel=1e-2)


def test_pace_does_not_depend_on_the_step():
    fine, coarse = AutoExposure(), AutoExposure()
    for _ in range(10):
        fine.update(0.02 * fine.gain, 0.02)
    for _ in range(2):
        coarse.update(0.02 * coarse.gain, 0.1)
    assert fine.gain == pytest.approx(coarse.gain, rel=1e-9)


def test_gain_is_bounded_also_for_black_and_white():
    exposure = AutoExposure(lowest=0.1, highest=8.0)
    for _ in range(100):
        exposure.update(0.0, 0.1)
    assert exposure.gain == 8.0
    for _ in range(200):
        exposure.update(1.0, 0.1)
    assert exposure.gain == 0.1
    exposure.reset()
    assert exposure.gain == 1.0


def test_refuses_what_makes_no_sense():
    with pytest.raises(InputError, match="target"):
        AutoExposure(target=2.0)
    with pytest.raises(InputError, match="settling"):
        AutoExposure(settling_time=0.0)

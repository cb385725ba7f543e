from dataclasses import replace

import numpy as np
import pytest

from perception.prediction import Prediction
from scenarios.drivers.dead_time import DeadTime, Meanwhile
from scenarios.drivers.steering import Steering, SteeringOptions
from scenarios.scope_episode import ScopeReadings
from scenarios.truth import nothing_seen


def at(step: int, *, right: float = 0.0, up: float = 0.0) -> ScopeReadings:
    return ScopeReadings(
        time=0.1 * step,
        exposure=1.0,
        insertion=0.3 + 0.008 * step,
        bend_up=up,
        bend_right=right,
        roll=0.0,
        push_force=0.0,
        blocked=False,
    )


def lumen(right: float, step: int | None) -> Prediction:
    """Say that the lumen lay so far to the right [rad] in the frame of a control step."""
    seen = nothing_seen((16, 16), np.array([np.sin(right), 0.0, np.cos(right)]))
    seen.depth[:] = 0.1
    return replace(seen, time=None if step is None else 0.1 * step)


def test_what_the_wheels_have_done_since_the_frame_is_known():
    memory = DeadTime()
    for step in range(6):
        readings = at(step, right=0.1 * step, up=-0.2 * step)
        assert memory.since(lumen(0, step), readings) == Meanwhile(0.0, 0.0, 0.0)
    found = memory.since(lumen(0, 3), at(6, right=0.6, up=-1.2))
    assert (found.right, found.up, found.age) == pytest.approx((0.3, -0.6, 0.3))
    assert memory.since(lumen(0, None), at(7)) == Meanwhile(0.0, 0.0, 0.0)


def test_a_frame_from_before_the_episode_counts_from_its_first_readings():
    found = DeadTime().since(lumen(0, -3), at(2, right=0.5))
    assert (found.right, found.up, found.age) == pytest.approx((0, 0, 0.5))


def test_a_turn_that_was_made_since_is_not_made_again():
    steering, options = Steering(), SteeringOptions()
    first = steering.command(lumen(0.4, 0), at(0), "insertion")
    assert first.bend_right == pytest.approx(options.gain * 0.4)
    late = steering.command(lumen(0.4, 0), at(1, right=0.4), "insertion")
    assert late.bend_right == pytest.approx(0, abs=1e-9)
    beyond = steering.command(lumen(0.4, 0), at(2, right=0.6), "withdrawal")
    assert not beyond.free
    assert beyond.bend_right < options.gain * options.sweep_angle


def test_dead_time_does_not_sway_a_tip():
    """Four steps late, 0.35 of the angle a step: without what was done meanwhile each correction is made five times."""
    steering, late, target, tip = Steering(), 4, 0.5, [0.0]
    for step in range(40):
        seen = max(0, step - late)
        command = steering.command(lumen(target - tip[seen], seen), at(step, right=tip[-1]), "insertion")
        tip.append(tip[-1] + command.bend_right)
    assert max(tip) < 1.02 * target
    assert tip[-1] == pytest.approx(target, rel=1e-3)


def test_the_later_a_frame_comes_the_slower_the_scope_goes():
    options = SteeringOptions()
    speeds = []
    for late in (0, 1, 4, 8):
        steering = Steering()
        speeds.append(steering.command(lumen(0, -late), at(0), "insertion").advance)
    assert speeds[0] == options.step
    assert speeds == sorted(speeds, reverse=True)
    for late, speed in zip((4, 8), speeds[2:], strict=True):
        assert speed * (late + 1) == pytest.approx(options.unseen_way)

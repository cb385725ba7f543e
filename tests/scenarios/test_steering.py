from dataclasses import replace

import numpy as np
import pytest

from perception.prediction import Prediction
from scenarios.drivers.steering import Steering, SteeringOptions
from scenarios.scope_episode import ScopeReadings
from scenarios.truth import nothing_seen


def prediction(direction: tuple[float, float, float], depth: float = 0.1) -> Prediction:
    seen = nothing_seen((16, 16), np.array(direction) / np.linalg.norm(direction))
    seen.depth[:] = depth
    return seen


def readings(*, blocked: bool = False) -> ScopeReadings:
    return ScopeReadings(
        time=0.0, exposure=1.0, insertion=0.3, bend_up=0.0, bend_right=0.0, roll=0.0, push_force=0.0, blocked=blocked
    )


def test_a_lumen_straight_ahead_is_followed_at_full_speed():
    command = Steering().command(prediction((0, 0, 1)), readings(), "insertion")
    assert command.advance == pytest.approx(SteeringOptions().step)
    assert command.bend_up == command.bend_right == 0


@pytest.mark.parametrize(
    ("direction", "up", "right"), [((1, 0, 1), 0, 1), ((-1, 0, 1), 0, -1), ((0, -1, 1), 1, 0), ((0, 1, 1), -1, 0)]
)
def test_the_tip_bends_towards_the_lumen_by_the_gain_times_the_angle(
    direction: tuple[float, float, float], up: int, right: int
):
    options = SteeringOptions()
    command = Steering(options).command(prediction(direction), readings(), "insertion")
    assert command.bend_up == pytest.approx(up * options.gain * np.pi / 4)
    assert command.bend_right == pytest.approx(right * options.gain * np.pi / 4)
    assert command.advance < options.step


def test_towards_a_lumen_far_off_the_axis_the_scope_crawls():
    options = SteeringOptions()
    command = Steering(options).command(prediction((1, 0, -0.5)), readings(), "insertion")
    assert command.advance == pytest.approx(options.crawl * options.step)


def test_a_push_that_does_not_lengthen_the_insertion_ends_in_a_retreat():
    options, steering = SteeringOptions(), Steering()
    ahead = prediction((0, 0, 1))
    commands = [steering.command(ahead, readings(), "insertion").advance for _ in range(options.patience)]
    assert min(commands[:-1]) > 0
    assert commands[-1] < 0


@pytest.mark.parametrize("cause", ["blocked", "wall"])
def test_a_closed_way_is_left_backwards_for_some_steps(cause: str):
    options, steering = SteeringOptions(), Steering()
    near = prediction((0, 0, 1), depth=0.5 * options.near if cause == "wall" else 0.1)
    for _ in range(options.near_steps - 1 if cause == "wall" else 0):
        assert steering.command(near, readings(), "insertion").advance > 0
    first = steering.command(near, readings(blocked=cause == "blocked"), "insertion")
    assert first.advance < 0
    for _ in range(options.retreat_steps - 1):
        assert steering.command(prediction((0, 0, 1)), readings(), "insertion").advance < 0
    assert steering.command(prediction((0, 0, 1)), readings(), "insertion").advance > 0


def test_a_wall_at_the_lens_for_a_moment_is_slid_by():
    """One such frame in every flexure drew the scope back, again and again, and the oracle never got round."""
    options, steering = SteeringOptions(), Steering()
    near, clear = prediction((0, 0, 1), depth=0.5 * options.near), prediction((0, 0, 1))
    sees = ([near] * (options.near_steps - 1) + [clear]) * 3
    inside = [0.3 + 0.006 * step for step in range(len(sees))]
    commands = [
        steering.command(one, replace(readings(), insertion=far), "insertion")
        for one, far in zip(sees, inside, strict=True)
    ]
    assert all(command.advance > 0 for command in commands)


def test_reset_forgets_a_retreat():
    steering = Steering()
    steering.command(prediction((0, 0, 1)), readings(blocked=True), "insertion")
    steering.reset()
    assert steering.command(prediction((0, 0, 1)), readings(), "insertion").advance > 0


def test_withdrawal_pulls_and_sweeps_all_round():
    steering = Steering()
    commands = [steering.command(prediction((0, 0, 1)), readings(), "withdrawal") for _ in range(16)]
    assert all(command.advance == -SteeringOptions().withdrawal_step for command in commands)
    ups, rights = [one.bend_up for one in commands], [one.bend_right for one in commands]
    assert min(ups) < -0.1
    assert max(ups) > 0.1
    assert min(rights) < -0.1
    assert max(rights) > 0.1
    assert sum(ups) == pytest.approx(0, abs=1e-9)


def pulled(force: float) -> ScopeReadings:
    return replace(readings(), push_force=-force)


def test_a_hooked_tip_is_let_go_until_it_looks_along_the_lumen():
    options, steering = SteeringOptions(), Steering()
    aside, ahead = prediction((1, 0, 0.2)), prediction((0, 0, 1))
    assert not steering.command(aside, pulled(0.9 * options.hard_pull), "withdrawal").free
    hooked = steering.command(aside, pulled(1.1 * options.hard_pull), "withdrawal")
    assert hooked.free
    assert -options.withdrawal_step < hooked.advance < 0
    assert abs(hooked.roll) == options.torque
    eased = steering.command(aside, pulled(0.0), "withdrawal")
    assert eased.free
    assert eased.advance == -options.withdrawal_step
    steering.command(ahead, pulled(0.0), "withdrawal")
    assert not steering.command(ahead, pulled(0.0), "withdrawal").free


def test_the_wheels_are_taken_up_again_in_the_end():
    options, steering = SteeringOptions(), Steering()
    aside = prediction((1, 0, 0.2))
    steering.command(aside, pulled(1.1 * options.hard_pull), "withdrawal")
    free = [steering.command(aside, pulled(0.0), "withdrawal").free for _ in range(options.loose_steps)]
    assert all(free[:-1])
    assert not free[-1]

from dataclasses import replace

import numpy as np
import pytest

from perception.prediction import POLYP, Prediction, mask_centres
from scenarios.drivers.second_look import SecondLook, SecondLookOptions
from scenarios.drivers.steering import Steering, SteeringOptions
from scenarios.scope_episode import ScopeReadings
from scenarios.truth import nothing_seen

SIDE = 64
OPTIONS = SecondLookOptions()


def seen(belief: float = 1.0, row: int = 16, column: int = 48) -> Prediction:
    """Say that a square of 8 px about a place may be a polyp."""
    nothing = nothing_seen((SIDE, SIDE), np.array([0.0, 0.0, 1.0]))
    probabilities = nothing.probabilities.copy()
    where = np.s_[row - 4 : row + 4, column - 4 : column + 4]
    probabilities[POLYP][where] = belief
    probabilities[0][where] = 1 - belief
    centres = mask_centres(probabilities[POLYP] > 0)
    centres[:, 2] = belief
    return replace(nothing, probabilities=probabilities, polyp_centres=centres)


def readings(insertion: float, push_force: float = 0.0) -> ScopeReadings:
    return ScopeReadings(
        time=0.0,
        exposure=1.0,
        insertion=insertion,
        bend_up=0.0,
        bend_right=0.0,
        roll=0.0,
        push_force=push_force,
        blocked=False,
    )


@pytest.mark.parametrize(
    ("row", "column", "up", "right"), [(16, 32, 1, 0), (48, 32, -1, 0), (32, 48, 0, 1), (32, 16, 0, -1)]
)
def test_the_tip_turns_to_what_may_be_a_polyp_by_a_share_of_the_angle(row: int, column: int, up: int, right: int):
    bend = SecondLook().bend(seen(row=row, column=column), 0.5)
    assert bend is not None
    angle = OPTIONS.turn * np.radians(140) / 4  # a quarter of the picture's width
    assert bend == pytest.approx((up * angle, right * angle), abs=0.01)


@pytest.mark.parametrize("way", [-1, 1])
def test_a_look_takes_its_steps_and_the_next_begins_a_way_farther_on(way: int):
    look, polyp = SecondLook(), seen()
    stays = [look.bend(polyp, 0.5) is not None for _ in range(OPTIONS.steps + 3)]
    assert stays == [True] * OPTIONS.steps + [False] * 3
    assert look.bend(polyp, 0.5 + way * 0.9 * OPTIONS.spacing) is None
    assert look.bend(polyp, 0.5 + way * 1.1 * OPTIONS.spacing) is not None


def test_a_look_ends_when_nothing_is_there_any_more():
    look = SecondLook()
    assert look.bend(seen(), 0.5) is not None
    assert look.bend(nothing_seen((SIDE, SIDE), np.array([0.0, 0.0, 1.0])), 0.5) is None
    assert look.bend(seen(), 0.5) is None


def test_what_is_hardly_believed_is_passed():
    assert SecondLook().bend(seen(belief=0.27), 0.5) is None  # a region, with a score of 0.12
    assert SecondLook().bend(seen(belief=0.4), 0.5) is not None


@pytest.mark.parametrize(("phase", "speed"), [("insertion", 1), ("withdrawal", -1)])
def test_the_scope_stays_where_a_polyp_may_be_and_goes_on(phase: str, speed: int):
    steering, options = Steering(), SteeringOptions()
    full = options.step if speed > 0 else options.withdrawal_step
    stays = [steering.command(seen(), readings(0.5), phase).advance for _ in range(OPTIONS.steps + 1)]
    assert stays == [0.0] * OPTIONS.steps + [speed * full]
    steering.reset()
    assert steering.command(seen(), readings(0.5), phase).advance == 0


def test_looks_are_no_reason_to_draw_back():
    """The insertion does not grow meanwhile, as where the shaft is stuck."""
    steering, inside = Steering(), 0.3
    for _ in range(60):
        command = steering.command(seen(), readings(inside), "insertion")
        assert command.advance >= 0
        inside += 0.4 * command.advance


def test_a_hooked_tip_is_let_go_and_not_turned():
    command = Steering().command(seen(), readings(0.5, push_force=-1.1 * SteeringOptions().hard_pull), "withdrawal")
    assert command.free
    assert command.advance < 0

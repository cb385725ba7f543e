from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.errors import InputError
from scenarios.catalogue import driver_named
from scenarios.clock import PerceptionClock, check_latency
from scenarios.colonoscopy import COLONOSCOPY, TASK
from scenarios.drivers.model import Model
from scenarios.loop import run_episode
from scenarios.truth import nothing_seen

BRIEF = replace(COLONOSCOPY, max_steps=8)


def known(latency: float, steps: int = 8) -> list[int | None]:
    """Ask at each control step of 0.1 s which of the frames, numbered, is known."""
    clock: PerceptionClock[int] = PerceptionClock()
    found = []
    for step in range(steps):
        clock.put(0.1 * step, latency, step)
        found.append(clock.take(0.1 * step))
    return found


def test_without_latency_each_frame_is_known_at_once():
    assert known(0.0) == list(range(8))


@given(st.integers(1, 700))
def test_a_frame_is_used_in_the_first_control_step_that_is_not_earlier(milliseconds):
    late = -(-milliseconds // 100)  # in control steps, rounded up
    assert known(milliseconds / 1000) == [None if step < late else step - late for step in range(8)]


def test_what_was_overtaken_is_dropped():
    clock: PerceptionClock[str] = PerceptionClock()
    clock.put(0.0, 0.25, "slow")
    clock.put(0.1, 0.05, "quick")
    assert clock.take(0.1) is None
    assert clock.take(0.2) == "quick"
    assert clock.take(0.3) == "quick"
    clock.reset()
    assert clock.take(0.4) is None
    assert not clock.busy(0.0)


def test_one_frame_at_a_time():
    clock: PerceptionClock[int] = PerceptionClock()
    clock.put(0.2, 0.1, 1)
    assert clock.busy(0.25)
    assert not clock.busy(0.3)


@pytest.mark.parametrize("wrong", [-1.0, 1e5, float("nan"), float("inf")])
def test_a_latency_that_is_none_is_refused(wrong):
    with pytest.raises(InputError, match="evaluate: expected a latency within 0 and 10000 ms or measured"):
        check_latency(wrong, "evaluate")
    check_latency("measured", "evaluate")


class Noted:
    """A network that notes which pictures it saw; the direction tells their number."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.looks = seconds, 0
        self.now = 0.0
        """[s] On a clock of its own, which no other work on the machine slows."""

    def __call__(self, rgb, exposure):
        self.now += self.seconds
        self.looks += 1
        return replace(nothing_seen(rgb.shape[:2], np.array([0.0, 0.0, 1.0])), frame_uncertainty=float(self.looks))


def acted_on(scene, network, latency) -> tuple[list[float], float]:
    seen = []

    def note(moment):
        seen.append(moment.prediction.frame_uncertainty)
        return True

    episode = run_episode(scene, BRIEF, Model(network), 1, latency=latency, recorder=note)
    return seen, episode.summary.latency_p50_ms


def test_the_controller_acts_on_what_it_knew_before(tube_scene):
    assert acted_on(tube_scene, Noted(), 0.0)[0] == [1, 2, 3, 4, 5, 6, 7, 8]
    # nothing_seen, whose uncertainty is 1 too, until the first is through
    assert acted_on(tube_scene, Noted(), 250.0)[0] == [1, 1, 1, 1, 2, 3, 4, 5]


def test_a_measured_latency_counts_and_keeps_the_network_busy(tube_scene, monkeypatch):
    slow = Noted(0.15)
    monkeypatch.setattr("scenarios.loop.time.perf_counter", lambda: slow.now)
    seen, p50 = acted_on(tube_scene, slow, "measured")
    assert slow.looks == 4  # while it looks at one frame, the next comes and goes
    assert seen == [1, 1, 1, 1, 2, 2, 3, 3]
    assert p50 == pytest.approx(150)


def test_a_set_latency_and_the_error_latency_ms_are_one(tube_scene):
    from scenarios.drivers.flawed import Flawed

    late = run_episode(tube_scene, BRIEF, driver_named("oracle", TASK), 1, latency=200.0)
    flawed = run_episode(tube_scene, BRIEF, Flawed(driver_named("oracle", TASK), "latency_ms", 200.0), 1)
    in_time = run_episode(tube_scene, BRIEF, driver_named("oracle", TASK), 1)
    measured = run_episode(tube_scene, BRIEF, driver_named("oracle", TASK), 1, latency="measured")
    np.testing.assert_array_equal(late.path, flawed.path)
    np.testing.assert_array_equal(in_time.path, measured.path)  # what the truth tells is known at once
    assert not np.array_equal(late.path, in_time.path)

"""The inspector: turns to polyps, keeps its distance, and goes on."""

import numpy as np
import pytest

from perception.prediction import CLASSES, POLYP, WALL
from scenarios.catalogue import driver_named
from scenarios.colonoscopy import TASK, endoscope_camera
from scenarios.drivers.inspector import Inspector, InspectorOptions
from scenarios.interface import Observation, Truth
from scenarios.scope_episode import ScopeReadings
from sim.frame import Frame

CAMERA = endoscope_camera(48, 48)
PLACE = (12, 30)  # row, column
READINGS = ScopeReadings(
    time=0.0, exposure=1.0, insertion=0.3, bend_up=0.0, bend_right=0.0, roll=0.0, push_force=0.0, blocked=False
)


def observation(*, depth: float, side: int) -> Observation:
    """Return a view of a wall with a square polyp of a side [px] at PLACE, at a depth [m]."""
    classes = np.full((48, 48), WALL, np.uint8)
    row, column = PLACE
    classes[row - side : row + side + 1, column - side : column + side + 1] = POLYP
    frame = Frame(
        rgb=np.zeros((48, 48, 3), np.uint8),
        semantic=classes,
        instance=classes.astype(np.uint16),
        depth=np.full((48, 48), depth, np.float32),
        normal=np.zeros((48, 48, 3), np.float32),
        flow=np.zeros((48, 48, 2), np.float32),
        flow_valid=np.zeros((48, 48), np.bool_),
        T_world_camera=np.eye(4),
        camera=CAMERA,
        time=0.0,
        exposure=1.0,
    )
    truth = Truth(frame, np.array([0.0, 0.0, 1.0]), True, classes, len(CLASSES), POLYP)
    return Observation(frame.rgb, CAMERA, READINGS, truth)


@pytest.fixture
def inspector() -> Inspector:
    driver = Inspector(InspectorOptions(near=(0.01, 0.01), astray=0.0, watched_steps=4, passed_steps=3))
    driver.reset(np.random.default_rng(0))
    return driver


def test_it_turns_to_a_polyp_and_goes_to_its_distance(inspector: Inspector) -> None:
    row, column = PLACE
    seen = inspector.perceive(observation(depth=0.03, side=3))
    np.testing.assert_allclose(seen.lumen_direction, CAMERA.rays()[0][row, column], atol=1e-6)
    assert inspector.act(seen, READINGS, "insertion").advance == InspectorOptions.advance
    near = inspector.perceive(observation(depth=0.006, side=3))
    assert inspector.act(near, READINGS, "insertion").advance == pytest.approx(-InspectorOptions.advance)
    there = inspector.perceive(observation(depth=0.01, side=3))
    assert abs(inspector.act(there, READINGS, "insertion").advance) < 1e-6


def test_it_goes_on_after_a_while_and_looks_again_later(inspector: Inspector) -> None:
    towards = CAMERA.rays()[0][PLACE]
    looks = [
        bool(np.allclose(inspector.perceive(observation(depth=0.02, side=3)).lumen_direction, towards, atol=1e-6))
        for _ in range(12)
    ]
    assert looks == [True] * 4 + [False] * 3 + [True] * 4 + [False]


def test_it_comes_near_slowly_to_the_last(inspector: Inspector) -> None:
    ways = []
    for _ in range(4):
        seen = inspector.perceive(observation(depth=0.03, side=3))
        ways.append(inspector.act(seen, READINGS, "insertion").advance)
    assert ways == [InspectorOptions.advance] * 4


def test_a_speck_of_a_polyp_is_passed_by(inspector: Inspector) -> None:
    towards = CAMERA.rays()[0][PLACE]
    for _ in range(6):
        seen = inspector.perceive(observation(depth=0.02, side=0))
        assert not np.allclose(seen.lumen_direction, towards, atol=1e-2)
        assert inspector.act(seen, READINGS, "insertion").advance != pytest.approx(InspectorOptions.advance)


def test_it_comes_by_its_name() -> None:
    assert isinstance(driver_named("inspector", TASK), Inspector)

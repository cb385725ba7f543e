"""The rod against beam theory, rigid kinematics and friction on a plane."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from assets.instruments.flexible import COLONOSCOPE
from assets.patient import Orifice
from assets.transforms import parallel_frames, unit
from sim.flexible_scope import FlexibleScope
from sim.rod_forces import SAMPLES
from sim.scope_state import ScopeCommand
from sim.wall_distance import WallDistance

AXIS = np.array([0.0, 0.0, 1.0])
PATH = AXIS * np.linspace(0.0, 1.0, 500)[:, None]
ORIFICE = Orifice("anus", "colon_lumen", np.zeros(3), AXIS, 0.01)
UNIFORM = {"shaft_rigidity": 0.02, "passive_rigidity": 0.02, "bending_rigidity": 0.02}


def space(*, floor: float = -10.0) -> WallDistance:
    """Free space above a floor at y = `floor`; linear, so that interpolation is exact."""
    spacing = 0.05
    y = -1.0 + spacing * np.arange(41)
    values = np.broadcast_to((y - floor)[None, :, None], (41, 41, 41)).astype(np.float32)
    return WallDistance(np.ascontiguousarray(values), np.array([-1.0, -1.0, -1.0]), spacing)


def settled(scope: FlexibleScope, steps: int) -> FlexibleScope:
    for _ in range(steps):
        scope.step(ScopeCommand())
    return scope


def test_a_cantilever_sags_as_the_beam_equation_says():
    device = replace(COLONOSCOPE, **UNIFORM)
    scope = settled(FlexibleScope(space(), ORIFICE, PATH, insertion=0.125, device=device), 150)
    nodes = scope.state.nodes
    # Held in place and direction at the last node, the discrete beam is as one clamped half a segment behind it.
    arm = device.spacing * (np.arange(len(nodes) - 1, -1, -1) + 0.5)
    load = device.density * device.spacing * 9.81
    sag = sum(load * a * a * (3 * arm[0] - a) / (6 * device.shaft_rigidity) for a in arm)
    assert nodes[-1, 1] - nodes[0, 1] == pytest.approx(sag, rel=0.02)
    assert nodes[-1, 1] - nodes[0, 1] > 2e-3


@pytest.mark.parametrize(("up", "right"), [(90, 0), (0, 90), (-60, 0), (40, -70)])
def test_a_free_tip_turns_by_the_commanded_angles(up, right):
    device = replace(COLONOSCOPE, density=0.0)
    scope = FlexibleScope(space(), ORIFICE, PATH, insertion=0.2, device=device)
    before = scope.state.T_world_camera[:3, :3]
    for _ in range(150):
        state = scope.step(
            ScopeCommand(
                bend_up=np.radians(up) - scope.state.bend_up, bend_right=np.radians(right) - scope.state.bend_right
            )
        )
    turn = np.radians(np.hypot(up, right))
    toward = (right * before[:, 0] - up * before[:, 1]) / np.hypot(up, right)
    expected = np.cos(turn) * before[:, 2] + np.sin(turn) * toward
    assert np.degrees(np.arccos(expected @ state.T_world_camera[:3, 2])) < 1.0
    np.testing.assert_allclose(state.T_world_camera[:3, :3].T @ state.T_world_camera[:3, :3], np.eye(3), atol=1e-9)


def test_roll_turns_the_picture_about_its_axis():
    scope = FlexibleScope(space(), ORIFICE, PATH, insertion=0.2, device=replace(COLONOSCOPE, density=0.0))
    before = scope.state.T_world_camera[:3, :3]
    for _ in range(6):
        state = scope.step(ScopeCommand(roll=np.radians(15)))
    after = state.T_world_camera[:3, :3]
    np.testing.assert_allclose(after[:, 2], before[:, 2], atol=1e-6)
    np.testing.assert_allclose(after[:, 0], before[:, 1], atol=1e-6)  # clockwise, seen along the axis
    assert state.roll == pytest.approx(np.radians(90))


def test_roll_swings_a_bent_tip_around_the_shaft():
    scope = FlexibleScope(space(), ORIFICE, PATH, insertion=0.2, device=replace(COLONOSCOPE, density=0.0))
    for _ in range(6):
        bent = scope.step(ScopeCommand(bend_up=np.radians(15))).T_world_camera[:3, 2]
    for _ in range(12):
        turned = scope.step(ScopeCommand(roll=np.radians(15))).T_world_camera[:3, 2]
    settled(scope, 20)
    turned = scope.state.T_world_camera[:3, 2]
    np.testing.assert_allclose(turned[:2], -bent[:2], atol=0.05)


def test_the_camera_frame_is_carried_without_twist():
    scope = FlexibleScope(space(), ORIFICE, PATH, insertion=0.3)
    for k in range(15):
        scope.step(ScopeCommand(0.006, 0.1 * np.cos(k), 0.1, 0.0))
    nodes = scope.state.nodes[::-1]
    tangents = np.concatenate([[AXIS], unit(np.diff(nodes, axis=0))])
    first = np.cross(AXIS, [0.0, 1.0, 0.0])
    # Carried through many small turns, the projection of `parallel_frames` meets the exact transport.
    shares = np.linspace(0, 1, 50, endpoint=False)[:, None]
    fine = [unit((1 - shares) * a + shares * b) for a, b in pairwise(tangents)]
    expected = parallel_frames(np.concatenate([*fine, tangents[-1:]]), first)[-1]
    np.testing.assert_allclose(scope.state.T_world_camera[:3, :3], expected, atol=1e-3)


def test_the_shaft_keeps_its_length():
    scope = FlexibleScope(space(), ORIFICE, PATH, insertion=0.1)
    for k in range(40):
        scope.step(ScopeCommand(0.008, 0.2 * np.sin(k), 0.1))
    lengths = np.linalg.norm(np.diff(scope.state.nodes, axis=0), axis=1)
    np.testing.assert_allclose(lengths, 0.01, rtol=2e-3)


def test_sliding_along_a_floor_takes_the_friction_of_the_weight():
    device = COLONOSCOPE
    friction = 0.5
    # The wall's force reaches 0.3 mm; each sample floats where it carries its share of the weight.
    sunk = np.sqrt(2 * 6e-4 * (9.81 * device.density * device.spacing / SAMPLES) / (1e5 * 2 / SAMPLES))
    floor = -device.tube_radius - 3e-4 + sunk
    scope = settled(
        FlexibleScope(space(floor=floor), ORIFICE, PATH, insertion=0.3, friction=friction, device=device), 5
    )
    for _ in range(10):
        state = scope.step(ScopeCommand(0.004))
    weight = 9.81 * device.density * state.insertion
    drag = 3.0 * state.insertion * 0.04
    # The first centimetres hang on the entrance instead of lying on the floor.
    assert state.push_force == pytest.approx(friction * weight + drag, rel=0.12)
    without = settled(FlexibleScope(space(floor=floor), ORIFICE, PATH, insertion=0.3, friction=0.0, device=device), 5)
    for _ in range(10):
        state = without.step(ScopeCommand(0.004))
    assert state.push_force == pytest.approx(drag, rel=0.1)


def test_a_step_needs_no_more_work_space_than_it_has():
    device = replace(COLONOSCOPE, length=0.5)
    scope = FlexibleScope(space(), ORIFICE, PATH, insertion=0.2, device=device)
    for _ in range(60):
        state = scope.step(ScopeCommand(0.008))
    assert state.insertion <= device.length - 3 * device.spacing
    assert np.isfinite(state.nodes).all()
    for _ in range(80):
        state = scope.step(ScopeCommand(-0.008))
    assert state.insertion == pytest.approx(0.04, abs=1e-3)
    assert np.isfinite(state.nodes).all()

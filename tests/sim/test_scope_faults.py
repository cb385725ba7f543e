"""What goes wrong is said, with place and time; a fast hand does not push the scope through a wall."""

import re
from dataclasses import replace

import numpy as np
import pytest

from assets.instruments.flexible import COLONOSCOPE
from assets.patient import Orifice
from sim.flexible_scope import FlexibleScope
from sim.rod_faults import find_fault, shaft_radius
from sim.scope_state import ScopeCommand
from sim.wall_distance import WallDistance, patient_wall_distance

AXIS = np.array([0.0, 0.0, 1.0])
PATH = AXIS * np.linspace(0.0, 1.0, 500)[:, None]
ORIFICE = Orifice("anus", "colon_lumen", np.zeros(3), AXIS, 0.01)
PLACE = r"at \(-?[\d.]+, -?[\d.]+, -?[\d.]+\) mm, \d+\.\d s"


def room(spoil: float | None = None, *, beyond: float = 0.0) -> WallDistance:
    """Free space 1 m wide; its distance is `spoil` from z = `beyond` on."""
    spacing = 0.02
    values = np.full((101, 101, 101), 1.0, np.float32)
    if spoil is not None:
        values[:, :, round((beyond + 1) / spacing) :] = spoil
    return WallDistance(values, np.array([-1.0, -1.0, -1.0]), spacing)


def test_a_lost_number_is_a_fault_and_the_scope_stays_where_it_was():
    scope = FlexibleScope(room(), ORIFICE, PATH, insertion=0.1)
    states = [scope.step(ScopeCommand(0.008)) for _ in range(5)]
    scope._rod.stretch_stiffness = float("inf")
    states += [scope.step(ScopeCommand(0.008)) for _ in range(3)]
    assert [state.fault == "" for state in states] == [True] * 5 + [False] * 3
    assert re.fullmatch(rf"not finite: node \d+ of the colonoscope was lost {PLACE}", states[-1].fault)
    np.testing.assert_array_equal(states[4].nodes, states[-1].nodes)
    assert states[-1].time == pytest.approx(0.8)
    assert "0.6 s" in states[-1].fault


def test_a_wall_that_is_no_number_is_a_fault():
    scope = FlexibleScope(room(float("nan"), beyond=0.2), ORIFICE, PATH, insertion=0.1)
    assert scope.state.fault == ""
    states = [scope.step(ScopeCommand(0.008)) for _ in range(30)]
    first = next(k for k, state in enumerate(states) if state.fault)
    assert re.fullmatch(rf"not finite: the wall's distance from node \d+ .* is lost {PLACE}", states[-1].fault)
    assert f"{states[first].time:.1f} s" in states[-1].fault
    assert 0.15 < states[first].insertion < 0.22
    assert scope.reset().fault == ""


def test_a_shaft_inside_the_wall_is_a_fault():
    scope = FlexibleScope(room(), ORIFICE, PATH, insertion=0.3)
    blocked = FlexibleScope(room(-0.005, beyond=0.2), ORIFICE, PATH, insertion=0.3)
    assert scope.step(ScopeCommand()).fault == ""
    fault = blocked.step(ScopeCommand()).fault
    assert re.fullmatch(rf"tunnelling: node \d+ of the colonoscope is 5.0 mm in the wall {PLACE}", fault)
    z = float(re.search(r", ([\d.]+)\) mm", fault)[1])
    assert 190 < z < 310


def test_a_thin_wall_between_two_nodes_is_seen():
    wall = room()
    spacing, thin = 0.001, np.full((61, 61, 401), 0.02, np.float32)
    z = -0.05 + spacing * np.arange(401)
    thin[:] = np.minimum(0.02, np.abs(z - 0.2035) - 0.001)  # a sheet 2 mm thick
    wall = WallDistance(thin, np.array([-0.03, -0.03, -0.05]), spacing)
    scope = FlexibleScope(room(), ORIFICE, PATH, insertion=0.3)
    through = FlexibleScope(wall, ORIFICE, PATH, insertion=0.3)
    assert not scope.state.fault
    assert through.step(ScopeCommand()).fault.startswith("tunnelling")


def test_a_shaft_folded_upon_itself_has_buckled():
    bend = 0.02 * np.stack([np.cos(np.arange(8) / 2), np.sin(np.arange(8) / 2), np.zeros(8)], axis=1)
    np.testing.assert_allclose(shaft_radius(bend), 0.02, rtol=1e-9)
    free = np.ones(7)
    assert find_fault("scope", 1.0, bend, bend, free, bending=0, tightest=0.019) == ""
    fault = find_fault("scope", 1.0, bend, bend, free, bending=0, tightest=0.021)
    assert re.fullmatch(rf"buckling: the scope is bent to a radius of 20 mm, tighter than 21 mm, {PLACE}", fault)
    assert find_fault("scope", 1.0, bend, bend, free, bending=6, tightest=0.021) == ""


def test_a_soft_shaft_pushed_against_a_dead_end_buckles():
    """A shaft far softer than a colonoscope's folds in a lumen whose end its tip has reached."""
    soft = replace(COLONOSCOPE, shaft_rigidity=2e-4, passive_rigidity=2e-4, bending_rigidity=2e-3)
    spacing = 0.004
    across = -0.04 + spacing * np.arange(21)
    along = -0.2 + spacing * np.arange(121)
    side = 0.025 - np.hypot(across[:, None, None], across[None, :, None])
    values = np.minimum(side, 0.25 - along[None, None, :]).astype(np.float32)
    wall = WallDistance(values, np.array([-0.04, -0.04, -0.2]), spacing)
    scope = FlexibleScope(wall, ORIFICE, PATH, insertion=0.2, friction=0.5, device=soft)
    states = [scope.step(ScopeCommand(0.008)) for _ in range(60)]
    assert states[0].fault == ""
    assert states[-1].fault.startswith("buckling: the colonoscope is bent")
    stiff = FlexibleScope(wall, ORIFICE, PATH, insertion=0.2, friction=0.5)
    for _ in range(12):
        stiff.step(ScopeCommand(0.008))
    assert stiff.state.fault == ""


@pytest.mark.parametrize("angle", [0.0, 1.2])
def test_a_scope_at_three_metres_a_second_stays_in_the_lumen(tube_patient, angle):
    """A hand that fast, 0.3 m in a control step, into a dead end and against the outer wall of a bend."""
    patient = tube_patient(radius=0.014, straight=0.2, bend_radius=0.05, angle=angle, after=0.05)
    wall = patient_wall_distance(patient)
    fast = replace(COLONOSCOPE, max_advance=0.3)
    scope = FlexibleScope(wall, patient.orifices[0], patient.centrelines[0].points, device=fast)
    end = patient.centrelines[0].points[-1]
    for step in range(12):
        state = scope.step(ScopeCommand(0.3 if step % 4 < 3 else -0.3, 0.2))
        inside = state.nodes[state.nodes[:, 2] > 0.012]
        assert wall.distance(inside).min() > 0.004
        assert state.fault == ""
        assert state.push_force <= fast.push_limit * 1.001
    assert np.linalg.norm(state.T_world_camera[:3, 3] - end) < 0.5
    assert scope._rod.substeps > 6

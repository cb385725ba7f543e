"""The scope in a lumen: it gets through with steering, not without; it does not pass walls, and repeats itself."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assets.errors import InputError
from assets.instruments.flexible import COLONOSCOPE
from assets.patient import Orifice, Patient
from sim.bending import bends_of
from sim.flexible_scope import FlexibleScope
from sim.geometry import CentrelineGuide
from sim.scope_state import ScopeCommand, ScopeState
from sim.wall_distance import WallDistance, patient_wall_distance

BENT = {"radius": 0.02, "straight": 0.15, "bend_radius": 0.045, "angle": 2.4, "after": 0.2, "fold": 0.006}


@pytest.fixture(scope="module")
def bent(tube_patient) -> tuple[Patient, WallDistance]:
    patient = tube_patient(**BENT)
    return patient, patient_wall_distance(patient)


def scope_in(patient: Patient, wall: WallDistance, *, friction: float = 0.02) -> FlexibleScope:
    return FlexibleScope(wall, patient.orifices[0], patient.centrelines[0].points, friction=friction)


def steer(guide: CentrelineGuide, state: ScopeState) -> ScopeCommand:
    """Bend towards the lumen; advance as far as it lies ahead."""
    direction, _ = guide.lumen_direction(state.T_world_camera, guide.locate(state.T_world_camera[:3, 3]))
    angle = np.arccos(np.clip(direction[2], -1, 1))
    right, down = 0.4 * angle * direction[:2] / max(np.hypot(*direction[:2]), 1e-9)
    return ScopeCommand(0.008 * max(np.cos(angle), 0.1), -down, right)


def deepest(scope: FlexibleScope, wall: WallDistance, state: ScopeState) -> float:
    """Return how deep a node inside the patient presses into the wall [m], by the trilinear grid."""
    inside = state.nodes[state.nodes @ np.array([0.0, 0.0, 1.0]) > 0.012]
    return float(np.max(scope.device.tube_radius - wall.distance(inside)))


def travel(
    patient: Patient, wall: WallDistance, steps: int, *, friction: float = 0.02
) -> tuple[float, float, FlexibleScope]:
    """Steer for some steps; return the arc reached, the deepest contact and the scope."""
    scope, guide = scope_in(patient, wall, friction=friction), CentrelineGuide(patient.centrelines[0], wall)
    guide.reset(0.07)
    depth = 0.0
    for _ in range(steps):
        state = scope.step(steer(guide, scope.state))
        depth = max(depth, deepest(scope, wall, state))
        assert np.isfinite(state.nodes).all()
        if guide.locate(state.T_world_camera[:3, 3]) > guide.length - 0.04:
            break
    return guide.arc / guide.length, depth, scope


@pytest.mark.parametrize("friction", [0.0, 0.05])
def test_with_steering_the_tip_gets_round_the_bends(bent, friction):
    patient, wall = bent
    reached, depth, scope = travel(patient, wall, 130, friction=friction)
    assert reached > 0.9
    assert depth < 1.2e-3  # a millimetre, and the spline's rounding of the folds against the trilinear grid
    lengths = np.linalg.norm(np.diff(scope.state.nodes, axis=0), axis=1)
    np.testing.assert_allclose(lengths, 0.01, rtol=5e-3)


def test_straight_ahead_the_tip_gets_stuck_even_without_friction(bent):
    patient, wall = bent
    scope, guide = scope_in(patient, wall, friction=0.0), CentrelineGuide(patient.centrelines[0], wall)
    for _ in range(100):
        state = scope.step(ScopeCommand(0.008))
        guide.locate(state.T_world_camera[:3, 3])
    assert guide.arc / guide.length < 0.7
    assert state.blocked
    assert state.push_force == pytest.approx(scope.device.push_limit, rel=0.05)
    assert state.tip_contact


def test_pulling_brings_the_tip_back_along_its_way(bent):
    patient, wall = bent
    _, _, scope = travel(patient, wall, 60)
    guide = CentrelineGuide(patient.centrelines[0], wall)
    guide.reset(0.4)
    arcs = []
    for _ in range(60):
        state = scope.step(ScopeCommand(-0.008, -0.15 * scope.state.bend_up, -0.15 * scope.state.bend_right))
        arcs.append(guide.locate(state.T_world_camera[:3, 3]))
        assert wall.distance(state.T_world_camera[None, :3, 3])[0] > 0
    assert arcs[-1] < 0.09
    assert np.max(np.diff(arcs)) < 0.01


def test_a_dead_end_stops_the_hand(tube_patient):
    patient = tube_patient(radius=0.012, straight=0.1)
    wall = patient_wall_distance(patient)
    scope = scope_in(patient, wall)
    states = [scope.step(ScopeCommand(0.008)) for _ in range(40)]
    end = patient.landmarks["caecum"][2]
    assert states[-1].blocked
    assert states[-1].insertion < states[20].insertion + 0.02
    assert max(state.push_force for state in states) <= scope.device.push_limit * 1.001
    assert states[-1].T_world_camera[2, 3] < end
    assert states[-1].contact_depth < 1.2e-3


def test_a_fast_command_does_not_tunnel(tube_patient):
    patient = tube_patient(radius=0.012, straight=0.1)
    wall = patient_wall_distance(patient)
    scope = scope_in(patient, wall)
    before = scope.state.insertion
    state = scope.step(ScopeCommand(10.0, 50.0, -50.0, 50.0))
    assert state.insertion - before <= scope.device.max_advance + 1e-9
    assert state.bend_up == pytest.approx(scope.device.max_bend_rate)
    assert state.roll == pytest.approx(scope.device.max_roll_rate)
    for sign in [1, 1, 1, -1] * 15:
        state = scope.step(ScopeCommand(10.0, sign * 50.0, 50.0, sign * 50.0))
        assert deepest(scope, wall, state) < 2.5e-3
    assert wall.distance(state.nodes[:-2]).min() > 0


def test_angles_stay_within_the_ellipse(bent):
    patient, wall = bent
    scope = scope_in(patient, wall)
    for _ in range(30):
        state = scope.step(ScopeCommand(0.0, 1.0, 1.0))
    device = scope.device
    reach = np.hypot(state.bend_up / device.max_bend_up, state.bend_right / device.max_bend_right)
    assert reach == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("up", "right"), [(0.6, 0.0), (0.0, 0.6), (-0.3, 0.5)])
def test_wheels_that_are_let_go_turn_back_as_the_section_straightens(up: float, right: float):
    """In free space the section is bent as its wires ask for; limp it goes straight, and gripped it stays as it is."""
    axis = np.array([0.0, 0.0, 1.0])
    free = WallDistance(np.full((41, 41, 71), 0.2, np.float32), np.array([-0.2, -0.2, -0.1]), 0.01)
    path = axis * np.linspace(0.0, 1.0, 500)[:, None]
    scope = FlexibleScope(free, Orifice("anus", "colon_lumen", np.zeros(3), axis, 0.01), path, insertion=0.3)
    for _ in range(3):
        scope.step(ScopeCommand(bend_up=up / 3, bend_right=right / 3))
    for _ in range(10):
        state = scope.step(ScopeCommand())
    assert bends_of(scope._nodes, scope._frame, 9) == pytest.approx((up, right), abs=0.005)
    bends = []
    for _ in range(10):
        state = scope.step(ScopeCommand(bend_up=0.1, free=True))
        bends.append(float(np.hypot(state.bend_up, state.bend_right)))
    assert np.all(np.diff(bends) < 0)
    assert bends[0] < 0.5 * np.hypot(up, right)
    held = scope.step(ScopeCommand())
    assert (held.bend_up, held.bend_right) == (state.bend_up, state.bend_right)


def test_a_limp_tip_is_drawn_out_of_a_hook_by_less_than_half_of_the_pull(bent):
    """Turned back upon itself beyond a bend the tip holds the shaft; with the wheels let go it follows."""
    patient, wall = bent
    pulls = {}
    for free in (False, True):
        _, _, scope = travel(patient, wall, 90)
        for _ in range(12):
            scope.step(ScopeCommand(bend_up=0.25))
        pulls[free] = [scope.step(ScopeCommand(-0.006, free=free)).push_force for _ in range(20)]
    assert min(pulls[False]) < -8.0
    assert min(pulls[True]) > 0.5 * min(pulls[False])


def test_a_reset_starts_the_same_again(bent):
    patient, wall = bent
    scope = scope_in(patient, wall)
    first = scope.state
    runs = []
    for _ in range(2):
        runs.append([scope.step(ScopeCommand(0.008, 0.05, -0.02, 0.1)).nodes for _ in range(20)])
        again = scope.reset()
        np.testing.assert_array_equal(again.nodes, first.nodes)
        assert again.time == 0.0
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)


RUN = """
import importlib.util, hashlib, sys
import numpy as np
from assets.patient import Orifice
from sim.flexible_scope import FlexibleScope
from sim.scope_state import ScopeCommand
from sim.wall_distance import WallDistance
y, z = np.meshgrid(np.linspace(-0.1, 0.1, 101), np.linspace(-0.1, 0.5, 301), indexing="ij")
x = np.linspace(-0.1, 0.1, 101)[:, None, None]
values = (0.012 + 0.003 * np.sin(60 * z[None]) - np.hypot(x, y[None] - 0.5 * z[None] ** 2)).astype(np.float32)
wall = WallDistance(np.ascontiguousarray(values), np.array([-0.1, -0.1, -0.1]), 0.002)
path = np.array([0.0, 0.0, 1.0]) * np.linspace(0, 0.3, 100)[:, None]
scope = FlexibleScope(wall, Orifice("anus", "c", np.zeros(3), np.array([0.0, 0.0, 1.0]), 0.012), path, friction=0.05)
digest = hashlib.sha256()
for k in range(40):
    state = scope.step(ScopeCommand(0.008, 0.1 * np.sin(k), 0.1 * np.cos(k), 0.05))
    digest.update(state.nodes.tobytes() + state.T_world_camera.tobytes() + np.float64(state.push_force).tobytes())
print(digest.hexdigest())
"""


def test_two_processes_agree_in_every_bit():
    root = Path(__file__).parents[2]
    digests = {
        subprocess.run(
            [sys.executable, "-c", RUN], cwd=root, capture_output=True, text=True, check=True
        ).stdout.splitlines()[-1]
        for _ in range(2)
    }
    assert len(digests) == 1
    assert digests != {hashlib.sha256().hexdigest()}


@pytest.mark.parametrize(
    ("options", "message"), [({"friction": -0.1}, "friction"), ({"insertion": 0.001}, "insertion within 0.04")]
)
def test_what_makes_no_sense_is_refused(bent, options, message):
    patient, wall = bent
    with pytest.raises(InputError, match=message):
        FlexibleScope(wall, patient.orifices[0], patient.centrelines[0].points, **options)


def test_a_command_that_is_no_number_is_refused(bent):
    scope = scope_in(*bent)
    with pytest.raises(InputError, match="finite command"):
        scope.step(ScopeCommand(float("nan")))


def test_a_softer_device_gets_stuck_later(bent):
    """The block of a straight tip is the work of its stiffness, not of a rule."""
    patient, wall = bent

    def stuck_at(rigidity: float) -> float:
        device = replace(COLONOSCOPE, bending_rigidity=rigidity, shaft_rigidity=rigidity, passive_rigidity=rigidity)
        scope = FlexibleScope(wall, patient.orifices[0], patient.centrelines[0].points, friction=0.0, device=device)
        guide = CentrelineGuide(patient.centrelines[0], wall)
        for _ in range(70):
            guide.locate(scope.step(ScopeCommand(0.008)).T_world_camera[:3, 3])
        return guide.arc

    assert stuck_at(0.002) > stuck_at(0.1) + 0.02

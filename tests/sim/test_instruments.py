"""Instruments in the world: limits, contact and force against closed forms; the remote centre; saved states."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from assets.errors import InputError
from assets.instruments.hand_held import HAND, grasper, hook, laparoscope, suction
from assets.instruments.robot_held import psm_grasper
from assets.mesh import Mesh
from assets.transforms import compose
from sim.instruments import table as table_module
from sim.instruments.command import JointTarget, PointTarget, TipTarget
from sim.instruments.instrument import FULL_FORCE_LAG, Instrument
from sim.instruments.table import InstrumentTable
from sim.robots.kinematics import tip_pose
from sim.world import BulletWorld

FLOOR = -0.15  # [m] of the sheet below the port


@pytest.fixture
def world():
    with BulletWorld() as opened:
        yield opened


def sheet(height, *, count=40, half=0.2, axis=2):
    """A sheet of triangles without thickness: nothing pushes back but the side that is touched."""
    line = np.linspace(-half, half, count)
    first, second = np.meshgrid(line, line)
    points = np.insert(np.stack([first.ravel(), second.ravel()], axis=1), axis, height, axis=1)
    corner = np.arange((count - 1) * count).reshape(count - 1, count)[:, :-1].ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + count + 1], axis=1),
            np.stack([corner, corner + count + 1, corner + count], axis=1),
        ]
    )
    return Mesh(points.astype(np.float32), faces.astype(np.int32))


def one(world, device, *anatomy, **options):
    bodies = [world.add_anatomy(mesh) for mesh in anatomy]
    instrument = Instrument(world, device, np.eye(4), **options)
    return InstrumentTable(world, [instrument], bodies), instrument.name


def run(table, name, command, steps):
    for _ in range(steps):
        state = table.step({name: command})[name]
    return state


def off_centre(world, body):
    """Distance of the shaft's line from the port [m], from PyBullet's own link poses."""
    shaft = world.link_poses(body)["roll"]
    return float(np.linalg.norm(np.cross(shaft[:3, 3], shaft[:3, 2])))


def test_an_instrument_arrives_where_it_is_sent(world):
    table, name = one(world, grasper())
    point = np.array([0.03, -0.02, -0.14])
    state = run(table, name, PointTarget(point=point, roll=0.5, jaw=0.6), 10)
    np.testing.assert_allclose(state.T_world_tip[:3, 3], point, atol=1e-9)
    np.testing.assert_allclose(state.key_points["tip"], point, atol=1e-9)
    assert (state.jaw, state.joints[3]) == (pytest.approx(0.6, abs=1e-6), pytest.approx(0.5, abs=1e-6))
    assert state.reached
    assert (state.contact_force, state.contact_depth, state.fault) == (0.0, 0.0, "")


def test_a_wristed_arm_takes_a_pose(world):
    table, name = one(world, psm_grasper())
    target = tip_pose(psm_grasper().arm, np.array([0.2, -0.1, 0.13, 0.8, 0.4, -0.5]))
    state = run(table, name, TipTarget(T_world_tip=target), 12)
    np.testing.assert_allclose(state.T_world_tip, target, atol=1e-8)
    target[:3, 3] *= 3
    assert not run(table, name, TipTarget(T_world_tip=target), 1).reached


def test_no_joint_is_faster_than_its_limit(world):
    table, name = one(world, psm_grasper())
    arm = psm_grasper().arm
    before = table.states[name].joints
    for target in (arm.upper, arm.lower, arm.upper):
        for _ in range(2):
            state = table.step({name: JointTarget(joints=target)})[name]
            speed = np.abs(state.joints - before)[:6] / table_module.CONTROL_STEP
            # A joint that lags at the start of a step may make up for it within the step.
            assert (speed <= arm.max_speed * (1 + FULL_FORCE_LAG / table_module.CONTROL_STEP)).all()
            assert arm.within(state.set_point[:6])
            before = state.joints


def test_latency_delays_everything_by_whole_steps(world):
    command = PointTarget(point=np.array([0.02, 0.01, -0.12]), jaw=0.4)
    prompt, name = one(world, grasper())
    track = [prompt.step({name: command})[name].joints for _ in range(6)]
    with BulletWorld() as other:
        late, name = one(other, grasper(), latency=3)
        start = late.states[name].joints
        delayed = [late.step({name: command})[name].joints for _ in range(9)]
    for joints in delayed[:3]:
        np.testing.assert_allclose(joints, start, atol=1e-9)
    for joints, expected in zip(delayed[3:], track, strict=True):
        np.testing.assert_allclose(joints, expected, atol=1e-7)


@pytest.mark.parametrize("make", [grasper, suction, psm_grasper, lambda: laparoscope(0.0)])
def test_the_force_of_a_press_is_stiffness_times_lag_up_to_the_limit(world, make):
    device = make()
    table, name = one(world, device, sheet(FLOOR))
    insertion = device.arm.joints[2]
    stiffness = insertion.max_force / (insertion.max_speed * FULL_FORCE_LAG)
    state = run(table, name, PointTarget(point=np.array([0.0, 0.0, FLOOR - 0.002])), 12)
    lag = state.set_point[2] - state.joints[2]
    assert 0.0015 < lag < 0.0025
    assert state.contact_force == pytest.approx(stiffness * lag, rel=0.01)
    assert 0 < state.contact_depth < 5e-5
    assert state.T_world_tip[2, 3] == pytest.approx(FLOOR, abs=5e-4)
    state = run(table, name, PointTarget(point=np.array([0.0, 0.0, FLOOR - 0.05])), 4)
    assert state.contact_force == pytest.approx(insertion.max_force, rel=0.02)
    assert state.contact_depth < 5e-5
    assert state.touches[0].other == 0
    np.testing.assert_allclose(state.touches[0].normal, [0, 0, 1], atol=1e-3)
    state = run(table, name, PointTarget(point=np.array([0.0, 0.0, FLOOR + 0.01])), 4)
    assert state.contact_force == 0.0


def hurried(speed):
    """A grasper whose hand may thrust as fast as this [m/s], with all the force it takes."""
    joints = list(HAND.joints)
    joints[2] = replace(joints[2], max_speed=speed, max_force=1000.0)
    return replace(grasper(), arm=replace(HAND, joints=tuple(joints)))


def thrust(world, device):
    """Order the tip from 50 mm above a sheet to 100 mm below within a control step: 1.5 m/s, or 3 in half of it."""
    table, name = one(world, device, sheet(FLOOR))
    command = PointTarget(point=np.array([0.0, 0.0, FLOOR - 0.1]))
    states = [table.step({name: command}, 0.05)[name] for _ in range(8)]
    return states


def test_a_thrust_at_3_m_per_s_stops_at_the_wall(world):
    for state in thrust(world, grasper()):  # the hand is slower than that
        assert state.T_world_tip[2, 3] > FLOOR - 1e-3
        assert state.contact_depth < 2e-4
        assert state.fault == ""


def test_without_speed_limits_substeps_stop_it(world):
    states = thrust(world, hurried(3.0))
    assert states[0].T_world_tip[2, 3] < -0.11
    for state in states:
        assert state.T_world_tip[2, 3] > FLOOR - 1e-3
        assert state.contact_depth < 5e-4
        assert state.fault == ""


def test_without_limits_and_substeps_it_would_pass(world, monkeypatch):
    """The two tests before could fail."""
    monkeypatch.setattr(table_module, "SAFE_SHARE", 1e6)
    monkeypatch.setattr(table_module, "_LONGEST_SUBSTEP", 1 / 240)
    state = thrust(world, hurried(3.0))[-1]
    assert state.T_world_tip[2, 3] < FLOOR - 0.01
    assert "tunnelling: jaw_" in state.fault
    assert "of grasper went through body 0" in state.fault
    assert "-150.0) mm, 0.0" in state.fault


def test_a_thin_wire_slides_over_the_edges_of_triangles_without_sinking_in(world):
    table, name = one(world, hook(), sheet(FLOOR))
    run(table, name, PointTarget(point=np.array([0.02, 0.01, FLOOR - 0.002])), 8)
    for step in range(10):
        target = np.array([0.02 - 0.004 * step, 0.01 - 0.002 * step, FLOOR - 0.02])
        state = table.step({name: PointTarget(point=target)})[name]
        assert state.contact_depth < 1e-4
        assert state.fault == ""


def test_jaws_close_on_what_lies_between_them(world):
    plate = [sheet(y, half=0.02, count=8, axis=1) for y in (-0.002, 0.002)]
    shifted = [Mesh(mesh.vertices + np.float32([0, 0, -0.12]), mesh.triangles) for mesh in plate]
    table, name = one(world, grasper(), *shifted)
    open_wide = PointTarget(point=np.array([0.0, 0.0, -0.105]), jaw=1.0)
    state = run(table, name, open_wide, 8)
    assert state.contact_force == 0.0
    state = run(table, name, replace(open_wide, jaw=0.0), 8)
    assert {touch.link for touch in state.touches} == {"jaw_left", "jaw_right"}
    assert 0.1 < state.jaw < 0.6
    torque, length = table.instruments[name].device.jaw.max_force, table.instruments[name].device.jaw.length
    assert 2 * torque / length * 0.9 < state.contact_force < 2 * torque / 0.002


class Loaded(BulletWorld):
    """A world that pushes the tip of its first robot aside in every substep."""

    load = (0.0, 0.0, 0.0)

    def advance(self):
        if any(self.load):
            self.push(self.robot, "roll", self.load, self.link_poses(self.robot)["roll"][:3, 3].tolist())
        super().advance()


def test_the_remote_centre_holds_still_and_under_load():
    """Drift below 1 um; the tip yields by what the hand's stiffness says, and gives way beyond its force."""
    with Loaded() as world:
        table, name = one(world, grasper())
        world.robot = table.instruments[name].body
        depth = 0.12
        state = run(table, name, PointTarget(point=np.array([0.0, 0.0, -depth])), 8)
        assert off_centre(world, world.robot) < 1e-6
        world.load = (5.0, 0.0, 0.0)
        state = run(table, name, PointTarget(point=np.array([0.0, 0.0, -depth])), 8)
        yaw = HAND.joints[0]
        expected = 5.0 * depth / yaw.max_force * yaw.max_speed * FULL_FORCE_LAG * depth
        assert state.T_world_tip[0, 3] == pytest.approx(expected, rel=0.05)
        assert off_centre(world, world.robot) < 1e-6
        world.load = (60.0, 0.0, 0.0)
        state = run(table, name, PointTarget(point=np.array([0.0, 0.0, -depth])), 4)
        assert state.T_world_tip[0, 3] > 10 * expected
        assert off_centre(world, world.robot) < 1e-6


def test_the_remote_centre_holds_while_the_instrument_moves(world):
    table, name = one(world, psm_grasper(), sheet(FLOOR))
    rng = np.random.default_rng(0)
    for _ in range(8):
        table.step({name: PointTarget(point=rng.uniform([-0.08, -0.08, -0.2], [0.08, 0.08, -0.1]), jaw=0.5)})
        assert off_centre(world, table.instruments[name].body) < 1e-6


def test_a_shaft_passes_through_the_wall_that_holds_its_port(world):
    table, name = one(world, grasper(), sheet(-0.01), sheet(FLOOR))
    world.pass_through(table.instruments[name].body, 0)
    state = run(table, name, PointTarget(point=np.array([0.02, 0.0, FLOOR - 0.01])), 8)
    assert {touch.other for touch in state.touches} == {1}


def two(world):
    floor = world.add_anatomy(sheet(FLOOR))
    side = compose(np.eye(3), np.array([0.06, 0.0, 0.0]))
    instruments = [Instrument(world, psm_grasper(), np.eye(4), latency=2), Instrument(world, hook(), side, name="mine")]
    return InstrumentTable(world, instruments, [floor])


def press(table, steps, depth=0.01):
    for step in range(steps):
        table.step(
            {
                "psm_grasper": PointTarget(point=np.array([0.01 * step, 0.01, FLOOR - depth]), jaw=0.1 * step),
                "mine": PointTarget(point=np.array([0.05, 0.0, FLOOR - depth]), roll=0.2),
            }
        )
    return table.save_state()


def test_after_restore_the_future_is_the_same_bit_for_bit(world):
    table = two(world)
    saved = press(table, 4)
    assert min(state.contact_force for state in table.states.values()) > 1.0  # saved while both press
    future = press(table, 2, 0.03)
    states = table.restore_state(saved)
    assert table.save_state() == saved
    assert states["mine"].contact_force > 1.0
    assert press(table, 2, 0.03) == future
    with BulletWorld() as fresh:
        other = two(fresh)
        other.restore_state(saved)
        assert press(other, 2, 0.03) == future


def test_the_same_commands_give_the_same_bytes_in_another_process(world):
    mine = hashlib.sha256(press(two(world), 3)).hexdigest()
    code = (
        f"import hashlib, runpy; tests = runpy.run_path({__file__!r}); world = tests['BulletWorld']().__enter__();"
        "print(hashlib.sha256(tests['press'](tests['two'](world), 3)).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert mine in other.stdout


def test_damaged_states_are_refused_and_change_nothing(world):
    table = two(world)
    saved = press(table, 2)
    plain = json.loads(saved)

    def without(*path, value=None):
        copy = json.loads(saved)
        place = copy
        for key in path[:-1]:
            place = place[key]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        return json.dumps(copy).encode()

    mine = ("instruments", "mine")
    damaged = {
        "JSON": b"{" * 5000,
        "version 1": json.dumps(plain | {"version": 2}).encode(),
        "expected psm_grasper, mine": without(*mine),
        "mine: joints: expected 4": without(*mine, "joints", value=[1.0]),
        "mine: speeds: expected numbers": without(*mine, "speeds", value=["a", {}, 0, 0]),
        "finite": without(*mine, "goal", value=[float("nan")] * 4),
        "0 commands under way": without(*mine, "queue", value=[None]),
        "expected a command of": without("instruments", "psm_grasper", "queue", value=[{"kind": []}, None]),
        "expected the fields of": without("instruments", "psm_grasper", "queue", value=[{"kind": "TipTarget"}, None]),
        "a touch of": without(*mine, "touches", value=[[1, 2]]),
        "expected camera_goal": without(*mine, "force"),
        "at most": b" " * (1 << 21),
        "finite time": json.dumps(plain | {"time": "now"}).encode(),
    }
    for message, data in damaged.items():
        with pytest.raises(InputError, match=message):
            table.restore_state(data)
        assert table.save_state() == saved


def test_a_wrong_command_to_one_leaves_all_as_they_were(world):
    table = two(world)
    saved = table.save_state()
    with pytest.raises(InputError, match="mine"):
        table.step({"psm_grasper": JointTarget(joints=np.zeros(6)), "mine": JointTarget(joints=np.zeros(6))})
    assert table.save_state() == saved


def test_wrong_commands_are_refused(world):
    table, name = one(world, grasper())
    with pytest.raises(InputError, match="one of grasper"):
        table.step({"scissors": JointTarget(joints=np.zeros(4))})
    with pytest.raises(InputError, match="finite numbers for point"):
        table.step({name: PointTarget(point=np.array([np.nan, 0, 0]))})
    with pytest.raises(InputError, match=r"joints of shape \(4,\)"):
        table.step({name: JointTarget(joints=np.zeros(6))})
    with pytest.raises(InputError, match="a rotation in T_world_tip"):
        table.step({name: TipTarget(T_world_tip=np.diag([1.0, 1.0, -1.0, 1.0]))})
    with pytest.raises(InputError, match="at most 1 s"):
        table.step({}, 2.0)
    with pytest.raises(InputError, match="within the limits of hand"):
        Instrument(world, grasper(), np.eye(4), joints=np.array([2.0, 0, 0, 0]))
    with pytest.raises(InputError, match="latency"):
        Instrument(world, grasper(), np.eye(4), latency=-1)
    with pytest.raises(InputError, match="different names"):
        InstrumentTable(world, [Instrument(world, hook(), np.eye(4)) for _ in range(2)], [])

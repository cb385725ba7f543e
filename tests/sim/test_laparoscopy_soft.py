"""Soft organs in the laparoscopic scene: forces both ways, jaws that catch, hold and let go, motions, saved states."""

import hashlib
import resource
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pybullet
import pytest

from assets.errors import InputError
from assets.instruments.hand_held import HAND, grasper, laparoscope, suction
from assets.mesh import Mesh
from assets.patient import Organ
from assets.tetrahedra import Tetrahedra
from assets.transforms import unit
from sim.instruments.command import JointTarget, PointTarget
from sim.instruments.laparoscope import laparoscope_camera
from sim.laparoscopy.capsules import capsules_of
from sim.laparoscopy.jaws import between, grip_limit
from sim.laparoscopy.physiology import MotionField, Physiology
from sim.laparoscopy.placement import Placement
from sim.laparoscopy.scene import LaparoscopyScene
from sim.laparoscopy.soft_organ import soft_organ, tissue_of_organ
from sim.laparoscopy.tissue import Position
from sim.robots.kinematics import tip_pose
from sim.soft.tet_mesh import tet_mesh
from sim.soft.tet_shapes import box
from tests.sim.bellies import LIVER, ball, belly

CAMERA = laparoscope_camera(32, 24)
SCOPE = Placement(laparoscope(0.0), "umbilical", "laparoscope", insertion=0.05)
GRASPER = Placement(grasper(), "right", insertion=0.05)
HALF = np.array([0.02, 0.012, 0.004])  # of a ridge of tissue that jaws can straddle [m]
UP = unit(belly().orifices[1].centre - LIVER)
"""The ridge stands towards the port of the grasper."""
ACROSS = unit(np.array([0.0, 0.0, 1.0]) - UP[2] * UP)
AXES = np.stack([np.cross(UP, ACROSS), UP, ACROSS], axis=1)
TOP = LIVER + HALF[1] * UP


def block_patient():
    """A belly whose liver is a ridge of tetrahedra that stands on a ball, as good as the vena cava."""
    nodes, tets = box(tuple(2 * HALF), (9, 5, 2))
    nodes = (np.asarray(nodes) - HALF) @ AXES.T + LIVER
    mesh = tet_mesh(nodes, tets, "liver")
    used, faces = np.unique(mesh.surface, return_inverse=True)
    surface = Mesh(nodes[used].astype(np.float32), faces.reshape(-1, 3).astype(np.int32))
    below = LIVER - (HALF[1] + 0.5) * UP
    organs = (
        belly().organs[0],
        Organ(
            "liver",
            "liver",
            "solid",
            "gallbladder",  # stiff enough for jaws that are thinner than its triangles
            surface,
            tetrahedra=Tetrahedra(nodes.astype(np.float32), np.asarray(mesh.tets, np.int32)),
        ),
        Organ("vein", "inferior_vena_cava", "solid", "vessel", ball(below, 0.4995, 40)),
    )
    return belly(organs=organs)


def opened(**options):
    given = {"camera": CAMERA, "instruments": (SCOPE, GRASPER), "soft": ("liver",)}
    return LaparoscopyScene(options.pop("patient", block_patient()), **(given | options))


@pytest.fixture(scope="module")
def scene():
    with opened() as made:
        yield made


@pytest.fixture(autouse=True)
def fresh(request):
    if "scene" in request.fixturenames:
        request.getfixturevalue("scene").reset(seed=0)


def tip_of(scene):
    return scene.state.instruments["grasper"].T_world_tip[:3, 3]


def roll_across(scene):
    """The roll at which the jaws open across the ridge."""
    device, port = grasper(), scene.trocars["grasper"].T_world_port
    rolls = np.linspace(-np.pi / 2, np.pi / 2, 181)
    across = [abs((port @ tip_pose(device.arm, np.array([0.0, 0.0, 0.1, roll])))[:3, 1] @ ACROSS) for roll in rolls]
    return float(rolls[int(np.argmax(across))])


def go(scene, point, jaw, steps):
    command = PointTarget(point=np.asarray(point, float), jaw=jaw, roll=roll_across(scene))
    for _ in range(steps):
        state = scene.step({"grasper": command})
    return state


def above(spot, height):
    return spot + height * UP


def height_of(scene):
    return ((scene.tissue.bodies["liver"].positions - LIVER) @ UP).max()


def caught(scene):
    """Catch the top of the ridge between the jaws; returns where the tip is."""
    spot = TOP - 0.006 * UP
    go(scene, above(spot, 0.018), 0.8, 8)
    go(scene, spot, 0.8, 4)
    for jaw in np.linspace(0.75, 0.3, 10):
        go(scene, spot, jaw, 1)
    return spot


def test_at_rest_nothing_moves(scene):
    state = scene.step({})
    body = scene.tissue.bodies["liver"]
    np.testing.assert_array_equal(body.positions, scene.tissue.organs["liver"].mesh.nodes)
    assert (state.fault, state.holds, state.contacts) == ("", {}, ())


def test_the_tissue_pushes_back_as_hard_as_it_is_pushed():
    with opened(instruments=(SCOPE, Placement(suction(), "right", "suction", insertion=0.05))) as scene:
        push(scene)


def push(scene):
    for height in np.linspace(0.008, -0.002, 11):
        command = PointTarget(point=TOP + height * UP)
        state = scene.step({"suction": command})
    for _ in range(15):
        state = scene.step({"suction": command})
    assert state.fault == ""
    told = [load for load in scene.tissue.loads if load.instrument == "suction"]
    on_tool = np.sum([load.force for load in told], axis=0)
    body = scene.tissue.bodies["liver"]
    # Action: at rest, what fixed nodes and springs hold the tissue with is all that the tool does to it.
    organ = scene.tissue.organs["liver"]
    x = body.positions[organ.tied]
    springs = (organ.stiffness[:, None] * (organ.mesh.nodes[organ.tied] - x)).sum(axis=0)
    holding = springs + body.reactions().sum(axis=0)
    on_tissue = -holding
    assert np.linalg.norm(on_tool) > 0.02
    np.testing.assert_allclose(on_tissue, -on_tool, atol=0.03 * np.linalg.norm(on_tool))
    # Reaction: PyBullet's motor of the insertion holds the shaft against just this force.
    body_id, shaft = scene.table.instruments["suction"].body, state.instruments["suction"].T_world_tip[:3, 2]
    index = scene.world._moving[body_id]["insertion"]
    motor = pybullet.getJointState(body_id, index, physicsClientId=scene.world._client)[3]
    assert abs(motor) > 0.02
    assert motor == pytest.approx(-float(on_tool @ shaft), rel=0.02)


def test_closing_jaws_catch_what_is_between_them_and_opening_lets_go(scene):
    spot = caught(scene)
    hold = scene.state.holds["grasper"]
    assert hold.organ == "liver"
    assert hold.nodes >= 2
    assert hold.limit == pytest.approx(2 * 0.1 * 0.35 / 0.010)
    state = go(scene, above(spot, 0.012), 0.3, 8)
    assert height_of(scene) > HALF[1] + 0.005  # it came along
    assert np.array(state.holds["grasper"].force) @ UP < -0.02  # and pulls back
    assert state.fault == ""
    state = go(scene, above(spot, 0.012), 0.9, 4)
    assert state.holds == {}
    state = go(scene, above(spot, 0.04), 0.9, 12)
    assert height_of(scene) < HALF[1] + 0.003
    assert (state.fault, state.contacts) == ("", ())


def test_jaws_that_close_beside_the_tissue_catch_nothing(scene):
    spot = TOP + 0.01 * UP
    go(scene, spot, 0.8, 8)
    assert go(scene, spot, 0.1, 5).holds == {}


def test_beyond_its_limit_the_grasp_slips_out(scene):
    spot = caught(scene)
    body = scene.tissue.bodies["liver"]
    (hold,) = scene.tissue._holds.values()
    body._grasps[hold.grasp].limit = hold.limit = 0.05
    body._grasps[hold.grasp].reach = 0.004
    pulls = []
    for height in np.linspace(0.002, 0.05, 20):
        state = go(scene, above(spot, height), 0.3, 1)
        if "grasper" in state.holds:
            pulls.append(np.linalg.norm(state.holds["grasper"].force))
    assert state.holds == {}
    assert max(pulls) <= 0.05 * (1 + 1e-9)
    assert max(pulls) > 0.03


def episode(scene, steps, start=0):
    """Catch and lift; returns a digest of every node, joint and pixel."""
    digest = hashlib.sha256()
    spot = TOP - 0.006 * UP
    for index in range(start, start + steps):
        height = 0.018 if index < 6 else (0.0 if index < 14 else 0.002 * (index - 13))
        state = go(scene, above(spot, height), 0.8 if index < 8 else max(0.8 - 0.08 * (index - 7), 0.3), 1)
        digest.update(scene.tissue.bodies["liver"].positions.tobytes() + state.instruments["grasper"].joints.tobytes())
        digest.update(scene.observe().rgb.tobytes())
    return digest.hexdigest()


def test_a_state_saved_in_the_midst_of_a_lift_goes_on_to_the_byte():
    breathing = Physiology(breath_amplitude=0.004, heart_amplitude=0.001)
    with opened(physiology=breathing) as scene:
        episode(scene, 17)
        assert scene.state.holds
        saved = scene.save_state()
        first = episode(scene, 3, start=17)
        scene.restore_state(saved)
        assert scene.save_state() == saved
        assert episode(scene, 3, start=17) == first
    with opened(physiology=breathing, seed=3) as other:
        other.restore_state(saved)
        assert episode(other, 3, start=17) == first


_PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from tests.sim.test_laparoscopy_soft import *
with opened() as scene:
    print(episode(scene, 14))
"""


def test_the_same_commands_give_the_same_bytes_in_another_process(scene, request):
    root = str(request.config.rootpath)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(root=root)], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.split()[-1] == episode(scene, 14)


def test_a_tool_at_3_m_per_s_does_not_jump_through():
    joints = tuple(replace(joint, max_speed=3.0) if joint.name == "insertion" else joint for joint in HAND.joints)
    fast = replace(suction(), arm=replace(HAND, joints=joints))
    with opened(instruments=(SCOPE, Placement(fast, "right", "suction", insertion=0.05))) as scene:
        # The block lies under the tip: 3 m/s would carry it through and out behind within a step.
        way = scene.trocars["suction"].T_world_port
        reach = float(np.linalg.norm(LIVER - way[:3, 3]))
        state = scene.step({"suction": JointTarget(np.array([0.0, 0.0, reach - HALF[1] + 0.002, 0.0]))})
        fastest = (state.instruments["suction"].joints[2] - 0.05) / 0.1
        assert fastest > 0.4
        assert state.fault == ""
        assert any(contact.organ == "liver" for contact in state.contacts)
        assert ((scene.tissue.bodies["liver"].positions - LIVER) @ UP).min() > -HALF[1] - 1e-3


def test_breathing_carries_organs_and_soft_tissue_by_its_amplitude_and_period():
    breathing = Physiology(breath_amplitude=0.01, breath_period=2.0)
    with opened(instruments=(SCOPE,), physiology=breathing) as scene:
        rest = scene.tissue.organs["liver"].mesh.nodes
        for _ in range(10):  # half a period: the end of inspiration
            scene.step({})
        field = scene.motion.offset(rest, 1.0)
        assert -0.0101 < field[:, 2].min() < -0.002
        moved = scene.tissue.bodies["liver"].positions - rest
        assert np.abs(moved - field).max() < 2.5e-3  # it lags by its inertia
        for _ in range(10):
            scene.step({})
        moved = scene.tissue.bodies["liver"].positions - rest
        assert np.abs(moved).max() < 2.5e-3


def test_breath_and_beat_have_their_extremes_where_they_are_stated():
    motion = Physiology(breath_amplitude=0.012, breath_period=4.0, heart_amplitude=0.001, heart_period=0.8)
    assert (motion.breath(0.0), motion.breath(2.0)) == (0.0, pytest.approx(0.012))
    assert motion.breath(4.0) == pytest.approx(0.0, abs=1e-12)
    assert motion.beat(0.4) == pytest.approx(0.001)
    field = MotionField(belly(), motion)
    top, bottom = field.offset(np.array([[0.0, 0.0, 0.14], [0.0, 0.0, -0.14]]), 2.0)
    assert top[2] == pytest.approx(-0.012 - motion.beat(2.0) * np.exp(-(0.02**2 + 0.03**2) / 0.05**2), rel=1e-6)
    np.testing.assert_allclose(bottom, 0.0, atol=1e-9)
    with pytest.raises(InputError, match="amplitudes of at most 30 mm, found 50 mm"):
        Physiology(breath_amplitude=0.05)


def test_a_tilted_patient_sags_downhill():
    np.testing.assert_allclose(Position().sag(), 0.0, atol=1e-12)
    np.testing.assert_allclose(Position(head_up=np.pi / 2).sag(), [0.0, 9.81, -9.81], atol=1e-12)
    with opened(instruments=(SCOPE,), position=Position(head_up=np.radians(20))) as scene:
        rest = scene.tissue.organs["liver"].mesh.nodes
        way = (scene.tissue.bodies["liver"].positions - rest)[:, 2].mean()
        assert -1e-3 < way < -1e-6
        state = scene.step({})
        assert state.fault == ""


def test_capsules_stand_for_the_spheres_of_each_part():
    device = grasper()
    capsules = {capsule.part: capsule for capsule in capsules_of(device)}
    assert set(capsules) == {"shaft", "wrist", "jaw_left", "jaw_right"}
    for part in device.parts:
        capsule, tops = capsules[part.name], [ball.centre[2] for ball in part.balls]
        assert capsule.radius == part.balls[0].radius
        assert np.linalg.norm(np.diff(capsule.ends, axis=0)) == pytest.approx(max(tops) - min(tops))


def test_only_points_in_the_wedge_of_the_jaws_are_between_them():
    device = grasper()
    points = np.array(
        [[0, 0, 0.015], [0, 0.004, 0.015], [0, 0.007, 0.015], [0.004, 0, 0.015], [0, 0, 0.021], [0, 0, 0.001]]
    )
    np.testing.assert_array_equal(between(device, np.eye(4), 0.6, points, 0.0), [0, 1])
    assert grip_limit(device, 0.2) == pytest.approx(14.0)


def test_a_gallbladder_is_as_stiff_as_its_wall():
    radius = 0.015
    organ = Organ("gallbladder", "gallbladder", "solid", "gallbladder", ball((0, 0, 0), radius, 40))
    assert tissue_of_organ(organ).youngs_modulus == pytest.approx(1e5 * 0.002 / radius, rel=5e-3)


def test_what_cannot_be_soft_is_refused_in_a_line():
    patient = block_patient()
    with pytest.raises(InputError, match="expected a soft organ of the solids liver, vein, found 'spleen'"):
        soft_organ(patient, "spleen")
    alone = replace(patient, organs=patient.organs[:2])
    with pytest.raises(InputError, match=r"expected liver to touch one of .* nothing would hold it"):
        soft_organ(alone, "liver")


def test_resets_do_not_grow_the_process(scene):
    def most():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    for _ in range(20):
        scene.reset(seed=0)
        scene.step({})
    before = most()
    for _ in range(60):
        scene.reset(seed=0)
        scene.step({})
    assert most() - before < 1 << 20

"""The laparoscopic scene: trocars, what is seen, contacts told by organ, and states that come back to the byte."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from assets.errors import InputError
from assets.instruments.hand_held import grasper, laparoscope
from assets.instruments.robot_held import ecm_laparoscope
from assets.labels import label_id
from assets.transforms import apply, inverse
from sim.instruments.command import PointTarget
from sim.instruments.laparoscope import laparoscope_camera
from sim.laparoscopy.aim import look_at
from sim.laparoscopy.placement import Placement, start_joints
from sim.laparoscopy.scene import LaparoscopyScene
from sim.laparoscopy.trocars import trocar
from sim.robots.kinematics import tip_pose
from tests.sim.bellies import LIVER, LIVER_RADIUS, belly

SCOPE = Placement(laparoscope(0.0), "umbilical", "laparoscope", insertion=0.05)
GRASPER = Placement(grasper(), "right", insertion=0.05)


@pytest.fixture(scope="module")
def scene():
    with LaparoscopyScene(belly(), camera=laparoscope_camera(96, 72), instruments=(SCOPE, GRASPER)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def fresh(request):
    if "scene" in request.fixturenames:
        request.getfixturevalue("scene").reset(seed=0)


def test_a_trocar_looks_from_its_port_at_the_field_with_anterior_up():
    port = trocar(belly(), "umbilical").T_world_port
    np.testing.assert_allclose(port[:3, :3].T @ port[:3, :3], np.eye(3), atol=1e-12)
    inwards = LIVER - port[:3, 3]
    np.testing.assert_allclose(-port[:3, 2], inwards / np.linalg.norm(inwards), atol=1e-7)
    assert port[:3, 1] @ (0, 1, 0) > 0.5
    np.testing.assert_allclose(port[:3, 0], (-1, 0, 0), atol=1e-7)  # the patient's left is image right


@pytest.mark.parametrize("device", [laparoscope(0.0), laparoscope(30.0), ecm_laparoscope(30.0)])
@pytest.mark.parametrize("roll", [0.0, 1.0])
def test_a_laparoscope_is_pointed_at_a_place_whatever_its_optics(device, roll):
    port = trocar(belly(), "umbilical").T_world_port
    point = LIVER + np.array([0.02, 0.01, -0.01])
    joints, left = look_at(device, port, point, insertion=0.06, roll=roll)
    assert left < 1e-9
    tip = port @ tip_pose(device.arm, joints)
    assert np.linalg.norm(tip[:3, 3] - port[:3, 3]) == pytest.approx(0.06, abs=1e-12)
    # The closed form: the angle at the tip between the shaft and the point is the optics' own.
    seen = apply(inverse(tip), point)
    assert np.arctan2(np.linalg.norm(seen[:2]), seen[2]) == pytest.approx(device.head.view_angle, abs=1e-8)


def test_instruments_begin_as_deep_as_they_are_placed_or_with_room_around(scene):
    for placement in scene.placements:
        tip = scene.state.instruments[placement.key].T_world_tip[:3, 3]
        away = np.linalg.norm(tip - scene.trocars[placement.key].T_world_port[:3, 3])
        assert away == pytest.approx(placement.insertion, abs=1e-9)
    deep = start_joints(laparoscope(), 1.0)
    assert deep[2] == laparoscope().arm.upper[2]
    free = replace(GRASPER, insertion=None)
    with LaparoscopyScene(belly(), camera=laparoscope_camera(16, 16), instruments=(SCOPE, free)) as other:
        tip = other.state.instruments["grasper"].T_world_tip[:3, 3]
        assert np.linalg.norm(tip - LIVER) > LIVER_RADIUS + 0.015


def test_the_middle_of_the_picture_is_the_liver_at_its_distance(scene):
    scene.step({"laparoscope": scene.look_at(LIVER)})
    frame = scene.observe()
    assert frame.semantic[36, 48] == label_id("liver")
    tip = frame.T_world_camera[:3, 3]
    assert frame.depth[36, 48] == pytest.approx(np.linalg.norm(LIVER - tip) - LIVER_RADIUS, abs=3e-4)
    assert 0.05 < scene.renderer.metered < 0.4  # the exposure has settled


def test_an_instrument_that_comes_into_view_is_seen_where_it_is(scene):
    before = scene.observe()
    assert not (before.semantic == label_id("grasper")).any()
    tip = before.T_world_camera
    spot = tip[:3, 3] + 0.03 * tip[:3, 2]
    for _ in range(12):
        scene.step({"grasper": PointTarget(point=spot)})
    frame = scene.observe()
    assert scene.state.instruments["grasper"].reached
    at = apply(inverse(frame.T_world_camera), spot)
    ((u, v),), _ = frame.camera.project(at[None])
    near = frame.semantic[int(v) - 3 : int(v) + 4, int(u) - 3 : int(u) + 4]
    assert (near == label_id("grasper")).any()


def test_what_an_instrument_presses_on_is_named_with_its_force(scene):
    for _ in range(10):
        state = scene.step({"grasper": PointTarget(point=LIVER)})
    told = [contact for contact in state.contacts if contact.instrument == "grasper"]
    assert {contact.organ for contact in told} == {"liver"}
    assert sum(contact.force for contact in told) == pytest.approx(state.instruments["grasper"].contact_force, rel=0.1)
    away = np.linalg.norm(np.array(told[0].point) - LIVER)
    assert away == pytest.approx(LIVER_RADIUS, abs=5e-4)
    assert state.fault == ""


def play(scene, steps, start=0):
    """A little episode without contact; returns a digest of all that was told and seen."""
    digest = hashlib.sha256()
    for index in range(start, start + steps):
        spot = LIVER + np.array([0.01 * np.sin(index), 0.05, 0.0])
        state = scene.step({"grasper": PointTarget(point=spot, jaw=0.3), "laparoscope": scene.look_at(LIVER)})
        digest.update(state.instruments["grasper"].joints.tobytes() + scene.observe().rgb.tobytes())
    return digest.hexdigest()


def test_a_saved_state_goes_on_to_the_byte_also_in_another_scene(scene):
    play(scene, 4)
    saved = scene.save_state()
    assert scene.save_state() == saved
    first = play(scene, 3, start=4)
    scene.restore_state(saved)
    assert scene.save_state() == saved
    assert play(scene, 3, start=4) == first
    with LaparoscopyScene(belly(), camera=laparoscope_camera(96, 72), instruments=(SCOPE, GRASPER), seed=5) as other:
        other.restore_state(saved)
        assert play(other, 3, start=4) == first


_PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from tests.sim.test_laparoscopy import *
with LaparoscopyScene(belly(), camera=laparoscope_camera(96, 72), instruments=(SCOPE, GRASPER)) as scene:
    print(play(scene, 3))
"""


def test_the_same_seed_gives_the_same_bytes_in_another_process(scene, request):
    root = str(request.config.rootpath)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(root=root)], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.split()[-1] == play(scene, 3)
    scene.reset(seed=1)
    assert done.stdout.split()[-1] != play(scene, 3)


@pytest.mark.parametrize(
    ("instruments", "message"),
    [
        ((GRASPER,), "expected a laparoscope called 'laparoscope', found no laparoscope"),
        ((SCOPE, replace(GRASPER, port="umbilical")), "trocar site of its own, found 'umbilical' twice"),
        ((SCOPE, replace(GRASPER, port="left"), GRASPER), "name of its own, found 'grasper' twice"),
        ((SCOPE, replace(GRASPER, port="anus")), "expected a trocar site of umbilical, right, left, found 'anus'"),
    ],
)
def test_instruments_that_do_not_fit_are_refused_in_a_line(instruments, message):
    with pytest.raises(InputError, match=message):
        LaparoscopyScene(belly(), camera=laparoscope_camera(16, 16), instruments=instruments)


def test_a_patient_without_sites_or_liver_and_a_thick_scope_are_refused():
    camera = laparoscope_camera(16, 16)
    with pytest.raises(InputError, match=r"expected trocar sites, .*found no orifices"):
        LaparoscopyScene(belly(orifices=()), camera=camera, instruments=(SCOPE,))
    with pytest.raises(InputError, match=r"expected a liver or a landmark of .*found abdominal_wall"):
        LaparoscopyScene(belly(organs=belly().organs[:1]), camera=camera, instruments=(SCOPE,))
    thin = replace(belly().orifices[0], radius=0.003)
    with pytest.raises(InputError, match="at most 6 mm in umbilical, found laparoscope of 10 mm"):
        LaparoscopyScene(belly(orifices=(thin,)), camera=camera, instruments=(SCOPE,))


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04nonsense", b"x" * 200])
def test_a_damaged_state_is_refused(scene, damage):
    with pytest.raises(InputError, match="saved state of a laparoscopy"):
        scene.restore_state(damage)

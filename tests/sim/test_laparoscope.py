"""The view of straight and oblique laparoscopes, and where the shapes of instruments are."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from assets.errors import InputError
from assets.instruments.hand_held import grasper, hook, laparoscope
from assets.instruments.robot_held import ecm_laparoscope, psm_grasper
from assets.labels import label_id
from assets.transforms import apply, compose
from sim.instruments.command import JointTarget, PointTarget
from sim.instruments.instrument import Instrument
from sim.instruments.laparoscope import T_tip_camera, camera_pose, laparoscope_camera, laparoscope_light
from sim.instruments.posed import (
    device_links,
    device_objects,
    key_points,
    part_poses,
    posed_mesh,
    posed_objects,
    posed_parts,
)
from sim.instruments.table import InstrumentTable
from sim.world import BulletWorld


@pytest.mark.parametrize("make", [laparoscope, ecm_laparoscope])
def test_a_straight_scope_over_the_patient_looks_down_with_the_ports_y_as_image_up(make):
    with BulletWorld() as world:
        state = Instrument(world, make(), np.eye(4), joints=np.array([0.0, 0.0, 0.1, 0.0])).state
        pose = camera_pose(make(), state)
    np.testing.assert_allclose(pose[:3, :3], np.diag([1.0, -1.0, -1.0]), atol=1e-12)
    assert pose[2, 3] == pytest.approx(-0.1, abs=1e-3)


@pytest.mark.parametrize("roll", np.linspace(-4, 4, 9))
def test_an_oblique_view_goes_round_a_cone_and_the_held_head_keeps_the_image_upright(roll):
    tilt = np.radians(30)
    in_shaft = T_tip_camera(tilt, float(roll), 0.0)[:3, :3]
    pose = Rotation.from_euler("z", roll).as_matrix() @ in_shaft  # against the port, as if it looked along z
    view = pose[:, 2]
    assert np.arccos(view[2]) == pytest.approx(tilt)
    # The shortest turn from the shaft's direction to the view: no spin about the view.
    axis = np.cross([0.0, 0.0, 1.0], view)
    expected = Rotation.from_rotvec(axis / np.linalg.norm(axis) * tilt).as_matrix()
    np.testing.assert_allclose(pose, expected, atol=1e-12)


def test_the_head_turns_the_image_about_the_view_alone():
    still, turned = T_tip_camera(0.5, 0.3, 0.3), T_tip_camera(0.5, 0.3, 1.1)
    np.testing.assert_allclose(still[:, 2], turned[:, 2], atol=1e-15)
    between = Rotation.from_matrix(still[:3, :3].T @ turned[:3, :3]).as_rotvec()
    np.testing.assert_allclose(between, [0, 0, 0.8], atol=1e-12)


def test_the_head_and_the_shaft_turn_apart_and_no_faster_than_they_may():
    device = laparoscope(30.0)
    with BulletWorld() as world:
        table = InstrumentTable(world, [Instrument(world, device, np.eye(4))], [])
        state = table.step({device.name: JointTarget(joints=np.array([0, 0, 0.1, 0.5]), camera_roll=1.0)})[device.name]
        assert state.camera_roll == pytest.approx(0.1 * device.head.max_speed)
        for _ in range(6):
            state = table.step({})[device.name]
    assert state.camera_roll == pytest.approx(1.0)
    assert state.joints[3] == pytest.approx(0.5, abs=1e-6)
    pose = camera_pose(device, state)
    assert np.arccos(pose[:3, 2] @ state.T_world_tip[:3, 2]) == pytest.approx(np.radians(30))


def test_what_lies_in_the_line_of_view_is_in_the_middle_of_the_image():
    device = laparoscope(30.0)
    camera = laparoscope_camera(320, 240)
    with BulletWorld() as world:
        table = InstrumentTable(world, [Instrument(world, device, np.eye(4))], [])
        for _ in range(6):
            state = table.step({device.name: PointTarget(point=np.array([0.05, 0.02, -0.1]), roll=0.7)})[device.name]
    pose = camera_pose(device, state)
    ahead = apply(np.linalg.inv(pose), (pose[:3, 3] + 0.08 * pose[:3, 2])[None])
    pixel, seen = camera.project(ahead)
    assert seen.all()
    np.testing.assert_allclose(pixel[0], [camera.cx, camera.cy], atol=1e-6)
    assert len(laparoscope_light().positions) == 2


def test_an_instrument_without_a_camera_sees_nothing():
    with BulletWorld() as world:
        state = Instrument(world, hook(), np.eye(4)).state
    with pytest.raises(InputError, match="camera head"):
        camera_pose(hook(), state)


def test_parts_stay_together_and_jaws_open_about_their_axis():
    device = psm_grasper()
    T_world_port = compose(Rotation.from_euler("xyz", [0.3, -0.5, 0.2]).as_matrix(), np.array([0.1, 0.2, 0.3]))
    joints = np.array([0.2, -0.1, 0.12, 0.5, 0.3, -0.4, 0.35, -0.35])
    links = device_links(device, T_world_port, joints)
    points = key_points(device, links)
    parts = posed_parts(device, links)
    length = device.jaw.length
    assert np.linalg.norm(points["jaw_left_tip"] - points["jaw_right_tip"]) == pytest.approx(2 * length * np.sin(0.35))
    middle = (points["jaw_left_tip"] + points["jaw_right_tip"]) / 2
    np.testing.assert_allclose(np.linalg.norm(points["tip"] - middle), length * (1 - np.cos(0.35)), atol=1e-9)
    for side in ("left", "right"):
        vertices = parts[f"jaw_{side}"].vertices.astype(float)
        assert np.linalg.norm(vertices - points[f"jaw_{side}_tip"], axis=1).min() < 1.5e-3
    whole = posed_mesh(device, links)
    assert len(whole.vertices) == sum(len(mesh.vertices) for mesh in parts.values())
    for item in posed_objects(device, links):
        assert item.label_id == label_id("grasper")
        np.testing.assert_array_equal(item.mesh.vertices, parts[item.name.removeprefix("psm_grasper_")].vertices)


def test_shapes_follow_the_state_of_an_instrument():
    device = grasper()
    with BulletWorld() as world:
        table = InstrumentTable(world, [Instrument(world, device, np.eye(4))], [])
        for _ in range(6):
            state = table.step({"grasper": PointTarget(point=np.array([0.03, 0.0, -0.15]), jaw=0.0)})["grasper"]
    parts = posed_parts(device, state.links)
    foremost = parts["jaw_left"].vertices[np.argmin(parts["jaw_left"].vertices[:, 2])]
    np.testing.assert_allclose(foremost, [0.03, 0.0, -0.15], atol=2e-3)


def test_moved_parts_are_the_posed_parts():
    """An instrument that the renderer moves shows what one would that was built where it is."""
    device = psm_grasper()
    links = device_links(device, np.eye(4), np.array([0.2, -0.1, 0.12, 0.5, 0.3, -0.4, 0.35, -0.35]))
    posed = posed_objects(device, links, name="left")
    assert {item.thing for item in posed} == {"left"}
    poses = part_poses(device, links, name="left")
    for item, own in zip(posed, device_objects(device, name="left"), strict=True):
        assert item.name == own.name
        np.testing.assert_allclose(apply(poses[own.name], own.mesh.vertices), item.mesh.vertices, atol=1e-6)

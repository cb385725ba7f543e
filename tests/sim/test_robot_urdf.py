"""Our URDFs in PyBullet against the closed form, and the public ones against ours."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from assets.errors import InputError
from assets.instruments.dvrk import ECM, PSM
from assets.instruments.hand_held import grasper, hook, laparoscope, scissors, suction
from assets.instruments.robot_held import ecm_laparoscope, psm_grasper, psm_scissors
from assets.transforms import compose
from sim.instruments.posed import device_links
from sim.robots.kinematics import tip_pose
from sim.robots.urdf import device_urdf
from sim.world import BulletWorld

SURROL = Path(__file__).parents[3] / "shared" / "realdata" / "robots" / "surrol"
DEVICES = [psm_grasper, psm_scissors, ecm_laparoscope, grasper, scissors, hook, suction, laparoscope]


@pytest.fixture
def world():
    with BulletWorld() as opened:
        yield opened


@pytest.mark.parametrize("make", DEVICES)
def test_bullet_finds_every_link_where_the_closed_form_does(world, make):
    device = make()
    T_world_base = compose(Rotation.random(random_state=1).as_matrix(), np.array([0.1, -0.2, 0.3]))
    body = world.add_robot(device_urdf(device), T_world_base)
    assert world.joint_names(body) == device.links
    jaws = [device.jaw.upper / 2] * 2 if device.jaw else []
    lower, upper = np.append(device.arm.lower, np.negative(jaws)), np.append(device.arm.upper, jaws)
    for joints in np.random.default_rng(0).uniform(lower, upper, (50, len(lower))):
        world.set_joints(body, joints, 0 * joints)
        np.testing.assert_array_equal(world.joint_states(body)[0], joints)
        expected, found = device_links(device, T_world_base, joints), world.link_poses(body)
        for name in device.links:
            np.testing.assert_allclose(found[name][:3, 3], expected[name][:3, 3], atol=1e-7)
            np.testing.assert_allclose(found[name][:3, :3], expected[name][:3, :3], atol=1e-6)


def test_the_same_device_gives_the_same_bytes_in_another_process():
    code = (
        "import hashlib; from assets.instruments.robot_held import psm_grasper; "
        "from sim.robots.urdf import device_urdf; "
        "print(hashlib.sha256(device_urdf(psm_grasper()).encode()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert hashlib.sha256(device_urdf(psm_grasper()).encode()).hexdigest() in other.stdout


def test_a_broken_description_is_refused(world, capfd):
    with pytest.raises(InputError, match="readable URDF"):
        world.add_robot("<robot", np.eye(4))
    capfd.readouterr()  # PyBullet complains on the console too


PUBLIC = {
    # Its base lies beside the remote centre; its tip frame is ours turned by 180 degrees about the instrument's axis.
    "psm": (
        PSM,
        ("yaw", "pitch_end", "main_insertion", "tool_roll", "tool_pitch", "tool_yaw"),
        "psm_tool_tip_link",
        compose(np.eye(3), np.array([0.0, 0.4864, 0.0])),
        compose(np.diag([-1.0, -1.0, 1.0]), np.zeros(3)),
    ),
    # Its base is turned by -90 degrees about z; its tip lies 20 mm farther along the view.
    "ecm": (
        ECM,
        ("yaw", "pitch_end", "main_insertion", "tool"),
        "ecm_tip_link",
        compose(np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.array([0.6126, 0.0, 0.1016])),
        compose(np.eye(3), np.array([0.0, 0.0, 0.02])),
    ),
}


@pytest.mark.skipif(not SURROL.is_dir(), reason="the public URDFs are not there")
@pytest.mark.parametrize("name", PUBLIC)
def test_the_public_urdf_agrees_but_for_its_base_and_its_tip(world, name, capfd):
    arm, chain, tip, T_theirs_base, T_tip_theirs = PUBLIC[name]
    body = world.load_robot(SURROL / name / f"{name}.urdf", np.eye(4))
    names = world.joint_names(body)
    places = [names.index(f"{name}_{joint}_joint") for joint in chain]
    for joints in np.random.default_rng(1).uniform(arm.lower, arm.upper, (30, len(arm.joints))):
        values = np.zeros(len(names))
        values[places] = joints
        world.set_joints(body, values, 0 * values)
        found = world.link_poses(body)[tip]
        np.testing.assert_allclose(found, T_theirs_base @ tip_pose(arm, joints) @ T_tip_theirs, atol=1e-6)
    capfd.readouterr()  # PyBullet complains about their inertias on the console

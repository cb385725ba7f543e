"""The arms' kinematics against a product of exponentials, and the inverse against the forward one."""

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from assets.errors import InputError
from assets.instruments.dvrk import ECM, PSM
from assets.instruments.hand_held import HAND
from sim.robots.inverse import inverse, pivot_inverse, wristed_inverse
from sim.robots.kinematics import link_poses, tip_pose

ARMS = [PSM, ECM, HAND]


def screws(name):
    """Axes and home pose read off the arm's geometry: all first axes meet in the remote centre of motion.

    Each screw is (kind, direction, point on the axis); z points out of the patient, the instrument along -z.
    """
    down, back, left = np.array([0, 0, -1.0]), np.array([0, -1.0, 0]), np.array([-1.0, 0, 0])
    origin = np.zeros(3)
    first = [("turn", back, origin), ("turn", left, origin), ("shift", down, origin), ("turn", down, origin)]
    home = np.eye(4)
    if name != "psm":
        home[:3, :3] = np.diag([1, -1, -1])
        home[2, 3] = -(0.3829 - 0.3822) if name == "ecm" else 0.0
        return first, home
    wrist = 0.4318 - 0.4162  # of the pitch axis above the remote centre
    pitch, yaw = np.array([0, 0, wrist]), np.array([0, 0, wrist - 0.0091])
    home[:3, :3] = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
    home[:3, 3] = yaw + 0.0102 * down
    return [*first, ("turn", left, pitch), ("turn", back, yaw)], home


def product_of_exponentials(name, joints):
    pose = np.eye(4)
    axes, home = screws(name)
    for (kind, direction, point), value in zip(axes, joints, strict=True):
        twist = np.zeros((4, 4))
        if kind == "turn":
            twist[:3, :3] = np.cross(np.eye(3), direction)
            twist[:3, 3] = -np.cross(direction, point)
        else:
            twist[:3, 3] = direction
        pose = pose @ expm(twist * value)
    return pose @ home


def random_joints(arm, count, seed=0):
    return np.random.default_rng(seed).uniform(arm.lower, arm.upper, (count, len(arm.joints)))


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_forward_kinematics_is_a_product_of_exponentials(arm):
    joints = random_joints(arm, 40)
    found = tip_pose(arm, joints)
    for pose, vector in zip(found, joints, strict=True):
        np.testing.assert_allclose(pose, product_of_exponentials(arm.name, vector), atol=1e-13)


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_the_shaft_passes_through_the_remote_centre(arm):
    links = link_poses(arm, random_joints(arm, 1000))
    shaft = links[:, 3]
    off = np.linalg.norm(np.cross(shaft[:, :3, 3], shaft[:, :3, 2]), axis=1)
    assert off.max() < 1e-15


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_ten_thousand_targets_are_reached_near_singular_ones_too(arm):
    joints = random_joints(arm, 10_000)
    centre = -(arm.joints[2].offset + arm.joints[3].d)  # insertion at which the shaft ends in the remote centre
    joints[:1000, 2] = np.clip(centre + np.geomspace(1e-9, 1e-3, 1000), arm.lower[2], arm.upper[2])
    joints[1000:1100, -1] = arm.upper[-1]
    joints[1100:1200, 1] = 0.0
    targets = tip_pose(arm, joints)
    solution = inverse(arm, targets)
    assert solution.reached.all()
    assert arm.within(solution.joints).all()
    found = tip_pose(arm, solution.joints)
    assert np.linalg.norm(found[:, :3, 3] - targets[:, :3, 3], axis=1).max() < 1e-9
    turn = Rotation.from_matrix(np.swapaxes(found[:, :3, :3], 1, 2) @ targets[:, :3, :3])
    assert turn.magnitude().max() < 1e-9
    # Told where the arm is, the same joints come back: no jump to another branch or by a turn of the roll.
    again = inverse(arm, targets[1000:], joints[1000:])
    np.testing.assert_allclose(again.joints, joints[1000:], atol=1e-9)


def test_with_the_wrist_in_the_remote_centre_the_arm_stays_where_it_is():
    joints = random_joints(PSM, 200)
    joints[:, 2] = 0.4318 - 0.4162
    solution = inverse(PSM, tip_pose(PSM, joints), joints)
    assert solution.reached.all()
    np.testing.assert_allclose(solution.joints, joints, atol=1e-8)


def test_what_is_out_of_reach_is_told_and_the_joints_keep_their_limits():
    deep = tip_pose(PSM, np.array([0.1, 0.1, 0.24, 0.2, 0.1, 0.1]))
    deep[:3, 3] += 0.05 * deep[:3, 3] / np.linalg.norm(deep[:3, 3])  # 50 mm beyond the deepest tip
    solution = inverse(PSM, deep)
    assert not solution.reached
    assert PSM.within(solution.joints).all()
    assert 0.045 < solution.position_error < 0.055
    assert solution.joints[2] == 0.24
    bent = tip_pose(PSM, np.array([0.0, 0.0, 0.12, 0.0, np.radians(95), 0.0]))  # 15 degrees more than the wrist bends
    solution = inverse(PSM, bent)
    assert not solution.reached
    assert PSM.within(solution.joints).all()
    # No worse than the wrist at its limit, which is 15 degrees and the tip's way in them off, 0.1 m weighing a radian.
    clipped = np.linalg.norm(tip_pose(PSM, np.array([0.0, 0.0, 0.12, 0.0, PSM.upper[4], 0.0]))[:3, 3] - bent[:3, 3])
    assert solution.position_error + 0.1 * solution.angle_error <= clipped + 0.1 * np.radians(15)


def test_random_poses_never_leave_the_limits():
    rng = np.random.default_rng(4)
    targets = np.tile(np.eye(4), (500, 1, 1))
    targets[:, :3, :3] = Rotation.random(500, random_state=5).as_matrix()
    targets[:, :3, 3] = rng.normal(scale=0.2, size=(500, 3))
    for arm in ARMS:
        solution = inverse(arm, targets)
        assert arm.within(solution.joints).all()
        found = tip_pose(arm, solution.joints)
        np.testing.assert_allclose(
            solution.position_error, np.linalg.norm(found[:, :3, 3] - targets[:, :3, 3], axis=1), atol=1e-12
        )


def test_a_shaft_without_a_wrist_cannot_look_elsewhere():
    target = tip_pose(ECM, np.array([0.2, 0.1, 0.1, 0.3]))
    target[:3, :3] = target[:3, :3] @ Rotation.from_euler("x", 20, degrees=True).as_matrix()
    solution = inverse(ECM, target)
    assert not solution.reached
    assert solution.position_error < 1e-12
    assert solution.angle_error == pytest.approx(np.radians(20))


def test_full_turns_of_the_roll_bring_it_within_its_limits():
    target = tip_pose(PSM, np.array([0.0, 0.0, 0.1, np.radians(170), 0.2, 0.3]))
    near = np.array([0.0, 0.0, 0.1, np.radians(-250), 0.2, 0.3])
    assert inverse(PSM, target, near).joints[3] == pytest.approx(np.radians(-190))
    assert inverse(PSM, target, near).reached


def test_poses_that_are_none_are_refused():
    with pytest.raises(InputError, match="finite"):
        inverse(PSM, np.full((4, 4), np.nan))
    with pytest.raises(InputError, match="rotations"):
        inverse(ECM, np.diag([2.0, 1.0, 1.0, 1.0]))
    with pytest.raises(InputError, match="six joints"):
        wristed_inverse(ECM, np.eye(4))
    with pytest.raises(InputError, match="four joints"):
        pivot_inverse(PSM, np.eye(4))

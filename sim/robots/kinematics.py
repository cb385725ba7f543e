"""Forward kinematics of an arm, for one joint vector or many."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.instruments.arm import Arm, Joint


def link_poses(arm: Arm, joints: Float[np.ndarray, "*n j"]) -> NDArray[np.float64]:
    """Return the pose of every link in the base frame.

    Args:
        arm: The chain.
        joints: Joint values [rad or m], shape (..., j); limits are not looked at.

    Returns:
        T_base_link, shape (..., j, 4, 4).
    """
    poses = np.empty((*joints.shape, 4, 4))
    T_base_link = np.eye(4)
    for index, joint in enumerate(arm.joints):
        T_base_link = T_base_link @ _joint_transform(joint, joints[..., index])
        poses[..., index, :, :] = T_base_link
    return poses


def tip_pose(arm: Arm, joints: Float[np.ndarray, "*n j"]) -> NDArray[np.float64]:
    """Return T_base_tip, shape (..., 4, 4)."""
    return np.asarray(link_poses(arm, joints)[..., -1, :, :] @ arm.T_last_tip)


def _joint_transform(joint: Joint, value: NDArray[np.float64]) -> NDArray[np.float64]:
    turn = joint.offset + value if joint.kind == "revolute" else np.zeros_like(value)
    shift = joint.d + (joint.offset + value if joint.kind == "prismatic" else np.zeros_like(value))
    ca, sa = _cos_sin(joint.alpha)
    ct, st = np.cos(turn), np.sin(turn)
    T_before_link = np.zeros((*np.shape(value), 4, 4))
    T_before_link[..., 0, 0] = ct
    T_before_link[..., 0, 1] = -st
    T_before_link[..., 0, 3] = joint.a
    T_before_link[..., 1, 0] = st * ca
    T_before_link[..., 1, 1] = ct * ca
    T_before_link[..., 1, 2] = -sa
    T_before_link[..., 1, 3] = -sa * shift
    T_before_link[..., 2, 0] = st * sa
    T_before_link[..., 2, 1] = ct * sa
    T_before_link[..., 2, 2] = ca
    T_before_link[..., 2, 3] = ca * shift
    T_before_link[..., 3, 3] = 1.0
    return T_before_link


def _cos_sin(angle: float) -> tuple[float, float]:
    """Quarter turns come out exact."""
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    return (0.0 if abs(cosine) < 1e-15 else cosine), (0.0 if abs(sine) < 1e-15 else sine)

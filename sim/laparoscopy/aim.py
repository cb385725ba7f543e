"""Point a laparoscope: joints with which its camera looks at a place, also with oblique optics."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.errors import InputError
from assets.instruments.device import Device
from assets.transforms import apply, inverse
from sim.instruments.laparoscope import T_tip_camera
from sim.laparoscopy.placement import start_joints
from sim.robots.kinematics import tip_pose

_ROUNDS = 40
_NEAR = 1e-9  # [rad] off the axis of view


def look_at(
    device: Device,
    T_world_port: Float[np.ndarray, "4 4"],
    point: Float[np.ndarray, "3"],
    *,
    insertion: float,
    roll: float = 0.0,
    camera_roll: float = 0.0,
) -> tuple[NDArray[np.float64], float]:
    """Return the joints with which the camera looks at a point, or as near to it as the arm's limits let it.

    Yaw and pitch are found by Newton's method on the point's place in the picture.

    Args:
        device: With a camera head.
        T_world_port: Pose of its trocar.
        point: [m], world frame.
        insertion: Of the tip beyond the port [m].
        roll: Of the shaft [rad]: with a camera head held still, it leads oblique optics round the point.
        camera_roll: Of the camera head against the port [rad].

    Returns:
        Joints [rad or m], and the angle left between the axis of view and the point [rad].

    Raises:
        InputError: The device has no camera head.
    """
    if device.head is None:
        raise InputError(f"{device.name}: expected an instrument with a camera head, found none")
    arm = device.arm
    optics = T_tip_camera(device.head.view_angle, roll, camera_roll)
    target = apply(inverse(T_world_port), np.asarray(point, np.float64))
    joints = start_joints(device, insertion, roll)
    # The shaft itself points at the target first: near enough for Newton's method at any view angle of an endoscope.
    joints[:2] = np.arctan2(target[0], -target[2]), np.arcsin(-target[1] / max(float(np.linalg.norm(target)), 1e-12))
    joints = np.clip(joints, arm.lower, arm.upper)
    left = np.inf
    for _ in range(_ROUNDS):
        seen = _seen(arm_pose := tip_pose(arm, joints) @ optics, target)
        left = float(np.arctan2(np.linalg.norm(seen[:2]), seen[2]))
        if left < _NEAR:
            break
        step = 1e-6
        nudged = np.repeat(joints[None], 2, axis=0)
        nudged[[0, 1], [0, 1]] += step
        slopes = np.stack([_angles(_seen(pose @ optics, target)) for pose in tip_pose(arm, nudged)])
        slope = ((slopes - _angles(_seen(arm_pose, target))) / step).T
        change = np.linalg.lstsq(slope, -_angles(seen), rcond=None)[0]
        longest = np.abs(change).max()
        joints[:2] += change * min(1.0, 0.3 / max(longest, 1e-12))
        joints = np.clip(joints, arm.lower, arm.upper)
    return joints, left


def _seen(T_port_camera: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    return apply(inverse(T_port_camera), target)


def _angles(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far right and down of the axis of view a place in camera axes lies [rad]."""
    return np.array([np.arctan2(seen[0], seen[2]), np.arctan2(seen[1], seen[2])])

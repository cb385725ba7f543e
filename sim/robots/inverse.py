"""Closed-form inverse kinematics of the arms: the joints whose tip is where it should be.

Outside the workspace nothing is raised: of all branches the one is taken whose tip comes nearest once each joint is
clipped to its limits, and `Solution.reached` is False. The clipped pose is a good one, not the nearest of all.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64
from numpy.typing import NDArray

from assets.errors import InputError
from assets.instruments.arm import Arm
from assets.transforms import unit
from sim.robots.kinematics import tip_pose

REACHED_POSITION = 1e-9
"""A tip this near to its target [m] has reached it."""
REACHED_ANGLE = 1e-9
"""The same for its direction [rad]."""
_ARM_LENGTH = 0.1  # [m] by which an error of the angle weighs against one of the position
_ROUNDING = 1e-9  # [rad]; a roll this little beyond its limit is at its limit
_SMALL = 1e-12  # [m]; nearer to the remote centre than this, the position does not tell yaw and pitch


@dataclass(frozen=True)
class Solution:
    """Joints for one target or many, always within the limits."""

    joints: Float64[np.ndarray, "*n j"]
    """[rad or m]"""
    reached: Bool[np.ndarray, "*n"]
    """The tip is where it should be, within 1e-9 m and 1e-9 rad."""
    position_error: Float64[np.ndarray, "*n"]
    """Distance of the tip from its target [m]."""
    angle_error: Float64[np.ndarray, "*n"]
    """Angle of the rotation between tip and target [rad]."""


def wristed_inverse(
    arm: Arm, T_base_tip: Float[np.ndarray, "*n 4 4"], near: Float[np.ndarray, "*#n j"] | None = None
) -> Solution:
    """Solve for an arm of six joints whose wrist's axes are set off by one length, such as the PSM.

    The yaw axis of the wrist (z of link 6) is perpendicular to the line from the pitch axis to it, which gives that
    line up to its sign; the pitch axis lies on the shaft, whose line through the remote centre gives the first three.
    Branches: that sign, the shaft's (a tool drawn back beyond the remote centre), half and full turns of the roll.

    Args:
        arm: The chain.
        T_base_tip: Targets.
        near: Of several solutions the one nearest to these joints is taken; None for zeros. With the end of the shaft
            exactly in the remote centre yaw and pitch are free, and those of `near` are tried alone.

    Raises:
        InputError: The arm has not six joints, or a target is no rigid transform.
    """
    if len(arm.joints) != 6:
        raise InputError(f"inverse kinematics of {arm.name}: expected six joints, found {len(arm.joints)}")
    _check(arm, T_base_tip)
    tip = arm.T_last_tip
    rotation = T_base_tip[..., :3, :3] @ tip[:3, :3].T
    p6 = T_base_tip[..., :3, 3] - np.einsum("...ij,j->...i", rotation, tip[:3, 3])
    z6 = rotation[..., :, 2]
    near = np.zeros(6) if near is None else near
    near = np.broadcast_to(near, (*p6.shape[:-1], 6))
    across = p6 - np.einsum("...i,...i->...", p6, z6)[..., None] * z6
    # Where the wrist's yaw axis passes through the remote centre any direction across it will do.
    fallback = np.cross(z6, np.eye(3)[np.argmin(np.abs(z6), axis=-1)])
    x5 = unit(np.where(np.linalg.norm(across, axis=-1, keepdims=True) > _SMALL, across, fallback))
    branches = []
    for sign in (1.0, -1.0):
        p5 = p6 - sign * arm.joints[5].a * x5
        for side in (1.0, -1.0):
            first = _shaft(arm, p5, side, near)
            base = _rotation_of_three(first)
            wrist = np.swapaxes(base, -1, -2) @ rotation
            # The third column of R36 is (cos q4 cos q5, sin q4 cos q5, -sin q5).
            q4 = np.asarray(np.arctan2(wrist[..., 1, 2], wrist[..., 0, 2]))
            branches += [_with_wrist(first, wrist, q4), _with_wrist(first, wrist, np.asarray(q4 + np.pi))]
    candidates = np.stack(branches)
    return _choose(arm, T_base_tip, _turned(arm, candidates, near, 3), near)


def pivot_inverse(
    arm: Arm, T_base_tip: Float[np.ndarray, "*n 4 4"], near: Float[np.ndarray, "*#n j"] | None = None
) -> Solution:
    """Solve for an arm of yaw, pitch, insertion and roll, such as the ECM or an instrument in a hand.

    The position of the tip gives the first three; the roll is the one whose axes come nearest to the target's, in the
    sense of the trace of the rotation between them. `reached` is False where the target looks elsewhere than along the
    line from the remote centre.

    Args:
        arm: The chain.
        T_base_tip: Targets.
        near: As for `wristed_inverse`.

    Raises:
        InputError: The arm has not four joints, or a target is no rigid transform.
    """
    if len(arm.joints) != 4:
        raise InputError(f"inverse kinematics of {arm.name}: expected four joints, found {len(arm.joints)}")
    _check(arm, T_base_tip)
    rotation = T_base_tip[..., :3, :3] @ arm.T_last_tip[:3, :3].T
    position = T_base_tip[..., :3, 3]
    near = np.zeros(4) if near is None else near
    near = np.broadcast_to(near, (*position.shape[:-1], 4))
    candidates = []
    for side in (1.0, -1.0):
        first = _shaft(arm, position, side, near)
        turn = np.swapaxes(_rotation_of_three(first), -1, -2) @ rotation
        roll = np.arctan2(turn[..., 1, 0] - turn[..., 0, 1], turn[..., 0, 0] + turn[..., 1, 1])
        candidates.append(np.concatenate([first, roll[..., None]], axis=-1))
    return _choose(arm, T_base_tip, _turned(arm, np.stack(candidates), near, 3), near)


def inverse(
    arm: Arm, T_base_tip: Float[np.ndarray, "*n 4 4"], near: Float[np.ndarray, "*#n j"] | None = None
) -> Solution:
    """Solve with the form that fits the arm's number of joints.

    Raises:
        InputError: There is no form for this arm, or a target is no rigid transform.
    """
    return wristed_inverse(arm, T_base_tip, near) if len(arm.joints) == 6 else pivot_inverse(arm, T_base_tip, near)


def _check(arm: Arm, T_base_tip: NDArray[np.float64]) -> None:
    if not np.isfinite(T_base_tip).all():
        raise InputError(f"inverse kinematics of {arm.name}: expected finite poses, found NaN or infinity")
    rotation = T_base_tip[..., :3, :3]
    off = np.abs(np.swapaxes(rotation, -1, -2) @ rotation - np.eye(3)).max(initial=0.0)
    if off > 1e-6 or (np.linalg.det(rotation) < 0).any():
        raise InputError(f"inverse kinematics of {arm.name}: expected rotations, found a matrix {off:.1e} off")


def _shaft(arm: Arm, point: NDArray[np.float64], side: float, near: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return yaw, pitch and insertion that bring the shaft's end to a point; side -1 is beyond the remote centre."""
    depth = np.linalg.norm(point, axis=-1)
    direction = side * unit(point)
    at_centre = depth < _SMALL
    pitch = np.where(at_centre, near[..., 1], np.arcsin(np.clip(-direction[..., 1], -1, 1)))
    yaw = np.where(at_centre, near[..., 0], np.arctan2(direction[..., 0], -direction[..., 2]))
    return np.stack([yaw, pitch, side * depth - arm.joints[2].offset - arm.joints[3].d], axis=-1)


def _rotation_of_three(first: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return R of link 3 for yaw and pitch; its z is the direction of the shaft."""
    c1, s1, c2, s2 = np.cos(first[..., 0]), np.sin(first[..., 0]), np.cos(first[..., 1]), np.sin(first[..., 1])
    zero = np.zeros_like(c1)
    return np.stack(
        [
            np.stack([-s1 * s2, -c1, s1 * c2], axis=-1),
            np.stack([-c2, zero, -s2], axis=-1),
            np.stack([c1 * s2, -s1, -c1 * c2], axis=-1),
        ],
        axis=-2,
    )


def _with_wrist(first: NDArray[np.float64], wrist: NDArray[np.float64], q4: NDArray[np.float64]) -> NDArray[np.float64]:
    c4, s4 = np.cos(q4)[..., None], np.sin(q4)[..., None]
    # R46 = Rx(-90) Rz(q5 - 90) Rx(-90) Rz(q6 - 90): its second row is (cos q6, -sin q6, 0), its third column
    # (cos q5, 0, -sin q5).
    top = c4 * wrist[..., 0, :] + s4 * wrist[..., 1, :]
    middle = c4 * wrist[..., 1, :] - s4 * wrist[..., 0, :]
    q5 = np.arctan2(-wrist[..., 2, 2], top[..., 2])
    q6 = np.arctan2(-middle[..., 1], middle[..., 0])
    return np.concatenate([first, np.stack([q4, q5, q6], axis=-1)], axis=-1)


def _turned(arm: Arm, candidates: NDArray[np.float64], near: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    """Bring a revolute joint by full turns within its limits, as near as may be to `near`."""
    value = candidates[..., index]
    value = value + 2 * np.pi * np.round((near[..., index] - value) / (2 * np.pi))
    joint = arm.joints[index]
    beyond, short = value > joint.upper + _ROUNDING, value < joint.lower - _ROUNDING
    value = value - 2 * np.pi * beyond + 2 * np.pi * short
    candidates = candidates.copy()
    candidates[..., index] = value
    return candidates


def _choose(
    arm: Arm, T_base_tip: NDArray[np.float64], candidates: NDArray[np.float64], near: NDArray[np.float64]
) -> Solution:
    """Clip candidates to the limits and take the best; of those that reach the target, the nearest to `near`."""
    joints = np.clip(candidates, arm.lower, arm.upper)
    found = tip_pose(arm, joints)
    position = np.linalg.norm(found[..., :3, 3] - T_base_tip[..., :3, 3], axis=-1)
    between = np.swapaxes(found[..., :3, :3], -1, -2) @ T_base_tip[..., :3, :3]
    skew = np.stack([between[..., 2, 1], between[..., 0, 2], between[..., 1, 0]], axis=-1) - np.stack(
        [between[..., 1, 2], between[..., 2, 0], between[..., 0, 1]], axis=-1
    )
    angle = np.arctan2(np.linalg.norm(skew, axis=-1), np.trace(between, axis1=-2, axis2=-1) - 1)
    reached = (position <= REACHED_POSITION) & (angle <= REACHED_ANGLE)
    moved = np.abs((joints - near) / (arm.upper - arm.lower)).sum(axis=-1)
    cost = np.where(reached, 1e-12 * moved, 1e-9 + position + _ARM_LENGTH * angle)
    best = np.argmin(cost, axis=0)[None]
    taken = np.take_along_axis(joints, best[..., None], axis=0)[0]
    return Solution(
        taken,
        *(np.asarray(np.take_along_axis(values, best, axis=0)[0]) for values in (reached, position, angle)),
    )

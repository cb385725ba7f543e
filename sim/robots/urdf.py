"""Write an instrument on its arm as URDF, so that PyBullet moves it: the same device, the same bytes."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from assets.instruments.arm import Joint
from assets.instruments.device import JAWS, Device
from assets.transforms import apply, compose

BASE = "base"
_GYRATION = 0.02  # [m]; gears reflect the motors' inertia, so even a slim link turns like a body of this radius
_JAW_MASS = 0.005  # [kg]


def device_urdf(device: Device) -> str:
    """Return the URDF; its joints are those of the arm in their order, then `jaw_left` and `jaw_right`.

    Lines are kept short: PyBullet's reader fails on very long ones.
    """
    lines = ['<?xml version="1.0"?>', f'<robot name="{device.name}">']
    lines += _link(device, BASE, device.arm.joints[0].mass)
    parent = BASE
    for joint in device.arm.joints:
        lines += _link(device, joint.name, joint.mass)
        lines += _joint(joint.name, joint.kind, parent, joint.name, _origin(joint), "0 0 1", _limits(joint))
        parent = joint.name
    if device.jaw is not None:
        jaw = device.jaw
        limits = (-jaw.upper / 2, jaw.upper / 2, jaw.max_force, jaw.max_speed / 2)
        for name in JAWS:
            lines += _link(device, name, _JAW_MASS)
            lines += _joint(name, "revolute", parent, name, device.T_last_jaw, "1 0 0", limits)
    return "\n".join([*lines, "</robot>", ""])


def _origin(joint: Joint) -> NDArray[np.float64]:
    """Return the link's frame in the one before, at joint value 0."""
    ca, sa = np.round(np.cos(joint.alpha), 15), np.round(np.sin(joint.alpha), 15)
    turn = joint.offset if joint.kind == "revolute" else 0.0
    shift = joint.d + (joint.offset if joint.kind == "prismatic" else 0.0)
    ct, st = np.round(np.cos(turn), 15), np.round(np.sin(turn), 15)
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, ca, -sa], [0.0, sa, ca]])
    about_z = np.array([[ct, -st, 0.0], [st, ct, 0.0], [0.0, 0.0, 1.0]])
    return compose(about_x @ about_z, np.array([joint.a, 0.0, 0.0]) + about_x[:, 2] * shift)


def _limits(joint: Joint) -> tuple[float, float, float, float]:
    return joint.lower, joint.upper, joint.max_force, joint.max_speed


def _link(device: Device, name: str, mass: float) -> Iterator[str]:
    yield f'<link name="{name}">'
    yield f'  <inertial><origin xyz="0 0 0"/><mass value="{mass!r}"/>'
    moment = f"{mass * _GYRATION**2:.9g}"
    yield f'    <inertia ixx="{moment}" iyy="{moment}" izz="{moment}" ixy="0" ixz="0" iyz="0"/></inertial>'
    for box in device.boxes:
        if box.link == name:
            yield f'  <visual><origin xyz="{_numbers(box.centre)}"/>'
            yield f'    <geometry><box size="{_numbers(box.size)}"/></geometry></visual>'
    for part in device.parts:
        if part.link == name:
            for ball in part.balls:
                centre = apply(part.T_link_part, np.array(ball.centre))
                shape = f'<origin xyz="{_numbers(centre)}"/><geometry><sphere radius="{ball.radius!r}"/></geometry>'
                yield f"  <collision>{shape}</collision>"
                yield f"  <visual>{shape}</visual>"
    yield "</link>"


def _joint(
    name: str,
    kind: str,
    parent: str,
    child: str,
    T_parent_child: NDArray[np.float64],
    axis: str,
    limits: tuple[float, float, float, float],
) -> Iterator[str]:
    lower, upper, force, speed = limits
    yield f'<joint name="{name}" type="{kind}">'
    yield f'  <parent link="{parent}"/><child link="{child}"/><axis xyz="{axis}"/>'
    yield f'  <origin xyz="{_numbers(T_parent_child[:3, 3])}" rpy="{_numbers(_rpy(T_parent_child[:3, :3]))}"/>'
    yield f'  <limit lower="{lower!r}" upper="{upper!r}" effort="{force!r}" velocity="{speed!r}"/>'
    yield "</joint>"


def _rpy(rotation: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return roll, pitch and yaw with rotation = Rz(yaw) Ry(pitch) Rx(roll); at pitch +-90 degrees yaw is 0."""
    level = np.hypot(rotation[0, 0], rotation[1, 0])
    pitch = float(np.arctan2(-rotation[2, 0], level))
    if level < 1e-9:
        return float(np.arctan2(-rotation[1, 2], rotation[1, 1])), pitch, 0.0
    return (
        float(np.arctan2(rotation[2, 1], rotation[2, 2])),
        pitch,
        float(np.arctan2(rotation[1, 0], rotation[0, 0])),
    )


def _numbers(values: NDArray[np.float64] | tuple[float, ...]) -> str:
    return " ".join(repr(float(value) + 0.0) for value in values)

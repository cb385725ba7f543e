"""Where the parts of an instrument are: link poses and meshes in world axes, from joint values alone."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.instruments.device import JAWS, Device
from assets.instruments.solids import joined, moved
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.transforms import apply, compose
from sim.robots.kinematics import link_poses
from sim.scene_objects import SceneObject


def device_links(
    device: Device, T_world_base: Float[np.ndarray, "4 4"], joints: Float[np.ndarray, "j"]
) -> dict[str, NDArray[np.float64]]:
    """Return T_world_link, shape (4, 4), of every moving link.

    Args:
        device: The instrument.
        T_world_base: Pose of its arm.
        joints: Values of its links [rad or m]: of the arm's joints, then of `jaw_left` and `jaw_right`.
    """
    count = len(device.arm.joints)
    poses = T_world_base @ link_poses(device.arm, joints[:count])
    links = {joint.name: pose for joint, pose in zip(device.arm.joints, poses, strict=True)}
    if device.jaw is not None:
        for name, angle in zip(JAWS, joints[count:], strict=True):
            c, s = np.cos(angle), np.sin(angle)
            turn = compose(np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]]), np.zeros(3))
            links[name] = poses[-1] @ device.T_last_jaw @ turn
    return links


def posed_parts(device: Device, links: dict[str, NDArray[np.float64]]) -> dict[str, Mesh]:
    """Return every part's mesh in world axes [m], by the part's name.

    Args:
        device: The instrument.
        links: T_world_link by name, from `device_links` or from an instrument's state.
    """
    return {part.name: moved(part.mesh, links[part.link] @ part.T_link_part) for part in device.parts}


def posed_mesh(device: Device, links: dict[str, NDArray[np.float64]]) -> Mesh:
    """Return the whole instrument as one mesh in world axes [m]; the parts in their order."""
    return joined(list(posed_parts(device, links).values()))


def posed_objects(
    device: Device, links: dict[str, NDArray[np.float64]], *, name: str | None = None
) -> tuple[SceneObject, ...]:
    """Return every part as the renderer wants it, in world axes; for an instrument that does not move.

    Args:
        device: The instrument.
        links: As of `posed_parts`.
        name: Of this instrument, None for its device's: each part carries it as its thing, so that all have one
            instance id, and in front of its own name.
    """
    meshes = posed_parts(device, links)
    return tuple(
        replace(item, mesh=meshes[part.name])
        for item, part in zip(device_objects(device, name=name), device.parts, strict=True)
    )


def device_objects(device: Device, *, name: str | None = None) -> tuple[SceneObject, ...]:
    """Return every part in its own frame, for a scene that poses it by `part_poses`; the rest as of `posed_objects`."""
    materials, label, thing = load_materials(), label_id(device.label), name or device.name
    return tuple(
        SceneObject(f"{thing}_{part.name}", part.mesh, label, materials[part.material], "solid", thing)
        for part in device.parts
    )


def part_poses(
    device: Device, links: dict[str, NDArray[np.float64]], *, name: str | None = None
) -> dict[str, NDArray[np.float64]]:
    """Return T_world_part, shape (4, 4), by the name that the part's object has: for `RenderScene.move`."""
    thing = name or device.name
    return {f"{thing}_{part.name}": links[part.link] @ part.T_link_part for part in device.parts}


def key_points(device: Device, links: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return the named points of an instrument, world frame [m]."""
    return {name: apply(links[link], np.array(place)) for name, link, place in device.key_points}

"""Jaws that close on soft tissue: when they catch it, which nodes, how much they hold, and when they let go."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from assets.instruments.device import Device
from assets.transforms import apply, inverse

PINCH = 0.05
"""Force on each jaw from which tissue between closing jaws is caught [N]; chosen."""
OPENED = 0.12
"""Jaws that open by this much from their narrowest let go [rad]; chosen."""
NARROWEST = 0.5
"""Share of its thickness that is left of tissue in closed jaws: it is squeezed no further, so that no element is turned
inside out; chosen."""
_BACK = 0.15  # share of the jaws' length behind which nothing is held: there is the joint
_HALF_WIDTH = 0.0023  # [m] of the grasper's jaws


@dataclass
class JawHold:
    """Tissue in jaws."""

    organ: str
    grasp: int
    """Of the organ's body."""
    limit: float
    """Most force that is held [N]."""
    angle: float
    """Between the jaws, at their narrowest since they caught it [rad]."""
    thickness: float = 1.0
    """Share that is left of what it was when they caught it."""
    force: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """What the tissue does to the jaws [N], world frame."""


def jaw_pose(device: Device, links: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return T_world_jaw, shape (4, 4): origin at the jaws' axis, z forward, y the way in which they open."""
    return np.asarray(links[device.arm.joints[-1].name] @ device.T_last_jaw)


def between(
    device: Device,
    T_world_jaw: Float[np.ndarray, "4 4"],
    angle: float,
    points: Float[np.ndarray, "n 3"],
    slack: float,
) -> Int[np.ndarray, "k"]:
    """Return the indices of points [m] that lie between jaws that are open by an angle [rad].

    Args:
        device: With jaws.
        T_world_jaw: Pose of their axis.
        angle: Between them [rad].
        points: World frame [m].
        slack: How far beyond the sides of the jaws a point may lie [m]: a share of the distance between points.
    """
    assert device.jaw is not None
    x, y, z = apply(inverse(T_world_jaw), points).T
    length = device.jaw.length
    inside = (z > _BACK * length) & (z < length + slack / 2) & (np.abs(x) < _HALF_WIDTH + slack)
    return np.flatnonzero(inside & (np.abs(y) < np.tan(angle / 2) * z + slack / 2))


def grip_limit(device: Device, friction: float) -> float:
    """Return the most force that jaws hold [N]: friction on both sides under their full force at half their length."""
    assert device.jaw is not None
    return 2 * friction * device.jaw.max_force / (device.jaw.length / 2)

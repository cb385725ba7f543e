"""An arm that holds an instrument: a serial chain in modified Denavit-Hartenberg parameters, with its limits."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.transforms import compose

JointKind = Literal["revolute", "prismatic"]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Joint:
    """One joint and the link that it moves.

    The link's frame in the one before is Rx(alpha) Tx(a) Rz(theta) Tz(d) (Craig, Introduction to Robotics, 3rd edition,
    section 3.4), with theta = offset + q for a revolute joint and d + offset + q for the shift of a prismatic one.
    """

    name: str
    kind: JointKind
    alpha: float
    """Twist [rad]."""
    a: float
    """[m]"""
    d: float
    """[m]"""
    offset: float
    """[rad] or [m], added to the joint's value."""
    lower: float
    """[rad] or [m]"""
    upper: float
    """[rad] or [m]"""
    max_speed: float
    """[rad/s] or [m/s]"""
    max_force: float
    """Torque [N m] or force [N] of the motor, or of the hand."""
    mass: float
    """Of the link [kg]."""

    def __post_init__(self) -> None:
        numbers = (self.alpha, self.a, self.d, self.offset, self.lower, self.upper, self.max_speed, self.max_force)
        if not all(math.isfinite(number) for number in numbers) or self.lower >= self.upper:
            raise InputError(f"joint {self.name}: expected finite numbers and lower < upper, found {self}")
        if min(self.max_speed, self.max_force, self.mass) <= 0:
            raise InputError(f"joint {self.name}: expected a speed, force and mass above 0, found {self}")


@dataclass(frozen=True)
class Arm:
    """A chain whose first joints turn about a remote centre of motion, which is the origin of its base frame.

    Base axes: z points out of the patient, so that at zero angles the instrument points along -z; x is image right and
    y image up of a camera that it holds.
    """

    name: str
    joints: tuple[Joint, ...]
    tip_axes: tuple[Vector, Vector, Vector]
    """x, y and z of the tip frame in the last link's frame; z is forward, x the axis of the jaws or image right."""
    tip_offset: Vector
    """Origin of the tip frame in the last link's frame [m]."""
    source: str
    """Where its parameters and limits come from."""

    @property
    def T_last_tip(self) -> NDArray[np.float64]:  # noqa: N802
        """Pose of the tip in the last link's frame, shape (4, 4)."""
        return compose(np.array(self.tip_axes).T, np.array(self.tip_offset))

    @property
    def lower(self) -> NDArray[np.float64]:
        """Lower limits of the joints [rad or m]."""
        return np.array([joint.lower for joint in self.joints])

    @property
    def upper(self) -> NDArray[np.float64]:
        """Upper limits of the joints [rad or m]."""
        return np.array([joint.upper for joint in self.joints])

    @property
    def max_speed(self) -> NDArray[np.float64]:
        """Greatest speeds of the joints [rad/s or m/s]."""
        return np.array([joint.max_speed for joint in self.joints])

    @property
    def max_force(self) -> NDArray[np.float64]:
        """Greatest torques or forces of the joints [N m or N]."""
        return np.array([joint.max_force for joint in self.joints])

    def within(self, joints: NDArray[np.float64], *, slack: float = 0.0) -> NDArray[np.bool_]:
        """Whether joint vectors, shape (..., n), respect all limits, give or take `slack`."""
        return np.asarray(((joints >= self.lower - slack) & (joints <= self.upper + slack)).all(axis=-1))

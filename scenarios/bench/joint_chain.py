"""A scope as PyBullet would have it: a chain of universal joints with springs, pushed along the same colon."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.instruments.flexible import ScopeDevice
from assets.mesh import Mesh
from assets.patient import Orifice
from assets.transforms import compose, unit
from sim.control_step import CONTROL_STEP
from sim.wall_building import drop_orifices
from sim.world import BulletWorld, Drive

JOINTS = 80
"""Hinges: two at each of 40 universal joints."""
STEP = 1 / 240
"""[s]; Bullet's own step."""
_OUTSIDE = 0.12  # [m] of straight shaft behind the orifice, held by the hand and free of contact
_SPEED, _HAND, _GAIN = 0.5, 40.0, 0.2  # of the hand [m/s, N]; share of the error that a motor takes back in a step


class JointChain:
    """A chain of the length of a scope's part inside, laid along a path and moved at its base."""

    def __init__(
        self,
        world: BulletWorld,
        lumen: Mesh,
        orifice: Orifice,
        path: Float[np.ndarray, "n 3"],
        device: ScopeDevice,
        insertion: float,
    ) -> None:
        """Lay it from the orifice along the path.

        Args:
            world: Where it lives, with the lumen's surface as its only anatomy.
            lumen: Of the colon.
            orifice: The anus.
            path: From the anus inwards [m].
            device: Its radius, mass and stiffness.
            insertion: Length inside [m].
        """
        self._world = world
        world.add_anatomy(drop_orifices(lumen, (orifice,)))
        length = insertion / (JOINTS // 2)
        axis = unit(orifice.normal)
        across = unit(np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))]))
        base = np.stack([across, np.cross(axis, across), axis], axis=1)
        self.body = world.add_robot(chain_urdf(device, length), compose(base, orifice.centre))
        self._joints = np.append(0.0, _angles(base, _points(path, length)))
        world.set_joints(self.body, self._joints, np.zeros(JOINTS + 1))
        world.set_substep(STEP)
        # The spring of a joint is a motor that pulls to the straight with the moment that the scope's own stiffness
        # gives at an angle of one radian.
        moment = device.shaft_rigidity / length
        self._forces = np.append(_HAND, np.full(JOINTS, moment))
        self._speeds = np.append(_SPEED, np.full(JOINTS, 10.0))
        self._hand = 0.0

    def advance(self, way: float) -> None:
        """Push by a way [m] through one control step."""
        steps = round(CONTROL_STEP / STEP)
        for _ in range(steps):
            self._hand += way / steps
            target = np.append(self._hand, np.zeros(JOINTS))
            now, _ = self._world.joint_states(self.body)
            # As a spring: the moment grows with the angle.
            forces = np.append(_HAND, self._forces[1:] * np.abs(now[1:]) + 1e-4)
            speeds = np.zeros(JOINTS + 1)
            self._world.drive(self.body, Drive(target, speeds, self._speeds, forces, _GAIN))
            self._world.advance()

    def places(self) -> NDArray[np.float64]:
        """Return where its links begin [m], shape (40, 3), base first."""
        poses = self._world.link_poses(self.body)
        return np.array([poses[f"bend_{index}"][:3, 3] for index in range(JOINTS // 2)])


def chain_urdf(device: ScopeDevice, length: float) -> str:
    """Write the chain: a sliding shaft without contact, then universal joints with a sphere each and one between."""
    mass = device.density * length
    parts = ['<robot name="chain">', _link("hand", 1.0, 0.1)]
    parts.append(_link("shaft", device.density * _OUTSIDE, _OUTSIDE))
    parts.append(_joint("slide", "prismatic", "hand", "shaft", (0, 0, 1), 0.0, 1.0))
    before, offset = "shaft", 0.0
    for index in range(JOINTS // 2):
        parts.append(_link(f"cross_{index}", mass / 10, length / 10))
        parts.append(_joint(f"first_{index}", "revolute", before, f"cross_{index}", (1, 0, 0), offset, np.pi))
        balls = (length / 2, length)
        parts.append(_link(f"bend_{index}", mass, length, radius=device.tube_radius, balls=balls))
        parts.append(_joint(f"second_{index}", "revolute", f"cross_{index}", f"bend_{index}", (0, 1, 0), 0.0, np.pi))
        before, offset = f"bend_{index}", length
    return "\n".join([*parts, "</robot>"])


def _link(name: str, mass: float, length: float, *, radius: float = 0.0, balls: tuple[float, ...] = ()) -> str:
    inertia = mass * (0.4 * max(radius, 0.004) ** 2 + length**2 / 12)
    shapes = "".join(
        f'<collision><origin xyz="0 0 {place:.6f}"/><geometry><sphere radius="{radius:.6f}"/></geometry></collision>'
        for place in balls
    )
    return (
        f'<link name="{name}"><inertial><origin xyz="0 0 {length / 2:.6f}"/><mass value="{mass:.9f}"/>'
        f'<inertia ixx="{inertia:.3e}" iyy="{inertia:.3e}" izz="{inertia:.3e}" ixy="0" ixz="0" iyz="0"/></inertial>'
        f"{shapes}</link>"
    )


def _joint(
    name: str, kind: str, parent: str, child: str, axis: tuple[int, int, int], offset: float, limit: float
) -> str:
    return (
        f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="0 0 {offset:.6f}"/><axis xyz="{axis[0]} {axis[1]} {axis[2]}"/>'
        f'<limit lower="{-limit:.4f}" upper="{limit:.4f}" effort="100" velocity="100"/></joint>'
    )


def _points(path: Float[np.ndarray, "n 3"], length: float) -> NDArray[np.float64]:
    """Return points on a path, each `length` [m] from the one before, shape (41, 3)."""
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    fine = np.stack([np.interp(np.arange(0.0, arc[-1], 2e-4), arc, column) for column in path.T], axis=1)
    found, place = [fine[0]], 0
    for _ in range(JOINTS // 2):
        ahead = np.linalg.norm(fine[place:] - found[-1], axis=1) >= length
        place = place + int(np.argmax(ahead)) if ahead.any() else len(fine) - 1
        found.append(fine[place])
    return np.array(found)


def _angles(base: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the two angles of each universal joint that aim its link at the next point."""
    angles, frame = [], base
    for edge in unit(np.diff(points, axis=0)):
        x, y, z = frame.T @ edge
        first, second = np.arctan2(-y, z), np.arcsin(np.clip(x, -1, 1))
        angles += [first, second]
        c, s = np.cos(first), np.sin(first)
        turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        c, s = np.cos(second), np.sin(second)
        frame = frame @ turn @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return np.array(angles)

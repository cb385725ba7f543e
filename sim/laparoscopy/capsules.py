"""The parts of an instrument as capsules that press on soft tissue, from the spheres that collide in PyBullet."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assets.instruments.device import Device
from assets.transforms import apply
from sim.soft.contact import Capsule


@dataclass(frozen=True, eq=False)
class PartCapsule:
    """A capsule fixed to a link."""

    link: str
    part: str
    ends: NDArray[np.float64]
    """In the link's frame [m], shape (2, 3)."""
    radius: float
    """[m]"""

    def at(self, links: dict[str, NDArray[np.float64]], friction: float) -> Capsule:
        """Return it in the world; `links` are T_world_link by name."""
        first, last = apply(links[self.link], self.ends)
        return Capsule(_triple(first), _triple(last), self.radius, friction)


def capsules_of(device: Device) -> tuple[PartCapsule, ...]:
    """Return a capsule for each straight row of spheres of each part; lone spheres where a part has no row."""
    found = []
    for part in device.parts:
        rows: dict[tuple[float, float, float], list[float]] = {}
        for ball in part.balls:
            x, y, z = ball.centre
            rows.setdefault((round(x, 9), round(y, 9), ball.radius), []).append(z)
        straight = {key: row for key, row in rows.items() if len(row) > 1} or rows
        for (x, y, radius), row in straight.items():
            ends = apply(part.T_link_part, np.array([[x, y, min(row)], [x, y, max(row)]]))
            found.append(PartCapsule(part.link, part.name, ends, radius))
    return tuple(found)


def fastest(device: Device) -> float:
    """Return a bound on the speed of any point of an instrument [m/s]."""
    joints = device.arm.joints
    reach = max(abs(joints[2].lower), abs(joints[2].upper)) + abs(joints[2].offset + joints[3].d) + 0.02
    return joints[2].max_speed + reach * max(joints[0].max_speed, joints[1].max_speed)


def _triple(point: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(point[0]), float(point[1]), float(point[2])

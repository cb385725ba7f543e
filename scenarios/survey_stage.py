"""The stage of a liver survey: a free place in which an instrument swings while the laparoscope follows its tip."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from assets.errors import InputError
from assets.instruments.device import Device
from assets.transforms import apply, inverse, unit
from scenarios.survey_reach import OFF_AXIS, ROLLS, Reach, on_shafts
from sim.laparoscopy.trocars import Trocar

_PLACES, _ABOUT = 1200, 0.06  # places that are tried for the stage, and how far off the straight way [m]
_ROOMIEST = 240  # of them are looked at more closely
_SWINGS = (0.025, 0.020, 0.018, 0.015, 0.012)
"""How far the instrument may swing to each side [m]; the widest that there is room for is taken."""
_DEEP = 0.25  # how far it moves along the line of sight, as a share of that
_STAGE_DISTANCES = (0.050, 0.065)  # m from the lens to the stage; in a tight abdomen the port may force others
_TOOL_MARGIN = 0.003  # m that the instrument's shaft keeps from organs, on top of its radius
_APART = 0.015  # m between the axes of the two shafts
_DIRECTION = 1.0  # rad off a trocar's axis that the instrument leans to at most; its arm allows 1.05
_GRID = np.array([[x, y, 0.0] for x in (-1, -0.5, 0, 0.5, 1) for y in (-1, -0.5, 0, 0.5, 1)])
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
_BOX = np.concatenate([_GRID, _CORNERS])
"""Places in the box of a swing, in shares of its half axes."""


@dataclass(frozen=True, eq=False)
class Stage:
    """A free place in front of the organs in which an instrument swings, and a view of it."""

    centre: Float64[np.ndarray, "3"]
    """[m]"""
    swing: Float64[np.ndarray, "3 3"]
    """Half axes of the box in which the instrument moves [m], a row each: two across the line of sight from the
    laparoscope's port, and a shorter one along it."""
    joints: Float64[np.ndarray, "4"]
    """Of the laparoscope that looks at the centre."""


def find_stage(reach: Reach, device: Device, port: Trocar, field: Float64[np.ndarray, "3"], name: str) -> Stage:
    """Find where an instrument can swing the farthest to all sides, seen by a laparoscope that can follow it.

    The whole box of the swing is clear of organs, for the instrument's shaft and for a laparoscope that looks at any
    place in it; and the shafts stay apart.

    Args:
        reach: Of the laparoscope.
        device: The instrument.
        port: The instrument's.
        field: The operative field [m]: places on the way there from the port are tried.
        name: Of the patient, for the error.

    Raises:
        InputError: There is no room, or none that the laparoscope can look at.
    """
    start = port.T_world_port[:3, 3]
    spread = np.random.default_rng(0).uniform(-_ABOUT, _ABOUT, (_PLACES, 3))
    places = start + np.random.default_rng(1).uniform(0.3, 0.9, (_PLACES, 1)) * (field - start) + spread
    roomiest = places[np.argsort(-reach.room.about(places), kind="stable")[:_ROOMIEST]]
    radius = max(ball.radius for part in device.parts for ball in part.balls)
    boxes = [_box(place, reach) for place in roomiest]
    left = list(range(len(roomiest)))
    for width in _SWINGS:
        for index in list(left):
            swing = width * boxes[index]
            tips = roomiest[index] + _BOX @ swing
            corners = tips[-len(_CORNERS) :]  # asked first: where a box is not clear, a corner mostly is not
            if not _within(port, tips) or not reach.room.clear(start, corners, radius, _TOOL_MARGIN).all():
                continue
            if not reach.room.clear(start, tips, radius, _TOOL_MARGIN).all():
                continue
            joints = _view(reach, roomiest[index], tips, start)
            if joints is not None:
                return Stage(roomiest[index], swing, joints)
            left.remove(index)  # a narrower swing is seen from no better place
    unseen = len(roomiest) - len(left)
    found = f"it in {unseen} places, none of which the laparoscope can follow clear of wall and organs"
    raise InputError(
        f"{name}: expected room for an instrument to swing {1000 * _SWINGS[-1]:.0f} mm to all sides, "
        f"found {found if unseen else 'none'}"
    )


def _box(place: NDArray[np.float64], reach: Reach) -> NDArray[np.float64]:
    """Return the half axes of a box of half width 1 about a place."""
    sight = unit(place - reach.T_world_port[:3, 3])
    across = unit(np.cross(sight, np.eye(3)[int(np.argmin(np.abs(sight)))]))
    return np.stack([across, np.cross(sight, across), _DEEP * sight])


def _within(port: Trocar, tips: NDArray[np.float64]) -> bool:
    """Tell whether an instrument in its trocar leans far enough for all tips."""
    seen = apply(inverse(port.T_world_port), tips)
    yaw = np.arctan2(seen[:, 0], -seen[:, 2])
    pitch = np.arcsin(-seen[:, 1] / np.linalg.norm(seen, axis=1))
    return bool(max(np.abs(yaw).max(), np.abs(pitch).max()) <= _DIRECTION)


def _view(
    reach: Reach, centre: NDArray[np.float64], tips: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return joints that look at the centre, from which a turn shows every tip without touching anything, or None."""
    away = float(np.linalg.norm(centre - reach.T_world_port[:3, 3]))
    for distance in _STAGE_DISTANCES:
        for roll in np.linspace(-np.pi, np.pi, ROLLS, endpoint=False):
            insertion = max(0.02, away - distance)
            joints, left = reach.aim(centre, insertion=insertion, roll=float(roll))
            if left > OFF_AXIS or not reach.reachable(joints):
                continue
            aimed = [reach.aim(tip, insertion=insertion, roll=float(roll)) for tip in tips]
            turned = np.array([one for one, _ in aimed])
            if max(off for _, off in aimed) > OFF_AXIS or not reach.free(turned).all():
                continue
            if _apart(reach, turned, tips, start) >= _APART:
                return joints
    return None


def _apart(reach: Reach, joints: NDArray[np.float64], tips: NDArray[np.float64], start: NDArray[np.float64]) -> float:
    """Return how near the shafts come [m] while the laparoscope looks at the instrument's tip."""
    lenses = np.array([reach.camera_pose(one)[:3, 3] for one in joints])
    scope, _ = on_shafts(reach.T_world_port[:3, 3], lenses)
    tool, _ = on_shafts(start, tips)
    return float(np.linalg.norm(scope[:, :, None] - tool[:, None], axis=3).min())

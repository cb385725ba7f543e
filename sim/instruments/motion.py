"""The part of an instrument's state that PyBullet does not keep: set points, commands under way, and what was felt."""

from collections import deque
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from sim.instruments.command import Command, check_command, command_from_json, command_to_json
from sim.world import Touch


@dataclass(eq=False)
class Motion:
    """Changes from step to step."""

    set_point: NDArray[np.float64]
    """Where the motors drive the links [rad or m], shape (l,)."""
    goal: NDArray[np.float64]
    """Where the set point runs to, shape (l,)."""
    queue: deque[Command | None]
    """Commands that wait for their turn, the next one first."""
    camera_roll: float = 0.0
    """[rad]"""
    camera_goal: float = 0.0
    """[rad]"""
    reached: bool = True
    force: float = 0.0
    """Mean over the last step [N]."""
    peak_force: float = 0.0
    """[N]"""
    depth: float = 0.0
    """[m]"""
    touches: tuple[Touch, ...] = field(default=())
    fault: str = ""


SavedMotion = tuple[Motion, NDArray[np.float64], NDArray[np.float64]]
"""A motion, and positions and speeds of the links [rad or m, and per second]."""
_NUMBERS = ("camera_roll", "camera_goal", "force", "peak_force", "depth")


def motion_to_json(motion: Motion, joints: NDArray[np.float64], speeds: NDArray[np.float64]) -> dict[str, Any]:
    """Return a motion, with positions and speeds of the links, as plain data."""
    plain: dict[str, Any] = {name: getattr(motion, name) for name in _NUMBERS}
    plain |= {name: getattr(motion, name).tolist() for name in ("set_point", "goal")}
    plain |= {"joints": joints.tolist(), "speeds": speeds.tolist(), "reached": motion.reached}
    plain["fault"] = motion.fault
    plain["queue"] = [command_to_json(command) for command in motion.queue]
    plain["touches"] = [[getattr(touch, entry.name) for entry in fields(Touch)] for touch in motion.touches]
    return plain


def motion_from_json(data: Any, where: str, *, arm_joints: int, links: int, latency: int) -> SavedMotion:
    """Return what `motion_to_json` wrote.

    Raises:
        InputError: The data is damaged or of another instrument.
    """
    expected = {*_NUMBERS, "set_point", "goal", "joints", "speeds", "reached", "queue", "touches", "fault"}
    if not isinstance(data, dict) or set(data) != expected:
        raise InputError(f"{where}: expected {', '.join(sorted(expected))}, found {str(data)[:60]!r}")
    arrays = {name: _array(data[name], links, f"{where}: {name}") for name in ("set_point", "goal", "joints", "speeds")}
    numbers = {name: float(_array([data[name]], 1, f"{where}: {name}")[0]) for name in _NUMBERS}
    if not isinstance(data["queue"], list) or len(data["queue"]) != latency:
        raise InputError(f"{where}: expected {latency} commands under way, found {str(data['queue'])[:60]!r}")
    queue = deque(command_from_json(command, where) for command in data["queue"])
    for command in queue:
        if command is not None:
            check_command(where, command, arm_joints)
    kinds = {"touches": list, "reached": bool, "fault": str}
    for name, kind in kinds.items():
        if not isinstance(data[name], kind):
            raise InputError(f"{where}: expected {name} as {kind.__name__}, found {str(data[name])[:60]!r}")
    motion = Motion(
        arrays["set_point"],
        arrays["goal"],
        queue,
        reached=data["reached"],
        touches=tuple(_touch(touch, where) for touch in data["touches"]),
        fault=data["fault"],
        **numbers,
    )
    return motion, arrays["joints"], arrays["speeds"]


def _array(values: Any, count: int, where: str) -> NDArray[np.float64]:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: expected numbers, found {error}") from error
    if array.shape != (count,) or not np.isfinite(array).all():
        raise InputError(f"{where}: expected {count} finite numbers, found {str(values)[:60]}")
    return array


def _touch(data: Any, where: str) -> Touch:
    if not isinstance(data, list) or len(data) != len(fields(Touch)):
        raise InputError(f"{where}: expected a touch of {len(fields(Touch))} entries, found {str(data)[:60]}")
    link, other, point, normal, depth, force = data
    place, direction = (_array(vector, 3, where).tolist() for vector in (point, normal))
    depth, force = _array([depth, force], 2, where).tolist()
    if not isinstance(link, str) or not isinstance(other, int):
        raise InputError(f"{where}: expected a link's name and a body's id, found {link!r} and {other!r}")
    return Touch(link, other, tuple(place), tuple(direction), depth, force)

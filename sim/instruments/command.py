"""What an operator tells an instrument: where to go, as joints, as a pose of the tip, or as its place alone."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.errors import InputError


@dataclass(frozen=True, eq=False, kw_only=True)
class _Target:
    jaw: float | None = None
    """Angle between the jaws [rad]; None leaves it."""
    camera_roll: float | None = None
    """Turn of the camera head against the port [rad]; None leaves it."""


@dataclass(frozen=True, eq=False)
class JointTarget(_Target):
    """Values of the arm's joints; clipped to their limits."""

    joints: Float[np.ndarray, "j"]
    """[rad or m]"""


@dataclass(frozen=True, eq=False)
class TipTarget(_Target):
    """A pose of the tip; where it is out of reach, the arm goes as near as `sim.robots.inverse` finds."""

    T_world_tip: Float[np.ndarray, "4 4"]


@dataclass(frozen=True, eq=False)
class PointTarget(_Target):
    """A place of the tip; a wristed arm keeps its direction, the others keep or take a roll."""

    point: Float[np.ndarray, "3"]
    """World frame [m]."""
    roll: float | None = None
    """Of a shaft without a wrist [rad]; None leaves it."""


Command = JointTarget | TipTarget | PointTarget
_KINDS: tuple[type[Command], ...] = (JointTarget, TipTarget, PointTarget)


def check_command(name: str, command: Command, joint_count: int) -> None:
    """Refuse a command of the wrong size, with NaN, or with a pose that is none.

    Raises:
        InputError: It is so.
    """
    for field in fields(command):
        value = getattr(command, field.name)
        if value is not None and not np.isfinite(value).all():
            raise InputError(f"instrument {name}: expected finite numbers for {field.name}, found {value}")
    shapes: dict[str, tuple[int, ...]] = {"joints": (joint_count,), "T_world_tip": (4, 4), "point": (3,)}
    for field in fields(command):
        key, value = field.name, getattr(command, field.name)
        shape, found = shapes.get(key, ()), np.shape(value)
        if value is not None and found != shape:
            raise InputError(f"instrument {name}: expected {key} of shape {shape}, found {found}")
    if isinstance(command, TipTarget):
        rotation = command.T_world_tip[:3, :3]
        if np.abs(rotation.T @ rotation - np.eye(3)).max() > 1e-6 or np.linalg.det(rotation) < 0:
            raise InputError(f"instrument {name}: expected a rotation in T_world_tip, found {rotation.tolist()}")


def command_to_json(command: Command | None) -> dict[str, Any] | None:
    """Return a command as plain data."""
    if command is None:
        return None
    plain = {field.name: getattr(command, field.name) for field in fields(command)}
    return {"kind": type(command).__name__} | {
        key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in plain.items()
    }


def command_from_json(data: Any, where: str) -> Command | None:
    """Return the command that `command_to_json` wrote.

    Raises:
        InputError: The data is no such command.
    """
    if data is None:
        return None
    kinds = {kind.__name__: kind for kind in _KINDS}
    if not isinstance(data, dict) or str(data.get("kind")) not in kinds:
        raise InputError(f"{where}: expected a command of {', '.join(kinds)}, found {str(data)[:60]!r}")
    kind = kinds[str(data["kind"])]
    if set(data) != {"kind", *(field.name for field in fields(kind))}:
        raise InputError(f"{where}: expected the fields of {kind.__name__}, found {', '.join(data)}")
    try:
        values: dict[str, Any] = {key: _value(value) for key, value in data.items() if key != "kind"}
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: expected numbers, found {error}") from error
    return kind(**values)


def _value(value: Any) -> float | NDArray[np.float64] | None:
    if isinstance(value, list):
        return np.array(value, dtype=np.float64)
    return None if value is None else float(value)

"""meta.json of a frame: its pose, camera, time and exposure, and whatever a caller adds."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from sim.camera import Camera
from sim.frame import Frame

RESERVED = ("T_world_camera", "camera", "time", "exposure", "depth_step")
"""Keys of meta.json that come from the frame itself; a caller's own keys must be others."""

_MAX_META = 1 << 20  # bytes


def encode_meta(frame: Frame, meta: Mapping[str, Any], depth_step: float) -> bytes:
    """Write meta.json: what the frame itself says, and what else is known of it.

    Raises:
        ValueError: A key of `meta` is reserved, or a number is not finite.
    """
    taken = sorted(set(meta) & set(RESERVED))
    if taken:
        raise ValueError(f"meta: expected keys other than {RESERVED}, found {taken}")
    own = {
        "T_world_camera": frame.T_world_camera.tolist(),
        "camera": asdict(frame.camera),
        "time": frame.time,
        "exposure": frame.exposure,
        "depth_step": depth_step,
    }
    return json_bytes({**meta, **own})


def decode_meta(members: Mapping[str, bytes], where: str) -> dict[str, Any]:
    """Read meta.json.

    Raises:
        InputError: It is missing, too large, or no JSON object; the line starts with `where`.
    """
    if "meta.json" not in members:
        raise InputError(f"{where}: expected a member meta.json, found {', '.join(sorted(members))}")
    data = members["meta.json"]
    if len(data) > _MAX_META:
        raise InputError(f"{where}.meta.json: expected at most {_MAX_META} bytes, found {len(data)}")
    try:
        meta = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}.meta.json: expected JSON, found {error}") from None
    if not isinstance(meta, dict):
        raise InputError(f"{where}.meta.json: expected a JSON object, found {type(meta).__name__}")
    return meta


def json_bytes(value: Any) -> bytes:
    """Write compact JSON with sorted keys and no NaN, so that the same value gives the same bytes.

    Raises:
        ValueError: A number is not finite.
        TypeError: A value has no JSON form.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def number_of(meta: Mapping[str, Any], key: str, where: str) -> float:
    """Return a finite number of meta.json.

    Raises:
        InputError: It is none; the line starts with `where`.
    """
    value = meta.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise InputError(f"{where}.meta.json: expected a finite number as {key}, found {value!r}")
    return float(value)


def depth_step_of(members: Mapping[str, bytes], where: str) -> float:
    """Return the step of a sample's stored lengths [m].

    Raises:
        InputError: There is none above 0; the line starts with `where`.
    """
    step = number_of(decode_meta(members, where), "depth_step", where)
    if step <= 0:
        raise InputError(f"{where}.meta.json: expected a positive depth_step, found {step}")
    return step


def pose_of(meta: Mapping[str, Any], where: str) -> NDArray[np.float64]:
    """Return the camera's pose T_world_camera, shape (4, 4).

    Raises:
        InputError: There is none; the line starts with `where`.
    """
    try:
        pose = np.array(meta.get("T_world_camera"), dtype=np.float64)
    except (TypeError, ValueError):
        pose = np.empty(0)
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise InputError(f"{where}.meta.json: expected T_world_camera as 4 x 4 finite numbers")
    return pose


def camera_of(meta: Mapping[str, Any], where: str) -> Camera:
    """Return the camera.

    Raises:
        InputError: There is none; the line starts with `where`.
    """
    stored = meta.get("camera")
    try:
        if not isinstance(stored, dict):
            raise TypeError(f"{stored!r}")
        return Camera(**{**stored, "distortion": tuple(stored["distortion"])})
    except (TypeError, KeyError, InputError) as error:
        raise InputError(f"{where}.meta.json: expected a camera, found {error}") from None

"""The bytes of a frame in a shard: each channel as a PNG with a stated quantisation, the rest as JSON.

Masks are exact. Depth is 16 bit with a stated step, so at most half a step off; normals are three signed bytes, at most
0.4 degrees off; flow is 16 bit in steps of 1/64 px. What does not fit is an error that names the pixel, never a clip.
Channels on request (`OPTIONAL`) are stored where a frame has them.
"""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8, UInt16
from numpy.typing import NDArray

from assets.errors import InputError
from sim.camera import Camera
from sim.frame import Frame

DEPTH_STEP = 1e-5
"""Default step of stored depth [m]: reaches 0.65535 m."""
FLOW_STEP = 1 / 64
"""Step of stored flow [px]: reaches +-511 px (the step of KITTI's flow files)."""
NORMAL_SCALE = 127
"""A component of a normal is stored as 128 + round(127 n); 0, 0, 0 is nothing."""

OBJECT_STEP = 5e-5
"""Step of stored object coordinates [m]: reaches +-1.638 m."""

Channel = Literal[
    "rgb",
    "semantic",
    "instance",
    "depth",
    "normal",
    "flow",
    "part",
    "distance",
    "object_point",
    "light_distance",
    "flow_back",
]
OPTIONAL: tuple[Channel, ...] = ("part", "distance", "object_point", "light_distance", "flow", "flow_back")
"""Channels that not every frame has."""
RESERVED = ("T_world_camera", "camera", "time", "exposure", "depth_step")
"""Keys of meta.json that come from the frame itself; a caller's own keys must be others."""

CONVENTIONS: dict[str, str] = {
    "units": "metres, seconds, radians",
    "camera_axes": "OpenCV: x right, y down, z forward; the centre of the top left pixel is (0, 0)",
    "world_axes": "patient RAS: x right, y anterior, z superior",
    "T_world_camera": "4 x 4 row by row; maps points from the camera's axes to the world's",
    "rgb.png": "8 bit sRGB; 0 where nothing",
    "semantic.png": "8 bit label ids (see labels), exact; 0 where nothing",
    "instance.png": "16 bit id of the thing seen, exact: 1 + its place in the scene; all parts of an instrument "
    "are one thing; 0 where nothing",
    "depth.png": "16 bit z-depth along the optical axis in steps of depth_step metres; 0 where nothing",
    "normal.png": "8 bit a component in the order red x, green y, blue z: 128 + round(127 n); camera axes, facing the "
    "camera, at most 0.4 degrees off; 0, 0, 0 where nothing",
    "flow.png": "optional; 16 bit, red 32768 + round(64 du), green 32768 + round(64 dv) [px] to the next frame, "
    "blue 1 where valid; 0, 0, 0 where not",
    "flow_back.png": "optional; as flow.png, to the frame before: where the point was, less where it is",
    "part.png": "optional; 16 bit, 1 + the index of the object in the scene, so of one part of an instrument, exact; 0 "
    "where nothing",
    "distance.png": "optional; 16 bit way from the lens along the pixel's ray in steps of depth_step metres; "
    "0 where nothing",
    "object_point.png": "optional; 16 bit a component in the order red x, green y, blue z: 32768 + round(p / 50 um); "
    "the point on its object at rest, in the object's own frame (the world's if it never moved); 0, 0, 0 where nothing",
    "light_distance.png": "optional; 16 bit way from the middle of the light guides to the seen point in steps of "
    "depth_step metres; 0 where nothing",
    "meta.json": "pose, camera, time, exposure (gain of the image, 1 is nominal), depth_step and the sample's own data",
}

_MAX_SIDE = 8192
_MAX_META = 1 << 20  # bytes
# How each kind of channel is filtered and packed: the quickest of those that are small too. On a rendered frame of
# 512 x 512 px the five usual channels took 15 ms and 585 kB; with OpenCV's own choice at level 1, 36 ms and 667 kB.
_COLOUR = (cv2.IMWRITE_PNG_STRATEGY_RLE, cv2.IMWRITE_PNG_FILTER_AVG)
_MASK = (cv2.IMWRITE_PNG_STRATEGY_RLE, cv2.IMWRITE_PNG_FILTER_UP)
_SMOOTH = (cv2.IMWRITE_PNG_STRATEGY_DEFAULT, cv2.IMWRITE_PNG_FILTER_UP)
_VECTORS = (cv2.IMWRITE_PNG_STRATEGY_FILTERED, cv2.IMWRITE_PNG_FILTER_NONE)
_LAYOUT: dict[str, tuple[type[np.generic], int]] = {
    "rgb": (np.uint8, 3),
    "semantic": (np.uint8, 1),
    "instance": (np.uint16, 1),
    "depth": (np.uint16, 1),
    "normal": (np.uint8, 3),
    "flow": (np.uint16, 3),
    "flow_back": (np.uint16, 3),
    "part": (np.uint16, 1),
    "distance": (np.uint16, 1),
    "object_point": (np.uint16, 3),
    "light_distance": (np.uint16, 1),
}


def encode_frame(
    frame: Frame, meta: Mapping[str, Any], *, depth_step: float = DEPTH_STEP, with_flow: bool = False
) -> dict[str, bytes]:
    """Turn a frame and what else is known of it into the members of a sample.

    Args:
        frame: What the camera saw.
        meta: JSON values for meta.json; keys other than those of `RESERVED`.
        depth_step: Step of stored depth [m].
        with_flow: Store flow.png too.

    Returns:
        Bytes by member name: rgb.png, semantic.png, instance.png, depth.png, normal.png, meta.json, maybe flow.png, and
        of the channels on request those that the frame has.

    Raises:
        ValueError: A value does not fit its stated quantisation (named with its pixel), or a key of `meta` is reserved.
    """
    taken = sorted(set(meta) & set(RESERVED))
    if taken:
        raise ValueError(f"meta: expected keys other than {RESERVED}, found {taken}")
    members = {
        "rgb.png": _png(frame.rgb, _COLOUR),
        "semantic.png": _png(frame.semantic, _MASK),
        "instance.png": _png(frame.instance, _MASK),
        "depth.png": _png(quantise_depth(frame.depth, depth_step), _SMOOTH),
        "normal.png": _png(quantise_normal(frame.normal), _VECTORS),
        "meta.json": json_bytes(
            {
                **meta,
                "T_world_camera": frame.T_world_camera.tolist(),
                "camera": asdict(frame.camera),
                "time": frame.time,
                "exposure": frame.exposure,
                "depth_step": depth_step,
            }
        ),
    }
    if with_flow:
        members["flow.png"] = _png(quantise_flow(frame.flow, frame.flow_valid), _SMOOTH)
    return members | _optional_members(frame, depth_step)


def _optional_members(frame: Frame, depth_step: float) -> dict[str, bytes]:
    members = {}
    if frame.part is not None:
        members["part.png"] = _png(frame.part, _MASK)
    if frame.distance is not None:
        members["distance.png"] = _png(quantise_depth(frame.distance, depth_step, channel="distance"), _SMOOTH)
    if frame.object_point is not None:
        members["object_point.png"] = _png(quantise_points(frame.object_point, frame.instance > 0), _SMOOTH)
    if frame.light_distance is not None:
        members["light_distance.png"] = _png(
            quantise_depth(frame.light_distance, depth_step, channel="light_distance"), _SMOOTH
        )
    if frame.flow_back is not None and frame.flow_back_valid is not None:
        members["flow_back.png"] = _png(quantise_flow(frame.flow_back, frame.flow_back_valid), _SMOOTH)
    return members


def decode_frame(members: Mapping[str, bytes], where: str) -> Frame:
    """Read a whole frame back; without flow.png the flow is invalid everywhere.

    Raises:
        InputError: A member is missing or damaged, or the channels differ in size; the line starts with `where`.
    """
    meta = decode_meta(members, where)
    camera = _camera(meta, where)
    shape = (camera.height, camera.width)
    arrays = {name: decode_channel(members, name, where) for name in ("rgb", "semantic", "instance", "depth", "normal")}
    flow, valid = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.bool_)
    if "flow.png" in members:
        flow, valid = decode_flow(members, where)
    optional: dict[str, NDArray[Any]] = {
        name: decode_channel(members, name, where) for name in OPTIONAL[:4] if f"{name}.png" in members
    }
    if "flow_back.png" in members:
        optional["flow_back"], optional["flow_back_valid"] = decode_flow(members, where, channel="flow_back")
    for name, array in (*arrays.items(), ("flow", flow), *optional.items()):
        if array.shape[:2] != shape:
            raise InputError(
                f"{where}.{name}.png: expected {shape[1]} x {shape[0]} px as its camera, "
                f"found {array.shape[1]} x {array.shape[0]}"
            )
    return Frame(
        **arrays,
        **optional,
        flow=flow,
        flow_valid=valid,
        T_world_camera=_pose(meta, where),
        camera=camera,
        time=_number(meta, "time", where),
        exposure=_number(meta, "exposure", where),
    )


def decode_channel(members: Mapping[str, bytes], channel: Channel | str, where: str) -> NDArray[Any]:
    """Read one channel back, as it is in `Frame`.

    Raises:
        InputError: The member is missing or damaged; the line starts with `where`.
    """
    if channel in ("flow", "flow_back"):
        return decode_flow(members, where, channel=channel)[0]
    stored = _stored(members, channel, where)
    if channel in ("depth", "distance", "light_distance"):
        return stored.astype(np.float32) * np.float32(_depth_step(members, where))
    if channel == "normal":
        return restore_normal(stored)
    if channel == "object_point":
        points = (stored.astype(np.float32) - 32768) * np.float32(OBJECT_STEP)
        return np.where(stored.any(axis=-1, keepdims=True), points, np.float32(0))
    return stored


def decode_flow(
    members: Mapping[str, bytes], where: str, *, channel: str = "flow"
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read the flow [px], shape (h, w, 2), and its validity mask back; of `flow` or `flow_back`.

    Raises:
        InputError: The member is missing or damaged; the line starts with `where`.
    """
    stored = _stored(members, channel, where)
    valid = stored[..., 2] > 0
    flow = (stored[..., :2].astype(np.float32) - 32768) * np.float32(FLOW_STEP)
    return np.where(valid[..., None], flow, np.float32(0)), valid


def decode_meta(members: Mapping[str, bytes], where: str) -> dict[str, Any]:
    """Read meta.json.

    Raises:
        InputError: It is missing, too large, or no JSON object; the line starts with `where`.
    """
    data = _member(members, "meta.json", where)
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


def quantise_depth(
    depth: Float32[np.ndarray, "h w"], step: float, *, channel: str = "depth"
) -> UInt16[np.ndarray, "h w"]:
    """Turn z-depth or another way [m] into steps; 0 stays 0 and nothing else becomes 0.

    Raises:
        ValueError: A depth is not finite, negative, too far for 16 bit, or so near that it would vanish.
    """
    steps = np.rint(depth.astype(np.float64) / step)
    if bool(steps.min(initial=0) >= 0 and steps.max(initial=0) <= 65535 and ((steps > 0) == (depth > 0)).all()):
        return steps.astype(np.uint16)  # the usual case; what follows names the first pixel that does not fit
    _require(np.isfinite(steps) & (steps >= 0), channel, "a finite depth of 0 m or more", depth)
    _require(steps <= 65535, channel, f"at most {65535 * step:.5f} m with a step of {step:g} m", depth)
    _require((steps > 0) | (depth == 0), channel, f"0 or at least half a step of {step:g} m", depth)
    return steps.astype(np.uint16)


def quantise_normal(normal: Float32[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Store unit normals as three bytes each; a zero vector becomes 0, 0, 0.

    Raises:
        ValueError: A normal is neither zero nor of length 1 within 1e-3.
    """
    x, y, z = normal[..., 0], normal[..., 1], normal[..., 2]
    length = np.sqrt(x * x + y * y + z * z)
    _require((length == 0) | (np.abs(length - 1) < 1e-3), "normal", "length 1 or 0", length)
    stored = normal * np.float32(NORMAL_SCALE)
    np.rint(stored, out=stored)
    stored += 128
    done = stored.astype(np.uint8)
    done[length == 0] = 0
    return done


def restore_normal(stored: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """Undo `quantise_normal`: unit vectors, 0 where nothing."""
    nothing = ~stored.any(axis=-1, keepdims=True)
    vector = stored.astype(np.float32) - 128
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.where(nothing, np.float32(0), vector / np.maximum(length, 1)).astype(np.float32)


def quantise_flow(flow: Float32[np.ndarray, "h w 2"], valid: Bool[np.ndarray, "h w"]) -> UInt16[np.ndarray, "h w 3"]:
    """Store flow [px] as 16 bit with the validity as third channel.

    Raises:
        ValueError: A valid flow is not finite or beyond +-511 px.
    """
    steps = np.rint(flow.astype(np.float64) / FLOW_STEP)
    fits = np.isfinite(steps).all(axis=-1) & (np.abs(steps) <= 32767).all(axis=-1)
    _require(fits | ~valid, "flow", f"at most {32767 * FLOW_STEP:.2f} px", np.abs(flow).max(axis=-1))
    stored = np.zeros((*flow.shape[:2], 3), np.uint16)
    stored[valid, :2] = (steps[valid] + 32768).astype(np.uint16)
    stored[..., 2] = valid
    return stored


def quantise_points(points: Float32[np.ndarray, "h w 3"], seen: Bool[np.ndarray, "h w"]) -> UInt16[np.ndarray, "h w 3"]:
    """Store object coordinates [m] as 16 bit each; 0, 0, 0 where nothing is seen.

    Raises:
        ValueError: A coordinate is not finite or beyond +-1.638 m.
    """
    steps = np.rint(points.astype(np.float64) / OBJECT_STEP)
    fits = np.all(np.abs(steps) <= 32767, axis=-1)  # False for what is not a number
    _require(fits | ~seen, "object_point", f"at most {32767 * OBJECT_STEP:.3f} m", np.abs(points).max(axis=-1))
    return np.where(seen[..., None], np.where(fits[..., None], steps, 0) + 32768, 0).astype(np.uint16)


def _require(fits: NDArray[np.bool_], channel: str, expected: str, found: NDArray[Any]) -> None:
    if not fits.all():
        row, column = np.argwhere(~fits)[0]
        raise ValueError(
            f"{channel}: expected {expected}, found {found[row, column]:g} at row {row}, column {column} "
            f"({np.count_nonzero(~fits)} such pixels)"
        )


def _png(array: NDArray[Any], how: tuple[int, int]) -> bytes:
    # OpenCV stores the channels in reverse order.
    image = cv2.cvtColor(array, cv2.COLOR_RGB2BGR) if array.ndim == 3 else np.ascontiguousarray(array)
    strategy, filters = how
    options = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, strategy, cv2.IMWRITE_PNG_FILTER, filters)
    done, data = cv2.imencode(".png", image, options)
    assert done
    return data.tobytes()


def _stored(members: Mapping[str, bytes], channel: str, where: str) -> NDArray[Any]:
    name = f"{channel}.png"
    data = _member(members, name, where)
    dtype, channel_count = _LAYOUT[channel]
    # The size is in the first bytes; look there before OpenCV allocates what they claim.
    if len(data) < 33 or data[:8] != b"\x89PNG\r\n\x1a\n":
        raise InputError(f"{where}.{name}: expected a PNG, found {data[:8]!r}")
    width, height = struct.unpack(">II", data[16:24])
    if not (1 <= width <= _MAX_SIDE and 1 <= height <= _MAX_SIDE):
        raise InputError(f"{where}.{name}: expected at most {_MAX_SIDE} px a side, found {width} x {height}")
    decode: Callable[..., NDArray[Any] | None] = cv2.imdecode
    image = decode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or not data.endswith(b"IEND\xaeB`\x82"):
        raise InputError(f"{where}.{name}: expected a whole PNG, found a damaged one")
    found_count = image.shape[2] if image.ndim == 3 else 1
    if image.dtype != dtype or found_count != channel_count:
        raise InputError(
            f"{where}.{name}: expected {channel_count} channel(s) of {dtype.__name__}, "
            f"found {found_count} of {image.dtype}"
        )
    return np.ascontiguousarray(image[..., ::-1]) if channel_count == 3 else image


def _member(members: Mapping[str, bytes], name: str, where: str) -> bytes:
    if name not in members:
        raise InputError(f"{where}: expected a member {name}, found {', '.join(sorted(members))}")
    return members[name]


def _number(meta: Mapping[str, Any], key: str, where: str) -> float:
    value = meta.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise InputError(f"{where}.meta.json: expected a finite number as {key}, found {value!r}")
    return float(value)


def _depth_step(members: Mapping[str, bytes], where: str) -> float:
    step = _number(decode_meta(members, where), "depth_step", where)
    if step <= 0:
        raise InputError(f"{where}.meta.json: expected a positive depth_step, found {step}")
    return step


def _pose(meta: Mapping[str, Any], where: str) -> NDArray[np.float64]:
    try:
        pose = np.array(meta.get("T_world_camera"), dtype=np.float64)
    except (TypeError, ValueError):
        pose = np.empty(0)
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise InputError(f"{where}.meta.json: expected T_world_camera as 4 x 4 finite numbers")
    return pose


def _camera(meta: Mapping[str, Any], where: str) -> Camera:
    stored = meta.get("camera")
    try:
        if not isinstance(stored, dict):
            raise TypeError(f"{stored!r}")
        return Camera(**{**stored, "distortion": tuple(stored["distortion"])})
    except (TypeError, KeyError, InputError) as error:
        raise InputError(f"{where}.meta.json: expected a camera, found {error}") from None

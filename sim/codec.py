"""The bytes of a frame in a shard: each channel as a PNG with a stated quantisation, the rest as JSON.

Masks are exact. Depth is 16 bit with a stated step, so at most half a step off; normals are three signed bytes, at most
0.4 degrees off; flow is 16 bit in steps of 1/64 px. What does not fit is an error that names the pixel, never a clip.
Channels on request (`OPTIONAL`) are stored where a frame has them. On request colours are a JPEG, and what is measured
is an NPY file of exact numbers (`Storage`). `sim.conventions` says what each member holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from sim.frame import Frame
from sim.frame_meta import camera_of, decode_meta, depth_step_of, encode_meta, number_of, pose_of
from sim.jpeg import decode_jpeg, encode_jpeg
from sim.npy import decode_npy, encode_npy
from sim.png import Filter, decode_png, encode_png
from sim.quantisation import (
    DEPTH_STEP,
    FLOW_STEP,
    OBJECT_STEP,
    quantise_depth,
    quantise_flow,
    quantise_normal,
    quantise_points,
    require,
    restore_normal,
)

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

Exact = Literal["depth", "normal", "flow", "flow_back", "distance", "object_point", "light_distance"]
"""Channels that may be stored as exact numbers."""

_PNG: dict[str, tuple[type[np.generic], int, Filter]] = {
    "rgb": (np.uint8, 3, "average"),
    "semantic": (np.uint8, 1, "none"),
    "instance": (np.uint16, 1, "none"),
    "depth": (np.uint16, 1, "up"),
    "normal": (np.uint8, 3, "up"),
    "flow": (np.uint16, 3, "up"),
    "flow_back": (np.uint16, 3, "up"),
    "part": (np.uint16, 1, "none"),
    "distance": (np.uint16, 1, "up"),
    "object_point": (np.uint16, 3, "up"),
    "light_distance": (np.uint16, 1, "up"),
}
"""Type, channel count and filter of each PNG."""
_LENGTHS = ("depth", "distance", "light_distance")


@dataclass(frozen=True)
class Storage:
    """How channels are stored that are not PNGs with a stated quantisation."""

    rgb: Literal["png", "jpg"] = "png"
    """A JPEG takes a fifth of the bytes, and is not exact."""
    exact: tuple[Exact, ...] = ()
    """Channels stored as NPY files."""


USUAL = Storage()
"""PNGs alone."""


def storage_of(members: Mapping[str, bytes]) -> Storage:
    """Tell how a sample's channels are stored."""
    exact: tuple[Exact, ...] = tuple(name for name in get_args(Exact) if f"{name}.npy" in members)
    return Storage("jpg" if "rgb.jpg" in members else "png", exact)


def encode_frame(
    frame: Frame,
    meta: Mapping[str, Any],
    *,
    depth_step: float = DEPTH_STEP,
    with_flow: bool = False,
    storage: Storage = USUAL,
) -> dict[str, bytes]:
    """Turn a frame and what else is known of it into the members of a sample.

    Args:
        frame: What the camera saw.
        meta: JSON values for meta.json; keys other than those of `RESERVED`.
        depth_step: Step of stored depth [m].
        with_flow: Store the flow to the next frame too.
        storage: How channels are stored.

    Returns:
        Bytes by member name: rgb.png, semantic.png, instance.png, depth.png, normal.png, meta.json, maybe flow.png, and
        of the channels on request those that the frame has; with other suffixes where `storage` says so.

    Raises:
        ValueError: A value does not fit its stated quantisation (named with its pixel), or a key of `meta` is reserved.
    """
    members = {"meta.json": encode_meta(frame, meta, depth_step)}
    for channel in _PNG:
        array = getattr(frame, channel)
        if array is None or (channel == "flow" and not with_flow):
            continue
        if channel == "rgb" and storage.rgb == "jpg":
            members["rgb.jpg"] = encode_jpeg(array)
        elif channel in storage.exact:
            members[f"{channel}.npy"] = encode_npy(_exact(frame, channel))
        else:
            members[f"{channel}.png"] = encode_png(_quantised(frame, channel, depth_step), _PNG[channel][2])
    return members


def _quantised(frame: Frame, channel: str, depth_step: float) -> NDArray[Any]:
    """Return a channel as its PNG stores it."""
    array: NDArray[Any] = getattr(frame, channel)
    if channel in _LENGTHS:
        return quantise_depth(array, depth_step, channel=channel)
    if channel == "normal":
        return quantise_normal(array)
    if channel == "object_point":
        return quantise_points(array, frame.instance > 0)
    if channel in ("flow", "flow_back"):
        return quantise_flow(array, getattr(frame, f"{channel}_valid"))
    return array


def _exact(frame: Frame, channel: str) -> NDArray[np.float32]:
    """Return a channel as its NPY file stores it.

    Raises:
        ValueError: A number is not finite, or a length negative.
    """
    array: NDArray[np.float32] = getattr(frame, channel)
    if channel in _LENGTHS:
        require(np.isfinite(array) & (array >= 0), channel, "a finite depth of 0 m or more", array)
        return array
    known = getattr(frame, f"{channel}_valid") if channel in ("flow", "flow_back") else frame.instance > 0
    if channel == "normal":
        known = np.ones_like(known)
    finite = np.isfinite(array).all(axis=-1)
    require(finite | ~known, channel, "finite numbers", array.sum(axis=-1))
    kept = np.where(known[..., None], array, np.float32(0))
    return np.dstack([kept, known]).astype(np.float32) if channel in ("flow", "flow_back") else kept


def decode_frame(members: Mapping[str, bytes], where: str) -> Frame:
    """Read a whole frame back; where no flow is stored it is invalid everywhere.

    Raises:
        InputError: A member is missing or damaged, or the channels differ in size; the line starts with `where`.
    """
    meta = decode_meta(members, where)
    camera = camera_of(meta, where)
    shape = (camera.height, camera.width)
    arrays: dict[str, NDArray[Any]] = {
        "flow": np.zeros((*shape, 2), np.float32),
        "flow_valid": np.zeros(shape, np.bool_),
    }
    for channel in _PNG:
        if channel in OPTIONAL and not _names(members, channel):
            continue
        if channel in ("flow", "flow_back"):
            arrays[channel], arrays[f"{channel}_valid"] = decode_flow(members, where, channel=channel)
        else:
            arrays[channel] = decode_channel(members, channel, where)
        if (found := arrays[channel].shape[:2]) != shape:
            raise InputError(
                f"{where}.{member_name(members, channel, where)}: expected {shape[1]} x {shape[0]} px as its camera, "
                f"found {found[1]} x {found[0]}"
            )
    return Frame(
        **arrays,
        T_world_camera=pose_of(meta, where),
        camera=camera,
        time=number_of(meta, "time", where),
        exposure=number_of(meta, "exposure", where),
    )


def decode_channel(members: Mapping[str, bytes], channel: Channel | str, where: str) -> NDArray[Any]:
    """Read one channel back, as it is in `Frame`.

    Raises:
        InputError: The member is missing or damaged; the line starts with `where`.
    """
    if channel in ("flow", "flow_back"):
        return decode_flow(members, where, channel=channel)[0]
    stored, exact = _stored(members, channel, where)
    if exact:
        if channel in _LENGTHS and (stored < 0).any():
            raise InputError(f"{where}.{channel}.npy: expected lengths of 0 m or more, found {stored.min():g} m")
        return stored
    if channel in _LENGTHS:
        return stored.astype(np.float32) * np.float32(depth_step_of(members, where))
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
    stored, exact = _stored(members, channel, where)
    valid = stored[..., 2] > 0
    flow = stored[..., :2] if exact else (stored[..., :2].astype(np.float32) - 32768) * np.float32(FLOW_STEP)
    return np.where(valid[..., None], flow, np.float32(0)), valid


def member_name(members: Mapping[str, bytes], channel: str, where: str) -> str:
    """Return the name of the member that holds a channel, such as rgb.png or rgb.jpg.

    Raises:
        InputError: None does, or two; the line starts with `where`.
    """
    names = _names(members, channel)
    if not names:
        raise InputError(f"{where}: expected a member {channel}.png, found {', '.join(sorted(members))}")
    if len(names) > 1:
        raise InputError(f"{where}: expected one member of {channel}, found {' and '.join(names)}")
    return names[0]


def _names(members: Mapping[str, bytes], channel: str) -> list[str]:
    suffixes = ("png", "jpg") if channel == "rgb" else ("png", "npy") if channel in get_args(Exact) else ("png",)
    return [name for suffix in suffixes if (name := f"{channel}.{suffix}") in members]


def _stored(members: Mapping[str, bytes], channel: str, where: str) -> tuple[NDArray[Any], bool]:
    """Return a channel as its member has it, and whether that is exact numbers."""
    name = member_name(members, channel, where)
    place = f"{where}.{name}"
    dtype, channel_count, _ = _PNG[channel]
    if name.endswith(".npy"):
        return decode_npy(members[name], channel_count, place), True
    if name.endswith(".jpg"):
        return decode_jpeg(members[name], place), False
    return decode_png(members[name], dtype, channel_count, place), False

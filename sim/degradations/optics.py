"""What the lens and the shutter do: defocus, chromatic aberration, motion blur, rolling shutter."""

from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from assets.transforms import apply, inverse
from sim.degradations.patterns import distances, surface_points
from sim.degradations.settings import Degradations
from sim.frame import Frame

Light = Float32[np.ndarray, "h w 3"]

_SHUTTER = 1 / 30  # s: shutter and read-out at severity 1, those of a 30 Hz processor
_FOCUS = 0.030  # m, chosen: in focus at this distance; colonoscopes state 5 to 100 mm of depth of field
_LEVELS = 4  # blurred copies between which defocus is interpolated
_TAPS = 9  # samples along the motion


def through_lens(
    frame: Frame, light: Light, wrong: Degradations, T_before: Float64[np.ndarray, "4 4"] | None, dt: float
) -> tuple[Frame, Light]:
    """Blur and shift the picture of a frame.

    Args:
        frame: With depth and pose; rolling shutter moves its channels along.
        light: Its picture in linear light.
        wrong: How much of each.
        T_before: Pose of the camera `dt` seconds before; None if it did not move.
        dt: [s].
    """
    if wrong.defocus:
        light = _defocus(frame, light, wrong.defocus)
    if T_before is not None and dt > 0 and (wrong.motion_blur or wrong.rolling_shutter):
        motion = _motion(frame, T_before) * np.float32(_SHUTTER / dt)
        if wrong.motion_blur:
            light = _smeared(light, wrong.motion_blur * motion)
        if wrong.rolling_shutter:
            frame, light = _rolled(frame, light, wrong.rolling_shutter * motion)
    if wrong.chromatic_aberration:
        light = _aberration(frame, light, 0.015 * wrong.chromatic_aberration)
    return frame, light


def _defocus(frame: Frame, light: Light, severity: float) -> Light:
    """Blur by the thin lens's circle of confusion, which grows with the difference of the inverse distances."""
    width = frame.depth.shape[1]
    worst = 0.03 * severity * width  # px
    away = np.abs(_FOCUS / np.maximum(distances(frame), 0.005) - 1)
    size = worst * np.clip(0.35 + 0.65 * away, 0, 1)
    level = np.clip(size / worst * (_LEVELS - 1), 0, _LEVELS - 1)
    copies = [light]
    for k in range(1, _LEVELS):
        disc = _disc(worst * k / (_LEVELS - 1))
        copies.append(cv2.filter2D(light, -1, disc, borderType=cv2.BORDER_REFLECT_101))
    total = np.zeros_like(light)
    for k, copy in enumerate(copies):
        total += copy * np.clip(1 - np.abs(level - k), 0, 1)[..., None].astype(np.float32)
    return total


def _disc(radius: float) -> NDArray[np.float32]:
    """Return the kernel of a disc of any radius [px], smooth at its edge; its sum is 1."""
    reach = int(np.ceil(radius))
    offset = np.arange(-reach, reach + 1)
    disc = np.clip(radius + 0.5 - np.hypot(offset[:, None], offset[None, :]), 0, 1)
    return (disc / disc.sum()).astype(np.float32)


def _motion(frame: Frame, T_before: NDArray[np.float64]) -> Float32[np.ndarray, "h w 2"]:
    """Return how far each pixel's point moved in the picture since then [px], as (du, dv); 0 where nothing is seen."""
    local = apply(inverse(T_before), surface_points(frame).reshape(-1, 3))
    before, in_front = frame.camera.project(local)
    height, width = frame.depth.shape
    v, u = np.mgrid[0:height, 0:width]
    now = np.stack([u, v], axis=-1).reshape(-1, 2)
    seen = (frame.depth.ravel() > 0) & in_front
    moved = np.where(seen[:, None], now - before, 0.0)
    longest = 0.25 * width  # a point beside the lens may have crossed the whole picture
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    moved *= np.minimum(1.0, longest / np.maximum(length, 1e-9))
    return moved.reshape(height, width, 2).astype(np.float32)


def _smeared(light: Light, motion: Float32[np.ndarray, "h w 2"]) -> Light:
    height, width = light.shape[:2]
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    total = np.zeros_like(light)
    for share in np.linspace(-1, 0, _TAPS, dtype=np.float32):
        total += cv2.remap(
            light,
            u + share * motion[..., 0],
            v + share * motion[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return total / _TAPS


_ROLLED = ("semantic", "instance", "depth", "normal", "part", "distance", "object_point", "light_distance")


def _rolled(frame: Frame, light: Light, motion: Float32[np.ndarray, "h w 2"]) -> tuple[Frame, Light]:
    """Take each row as it was when it was read: the first rows before the last one; all channels move alike.

    Nearer than a few millimetres a point moves across much of the picture. Where it would then show the lens the back
    of its surface, the pixel stays as it is.
    """
    height, width = light.shape[:2]
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    earlier = (1 - v / max(height - 1, 1)).astype(np.float32)  # the last row is as the frame says
    at_u, at_v = u + earlier * motion[..., 0], v + earlier * motion[..., 1]
    rays, _ = frame.camera.rays()
    stays = (frame.normal[_nearest(at_u, at_v)] * rays).sum(axis=-1) > 0
    at_u, at_v = np.where(stays, u, at_u), np.where(stays, v, at_v)
    light = cv2.remap(light, at_u, at_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    source = _nearest(at_u, at_v)
    channels = {name: getattr(frame, name) for name in _ROLLED}
    moved = {name: channel[source] for name, channel in channels.items() if channel is not None}
    return replace(frame, **moved), np.asarray(light, dtype=np.float32)


def _nearest(
    u: Float32[np.ndarray, "h w"], v: Float32[np.ndarray, "h w"]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and columns of the pixels nearest to places in the picture [px], each of shape (h, w)."""
    height, width = u.shape
    return (
        np.clip(np.rint(v), 0, height - 1).astype(np.int64),
        np.clip(np.rint(u), 0, width - 1).astype(np.int64),
    )


def _aberration(frame: Frame, light: Light, share: float) -> Light:
    """Image red larger and blue smaller than green, about the optical centre."""
    height, width = light.shape[:2]
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    cx, cy = np.float32(frame.camera.cx), np.float32(frame.camera.cy)
    channels = []
    for channel, scale in enumerate((1 - share, 1.0, 1 + share)):
        plane = np.ascontiguousarray(light[..., channel])
        if scale != 1.0:
            at_u, at_v = cx + (u - cx) * np.float32(scale), cy + (v - cy) * np.float32(scale)
            plane = cv2.remap(plane, at_u, at_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        channels.append(plane)
    return np.stack(channels, axis=-1)

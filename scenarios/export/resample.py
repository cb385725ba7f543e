"""The same view through another lens, or in another size: masks and normals are those of the nearest pixel."""

from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from assets.errors import InputError
from sim.camera import Camera
from sim.codec import Storage, storage_of
from sim.frame import Frame
from sim.frame_meta import RESERVED
from sim.shards import Sample, encode


def through_lens(frame: Frame, camera: Camera) -> Frame:
    """See what a frame shows through another lens at the same place.

    A pixel whose ray the frame does not show is nothing. Colours lie between those of four pixels, and so does depth
    along the axis where the four see one object at depths within 10 %; elsewhere it is the nearest pixel's. Flow is
    dropped.
    """
    rays, shown = camera.rays()
    pixels, in_front = frame.camera.project(rays.astype(np.float64))
    height, width = frame.depth.shape
    column, row = (np.rint(pixels[..., axis]).astype(np.int64) for axis in (0, 1))
    _, source_shown = frame.camera.rays()
    inside = shown & in_front & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = np.where(inside, column, 0), np.where(inside, row, 0)
    inside &= source_shown[row, column]
    maps = pixels.astype(np.float32)
    rgb = cv2.remap(frame.rgb, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return Frame(
        rgb=np.where(inside[..., None], rgb, 0).astype(np.uint8),
        semantic=np.where(inside, frame.semantic[row, column], 0).astype(np.uint8),
        instance=np.where(inside, frame.instance[row, column], 0).astype(np.uint16),
        depth=np.where(inside, _depth_at(frame, pixels, frame.depth[row, column]), 0).astype(np.float32),
        normal=np.where(inside[..., None], frame.normal[row, column], 0).astype(np.float32),
        flow=np.zeros((*inside.shape, 2), np.float32),
        flow_valid=np.zeros(inside.shape, np.bool_),
        T_world_camera=frame.T_world_camera,
        camera=camera,
        time=frame.time,
        exposure=frame.exposure,
    )


def _depth_at(
    frame: Frame, pixels: Float64[np.ndarray, "h w 2"], nearest: Float32[np.ndarray, "h w"]
) -> NDArray[np.float64]:
    """Return depth [m] between four pixels, shape (h, w), or `nearest` where they do not see one smooth surface.

    Not depth but its inverse is linear in the picture of a plane.
    """
    height, width = frame.depth.shape
    left = np.clip(np.floor(pixels[..., 0]).astype(np.int64), 0, max(width - 2, 0))
    top = np.clip(np.floor(pixels[..., 1]).astype(np.int64), 0, max(height - 2, 0))
    across, down = np.clip(pixels[..., 0] - left, 0, 1), np.clip(pixels[..., 1] - top, 0, 1)
    right, low = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    corners = [(top, left), (top, right), (low, left), (low, right)]
    weights = [(1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across]
    depths = np.stack([frame.depth[corner] for corner in corners]).astype(np.float64)
    objects = np.stack([frame.instance[corner] for corner in corners])
    least = depths.min(axis=0)
    smooth = (objects == objects[0]).all(axis=0) & (least > 0) & (depths.max(axis=0) < 1.1 * least)
    inverse = sum(weight / np.where(smooth, depth, 1.0) for weight, depth in zip(weights, depths, strict=True))
    return np.where(smooth, 1 / np.where(smooth, inverse, 1.0), nearest)


def rescaled(frame: Frame, width: int, height: int) -> Frame:
    """Change the size of a frame; the lens keeps its field of view. Flow is dropped.

    Raises:
        InputError: The size is no camera's.
    """
    camera = frame.camera
    across, down = width / camera.width, height / camera.height
    if camera.content_radius is not None and abs(across - down) > 1e-6:
        raise InputError(
            f"size: expected the shape {camera.width} x {camera.height} of the round picture, found {width} x {height}"
        )
    smaller = rescaled_camera(camera, width, height)
    way = cv2.INTER_AREA if across < 1 else cv2.INTER_LINEAR
    row = np.minimum(((np.arange(height) + 0.5) / down).astype(np.int64), camera.height - 1)
    column = np.minimum(((np.arange(width) + 0.5) / across).astype(np.int64), camera.width - 1)
    nearest = np.ix_(row, column)
    return Frame(
        rgb=cv2.resize(frame.rgb, (width, height), interpolation=way),
        semantic=frame.semantic[nearest],
        instance=frame.instance[nearest],
        depth=frame.depth[nearest],
        normal=frame.normal[nearest],
        flow=np.zeros((height, width, 2), np.float32),
        flow_valid=np.zeros((height, width), np.bool_),
        T_world_camera=frame.T_world_camera,
        camera=smaller,
        time=frame.time,
        exposure=frame.exposure,
    )


def rescaled_camera(camera: Camera, width: int, height: int) -> Camera:
    """Describe the same view in another size.

    Raises:
        InputError: The size is no camera's.
    """
    across, down = width / camera.width, height / camera.height
    fx, fy, distortion = camera.fx * across, camera.fy * down, camera.distortion
    if camera.model == "omnidirectional":  # its polynomial is in pixels, those of a column here
        a0, a2, a3, a4, c, d, e = camera.distortion
        distortion = (a0 * down, a2 / down, a3 / down**2, a4 / down**3, c * across / down, d * across / down, e)
        fx = fy = distortion[0]
    return replace(
        camera,
        width=width,
        height=height,
        fx=fx,
        fy=fy,
        cx=(camera.cx + 0.5) * across - 0.5,  # pixels have their centres at whole numbers
        cy=(camera.cy + 0.5) * down - 0.5,
        distortion=distortion,
        content_radius=None if camera.content_radius is None else camera.content_radius * across,
    )


def resampled_sample(sample: Sample, camera: Camera) -> Sample:
    """Encode a sample anew, seen through another lens, with the step of depth, or the exact numbers, that it had.

    Colours become a PNG, so that they lose nothing more.

    Raises:
        InputError: A member is missing or damaged.
    """
    meta = sample.meta()
    own = {name: value for name, value in meta.items() if name not in RESERVED}
    seen = through_lens(sample.frame(), camera)
    storage = Storage(exact=storage_of(sample.members).exact)
    done = encode(seen, own, key=sample.key, depth_step=float(meta["depth_step"]), storage=storage)
    return replace(done, where=sample.where)

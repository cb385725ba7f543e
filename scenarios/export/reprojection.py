"""Motion between two stored frames of a scene that stands still, from depth and poses alone."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from assets.transforms import apply, inverse
from sim.camera import Camera
from sim.frame import Frame

_TOLERANCE = 2e-3  # share of the depth by which a point may miss the surface seen in the next frame


@lru_cache(maxsize=4)
def _rays(camera: Camera) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rays, shown = camera.rays()
    return rays.astype(np.float64), shown


def with_static_flow(frame: Frame, following: Frame) -> Frame:
    """Fill in the motion of every seen point to the next frame of the same, unmoved scene.

    A point is seen in the next frame if it falls into its picture and lies on the surface that one of the four pixels
    around it shows: the same object, and the point on the plane of that pixel's surface to within 0.2 % of the depth.

    Args:
        frame: The frame to complete.
        following: The next frame; its camera may be another.

    Returns:
        The frame with `flow` [px] and `flow_valid`.
    """
    rays, _ = _rays(frame.camera)
    seen = frame.depth > 0
    directions = rays[seen]
    points = directions * (frame.depth[seen] / directions[:, 2])[:, None]
    points = apply(inverse(following.T_world_camera) @ frame.T_world_camera, points)
    pixels, in_front = following.camera.project(points)

    height, width = following.depth.shape
    # A margin of half a pixel: the picture's border is where its pixels end.
    inside = in_front & (pixels >= -0.5).all(axis=1) & (pixels[:, 0] <= width - 0.5) & (pixels[:, 1] <= height - 0.5)
    next_rays, shown = _rays(following.camera)
    low = np.floor(np.where(inside[:, None], pixels, 0)).astype(np.int64)
    instance = frame.instance[seen]
    visible = np.zeros(len(points), np.bool_)
    for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = np.clip(low[:, 0] + right, 0, width - 1), np.clip(low[:, 1] + down, 0, height - 1)
        normal = following.normal[row, column].astype(np.float64)
        ray = next_rays[row, column]
        on_plane = ray * (following.depth[row, column] / np.where(ray[:, 2] > 0, ray[:, 2], 1))[:, None]
        # Along the point's own ray the plane lies at share times its distance.
        across = np.einsum("ij,ij->i", normal, points)
        share = np.einsum("ij,ij->i", normal, on_plane) / np.where(across < 0, across, -1e-12)
        same = (following.instance[row, column] == instance) & shown[row, column]
        visible |= same & (across < 0) & (np.abs(share - 1) < _TOLERANCE)
    visible &= inside

    rows, columns = np.nonzero(seen)
    motion = (pixels - np.stack([columns, rows], axis=1)).astype(np.float32)
    flow = np.zeros((*frame.depth.shape, 2), np.float32)
    flow[seen] = np.where(visible[:, None], motion, 0)
    valid = np.zeros(frame.depth.shape, np.bool_)
    valid[seen] = visible
    return replace(frame, flow=flow, flow_valid=valid)

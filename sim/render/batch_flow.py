"""Flow between the last two frames of each of many environments: a launch for each direction, and nothing is copied."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import warp as wp
from numpy.typing import NDArray

from sim.camera import Camera
from sim.render.motion import projection_of
from sim.render.motion_kernels import Picture, Projection, follow_pixel
from sim.render.raster import Pose
from sim.render.scene import RenderScene

wp.set_module_options({"enable_backward": False})

_KEPT: dict[str, Any] = {"triangle": wp.int32, "weights": wp.vec2, "depth": wp.float32}
_WRITTEN: dict[str, Any] = {"flow": wp.vec2, "valid": wp.uint8}
BYTES = sum(wp.types.type_size_in_bytes(kind) for kind in (*_KEPT.values(), *_WRITTEN.values(), *_WRITTEN.values()))
"""Memory that the flow of one pixel of one environment takes on the device, both ways."""


@wp.struct
class Shape:
    """The triangles of one environment at one time."""

    vertices: wp.array[wp.vec3]
    corners: wp.array[wp.vec4i]
    facing: wp.array[float]


@wp.struct
class Seen:
    """What all environments saw at one time: a row for each."""

    triangle: wp.array2d[wp.int32]
    weights: wp.array2d[wp.vec2]
    depth: wp.array2d[float]


@wp.func
def _picture(
    environment: int,
    pose: Pose,
    lens: Projection,
    table: wp.array[float],
    rays: wp.array[wp.vec3],
    seen: Seen,
    shape: Shape,
) -> Picture:
    picture = Picture()
    picture.rotation = pose.rotation
    picture.position = pose.position
    picture.lens = lens
    picture.table = table
    picture.rays = rays
    picture.triangle = seen.triangle[environment]
    picture.weights = seen.weights[environment]
    picture.depth = seen.depth[environment]
    picture.vertices = shape.vertices
    return picture


@wp.kernel
def follow_all(
    lens: Projection,
    table: wp.array[float],
    rays: wp.array[wp.vec3],
    known: wp.array[wp.int32],
    still: wp.array2d[wp.int32],
    poses: wp.array[Pose],
    seen: Seen,
    shapes: wp.array[Shape],
    other_poses: wp.array[Pose],
    other_seen: Seen,
    other_shapes: wp.array[Shape],
    turns: wp.array[wp.mat33],
    shifts: wp.array[wp.vec3],
    flow: wp.array[wp.vec2],
    valid: wp.array[wp.uint8],
) -> None:
    """Follow the point of one pixel of one environment to its other picture, as `motion_kernels.follow` does."""
    environment, pixel = wp.tid()  # type: ignore[misc]  # two in a two-dimensional launch
    at = environment * rays.shape[0] + pixel
    motion = wp.vec2(0.0, 0.0)
    found = wp.bool(False)
    if known[environment] != 0:
        shape = other_shapes[environment]
        one = _picture(environment, poses[environment], lens, table, rays, seen, shapes[environment])
        other = _picture(environment, other_poses[environment], lens, table, rays, other_seen, shape)
        turn = turns[environment]
        shift = shifts[environment]
        motion, found = follow_pixel(pixel, one, other, turn, shift, still[environment], shape.corners, shape.facing)
    flow[at] = motion
    valid[at] = wp.uint8(wp.where(found, 1, 0))


@dataclass(frozen=True, eq=False)
class _Moment:
    """What is known of one frame of all environments."""

    T_world_camera: NDArray[np.float64]
    vertices: list[Any]
    versions: list[int]
    changes: list[tuple[int, ...]]


class BatchFlow:
    """Keeps the last frame's visibility of all environments, and finds the flow from it and to it."""

    def __init__(self, scenes: Sequence[RenderScene], camera: Camera, rays: Any, table: Any, poses: Any) -> None:
        """Allocate.

        Args:
            scenes: Of each environment.
            camera: Of all frames.
            rays: Of all pixels, on the device.
            table: Of the lens, as `LensTables.radius_over_sine`, on the device.
            poses: The cameras' poses, which each rendering writes anew.
        """
        self._scenes, self._device = scenes, scenes[0].device
        self._fixed = [projection_of(camera), table, rays]
        count, pixels = len(scenes), camera.width * camera.height

        def make(count: int, kind: Any) -> Any:
            return wp.zeros(count, dtype=kind, device=self._device)

        self._shape = (count, pixels)
        self._poses, self._last_poses = poses, make(count, Pose)
        self._kept = {name: make(count * pixels, kind) for name, kind in _KEPT.items()}
        self._known = make(count, wp.int32)
        self._objects = max(1, *(len(scene.objects) for scene in scenes))
        self._still = wp.zeros((count, self._objects), dtype=wp.int32, device=self._device)
        self._turns = [make(count, wp.mat33) for _ in range(2)]
        self._shifts = [make(count, wp.vec3) for _ in range(2)]
        self._written = [{name: make(count * pixels, kind) for name, kind in _WRITTEN.items()} for _ in range(2)]
        self._shapes: Any = None
        self._last: _Moment | None = None
        self.tensors: dict[str, torch.Tensor] = {}
        """flow_back, flow_back_valid, last_flow and last_flow_valid of `BatchFrames`."""
        for name, written in zip(("flow_back", "last_flow"), self._written, strict=True):
            shape = (count, camera.height, camera.width)
            self.tensors[name] = wp.to_torch(written["flow"]).view(*shape, 2)
            self.tensors[f"{name}_valid"] = wp.to_torch(written["valid"]).view(*shape).view(torch.bool)

    def keep(self, buffers: dict[str, Any]) -> None:
        """Keep what the frame before shows, before the next is rendered into the same buffers."""
        if self._last is not None:
            wp.copy(self._last_poses, self._poses)
            for name, kept in self._kept.items():
                wp.copy(kept, buffers[name])

    def find(self, T_world_camera: NDArray[np.float64], buffers: dict[str, Any]) -> None:
        """Find the flow between the frame that was kept and the one that is in the buffers now."""
        scenes = self._scenes
        now = _Moment(
            T_world_camera.copy(),
            [scene.frozen_vertices() for scene in scenes],
            [scene.version for scene in scenes],
            [tuple(scene.object_changes) for scene in scenes],
        )
        last, self._last = self._last, now
        if last is None:
            self._shapes = self._shapes_of(now, None)
            return
        known = np.array(now.versions) == np.array(last.versions)
        still = np.zeros((len(scenes), self._objects), np.int32)
        for index, (changes, before) in enumerate(zip(now.changes, last.changes, strict=True)):
            still[index, : len(changes)] = np.array(changes) == np.array(before)
        self._known.assign(known.astype(np.int32))
        self._still.assign(still)
        last_shapes, shapes = self._shapes, self._shapes_of(now, last)
        self._shapes = shapes
        one, other = now.T_world_camera, last.T_world_camera
        for place, T in enumerate((np.linalg.inv(other) @ one, np.linalg.inv(one) @ other)):
            self._turns[place].assign(np.ascontiguousarray(T[:, :3, :3], np.float32))
            self._shifts[place].assign(np.ascontiguousarray(T[:, :3, 3], np.float32))
        pictures = [[self._poses, self._seen(buffers), shapes], [self._last_poses, self._seen(self._kept), last_shapes]]
        for place, (one_side, other_side) in enumerate((pictures, pictures[::-1])):
            inputs = [*self._fixed, self._known, self._still, *one_side, *other_side]
            inputs += [self._turns[place], self._shifts[place], *self._written[place].values()]
            wp.launch(follow_all, self._shape, inputs, device=self._device)

    def _shapes_of(self, now: _Moment, last: _Moment | None) -> Any:
        """Describe the triangles of all environments to the kernel; the last description, where nothing has changed."""
        if last is not None and all(one is other for one, other in zip(now.vertices, last.vertices, strict=True)):
            return self._shapes
        records: dict[int, Any] = {}
        for scene, vertices in zip(self._scenes, now.vertices, strict=True):
            if id(scene) not in records:
                record: Any = Shape()
                record.vertices, record.corners, record.facing = vertices, scene.corners, scene.facing
                records[id(scene)] = record
        return wp.array([records[id(scene)] for scene in self._scenes], dtype=Shape, device=self._device)

    def _seen(self, buffers: dict[str, Any]) -> Any:
        seen: Any = Seen()
        seen.triangle, seen.weights, seen.depth = (buffers[name].reshape(self._shape) for name in _KEPT)
        return seen

"""Where the points that one picture shows are in another: flow in both directions, for whatever moves or deforms."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from assets.transforms import inverse
from sim.camera import Camera
from sim.lens_models import Brown, lens_of
from sim.render import motion_kernels, motion_rows
from sim.render.geometry import Geometry
from sim.render.motion_kernels import BROWN, PINHOLE, ROUND, Projection
from sim.render.workers import Workers


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What is kept of a picture to follow its points: its visibility and where the vertices were, on the device."""

    camera: Camera
    T_world_camera: NDArray[np.float64]
    projection: Projection
    table: Any
    rays: Any
    ray_rows: Any
    """The rays' x, then their y, then their z; None on CUDA."""
    triangle: Any
    weights: Any
    depth: Any
    vertices: Any
    corners: Any
    facing: Any
    geometry: Geometry
    mesh_versions: tuple[int, ...]
    object_changes: tuple[int, ...]


def projection_of(camera: Camera) -> Projection:
    """Fill in the kernels' record of a lens."""
    lens = Projection()
    lens.width, lens.height = camera.width, camera.height
    lens.fx, lens.fy, lens.cx, lens.cy = camera.fx, camera.fy, camera.cx, camera.cy
    lens.model = {"pinhole": PINHOLE, "brown": BROWN}.get(camera.model, ROUND)
    lens.c, lens.d, lens.e = camera.distortion[4:] if camera.model == "omnidirectional" else (1.0, 0.0, 0.0)
    model = lens_of(camera.model, camera.distortion)
    if isinstance(model, Brown):
        lens.k1, lens.k2, lens.k3, lens.p1, lens.p2, lens.last = (
            model.k1,
            model.k2,
            model.k3,
            model.p1,
            model.p2,
            model.last_radius,
        )
    return lens


def flow_between(one: Snapshot, other: Snapshot, workers: Workers) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Follow every point that one picture shows to another picture of the same scene.

    Args:
        one: The picture whose pixels are followed.
        other: The picture in which they are looked for, earlier or later, maybe through another camera.
        workers: Do the CPU's work, a band of rows each.

    Returns:
        Motion (du, dv) [px], shape (h, w, 2), 0 where not valid; and where it is valid, shape (h, w): the point falls
        into the other picture, and the pixel nearest to it there shows the same triangle, or one of the same object
        whose plane the point misses by less than `motion_kernels.TOLERANCE` of its distance; where that pixel looks
        past it, one of the four pixels around it does. So outlines are right to half a pixel. A point of a mesh that
        was replaced in between is not followed.
    """
    height, width = one.camera.height, one.camera.width
    triangle, vertices, device = one.triangle, one.vertices, one.triangle.device
    if one.geometry is not other.geometry:
        triangle = wp.array(_renumbered(one, other), dtype=wp.int32, device=device)
        vertices = wp.array(_rearranged(one, other), dtype=wp.vec3, device=device)
    still = [
        mesh == other_mesh and change == other_change
        for mesh, other_mesh, change, other_change in zip(
            one.mesh_versions, other.mesh_versions, one.object_changes, other.object_changes, strict=True
        )
    ]
    T_other_one = inverse(other.T_world_camera) @ one.T_world_camera
    flow = wp.empty(height * width, dtype=wp.vec2, device=device)
    valid = wp.empty(height * width, dtype=wp.uint8, device=device)
    inputs = [
        _picture(one, triangle, vertices),
        _picture(other, other.triangle, other.vertices),
        wp.mat33(*map(float, T_other_one[:3, :3].ravel())),
        wp.vec3(*map(float, T_other_one[:3, 3])),
        wp.array(np.array(still, np.int32), dtype=wp.int32, device=device),
        other.corners,
        other.facing,
        flow,
        valid,
    ]
    if one.ray_rows is None:
        wp.launch(motion_kernels.follow, dim=height * width, inputs=inputs, device=device)
    else:
        workers.share(_in_rows(one, inputs, workers.threads))
    return flow.numpy().reshape(height, width, 2), valid.numpy().reshape(height, width).view(np.bool_)


def _in_rows(one: Snapshot, inputs: list[Any], threads: int) -> list[list[Any]]:
    """Prepare the CPU's launches: a band of rows each."""
    rows = [int(row) for row in np.linspace(0, one.camera.height, threads + 1)]
    jobs = []
    for first, last in pairwise(rows):
        run = wp.empty(motion_rows.QUANTITIES * motion_rows.PITCH, dtype=wp.float32, device="cpu")
        near = wp.empty(motion_rows.PITCH, dtype=wp.int32, device="cpu")
        band = [first * one.camera.width, last * one.camera.width, one.ray_rows, run, near]
        jobs.append([wp.launch(motion_rows.follow_rows, 1, [*band, *inputs], device="cpu", record_cmd=True)])
    return jobs


def _picture(snapshot: Snapshot, triangle: Any, vertices: Any) -> motion_kernels.Picture:
    """Fill in the kernels' record of a picture."""
    picture = motion_kernels.Picture()
    picture.rotation = wp.mat33(*map(float, snapshot.T_world_camera[:3, :3].T.ravel()))
    picture.position = wp.vec3(*map(float, snapshot.T_world_camera[:3, 3]))
    picture.lens, picture.table, picture.rays = snapshot.projection, snapshot.table, snapshot.rays
    picture.triangle, picture.vertices = triangle, vertices
    picture.weights, picture.depth = snapshot.weights, snapshot.depth
    return picture


def _renumbered(one: Snapshot, other: Snapshot) -> NDArray[np.int32]:
    """Return the seen triangles by their numbers in the other picture's scene; -1 where the mesh is another."""
    before, after = one.geometry, other.geometry
    owner = before.triangle_object
    shift = (after.object_triangle - before.object_triangle)[owner]
    same = np.array(one.mesh_versions) == np.array(other.mesh_versions)
    numbers = np.where(same[owner], np.arange(len(owner)) + shift, -1)
    return np.append(numbers, -1).astype(np.int32)[one.triangle.numpy()]


def _rearranged(one: Snapshot, other: Snapshot) -> NDArray[np.float32]:
    """Return the vertices by their numbers in the other picture's scene; 0 where the mesh is another."""
    before, after = one.geometry.object_vertex, other.geometry.object_vertex
    own = one.vertices.numpy()
    moved = np.zeros((after[-1], 3), np.float32)
    for index, (first, other_first) in enumerate(zip(before[:-1], after[:-1], strict=True)):
        if one.mesh_versions[index] == other.mesh_versions[index]:
            moved[other_first : after[index + 1]] = own[first : before[index + 1]]
    return moved

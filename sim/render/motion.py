"""Where the points that one picture shows are in another: flow in both directions, for whatever moves or deforms."""

# mypy: disable-error-code="arg-type, index, operator, return-value"
# (Warp's stubs give vectors of these kinds no operators.)

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from sim.camera import Camera
from sim.lens_models import Brown, lens_of
from sim.render.geometry import Geometry
from sim.render.lens import TABLE_SIZE

wp.set_module_options({"enable_backward": False})

TOLERANCE = 2e-3
"""Share of its distance by which a point may miss the surface that the other picture shows there."""
_TOLERANCE = wp.constant(TOLERANCE)
_TABLE = wp.constant(TABLE_SIZE)
_ROUND, _PINHOLE, _BROWN = 0, 1, 2


@wp.struct
class Projection:
    """An exact lens: a pinhole, Brown's, or a round one by its table followed by an affine part."""

    model: wp.int32
    width: wp.int32
    height: wp.int32
    fx: wp.float32
    fy: wp.float32
    cx: wp.float32
    cy: wp.float32
    k1: wp.float32
    k2: wp.float32
    k3: wp.float32
    p1: wp.float32
    p2: wp.float32
    last: wp.float32
    c: wp.float32
    d: wp.float32
    e: wp.float32


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What is kept of a picture to follow its points: its visibility and where the vertices were, on the device."""

    camera: Camera
    rotation: NDArray[np.float32]
    position: NDArray[np.float32]
    """x_camera = rotation (x_world - position)."""
    projection: Any
    table: Any
    triangle: Any
    weights: Any
    vertices: Any
    corners: Any
    facing: Any
    geometry: Geometry
    mesh_versions: tuple[int, ...]


@wp.func
def project(lens: Projection, table: wp.array[float], p: wp.vec3) -> wp.vec2:
    """Project a point in camera axes, z > 0."""
    x = wp.float32(0.0)
    y = wp.float32(0.0)
    if lens.model == 0:
        place = (p[2] / wp.max(wp.length(p), 1.0e-9) + 1.0) * 0.5 * float(_TABLE - 1)
        cell = wp.clamp(int(place), 0, _TABLE - 2)
        scale = wp.lerp(table[cell], table[cell + 1], place - float(cell)) / wp.max(wp.length(p), 1.0e-9)
        x = p[0] * scale
        y = p[1] * scale
        return wp.vec2(lens.cx + lens.fx * (lens.c * x + lens.d * y), lens.cy + lens.fy * (lens.e * x + y))
    x = p[0] / p[2]
    y = p[1] / p[2]
    if lens.model == 2:
        inward = wp.min(1.0, lens.last / wp.max(wp.sqrt(x * x + y * y), 1.0e-9))
        x = x * inward
        y = y * inward
        square = x * x + y * y
        stretch = 1.0 + square * (lens.k1 + square * (lens.k2 + square * lens.k3))
        distorted = x * stretch + 2.0 * lens.p1 * x * y + lens.p2 * (square + 2.0 * x * x)
        y = y * stretch + lens.p1 * (square + 2.0 * y * y) + 2.0 * lens.p2 * x * y
        x = distorted
    return wp.vec2(lens.cx + lens.fx * x, lens.cy + lens.fy * y)


@wp.func
def _between(a: wp.vec3, b: wp.vec3, c: wp.vec3, share: wp.vec2) -> wp.vec3:
    return share[0] * a + share[1] * b + (1.0 - share[0] - share[1]) * c


@wp.func
def _double(p: wp.vec3) -> wp.vec3d:
    return wp.vec3d(wp.float64(p[0]), wp.float64(p[1]), wp.float64(p[2]))


@wp.func
def _between_exactly(a: wp.vec3, b: wp.vec3, c: wp.vec3, share: wp.vec2) -> wp.vec3:
    u = wp.float64(share[0])
    v = wp.float64(share[1])
    p = u * _double(a) + v * _double(b) + (wp.float64(1.0) - u - v) * _double(c)
    return wp.vec3(wp.float32(p[0]), wp.float32(p[1]), wp.float32(p[2]))


@wp.func
def _shows(
    index: int,
    seen: int,
    towards: wp.vec3,
    position: wp.vec3,
    vertices: wp.array[wp.vec3],
    corners: wp.array[wp.vec4i],
    facing: wp.array[float],
) -> int:
    """Say whether a pixel that sees one triangle shows the point of another: `towards` leads from the lens to it.

    Returns:
        1 if it shows it, -1 if it shows what lies before it, else 0.
    """
    if seen < 0:
        return 0
    if seen == index:
        return 1
    corner = corners[seen]
    a = vertices[corner[0]]
    normal = wp.cross(vertices[corner[1]] - a, vertices[corner[2]] - a) * facing[corner[3]]
    across = wp.dot(normal, towards)
    if across >= 0.0:
        return 0
    # Along the point's own ray the other triangle's plane lies at this share of its distance.
    share = wp.dot(normal, a - position) / across
    if share < 1.0 - _TOLERANCE:
        return -1
    if share <= 1.0 + _TOLERANCE and corner[3] == corners[index][3]:
        return 1
    return 0


@wp.kernel
def follow(
    first_pixel: int,
    width: int,
    triangle: wp.array[int],
    weights: wp.array[wp.vec2],
    own_vertices: wp.array[wp.vec3],
    own_rotation: wp.mat33,
    own_position: wp.vec3,
    own_lens: Projection,
    own_table: wp.array[float],
    rotation: wp.mat33,
    position: wp.vec3,
    lens: Projection,
    table: wp.array[float],
    other_triangle: wp.array[int],
    vertices: wp.array[wp.vec3],
    corners: wp.array[wp.vec4i],
    facing: wp.array[float],
    flow: wp.array[wp.vec2],
    valid: wp.array[wp.uint8],
) -> None:
    """Follow the point of one pixel to the other picture: vertices, pose, lens and visibility are that picture's."""
    pixel = first_pixel + wp.tid()
    motion = wp.vec2(0.0, 0.0)
    found = False
    index = triangle[pixel]
    if index >= 0:
        corner = corners[index]
        share = weights[pixel]
        a = vertices[corner[0]] - position
        towards = _between(a, vertices[corner[1]] - position, vertices[corner[2]] - position, share)
        p = rotation * towards
        if p[2] > 0.0:
            place = project(lens, table, p)
            # The picture's border is where its pixels end.
            if (
                place[0] >= -0.5
                and place[1] >= -0.5
                and place[0] <= float(lens.width) - 0.5
                and place[1] <= float(lens.height) - 0.5
            ):
                column = int(wp.floor(place[0]))
                row = int(wp.floor(place[1]))
                left = wp.max(column, 0)
                right = wp.min(column + 1, lens.width - 1)
                top = wp.max(row, 0) * lens.width
                bottom = wp.min(row + 1, lens.height - 1) * lens.width
                near_column = wp.where(place[0] - float(column) < 0.5, left, right)
                near_row = wp.where(place[1] - float(row) < 0.5, top, bottom)
                shown = _shows(
                    index, other_triangle[near_row + near_column], towards, position, vertices, corners, facing
                )
                found = shown == 1
                if shown == 0:
                    # The nearest pixel looks past an outline on which the point may lie.
                    for step in range(4):
                        beside = wp.where(step < 2, top, bottom) + wp.where(step % 2 == 0, left, right)
                        if not found:
                            found = (
                                _shows(index, other_triangle[beside], towards, position, vertices, corners, facing) == 1
                            )
                if found:
                    y = pixel / width
                    start = wp.vec2(float(pixel - y * width), float(y))
                    if wp.length_sq(a) > 4.0 * wp.length_sq(towards):
                        # On a triangle that is large against its distance the last digits of the weights are seen:
                        # what they stand for in the own picture is taken for the start.
                        a1 = vertices[corner[0]] - position
                        b1 = vertices[corner[1]] - position
                        c1 = vertices[corner[2]] - position
                        place = project(lens, table, rotation * _between_exactly(a1, b1, c1, share))
                        a1 = own_vertices[corner[0]] - own_position
                        b1 = own_vertices[corner[1]] - own_position
                        c1 = own_vertices[corner[2]] - own_position
                        start = project(own_lens, own_table, own_rotation * _between_exactly(a1, b1, c1, share))
                    motion = place - start
    flow[pixel] = motion
    valid[pixel] = wp.uint8(wp.where(found, 1, 0))


def projection_of(camera: Camera) -> Projection:
    """Fill in the kernels' record of a lens."""
    lens = Projection()
    lens.width, lens.height = camera.width, camera.height
    lens.fx, lens.fy, lens.cx, lens.cy = camera.fx, camera.fy, camera.cx, camera.cy
    lens.model = {"pinhole": _PINHOLE, "brown": _BROWN}.get(camera.model, _ROUND)
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


def flow_between(
    one: Snapshot, other: Snapshot, *, threads: int, share: Callable[[list[list[Any]]], None]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Follow every point that one picture shows to another picture of the same scene.

    Args:
        one: The picture whose pixels are followed.
        other: The picture in which they are looked for, earlier or later, maybe through another camera.
        threads: Into how many bands the work is cut, twice.
        share: Does launches on the renderer's threads.

    Returns:
        Motion (du, dv) [px], shape (h, w, 2), 0 where not valid; and where it is valid, shape (h, w): the point falls
        into the other picture, and the pixel nearest to it there shows the same triangle, or one of the same object
        whose plane the point misses by less than `TOLERANCE` of its distance; where that pixel looks past it, one of
        the four pixels around it does. So outlines are right to half a pixel. A point of a mesh that was replaced in
        between is not followed.
    """
    height, width = one.camera.height, one.camera.width
    triangle, vertices, device = one.triangle, one.vertices, one.triangle.device
    if one.geometry is not other.geometry:
        triangle = wp.array(_renumbered(one, other), dtype=wp.int32, device=device)
        vertices = wp.array(_rearranged(one, other), dtype=wp.vec3, device=device)
    flow = wp.empty(height * width, dtype=wp.vec2, device=device)
    valid = wp.empty(height * width, dtype=wp.uint8, device=device)
    inputs = [
        width,
        triangle,
        one.weights,
        vertices,
        *(part for picture in (one, other) for part in _camera(picture)),
        other.triangle,
        other.vertices,
        other.corners,
        other.facing,
        flow,
        valid,
    ]
    rows = [int(row) for row in np.linspace(0, height, (2 * threads if threads > 1 else 1) + 1)]
    launches = [
        wp.launch(follow, dim=(last - first) * width, inputs=[first * width, *inputs], device=device, record_cmd=True)
        for first, last in pairwise(rows)
    ]
    share([[launch] for launch in launches])
    return flow.numpy().reshape(height, width, 2), valid.numpy().reshape(height, width).view(np.bool_)


def _camera(picture: Snapshot) -> list[Any]:
    rotation = wp.mat33(*map(float, picture.rotation.ravel()))
    return [rotation, wp.vec3(*map(float, picture.position)), picture.projection, picture.table]


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

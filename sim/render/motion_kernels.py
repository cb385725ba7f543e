"""Kernels that find where the point of a pixel is in another picture."""

# mypy: disable-error-code="arg-type, index, operator, return-value"
# (Warp's stubs give vectors of these kinds no operators.)

import warp as wp

from sim.render.lens import TABLE_SIZE
from sim.render.plain import get

wp.set_module_options({"enable_backward": False})

TOLERANCE = 2e-3
"""Share of its distance by which a point may miss the surface that the other picture shows there."""
ROUND, PINHOLE, BROWN = 0, 1, 2
"""Models of a `Projection`."""
_TOLERANCE = wp.constant(TOLERANCE)
_TABLE = wp.constant(TABLE_SIZE)


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


@wp.struct
class Picture:
    """What is known of one of two pictures; the vertices are in the other's order."""

    rotation: wp.mat33
    position: wp.vec3
    """x_camera = rotation (x_world - position)."""
    lens: Projection
    table: wp.array[float]
    rays: wp.array[wp.vec3]
    triangle: wp.array[wp.int32]
    weights: wp.array[wp.vec2]
    depth: wp.array[float]
    vertices: wp.array[wp.vec3]


@wp.func
def project_as(model: int, lens: Projection, table: wp.array[float], p: wp.vec3) -> wp.vec2:
    """Project a point in camera axes, z > 0, through a lens of a model."""
    if model == 0:
        place = (p[2] / wp.max(wp.length(p), 1.0e-9) + 1.0) * 0.5 * float(_TABLE - 1)
        cell = wp.clamp(int(place), 0, _TABLE - 2)
        scale = wp.lerp(get(table, cell), get(table, cell + 1), place - float(cell)) / wp.max(wp.length(p), 1.0e-9)
        x = p[0] * scale
        y = p[1] * scale
        return wp.vec2(lens.cx + lens.fx * (lens.c * x + lens.d * y), lens.cy + lens.fy * (lens.e * x + y))
    x = p[0] / p[2]
    y = p[1] / p[2]
    if model == 2:
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
def _project(lens: Projection, table: wp.array[float], p: wp.vec3) -> wp.vec2:
    return project_as(lens.model, lens, table, p)


@wp.func
def nearest_pixel(lens: Projection, place: wp.vec2) -> int:
    """Return the pixel nearest to a place in a picture, -1 beyond its border, which is where its pixels end."""
    column = int(wp.floor(place[0]))
    row = int(wp.floor(place[1]))
    near_column = wp.where(place[0] - float(column) < 0.5, wp.max(column, 0), wp.min(column + 1, lens.width - 1))
    near_row = wp.where(place[1] - float(row) < 0.5, wp.max(row, 0), wp.min(row + 1, lens.height - 1))
    inside = (
        place[0] >= -0.5
        and place[1] >= -0.5
        and place[0] <= float(lens.width) - 0.5
        and place[1] <= float(lens.height) - 0.5
    )
    return wp.where(inside, near_row * lens.width + near_column, -1)


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


@wp.func
def shown_near(
    index: int,
    place: wp.vec2,
    near: int,
    towards: wp.vec3,
    picture: Picture,
    corners: wp.array[wp.vec4i],
    facing: wp.array[float],
) -> bool:
    """Say whether a picture shows the point of a triangle at its place there; `near` is the pixel nearest to that."""
    shown = _shows(index, picture.triangle[near], towards, picture.position, picture.vertices, corners, facing)
    found = shown == 1
    if shown == 0:
        # The nearest pixel looks past an outline on which the point may lie.
        column = int(wp.floor(place[0]))
        row = int(wp.floor(place[1]))
        left = wp.max(column, 0)
        right = wp.min(column + 1, picture.lens.width - 1)
        top = wp.max(row, 0) * picture.lens.width
        bottom = wp.min(row + 1, picture.lens.height - 1) * picture.lens.width
        for step in range(4):
            beside = wp.where(step < 2, top, bottom) + wp.where(step % 2 == 0, left, right)
            if not found:
                seen = picture.triangle[beside]
                found = _shows(index, seen, towards, picture.position, picture.vertices, corners, facing) == 1
    return found


@wp.func
def _carried(picture: Picture, corner: wp.vec4i, share: wp.vec2) -> wp.vec2:
    """Return where a picture has the point of a triangle."""
    a = picture.vertices[corner[0]] - picture.position
    b = picture.vertices[corner[1]] - picture.position
    c = picture.vertices[corner[2]] - picture.position
    return _project(picture.lens, picture.table, picture.rotation * _between_exactly(a, b, c, share))


@wp.func
def follow_pixel(
    pixel: int,
    one: Picture,
    other: Picture,
    turn: wp.mat33,
    shift: wp.vec3,
    still: wp.array[wp.int32],
    corners: wp.array[wp.vec4i],
    facing: wp.array[float],
) -> tuple[wp.vec2, bool]:
    """Return how the point that a pixel shows moves to its place in the other picture, and whether it shows there."""
    motion = wp.vec2(0.0, 0.0)
    found = wp.bool(False)
    index = one.triangle[pixel]
    if index >= 0:
        corner = corners[index]
        share = one.weights[pixel]
        unmoved = still[corner[3]] != 0
        a = other.vertices[corner[0]] - other.position
        towards = wp.vec3(0.0, 0.0, 0.0)
        p = wp.vec3(0.0, 0.0, 0.0)
        if unmoved:
            ray = one.rays[pixel]
            p = turn * (ray * (one.depth[pixel] / ray[2])) + shift
            towards = wp.transpose(other.rotation) * p
        else:
            b = other.vertices[corner[1]] - other.position
            towards = _between(a, b, other.vertices[corner[2]] - other.position, share)
            p = other.rotation * towards
        if p[2] > 0.0:
            place = _project(other.lens, other.table, p)
            near = nearest_pixel(other.lens, place)
            if near >= 0:
                found = shown_near(index, place, near, towards, other, corners, facing)
            if found:
                y = pixel / one.lens.width
                start = wp.vec2(float(pixel - y * one.lens.width), float(y))
                if not unmoved and wp.length_sq(a) > 4.0 * wp.length_sq(towards):
                    # On a triangle that is large against its distance the last digits of the weights are seen: what
                    # they stand for in the own picture is taken for the start.
                    start = _carried(one, corner, share)
                    place = _carried(other, corner, share)
                motion = place - start
    return motion, found


@wp.kernel
def follow(
    one: Picture,
    other: Picture,
    turn: wp.mat33,
    shift: wp.vec3,
    still: wp.array[wp.int32],
    corners: wp.array[wp.vec4i],
    facing: wp.array[float],
    flow: wp.array[wp.vec2],
    valid: wp.array[wp.uint8],
) -> None:
    """Follow the point of one pixel to the other picture."""
    pixel = wp.tid()
    motion, found = follow_pixel(pixel, one, other, turn, shift, still, corners, facing)
    flow[pixel] = motion
    valid[pixel] = wp.uint8(wp.where(found, 1, 0))

"""Visibility by rasterising with edge planes through the camera: exact for any lens, without clipping or splitting.

A pixel with ray d sees a triangle (a, b, c) where d.(b x c), d.(c x a) and d.(a x b) have one sign; the lens only
decides which pixels are tried. Each edge's plane is computed from its two vertices in one fixed order, so neighbours
leave no gap.
"""

import warp as wp

from sim.render.geometry import CLUSTER
from sim.render.lens import BACK_COSINE, TABLE_SIZE, Lens

# Unrolled, the loops along arcs triple the time to compile.
wp.set_module_options({"enable_backward": False, "max_unroll": 4})

_BACK = wp.constant(BACK_COSINE)
_TABLE = wp.constant(TABLE_SIZE)
_NEAR = wp.constant(1.0e-6)
_SMALL_CHORD = wp.constant(0.25)
_ARCS = wp.constant(8)
_CORNERS = wp.constant(3 * CLUSTER)
LANES = 8
"""Pixels that are tried at once; rows have a margin of as many on the right."""


@wp.struct
class Pose:
    """The camera in the world: x_camera = rotation (x_world - position)."""

    rotation: wp.mat33
    position: wp.vec3


@wp.func
def _edge_plane(a: wp.vec3, b: wp.vec3, place_a: int, place_b: int) -> wp.vec3:
    if place_a < place_b:
        return wp.cross(a, b - a)
    return wp.neg(wp.cross(b, a - b))


@wp.func
def _project(lens: Lens, table: wp.array[float], direction: wp.vec3) -> wp.vec2:
    """Project a unit vector through the fisheye."""
    place = (direction[2] + 1.0) * 0.5 * float(_TABLE - 1)
    cell = wp.clamp(int(place), 0, _TABLE - 2)
    scale = wp.lerp(table[cell], table[cell + 1], place - float(cell))
    return wp.vec2(lens.cx + lens.fx * direction[0] * scale, lens.cy + lens.fy * direction[1] * scale)


@wp.func
def _pinhole(lens: Lens, p: wp.vec3) -> wp.vec2:
    return wp.vec2(lens.cx + lens.fx * p[0] / p[2], lens.cy + lens.fy * p[1] / p[2])


@wp.func
def _grow(box: wp.vec4, p: wp.vec2) -> wp.vec4:
    return wp.vec4(wp.min(box[0], p[0]), wp.min(box[1], p[1]), wp.max(box[2], p[0]), wp.max(box[3], p[1]))


@wp.func
def _grow_edge(lens: Lens, box: wp.vec4, a: wp.vec3, b: wp.vec3) -> wp.vec4:
    """Add the part of an edge that lies in front of the pinhole."""
    grown = box
    if a[2] > _NEAR:
        grown = _grow(grown, _pinhole(lens, a))
    if (a[2] > _NEAR) != (b[2] > _NEAR):
        p = wp.lerp(a, b, (_NEAR - a[2]) / (b[2] - a[2]))
        grown = _grow(grown, _pinhole(lens, wp.vec3(p[0], p[1], _NEAR)))
    return grown


@wp.func
def _grow_arc(lens: Lens, table: wp.array[float], box: wp.vec4, a: wp.vec3, b: wp.vec3) -> wp.vec4:
    """Add pieces of the great circle between two unit vectors, or everything where it passes behind the lens."""
    everything = wp.vec4(-1.0e9, -1.0e9, 1.0e9, 1.0e9)
    angle = wp.atan2(wp.length(wp.cross(a, b)), wp.dot(a, b))
    grown = box
    if angle > 3.0:
        grown = everything
    else:
        for step in range(_ARCS):
            share = float(step) / float(_ARCS)
            direction = a
            if angle > 1.0e-4:
                direction = wp.normalize(wp.sin((1.0 - share) * angle) * a + wp.sin(share * angle) * b)
            if direction[2] < _BACK + angle / float(_ARCS):
                grown = everything
            grown = _grow(grown, _project(lens, table, direction))
    return grown


@wp.func
def _wide_box(
    lens: Lens, table: wp.array[float], a: wp.vec3, b: wp.vec3, c: wp.vec3, axis_inside: bool, margin: float
) -> wp.vec4:
    """Bound the image of a triangle that is large as seen from the lens, or lies beside or around it."""
    box = wp.vec4(1.0e9, 1.0e9, -1.0e9, -1.0e9)
    if lens.fisheye:
        if axis_inside:
            box = wp.vec4(-1.0e9, -1.0e9, 1.0e9, 1.0e9)
        else:
            a1 = wp.normalize(a)
            b1 = wp.normalize(b)
            c1 = wp.normalize(c)
            box = _grow_arc(lens, table, box, a1, b1)
            box = _grow_arc(lens, table, box, b1, c1)
            box = _grow_arc(lens, table, box, c1, a1)
    else:
        box = _grow_edge(lens, box, a, b)
        box = _grow_edge(lens, box, b, c)
        box = _grow_edge(lens, box, c, a)
    return wp.vec4(box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)


@wp.kernel
def cull(
    pose: wp.array[Pose],
    lens: Lens,
    cluster_sphere: wp.array[wp.vec4],
    seen: wp.array[int],
) -> None:
    """List the clusters that may be seen, after their number; one thread."""
    rotation = pose[0].rotation
    position = pose[0].position
    count = wp.int32(0)
    for cluster in range(cluster_sphere.shape[0]):
        sphere = cluster_sphere[cluster]
        centre = rotation * (wp.vec3(sphere[0], sphere[1], sphere[2]) - position)
        across = wp.sqrt(centre[0] * centre[0] + centre[1] * centre[1])
        # Distance from the cone of view; outside it where positive.
        if across * lens.field_cosine - centre[2] * lens.field_sine <= sphere[3]:
            count += 1
            seen[count] = cluster
    seen[0] = count


@wp.kernel
def set_up(
    part: int,
    parts: int,
    seen: wp.array[int],
    pose: wp.array[Pose],
    lens: Lens,
    table: wp.array[float],
    vertices: wp.array[wp.vec3],
    cluster_start: wp.array[int],
    cluster_vertex_start: wp.array[int],
    cluster_vertices: wp.array[int],
    corners: wp.array[int],
    scratch_points: wp.array[wp.vec3],
    scratch_image: wp.array[wp.vec4],
    boxes: wp.array[wp.vec4i],
    planes: wp.array2d[wp.vec3],
    source: wp.array[int],
    part_ends: wp.array[int],
) -> None:
    """List the triangles of one part of the clusters that may be seen, with their boxes and planes; one thread.

    A part's list starts at the place of its first triangle in the scene.
    """
    rotation = pose[0].rotation
    position = pose[0].position
    first = seen[0] * part // parts
    last = seen[0] * (part + 1) // parts
    begin = wp.int32(0)
    if first < last:
        begin = cluster_start[seen[1 + first]]
    scratch = part * _CORNERS
    count = wp.int32(0)
    for listed in range(first, last):
        cluster = seen[1 + listed]
        # Each vertex once: place in the image, distance, and cosine of the angle off the axis.
        first_vertex = cluster_vertex_start[cluster]
        for index in range(first_vertex, cluster_vertex_start[cluster + 1]):
            p = rotation * (vertices[cluster_vertices[index]] - position)
            distance = wp.max(wp.length(p), 1.0e-9)
            direction = p / distance
            image = wp.vec2(0.0, 0.0)
            if lens.fisheye:
                image = _project(lens, table, direction)
            elif p[2] > _NEAR:
                image = _pinhole(lens, p)
            scratch_points[scratch + index - first_vertex] = p
            scratch_image[scratch + index - first_vertex] = wp.vec4(image[0], image[1], distance, direction[2])
        for index in range(cluster_start[cluster], cluster_start[cluster + 1]):
            packed = corners[index]
            place_a = packed & 255
            place_b = (packed >> 8) & 255
            place_c = (packed >> 16) & 255
            side = wp.float32(1.0)
            if packed >> 24 != 0:
                side = -1.0
            a = scratch_points[scratch + place_a]
            b = scratch_points[scratch + place_b]
            c = scratch_points[scratch + place_c]
            normal = side * wp.cross(b - a, c - a)
            volume = wp.dot(a, normal)
            if not volume > 0.0 or (a[2] <= 0.0 and b[2] <= 0.0 and c[2] <= 0.0):
                continue
            image_a = scratch_image[scratch + place_a]
            image_b = scratch_image[scratch + place_b]
            image_c = scratch_image[scratch + place_c]
            small = wp.min(a[2], wp.min(b[2], c[2])) > _NEAR
            margin = 0.02 + lens.slack
            chord_square = wp.float32(0.0)
            bend = lens.bend_near
            if lens.fisheye:
                # The longest side over the least distance bounds the chord between two directions.
                longest = wp.max(wp.length_sq(b - a), wp.max(wp.length_sq(c - b), wp.length_sq(a - c)))
                least = wp.min(image_a[2], wp.min(image_b[2], image_c[2]))
                chord_square = longest / (least * least)
                small = chord_square < _SMALL_CHORD * _SMALL_CHORD
                # An arc departs from the chord between its ends by at most |p''| angle^2 / 8; it stays in a cone that
                # holds its ends.
                if wp.min(image_a[3], wp.min(image_b[3], image_c[3])) < lens.field_cosine:
                    bend = lens.bend_far
                margin += 0.13 * bend * chord_square
                front = wp.max(image_a[3], wp.max(image_b[3], image_c[3]))
                if small and front < lens.field_cosine - 1.02 * wp.sqrt(chord_square):
                    continue
            box = wp.vec4(
                wp.min(image_a[0], wp.min(image_b[0], image_c[0])) - margin,
                wp.min(image_a[1], wp.min(image_b[1], image_c[1])) - margin,
                wp.max(image_a[0], wp.max(image_b[0], image_c[0])) + margin,
                wp.max(image_a[1], wp.max(image_b[1], image_c[1])) + margin,
            )
            if not small:
                axis = wp.vec3(0.0, 0.0, side)
                behind = wp.dot(wp.cross(b, c), axis) <= 0.0 and wp.dot(wp.cross(c, a), axis) <= 0.0
                behind = behind and wp.dot(wp.cross(a, b), axis) <= 0.0
                # An eighth of an arc is at most pi / 2 / 8 of its chord, which is 2 at most.
                margin = 0.02 + lens.slack + 0.005 * bend * wp.min(chord_square, 4.0)
                box = _wide_box(lens, table, a, b, c, behind, margin)
            x0 = int(wp.ceil(wp.clamp(box[0], 0.0, float(lens.width))))
            y0 = int(wp.ceil(wp.clamp(box[1], 0.0, float(lens.height))))
            x1 = int(wp.floor(wp.clamp(box[2], -1.0, float(lens.width - 1))))
            y1 = int(wp.floor(wp.clamp(box[3], -1.0, float(lens.height - 1))))
            if x0 > x1 or y0 > y1:
                continue
            slot = begin + count
            boxes[slot] = wp.vec4i(x0, y0, x1, y1)
            planes[slot, 0] = side * _edge_plane(b, c, place_b, place_c)
            planes[slot, 1] = side * _edge_plane(c, a, place_c, place_a)
            planes[slot, 2] = side * _edge_plane(a, b, place_a, place_b)
            planes[slot, 3] = normal / volume
            source[slot] = index
            count += 1
    part_ends[2 * part] = begin
    part_ends[2 * part + 1] = begin + count


@wp.func_native(
    """
    typedef float floats __attribute__((ext_vector_type(8), aligned(4), may_alias));
    typedef int ints __attribute__((ext_vector_type(8), aligned(4), may_alias));
    for (int y = top; y <= bottom; ++y) {
        for (int x = left; x <= right; x += 8) {
            const int at = y * stride + x;
            const floats u = *(const floats*)(slope_x.data + at);
            const floats v = *(const floats*)(slope_y.data + at);
            const floats in_a = plane_a[0] * u + plane_a[1] * v + plane_a[2];
            const floats in_b = plane_b[0] * u + plane_b[1] * v + plane_b[2];
            const floats in_c = plane_c[0] * u + plane_c[1] * v + plane_c[2];
            const floats near = plane[0] * u + plane[1] * v + plane[2];
            floats* nearest = (floats*)(nearness.data + at);
            ints* seen = (ints*)(owner.data + at);
            const floats before = *nearest;
            const ints wins = (in_a >= 0.0f) & (in_b >= 0.0f) & (in_c >= 0.0f) & (near > before);
            *nearest = wins ? near : before;
            *seen = wins ? (ints)slot : *seen;
        }
    }
    """
)
def _fill(
    slope_x: wp.array[float],
    slope_y: wp.array[float],
    nearness: wp.array[float],
    owner: wp.array[int],
    stride: int,
    left: int,
    top: int,
    right: int,
    bottom: int,
    slot: int,
    plane_a: wp.vec3,
    plane_b: wp.vec3,
    plane_c: wp.vec3,
    plane: wp.vec3,
) -> None:
    """Write a triangle into the pixels of its box that it covers and where it is nearest, eight pixels at a time.

    Up to seven pixels right of the box are tried too: they lie outside of the triangle or in the margin of the row.
    """
    ...


@wp.kernel
def rasterise(
    first_row: int,
    last_row: int,
    width: int,
    stride: int,
    slope_x: wp.array[float],
    slope_y: wp.array[float],
    part_ends: wp.array[int],
    boxes: wp.array[wp.vec4i],
    planes: wp.array2d[wp.vec3],
    source: wp.array[int],
    nearness: wp.array[float],
    owner: wp.array[int],
    triangle: wp.array[int],
    weights: wp.array[wp.vec2],
    depth: wp.array[float],
) -> None:
    """Fill one band of rows with the nearest triangle, the weights of its first two vertices, and z; one thread.

    Rays are taken with z = 1, so that what a triangle's plane gives along one is 1 / z. No ray is not a number, which
    lies inside no triangle.
    """
    for at in range(first_row * stride, last_row * stride):
        nearness[at] = 0.0
        owner[at] = -1
    for part in range(part_ends.shape[0] // 2):
        for slot in range(part_ends[2 * part], part_ends[2 * part + 1]):
            box = boxes[slot]
            top = wp.max(box[1], first_row)
            bottom = wp.min(box[3], last_row - 1)
            if top <= bottom:
                _fill(
                    slope_x,
                    slope_y,
                    nearness,
                    owner,
                    stride,
                    box[0],
                    top,
                    box[2],
                    bottom,
                    slot,
                    planes[slot, 0],
                    planes[slot, 1],
                    planes[slot, 2],
                    planes[slot, 3],
                )
    for y in range(first_row, last_row):
        for x in range(width):
            pixel = y * width + x
            at = y * stride + x
            slot = owner[at]
            depth[pixel] = 0.0
            triangle[pixel] = -1
            if slot >= 0:
                ray = wp.vec3(slope_x[at], slope_y[at], 1.0)
                a = wp.dot(planes[slot, 0], ray)
                b = wp.dot(planes[slot, 1], ray)
                total = a + b + wp.dot(planes[slot, 2], ray)
                share = 1.0 / wp.max(total, 1.0e-30)
                triangle[pixel] = source[slot]
                weights[pixel] = wp.vec2(a * share, b * share)
                depth[pixel] = 1.0 / nearness[at]

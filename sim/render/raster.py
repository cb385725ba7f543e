"""Visibility by rasterising with edge planes through the camera: exact for any lens, without clipping or splitting.

A pixel with ray d sees a triangle (a, b, c) where d.(b x c), d.(c x a) and d.(a x b) have one sign; the lens only
decides which pixels are tried. Each edge's plane is computed from its two vertices in one fixed order, so neighbours
leave no gap.
"""

import warp as wp

from sim.render.lens import BACK_COSINE, TABLE_SIZE, Lens

wp.set_module_options({"enable_backward": False})

_BACK = wp.constant(BACK_COSINE)
_TABLE = wp.constant(TABLE_SIZE)
_NEAR = wp.constant(1.0e-6)
_SMALL_CHORD = wp.constant(0.15)


@wp.struct
class Pose:
    """The camera in the world: x_camera = rotation (x_world - position)."""

    rotation: wp.mat33
    position: wp.vec3


@wp.func
def _edge_plane(a: wp.vec3, b: wp.vec3, index_a: int, index_b: int) -> wp.vec3:
    if index_a < index_b:
        return wp.cross(a, b - a)
    return wp.neg(wp.cross(b, a - b))


@wp.func
def _project(lens: Lens, table: wp.array[float], direction: wp.vec3) -> wp.vec2:
    place = (direction[2] + 1.0) * 0.5 * float(_TABLE - 1)
    cell = wp.clamp(int(place), 0, _TABLE - 2)
    part = place - float(cell)
    scale = table[cell] * (1.0 - part) + table[cell + 1] * part
    return wp.vec2(lens.cx + lens.fx * direction[0] * scale, lens.cy + lens.fy * direction[1] * scale)


@wp.func
def _grow(box: wp.vec4, p: wp.vec2) -> wp.vec4:
    return wp.vec4(wp.min(box[0], p[0]), wp.min(box[1], p[1]), wp.max(box[2], p[0]), wp.max(box[3], p[1]))


@wp.func
def _pinhole(lens: Lens, p: wp.vec3) -> wp.vec2:
    return wp.vec2(lens.cx + lens.fx * p[0] / p[2], lens.cy + lens.fy * p[1] / p[2])


@wp.func
def _grow_edge(lens: Lens, box: wp.vec4, a: wp.vec3, b: wp.vec3) -> wp.vec4:
    """Add the part of an edge that lies in front of the pinhole."""
    grown = box
    if a[2] > _NEAR:
        grown = _grow(grown, _pinhole(lens, a))
    if (a[2] > _NEAR) != (b[2] > _NEAR):
        share = (_NEAR - a[2]) / (b[2] - a[2])
        p = a + share * (b - a)
        grown = _grow(grown, _pinhole(lens, wp.vec3(p[0], p[1], _NEAR)))
    return grown


@wp.func
def _grow_arc(lens: Lens, table: wp.array[float], box: wp.vec4, a: wp.vec3, b: wp.vec3) -> wp.vec4:
    """Add eight pieces of the great circle between two directions, or everything where it passes behind the lens."""
    everything = wp.vec4(-1.0e9, -1.0e9, 1.0e9, 1.0e9)
    angle = wp.atan2(wp.length(wp.cross(a, b)), wp.dot(a, b))
    grown = box
    if angle > 3.0:
        grown = everything
    else:
        for step in range(8):
            share = float(step) / 8.0
            direction = wp.normalize(wp.sin((1.0 - share) * angle) * a + wp.sin(share * angle) * b)
            if angle < 1.0e-4:
                direction = a
            if direction[2] < _BACK + 0.06:
                grown = everything
            grown = _grow(grown, _project(lens, table, direction))
    return grown


@wp.func
def _box(lens: Lens, table: wp.array[float], a: wp.vec3, b: wp.vec3, c: wp.vec3, axis_inside: bool) -> wp.vec4:
    """Bound the triangle's image from outside; empty (low above high) where nothing of it can be seen."""
    box = wp.vec4(1.0e9, 1.0e9, -1.0e9, -1.0e9)
    margin = wp.float32(0.02)
    if not lens.fisheye:
        box = _grow_edge(lens, box, a, b)
        box = _grow_edge(lens, box, b, c)
        box = _grow_edge(lens, box, c, a)
    else:
        a1 = wp.normalize(a)
        b1 = wp.normalize(b)
        c1 = wp.normalize(c)
        chord = wp.sqrt(wp.max(wp.length_sq(a1 - b1), wp.max(wp.length_sq(b1 - c1), wp.length_sq(c1 - a1))))
        front = wp.max(a1[2], wp.max(b1[2], c1[2]))
        back = wp.min(a1[2], wp.min(b1[2], c1[2]))
        if chord < _SMALL_CHORD:
            # An arc departs from the chord by at most |p''| angle^2 / 8.
            bend = lens.bend_near
            if back < lens.field_cosine:
                bend = lens.bend_far
            margin += 0.13 * bend * chord * chord
            if front > lens.field_cosine - chord:
                box = _grow(
                    _grow(_grow(box, _project(lens, table, a1)), _project(lens, table, b1)), _project(lens, table, c1)
                )
        else:
            margin += lens.bend_far * 0.14 * 0.14
            if axis_inside:
                box = wp.vec4(-1.0e9, -1.0e9, 1.0e9, 1.0e9)
            else:
                box = _grow_arc(lens, table, box, a1, b1)
                box = _grow_arc(lens, table, box, b1, c1)
                box = _grow_arc(lens, table, box, c1, a1)
    return wp.vec4(box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)


@wp.kernel
def set_up(
    first_cluster: int,
    last_cluster: int,
    part: int,
    pose: wp.array[Pose],
    lens: Lens,
    table: wp.array[float],
    vertices: wp.array[wp.vec3],
    triangles: wp.array[wp.vec3i],
    triangle_object: wp.array[int],
    facing: wp.array[float],
    cluster_start: wp.array[int],
    cluster_sphere: wp.array[wp.vec4],
    boxes: wp.array[wp.vec4i],
    planes: wp.array2d[wp.vec3],
    source: wp.array[int],
    counts: wp.array[int],
) -> None:
    """List the triangles of a run of clusters that may be seen, with their pixel boxes and planes; one thread."""
    rotation = pose[0].rotation
    position = pose[0].position
    begin = cluster_start[first_cluster]
    count = wp.int32(0)
    for cluster in range(first_cluster, last_cluster):
        sphere = cluster_sphere[cluster]
        centre = rotation * (wp.vec3(sphere[0], sphere[1], sphere[2]) - position)
        across = wp.sqrt(centre[0] * centre[0] + centre[1] * centre[1])
        # Distance from the cone of view; outside it where positive.
        if across * lens.field_cosine - centre[2] * lens.field_sine > sphere[3]:
            continue
        for index in range(cluster_start[cluster], cluster_start[cluster + 1]):
            corner = triangles[index]
            a = rotation * (vertices[corner[0]] - position)
            b = rotation * (vertices[corner[1]] - position)
            c = rotation * (vertices[corner[2]] - position)
            side = -facing[triangle_object[index]]
            normal = side * wp.cross(b - a, c - a)
            volume = wp.dot(a, normal)
            if not volume > 0.0 or (a[2] <= 0.0 and b[2] <= 0.0 and c[2] <= 0.0):
                continue
            plane_a = side * _edge_plane(b, c, corner[1], corner[2])
            plane_b = side * _edge_plane(c, a, corner[2], corner[0])
            plane_c = side * _edge_plane(a, b, corner[0], corner[1])
            axis_inside = plane_a[2] <= 0.0 and plane_b[2] <= 0.0 and plane_c[2] <= 0.0
            box = _box(lens, table, a, b, c, axis_inside)
            x0 = int(wp.ceil(wp.clamp(box[0], 0.0, float(lens.width))))
            y0 = int(wp.ceil(wp.clamp(box[1], 0.0, float(lens.height))))
            x1 = int(wp.floor(wp.clamp(box[2], -1.0, float(lens.width - 1))))
            y1 = int(wp.floor(wp.clamp(box[3], -1.0, float(lens.height - 1))))
            if x0 > x1 or y0 > y1:
                continue
            slot = begin + count
            boxes[slot] = wp.vec4i(x0, y0, x1, y1)
            planes[slot, 0] = plane_a
            planes[slot, 1] = plane_b
            planes[slot, 2] = plane_c
            planes[slot, 3] = normal / volume
            source[slot] = index
            count += 1
    counts[part] = count


@wp.kernel
def rasterise(
    first_row: int,
    last_row: int,
    width: int,
    rays: wp.array[wp.vec3],
    part_start: wp.array[int],
    counts: wp.array[int],
    boxes: wp.array[wp.vec4i],
    planes: wp.array2d[wp.vec3],
    source: wp.array[int],
    nearness: wp.array[float],
    triangle: wp.array[int],
    weights: wp.array[wp.vec2],
    depth: wp.array[float],
) -> None:
    """Fill one band of rows with the nearest triangle, the weights of its first two vertices, and z; one thread."""
    for pixel in range(first_row * width, last_row * width):
        nearness[pixel] = 0.0
        triangle[pixel] = -1
    for part in range(counts.shape[0]):
        for slot in range(part_start[part], part_start[part] + counts[part]):
            box = boxes[slot]
            top = wp.max(box[1], first_row)
            bottom = wp.min(box[3], last_row - 1)
            if top <= bottom:
                plane_a = planes[slot, 0]
                plane_b = planes[slot, 1]
                plane_c = planes[slot, 2]
                plane = planes[slot, 3]
                for y in range(top, bottom + 1):
                    for pixel in range(y * width + box[0], y * width + box[2] + 1):
                        ray = rays[pixel]
                        if wp.dot(plane_a, ray) >= 0.0 and wp.dot(plane_b, ray) >= 0.0 and wp.dot(plane_c, ray) >= 0.0:
                            near = wp.dot(plane, ray)
                            if near > nearness[pixel]:
                                nearness[pixel] = near
                                triangle[pixel] = slot
    for pixel in range(first_row * width, last_row * width):
        slot = triangle[pixel]
        depth[pixel] = 0.0
        if slot >= 0:
            ray = rays[pixel]
            a = wp.dot(planes[slot, 0], ray)
            b = wp.dot(planes[slot, 1], ray)
            total = a + b + wp.dot(planes[slot, 2], ray)
            share = 1.0 / wp.max(total, 1.0e-30)
            triangle[pixel] = source[slot]
            weights[pixel] = wp.vec2(a * share, b * share)
            depth[pixel] = ray[2] / nearness[pixel]

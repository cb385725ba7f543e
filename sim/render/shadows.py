"""Shadows of the light guides, which are beside the lens: a march through the depth buffer from each pixel to a guide.

What hides a point from a guide, but not from the lens, is mostly itself in the picture, a little to the side: so the
depth buffer knows it, and no second visibility pass is needed. What is not in the picture throws no shadow.
"""

import warp as wp

from sim.render.lens import TABLE_SIZE, Lens
from sim.render.raster import Pose
from sim.render.records import Look

wp.set_module_options({"enable_backward": False})

STEPS = 8
"""Places that are tried on the way to each guide."""
_STEPS = wp.constant(STEPS)
_TABLE = wp.constant(TABLE_SIZE)
# The way is measured by t / (1 - t) of the share t of it that is gone: proportional to the shift in the picture.
# At 2 it has come to a third of the depth.
_REACH = wp.constant(2.0)
_BIAS = wp.constant(0.01)  # of the distance: nearer things are taken for the surface itself
_SOFT = wp.constant(0.02)  # of the distance: over which a shadow comes to its full, since the guides have a size
_ALIKE = wp.constant(0.03)  # of the distance: by which neighbours on one surface differ at most
_THICK = wp.constant(0.8)  # of the distance: what is nearer still may let the light pass behind it


@wp.func
def _pixel(lens: Lens, table: wp.array[float], p: wp.vec3) -> int:
    """Return the pixel that shows a point, camera axes; -1 if none does."""
    if lens.fisheye:
        direction = wp.normalize(p)
        place = (direction[2] + 1.0) * 0.5 * float(_TABLE - 1)
        cell = wp.clamp(int(place), 0, _TABLE - 2)
        scale = wp.lerp(table[cell], table[cell + 1], place - float(cell))
        u = lens.cx + lens.fx * direction[0] * scale
        v = lens.cy + lens.fy * direction[1] * scale
    else:
        if p[2] <= 0.0:
            return -1
        u = lens.cx + lens.fx * p[0] / p[2]
        v = lens.cy + lens.fy * p[1] / p[2]
    column = int(wp.floor(u + 0.5))
    row = int(wp.floor(v + 0.5))
    if column < 0 or row < 0 or column >= lens.width or row >= lens.height:
        return -1
    return row * lens.width + column


@wp.func
def _hidden(
    lens: Lens,
    table: wp.array[float],
    rays: wp.array[wp.vec3],
    depth: wp.array[float],
    p: wp.vec3,
    guide: wp.vec3,
    jitter: float,
) -> float:
    """Return how much of a guide something hides from a point: 0 nothing, 1 all."""
    hidden = float(0.0)  # noqa: UP018, which Warp needs to change it in a loop
    for step in range(_STEPS):
        share = (float(step) + jitter) / float(_STEPS)
        shift = _REACH * share * share
        gone = shift / (1.0 + shift)
        q = p + gone * (guide - p)
        pixel = _pixel(lens, table, q)
        if pixel < 0:
            return hidden
        there = depth[pixel]
        if there > 0.0:
            # Distances, not depths: these change fast from pixel to pixel far off the axis.
            before = 1.0 - there / (rays[pixel][2] * wp.length(q))
            if before < _THICK:
                hidden = wp.max(hidden, wp.clamp((before - _BIAS) / _SOFT, 0.0, 1.0))
                if hidden >= 1.0:
                    return hidden
    return hidden


@wp.func
def _lit(
    lens: Lens,
    table: wp.array[float],
    rays: wp.array[wp.vec3],
    depth: wp.array[float],
    pixel: int,
    a: wp.vec3,
    b: wp.vec3,
) -> float:
    ray = rays[pixel]
    p = ray * (depth[pixel] / ray[2])
    # A pattern of 4 x 4 pixels breaks the steps up; the eye does not see it in a soft edge.
    column = (pixel % lens.width) / 2
    row = (pixel / lens.width) / 2
    jitter = 0.4 + 0.2 * float((column & 1) + 2 * (row & 1))
    return 1.0 - 0.5 * (
        _hidden(lens, table, rays, depth, p, a, jitter) + _hidden(lens, table, rays, depth, p, b, jitter)
    )


@wp.kernel
def throw(
    first_row: int,
    pose: wp.array[Pose],
    looks: wp.array[Look],
    lens: Lens,
    table: wp.array[float],
    rays: wp.array[wp.vec3],
    depth: wp.array[float],
    lit: wp.array[float],
) -> None:
    """Find which share of the two guides' light reaches what each of 2 x 2 pixels shows."""
    block = wp.tid()
    look = looks[0]
    rotation = pose[0].rotation
    a = rotation * (look.light_a - pose[0].position)
    b = rotation * (look.light_b - pose[0].position)
    across = (lens.width + 1) / 2
    left = 2 * (block % across)
    top = first_row + 2 * (block / across)
    centre = float(0.0)  # noqa: UP018
    share = float(1.0)  # noqa: UP018
    for row in range(2):
        for column in range(2):
            if left + column < lens.width and top + row < lens.height:
                pixel = (top + row) * lens.width + left + column
                there = depth[pixel]
                # One pixel speaks for its neighbours on the same surface: shadows are soft.
                if there > 0.0 and wp.abs(there - centre) > _ALIKE * there:
                    centre = there
                    share = _lit(lens, table, rays, depth, pixel, a, b)
                lit[pixel] = wp.where(there > 0.0, share, 1.0)

"""The CPU's way to find flow: what stands still between two pictures is followed in runs, as vectors.

The formulas are those of `sim.render.motion_kernels`, which follows pixel by pixel on CUDA.
"""

# mypy: disable-error-code="index"
# (Warp's stubs give vectors of whole numbers no items.)

import warp as wp

from sim.render.motion_kernels import Picture, follow_pixel, nearest_pixel, project_as, shown_near
from sim.render.plain import get, get_whole, put, put_vec2, put_whole

wp.set_module_options({"enable_backward": False})

RUN = 256
"""Most pixels of a run."""
PITCH = RUN + 16
"""Numbers from one quantity of a run to the next: no power of two, or all would share a few lines of the cache."""
QUANTITIES = 5
_RUN = wp.constant(RUN)
_PITCH = wp.constant(PITCH)
_P = wp.constant(2 * PITCH)


@wp.func
def _carry(
    model: int,
    begin: int,
    count: int,
    one: Picture,
    other: Picture,
    turn: wp.mat33,
    shift: wp.vec3,
    rays: wp.array[float],
    run: wp.array[float],
    near: wp.array[int],
) -> None:
    """Work out where the points of a run are in the other picture; the model is a number that is written out."""
    pixels = rays.shape[0] // 3
    x = wp.int32(0)
    while x < count:
        at = begin + x
        ray = wp.vec3(get(rays, at), get(rays, at + pixels), get(rays, at + 2 * pixels))
        p = turn * (ray * (get(one.depth, at) / ray[2])) + shift
        place = project_as(model, other.lens, other.table, p)
        put(run, x, place[0])
        put(run, x + _PITCH, place[1])
        put(run, x + _P, p[0])
        put(run, x + _P + _PITCH, p[1])
        put(run, x + _P + 2 * _PITCH, p[2])
        put_whole(near, x, wp.where(p[2] > 0.0, nearest_pixel(other.lens, place), -1))
        x += 1


@wp.kernel
def follow_rows(
    first_pixel: int,
    last_pixel: int,
    rays: wp.array[float],
    run: wp.array[float],
    near: wp.array[int],
    one: Picture,
    other: Picture,
    turn: wp.mat33,
    shift: wp.vec3,
    still: wp.array[int],
    corners: wp.array[wp.vec4i],
    facing: wp.array[float],
    flow: wp.array[wp.vec2],
    valid: wp.array[wp.uint8],
) -> None:
    """Follow the points of a range of pixels; one thread. `rays` holds all x, then all y, then all z."""
    back = wp.transpose(other.rotation)
    width = one.lens.width
    begin = wp.int32(first_pixel)
    while begin < last_pixel:
        most = wp.min(_RUN, last_pixel - begin)
        # The places of all of them, though some have moved: these are few.
        if other.lens.model == 0:
            _carry(0, begin, most, one, other, turn, shift, rays, run, near)
        elif other.lens.model == 1:
            _carry(1, begin, most, one, other, turn, shift, rays, run, near)
        else:
            _carry(2, begin, most, one, other, turn, shift, rays, run, near)
        row = begin / width
        column = begin - row * width
        last = wp.int32(-1)
        unmoved = wp.bool(True)
        for x in range(most):
            pixel = begin + x
            index = get_whole(one.triangle, pixel)
            motion = wp.vec2(0.0, 0.0)
            found = wp.bool(False)
            if index >= 0:
                if index != last:
                    last = index
                    unmoved = still[corners[index][3]] != 0
                if unmoved:
                    there = get_whole(near, x)
                    if there >= 0:
                        place = wp.vec2(get(run, x), get(run, x + _PITCH))
                        found = get_whole(other.triangle, there) == index
                        if not found:
                            p = wp.vec3(get(run, x + _P), get(run, x + _P + _PITCH), get(run, x + _P + 2 * _PITCH))
                            found = shown_near(index, place, there, back * p, other, corners, facing)
                        if found:
                            motion = place - wp.vec2(float(column), float(row))
                else:
                    motion, found = follow_pixel(pixel, one, other, turn, shift, still, corners, facing)
            put_vec2(flow, pixel, motion)
            valid[pixel] = wp.uint8(wp.where(found, 1, 0))
            column += 1
            if column == width:
                column = 0
                row += 1
        begin += most

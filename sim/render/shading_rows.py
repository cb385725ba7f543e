"""The CPU's way through the shading: pixels in runs, in turns of loops that gather and loops that only compute.

The formulas are those of `sim.render.shading`, which shades pixel by pixel on CUDA. Loops that only compute are what a
compiler turns into vector instructions: they have to be `while` loops over plain memory with fixed distances.
"""

# mypy: disable-error-code="empty-body"
# (What native functions do is in their decorator.)

import warp as wp

from sim.render.moving import Surface, at_rest, from_rest, to_rest
from sim.render.raster import Pose
from sim.render.shading import (
    Look,
    Tissue,
    albedo_of,
    brightness_of,
    deviation_of,
    facing_camera,
    footprint_of,
    light_from,
    lobe_of,
    noise_cell,
    noise_in,
    picture_of,
    relief_level,
    relief_place,
    slope_of,
)

wp.set_module_options({"enable_backward": False})

RUN = 256
"""Pixels of a run: what is kept of them stays in the nearest cache."""
PITCH = RUN + 16
"""Numbers from one quantity of a run to the next: no power of two, or all would share a few lines of the cache."""
QUANTITIES = 39
WHOLE_QUANTITIES = 5

_RUN = wp.constant(RUN)
_N = wp.constant(0)
_CAVITY = wp.constant(3 * PITCH)
_SLOW = wp.constant(4 * PITCH)
_TEXELS = wp.constant(5 * PITCH)
_REST = wp.constant(6 * PITCH)
_MOVED = wp.constant(9 * PITCH)
_P = wp.constant(10 * PITCH)
_RAY = wp.constant(13 * PITCH)
_DISTANCE = wp.constant(16 * PITCH)
_FOOTPRINT = wp.constant(17 * PITCH)
_PLACE = wp.constant(18 * PITCH)
_SHARE = wp.constant(21 * PITCH)
_GRADIENT = wp.constant(24 * PITCH)
_ALBEDO = wp.constant(27 * PITCH)
_ALPHA2 = wp.constant(30 * PITCH)
_FILM = wp.constant(31 * PITCH)
_WRAP = wp.constant(32 * PITCH)
_LIGHT = wp.constant(34 * PITCH)
_SIGMA = wp.constant(37 * PITCH)
_BRIGHTNESS = wp.constant(38 * PITCH)
_PITCH = wp.constant(PITCH)
_LEVEL = wp.constant(4 * PITCH)


@wp.func_native("return run.data[at];")
def _get(run: wp.array[float], at: int) -> float: ...


@wp.func_native("run.data[at] = value;")
def _put(run: wp.array[float], at: int, value: float) -> None: ...


@wp.func_native("return run.data[at];")
def _get_whole(run: wp.array[int], at: int) -> int: ...


@wp.func_native("run.data[at] = value;")
def _put_whole(run: wp.array[int], at: int, value: int) -> None: ...


@wp.func
def _get3(run: wp.array[float], at: int) -> wp.vec3:
    return wp.vec3(_get(run, at), _get(run, at + _PITCH), _get(run, at + 2 * _PITCH))


@wp.func
def _put3(run: wp.array[float], at: int, value: wp.vec3) -> None:
    _put(run, at, value[0])
    _put(run, at + _PITCH, value[1])
    _put(run, at + 2 * _PITCH, value[2])


@wp.kernel
def shade_rows(
    first_pixel: int,
    last_pixel: int,
    run: wp.array[float],
    whole: wp.array[int],
    pose: wp.array[Pose],
    looks: wp.array[Look],
    rays: wp.array[float],
    vignette: wp.array[float],
    triangle: wp.array[int],
    weights: wp.array[wp.vec2],
    depth: wp.array[float],
    surface: Surface,
    flat_normal: wp.array[wp.vec3],
    vertex_shape: wp.array[wp.vec4],
    vertex_stain: wp.array[float],
    triangles: wp.array[wp.vec4i],
    tissues: wp.array[Tissue],
    tone: wp.array[wp.uint8],
    gauss: wp.array[float],
    volumes: wp.array[wp.vec4],
    vessels: wp.array[float],
    lit: wp.array[float],
    luminance: wp.array[float],
    rgb: wp.array[wp.vec3ub],
    semantic: wp.array[wp.uint8],
    instance: wp.array[wp.uint16],
    normal: wp.array[wp.vec3],
) -> None:
    """Shade a range of pixels and write all their channels; one thread.

    `rays` holds all x, then all y, then all z.
    """
    look = looks[0]
    rotation = pose[0].rotation
    back = wp.transpose(rotation)
    position = pose[0].position
    pixels = rays.shape[0] // 3
    last = wp.int32(-1)
    corner = wp.vec4i(0, 0, 0, 0)
    facet = wp.vec3(0.0, 0.0, 0.0)
    shape_a = wp.vec4(0.0, 0.0, 0.0, 0.0)
    shape_b = wp.vec4(0.0, 0.0, 0.0, 0.0)
    shape_c = wp.vec4(0.0, 0.0, 0.0, 0.0)
    slow_a = wp.float32(0.0)
    slow_b = wp.float32(0.0)
    slow_c = wp.float32(0.0)
    label = wp.uint8(0)
    thing = wp.uint16(0)
    texels = wp.float32(0.0)
    film = wp.float32(0.0)
    wrap = wp.float32(0.0)
    moved = wp.int32(0)
    for part in range((last_pixel - first_pixel + _RUN - 1) // _RUN):
        begin = first_pixel + part * _RUN
        count = wp.min(_RUN, last_pixel - begin)

        # What the vertices of each pixel's triangle say; the next pixel mostly shows the same one.
        for x in range(count):
            pixel = begin + x
            index = triangle[pixel]
            if index != last and index >= 0:
                last = index
                corner = triangles[index]
                facet = rotation * flat_normal[index]
                shape_a = vertex_shape[corner[0]]
                shape_b = vertex_shape[corner[1]]
                shape_c = vertex_shape[corner[2]]
                slow_a = vertex_stain[corner[0]]
                slow_b = vertex_stain[corner[1]]
                slow_c = vertex_stain[corner[2]]
                label = tissues[corner[3]].label
                thing = tissues[corner[3]].instance
                texels = tissues[corner[3]].texels
                film = tissues[corner[3]].film
                wrap = tissues[corner[3]].wrap
                moved = surface.moved[corner[3]]
            if index < 0:
                luminance[pixel] = 0.0
                rgb[pixel] = wp.vec3ub(wp.uint8(0), wp.uint8(0), wp.uint8(0))
                semantic[pixel] = wp.uint8(0)
                instance[pixel] = wp.uint16(0)
                normal[pixel] = wp.vec3(0.0, 0.0, 0.0)
            else:
                normal[pixel] = facet
                semantic[pixel] = label
                instance[pixel] = thing
                u = weights[pixel][0]
                v = weights[pixel][1]
                w = 1.0 - u - v
                shape = u * shape_a + v * shape_b + w * shape_c
                _put3(run, x + _N, wp.vec3(shape[0], shape[1], shape[2]))
                _put(run, x + _CAVITY, shape[3])
                _put(run, x + _SLOW, u * slow_a + v * slow_b + w * slow_c)
                _put(run, x + _TEXELS, texels)
                _put(run, x + _FILM, film)
                _put(run, x + _WRAP, wrap)
                _put(run, x + _MOVED, float(moved))
                # On what has moved, the texture is looked up where the point lies at rest.
                if moved != 0:
                    _put3(run, x + _REST, at_rest(surface, corner, u, v))

        # Where it is, and where in the textures.
        x = wp.int32(0)
        while x < count:
            at = begin + x
            ray_camera = wp.vec3(_get(rays, at), _get(rays, at + pixels), _get(rays, at + 2 * pixels))
            ray = back * ray_camera
            distance = _get(depth, begin + x) / ray_camera[2]
            p = position + ray * distance
            smooth = _get3(run, x + _N)
            footprint = footprint_of(look, smooth, ray, distance)
            scale = _get(run, x + _TEXELS)
            away = _get(run, x + _MOVED) != 0.0
            rest = _get3(run, x + _REST)
            place = (
                wp.vec3(wp.where(away, rest[0], p[0]), wp.where(away, rest[1], p[1]), wp.where(away, rest[2], p[2]))
                + look.texture_offset
            )
            level = relief_level(footprint, scale)
            cell, share = noise_cell(level, relief_place(place, scale))
            _put3(run, x + _N, facing_camera(smooth, ray))
            _put3(run, x + _P, p)
            _put3(run, x + _RAY, ray)
            _put(run, x + _DISTANCE, distance)
            _put(run, x + _FOOTPRINT, footprint)
            _put3(run, x + _PLACE, place)
            _put3(run, x + _SHARE, share)
            _put_whole(whole, x, cell[0])
            _put_whole(whole, x + _PITCH, cell[1])
            _put_whole(whole, x + 2 * _PITCH, cell[2])
            _put_whole(whole, x + 3 * _PITCH, cell[3])
            _put_whole(whole, x + _LEVEL, level)
            x += 1

        # What the textures say.
        for x in range(count):
            index = triangle[begin + x]
            if index >= 0:
                owner = triangles[index]
                tissue = tissues[owner[3]]
                cell = wp.vec4i(
                    _get_whole(whole, x),
                    _get_whole(whole, x + _PITCH),
                    _get_whole(whole, x + 2 * _PITCH),
                    _get_whole(whole, x + 3 * _PITCH),
                )
                relief = noise_in(volumes, cell, _get3(run, x + _SHARE))
                gradient = slope_of(relief, tissue)
                n_rest = _get3(run, x + _N)
                if _get(run, x + _MOVED) != 0.0:
                    gradient = from_rest(surface, owner, gradient)
                    n_rest = wp.normalize(to_rest(surface, owner, n_rest))
                footprint = _get(run, x + _FOOTPRINT)
                place = _get3(run, x + _PLACE)
                stain = _get(run, x + _SLOW)
                cavity = _get(run, x + _CAVITY)
                albedo = albedo_of(look, tissue, volumes, vessels, place, n_rest, footprint, relief[3], stain, cavity)
                _put3(run, x + _GRADIENT, gradient)
                _put3(run, x + _ALBEDO, albedo)
                _put(run, x + _ALPHA2, lobe_of(tissue, _get_whole(whole, x + _LEVEL), footprint))

        # The light.
        x = wp.int32(0)
        while x < count:
            light = light_from(
                look,
                _get3(run, x + _P),
                _get3(run, x + _RAY),
                _get(run, x + _DISTANCE),
                _get3(run, x + _N),
                _get3(run, x + _GRADIENT),
                _get3(run, x + _ALBEDO),
                _get(run, x + _ALPHA2),
                _get(run, x + _FILM),
                _get(run, x + _WRAP),
                _get(run, x + _CAVITY),
                _get(vignette, begin + x),
                _get(lit, begin + x),
            )
            brightness = brightness_of(light)
            _put(run, x + _BRIGHTNESS, brightness)
            _put(run, x + _SIGMA, deviation_of(look, brightness * look.gain))
            _put3(run, x + _LIGHT, light * look.gain)
            x += 1

        # The picture.
        for x in range(count):
            pixel = begin + x
            if triangle[pixel] >= 0:
                luminance[pixel] = _get(run, x + _BRIGHTNESS)
                sigma = _get(run, x + _SIGMA)
                rgb[pixel] = picture_of(tone, gauss, look.seed, pixel, _get3(run, x + _LIGHT), sigma)

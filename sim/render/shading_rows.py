"""The CPU's way through the shading: pixels in runs, in turns of loops that gather and loops that only compute.

The formulas are those of `sim.render.shading` and `sim.render.texture`, which shade pixel by pixel on CUDA. A run is of
one object, whose properties are the same for all of it. Loops that only compute are what a compiler turns into vector
instructions: they have to be `while` loops over plain memory with fixed distances.
"""

# mypy: disable-error-code="index"
# (Warp's stubs give vectors of whole numbers no items.)

import warp as wp

from sim.render.moving import Surface, at_rest, from_rest, to_rest
from sim.render.plain import get, get_vec2, get_whole, put, put_whole
from sim.render.raster import Pose
from sim.render.records import Look, Tissue
from sim.render.shading import (
    brightness_of,
    deviation_of,
    facing_camera,
    light_from,
    noise_bits,
    picture_of,
)
from sim.render.texture import (
    albedo_of,
    footprint_of,
    lobe_of,
    noise_cell,
    noise_in,
    pits_in,
    relief_level,
    relief_place,
    slope_of,
    vessel_cell,
    vessel_in,
    vessel_level,
    vessel_pitch,
    vessel_place,
    vessel_shares,
)

wp.set_module_options({"enable_backward": False})

RUN = 128
"""Most pixels of a run: what is kept of them stays in the nearest cache."""
PITCH = RUN + 16
"""Numbers from one quantity of a run to the next: no power of two, or all would share a few lines of the cache."""
QUANTITIES = 45
WHOLE_QUANTITIES = 10

_RUN = wp.constant(RUN)
_PITCH = wp.constant(PITCH)
# Where the quantities of a run lie: first those of the vertices, then those of place, textures, and light.
_N = wp.constant(0)
_CAVITY = wp.constant(3 * PITCH)
_SLOW = wp.constant(4 * PITCH)
_REST = wp.constant(5 * PITCH)
_N_REST = wp.constant(8 * PITCH)
_RAY = wp.constant(11 * PITCH)
_DISTANCE = wp.constant(14 * PITCH)
_FOOTPRINT = wp.constant(15 * PITCH)
_PLACE = wp.constant(16 * PITCH)
_SHARE = wp.constant(19 * PITCH)
_VESSEL_SHARES = wp.constant(22 * PITCH)
_ON = wp.constant(25 * PITCH)
_RELIEF = wp.constant(31 * PITCH)
_GRAIN = wp.constant(34 * PITCH)
_GRADIENT = wp.constant(35 * PITCH)
_PITS = wp.constant(38 * PITCH)
_VESSEL = wp.constant(39 * PITCH)
_LIGHT = wp.constant(40 * PITCH)
_SIGMA = wp.constant(43 * PITCH)
_BRIGHTNESS = wp.constant(44 * PITCH)
# The same of the whole numbers.
_LEVEL = wp.constant(4 * PITCH)
_VESSEL_PITCH = wp.constant(5 * PITCH)
_TEXEL = wp.constant(6 * PITCH)
_BITS = wp.constant(9 * PITCH)


@wp.func
def _get3(run: wp.array[float], at: int) -> wp.vec3:
    return wp.vec3(get(run, at), get(run, at + _PITCH), get(run, at + 2 * _PITCH))


@wp.func
def _put3(run: wp.array[float], at: int, value: wp.vec3) -> None:
    put(run, at, value[0])
    put(run, at + _PITCH, value[1])
    put(run, at + 2 * _PITCH, value[2])


@wp.func
def _get_ray(rays: wp.array[float], pixel: int) -> wp.vec3:
    pixels = rays.shape[0] // 3
    return wp.vec3(get(rays, pixel), get(rays, pixel + pixels), get(rays, pixel + 2 * pixels))


@wp.func
def _read_vertices(
    begin: int,
    most: int,
    owner: int,
    rotation: wp.mat33,
    run: wp.array[float],
    rays: wp.array[float],
    triangle: wp.array[int],
    weights: wp.array[wp.vec2],
    surface: Surface,
    flat_normal: wp.array[wp.vec3],
    vertex_shape: wp.array[wp.vec4],
    vertex_stain: wp.array[float],
    triangles: wp.array[wp.vec4i],
    normal: wp.array[wp.vec3],
) -> int:
    """Read what the vertices of each pixel's triangle say, up to the first pixel that sees another object.

    Returns:
        How many pixels that is.
    """
    moved = surface.moved[owner] != 0
    last = wp.int32(-1)
    corner = wp.vec4i(0, 0, 0, 0)
    facet = wp.vec3(0.0, 0.0, 0.0)
    shape_a = wp.vec4(0.0, 0.0, 0.0, 0.0)
    shape_b = wp.vec4(0.0, 0.0, 0.0, 0.0)
    shape_c = wp.vec4(0.0, 0.0, 0.0, 0.0)
    slow_a = wp.float32(0.0)
    slow_b = wp.float32(0.0)
    slow_c = wp.float32(0.0)
    x = wp.int32(0)
    while x < most:
        index = get_whole(triangle, begin + x)
        if index != last:  # the next pixel mostly shows the same one
            if index < 0:
                break
            corner = triangles[index]
            if corner[3] != owner:
                break
            last = index
            facet = rotation * flat_normal[index]
            shape_a = vertex_shape[corner[0]]
            shape_b = vertex_shape[corner[1]]
            shape_c = vertex_shape[corner[2]]
            slow_a = vertex_stain[corner[0]]
            slow_b = vertex_stain[corner[1]]
            slow_c = vertex_stain[corner[2]]
        share = get_vec2(weights, begin + x)
        u = share[0]
        v = share[1]
        w = 1.0 - u - v
        shape = u * shape_a + v * shape_b + w * shape_c
        smooth = wp.vec3(shape[0], shape[1], shape[2])
        normal[begin + x] = facet
        _put3(run, x + _N, smooth)
        put(run, x + _CAVITY, shape[3])
        put(run, x + _SLOW, u * slow_a + v * slow_b + w * slow_c)
        if moved:
            # The texture is looked up where the point lies at rest.
            n = facing_camera(smooth, wp.transpose(rotation) * _get_ray(rays, begin + x))
            _put3(run, x + _REST, at_rest(surface, corner, u, v))
            _put3(run, x + _N_REST, wp.normalize(to_rest(surface, corner, n)))
        x += 1
    return x


@wp.func
def _find_texels(
    begin: int,
    count: int,
    moved: bool,
    texels: float,
    look: Look,
    pose: Pose,
    run: wp.array[float],
    whole: wp.array[int],
    rays: wp.array[float],
    depth: wp.array[float],
) -> None:
    """Work out where the points are, and where in the textures."""
    back = wp.transpose(pose.rotation)
    x = wp.int32(0)
    while x < count:
        ray_camera = _get_ray(rays, begin + x)
        ray = back * ray_camera
        distance = get(depth, begin + x) / ray_camera[2]
        p = pose.position + ray * distance
        smooth = _get3(run, x + _N)
        n = facing_camera(smooth, ray)
        rest = _get3(run, x + _REST)
        n_rest = _get3(run, x + _N_REST)
        place = wp.vec3(wp.where(moved, rest[0], p[0]), wp.where(moved, rest[1], p[1]), wp.where(moved, rest[2], p[2]))
        place = place + look.texture_offset
        shares = vessel_shares(
            wp.vec3(
                wp.where(moved, n_rest[0], n[0]), wp.where(moved, n_rest[1], n[1]), wp.where(moved, n_rest[2], n[2])
            )
        )
        footprint = footprint_of(look, smooth, ray, distance)
        level = relief_level(footprint, texels)
        cell, share = noise_cell(level, relief_place(place, texels))
        size = vessel_level(look, footprint)
        tile = place * look.vessel_frequency
        texel_x, on_x = vessel_cell(size, vessel_place(0, tile))
        texel_y, on_y = vessel_cell(size, vessel_place(1, tile))
        texel_z, on_z = vessel_cell(size, vessel_place(2, tile))
        _put3(run, x + _N, n)
        _put3(run, x + _RAY, ray)
        put(run, x + _DISTANCE, distance)
        put(run, x + _FOOTPRINT, footprint)
        _put3(run, x + _PLACE, place)
        _put3(run, x + _SHARE, share)
        _put3(run, x + _VESSEL_SHARES, shares)
        put(run, x + _ON, on_x[0])
        put(run, x + _ON + _PITCH, on_x[1])
        put(run, x + _ON + 2 * _PITCH, on_y[0])
        put(run, x + _ON + 3 * _PITCH, on_y[1])
        put(run, x + _ON + 4 * _PITCH, on_z[0])
        put(run, x + _ON + 5 * _PITCH, on_z[1])
        put_whole(whole, x, cell[0])
        put_whole(whole, x + _PITCH, cell[1])
        put_whole(whole, x + 2 * _PITCH, cell[2])
        put_whole(whole, x + 3 * _PITCH, cell[3])
        put_whole(whole, x + _LEVEL, level)
        put_whole(whole, x + _VESSEL_PITCH, vessel_pitch(size))
        put_whole(whole, x + _TEXEL, texel_x)
        put_whole(whole, x + _TEXEL + _PITCH, texel_y)
        put_whole(whole, x + _TEXEL + 2 * _PITCH, texel_z)
        x += 1


@wp.func
def _read_textures(
    begin: int,
    count: int,
    moved: bool,
    tissue: Tissue,
    run: wp.array[float],
    whole: wp.array[int],
    triangle: wp.array[int],
    surface: Surface,
    triangles: wp.array[wp.vec4i],
    volumes: wp.array[wp.vec4],
    vessels: wp.array[float],
) -> None:
    """Read what the textures say."""
    for x in range(count):
        cell = wp.vec4i(
            get_whole(whole, x),
            get_whole(whole, x + _PITCH),
            get_whole(whole, x + 2 * _PITCH),
            get_whole(whole, x + 3 * _PITCH),
        )
        relief = noise_in(volumes, cell, _get3(run, x + _SHARE))
        _put3(run, x + _RELIEF, wp.vec3(relief[0], relief[1], relief[2]))
        put(run, x + _GRAIN, relief[3])
        if moved:
            corner = triangles[get_whole(triangle, begin + x)]
            _put3(run, x + _GRADIENT, from_rest(surface, corner, slope_of(relief, tissue)))
        pits = wp.float32(0.0)
        if tissue.pits > 0.0:
            pits = pits_in(tissue, volumes, _get3(run, x + _PLACE), get(run, x + _FOOTPRINT))
        put(run, x + _PITS, pits)
        pitch = get_whole(whole, x + _VESSEL_PITCH)
        vessel = wp.float32(0.0)
        for axis in range(3):
            share = get(run, x + _VESSEL_SHARES + axis * _PITCH)
            if share > 0.0:
                on = wp.vec2(get(run, x + _ON + 2 * axis * _PITCH), get(run, x + _ON + (2 * axis + 1) * _PITCH))
                vessel += share * vessel_in(vessels, get_whole(whole, x + _TEXEL + axis * _PITCH), pitch, on)
        put(run, x + _VESSEL, vessel)


@wp.func
def _light_up(
    begin: int,
    count: int,
    moved: bool,
    tissue: Tissue,
    look: Look,
    position: wp.vec3,
    run: wp.array[float],
    whole: wp.array[int],
    vignette: wp.array[float],
    lit: wp.array[float],
) -> None:
    """Work out the light."""
    x = wp.int32(0)
    while x < count:
        ray = _get3(run, x + _RAY)
        distance = get(run, x + _DISTANCE)
        cavity = get(run, x + _CAVITY)
        slope = _get3(run, x + _RELIEF)
        grain = get(run, x + _GRAIN)
        gradient = slope_of(wp.vec4(slope[0], slope[1], slope[2], grain), tissue)
        carried = _get3(run, x + _GRADIENT)
        gradient = wp.vec3(
            wp.where(moved, carried[0], gradient[0]),
            wp.where(moved, carried[1], gradient[1]),
            wp.where(moved, carried[2], gradient[2]),
        )
        shares = _get3(run, x + _VESSEL_SHARES)
        vessel = get(run, x + _VESSEL) / (1.0e-6 + shares[0] + shares[1] + shares[2])
        albedo = albedo_of(tissue, grain, get(run, x + _SLOW), cavity, get(run, x + _PITS), vessel)
        light = light_from(
            look,
            tissue,
            position + ray * distance,
            ray,
            distance,
            _get3(run, x + _N),
            gradient,
            albedo,
            lobe_of(tissue, get_whole(whole, x + _LEVEL), get(run, x + _FOOTPRINT)),
            cavity,
            get(vignette, begin + x),
            get(lit, begin + x),
        )
        brightness = brightness_of(light)
        put(run, x + _BRIGHTNESS, brightness)
        put(run, x + _SIGMA, deviation_of(look, brightness * look.gain))
        _put3(run, x + _LIGHT, light * look.gain)
        put_whole(whole, x + _BITS, noise_bits(look, begin + x))
        x += 1


@wp.kernel
def shade_rows(
    first_pixel: int,
    last_pixel: int,
    run: wp.array[float],
    whole: wp.array[int],
    poses: wp.array[Pose],
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
    pose = poses[0]
    begin = wp.int32(first_pixel)
    while begin < last_pixel:
        index = get_whole(triangle, begin)
        if index < 0:
            luminance[begin] = 0.0
            rgb[begin] = wp.vec3ub(wp.uint8(0), wp.uint8(0), wp.uint8(0))
            semantic[begin] = wp.uint8(0)
            instance[begin] = wp.uint16(0)
            normal[begin] = wp.vec3(0.0, 0.0, 0.0)
            begin += 1
        else:
            owner = triangles[index][3]
            tissue = tissues[owner]
            moved = surface.moved[owner] != 0
            count = _read_vertices(
                begin,
                wp.min(_RUN, last_pixel - begin),
                owner,
                pose.rotation,
                run,
                rays,
                triangle,
                weights,
                surface,
                flat_normal,
                vertex_shape,
                vertex_stain,
                triangles,
                normal,
            )
            _find_texels(begin, count, moved, tissue.texels, look, pose, run, whole, rays, depth)
            _read_textures(begin, count, moved, tissue, run, whole, triangle, surface, triangles, volumes, vessels)
            _light_up(begin, count, moved, tissue, look, pose.position, run, whole, vignette, lit)
            for x in range(count):
                pixel = begin + x
                luminance[pixel] = get(run, x + _BRIGHTNESS)
                bits = get_whole(whole, x + _BITS)
                rgb[pixel] = picture_of(tone, gauss, bits, _get3(run, x + _LIGHT), get(run, x + _SIGMA))
                semantic[pixel] = tissue.label
                instance[pixel] = tissue.instance
            begin += count

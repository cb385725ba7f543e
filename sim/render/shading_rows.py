"""The CPU's way through the shading: pixels in runs, in turns of loops that gather and loops that only compute.

The formulas are those of `sim.render.shading` and `sim.render.texture`, which shade pixel by pixel on CUDA. A run is of
one object, whose properties are the same for all of it.
"""

# mypy: disable-error-code="index"
# (Warp's stubs give vectors of whole numbers no items.)

import warp as wp

from sim.render.moving import Surface
from sim.render.plain import get, get_whole, put, put_whole
from sim.render.raster import Pose
from sim.render.records import Look, Tissue
from sim.render.row_plan import (
    AT_BITS,
    AT_BRIGHTNESS,
    AT_CAVITY,
    AT_DEEP,
    AT_DISTANCE,
    AT_FOOTPRINT,
    AT_GRADIENT,
    AT_GRAIN,
    AT_LEVEL,
    AT_LIGHT,
    AT_N,
    AT_PITS,
    AT_RAY,
    AT_RELIEF,
    AT_SIGMA,
    AT_SLOW,
    AT_VESSEL,
    AT_VESSEL_SHARES,
    RUN,
    get3,
    put3,
)
from sim.render.row_surface import find_texels, read_textures, read_vertices
from sim.render.shading import brightness_of, deviation_of, light_from, noise_bits, picture_of
from sim.render.texture import albedo_of, lobe_of, slope_of

wp.set_module_options({"enable_backward": False})


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
        ray = get3(run, x + AT_RAY)
        distance = get(run, x + AT_DISTANCE)
        cavity = get(run, x + AT_CAVITY)
        slope = get3(run, x + AT_RELIEF)
        grain = get(run, x + AT_GRAIN)
        gradient = slope_of(wp.vec4(slope[0], slope[1], slope[2], grain), tissue)
        carried = get3(run, x + AT_GRADIENT)
        gradient = wp.vec3(
            wp.where(moved, carried[0], gradient[0]),
            wp.where(moved, carried[1], gradient[1]),
            wp.where(moved, carried[2], gradient[2]),
        )
        shares = get3(run, x + AT_VESSEL_SHARES)
        among = 1.0e-6 + shares[0] + shares[1] + shares[2]
        vessel = get(run, x + AT_VESSEL) / among
        deep = get(run, x + AT_DEEP) / among
        albedo = albedo_of(tissue, grain, get(run, x + AT_SLOW), cavity, get(run, x + AT_PITS), vessel, deep)
        light = light_from(
            look,
            tissue,
            position + ray * distance,
            ray,
            distance,
            get3(run, x + AT_N),
            gradient,
            albedo,
            lobe_of(tissue, get_whole(whole, x + AT_LEVEL), get(run, x + AT_FOOTPRINT)),
            cavity,
            get(vignette, begin + x),
            get(lit, begin + x),
        )
        brightness = brightness_of(light)
        put(run, x + AT_BRIGHTNESS, brightness)
        put(run, x + AT_SIGMA, deviation_of(look, brightness * look.gain))
        put3(run, x + AT_LIGHT, light * look.gain)
        put_whole(whole, x + AT_BITS, noise_bits(look, begin + x))
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
            count = read_vertices(
                begin,
                wp.min(RUN, last_pixel - begin),
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
            find_texels(begin, count, moved, tissue.texels, look, pose, run, whole, rays, depth)
            read_textures(begin, count, moved, tissue, run, whole, triangle, surface, triangles, volumes, vessels)
            _light_up(begin, count, moved, tissue, look, pose.position, run, whole, vignette, lit)
            for x in range(count):
                pixel = begin + x
                luminance[pixel] = get(run, x + AT_BRIGHTNESS)
                bits = get_whole(whole, x + AT_BITS)
                rgb[pixel] = picture_of(tone, gauss, bits, get3(run, x + AT_LIGHT), get(run, x + AT_SIGMA))
                semantic[pixel] = tissue.label
                instance[pixel] = tissue.instance
            begin += count

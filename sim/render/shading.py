"""Colour and ground truth of every pixel from the visibility buffer, in one pass.

The colour is that of wet mucosa under one or two light guides beside the lens: inverse-square light, softened by light
that spreads in the tissue; a wet film with narrow highlights on a relief that the mesh does not resolve; blood that
varies slowly, and vessels; light from the walls around; then the sensor's noise, a soft shoulder, and sRGB.
"""

# mypy: disable-error-code="index"
# (Warp's stubs give vectors of whole numbers no items.)

import warp as wp

from sim.render.moving import Surface, at_rest, from_rest, to_rest
from sim.render.plain import get, get_byte
from sim.render.raster import Pose
from sim.render.records import Look, Tissue
from sim.render.texture import (
    albedo_of,
    deep_vessel_in,
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

TONE_SIZE = 4096
"""Entries of the table from linear light to the 8-bit code: 256 for each of 16 octaves from 2^-13."""
TONE_FIRST = 114 << 8
"""The upper 16 bits of the 32-bit float 2^-13, less its sign bit: what a light's own upper bits are counted from."""
GAUSS_SIZE = 1024
"""Entries of the table of normal quantiles."""
_TONE = wp.constant(TONE_SIZE)
_TONE_FIRST = wp.constant(TONE_FIRST)
_FILM_RELIEF = wp.constant(0.55)  # chosen after real highlights, which are blobs: surface tension levels the film
# Interreflection, fitted to path-traced frames of a synthetic colon (docs/rendering.md): the square of the distance at
# which the walls' own light begins to fall off [m^2], and the share of it that meets a wall again.
_LUMEN = wp.constant(0.028 * 0.028)
_AGAIN = wp.constant(0.88)


@wp.func
def _shine(to_a: wp.vec3, to_b: wp.vec3, mirrored: wp.vec3, alpha2: float) -> float:
    """Return what a film of reflectance 1 mirrors of two light guides, as a share of the light on it.

    GGX, whose half vector is taken from the mirrored ray and whose masking is left out: the light is beside the lens.
    """
    ahead_a = wp.max(wp.dot(mirrored, to_a), 0.0)
    ahead_b = wp.max(wp.dot(mirrored, to_b), 0.0)
    square_a = wp.max(wp.length_sq(to_a), 1.0e-8)
    square_b = wp.max(wp.length_sq(to_b), 1.0e-8)
    # For narrow lobes 1 - cos is half of 1 - cos^2, which needs no root; one division serves both guides.
    spread_a = alpha2 * square_a + 0.25 * (square_a - ahead_a * ahead_a)
    spread_b = alpha2 * square_b + 0.25 * (square_b - ahead_b * ahead_b)
    share = 1.0 / (spread_a * spread_b)
    peak_a = square_a * spread_b * share
    peak_b = square_b * spread_a * share
    # The albedo goes without the 1 / pi of a matte surface, so this does without one too; half for each guide.
    return 0.125 * alpha2 * (peak_a * peak_a + peak_b * peak_b)


@wp.func
def _encode(tone: wp.array[wp.uint8], light: float, deviation: float) -> wp.uint8:
    # The bits of a positive float rise with it, eight of the mantissa after the exponent are enough.
    bits = wp.cast(wp.max(light + deviation, 0.0), wp.int32) >> 15
    return get_byte(tone, wp.clamp(bits - _TONE_FIRST, 0, _TONE - 1))


@wp.func
def facing_camera(n: wp.vec3, ray: wp.vec3) -> wp.vec3:
    """Turn a smooth normal that looks away from the camera, as towards an outline, where the surface does not."""
    return n - wp.max(wp.dot(n, ray) + 0.08, 0.0) * ray


@wp.func
def _unit(v: wp.vec3) -> wp.vec3:
    """Scale to length 1 without a branch, which would keep a loop from becoming vector instructions."""
    return v * (1.0 / wp.sqrt(wp.max(wp.length_sq(v), 1.0e-20)))


@wp.func
def light_from(
    look: Look,
    tissue: Tissue,
    p: wp.vec3,
    ray: wp.vec3,
    distance: float,
    n: wp.vec3,
    gradient: wp.vec3,
    albedo: wp.vec3,
    alpha2: float,
    cavity: float,
    vignette: float,
    lit: float,
) -> wp.vec3:
    """Return the linear light that a point sends to the camera; `lit` is the share of the lamp that reaches it."""
    level = gradient - wp.dot(gradient, n) * n
    bumpy = _unit(n - level)
    towards = look.light - p
    square = wp.max(wp.length_sq(towards), 1.0e-6)
    reach = wp.sqrt(square)
    ahead = wp.max(-wp.dot(towards, look.axis), 0.02 * reach)
    # The beam's profile, cos / (cos + spot (1 - cos)), over the square of the distance.
    spread = (ahead + look.spot * (reach - ahead)) * square
    share = 1.0 / (spread * reach)
    beam = ahead * reach * share
    facing = wp.dot(bumpy, towards) * spread * share
    diffuse = beam * wp.max(facing + tissue.wrap, 0.0) / ((1.0 + tissue.wrap) * (1.0 + tissue.wrap))
    # The film's own surface is smoother than the relief that it covers.
    wet = _unit(n - _FILM_RELIEF * level)
    mirrored = ray - (2.0 * wp.dot(ray, wet)) * wet
    shine = _shine(look.light_a - p, look.light_b - p, mirrored, alpha2)
    shine = shine * beam * wp.clamp(facing * 6.0, 0.0, 1.0) * tissue.film
    # Light that walls throw at each other: it falls off more slowly than the direct light, and each bounce reddens it.
    around = look.ambient * (1.0 - 0.6 * cavity) / (distance * distance + _LUMEN)
    r = wp.min(albedo[0], 1.0)
    g = wp.min(albedo[1], 1.0)
    b = wp.min(albedo[2], 1.0)
    bounced = wp.vec3(r * r / (1.0 - _AGAIN * r), g * g / (1.0 - _AGAIN * g), b * b / (1.0 - _AGAIN * b))
    direct = wp.where(look.shadows, lit, 1.0)
    light = (albedo * diffuse + wp.vec3(shine, shine, shine)) * direct + bounced * around
    return wp.cw_mul(look.light_colour, light) * (1.0 - look.vignette * vignette)


@wp.func
def brightness_of(light: wp.vec3) -> float:
    """Return the luminance of linear sRGB."""
    return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]


@wp.func
def deviation_of(look: Look, brightness: float) -> float:
    """Return the sensor's noise, standard deviation, at a brightness after the gain."""
    return wp.sqrt(look.shot_noise * brightness + look.read_noise)


@wp.func
def noise_bits(look: Look, pixel: int) -> int:
    """Return what decides a pixel's sensor noise: 10 bits for each colour."""
    return int(wp.rand_init(int(look.seed), pixel) & wp.uint32(0x3FFFFFFF))


@wp.func
def picture_of(tone: wp.array[wp.uint8], gauss: wp.array[float], bits: int, light: wp.vec3, sigma: float) -> wp.vec3ub:
    """Return the code of a pixel, with the sensor's noise."""
    return wp.vec3ub(
        _encode(tone, light[0], sigma * get(gauss, bits & 1023)),
        _encode(tone, light[1], sigma * get(gauss, (bits >> 10) & 1023)),
        _encode(tone, light[2], sigma * get(gauss, bits >> 20)),
    )


@wp.func
def light_of(
    pose: Pose,
    look: Look,
    tissue: Tissue,
    ray_camera: wp.vec3,
    z: float,
    corner: wp.vec4i,
    share: wp.vec2,
    surface: Surface,
    vertex_shape: wp.array[wp.vec4],
    vertex_stain: wp.array[float],
    volumes: wp.array[wp.vec4],
    vessels: wp.array[float],
    vignette: float,
    lit: float,
) -> wp.vec3:
    """Return the linear light of a pixel that sees a point of a triangle: z-depth and weights as in the buffers."""
    ray = wp.transpose(pose.rotation) * ray_camera
    distance = z / ray_camera[2]
    p = pose.position + ray * distance
    u = share[0]
    v = share[1]
    w = 1.0 - u - v
    shape = u * vertex_shape[corner[0]] + v * vertex_shape[corner[1]] + w * vertex_shape[corner[2]]
    slow = u * vertex_stain[corner[0]] + v * vertex_stain[corner[1]] + w * vertex_stain[corner[2]]
    smooth = wp.vec3(shape[0], shape[1], shape[2])
    n = facing_camera(smooth, ray)
    # On what has moved, the texture is looked up where the point lies at rest.
    place = p
    n_rest = n
    moved = surface.moved[corner[3]] != 0
    if moved:
        place = at_rest(surface, corner, u, v)
        n_rest = wp.normalize(to_rest(surface, corner, n))
    place = place + look.texture_offset
    footprint = footprint_of(look, smooth, ray, distance)
    level = relief_level(footprint, tissue.texels)
    cell, part = noise_cell(level, relief_place(place, tissue.texels))
    relief = noise_in(volumes, cell, part)
    gradient = slope_of(relief, tissue)
    if moved:
        gradient = from_rest(surface, corner, gradient)
    pits = wp.float32(0.0)
    if tissue.pits > 0.0:
        pits = pits_in(tissue, volumes, place, footprint)
    shares = vessel_shares(n_rest)
    size = vessel_level(look, footprint)
    vessel = wp.float32(0.0)
    deep = wp.float32(0.0)
    for axis in range(3):
        if shares[axis] > 0.0:
            texel, on = vessel_cell(size, vessel_place(axis, place * look.vessel_frequency))
            vessel += shares[axis] * vessel_in(vessels, texel, vessel_pitch(size), on)
            if tissue.layered:
                deep += shares[axis] * deep_vessel_in(vessels, texel, vessel_pitch(size), on)
    among = 1.0e-6 + shares[0] + shares[1] + shares[2]
    albedo = albedo_of(tissue, relief[3], slow, shape[3], pits, vessel / among, deep / among)
    alpha2 = lobe_of(tissue, level, footprint)
    return light_from(look, tissue, p, ray, distance, n, gradient, albedo, alpha2, shape[3], vignette, lit)


@wp.func
def shade_pixel(
    pixel: int,
    at: int,
    pose: Pose,
    look: Look,
    ray: wp.vec3,
    vignette: float,
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
    lit: float,
    luminance: wp.array[float],
    rgb: wp.array[wp.vec3ub],
    semantic: wp.array[wp.uint8],
    instance: wp.array[wp.uint16],
    normal: wp.array[wp.vec3],
) -> None:
    """Shade one pixel of a picture and write all its channels; `at` is its place in the arrays of all pictures."""
    index = triangle[at]
    if index < 0:
        luminance[at] = 0.0
        rgb[at] = wp.vec3ub(wp.uint8(0), wp.uint8(0), wp.uint8(0))
        semantic[at] = wp.uint8(0)
        instance[at] = wp.uint16(0)
        normal[at] = wp.vec3(0.0, 0.0, 0.0)
        return
    corner = triangles[index]
    tissue = tissues[corner[3]]
    normal[at] = pose.rotation * flat_normal[index]
    semantic[at] = tissue.label
    instance[at] = tissue.instance
    light = light_of(
        pose,
        look,
        tissue,
        ray,
        depth[at],
        corner,
        weights[at],
        surface,
        vertex_shape,
        vertex_stain,
        volumes,
        vessels,
        vignette,
        lit,
    )
    brightness = brightness_of(light)
    luminance[at] = brightness
    sigma = deviation_of(look, brightness * look.gain)
    rgb[at] = picture_of(tone, gauss, noise_bits(look, pixel), light * look.gain, sigma)


@wp.kernel
def shade(
    first_pixel: int,
    pose: wp.array[Pose],
    looks: wp.array[Look],
    rays: wp.array[wp.vec3],
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
    """Shade one pixel and write all its channels."""
    pixel = first_pixel + wp.tid()  # type: ignore[operator]  # an int in a one-dimensional launch
    shade_pixel(
        pixel,
        pixel,
        pose[0],
        looks[0],
        rays[pixel],
        vignette[pixel],
        triangle,
        weights,
        depth,
        surface,
        flat_normal,
        vertex_shape,
        vertex_stain,
        triangles,
        tissues,
        tone,
        gauss,
        volumes,
        vessels,
        lit[pixel],
        luminance,
        rgb,
        semantic,
        instance,
        normal,
    )

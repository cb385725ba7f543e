"""Colour and ground truth of every pixel from the visibility buffer, in one pass."""

import warp as wp

from sim.render.raster import Pose

wp.set_module_options({"enable_backward": False})

TONE_SIZE = 4096
"""Entries of the table from linear light to the 8-bit code, evenly spaced in x / (1 + x)."""
GAUSS_SIZE = 4096
"""Entries of the table of normal quantiles."""
_TONE = wp.constant(TONE_SIZE)
_GAUSS = wp.constant(GAUSS_SIZE)


@wp.struct
class Look:
    """What changes from frame to frame besides the pose."""

    gain: wp.float32
    light_a: wp.vec3
    light_b: wp.vec3
    light_colour: wp.vec3
    tint: wp.vec3
    saturation: wp.float32
    mottling: wp.float32
    vessel_strength: wp.float32
    vessel_frequency: wp.float32
    wetness: wp.float32
    roughness: wp.float32
    bump: wp.float32
    spot: wp.float32
    ambient: wp.float32
    vignette: wp.float32
    shot_noise: wp.float32
    read_noise: wp.float32
    texture_offset: wp.vec3
    seed: wp.uint32


@wp.struct
class Tissue:
    """Optical properties of one object."""

    colour: wp.vec3
    vessel_colour: wp.vec3
    roughness: wp.float32
    specular: wp.float32
    wetness: wp.float32
    translucency: wp.float32
    vessel_density: wp.float32
    bump_slope: wp.float32
    bump_frequency: wp.float32
    label: wp.uint8


@wp.func
def _light(source: wp.vec3, p: wp.vec3, n: wp.vec3, ray: wp.vec3, wrap: float, spot: float, alpha2: float) -> wp.vec2:
    """Return the irradiance and the specular reflection of one light guide."""
    to_light = source - p
    square = wp.length_sq(to_light)
    towards = to_light / wp.sqrt(square)
    beam = wp.pow(wp.max(-towards[2], 0.05), spot) / wp.max(square, 1.0e-6)
    facing = wp.dot(n, towards)
    diffuse = wp.max((facing + wrap) / (1.0 + wrap), 0.0)
    half = wp.normalize(towards - ray)
    nh = wp.max(wp.dot(n, half), 0.0)
    lh = wp.max(wp.dot(towards, half), 0.05)
    spread = nh * nh * (alpha2 - 1.0) + 1.0
    shine = alpha2 / (4.0 * 3.14159 * spread * spread * lh * lh) * wp.clamp(facing * 8.0, 0.0, 1.0)
    return wp.vec2(beam * diffuse, beam * shine)


@wp.func
def _encode(tone: wp.array[float], gauss: wp.array[float], look: Look, light: float, bits: wp.uint32) -> wp.uint8:
    noise = gauss[int(bits & wp.uint32(4095))]
    seen = wp.max(
        light + wp.sqrt(look.shot_noise * look.shot_noise * light + look.read_noise * look.read_noise) * noise, 0.0
    )
    return wp.uint8(tone[int(seen / (1.0 + seen) * float(_TONE - 1) + 0.5)])


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
    vertices: wp.array[wp.vec3],
    vertex_shape: wp.array[wp.vec4],
    triangles: wp.array[wp.vec3i],
    triangle_object: wp.array[int],
    tissues: wp.array[Tissue],
    tone: wp.array[float],
    gauss: wp.array[float],
    luminance: wp.array[float],
    rgb: wp.array[wp.vec3ub],
    semantic: wp.array[wp.uint8],
    instance: wp.array[wp.uint16],
    normal: wp.array[wp.vec3],
) -> None:
    """Shade one pixel and write all its channels."""
    pixel = first_pixel + wp.tid()  # type: ignore[operator]  # an int in a one-dimensional launch
    index = triangle[pixel]
    look = looks[0]
    if index < 0:
        luminance[pixel] = 0.0
        rgb[pixel] = wp.vec3ub(wp.uint8(0), wp.uint8(0), wp.uint8(0))
        semantic[pixel] = wp.uint8(0)
        instance[pixel] = wp.uint16(0)
        normal[pixel] = wp.vec3(0.0, 0.0, 0.0)
        return
    owner = triangle_object[index]
    tissue = tissues[owner]
    corner = triangles[index]
    ray = rays[pixel]
    rotation = pose[0].rotation
    a = vertices[corner[0]]
    flat = rotation * wp.normalize(wp.cross(vertices[corner[1]] - a, vertices[corner[2]] - a))
    if wp.dot(flat, ray) > 0.0:
        flat = -flat
    normal[pixel] = flat
    semantic[pixel] = tissue.label
    instance[pixel] = wp.uint16(owner + 1)

    u = weights[pixel][0]
    v = weights[pixel][1]
    shape = u * vertex_shape[corner[0]] + v * vertex_shape[corner[1]] + (1.0 - u - v) * vertex_shape[corner[2]]
    n = wp.normalize(rotation * wp.vec3(shape[0], shape[1], shape[2]))
    p = ray * (depth[pixel] / ray[2])

    alpha = tissue.roughness * look.roughness
    alpha2 = alpha * alpha
    wrap = 0.35 * tissue.translucency
    lit = _light(look.light_a, p, n, ray, wrap, look.spot, alpha2) + _light(
        look.light_b, p, n, ray, wrap, look.spot, alpha2
    )
    square = wp.length_sq(p)
    around = look.ambient * 0.12 / (square + 4.0e-4) * (1.0 - 0.5 * shape[3])
    albedo = wp.cw_mul(tissue.colour, look.tint)
    grey = wp.dot(albedo, wp.vec3(0.3, 0.6, 0.1))
    albedo = wp.vec3(grey, grey, grey) + look.saturation * (albedo - wp.vec3(grey, grey, grey))
    indirect = wp.cw_mul(albedo, albedo) * around
    shine = tissue.specular * tissue.wetness * look.wetness * lit[1]
    light = wp.cw_mul(look.light_colour, albedo * lit[0] + indirect + wp.vec3(shine, shine, shine))
    light = light * ((1.0 - look.vignette * vignette[pixel]) * look.gain)
    luminance[pixel] = wp.dot(light, wp.vec3(0.2126, 0.7152, 0.0722))

    state = wp.rand_init(int(look.seed), pixel)
    bits = wp.randu(state)
    rgb[pixel] = wp.vec3ub(
        _encode(tone, gauss, look, light[0], bits),
        _encode(tone, gauss, look, light[1], bits >> wp.uint32(10)),
        _encode(tone, gauss, look, light[2], bits >> wp.uint32(20)),
    )

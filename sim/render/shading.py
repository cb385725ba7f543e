"""Colour and ground truth of every pixel from the visibility buffer, in one pass.

The colour is that of wet mucosa under one or two light guides beside the lens: inverse-square light, softened by light
that spreads in the tissue; a wet film with narrow highlights on a relief that the mesh does not resolve; blood that
varies slowly, and vessels; light from the walls around; then the sensor's noise, a soft shoulder, and sRGB.
"""

import warp as wp

from sim.render.raster import Pose
from sim.render.textures import NOISE_LEVELS, NOISE_SIZE, NOISE_WAVES
from sim.render.vessels import VESSEL_LEVELS, VESSEL_SIZE

wp.set_module_options({"enable_backward": False})

TONE_SIZE = 4096
"""Entries of the table from linear light to the 8-bit code, evenly spaced in x / (1 + x)."""
GAUSS_SIZE = 1024
"""Entries of the table of normal quantiles."""
_TONE = wp.constant(TONE_SIZE)
_NOISE = wp.constant(NOISE_SIZE)
_VESSELS = wp.constant(VESSEL_SIZE)
_VESSEL_LEVELS = wp.constant(VESSEL_LEVELS)
_NOISE_LEVELS = wp.constant(NOISE_LEVELS)
_TEXELS_A_BUMP = wp.constant(float(NOISE_SIZE / NOISE_WAVES))
_STAIN_TEXELS = wp.constant(800.0)  # per metre; a stain's wave is some 16 texels, so 20 mm


@wp.struct
class Look:
    """What changes from frame to frame besides the pose; positions and directions in world axes."""

    gain: wp.float32
    light_a: wp.vec3
    light_b: wp.vec3
    axis: wp.vec3
    light_colour: wp.vec3
    tint: wp.vec3
    saturation: wp.float32
    mottling: wp.float32
    vessel_strength: wp.float32
    vessel_frequency: wp.float32
    vessel_octave: wp.float32
    wetness: wp.float32
    roughness: wp.float32
    bump: wp.float32
    spot: wp.float32
    ambient: wp.float32
    vignette: wp.float32
    shot_noise: wp.float32
    read_noise: wp.float32
    texture_offset: wp.vec3
    pixel_angle: wp.float32
    seed: wp.uint32


@wp.struct
class Tissue:
    """Optical properties of one object."""

    colour: wp.vec3
    absorption: wp.vec3
    vessel_colour: wp.vec3
    alpha: wp.float32
    specular: wp.float32
    wrap: wp.float32
    vessel_density: wp.float32
    bump_slope: wp.float32
    bump_frequency: wp.float32
    bump_octave: wp.float32
    label: wp.uint8


@wp.func
def _noise(volumes: wp.array[wp.vec4], level: int, place: wp.vec3) -> wp.vec4:
    """Fetch the tileable noise, linear in the six tetrahedra of a cell; `place` in finest texels."""
    size = _NOISE >> level
    mask = size - 1
    # The sizes before this level add up to a geometric series.
    start = (_NOISE * _NOISE * _NOISE - size * size * size) * 8 / 7
    at = place * (float(size) / float(_NOISE))
    fx = wp.floor(at[0])
    fy = wp.floor(at[1])
    fz = wp.floor(at[2])
    x = at[0] - fx
    y = at[1] - fy
    z = at[2] - fz
    x0 = int(fx) & mask
    x1 = (x0 + 1) & mask
    y0 = int(fy) & mask
    y1 = ((y0 + 1) & mask) * size
    y0 = y0 * size
    z0 = int(fz) & mask
    z1 = start + ((z0 + 1) & mask) * size * size
    z0 = start + z0 * size * size
    most = wp.max(x, wp.max(y, z))
    least = wp.min(x, wp.min(y, z))
    middle = x + y + z - most - least
    second = wp.where(x == most, x1 + y0 + z0, wp.where(y == most, x0 + y1 + z0, x0 + y0 + z1))
    third = wp.where(z == least, x1 + y1 + z0, wp.where(y == least, x1 + y0 + z1, x0 + y1 + z1))
    return (
        (1.0 - most) * volumes[x0 + y0 + z0]
        + (most - middle) * volumes[second]
        + (middle - least) * volumes[third]
        + least * volumes[x1 + y1 + z1]
    )


@wp.func
def _vessel(images: wp.array[float], start: int, size: int, u: float, v: float) -> float:
    """Fetch one level of the vessel image, linearly interpolated; `u` and `v` in tiles."""
    x = u * float(size)
    y = v * float(size)
    fx = wp.floor(x)
    fy = wp.floor(y)
    x0 = int(fx) & (size - 1)
    y0 = start + (int(fy) & (size - 1)) * size
    x1 = (x0 + 1) & (size - 1)
    y1 = start + ((int(fy) + 1) & (size - 1)) * size
    top = wp.lerp(images[x0 + y0], images[x1 + y0], x - fx)
    bottom = wp.lerp(images[x0 + y1], images[x1 + y1], x - fx)
    return wp.lerp(top, bottom, y - fy)


@wp.func
def _vessels(images: wp.array[float], place: wp.vec3, n: wp.vec3, level: int) -> float:
    """Project the vessel image along the axes, blended by the normal; `place` in tiles."""
    size = _VESSELS >> level
    start = (_VESSELS * _VESSELS - size * size) * 4 / 3
    x = n[0] * n[0] * n[0] * n[0]
    y = n[1] * n[1] * n[1] * n[1]
    z = n[2] * n[2] * n[2] * n[2]
    least = 0.25 * (x + y + z)
    total = wp.float32(0.0)
    weight = wp.float32(1.0e-6)
    if x > least:
        total += (x - least) * _vessel(images, start, size, place[1], place[2])
        weight += x - least
    if y > least:
        total += (y - least) * _vessel(images, start, size, place[2] + 0.37, place[0] + 0.61)
        weight += y - least
    if z > least:
        total += (z - least) * _vessel(images, start, size, place[0] + 0.19, place[1] + 0.83)
        weight += z - least
    return total / weight


@wp.func
def _light(source: wp.vec3, look: Look, p: wp.vec3, n: wp.vec3, ray: wp.vec3, wrap: float, alpha2: float) -> wp.vec2:
    """Return what one light guide gives: light on the tissue, and what a film of reflectance 1 mirrors."""
    towards = source - p
    square = wp.max(wp.length_sq(towards), 1.0e-6)
    towards = towards / wp.sqrt(square)
    cosine = wp.max(-wp.dot(towards, look.axis), 0.02)
    beam = cosine / ((cosine + look.spot * (1.0 - cosine)) * square)
    facing = wp.dot(n, towards)
    diffuse = wp.max((facing + wrap) / ((1.0 + wrap) * (1.0 + wrap)), 0.0)
    half = wp.normalize(towards - ray)
    nh = wp.max(wp.dot(n, half), 0.0)
    lh = wp.max(wp.dot(towards, half), 0.1)
    spread = nh * nh * (alpha2 - 1.0) + 1.0
    # GGX with the visibility of Kelemen and Szirmay-Kalos; the albedo is without the 1 / pi, so is this.
    shine = alpha2 / (4.0 * spread * spread * lh * lh) * wp.clamp(facing * 6.0, 0.0, 1.0)
    return wp.vec2(beam * diffuse, beam * shine)


@wp.func
def _encode(tone: wp.array[float], light: float, deviation: float) -> wp.uint8:
    seen = wp.max(light + deviation, 0.0)
    return wp.uint8(tone[int(seen / (1.0 + seen) * float(_TONE - 1) + 0.5)])


@wp.kernel
def stain(
    looks: wp.array[Look], volumes: wp.array[wp.vec4], vertices: wp.array[wp.vec3], vertex_stain: wp.array[float]
) -> None:
    """Give each vertex the slow part of the tissue's stain, which needs no finer grid than the mesh."""
    vertex = wp.tid()
    vertex_stain[vertex] = _noise(volumes, 1, (vertices[vertex] + looks[0].texture_offset) * _STAIN_TEXELS)[3]


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
    vertex_stain: wp.array[float],
    triangles: wp.array[wp.vec3i],
    triangle_object: wp.array[int],
    tissues: wp.array[Tissue],
    tone: wp.array[float],
    gauss: wp.array[float],
    volumes: wp.array[wp.vec4],
    vessels: wp.array[float],
    luminance: wp.array[float],
    rgb: wp.array[wp.vec3ub],
    semantic: wp.array[wp.uint8],
    instance: wp.array[wp.uint16],
    normal: wp.array[wp.vec3],
) -> None:
    """Shade one pixel and write all its channels."""
    pixel = first_pixel + wp.tid()  # type: ignore[operator]  # an int in a one-dimensional launch
    index = triangle[pixel]
    if index < 0:
        luminance[pixel] = 0.0
        rgb[pixel] = wp.vec3ub(wp.uint8(0), wp.uint8(0), wp.uint8(0))
        semantic[pixel] = wp.uint8(0)
        instance[pixel] = wp.uint16(0)
        normal[pixel] = wp.vec3(0.0, 0.0, 0.0)
        return
    look = looks[0]
    owner = triangle_object[index]
    tissue = tissues[owner]
    corner = triangles[index]
    rotation = pose[0].rotation
    ray_camera = rays[pixel]
    ray = wp.transpose(rotation) * ray_camera
    distance = depth[pixel] / ray_camera[2]
    p = pose[0].position + ray * distance

    a = vertices[corner[0]]
    flat = wp.normalize(wp.cross(vertices[corner[1]] - a, vertices[corner[2]] - a))
    if wp.dot(flat, ray) > 0.0:
        flat = wp.neg(flat)
    normal[pixel] = rotation * flat
    semantic[pixel] = tissue.label
    instance[pixel] = wp.uint16(owner + 1)

    u = weights[pixel][0]
    v = weights[pixel][1]
    shape = u * vertex_shape[corner[0]] + v * vertex_shape[corner[1]] + (1.0 - u - v) * vertex_shape[corner[2]]
    n = wp.normalize(wp.vec3(shape[0], shape[1], shape[2]))
    # Towards an outline the smooth normal may point away from the camera, where the surface does not.
    away = wp.dot(n, ray)
    if away > -0.08:
        n = wp.normalize(n - (away + 0.08) * ray)

    # A pixel's footprint on the surface decides how fine a texture it sees.
    place = p + look.texture_offset
    footprint = distance * look.pixel_angle / wp.max(-away, 0.25)
    octave = wp.log2(footprint)
    texels = tissue.bump_frequency * _TEXELS_A_BUMP
    level = wp.clamp(int(octave + tissue.bump_octave), 0, _NOISE_LEVELS - 1)
    relief = _noise(volumes, level, place * texels)
    slope = tissue.bump_slope * look.bump
    gradient = wp.vec3(relief[0], relief[1], relief[2]) * slope
    bumpy = wp.normalize(n - gradient + wp.dot(gradient, n) * n)

    # What a pixel cannot resolve of the relief and of the mesh's own curvature widens the highlight.
    alpha = tissue.alpha * look.roughness
    alpha2 = alpha * alpha + 0.04 * float(level) * slope * slope + footprint * footprint * 2.0e3
    lit = _light(look.light_a, look, p, bumpy, ray, tissue.wrap, alpha2) + _light(
        look.light_b, look, p, bumpy, ray, tissue.wrap, alpha2
    )

    # Blood: its amount varies, and vessels hold more of it.
    slow = u * vertex_stain[corner[0]] + v * vertex_stain[corner[1]] + (1.0 - u - v) * vertex_stain[corner[2]]
    blood = wp.clamp(look.mottling * (0.07 * slow + 0.05 * relief[3]) + 0.1 * shape[3], -0.3, 0.3)
    albedo = wp.cw_mul(tissue.colour, wp.vec3(1.0, 1.0, 1.0) - blood * tissue.absorption)
    vessel_level = wp.clamp(int(octave + look.vessel_octave), 0, _VESSEL_LEVELS - 1)
    vessel = _vessels(vessels, place * look.vessel_frequency, n, vessel_level)
    vessel = wp.clamp(vessel * tissue.vessel_density * look.vessel_strength * (1.0 + 0.4 * slow), 0.0, 1.0)
    albedo = wp.lerp(albedo, tissue.vessel_colour, vessel)
    albedo = wp.cw_mul(albedo, look.tint)
    grey = wp.dot(albedo, wp.vec3(0.2126, 0.7152, 0.0722))
    albedo = wp.vec3(grey, grey, grey) * (1.0 - look.saturation) + albedo * look.saturation

    # Light that walls throw at each other: it falls off more slowly than the direct light, and each bounce reddens it.
    around = look.ambient * 0.10 / (distance * distance + 3.0e-4) * (1.0 - 0.6 * shape[3])
    indirect = wp.cw_mul(albedo, albedo) * around
    shine = tissue.specular * look.wetness * lit[1]
    light = albedo * lit[0] + indirect + wp.vec3(shine, shine, shine)
    light = wp.cw_mul(look.light_colour, light) * ((1.0 - look.vignette * vignette[pixel]) * look.gain)
    brightness = wp.dot(light, wp.vec3(0.2126, 0.7152, 0.0722))
    luminance[pixel] = brightness

    bits = wp.randu(wp.rand_init(int(look.seed), pixel))
    sigma = wp.sqrt(look.shot_noise * look.shot_noise * brightness + look.read_noise * look.read_noise)
    rgb[pixel] = wp.vec3ub(
        _encode(tone, light[0], sigma * gauss[int(bits & wp.uint32(1023))]),
        _encode(tone, light[1], sigma * gauss[int((bits >> wp.uint32(10)) & wp.uint32(1023))]),
        _encode(tone, light[2], sigma * gauss[int((bits >> wp.uint32(20)) & wp.uint32(1023))]),
    )

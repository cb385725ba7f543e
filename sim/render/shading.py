"""Colour and ground truth of every pixel from the visibility buffer, in one pass.

The colour is that of wet mucosa under one or two light guides beside the lens: inverse-square light, softened by light
that spreads in the tissue; a wet film with narrow highlights on a relief that the mesh does not resolve; blood that
varies slowly, and vessels; light from the walls around; then the sensor's noise, a soft shoulder, and sRGB.
"""

# mypy: disable-error-code="index"
# (Warp's stubs give vectors of whole numbers no items.)

import warp as wp

from sim.render.moving import Surface, at_rest, from_rest, to_rest
from sim.render.raster import Pose
from sim.render.textures import NOISE_LEVELS, NOISE_SIZE
from sim.render.vessels import VESSEL_LEVELS, VESSEL_SIZE

wp.set_module_options({"enable_backward": False})

TONE_SIZE = 4096
"""Entries of the table from linear light to the 8-bit code: 256 for each of 16 octaves from 2^-13."""
TONE_FIRST = 114 << 8
"""The upper 16 bits of the 32-bit float 2^-13, less its sign bit: what a light's own upper bits are counted from."""
GAUSS_SIZE = 1024
"""Entries of the table of normal quantiles."""
_TONE = wp.constant(TONE_SIZE)
_TONE_FIRST = wp.constant(TONE_FIRST)
_NOISE = wp.constant(NOISE_SIZE)
_VESSELS = wp.constant(VESSEL_SIZE)
_VESSEL_LEVELS = wp.constant(VESSEL_LEVELS)
_NOISE_LEVELS = wp.constant(NOISE_LEVELS)
# Turned, so that no wall of a scene built along the axes shows the volume's period: a third of a turn less 0.4 rad.
_TURN = wp.constant(wp.mat33(0.7071, -0.5, 0.5, 0.5, 0.8536, 0.1464, -0.5, 0.1464, 0.8536))
_UNTURN = wp.constant(wp.mat33(0.7071, 0.5, -0.5, -0.5, 0.8536, 0.1464, 0.5, 0.1464, 0.8536))
_NOISE_BITS = wp.constant(NOISE_SIZE.bit_length() - 1)
_A_TEXEL = wp.constant(1.0 / NOISE_SIZE)
_FILM_RELIEF = wp.constant(0.55)  # chosen after real highlights, which are blobs: surface tension levels the film
# Interreflection, fitted to path-traced frames of a synthetic colon (docs/rendering.md): the square of the distance at
# which the walls' own light begins to fall off [m^2], and the share of it that meets a wall again.
_LUMEN = wp.constant(0.028 * 0.028)
_AGAIN = wp.constant(0.88)
_PIT = wp.constant(4.5)  # waves of the pits' pattern in one of the relief's stain
_STAIN_TEXELS = wp.constant(500.0)  # per metre; a stain's wave is some 12 texels, so 24 mm


@wp.struct
class Look:
    """What changes from frame to frame besides the pose; positions and directions in world axes."""

    light: wp.vec3
    light_a: wp.vec3
    light_b: wp.vec3
    axis: wp.vec3
    light_colour: wp.vec3
    texture_offset: wp.vec3
    spot: wp.float32
    ambient: wp.float32
    gain: wp.float32
    vessel_frequency: wp.float32
    vessel_texels: wp.float32
    pixel_angle: wp.float32
    vignette: wp.float32
    shot_noise: wp.float32
    read_noise: wp.float32
    seed: wp.uint32
    shadows: wp.bool


@wp.struct
class Tissue:
    """Optical properties of one object under one look."""

    colour: wp.vec3
    blood: wp.vec3
    vessel_colour: wp.vec3
    alpha2: wp.float32
    lost: wp.float32
    film: wp.float32
    wrap: wp.float32
    vessel_strength: wp.float32
    bump_slope: wp.float32
    texels: wp.float32
    mottling: wp.float32
    pits: wp.float32
    label: wp.uint8
    instance: wp.uint16


@wp.func
def noise_cell(level: int, place: wp.vec3) -> tuple[wp.vec4i, wp.vec3]:
    """Return the four texels whose tetrahedron holds a place, and its first three weights; `place` in finest texels."""
    bits = _NOISE_BITS - level
    mask = (1 << bits) - 1
    # The sizes before this level add up to a geometric series.
    start = (_NOISE * _NOISE * _NOISE - (1 << (3 * bits))) * 8 / 7
    at = place * (float(1 << bits) * _A_TEXEL)
    fx = wp.floor(at[0])
    fy = wp.floor(at[1])
    fz = wp.floor(at[2])
    x = at[0] - fx
    y = at[1] - fy
    z = at[2] - fz
    x0 = int(fx) & mask
    x1 = (x0 + 1) & mask
    y0 = (int(fy) & mask) << bits
    y1 = ((int(fy) + 1) & mask) << bits
    z0 = start + ((int(fz) & mask) << (2 * bits))
    z1 = start + (((int(fz) + 1) & mask) << (2 * bits))
    most = wp.max(x, wp.max(y, z))
    least = wp.min(x, wp.min(y, z))
    middle = x + y + z - most - least
    second = wp.where(x == most, x1 + y0 + z0, wp.where(y == most, x0 + y1 + z0, x0 + y0 + z1))
    third = wp.where(z == least, x1 + y1 + z0, wp.where(y == least, x1 + y0 + z1, x0 + y1 + z1))
    return wp.vec4i(x0 + y0 + z0, second, third, x1 + y1 + z1), wp.vec3(1.0 - most, most - middle, middle - least)


@wp.func
def noise_in(volumes: wp.array[wp.vec4], texels: wp.vec4i, share: wp.vec3) -> wp.vec4:
    """Fetch the tileable noise, linear in the six tetrahedra of a cell."""
    return (
        share[0] * volumes[texels[0]]
        + share[1] * volumes[texels[1]]
        + share[2] * volumes[texels[2]]
        + (1.0 - share[0] - share[1] - share[2]) * volumes[texels[3]]
    )


@wp.func
def _noise(volumes: wp.array[wp.vec4], level: int, place: wp.vec3) -> wp.vec4:
    texels, share = noise_cell(level, place)
    return noise_in(volumes, texels, share)


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
    return tone[wp.clamp(bits - _TONE_FIRST, 0, _TONE - 1)]


@wp.func
def _octave(x: float) -> int:
    """Return the whole part of the binary logarithm of a positive number."""
    return (wp.cast(x, wp.int32) >> 23) - 127


@wp.kernel
def stain(
    looks: wp.array[Look], volumes: wp.array[wp.vec4], vertices: wp.array[wp.vec3], vertex_stain: wp.array[float]
) -> None:
    """Give each vertex the slow part of the tissue's stain, which needs no finer grid than the mesh."""
    vertex = wp.tid()
    vertex_stain[vertex] = _noise(volumes, 0, (vertices[vertex] + looks[0].texture_offset) * _STAIN_TEXELS)[3]


@wp.func
def facing_camera(n: wp.vec3, ray: wp.vec3) -> wp.vec3:
    """Turn a smooth normal that looks away from the camera, as towards an outline, where the surface does not."""
    return n - wp.max(wp.dot(n, ray) + 0.08, 0.0) * ray


@wp.func
def footprint_of(look: Look, n: wp.vec3, ray: wp.vec3, distance: float) -> float:
    """Return how wide a pixel is on the surface [m], which decides how fine a texture it sees; `n` as interpolated."""
    return distance * look.pixel_angle / wp.max(-wp.dot(n, ray), 0.25)


@wp.func
def relief_level(footprint: float, texels: float) -> int:
    """Return the level of the noise for a footprint [m], texels per metre."""
    return wp.clamp(_octave(footprint * texels) + 1, 0, _NOISE_LEVELS - 1)


@wp.func
def relief_place(place: wp.vec3, texels: float) -> wp.vec3:
    """Return where in the noise a place [m] lies."""
    return _TURN * (place * texels)


@wp.func
def slope_of(relief: wp.vec4, tissue: Tissue) -> wp.vec3:
    """Return the gradient of the tissue's relief."""
    return (_UNTURN * wp.vec3(relief[0], relief[1], relief[2])) * tissue.bump_slope


@wp.func
def lobe_of(tissue: Tissue, level: int, footprint: float) -> float:
    """Return the highlight's width, squared: what a pixel cannot resolve of relief and mesh makes it wider."""
    return tissue.alpha2 + tissue.lost * float(level) + footprint * footprint * 2.0e3


@wp.func
def albedo_of(
    look: Look,
    tissue: Tissue,
    volumes: wp.array[wp.vec4],
    vessels: wp.array[float],
    place: wp.vec3,
    n_rest: wp.vec3,
    footprint: float,
    grain: float,
    slow: float,
    cavity: float,
) -> wp.vec3:
    """Return the tissue's colour: the amount of blood varies, and vessels hold more of it."""
    blood = wp.clamp(tissue.mottling * (0.055 * slow + 0.05 * grain) + 0.1 * cavity, -0.3, 0.3)
    if tissue.pits > 0.0:
        # A finer wave of the same stain: what lies below a pixel is left out.
        fine = footprint * tissue.texels * _PIT
        if fine < 8.0:
            pit = _noise(
                volumes, wp.clamp(_octave(fine) + 1, 0, _NOISE_LEVELS - 1), _TURN * (place * (tissue.texels * _PIT))
            )
            blood += tissue.pits * pit[3] * (1.0 - 0.125 * fine) * 0.3
    vessel_level = wp.clamp(_octave(footprint * look.vessel_texels), 0, _VESSEL_LEVELS - 1)
    vessel = _vessels(vessels, place * look.vessel_frequency, n_rest, vessel_level)
    vessel = wp.clamp(vessel * tissue.vessel_strength * (1.0 + 0.4 * slow), 0.0, 1.0)
    return wp.lerp(tissue.colour - blood * tissue.blood, tissue.vessel_colour, vessel)


@wp.func
def _unit(v: wp.vec3) -> wp.vec3:
    """Scale to length 1 without a branch, which would keep a loop from becoming vector instructions."""
    return v * (1.0 / wp.sqrt(wp.max(wp.length_sq(v), 1.0e-20)))


@wp.func
def light_from(
    look: Look,
    p: wp.vec3,
    ray: wp.vec3,
    distance: float,
    n: wp.vec3,
    gradient: wp.vec3,
    albedo: wp.vec3,
    alpha2: float,
    film: float,
    wrap: float,
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
    diffuse = beam * wp.max(facing + wrap, 0.0) / ((1.0 + wrap) * (1.0 + wrap))
    # The film's own surface is smoother than the relief that it covers.
    wet = _unit(n - _FILM_RELIEF * level)
    mirrored = ray - (2.0 * wp.dot(ray, wet)) * wet
    shine = _shine(look.light_a - p, look.light_b - p, mirrored, alpha2)
    shine = shine * beam * wp.clamp(facing * 6.0, 0.0, 1.0) * film
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
def picture_of(
    tone: wp.array[wp.uint8], gauss: wp.array[float], seed: wp.uint32, pixel: int, light: wp.vec3, sigma: float
) -> wp.vec3ub:
    """Return the code of a pixel, with the sensor's noise."""
    bits = wp.rand_init(int(seed), pixel)
    return wp.vec3ub(
        _encode(tone, light[0], sigma * gauss[int(bits & wp.uint32(1023))]),
        _encode(tone, light[1], sigma * gauss[int((bits >> wp.uint32(10)) & wp.uint32(1023))]),
        _encode(tone, light[2], sigma * gauss[int((bits >> wp.uint32(20)) & wp.uint32(1023))]),
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
    relief = _noise(volumes, level, relief_place(place, tissue.texels))
    gradient = slope_of(relief, tissue)
    if moved:
        gradient = from_rest(surface, corner, gradient)
    albedo = albedo_of(look, tissue, volumes, vessels, place, n_rest, footprint, relief[3], slow, shape[3])
    alpha2 = lobe_of(tissue, level, footprint)
    return light_from(
        look, p, ray, distance, n, gradient, albedo, alpha2, tissue.film, tissue.wrap, shape[3], vignette, lit
    )


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
    index = triangle[pixel]
    if index < 0:
        luminance[pixel] = 0.0
        rgb[pixel] = wp.vec3ub(wp.uint8(0), wp.uint8(0), wp.uint8(0))
        semantic[pixel] = wp.uint8(0)
        instance[pixel] = wp.uint16(0)
        normal[pixel] = wp.vec3(0.0, 0.0, 0.0)
        return
    look = looks[0]
    corner = triangles[index]
    tissue = tissues[corner[3]]
    normal[pixel] = pose[0].rotation * flat_normal[index]
    semantic[pixel] = tissue.label
    instance[pixel] = tissue.instance
    light = light_of(
        pose[0],
        look,
        tissue,
        rays[pixel],
        depth[pixel],
        corner,
        weights[pixel],
        surface,
        vertex_shape,
        vertex_stain,
        volumes,
        vessels,
        vignette[pixel],
        lit[pixel],
    )
    brightness = brightness_of(light)
    luminance[pixel] = brightness
    sigma = deviation_of(look, brightness * look.gain)
    rgb[pixel] = picture_of(tone, gauss, look.seed, pixel, light * look.gain, sigma)

"""The tissue's texture where a pixel sees it: relief and stain from a volume of noise, and vessels.

Where in the textures a point lies, what is fetched there, and what follows from it are functions of their own, so that
a CPU does each for many pixels in turn.
"""

# mypy: disable-error-code="index"
# (Warp's stubs give vectors of whole numbers no items.)

import warp as wp

from sim.render.plain import get, get_vec4
from sim.render.records import Look, Tissue
from sim.render.textures import NOISE_LEVELS, NOISE_SIZE
from sim.render.vessels import VESSEL_LEVELS, VESSEL_SIZE, VESSEL_TEXELS

wp.set_module_options({"enable_backward": False})

_NOISE = wp.constant(NOISE_SIZE)
_VESSELS = wp.constant(VESSEL_SIZE)
_VESSEL_LEVELS = wp.constant(VESSEL_LEVELS)
_VESSEL_TEXELS = wp.constant(VESSEL_TEXELS)
_NOISE_LEVELS = wp.constant(NOISE_LEVELS)
# Turned, so that no wall of a scene built along the axes shows the volume's period: a third of a turn less 0.4 rad.
_TURN = wp.constant(wp.mat33(0.7071, -0.5, 0.5, 0.5, 0.8536, 0.1464, -0.5, 0.1464, 0.8536))
_UNTURN = wp.constant(wp.mat33(0.7071, 0.5, -0.5, -0.5, 0.8536, 0.1464, 0.5, 0.1464, 0.8536))
_NOISE_BITS = wp.constant(NOISE_SIZE.bit_length() - 1)
_A_TEXEL = wp.constant(1.0 / NOISE_SIZE)
_PIT = wp.constant(4.5)  # waves of the pits' pattern in one of the relief's stain
_STAIN_TEXELS = wp.constant(500.0)  # per metre; a stain's wave is some 12 texels, so 24 mm


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
        share[0] * get_vec4(volumes, texels[0])
        + share[1] * get_vec4(volumes, texels[1])
        + share[2] * get_vec4(volumes, texels[2])
        + (1.0 - share[0] - share[1] - share[2]) * get_vec4(volumes, texels[3])
    )


@wp.func
def _noise(volumes: wp.array[wp.vec4], level: int, place: wp.vec3) -> wp.vec4:
    texels, share = noise_cell(level, place)
    return noise_in(volumes, texels, share)


@wp.func
def vessel_level(look: Look, footprint: float) -> int:
    """Return the level of the vessel image for a footprint [m]."""
    return wp.clamp(_octave(footprint * look.vessel_texels), 0, _VESSEL_LEVELS - 1)


@wp.func
def vessel_pitch(level: int) -> int:
    """Return the texels from one row of a level to the next."""
    return (_VESSELS >> level) + 1


@wp.func
def vessel_shares(n: wp.vec3) -> wp.vec3:
    """Return how much the image projected along each axis counts, by the normal: 0 where it would be seen too flat."""
    x = n[0] * n[0] * n[0] * n[0]
    y = n[1] * n[1] * n[1] * n[1]
    z = n[2] * n[2] * n[2] * n[2]
    least = 0.25 * (x + y + z)
    return wp.vec3(wp.max(x - least, 0.0), wp.max(y - least, 0.0), wp.max(z - least, 0.0))


@wp.func
def vessel_place(axis: int, place: wp.vec3) -> wp.vec2:
    """Return where in the image a place lies that is projected along an axis, in tiles both."""
    along = wp.vec2(place[0] + 0.19, place[1] + 0.83)
    if axis == 0:
        along = wp.vec2(place[1], place[2])
    elif axis == 1:
        along = wp.vec2(place[2] + 0.37, place[0] + 0.61)
    return along


@wp.func
def vessel_cell(level: int, place: wp.vec2) -> tuple[int, wp.vec2]:
    """Return the first of the four texels around a place [tiles], and how far the place is on from it [texels]."""
    size = _VESSELS >> level
    # The levels before this one have 4 / 3 of what lies between their squares, and a margin on two sides.
    start = (_VESSELS * _VESSELS - size * size) / 3 * 4 + 4 * (_VESSELS - size) + level
    x = place[0] * float(size)
    y = place[1] * float(size)
    fx = wp.floor(x)
    fy = wp.floor(y)
    texel = start + (int(fy) & (size - 1)) * (size + 1) + (int(fx) & (size - 1))
    return texel, wp.vec2(x - fx, y - fy)


@wp.func
def vessel_in(images: wp.array[float], texel: int, pitch: int, on: wp.vec2) -> float:
    """Fetch the vessel image, linear between four texels."""
    top = wp.lerp(get(images, texel), get(images, texel + 1), on[0])
    bottom = wp.lerp(get(images, texel + pitch), get(images, texel + pitch + 1), on[0])
    return wp.lerp(top, bottom, on[1])


@wp.func
def deep_vessel_in(images: wp.array[float], texel: int, pitch: int, on: wp.vec2) -> float:
    """Fetch the part that deep vessels have in the vessel image."""
    return vessel_in(images, texel + _VESSEL_TEXELS, pitch, on)


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
def pits_in(tissue: Tissue, volumes: wp.array[wp.vec4], place: wp.vec3, footprint: float) -> float:
    """Return by how much pits change the amount of blood: a finer wave of the relief's stain."""
    blood = wp.float32(0.0)
    # What lies below a pixel is left out.
    fine = footprint * tissue.texels * _PIT
    if fine < 8.0:
        level = wp.clamp(_octave(fine) + 1, 0, _NOISE_LEVELS - 1)
        pit = _noise(volumes, level, _TURN * (place * (tissue.texels * _PIT)))
        blood = tissue.pits * pit[3] * (1.0 - 0.125 * fine) * 0.3
    return blood


@wp.func
def albedo_of(
    tissue: Tissue, grain: float, slow: float, cavity: float, pits: float, vessel: float, deep: float
) -> wp.vec3:
    """Return the tissue's colour: the amount of blood varies, and vessels hold more of it.

    Args:
        tissue: Its colours.
        grain: The relief's stain.
        slow: The slow stain of the vertices.
        cavity: How hollow the surface is.
        pits: As `pits_in` gives it.
        vessel: What is fetched of the vessel image.
        deep: What deep vessels have of it; 0 where a tissue's vessels are of one colour.
    """
    blood = wp.clamp(tissue.mottling * (0.055 * slow + 0.05 * grain) + 0.1 * cavity, -0.3, 0.3) + pits
    dark = wp.clamp(vessel * tissue.vessel_strength * (1.0 + 0.4 * slow), 0.0, 1.0)
    depth = wp.min(deep / wp.max(vessel, 1.0e-6), 1.0)
    vessel_colour = tissue.vessel_colour + (tissue.deep_colour - tissue.vessel_colour) * depth
    return wp.lerp(tissue.colour - blood * tissue.blood, vessel_colour, dark)

"""What a run of pixels shows before there is light: what the vertices say, and what the textures say."""

# mypy: disable-error-code="index"
# (Warp's stubs give vectors of whole numbers no items.)

import warp as wp

from sim.render.moving import Surface, at_rest, from_rest, to_rest
from sim.render.plain import get, get_vec2, get_whole, put, put_whole
from sim.render.raster import Pose
from sim.render.records import Look, Tissue
from sim.render.row_plan import (
    AT_CAVITY,
    AT_DEEP,
    AT_DISTANCE,
    AT_FOOTPRINT,
    AT_GRADIENT,
    AT_GRAIN,
    AT_LEVEL,
    AT_N,
    AT_N_REST,
    AT_ON,
    AT_PITS,
    AT_PLACE,
    AT_RAY,
    AT_RELIEF,
    AT_REST,
    AT_SHARE,
    AT_SLOW,
    AT_TEXEL,
    AT_VESSEL,
    AT_VESSEL_PITCH,
    AT_VESSEL_SHARES,
    PITCH,
    get3,
    get_ray,
    put3,
)
from sim.render.shading import facing_camera
from sim.render.texture import (
    deep_vessel_in,
    footprint_of,
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


@wp.func
def read_vertices(
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
        put3(run, x + AT_N, smooth)
        put(run, x + AT_CAVITY, shape[3])
        put(run, x + AT_SLOW, u * slow_a + v * slow_b + w * slow_c)
        if moved:
            # The texture is looked up where the point lies at rest.
            n = facing_camera(smooth, wp.transpose(rotation) * get_ray(rays, begin + x))
            put3(run, x + AT_REST, at_rest(surface, corner, u, v))
            put3(run, x + AT_N_REST, wp.normalize(to_rest(surface, corner, n)))
        x += 1
    return x


@wp.func
def find_texels(
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
        ray_camera = get_ray(rays, begin + x)
        ray = back * ray_camera
        distance = get(depth, begin + x) / ray_camera[2]
        p = pose.position + ray * distance
        smooth = get3(run, x + AT_N)
        n = facing_camera(smooth, ray)
        rest = get3(run, x + AT_REST)
        n_rest = get3(run, x + AT_N_REST)
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
        put3(run, x + AT_N, n)
        put3(run, x + AT_RAY, ray)
        put(run, x + AT_DISTANCE, distance)
        put(run, x + AT_FOOTPRINT, footprint)
        put3(run, x + AT_PLACE, place)
        put3(run, x + AT_SHARE, share)
        put3(run, x + AT_VESSEL_SHARES, shares)
        put(run, x + AT_ON, on_x[0])
        put(run, x + AT_ON + PITCH, on_x[1])
        put(run, x + AT_ON + 2 * PITCH, on_y[0])
        put(run, x + AT_ON + 3 * PITCH, on_y[1])
        put(run, x + AT_ON + 4 * PITCH, on_z[0])
        put(run, x + AT_ON + 5 * PITCH, on_z[1])
        put_whole(whole, x, cell[0])
        put_whole(whole, x + PITCH, cell[1])
        put_whole(whole, x + 2 * PITCH, cell[2])
        put_whole(whole, x + 3 * PITCH, cell[3])
        put_whole(whole, x + AT_LEVEL, level)
        put_whole(whole, x + AT_VESSEL_PITCH, vessel_pitch(size))
        put_whole(whole, x + AT_TEXEL, texel_x)
        put_whole(whole, x + AT_TEXEL + PITCH, texel_y)
        put_whole(whole, x + AT_TEXEL + 2 * PITCH, texel_z)
        x += 1


@wp.func
def read_textures(
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
            get_whole(whole, x + PITCH),
            get_whole(whole, x + 2 * PITCH),
            get_whole(whole, x + 3 * PITCH),
        )
        relief = noise_in(volumes, cell, get3(run, x + AT_SHARE))
        put3(run, x + AT_RELIEF, wp.vec3(relief[0], relief[1], relief[2]))
        put(run, x + AT_GRAIN, relief[3])
        if moved:
            corner = triangles[get_whole(triangle, begin + x)]
            put3(run, x + AT_GRADIENT, from_rest(surface, corner, slope_of(relief, tissue)))
        pits = wp.float32(0.0)
        if tissue.pits > 0.0:
            pits = pits_in(tissue, volumes, get3(run, x + AT_PLACE), get(run, x + AT_FOOTPRINT))
        put(run, x + AT_PITS, pits)
        pitch = get_whole(whole, x + AT_VESSEL_PITCH)
        vessel = wp.float32(0.0)
        deep = wp.float32(0.0)
        for axis in range(3):
            share = get(run, x + AT_VESSEL_SHARES + axis * PITCH)
            if share > 0.0:
                on = wp.vec2(get(run, x + AT_ON + 2 * axis * PITCH), get(run, x + AT_ON + (2 * axis + 1) * PITCH))
                texel = get_whole(whole, x + AT_TEXEL + axis * PITCH)
                vessel += share * vessel_in(vessels, texel, pitch, on)
                if tissue.layered:
                    deep += share * deep_vessel_in(vessels, texel, pitch, on)
        put(run, x + AT_VESSEL, vessel)
        put(run, x + AT_DEEP, deep)

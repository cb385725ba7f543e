"""Rays and shading of many environments in one launch each: a thread for each pixel of each environment."""

import warp as wp

from sim.render.channels import distance_of, light_distance_of, object_point_of, part_of
from sim.render.moving import Surface
from sim.render.raster import Pose
from sim.render.raycast import nearest
from sim.render.records import Look, Tissue
from sim.render.shading import shade_pixel

wp.set_module_options({"enable_backward": False})


@wp.struct
class Environment:
    """What the kernels need of one environment's scene and look; environments may share arrays."""

    mesh: wp.uint64
    """Warp's mesh of all triangles; 0 where there are none."""
    corners: wp.array[wp.vec4i]
    facing: wp.array[float]
    flat_normals: wp.array[wp.vec3]
    vertex_shape: wp.array[wp.vec4]
    vertex_stain: wp.array[float]
    tissues: wp.array[Tissue]
    tone: wp.array[wp.uint8]
    surface: Surface


@wp.kernel
def cast_all(
    poses: wp.array[Pose],
    environments: wp.array[Environment],
    rays: wp.array[wp.vec3],
    triangle: wp.array[int],
    weights: wp.array[wp.vec2],
    depth: wp.array[float],
) -> None:
    """Find the nearest triangle of one pixel, as `raycast.cast` does."""
    environment, pixel = wp.tid()  # type: ignore[misc]  # two in a two-dimensional launch
    at = environment * rays.shape[0] + pixel
    found = wp.int32(-1)
    share = wp.vec2(0.0, 0.0)
    z = wp.float32(0.0)
    scene = environments[environment]
    if scene.mesh != wp.uint64(0):
        found, share, z = nearest(poses[environment], scene.mesh, scene.corners, scene.facing, rays[pixel])
    triangle[at] = found
    weights[at] = share
    depth[at] = z


@wp.kernel
def shade_all(
    poses: wp.array[Pose],
    looks: wp.array[Look],
    environments: wp.array[Environment],
    rays: wp.array[wp.vec3],
    vignette: wp.array[float],
    gauss: wp.array[float],
    volumes: wp.array[wp.vec4],
    vessels: wp.array[float],
    triangle: wp.array[int],
    weights: wp.array[wp.vec2],
    depth: wp.array[float],
    luminance: wp.array[float],
    rgb: wp.array[wp.vec3ub],
    semantic: wp.array[wp.uint8],
    instance: wp.array[wp.uint16],
    normal: wp.array[wp.vec3],
) -> None:
    """Shade one pixel and write all its channels, as `shading.shade` does; without shadows."""
    environment, pixel = wp.tid()  # type: ignore[misc]  # two in a two-dimensional launch
    at = environment * rays.shape[0] + pixel
    scene = environments[environment]
    shade_pixel(
        pixel,
        at,
        poses[environment],
        looks[environment],
        rays[pixel],
        vignette[pixel],
        triangle,
        weights,
        depth,
        scene.surface,
        scene.flat_normals,
        scene.vertex_shape,
        scene.vertex_stain,
        scene.corners,
        scene.tissues,
        scene.tone,
        gauss,
        volumes,
        vessels,
        1.0,
        luminance,
        rgb,
        semantic,
        instance,
        normal,
    )


@wp.kernel
def add_all(
    poses: wp.array[Pose],
    looks: wp.array[Look],
    environments: wp.array[Environment],
    rays: wp.array[wp.vec3],
    triangle: wp.array[int],
    weights: wp.array[wp.vec2],
    depth: wp.array[float],
    part: wp.array[wp.uint16],
    distance: wp.array[float],
    object_point: wp.array[wp.vec3],
    light_distance: wp.array[float],
) -> None:
    """Write the channels on request of one pixel; those that nobody wants have arrays of no length."""
    environment, pixel = wp.tid()  # type: ignore[misc]  # two in a two-dimensional launch
    at = environment * rays.shape[0] + pixel
    scene = environments[environment]
    if part.shape[0] > 0:
        part[at] = part_of(triangle[at], scene.corners)
    if distance.shape[0] > 0:
        distance[at] = distance_of(depth[at], rays[pixel])
    if object_point.shape[0] > 0:
        object_point[at] = object_point_of(triangle[at], weights[at], scene.corners, scene.surface)
    if light_distance.shape[0] > 0:
        light = looks[environment].light
        light_distance[at] = light_distance_of(depth[at], rays[pixel], poses[environment], light)

"""Visibility by casting a ray for every pixel through Warp's bounding volume hierarchy: the way on CUDA."""

import warp as wp

from sim.render.raster import Pose

wp.set_module_options({"enable_backward": False})

_RETRIES = wp.constant(64)
"""Surfaces seen from their invisible side that one ray may pass."""


@wp.func
def nearest(
    pose: Pose, mesh: wp.uint64, corners: wp.array[wp.vec4i], facing: wp.array[float], ray: wp.vec3
) -> tuple[int, wp.vec2, float]:
    """Return the nearest triangle along a ray of the camera, the weights of its first two vertices, and z."""
    found = wp.int32(-1)
    share = wp.vec2(0.0, 0.0)
    z = wp.float32(0.0)
    if ray[2] > 0.0:
        origin = pose.position
        # Not a unit vector: with z = 1 in camera axes the parameter along it is the depth.
        direction = wp.transpose(pose.rotation) * (ray / ray[2])
        start = wp.float32(0.0)
        for _ in range(_RETRIES):
            query = wp.mesh_query_ray(mesh, origin + start * direction, direction, 1.0e6)
            if not query.result:
                break
            start = start + query.t
            if wp.dot(query.normal, direction) * facing[corners[query.face][3]] < 0.0:
                found = query.face
                share = wp.vec2(query.u, query.v)
                z = start
                break
            start = start * 1.000001 + 1.0e-7
    return found, share, z


@wp.kernel
def cast(
    pose: wp.array[Pose],
    mesh: wp.uint64,
    corners: wp.array[wp.vec4i],
    facing: wp.array[float],
    rays: wp.array[wp.vec3],
    triangle: wp.array[int],
    weights: wp.array[wp.vec2],
    depth: wp.array[float],
) -> None:
    """Find the nearest triangle of one pixel, the weights of its first two vertices, and z."""
    pixel = wp.tid()
    found, share, z = nearest(pose[0], mesh, corners, facing, rays[pixel])
    triangle[pixel] = found
    weights[pixel] = share
    depth[pixel] = z

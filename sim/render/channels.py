"""Ground truth beyond the usual channels, from the visibility buffer: a kernel for each, run only where asked for."""

# mypy: disable-error-code="arg-type, index, operator"
# (Warp's stubs give vectors of these kinds no operators.)

from typing import Any, Literal, get_args

import warp as wp

from assets.errors import InputError
from sim.render.moving import Surface, at_rest
from sim.render.raster import Pose

wp.set_module_options({"enable_backward": False})

Extra = Literal["part", "distance", "object_point", "light_distance"]
EXTRAS: tuple[Extra, ...] = get_args(Extra)
"""Channels that `Renderer.render` adds to a frame on request; see `sim.frame` for what they hold."""
KINDS: dict[Extra, Any] = {
    "part": wp.uint16,
    "distance": wp.float32,
    "object_point": wp.vec3,
    "light_distance": wp.float32,
}


@wp.func
def part_of(index: int, corners: wp.array[wp.vec4i]) -> wp.uint16:
    """Return 1 + the index of the object of a triangle, 0 for none."""
    found = wp.int32(0)
    if index >= 0:
        found = corners[index][3] + 1
    return wp.uint16(found)


@wp.func
def distance_of(z: float, ray: wp.vec3) -> float:
    """Return the way from the camera's centre to the seen point [m]."""
    found = wp.float32(0.0)
    if z > 0.0:
        found = z / ray[2]
    return found


@wp.func
def object_point_of(index: int, share: wp.vec2, corners: wp.array[wp.vec4i], surface: Surface) -> wp.vec3:
    """Return where the seen point lies on its object at rest [m]."""
    found = wp.vec3(0.0, 0.0, 0.0)
    if index >= 0:
        found = at_rest(surface, corners[index], share[0], share[1])
    return found


@wp.func
def light_distance_of(z: float, ray: wp.vec3, pose: Pose, light: wp.vec3) -> float:
    """Return the way from the light to the seen point [m]."""
    found = wp.float32(0.0)
    if z > 0.0:
        offset = pose.rotation * (light - pose.position)
        found = wp.length(ray * (z / ray[2]) - offset)
    return found


@wp.kernel
def part(first_pixel: int, triangle: wp.array[int], corners: wp.array[wp.vec4i], out: wp.array[wp.uint16]) -> None:
    """Write the parts."""
    pixel = first_pixel + wp.tid()
    out[pixel] = part_of(triangle[pixel], corners)


@wp.kernel
def distance(first_pixel: int, depth: wp.array[float], rays: wp.array[wp.vec3], out: wp.array[float]) -> None:
    """Write the distances."""
    pixel = first_pixel + wp.tid()
    out[pixel] = distance_of(depth[pixel], rays[pixel])


@wp.kernel
def object_point(
    first_pixel: int,
    triangle: wp.array[int],
    weights: wp.array[wp.vec2],
    corners: wp.array[wp.vec4i],
    surface: Surface,
    out: wp.array[wp.vec3],
) -> None:
    """Write the points on their objects."""
    pixel = first_pixel + wp.tid()
    out[pixel] = object_point_of(triangle[pixel], weights[pixel], corners, surface)


@wp.kernel
def light_distance(
    first_pixel: int,
    depth: wp.array[float],
    rays: wp.array[wp.vec3],
    pose: wp.array[Pose],
    light: wp.vec3,
    out: wp.array[float],
) -> None:
    """Write the distances from the light."""
    pixel = first_pixel + wp.tid()
    out[pixel] = light_distance_of(depth[pixel], rays[pixel], pose[0], light)


def chosen(channels: Any) -> tuple[Extra, ...]:
    """Return the channels asked for, each once, in the order of `EXTRAS`.

    Raises:
        InputError: There is no such channel.
    """
    unknown = sorted({str(name) for name in channels} - set(EXTRAS))
    if unknown:
        raise InputError(f"channels: expected some of {', '.join(EXTRAS)}, found {', '.join(unknown)}")
    return tuple(name for name in EXTRAS if name in channels)

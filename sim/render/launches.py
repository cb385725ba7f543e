"""The launches that make a picture, prepared once: a frame fills in the pose and the look, and starts them."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import warp as wp
from numpy.typing import NDArray

from sim.render import channels, raster, raycast, row_plan, shading, shading_rows, shadows
from sim.render.camera_arrays import CameraArrays
from sim.render.geometry import CLUSTER
from sim.render.scene import RenderScene

Method = Literal["raster", "raycast"]
Order = Literal["runs", "pixels"]
Bands = list[tuple[int, int]]
"""First row, and the one after the last."""


@dataclass(frozen=True)
class Launches:
    """What makes a picture, in this order; the jobs of one step may run at the same time."""

    list_clusters: Any
    """Lists what may be seen at all; None where rays are cast."""
    list_triangles: list[Any]
    see: list[Any]
    """Fill the visibility buffer, a band of rows each, or all at once."""
    throw_shadows: list[Any]
    shade: list[Any]
    """Write the channels, a band of rows each: the same bands, where there are as many."""


def prepare(
    scene: RenderScene, arrays: CameraArrays, vertex_stain: Any, *, method: Method, order: Order, threads: int
) -> Launches:
    """Prepare the launches for a scene's meshes as they are.

    Args:
        scene: What is seen.
        arrays: Of the camera.
        vertex_stain: The slow stain of each vertex of the scene.
        method: Rasterise or cast rays.
        order: Shade in runs, on the CPU only, or pixel by pixel.
        threads: How many will share the work.

    Raises:
        InputError: The device has too little memory.
    """
    bands = bands_of(arrays.camera.height, 2 * threads if threads > 1 else 1)
    cull: Any = None
    set_up: list[Any] = []
    if method == "raster":
        cull, set_up, see = _rasterise(scene, arrays, bands, threads)
    else:
        see = _cast(scene, arrays)
    return Launches(
        list_clusters=cull,
        list_triangles=set_up,
        see=see,
        throw_shadows=_throw_shadows(scene, arrays, bands),
        shade=_shade(scene, arrays, vertex_stain, bands, order),
    )


def prepare_extra(scene: RenderScene, arrays: CameraArrays, name: channels.Extra, out: Any, bands: Bands) -> list[Any]:
    """Prepare what writes one of the channels on request into `out`, from the visibility buffer as it will be.

    Where the light is goes in as it is now.
    """
    buffers = arrays.buffers
    light = wp.vec3(*map(float, arrays.look[0]["light"]))
    inputs: dict[channels.Extra, list[Any]] = {
        "part": [buffers["triangle"], scene.corners, out],
        "distance": [buffers["depth"], arrays.rays, out],
        "object_point": [buffers["triangle"], buffers["weights"], scene.corners, scene.surface, out],
        "light_distance": [buffers["depth"], arrays.rays, arrays.pose_array, light, out],
    }
    width, kernel = arrays.camera.width, getattr(channels, name)
    return [_launch(scene, kernel, (last - first) * width, [first * width, *inputs[name]]) for first, last in bands]


def bands_of(height: int, count: int) -> Bands:
    """Share the rows of a picture out evenly; a low picture has fewer bands."""
    rows = [int(row) for row in np.linspace(0, height, count + 1)]
    return [(first, last) for first, last in pairwise(rows) if first < last]


def _launch(scene: RenderScene, kernel: Any, dim: int, inputs: list[Any]) -> Any:
    return wp.launch(kernel, dim=dim, inputs=inputs, device=scene.device, record_cmd=True)


def _rasterise(scene: RenderScene, arrays: CameraArrays, bands: Bands, parts: int) -> tuple[Any, list[Any], list[Any]]:
    """Prepare the listing of triangles by parts, and their rasterisation by bands of rows."""
    device, count = scene.device, len(scene.geometry.triangles)
    width, height = arrays.camera.width, arrays.camera.height
    wp.load_module(raster, device=device)
    listed = [
        wp.zeros(count, dtype=wp.vec4i, device=device),
        wp.zeros((count, 4), dtype=wp.vec3, device=device),
        wp.zeros(count, dtype=wp.int32, device=device),
    ]
    counts = wp.zeros(2 * parts, dtype=wp.int32, device=device)
    seen = wp.zeros(len(scene.geometry.cluster_sphere) + 1, dtype=wp.int32, device=device)
    clusters = [
        scene.cluster_start,
        scene.cluster_vertex_start,
        scene.cluster_vertices,
        scene.cluster_corners,
        wp.zeros(3 * CLUSTER * parts, dtype=wp.vec3, device=device),
        wp.zeros(3 * CLUSTER * parts, dtype=wp.vec4, device=device),
    ]
    cull = _launch(scene, raster.cull, 1, [arrays.pose_array, arrays.lens, scene.cluster_sphere, seen])
    placed = [seen, arrays.pose_array, arrays.lens, arrays.lens_table, scene.surface.vertices]
    set_up = [
        _launch(scene, raster.set_up, 1, [part, parts, *placed, *clusters, *listed, counts]) for part in range(parts)
    ]
    stride = width + raster.LANES
    slopes = [scene.put(slope, wp.float32) for slope in _slope_rows(arrays, stride)]
    nearest = [wp.zeros(stride * height, dtype=kind, device=device) for kind in (wp.float32, wp.int32)]
    filled = [*slopes, counts, *listed, *nearest, *arrays.buffers.values()]
    see = [_launch(scene, raster.rasterise, 1, [first, last, width, stride, *filled]) for first, last in bands]
    return cull, set_up, see


def _slope_rows(arrays: CameraArrays, stride: int) -> list[NDArray[np.float32]]:
    """Lay the rays' x / z and y / z out in rows of `stride`; not a number where there is none."""
    laid = []
    for axis in range(2):
        rows = np.full((arrays.camera.height, stride), np.nan, np.float32)
        rows[:, : arrays.camera.width] = arrays.slopes[:, axis].reshape(rows.shape[0], -1)
        laid.append(rows.ravel())
    return laid


def _cast(scene: RenderScene, arrays: CameraArrays) -> list[Any]:
    """Prepare the rays of the whole picture."""
    mesh = scene.ray_mesh()
    if mesh is None:
        arrays.buffers["triangle"].fill_(-1)
        return []
    wp.load_module(raycast, device=scene.device)
    inputs = [arrays.pose_array, mesh.id, scene.corners, scene.facing, arrays.rays, *arrays.buffers.values()]
    return [_launch(scene, raycast.cast, arrays.camera.width * arrays.camera.height, inputs)]


def _throw_shadows(scene: RenderScene, arrays: CameraArrays, bands: Bands) -> list[Any]:
    """Prepare the shadows of blocks of 2 x 2 pixels, by bands of rows."""
    wp.load_module(shadows, device=scene.device)
    across = (arrays.camera.width + 1) // 2
    inputs = [arrays.pose_array, arrays.look_array, arrays.lens, arrays.lens_table, arrays.rays]
    inputs += [arrays.buffers["depth"], arrays.channels["lit"]]
    even = [(first + first % 2, last + last % 2) for first, last in bands]
    return [
        _launch(scene, shadows.throw, (last - first + 1) // 2 * across, [first, *inputs])
        for first, last in even
        if first < last
    ]


def _shade(scene: RenderScene, arrays: CameraArrays, vertex_stain: Any, bands: Bands, order: Order) -> list[Any]:
    """Prepare the shading by bands of rows: in runs one thread for each band, else one for each pixel."""
    inputs = [
        arrays.pose_array,
        arrays.look_array,
        arrays.ray_rows if order == "runs" else arrays.rays,
        arrays.vignette,
        *arrays.buffers.values(),
        scene.surface,
        scene.flat_normals,
        scene.vertex_shape,
        vertex_stain,
        scene.corners,
        *arrays.tables.values(),
        *arrays.channels.values(),
    ]
    wp.load_module(shading_rows if order == "runs" else shading, device=scene.device)
    width = arrays.camera.width
    if order == "pixels":
        return [
            _launch(scene, shading.shade, (last - first) * width, [first * width, *inputs]) for first, last in bands
        ]
    launches = []
    for first, last in bands:
        run = wp.zeros(row_plan.QUANTITIES * row_plan.PITCH, dtype=wp.float32, device=scene.device)
        whole = wp.zeros(row_plan.WHOLE_QUANTITIES * row_plan.PITCH, dtype=wp.int32, device=scene.device)
        launches.append(_launch(scene, shading_rows.shade_rows, 1, [first * width, last * width, run, whole, *inputs]))
    return launches

"""What one camera keeps on the device: its lens, the records of pose and look, and what it sees in every pixel."""

from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from assets.transforms import inverse
from sim.camera import Camera
from sim.render import raster, records
from sim.render.lens import build_lens
from sim.render.motion import Snapshot, projection_of
from sim.render.scene import RenderScene
from sim.render.shading import TONE_SIZE
from sim.render.tables import falloff, shared_tables

_BUFFERS: dict[str, Any] = {"triangle": wp.int32, "weights": wp.vec2, "depth": wp.float32}
_CHANNELS: dict[str, Any] = {
    "lit": wp.float32,
    "luminance": wp.float32,
    "rgb": wp.vec3ub,
    "semantic": wp.uint8,
    "instance": wp.uint16,
    "normal": wp.vec3,
}


class CameraArrays:
    """Device arrays of one camera before a scene; they outlive changes of the scene's meshes."""

    def __init__(self, scene: RenderScene, camera: Camera) -> None:
        """Put them on the scene's device.

        Raises:
            InputError: The device has too little memory.
        """
        self.camera = camera
        self._device = scene.device
        lens = build_lens(camera)
        self.lens, self.slopes = lens.lens, lens.slopes
        """The kernels' record of the lens, and its rays' x / z and y / z, row by row."""
        self.rays = scene.put(lens.rays, wp.vec3)
        self.ray_rows = scene.put(lens.rays.T.ravel(), wp.float32) if self._device.is_cpu else None
        """On the CPU also all x of the rays, then all y, then all z."""
        self.lens_table = scene.put(lens.radius_over_sine, wp.float32)
        self.vignette = scene.put(falloff(camera), wp.float32)
        self.projection = projection_of(camera)
        self.shown = max(int(np.count_nonzero(np.any(lens.rays != 0, axis=1))), 1)
        """Pixels that the lens reaches; 1 if there is none."""
        pixels = camera.width * camera.height
        self.tables: dict[str, Any] = {
            "tissues": self._make(len(scene.objects), records.Tissue),
            "tone": self._make(TONE_SIZE, wp.uint8),
            **shared_tables(scene),
        }
        self.pose_array, self.look_array = self._make(1, raster.Pose), self._make(1, records.Look)
        # On the CPU these are the kernels' own memory, elsewhere copies to be sent.
        self.pose, self.look = self.pose_array.numpy(), self.look_array.numpy()
        self.buffers = {name: self._make(pixels, kind) for name, kind in _BUFFERS.items()}
        self.channels = {name: self._make(pixels, kind) for name, kind in _CHANNELS.items()}
        self.T_world_camera: NDArray[np.float64] = np.eye(4)

    def place(self, T_world_camera: NDArray[np.float64]) -> None:
        """Pose the camera."""
        self.T_world_camera = np.array(T_world_camera, np.float64)
        self.pose[0]["rotation"] = inverse(T_world_camera)[:3, :3]
        self.pose[0]["position"] = T_world_camera[:3, 3]
        if not self._device.is_cpu:
            self.pose_array.assign(self.pose)

    def send_look(self) -> None:
        """Send the record of the look to the device."""
        if not self._device.is_cpu:
            self.look_array.assign(self.look)

    def copied(self, array: Any) -> NDArray[Any]:
        """Copy an array of all pixels to the host, shape (h, w, ...)."""
        values = array.numpy()
        return np.array(values.reshape(self.camera.height, self.camera.width, *values.shape[1:]))

    def snapshot(self, scene: RenderScene) -> Snapshot:
        """Keep what it takes to follow the points of the picture that is in the buffers."""
        return Snapshot(
            camera=self.camera,
            T_world_camera=self.T_world_camera,
            projection=self.projection,
            table=self.lens_table,
            rays=self.rays,
            ray_rows=self.ray_rows,
            triangle=wp.clone(self.buffers["triangle"]),
            weights=wp.clone(self.buffers["weights"]),
            depth=wp.clone(self.buffers["depth"]),
            vertices=scene.frozen_vertices(),
            corners=scene.corners,
            facing=scene.facing,
            geometry=scene.geometry,
            mesh_versions=tuple(scene.mesh_versions),
            object_changes=tuple(scene.object_changes),
        )

    def _make(self, count: int, kind: Any) -> Any:
        return wp.zeros(count, dtype=kind, device=self._device)

"""Render frames with all ground truth from one visibility pass."""

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from types import TracebackType
from typing import Any, Literal

import numpy as np
import warp as wp
from jaxtyping import Bool, Float, Float32, Int32
from numpy.typing import NDArray

from assets.errors import InputError
from assets.transforms import inverse
from sim.camera import Camera
from sim.frame import Frame
from sim.render import channels as extras
from sim.render import motion, raster, raycast, records, shading, shading_rows, shadows, texture
from sim.render.appearance import Appearance, LightSettings
from sim.render.geometry import CLUSTER, Geometry
from sim.render.lens import build_lens, layout
from sim.render.look import fill_look, tissue_of
from sim.render.scene import RenderScene, on_device, rigid
from sim.render.tables import falloff, shared_tables
from sim.scene_objects import SceneObject

Method = Literal["raster", "raycast"]

METER_LIMIT = 4.0
"""Most that a pixel counts for in the metering: where the tone curve has come within 1 % of white. So a wall that
dazzles pulls the exposure down at once."""


@dataclass(frozen=True)
class Visibility:
    """What each pixel sees."""

    triangle: Int32[np.ndarray, "h w"]
    """Index among the triangles of all objects one after the other; -1 where nothing."""
    weights: Float32[np.ndarray, "h w 2"]
    """Barycentric weights of the triangle's first two vertices; 0 where nothing."""
    depth: Float32[np.ndarray, "h w"]
    """z-depth [m]; 0 where nothing."""


class Renderer:
    """Renders one scene through one camera; owns device arrays and threads, so close it or use `with`."""

    def __init__(
        self,
        objects: Sequence[SceneObject] | RenderScene,
        camera: Camera,
        *,
        device: str | None = None,
        threads: int = 2,
        visibility: Method | None = None,
    ) -> None:
        """Put the scene on the device.

        Args:
            objects: The scene (see `sim.scene_objects` for its ids), or one that is on a device already.
            camera: Intrinsics and lens of all frames.
            device: A Warp device, such as `cpu` or `cuda:0`; None for that of the scene, or else the CPU.
            threads: On the CPU, how many threads share a frame; the picture does not depend on it.
            visibility: Rasterise (CPU only) or cast rays; None takes what is faster on the device.

        Raises:
            InputError: A mesh is damaged, there are too many objects, or the device cannot do what is asked.
        """
        if threads < 1:
            raise InputError(f"renderer: expected at least 1 thread, found {threads}")
        self.scene = objects if isinstance(objects, RenderScene) else RenderScene(objects, device or "cpu")
        self.camera = camera
        self.metered = 0.0
        """Mean luminance of the last picture: linear, 1 is full scale and no pixel counts for more than METER_LIMIT."""
        self._device = self.scene.device
        if device is not None and str(self._device) != device:
            raise InputError(f"renderer: expected the scene's device {self._device}, found {device}")
        self._method: Method = visibility or ("raster" if self._device.is_cpu else "raycast")
        if self._method == "raster" and not self._device.is_cpu:
            raise InputError(
                f"renderer: expected visibility raycast on {self._device}, found raster, which is for the CPU"
            )
        self._turn = threading.RLock()  # one picture at a time
        self._options: dict[str, Any] = {"threads": threads, "visibility": visibility}
        self._threads = threads if self._device.is_cpu else 1
        self._pool = ThreadPoolExecutor(self._threads - 1) if self._threads > 1 else None
        try:
            with self.scene.lock.looking(), self._turn:
                on_device(self._allocate, "a smaller picture or fewer triangles")
                on_device(self._record, "a smaller picture or fewer triangles")
        except BaseException:
            self.close()
            raise

    @property
    def geometry(self) -> Geometry:
        """The scene's triangles at rest."""
        return self.scene.geometry

    def view(self, camera: Camera) -> "Renderer":
        """Return another renderer of the same scene through another camera, to be closed by itself.

        Raises:
            InputError: The device has too little memory.
        """
        return Renderer(self.scene, camera, **self._options)

    def __enter__(self) -> "Renderer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def render(
        self,
        T_world_camera: Float[np.ndarray, "4 4"],
        *,
        exposure: float = 1.0,
        light: LightSettings | None = None,
        appearance: Appearance | None = None,
        time: float = 0.0,
        seed: int = 0,
        channels: Collection[extras.Extra] = (),
    ) -> Frame:
        """Render one frame.

        Args:
            T_world_camera: Pose, OpenCV axes, finite.
            exposure: Gain from scene radiance to the image.
            light: The light guides; None takes a colonoscope's.
            appearance: The look of tissue and sensor; None takes the default.
            time: Goes into the frame [s].
            seed: Of the sensor noise; the same seed gives the same bytes.
            channels: What the frame holds besides its usual channels: part, distance, object_point, light_distance.

        Returns:
            A frame without flow (see `sim.flow`). Pixels that see nothing are 0 in every channel.

        Raises:
            InputError: The pose or the exposure is not finite, the pose not rigid, or a channel unknown.
        """
        looks = [appearance or Appearance()]
        options: dict[str, Any] = {"exposure": exposure, "light": light, "time": time, "seed": seed}
        return self.render_looks(T_world_camera, looks, channels=channels, **options)[0]

    def render_looks(
        self,
        T_world_camera: Float[np.ndarray, "4 4"],
        looks: Sequence[Appearance],
        *,
        exposure: float | Sequence[float] = 1.0,
        light: LightSettings | None = None,
        time: float = 0.0,
        seed: int = 0,
        channels: Collection[extras.Extra] = (),
    ) -> list[Frame]:
        """Render one view under several looks, with one visibility pass for all.

        Args:
            T_world_camera: Pose, OpenCV axes, finite.
            looks: A frame each.
            exposure: Gain from scene radiance to the image, of all or of each.
            light: The light guides; None takes a colonoscope's.
            time: Goes into the frames [s].
            seed: Of the sensor noise, the same in all.
            channels: As `render` takes them.

        Returns:
            What `render` gives for each look, byte for byte; they differ in their pictures alone.

        Raises:
            InputError: The pose or an exposure is not finite, the pose is not rigid, there are not as many exposures as
                looks, or a channel is unknown.
        """
        wanted = extras.chosen(channels)
        exposures = [float(one) for one in np.atleast_1d(np.asarray(exposure, np.float64))]
        exposures = exposures * len(looks) if len(exposures) == 1 else exposures
        if len(exposures) != len(looks):
            raise InputError(f"renderer: expected an exposure or one for each of {len(looks)} looks, found {exposure}")
        for one in exposures:
            if not np.isfinite(one) or one <= 0:
                raise InputError(f"renderer: expected a positive exposure, found {one}")
        light = light or LightSettings()
        frames: list[Frame] = []
        with self.scene.lock.looking(), self._turn:
            self._place(T_world_camera)
            for look, one in zip(looks, exposures, strict=True):
                fill_look(self._look[0], T_world_camera, self.camera, one, light, look, seed)
                if not self._device.is_cpu:
                    self._look_array.assign(self._look)
                self._dress(look)
                if not frames and not light.shadows:
                    self._run(shaded=True)
                else:
                    self._relight(first=not frames, shadowed=light.shadows)
                found: dict[str, Any] = {name: self._extra(name) for name in wanted}
                frames.append(replace(self._frame(T_world_camera, one, time), **found))
        return frames

    def seen_triangles(self) -> NDArray[np.int32]:
        """Return the triangle that each pixel of the last picture shows, shape (H, W), as in `Visibility`."""
        shape = (self.camera.height, self.camera.width)
        triangle = self._buffers["triangle"].numpy().reshape(shape)
        return np.append(self.geometry.scene_triangle, np.int32(-1))[triangle]

    def snapshot(self) -> motion.Snapshot:
        """Keep of the last picture what it takes to follow its points to another.

        Raises:
            InputError: There is no picture yet, or the scene has changed since.
        """
        with self.scene.lock.looking(), self._turn:
            if self._pictured != self.scene.changes:
                raise InputError("renderer: expected a snapshot right after a picture, found a scene that has changed")
            scene = self.scene
            return motion.Snapshot(
                camera=self.camera,
                T_world_camera=self._T_world_camera,
                projection=self._projection,
                table=self._lens_table,
                rays=self._rays,
                ray_rows=self._ray_rows,
                triangle=wp.clone(self._buffers["triangle"]),
                weights=wp.clone(self._buffers["weights"]),
                depth=wp.clone(self._buffers["depth"]),
                vertices=scene.frozen_vertices(),
                corners=scene.corners,
                facing=scene.facing,
                geometry=scene.geometry,
                mesh_versions=tuple(scene.mesh_versions),
                object_changes=tuple(scene.object_changes),
            )

    def flow(
        self, one: motion.Snapshot, other: motion.Snapshot
    ) -> tuple[Float32[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
        """Follow the points of one picture of this scene to another, earlier or later; see `motion.flow_between`.

        Returns:
            Motion [px], shape (h, w, 2), 0 where not valid, and where it is valid, shape (h, w).
        """
        with self.scene.lock.looking(), self._turn:
            return motion.flow_between(one, other, threads=self._threads, share=self._share)

    def visibility(self, T_world_camera: Float[np.ndarray, "4 4"]) -> Visibility:
        """Find the triangle that each pixel sees.

        Raises:
            InputError: The pose is not finite or not rigid.
        """
        with self.scene.lock.looking(), self._turn:
            self._place(T_world_camera)
            self._run(shaded=False)
            shape = (self.camera.height, self.camera.width)
            scene = self.seen_triangles()
            seen = scene >= 0
            weights = np.where(seen[..., None], self._buffers["weights"].numpy().reshape(*shape, 2), 0)
            return Visibility(scene, weights, self._buffers["depth"].numpy().reshape(shape).copy())

    def _allocate(self) -> None:
        self._lens = build_lens(self.camera)
        put, device, count = self.scene.put, self._device, len(self.scene.objects)

        def make(count: int, kind: Any) -> Any:
            return wp.zeros(count, dtype=kind, device=device)

        pixels = self.camera.width * self.camera.height
        self._tables: dict[str, Any] = {"tissues": make(count, records.Tissue), **shared_tables(self.scene)}
        self._rays = put(self._lens.rays, wp.vec3)
        self._ray_rows = put(self._lens.rays.T.ravel(), wp.float32) if device.is_cpu else None
        self._shown = np.any(self._lens.rays != 0, axis=1)
        self._vignette = put(falloff(self.camera), wp.float32)

        self._pose_array, self._look_array = make(1, raster.Pose), make(1, records.Look)
        # On the CPU these are the kernels' own memory, elsewhere copies to be sent.
        self._pose, self._look = self._pose_array.numpy(), self._look_array.numpy()
        self._buffers: dict[str, Any] = {
            "triangle": make(pixels, wp.int32),
            "weights": make(pixels, wp.vec2),
            "depth": make(pixels, wp.float32),
        }
        self._channels: dict[str, Any] = {
            "lit": make(pixels, wp.float32),
            "luminance": make(pixels, wp.float32),
            "rgb": make(pixels, wp.vec3ub),
            "semantic": make(pixels, wp.uint8),
            "instance": make(pixels, wp.uint16),
            "normal": make(pixels, wp.vec3),
        }
        self._projection = motion.projection_of(self.camera)
        self._lens_table = put(self._lens.radius_over_sine, wp.float32)
        self._pictured = -1  # no picture yet
        self._extras: dict[str, Any] = {}
        self._no_flow = np.zeros((self.camera.height, self.camera.width, 2), np.float32)
        self._no_flow.flags.writeable = False

    def _record(self) -> None:
        """Prepare the launches: what a frame does anew is only to fill in the pose and the look, and to start them."""
        height, width, scene = self.camera.height, self.camera.width, self.scene
        self._version = scene.version
        self._appearance: Appearance | None = None
        self._vertex_stain = wp.zeros(len(scene.geometry.vertices), dtype=wp.float32, device=self._device)
        wp.load_module(shading, device=self._device)
        if self._device.is_cpu:
            wp.load_module(shading_rows, device=self._device)
        bands = 2 * self._threads if self._threads > 1 else 1
        rows = [int(row) for row in np.linspace(0, height, bands + 1)]
        self._culling: Any = None
        self._first: list[Any] = []
        self._second = self._record_raster(rows) if self._method == "raster" else self._record_raycast()
        arrays = [
            self._pose_array,
            self._look_array,
            self._rays if self._ray_rows is None else self._ray_rows,
            self._vignette,
            *self._buffers.values(),
            scene.surface,
            scene.flat_normals,
            scene.vertex_shape,
            self._vertex_stain,
            scene.corners,
            *self._tables.values(),
            *self._channels.values(),
        ]
        self._third = [self._record_shading(first * width, last * width, arrays) for first, last in pairwise(rows)]
        wp.load_module(shadows, device=self._device)
        table = scene.put(self._lens.radius_over_sine, wp.float32)
        lens = [self._lens.lens, table, self._rays, self._buffers["depth"], self._channels["lit"]]
        even = [row + row % 2 for row in rows]
        self._shadows = [
            self._launch(
                shadows.throw,
                (last - first + 1) // 2 * ((width + 1) // 2),
                [first, self._pose_array, self._look_array, *lens],
            )
            for first, last in pairwise(even)
            if first < last
        ]

    def _launch(self, kernel: Any, dim: int, inputs: list[Any]) -> Any:
        return wp.launch(kernel, dim=dim, inputs=inputs, device=self._device, record_cmd=True)

    def _record_shading(self, first: int, last: int, arrays: list[Any]) -> Any:
        """Prepare the shading of a range of pixels: on the CPU in one thread, elsewhere a thread for each."""
        if not self._device.is_cpu:
            return self._launch(shading.shade, last - first, [first, *arrays])
        kept = [
            wp.zeros(count * shading_rows.PITCH, dtype=kind, device=self._device)
            for count, kind in (
                (shading_rows.QUANTITIES, wp.float32),
                (shading_rows.WHOLE_QUANTITIES, wp.int32),
            )
        ]
        return self._launch(shading_rows.shade_rows, 1, [first, last, *kept, *arrays])

    def _record_raster(self, rows: list[int]) -> list[Any]:
        """Prepare the listing of triangles by parts, and their rasterisation by bands of rows."""
        scene, geometry, count = self.scene, self.geometry, len(self.geometry.triangles)
        parts = self._threads
        listed = [
            wp.zeros(count, dtype=wp.vec4i, device=self._device),
            wp.zeros((count, 4), dtype=wp.vec3, device=self._device),
            wp.zeros(count, dtype=wp.int32, device=self._device),
        ]
        counts = wp.zeros(2 * parts, dtype=wp.int32, device=self._device)
        seen = wp.zeros(len(geometry.cluster_sphere) + 1, dtype=wp.int32, device=self._device)
        clusters = [
            scene.cluster_start,
            scene.cluster_vertex_start,
            scene.cluster_vertices,
            scene.cluster_corners,
            wp.zeros(3 * CLUSTER * parts, dtype=wp.vec3, device=self._device),
            wp.zeros(3 * CLUSTER * parts, dtype=wp.vec4, device=self._device),
        ]
        width, height = self.camera.width, self.camera.height
        stride = width + raster.LANES
        slopes = [scene.put(slope, wp.float32) for slope in self._slopes(stride)]
        nearest = [wp.zeros(stride * height, dtype=kind, device=self._device) for kind in (wp.float32, wp.int32)]
        wp.load_module(raster, device=self._device)
        culled = [self._pose_array, self._lens.lens, scene.cluster_sphere, seen]
        self._culling = self._launch(raster.cull, 1, culled)
        for part in range(parts):
            inputs = [part, parts, seen, self._pose_array, self._lens.lens, self._lens_table, scene.surface.vertices]
            self._first.append(self._launch(raster.set_up, 1, [*inputs, *clusters, *listed, counts]))
        return [
            self._launch(
                raster.rasterise,
                1,
                [
                    first,
                    last,
                    width,
                    stride,
                    *slopes,
                    counts,
                    *listed,
                    *nearest,
                    *self._buffers.values(),
                ],
            )
            for first, last in pairwise(rows)
        ]

    def _slopes(self, stride: int) -> list[NDArray[np.float32]]:
        """Lay the rays' x / z and y / z out in rows of `stride`; not a number where there is none."""
        laid = []
        for axis in range(2):
            rows = np.full((self.camera.height, stride), np.nan, np.float32)
            rows[:, : self.camera.width] = self._lens.slopes[:, axis].reshape(rows.shape[0], -1)
            laid.append(rows.ravel())
        return laid

    def _record_raycast(self) -> list[Any]:
        """Prepare the rays of the whole picture."""
        scene = self.scene
        mesh = scene.ray_mesh()
        if mesh is None:
            self._buffers["triangle"].fill_(-1)
            return []
        wp.load_module(raycast, device=self._device)
        inputs = [
            self._pose_array,
            mesh.id,
            scene.corners,
            scene.facing,
            self._rays,
            *self._buffers.values(),
        ]
        return [self._launch(raycast.cast, len(self._shown), inputs)]

    def _place(self, T_world_camera: NDArray[np.float64]) -> None:
        rigid(T_world_camera, "renderer")
        if self._version != self.scene.version:
            self._record()
        elif self._method == "raycast":
            self.scene.ray_mesh()
        self._T_world_camera = np.array(T_world_camera, np.float64)
        self._pose[0]["rotation"] = inverse(T_world_camera)[:3, :3]
        self._pose[0]["position"] = T_world_camera[:3, 3]
        if not self._device.is_cpu:
            self._pose_array.assign(self._pose)

    def _dress(self, appearance: Appearance) -> None:
        """Prepare what depends on the look alone, if it is another than the last frame's."""
        if self._appearance == appearance or not self.scene.objects:
            return
        tissues = [
            tissue_of(item, int(thing), appearance)
            for item, thing in zip(self.scene.objects, self.scene.things, strict=True)
        ]
        self._tables["tissues"].assign(np.array(tissues, dtype=layout(records.Tissue)))
        inputs = [self._look_array, self._tables["volumes"], self.scene.surface.rest, self._vertex_stain]
        wp.launch(texture.stain, dim=len(self.geometry.vertices), inputs=inputs, device=self._device)
        self._appearance = appearance

    def _run(self, *, shaded: bool) -> None:
        if self._culling is not None:
            self._culling.launch()
        self._share([[launch] for launch in self._first])
        third = self._third if shaded else []
        if len(self._second) == len(third):
            self._share([list(pair) for pair in zip(self._second, third, strict=True)])
        else:
            self._share([[launch] for launch in self._second])
            self._share([[launch] for launch in third])
        wp.synchronize_device(self._device)
        self._pictured = self.scene.changes

    def _extra(self, name: extras.Extra) -> NDArray[Any]:
        """Work out one of the channels on request."""
        height, width = self.camera.height, self.camera.width
        if name not in self._extras:
            self._extras[name] = on_device(
                lambda: wp.zeros(height * width, dtype=extras.KINDS[name], device=self._device), "a smaller picture"
            )
        buffers, scene, out = self._buffers, self.scene, self._extras[name]
        inputs: dict[extras.Extra, list[Any]] = {
            "part": [buffers["triangle"], scene.corners, out],
            "distance": [buffers["depth"], self._rays, out],
            "object_point": [buffers["triangle"], buffers["weights"], scene.corners, scene.surface, out],
            "light_distance": [
                buffers["depth"],
                self._rays,
                self._pose_array,
                wp.vec3(*map(float, self._look[0]["light"])),
                out,
            ],
        }
        rows = [int(row) for row in np.linspace(0, height, self._threads + 1)]
        kernel = getattr(extras, name)
        self._share(
            [
                [self._launch(kernel, (last - first) * width, [first * width, *inputs[name]])]
                for first, last in pairwise(rows)
            ]
        )
        return np.array(out.numpy()).reshape(height, width, *out.numpy().shape[1:])

    def _relight(self, *, first: bool, shadowed: bool) -> None:
        """Shade what the last visibility pass found, or the first time what a new one finds, with shadows."""
        if first:
            self._run(shaded=False)
        if shadowed:  # they look beyond their own rows, so all rows must be there
            self._share([[launch] for launch in self._shadows])
        self._share([[launch] for launch in self._third])
        wp.synchronize_device(self._device)

    def _share(self, jobs: list[list[Any]]) -> None:
        """Do the jobs on all threads, this one among them."""
        waiting = iter(jobs)
        taking = threading.Lock()

        def work() -> None:
            while True:
                with taking:
                    job = next(waiting, None)
                if job is None:
                    return
                for launch in job:
                    launch.launch()

        others = [self._pool.submit(work) for _ in range(self._threads - 1)] if self._pool is not None else []
        work()
        for other in others:
            other.result()

    def _frame(self, T_world_camera: NDArray[np.float64], exposure: float, time: float) -> Frame:
        height, width = self.camera.height, self.camera.width
        channel = {name: array.numpy() for name, array in self._channels.items()}
        shown = np.count_nonzero(self._shown)
        self.metered = float(np.minimum(channel["luminance"], METER_LIMIT).sum() / max(shown, 1))
        return Frame(
            rgb=channel["rgb"].reshape(height, width, 3).copy(),
            semantic=channel["semantic"].reshape(height, width).copy(),
            instance=channel["instance"].reshape(height, width).copy(),
            depth=self._buffers["depth"].numpy().reshape(height, width).copy(),
            normal=channel["normal"].reshape(height, width, 3).copy(),
            flow=self._no_flow,
            flow_valid=np.zeros((height, width), np.bool_),
            T_world_camera=np.array(T_world_camera, dtype=np.float64),
            camera=self.camera,
            time=time,
            exposure=exposure,
        )

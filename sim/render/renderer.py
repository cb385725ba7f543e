"""Render frames with all ground truth from one visibility pass."""

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np
import warp as wp
from jaxtyping import Bool, Float, Float32, Int32
from numpy.typing import NDArray

from assets.errors import InputError
from sim.camera import Camera
from sim.frame import Frame
from sim.render import channels as extras
from sim.render import motion, records, texture
from sim.render.appearance import Appearance, LightSettings
from sim.render.camera_arrays import CameraArrays
from sim.render.devices import on_device
from sim.render.geometry import Geometry
from sim.render.launches import Method, Order, bands_of, prepare, prepare_extra
from sim.render.lens import layout
from sim.render.look import fill_look, tissue_of
from sim.render.poses import rigid
from sim.render.scene import RenderScene
from sim.render.tone import tone_table
from sim.render.workers import Workers
from sim.scene_objects import SceneObject

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
        shading: Order | None = None,
    ) -> None:
        """Put the scene on the device.

        Args:
            objects: The scene (see `sim.scene_objects` for its ids), or one that is on a device already.
            camera: Intrinsics and lens of all frames.
            device: A Warp device, such as `cpu` or `cuda:0`; None for that of the scene, or else the CPU.
            threads: On the CPU, how many threads share a frame; the picture does not depend on it.
            visibility: Rasterise (CPU only) or cast rays; None takes what is faster on the device.
            shading: In runs (CPU only) or pixel by pixel; None takes what is faster on the device.

        Raises:
            InputError: A mesh is damaged, there are too many objects, or the device cannot do what is asked.
        """
        if threads < 1:
            raise InputError(f"renderer: expected at least 1 thread, found {threads}")
        self.scene = objects if isinstance(objects, RenderScene) else RenderScene(objects, device or "cpu")
        self.camera = camera
        self.metered = 0.0
        """Mean luminance of the last picture: linear, 1 is full scale and no pixel counts for more than METER_LIMIT."""
        self.metered_looks: tuple[float, ...] = ()
        """The same of each look of the last `render_looks`."""
        self._device = self.scene.device
        if device is not None and str(self._device) != device:
            raise InputError(f"renderer: expected the scene's device {self._device}, found {device}")
        cpu = self._device.is_cpu
        self._method: Method = visibility or ("raster" if cpu else "raycast")
        self._order: Order = shading or ("runs" if cpu else "pixels")
        for what, chosen in (("visibility raycast", self._method), ("shading of pixels", self._order)):
            if not cpu and chosen in ("raster", "runs"):
                raise InputError(f"renderer: expected {what} on {self._device}, found {chosen}, which is for the CPU")
        self._turn = threading.RLock()  # one picture at a time
        self._options: dict[str, Any] = {"threads": threads, "visibility": visibility, "shading": shading}
        self._workers = Workers(threads if cpu else 1)
        self._pictured = -1  # no picture yet
        self._shadowed = False
        self._extras: dict[str, Any] = {}
        self._no_flow = np.zeros((camera.height, camera.width, 2), np.float32)
        self._no_flow.flags.writeable = False
        advice = "a smaller picture or fewer triangles"
        try:
            with self.scene.lock.looking(), self._turn:
                self._arrays: CameraArrays = on_device(lambda: CameraArrays(self.scene, camera), advice)
                on_device(self._prepare, advice)
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
        self._workers.close()

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
        metered: list[float] = []
        found: dict[str, Any] = {}
        with self.scene.lock.looking(), self._turn:
            self._place(T_world_camera)
            for look, one in zip(looks, exposures, strict=True):
                fill_look(self._arrays.look[0], T_world_camera, self.camera, one, light, look, seed)
                self._arrays.send_look()
                self._dress(look)
                if not frames:
                    self._look_at(shaded=not light.shadows)
                if frames or light.shadows:
                    self._relight(shadowed=light.shadows)
                if not frames:
                    found = {name: self._extra(name) for name in wanted}
                frames.append(replace(self._frame(T_world_camera, one, time), **found))
                metered.append(self.metered)
        self.metered_looks = tuple(metered)
        return frames

    def seen_triangles(self) -> NDArray[np.int32]:
        """Return the triangle that each pixel of the last picture shows, shape (H, W), as in `Visibility`."""
        triangle = self._arrays.copied(self._arrays.buffers["triangle"])
        return np.append(self.geometry.scene_triangle, np.int32(-1))[triangle]

    def lit(self) -> Float32[np.ndarray, "h w"]:
        """Return which share of the guides' light reaches each pixel of the last picture, as its shadows have it.

        Raises:
            InputError: The last picture has no shadows, or there is none.
        """
        if not self._shadowed:
            raise InputError("renderer: expected a picture with shadows, found none")
        return self._arrays.copied(self._arrays.channels["lit"])

    def snapshot(self) -> motion.Snapshot:
        """Keep of the last picture what it takes to follow its points to another.

        Raises:
            InputError: There is no picture yet, or the scene has changed since.
        """
        with self.scene.lock.looking(), self._turn:
            if self._pictured != self.scene.changes:
                raise InputError("renderer: expected a snapshot right after a picture, found a scene that has changed")
            return self._arrays.snapshot(self.scene)

    def flow(
        self, one: motion.Snapshot, other: motion.Snapshot
    ) -> tuple[Float32[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
        """Follow the points of one picture of this scene to another, earlier or later; see `motion.flow_between`.

        Returns:
            Motion [px], shape (h, w, 2), 0 where not valid, and where it is valid, shape (h, w).
        """
        with self.scene.lock.looking(), self._turn:
            return motion.flow_between(one, other, self._workers)

    def visibility(self, T_world_camera: Float[np.ndarray, "4 4"]) -> Visibility:
        """Find the triangle that each pixel sees.

        Raises:
            InputError: The pose is not finite or not rigid.
        """
        with self.scene.lock.looking(), self._turn:
            self._place(T_world_camera)
            self._look_at(shaded=False)
            copied, buffers = self._arrays.copied, self._arrays.buffers
            scene = self.seen_triangles()
            weights = np.where((scene >= 0)[..., None], copied(buffers["weights"]), 0)
            return Visibility(scene, weights, copied(buffers["depth"]))

    def _prepare(self) -> None:
        """Prepare for the scene's meshes as they are."""
        self._version = self.scene.version
        self._appearance: Appearance | None = None
        self._vertex_stain = wp.zeros(len(self.geometry.vertices), dtype=wp.float32, device=self._device)
        wp.load_module(texture, device=self._device)
        self._launches = prepare(
            self.scene,
            self._arrays,
            self._vertex_stain,
            method=self._method,
            order=self._order,
            threads=self._workers.threads,
        )

    def _place(self, T_world_camera: NDArray[np.float64]) -> None:
        rigid(T_world_camera, "renderer")
        if self._version != self.scene.version:
            self._prepare()
        elif self._method == "raycast":
            self.scene.ray_mesh()
        self._arrays.place(T_world_camera)

    def _dress(self, appearance: Appearance) -> None:
        """Prepare what depends on the look alone, if it is another than the last frame's."""
        if self._appearance == appearance or not self.scene.objects:
            return
        tissues = [
            tissue_of(item, int(thing), appearance)
            for item, thing in zip(self.scene.objects, self.scene.things, strict=True)
        ]
        tables = self._arrays.tables
        tables["tissues"].assign(np.array(tissues, dtype=layout(records.Tissue)))
        tables["tone"].assign(tone_table(appearance.gamma))
        inputs = [self._arrays.look_array, tables["volumes"], self.scene.surface.rest, self._vertex_stain]
        wp.launch(texture.stain, dim=len(self.geometry.vertices), inputs=inputs, device=self._device)
        self._appearance = appearance

    def _look_at(self, *, shaded: bool) -> None:
        """Find what each pixel sees, and shade it without shadows."""
        launches, share = self._launches, self._workers.share
        if launches.list_clusters is not None:
            launches.list_clusters.launch()
        share([[launch] for launch in launches.list_triangles])
        shade = launches.shade if shaded else []
        if len(launches.see) == len(shade):
            share(list(zip(launches.see, shade, strict=True)))
        else:
            share([[launch] for launch in launches.see])
            share([[launch] for launch in shade])
        wp.synchronize_device(self._device)
        self._pictured, self._shadowed = self.scene.changes, False

    def _relight(self, *, shadowed: bool) -> None:
        """Shade what the visibility buffer holds."""
        self._shadowed = shadowed
        if shadowed:  # they look beyond their own rows, so all rows must be there
            self._workers.share([[launch] for launch in self._launches.throw_shadows])
        self._workers.share([[launch] for launch in self._launches.shade])
        wp.synchronize_device(self._device)

    def _extra(self, name: extras.Extra) -> NDArray[Any]:
        """Work out one of the channels on request."""
        height, width = self.camera.height, self.camera.width
        if name not in self._extras:
            self._extras[name] = on_device(
                lambda: wp.zeros(height * width, dtype=extras.KINDS[name], device=self._device), "a smaller picture"
            )
        out = self._extras[name]
        bands = bands_of(height, self._workers.threads)
        self._workers.share([[one] for one in prepare_extra(self.scene, self._arrays, name, out, bands)])
        return self._arrays.copied(out)

    def _frame(self, T_world_camera: NDArray[np.float64], exposure: float, time: float) -> Frame:
        copied, channels = self._arrays.copied, self._arrays.channels
        luminance = channels["luminance"].numpy()
        self.metered = float(np.minimum(luminance, METER_LIMIT).sum()) / self._arrays.shown
        return Frame(
            rgb=copied(channels["rgb"]),
            semantic=copied(channels["semantic"]),
            instance=copied(channels["instance"]),
            depth=copied(self._arrays.buffers["depth"]),
            normal=copied(channels["normal"]),
            flow=self._no_flow,
            flow_valid=np.zeros((self.camera.height, self.camera.width), np.bool_),
            T_world_camera=np.array(T_world_camera, dtype=np.float64),
            camera=self.camera,
            time=time,
            exposure=exposure,
        )

"""Frames of many environments at once, for training on a GPU: two launches for all, and the frames stay there.

On the CPU the same kernels run in one thread; `sim.render.renderer` is faster there.
"""

import os
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import warp as wp
from jaxtyping import Float, Float64
from numpy.typing import NDArray

from assets.errors import InputError
from sim.camera import Camera
from sim.render import batch_flow, batch_kernels, raster, records, texture
from sim.render import channels as extras
from sim.render.appearance import Appearance, LightSettings
from sim.render.devices import on_device
from sim.render.lens import build_lens, layout
from sim.render.look import NOMINAL_DISTANCE, aim, fill_look, guides_of, lamp_of, noise_seed, tissue_of
from sim.render.poses import rigid_poses
from sim.render.renderer import METER_LIMIT
from sim.render.scene import RenderScene
from sim.render.tables import falloff, shared_tables
from sim.render.tone import tone_table
from sim.scene_objects import SceneObject

_KINDS: dict[str, Any] = {
    "triangle": wp.int32,
    "weights": wp.vec2,
    "depth": wp.float32,
    "luminance": wp.float32,
    "rgb": wp.vec3ub,
    "semantic": wp.uint8,
    "instance": wp.uint16,
    "normal": wp.vec3,
}
_size = wp.types.type_size_in_bytes
BYTES = sum(_size(kind) for kind in _KINDS.values())
"""Memory that one pixel of one environment takes on the device, without channels on request."""
_MOST = 65536  # environments
_MOST_PIXELS = 2**31 - 1  # of all environments together: the kernels count in 32 bits
_LOWER = "fewer environments, a smaller picture or fewer triangles"


@dataclass(frozen=True)
class BatchFrames:
    """Frames of n environments, as tensors on the renderer's device; values and units as in `sim.frame.Frame`.

    They are the renderer's own memory: the next `render` writes over them, so clone what is to be kept.
    """

    rgb: torch.Tensor
    """uint8, shape (n, h, w, 3)."""
    semantic: torch.Tensor
    """uint8, shape (n, h, w)."""
    instance: torch.Tensor
    """uint16, shape (n, h, w)."""
    depth: torch.Tensor
    """float32, shape (n, h, w) [m]."""
    normal: torch.Tensor
    """float32, shape (n, h, w, 3), camera axes."""
    luminance: torch.Tensor
    """float32, shape (n, h, w): linear light before the gain; 1 is full scale, 0 where nothing."""
    T_world_camera: Float64[np.ndarray, "n 4 4"]
    exposure: Float64[np.ndarray, "n"]
    channels: dict[extras.Extra, torch.Tensor]
    """The channels asked for, shape (n, h, w) or (n, h, w, 3), as the frame's fields of these names."""
    flow_back: torch.Tensor | None = None
    """float32, shape (n, h, w, 2) [px]: to the frame rendered before; 0 where not valid. None where not asked for."""
    flow_back_valid: torch.Tensor | None = None
    """bool, shape (n, h, w); False everywhere in the first frame, and where meshes were replaced in between."""
    last_flow: torch.Tensor | None = None
    """The same of the frame rendered before, to this one: what `flow` is to that frame."""
    last_flow_valid: torch.Tensor | None = None


class BatchRenderer:
    """Renders one frame of each of n environments; they share a scene, or each has its own.

    Several cameras in one environment are as many entries of its scene. `scenes[i].move` and `scenes[i].deform` change
    the geometry of environment i (of all, where it is shared).
    """

    def __init__(
        self,
        scenes: Sequence[SceneObject] | RenderScene | Sequence[RenderScene],
        camera: Camera,
        count: int | None = None,
        *,
        device: str | None = None,
        light: LightSettings | None = None,
        appearance: Appearance | Sequence[Appearance] | None = None,
        channels: Collection[extras.Extra] = (),
        flow: bool = False,
    ) -> None:
        """Put everything on the device.

        Args:
            scenes: Objects or a scene that all environments share, or a scene for each; one may stand there repeatedly.
            camera: Intrinsics and lens of all frames.
            count: How many environments; None takes the number of scenes, 1 if they share one.
            device: A Warp device; None for that of the scenes, or else the CPU.
            light: The light guides, without shadows; None takes a colonoscope's.
            appearance: The look of all environments, or one for each; None takes the default.
            channels: What the frames hold besides their usual channels, as `Renderer.render` takes them.
            flow: Find the flow between each two frames that are rendered one after the other, both ways.

        Raises:
            InputError: A mesh is damaged, counts or devices differ, the light throws shadows, a channel is unknown, or
                the device has too little memory; the line says what to lower.
        """
        self.scenes = _scenes_of(scenes, count, device)
        self.camera = camera
        self.count = len(self.scenes)
        self.device = self.scenes[0].device
        self._current: Any = None  # Warp's name for the PyTorch stream that was current last
        self._light = light or LightSettings()
        if self._light.shadows:
            raise InputError("batch: expected a light without shadows, found shadows, which single renderings have")
        self._pixels = camera.width * camera.height
        self._wanted = extras.chosen(channels)
        more = sum(_size(extras.KINDS[name]) for name in self._wanted) + flow * batch_flow.BYTES
        _check_room(self.device, self.count, camera, BYTES + more)
        self._with_flow = flow
        self._lens = build_lens(camera)
        self._shown = max(int(np.count_nonzero(np.any(self._lens.rays != 0, axis=1))), 1)
        on_device(self._allocate, _LOWER)
        self.dress(appearance or Appearance())

    def dress(self, appearance: Appearance | Sequence[Appearance]) -> None:
        """Give all environments a look, or each its own; slow beside a frame, environments of one look share it.

        Raises:
            InputError: There are not as many looks as environments, or the device has too little memory.
        """
        looks = [appearance] * self.count if isinstance(appearance, Appearance) else list(appearance)
        if len(looks) != self.count:
            raise InputError(f"batch: expected a look or one for each of {self.count} environments, found {len(looks)}")
        for record, look in zip(self._looks, looks, strict=True):
            fill_look(record, np.eye(4), self.camera, 1.0, self._light, look, 0)
        self._guides = np.stack([guides_of(self._light, look) for look in looks])
        self._lamps = np.stack([lamp_of(look) for look in looks])
        self._appearances = looks
        with self._locked(), self._stream():
            on_device(self._record, _LOWER)

    def render(
        self,
        T_world_camera: Float[np.ndarray, "n 4 4"],
        *,
        exposure: float | Float[np.ndarray, "n"] = 1.0,
        seed: int = 0,
    ) -> BatchFrames:
        """Render one frame of each environment.

        On CUDA it returns when the work is queued on PyTorch's current stream, so that what PyTorch does with the
        tensors there comes after it; nothing is copied to the host.

        Args:
            T_world_camera: A pose for each environment, OpenCV axes, rigid.
            exposure: Gain from scene radiance to the image, of all or of each.
            seed: Of the sensor noise: environment i has the noise of a single rendering with seed + i.

        Returns:
            Frames that stay on the device. Pixels that see nothing are 0 in every channel.

        Raises:
            InputError: A pose is not rigid or an exposure not positive, or there are not as many as environments.
        """
        T = rigid_poses(T_world_camera, "batch")
        if len(T) != self.count:
            raise InputError(f"batch: expected a pose for each of {self.count} environments, found {len(T)}")
        try:
            exposures = np.array(np.broadcast_to(np.asarray(exposure, np.float64), (self.count,)))
        except (TypeError, ValueError) as error:
            raise InputError(f"batch: expected an exposure or {self.count} of them, found {error}") from None
        if not (np.isfinite(exposures) & (exposures > 0)).all():
            raise InputError(f"batch: expected positive exposures, found {exposures.min()} to {exposures.max()}")
        self._poses["rotation"] = T[:, :3, :3].transpose(0, 2, 1)
        self._poses["position"] = T[:, :3, 3]
        aim(self._looks, T, self._guides)
        self._looks["light_colour"] = self._light.power * exposures[:, None] * NOMINAL_DISTANCE**2 * self._lamps
        self._looks["seed"] = [noise_seed(seed + index) for index in range(self.count)]
        with self._locked(), self._stream() as stream:
            if self._flow is not None:
                self._flow.keep(self._buffers)
            if self._versions != [scene.version for scene in self.scenes]:
                on_device(self._record, _LOWER)
            for scene in self._unique():
                scene.ray_mesh()
            self._pose_array.assign(self._poses)
            self._look_array.assign(self._looks)
            for launch in self._launches:
                launch.launch(stream=stream)
            if self._flow is not None:
                self._flow.find(T, self._buffers)
        extra, tensors = dict(self._extra_tensors), dict(self._tensors)
        if self._flow is not None:
            tensors |= self._flow.tensors
        return BatchFrames(**tensors, T_world_camera=T.copy(), exposure=exposures, channels=extra)

    def metered(self) -> torch.Tensor:
        """Return the mean luminance of each last picture, shape (n,), on the device, as `Renderer.metered` has it."""
        luminance = self._tensors["luminance"].reshape(self.count, -1)
        return luminance.clamp(max=METER_LIMIT).sum(dim=1) / self._shown

    def _unique(self) -> list[RenderScene]:
        return list({id(scene): scene for scene in self.scenes}.values())

    def _locked(self) -> ExitStack:
        """Keep all scenes from changing; always taken in one order, lest two renderers wait for each other."""
        stack = ExitStack()
        for scene in sorted(self._unique(), key=id):
            stack.enter_context(scene.lock.looking())
        return stack

    def _stream(self) -> AbstractContextManager[Any]:
        """On CUDA work on PyTorch's stream: after what changed the scenes, and before what changes them next."""
        if self.device.is_cpu:
            return nullcontext()
        current = torch.cuda.current_stream(wp.device_to_torch(self.device))
        if self._current is None or self._current.cuda_stream != current.cuda_stream:
            self._current = wp.stream_from_torch(current)
        return cast(AbstractContextManager[Any], wp.ScopedStream(self._current, sync_enter=True, sync_exit=True))

    def _allocate(self) -> None:
        first = self.scenes[0]
        self._tables = shared_tables(first)
        self._rays = first.put(self._lens.rays, wp.vec3)
        self._vignette = first.put(falloff(self.camera), wp.float32)
        self._poses: Any = np.zeros(self.count, layout(raster.Pose))
        self._looks: Any = np.zeros(self.count, layout(records.Look))
        self._pose_array = wp.zeros(self.count, dtype=raster.Pose, device=self.device)
        self._look_array = wp.zeros(self.count, dtype=records.Look, device=self.device)
        self._buffers = {
            name: wp.zeros(self.count * self._pixels, dtype=kind, device=self.device) for name, kind in _KINDS.items()
        }
        shape = (self.count, self.camera.height, self.camera.width)
        self._tensors: dict[str, torch.Tensor] = {}
        for name in ("rgb", "semantic", "instance", "depth", "normal", "luminance"):
            flat = wp.to_torch(self._buffers[name])
            self._tensors[name] = flat.view(*shape, *flat.shape[1:])
        self._extras = {
            name: wp.zeros(self.count * self._pixels if name in self._wanted else 0, dtype=kind, device=self.device)
            for name, kind in extras.KINDS.items()
        }
        self._flow: batch_flow.BatchFlow | None = None
        if self._with_flow:
            table = first.put(self._lens.radius_over_sine, wp.float32)
            self._flow = batch_flow.BatchFlow(self.scenes, self.camera, self._rays, table, self._pose_array)
        self._extra_tensors: dict[extras.Extra, torch.Tensor] = {}
        for one in self._wanted:
            flat = wp.to_torch(self._extras[one])
            self._extra_tensors[one] = flat.view(*shape, *flat.shape[1:])

    def _record(self) -> None:
        """Prepare the launches for the scenes and looks as they are."""
        gammas = {look.gamma for look in self._appearances}
        tones = {gamma: wp.array(tone_table(gamma), dtype=wp.uint8, device=self.device) for gamma in gammas}
        shared: dict[tuple[int, Appearance], Any] = {}
        for scene, look in zip(self.scenes, self._appearances, strict=True):
            if (id(scene), look) not in shared:
                shared[id(scene), look] = self._environment(scene, look, tones[look.gamma])
        self._records = [shared[id(one), look] for one, look in zip(self.scenes, self._appearances, strict=True)]
        environments = wp.array(self._records, dtype=batch_kernels.Environment, device=self.device)
        self._versions = [scene.version for scene in self.scenes]
        seen = [self._buffers[name] for name in ("triangle", "weights", "depth")]
        written = [self._buffers[name] for name in ("luminance", "rgb", "semantic", "instance", "normal")]
        tables = [self._tables[name] for name in ("gauss", "volumes", "vessels")]
        rays, vignette = [self._pose_array, environments, self._rays], [self._vignette]
        shaded = [self._pose_array, self._look_array, environments, self._rays, *vignette, *tables, *seen, *written]
        steps = [(batch_kernels.cast_all, [*rays, *seen]), (batch_kernels.shade_all, shaded)]
        if self._wanted:
            added = [self._pose_array, self._look_array, environments, self._rays, *seen, *self._extras.values()]
            steps.append((batch_kernels.add_all, added))
        self._launches = [
            wp.launch(kernel, (self.count, self._pixels), inputs, device=self.device, record_cmd=True)
            for kernel, inputs in steps
        ]

    def _environment(self, scene: RenderScene, appearance: Appearance, tone: Any) -> Any:
        """Describe a scene under a look, and its tone curve on the device, to the kernels."""
        tissues = [
            tissue_of(item, int(thing), appearance) for item, thing in zip(scene.objects, scene.things, strict=True)
        ]
        look: NDArray[Any] = np.zeros(1, layout(records.Look))
        look["texture_offset"] = appearance.texture_offset
        vertices = scene.surface.rest
        stain = wp.zeros(len(vertices), dtype=wp.float32, device=self.device)
        looks = wp.array(look, dtype=records.Look, device=self.device)
        wp.launch(texture.stain, len(vertices), [looks, self._tables["volumes"], vertices, stain], device=self.device)
        mesh = scene.ray_mesh()
        record: Any = batch_kernels.Environment()
        record.mesh = 0 if mesh is None else mesh.id
        record.corners, record.facing, record.tone = scene.corners, scene.facing, tone
        record.flat_normals, record.vertex_shape, record.vertex_stain = scene.flat_normals, scene.vertex_shape, stain
        record.tissues = wp.array(
            np.array(tissues, dtype=layout(records.Tissue)), dtype=records.Tissue, device=self.device
        )
        record.surface = scene.surface
        return record


def _scenes_of(
    scenes: Sequence[SceneObject] | RenderScene | Sequence[RenderScene], count: int | None, device: str | None
) -> tuple[RenderScene, ...]:
    """Return a scene for each environment; the same one where they share it."""
    if count is not None and not 1 <= count <= _MOST:
        raise InputError(f"batch: expected 1 to {_MOST} environments, found {count}")
    own: tuple[RenderScene, ...]
    if isinstance(scenes, RenderScene):
        own = (scenes,) * (count or 1)
    elif scenes and all(isinstance(one, RenderScene) for one in scenes):
        own = tuple(cast(Sequence[RenderScene], scenes))
        if count is not None and count != len(own):
            raise InputError(f"batch: expected a scene for each of {count} environments, found {len(own)}")
    else:
        own = (RenderScene(cast(Sequence[SceneObject], scenes), device or "cpu"),) * (count or 1)
    devices = sorted({str(one.device) for one in own} | ({device} if device else set()))
    if len(devices) > 1:
        raise InputError(f"batch: expected scenes on one device, found {', '.join(devices)}")
    return own


def _check_room(device: Any, count: int, camera: Camera, pixel: int) -> None:
    """Refuse before anything is allocated what cannot fit; `pixel` is the bytes of one."""
    pixels = camera.width * camera.height
    room = device.free_memory if device.is_cuda else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    most = min(room // (pixel * pixels), _MOST_PIXELS // pixels)
    if count > most:
        raise InputError(
            f"batch: expected at most {most} environments of {camera.width} x {camera.height} px on {device}, found "
            f"{count}, which take {count * pixels * pixel / 2**30:.1f} GiB; use fewer environments or a smaller picture"
        )

"""Many cameras in one scene, each picture in one thread: nothing is handed from thread to thread within a picture."""

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any

import numpy as np
import warp as wp
from jaxtyping import Float

from assets.errors import InputError
from sim.camera import Camera
from sim.frame import Frame
from sim.render import channels as extras
from sim.render.appearance import Appearance, LightSettings
from sim.render.renderer import Renderer
from sim.render.scene import RenderScene
from sim.scene_objects import SceneObject


class CameraRig:
    """Renders one scene through many cameras; owns device arrays and threads, so close it or use `with`.

    Cameras with one lens share their buffers, so ten of them take the memory of as many as there are threads.
    """

    def __init__(
        self,
        objects: Sequence[SceneObject] | RenderScene,
        cameras: Sequence[Camera],
        *,
        device: str | None = None,
        threads: int = 2,
    ) -> None:
        """Put the scene on the device.

        Args:
            objects: The scene, as `Renderer` takes it.
            cameras: Intrinsics and lens of each picture.
            device: A Warp device; None for that of the scene, or else the CPU.
            threads: On the CPU, how many pictures are drawn at once; the pictures do not depend on it.

        Raises:
            InputError: As of `Renderer`, or there is no camera.
        """
        if not cameras:
            raise InputError("camera rig: expected at least one camera, found none")
        if threads < 1:
            raise InputError(f"camera rig: expected at least 1 thread, found {threads}")
        self.cameras = tuple(cameras)
        self.scene = objects if isinstance(objects, RenderScene) else RenderScene(objects, device or "cpu")
        self.metered = [0.0] * len(cameras)
        """Mean luminance of each camera's last picture, as `Renderer.metered` has it."""
        threads = threads if self.scene.device.is_cpu else 1
        # One for each thread and lens, or the threads would wait for each other.
        self._free = {
            camera: [
                Renderer(self.scene, camera, device=device, threads=1)
                for _ in range(min(threads, self.cameras.count(camera)))
            ]
            for camera in dict.fromkeys(self.cameras)
        }
        wp.load_module(extras, device=self.scene.device)  # before threads do it at the same time
        self._taking = threading.Lock()
        self._pool = ThreadPoolExecutor(threads)

    def __enter__(self) -> "CameraRig":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()

    def render(
        self,
        T_world_camera: Float[np.ndarray, "n 4 4"] | Sequence[Float[np.ndarray, "4 4"]],
        *,
        exposure: float | Sequence[float] = 1.0,
        light: LightSettings | None = None,
        appearance: Appearance | Sequence[Appearance] | None = None,
        time: float = 0.0,
        seed: int = 0,
        channels: Collection[extras.Extra] = (),
    ) -> list[Frame]:
        """Render one frame through each camera; the scene does not change in between.

        Args:
            T_world_camera: A pose for each camera, OpenCV axes, rigid.
            exposure: Gain from scene radiance to the image, of all or of each.
            light: The light guides beside each camera; None takes a colonoscope's.
            appearance: The look of all pictures, or one for each; None takes the default.
            time: Goes into the frames [s].
            seed: Of the sensor noise: camera i has the noise of a single rendering with seed + i.
            channels: As `Renderer.render` takes them.

        Returns:
            For each camera what `Renderer.render` gives, byte for byte.

        Raises:
            InputError: As of `Renderer.render`, or there are not as many poses, exposures or looks as cameras.
        """
        count = len(self.cameras)
        looks = [appearance] * count if appearance is None or isinstance(appearance, Appearance) else list(appearance)
        exposures = [float(one) for one in np.atleast_1d(np.asarray(exposure, np.float64))]
        exposures = exposures * count if len(exposures) == 1 else exposures
        for what, found in (("poses", T_world_camera), ("looks", looks), ("exposures", exposures)):
            if len(found) != count:
                raise InputError(f"camera rig: expected {what} for {count} cameras, found {len(found)}")

        def picture(index: int) -> Frame:
            camera = self.cameras[index]
            with self._taking:
                renderer = self._free[camera].pop()
            options: dict[str, Any] = {"exposure": exposures[index], "appearance": looks[index], "seed": seed + index}
            try:
                with self.scene.lock.joining():
                    frame = renderer.render(T_world_camera[index], light=light, time=time, channels=channels, **options)
                self.metered[index] = renderer.metered
                return frame
            finally:
                with self._taking:
                    self._free[camera].append(renderer)

        with self.scene.lock.looking():
            pictures = [self._pool.submit(picture, index) for index in range(count)]
            wait(pictures)
        return [one.result() for one in pictures]

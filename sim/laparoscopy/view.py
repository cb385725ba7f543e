"""What the laparoscope's camera shows of a scene whose things move."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.camera import Camera
from sim.frame import Frame
from sim.instruments.laparoscope import laparoscope_light
from sim.render.appearance import Appearance
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject


class SceneView:
    """Owns the renderer; things are moved and deformed by name."""

    def __init__(self, objects: Sequence[SceneObject], camera: Camera, *, device: str, threads: int) -> None:
        """Put the objects on the device, each in its own frame."""
        self._renderer = Renderer(objects, camera, device=device, threads=threads)
        self.metered = 0.0
        """Mean luminance of the last picture, as `Renderer.metered`."""

    def close(self) -> None:
        """Give back the renderer's threads."""
        self._renderer.close()

    def move(self, name: str, T_world_object: NDArray[np.float64]) -> None:
        """Put an object somewhere, rigidly."""
        self._renderer.scene.move(name, T_world_object)

    def deform(self, name: str, vertices: NDArray[np.float32]) -> None:
        """Give an object new vertices [m], world frame."""
        self._renderer.scene.deform(name, vertices)

    def render(
        self, T_world_camera: NDArray[np.float64], *, exposure: float, appearance: Appearance, time: float, seed: int
    ) -> Frame:
        """Render one frame in the light of a laparoscope."""
        frame = self._renderer.render(
            T_world_camera,
            exposure=exposure,
            light=laparoscope_light(),
            appearance=appearance,
            time=time,
            seed=seed,
        )
        self.metered = self._renderer.metered
        return frame

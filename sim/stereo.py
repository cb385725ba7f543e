"""Stereo pairs: two cameras on one scene at one time, with disparity and what the right one does not see."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32
from numpy.typing import NDArray

from assets.errors import InputError
from assets.transforms import compose, inverse
from sim.camera import Camera
from sim.frame import Frame
from sim.render.appearance import LightSettings
from sim.render.poses import rigid
from sim.render.renderer import Renderer

_SAME = 1e-9  # by which intrinsics and axes of a rectified pair may differ


@dataclass(frozen=True, eq=False)
class StereoRig:
    """Two cameras fixed to each other."""

    left: Camera
    right: Camera
    T_left_right: NDArray[np.float64]
    """Pose of the right camera in the left one's axes, shape (4, 4)."""

    def __post_init__(self) -> None:
        rigid(self.T_left_right, "stereo rig")

    @classmethod
    def parallel(cls, camera: Camera, baseline: float) -> "StereoRig":
        """Put a second, equal camera `baseline` [m] to the right of the first: rectified if it is a pinhole.

        Raises:
            InputError: The baseline is not positive.
        """
        if not (np.isfinite(baseline) and baseline > 0):
            raise InputError(f"stereo rig: expected a positive baseline, found {baseline}")
        return cls(camera, camera, compose(np.eye(3), np.array([baseline, 0.0, 0.0])))

    @property
    def baseline(self) -> float:
        """Distance of the two centres [m]."""
        return float(np.linalg.norm(self.T_left_right[:3, 3]))

    @property
    def rectified(self) -> bool:
        """True if both are pinholes of one focal length and size, whose rows are the same lines in space."""
        one, other = self.left, self.right
        equal = (one.width, one.height, one.fx, one.fy, one.cy) == (
            other.width,
            other.height,
            other.fx,
            other.fy,
            other.cy,
        )
        off = self.T_left_right - compose(np.eye(3), np.array([self.T_left_right[0, 3], 0.0, 0.0]))
        pinholes = one.model == other.model == "pinhole"
        return pinholes and equal and bool(np.abs(off).max() < _SAME and self.T_left_right[0, 3] > 0)


@dataclass(frozen=True)
class StereoPair:
    """Two frames of one time, and how they belong together."""

    left: Frame
    right: Frame
    visible_right: Bool[np.ndarray, "h w"]
    """For each pixel of the left frame, True where the right one shows its point too; outlines are right to half a
    pixel."""
    flow_right: Float32[np.ndarray, "h w 2"]
    """Place in the right frame less that in the left one [px]; 0 where not `visible_right`."""
    disparity: Float32[np.ndarray, "h w"] | None
    """u_left - u_right [px] of each seen point, also where something hides it from the right camera, or it falls beside
    its picture; 0 where nothing. None: the rig is not rectified."""


class StereoRenderer:
    """Renders pairs; owns both renderers, so close it or use `with`. Change the scene by `scene`."""

    def __init__(self, objects: Any, rig: StereoRig, **options: Any) -> None:
        """Put a scene before two cameras.

        Args:
            objects: As `Renderer` takes them.
            rig: The cameras.
            options: As `Renderer` takes them: device, threads, visibility.

        Raises:
            InputError: As of `Renderer`.
        """
        self.rig = rig
        self._left = Renderer(objects, rig.left, **options)
        try:
            self._right = self._left.view(rig.right)
        except BaseException:
            self._left.close()
            raise
        self.scene = self._left.scene

    def __enter__(self) -> "StereoRenderer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads of both renderers."""
        self._left.close()
        self._right.close()

    def render(
        self,
        T_world_left: Float[np.ndarray, "4 4"],
        *,
        light: LightSettings | None = None,
        seed: int = 0,
        **options: Any,
    ) -> StereoPair:
        """Render one pair under one light.

        Args:
            T_world_left: Pose of the left camera.
            light: In the left camera's axes; None takes a colonoscope's.
            seed: Of the sensors' noise, which differs from left to right.
            options: As `Renderer.render` takes them.

        Raises:
            InputError: As of `Renderer.render`.
        """
        light = light or LightSettings()
        right_light = light.seen_from(inverse(self.rig.T_left_right))
        with self.scene.lock.looking():
            left = self._left.render(T_world_left, light=light, seed=seed, **options)
            snapshot = self._left.snapshot()
            T_world_right = T_world_left @ self.rig.T_left_right
            right = self._right.render(T_world_right, light=right_light, seed=seed + (1 << 32), **options)
            flow, visible = self._left.flow(snapshot, self._right.snapshot())
        return StereoPair(left, right, visible, flow, self._disparity(left))

    def _disparity(self, left: Frame) -> NDArray[np.float32] | None:
        """Work out f b / z, and how far the principal points are apart."""
        if not self.rig.rectified:
            return None
        seen = left.depth > 0
        apart = self.rig.left.cx - self.rig.right.cx
        value = self.rig.left.fx * self.rig.baseline / np.where(seen, left.depth, 1) + apart
        return np.where(seen, value, 0).astype(np.float32)

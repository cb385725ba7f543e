"""What a scene's camera saw last, seen again: with other tissue, light and sensor, or by a second camera beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assets.transforms import inverse
from sim.degradations.degrade import degrade
from sim.degradations.settings import Degradations
from sim.exposure import AutoExposure
from sim.frame import Frame
from sim.render.appearance import Appearance, LightSettings
from sim.render.channels import Extra
from sim.render.renderer import Renderer
from sim.stereo import StereoRig

_SETTLING_FRAMES = 6
_SETTLING_TIME = 1.0  # [s] between them
_OTHER_SENSOR = 1 << 32  # added to the seed of the noise


@dataclass(frozen=True, eq=False)
class View:
    """A look of a camera at a scene, all but what is there."""

    T_world_camera: NDArray[np.float64]
    """Pose, shape (4, 4)."""
    time: float
    """[s]"""
    noise_seed: int
    """Of the sensor's noise."""
    light: LightSettings | None
    """None for a colonoscope's."""
    degradations: Degradations
    before: NDArray[np.float64] | None
    """Pose at the frame before, shape (4, 4); None if nothing moved since."""
    dt: float
    """Time since then [s]; of no meaning where nothing moved."""
    channels: tuple[Extra, ...] = ()
    """What the frame has besides its usual channels."""

    def through(self, frame: Frame, look: Appearance) -> Frame:
        """Let go wrong with a clean frame of a look what goes wrong in this view."""
        options: dict[str, Any] = {"noise_seed": self.noise_seed, "look": look}
        if self.before is not None:
            options |= {"T_world_camera_before": self.before, "dt": self.dt}
        return degrade(frame, self.degradations, **options)


class Viewed(Protocol):
    """A scene that tells what its camera saw last."""

    @property
    def renderer(self) -> Renderer:
        """What draws its picture."""

    @property
    def last_view(self) -> View:
        """What its camera saw last."""


class OtherLooks:
    """Sees the views of one episode again under other looks, each with an automatic exposure of its own."""

    def __init__(self, scene: Viewed, looks: Sequence[Appearance]) -> None:
        """Begin an episode.

        Args:
            scene: Asked for its last view.
            looks: A frame each.
        """
        self._scene, self._looks = scene, tuple(looks)
        self._exposures = [AutoExposure() for _ in looks]
        self._metered: list[float] = []
        self._seen_at = 0.0

    def frames(self) -> list[Frame]:
        """See the scene's last view again.

        Returns:
            A frame for each look: the pose, masks, depth, normals and degradations of the scene's own frame.
        """
        if not self._looks:
            return []
        view = self._scene.last_view
        if not self._metered:
            # The cameras were on before the episode starts: their exposures have settled.
            for _ in range(_SETTLING_FRAMES):
                self._render(view)
                self._expose(_SETTLING_TIME)
        else:
            self._expose(view.time - self._seen_at)
        self._seen_at = view.time
        return [view.through(*seen) for seen in zip(self._render(view), self._looks, strict=True)]

    def _expose(self, dt: float) -> None:
        for exposure, metered in zip(self._exposures, self._metered, strict=True):
            exposure.update(metered, dt)

    def _render(self, view: View) -> list[Frame]:
        renderer = self._scene.renderer
        own = renderer.metered
        frames = renderer.render_looks(
            view.T_world_camera,
            self._looks,
            exposure=[exposure.gain for exposure in self._exposures],
            light=view.light,
            time=view.time,
            seed=view.noise_seed,
            channels=view.channels,
        )
        self._metered = list(renderer.metered_looks)
        renderer.metered = own  # the scene's own exposure goes by its own picture
        return frames


class RightEye:
    """A second, equal camera to the right of a scene's own, under the same light; owns a renderer, so close it."""

    def __init__(self, scene: Viewed, rig: StereoRig) -> None:
        """Put the camera beside the scene's."""
        self.rig = rig
        self._scene = scene
        self._renderer = scene.renderer.view(rig.right)

    def __enter__(self) -> "RightEye":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._renderer.close()

    def frames(self, left: Sequence[Frame], looks: Sequence[Appearance]) -> list[Frame]:
        """See the scene's last view from the right.

        Args:
            left: Of that view, one a look; their exposures are taken.
            looks: Of the frames.
        """
        view = self._scene.last_view
        light = view.light or LightSettings()
        right = replace(
            view,
            T_world_camera=view.T_world_camera @ self.rig.T_left_right,
            noise_seed=view.noise_seed + _OTHER_SENSOR,
            light=light.seen_from(inverse(self.rig.T_left_right)),
            before=None if view.before is None else view.before @ self.rig.T_left_right,
        )
        frames = self._renderer.render_looks(
            right.T_world_camera,
            looks,
            exposure=[frame.exposure for frame in left],
            light=right.light,
            time=right.time,
            seed=right.noise_seed,
            channels=right.channels,
        )
        return [right.through(*seen) for seen in zip(frames, looks, strict=True)]

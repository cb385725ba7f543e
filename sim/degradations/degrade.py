"""Let a clean frame go wrong, in the order in which light meets the causes; its masks are kept right."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float64

from assets.errors import InputError
from sim.camera import Camera
from sim.degradations.optics import through_lens
from sim.degradations.sensor import read_out
from sim.degradations.settings import Degradations
from sim.degradations.tissue import lay_on
from sim.degradations.tone import to_linear
from sim.degradations.tower import lettered, mask, uncovered
from sim.degradations.view import look_through
from sim.frame import Frame
from sim.render.appearance import Appearance


def degrade(
    frame: Frame,
    wrong: Degradations,
    *,
    noise_seed: int = 0,
    T_world_camera_before: Float64[np.ndarray, "4 4"] | None = None,
    dt: float = 0.1,
    look: Appearance | None = None,
) -> Frame:
    """Degrade one frame.

    Args:
        frame: A clean frame; it is not changed.
        wrong: What goes wrong, and how much.
        noise_seed: Of this frame's sensor noise; all else hangs on `wrong.seed` and on where things are.
        T_world_camera_before: Pose of the camera `dt` before: motion blur and rolling shutter come from it. None if the
            camera stood still.
        dt: Time between both poses [s].
        look: Of the frame: its tone curve is undone and applied again, and in narrow bands what lies on the tissue has
            other colours. None for the default.

    Returns:
        A frame with another picture. Masks differ from the clean ones only where opaque blood or stool hides the tissue
        (labels blood and stool, instance 0), by the rows' own times under a rolling shutter, and where the surround
        leaves nothing. What the lens does not show stays black.

    Raises:
        InputError: A pose is not finite, or dt not positive.
    """
    if wrong.clean:
        return frame
    if T_world_camera_before is not None and not np.isfinite(T_world_camera_before).all():
        raise InputError(f"degradations: expected a finite pose, found {T_world_camera_before.tolist()}")
    if not (np.isfinite(dt) and dt > 0):
        raise InputError(f"degradations: expected a positive time between poses, found {dt}")
    look = look or Appearance()
    frame, light = lay_on(frame, to_linear(frame.rgb, gamma=look.gamma), wrong, look)
    light = look_through(frame, light, wrong)
    frame, light = through_lens(frame, light, wrong, T_world_camera_before, dt)
    rgb = read_out(light, wrong, np.random.default_rng([wrong.seed, 31, noise_seed]), gamma=look.gamma)
    _, shown = frame.camera.rays()
    rgb = np.where(shown[..., None], lettered(rgb, wrong), 0).astype(np.uint8)
    return mask(replace(frame, rgb=rgb), wrong)


def flow_holds(camera: Camera, wrong: Degradations) -> Bool[np.ndarray, "h w"]:
    """Return for which pixels a renderer's flow is that of degraded frames of a moving camera.

    The renderer follows points between pictures of one time each, noted as the frames' poses. That holds whatever lies
    on the tissue or the lens, but beneath a surround there is nothing to follow; and the rows of a rolling shutter are
    of other times, each frame's by its own motion, so that it holds nowhere.
    """
    return uncovered(camera, wrong) & (wrong.rolling_shutter == 0)

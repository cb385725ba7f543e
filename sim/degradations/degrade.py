"""Let a clean frame go wrong, in the order in which light meets the causes; its masks are kept right."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from assets.errors import InputError
from sim.degradations.optics import through_lens
from sim.degradations.sensor import read_out
from sim.degradations.settings import Degradations
from sim.degradations.tissue import lay_on
from sim.degradations.tone import to_linear
from sim.degradations.view import look_through
from sim.frame import Frame


def degrade(
    frame: Frame,
    wrong: Degradations,
    *,
    noise_seed: int = 0,
    T_world_camera_before: Float64[np.ndarray, "4 4"] | None = None,
    dt: float = 0.1,
) -> Frame:
    """Degrade one frame.

    Args:
        frame: A clean frame; it is not changed.
        wrong: What goes wrong, and how much.
        noise_seed: Of this frame's sensor noise; all else hangs on `wrong.seed` and on where things are.
        T_world_camera_before: Pose of the camera `dt` before: motion blur and rolling shutter come from it. None if the
            camera stood still.
        dt: Time between both poses [s].

    Returns:
        A frame with another picture. Masks differ from the clean ones only where opaque blood or stool hides the tissue
        (labels blood and stool, instance 0), and by the rows' own times under a rolling shutter. What the lens does not
        show stays black.

    Raises:
        InputError: A pose is not finite, or dt not positive.
    """
    if wrong.clean:
        return frame
    if T_world_camera_before is not None and not np.isfinite(T_world_camera_before).all():
        raise InputError(f"degradations: expected a finite pose, found {T_world_camera_before.tolist()}")
    if not (np.isfinite(dt) and dt > 0):
        raise InputError(f"degradations: expected a positive time between poses, found {dt}")
    frame, light = lay_on(frame, to_linear(frame.rgb), wrong)
    light = look_through(frame, light, wrong)
    frame, light = through_lens(frame, light, wrong, T_world_camera_before, dt)
    rgb = read_out(light, wrong, np.random.default_rng([wrong.seed, 31, noise_seed]))
    _, shown = frame.camera.rays()
    return replace(frame, rgb=np.where(shown[..., None], rgb, 0).astype(np.uint8))

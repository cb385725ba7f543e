"""What the tower makes of the picture before it shows it: a mask that leaves a shape of it, and lettering."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray

from sim.camera import Camera
from sim.degradations.settings import Degradations
from sim.frame import Frame

_KINDS = ("octagon", "rounded", "disc")  # as the towers of the three large makers show
_WORDS = ("Sex:", "Age:", "D.O.B.", "NR:", "--/--/----", "12:34:56", "EI:B3", "CVP:A3", "Cm:1", "x1.0", "SCV:7")
_COVERED = ("rgb", "semantic", "instance", "depth", "normal", "part", "distance", "object_point", "light_distance")


def uncovered(camera: Camera, wrong: Degradations) -> Bool[np.ndarray, "h w"]:
    """Return which pixels the tower's mask leaves: all but the corners, and at a high severity a part of the sides.

    An octagon, a square with round corners, or a disc, as the seed has it; it is about the middle of the picture.
    """
    width, height = camera.width, camera.height
    if not wrong.surround:
        return np.ones((height, width), np.bool_)
    v, u = np.mgrid[0:height, 0:width]
    across, down = np.abs(u - (width - 1) / 2), np.abs(v - (height - 1) / 2)
    kind = np.random.default_rng([wrong.seed, 41]).choice(_KINDS)
    if kind == "disc":
        inside = np.hypot(across, down) <= (0.57 - 0.15 * wrong.surround) * width
    else:
        half = 0.5 - 0.1 * wrong.surround
        x, y = across / (half * width), down / (half * height)
        if kind == "octagon":
            inside = (np.maximum(x, y) <= 1) & (x + y <= 1.7 - 0.3 * wrong.surround)
        else:
            inside = x**5 + y**5 <= 1
    return np.asarray(inside, dtype=np.bool_)


def lettered(rgb: UInt8[np.ndarray, "h w 3"], wrong: Degradations) -> UInt8[np.ndarray, "h w 3"]:
    """Write patient's data and settings over the left and the right of the picture, more lines at a higher severity."""
    if not wrong.lettering:
        return rgb
    height, width = rgb.shape[:2]
    rng = np.random.default_rng([wrong.seed, 42])
    size, lines = width / 420, len(_WORDS)
    level = int(rng.integers(170, 256))
    order, left, top = rng.permutation(lines), rng.uniform(0.12, 0.2), rng.uniform(0.25, 0.35)
    written: NDArray[np.uint8] = rgb.copy()
    for line in range(1 + round((lines - 1) * wrong.lettering)):
        column, row = divmod(line, 6)
        place = round((left + 0.45 * column) * width), round((top + 0.08 * row) * height)
        word, pen = _WORDS[order[line]], max(1, round(size))
        cv2.putText(written, word, place, cv2.FONT_HERSHEY_SIMPLEX, size, (level,) * 3, pen, cv2.LINE_AA)
    return written


def mask(frame: Frame, wrong: Degradations) -> Frame:
    """Return a frame that shows nothing, in any channel, where the tower's mask covers it."""
    if not wrong.surround:
        return frame
    shown = uncovered(frame.camera, wrong)
    found = {name: getattr(frame, name) for name in _COVERED}
    kept: dict[str, Any] = {
        name: np.where(shown if channel.ndim == 2 else shown[..., None], channel, 0).astype(channel.dtype)
        for name, channel in found.items()
        if channel is not None
    }
    return replace(frame, **kept)

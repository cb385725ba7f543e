"""Is the picture fit to be looked at? Dead, or duller than it was a moment ago: what a network does not notice itself.

A network's uncertainty does not tell a fogged lens from a smooth wall. The picture does, beside what it was before:

- **black**: the mean of what the lens shows is nearly 0;
- **frozen**: the same bytes as the last, which sensor noise keeps any live picture from;
- **blurred**: much less fine detail than usual. The measure is the mean slope of the brightness, after a 3 x 3 box
  filter against the sensor's noise, over the mean brightness, so that a gain of the exposure leaves it as it is (after
  Pertuz et al., Analysis of focus measure operators, Pattern Recognition 46, 2013, doi:10.1016/j.patcog.2012.11.011);
- **veiled**: much less contrast than usual: the standard deviation of the brightness over its mean;
- **exposed** wrongly: much darker or much brighter than usual, beyond what the automatic exposure makes good.

Usual is the median over the last seconds, so that nothing is asked of a colon, a look or a lens in general. What
changes slowly, such as a lens that fogs over a minute, is not noticed.
"""

from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from sim.camera import Camera

DEAD = ("black", "frozen")
"""Causes for which there is nothing to be seen at all."""


@dataclass(frozen=True)
class PictureOptions:
    """When a picture is not fit."""

    black: float = 4.0
    """A picture whose mean is at most this, of 255, is black; the exposure holds live ones near 100."""
    blurred: float = 0.3
    """Share of the usual detail below which a picture is blurred. In `synth:colon:100`, driven by a model, clean frames
    kept 0.39 or more of it, and fog of severity 1 left 0.24 at most;"""
    veiled: float = 0.25
    """of the usual contrast below which it is veiled: clean frames kept 0.43 or more, fog left 0.09 to 0.61;"""
    exposed: float = 0.25
    """and of the usual brightness below which, or over its inverse above which, it is exposed wrongly: that of clean
    frames was 0.39 to 2.2 of the usual."""
    span: int = 50
    """Usual is the median over so many of the last pictures,"""
    least: int = 10
    """and unknown with fewer. Pictures that are not fit are left out of it,"""
    patience: int = 30
    """until so many have come in a row: a picture that stays as it is becomes the usual one."""


@dataclass(frozen=True)
class PictureQuality:
    """What is measured of one picture."""

    brightness: float
    """Mean of the luma within 0 and 255."""
    contrast: float
    """Standard deviation of the luma over its mean."""
    detail: float
    """Mean slope of the smoothed luma [1/px] over its mean."""


class PictureMonitor:
    """Looks at one picture after another and says what is wrong with it."""

    def __init__(self, options: PictureOptions | None = None) -> None:
        self._options = options or PictureOptions()
        self.reset()

    def reset(self) -> None:
        """Forget the last episode."""
        self._last: UInt8[np.ndarray, "h w 3"] | None = None
        self._usual: deque[PictureQuality] = deque(maxlen=self._options.span)
        self._unfit = 0

    def look(self, rgb: UInt8[np.ndarray, "h w 3"], camera: Camera) -> str:
        """Return what is wrong with the next picture: black, frozen, blurred, veiled or exposed; empty if nothing."""
        quality = picture_quality(rgb, _inside(camera))
        frozen = self._last is not None and np.array_equal(self._last, rgb)
        self._last = rgb
        if quality.brightness <= self._options.black:
            return "black"
        return "frozen" if frozen else self._changed(quality)

    def _changed(self, quality: PictureQuality) -> str:
        options = self._options
        cause = ""
        if len(self._usual) >= options.least:
            detail, contrast, brightness = (
                getattr(quality, name) / max(float(np.median([getattr(one, name) for one in self._usual])), 1e-6)
                for name in ("detail", "contrast", "brightness")
            )
            if detail < options.blurred:
                cause = "blurred"
            elif contrast < options.veiled:
                cause = "veiled"
            elif not options.exposed < brightness < 1 / options.exposed:
                cause = "exposed"
        self._unfit = self._unfit + 1 if cause else 0
        if not cause or self._unfit > options.patience:
            self._usual.append(quality)
        return cause


def picture_quality(rgb: UInt8[np.ndarray, "h w 3"], inside: Bool[np.ndarray, "h w"]) -> PictureQuality:
    """Measure a picture where the lens shows something.

    Args:
        rgb: sRGB.
        inside: Where the lens shows something, less its border; all False counts as black.
    """
    if not inside.any():
        return PictureQuality(0.0, 0.0, 0.0)
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    smooth = cv2.blur(luma, (3, 3))
    slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8))
    mean = float(luma[inside].mean())
    over = max(mean, 1.0)
    return PictureQuality(mean, float(luma[inside].std()) / over, float(slope[inside].mean()) / over)


@lru_cache(maxsize=8)
def _inside(camera: Camera) -> Bool[np.ndarray, "h w"]:
    """Where the lens shows something and all around do, if there is such: its rim is an edge that no fog hides."""
    _, shown = camera.rays()
    kept: Bool[np.ndarray, "h w"] = cv2.erode(shown.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return kept if kept.any() else shown

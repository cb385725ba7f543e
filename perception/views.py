"""Altered views of a frame: another zoom, and what another make of endoscope lays over the picture.

A zoom moves pixels and leaves the camera where it is. So distances and directions stay true as long as each pixel takes
its ray along, which the network is told.
"""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

_ZOOM = (0.8, 2.0)  # smallest and largest magnification
_AT_CENTRE = 0.5  # share of the zooms of frames with polyps (or a tip) that go for one,
_SOUGHT_SHARE = (0.01, 0.3)  # until it covers such a share of the picture, as in frames that people take of polyps,
_MOST_ZOOM = 4.0  # but no farther: there is no more detail
_SURROUND, _BOX, _TEXT, _GLINTS, _JPEG = 0.6, 0.25, 0.4, 0.5, 0.5  # shares of the frames of other devices
_BURNT, _LIT, _SHARPENED = 0.25, 0.5, 0.4  # the same
_MOST_GLINTS = 8
_BURNT_SIDE = (0.04, 0.18)  # half axes of a burnt-out patch, as a share of the picture's width
_LIGHT_KNOTS, _LIGHT_SPREAD = 4, 0.3  # of the light's unevenness: a side's knots, standard deviation of its log
_MOST_SHARPENING = 1.5  # of an unsharp mask
_QUALITY = (25, 85)  # of JPEG
_WORDS = ("PATIENT 0417", "12:04:31", "CF", "HR 72", "SNAP 3", "A1 E2", "SEX: F", "Gr: N")


@dataclass(frozen=True)
class Alteration:
    """Shares of the frames that are altered widely."""

    zoomed: float
    """Magnified or shrunk, see `zoomed`."""
    foreign: float
    """Made to look like those of another make of endoscope, see `from_another_device`."""


WIDE = Alteration(zoomed=0.3, foreign=0.2)
"""Of a network that shall drive with the device that it learns from, and know others besides."""
STILLS = Alteration(zoomed=0.7, foreign=0.8)
"""Of one for pictures that people have taken with any device."""


@dataclass(frozen=True)
class View:
    """A frame and what is true of it."""

    rgb: UInt8[np.ndarray, "h w 3"]
    """sRGB."""
    classes: UInt8[np.ndarray, "h w"]
    """Class ids."""
    distance: Float32[np.ndarray, "h w"]
    """Straight-line distance [m]; 0 where not known."""
    rays: Float32[np.ndarray, "h w 3"]
    """Unit direction of each pixel, camera axes; 0 where the lens shows nothing."""
    centres: Float32[np.ndarray, "n 3"]
    """Column u, row v and number of pixels of each polyp, or of the tip."""
    direction: Float32[np.ndarray, "3"]
    """Unit vector to the task's aim, camera axes."""
    visible: bool
    """Whether the aim is seen in this view."""
    sought: int
    """The class of what the centres are of."""


def zoomed(view: View, rng: np.random.Generator) -> View:
    """Magnify or shrink a frame about a place of its own, often a polyp."""
    zoom = float(np.exp(rng.uniform(*np.log(_ZOOM))))
    height, width = view.classes.shape
    middle, size = np.array([(width - 1) / 2, (height - 1) / 2]), np.array([width, height])
    polyp = None
    if len(view.centres) and rng.random() < _AT_CENTRE:
        polyp = view.centres[rng.integers(len(view.centres))]
        share = np.exp(rng.uniform(*np.log(_SOUGHT_SHARE)))
        zoom = float(np.clip(np.sqrt(share * width * height / polyp[2]), 1, _MOST_ZOOM))
    # The window stays within the picture, or the picture within the window.
    room = np.abs(size / 2 * (1 - 1 / zoom))
    aim = middle + rng.uniform(-room, room)
    if polyp is not None:
        aim = np.clip(polyp[:2] + rng.uniform(-0.25, 0.25, 2) * size / zoom, middle - room, middle + room)
    return magnified(view, zoom, aim)


def magnified(view: View, zoom: float, aim: NDArray[np.float64]) -> View:
    """Magnify a view so that the place `aim` (u, v) [px] comes to its middle; beyond its edges nothing is shown."""
    height, width = view.classes.shape
    offset = np.array([(width - 1) / 2, (height - 1) / 2]) - zoom * np.asarray(aim)
    matrix = np.array([[zoom, 0, offset[0]], [0, zoom, offset[1]]])

    def warp(image: NDArray[Any], method: int) -> NDArray[Any]:
        return np.asarray(cv2.warpAffine(np.ascontiguousarray(image), matrix, (width, height), flags=method))

    rays = warp(view.rays, cv2.INTER_LINEAR)
    squared = np.einsum("hwc,hwc->hw", rays, rays)  # less than 1 between rays, 0 beyond the lens
    scale = np.where(squared > 0.25, 1 / np.sqrt(np.maximum(squared, 0.25)), 0).astype(np.float32)
    centres = view.centres.copy()
    centres[:, :2] = zoom * centres[:, :2] + offset
    centres[:, 2] *= zoom**2
    inside = ((centres[:, :2] >= -0.5) & (centres[:, :2] < np.array([width, height]) - 0.5)).all(axis=1)
    visible = view.visible
    if visible:
        row, column = np.unravel_index(int(np.argmax(view.rays @ view.direction)), (height, width))
        ahead = zoom * np.array([column, row]) + offset
        visible = bool((ahead >= -0.5).all() and (ahead < np.array([width, height]) - 0.5).all())
    return replace(
        view,
        rgb=warp(view.rgb, cv2.INTER_LINEAR),
        classes=warp(view.classes, cv2.INTER_NEAREST),
        distance=warp(view.distance, cv2.INTER_NEAREST),
        rays=rays * scale[..., None],
        centres=centres[inside],
        visible=visible,
    )


def from_another_device(view: View, rng: np.random.Generator) -> View:
    """Make a frame look as if it came from another make of endoscope, whose gain is not known.

    Uneven light, burnt-out patches, sharpened edges, glints, a dark surround of another shape, a small picture in
    a corner, lettering, and the traces of JPEG. What is covered by surround or box counts as background; lettering,
    glints and burnt-out patches leave the truth beneath them. Brightness then tells no distance, so none is given.
    """
    rgb, classes = _lit_otherwise(view.rgb, rng), view.classes.copy()
    height, width = classes.shape
    if rng.random() < _GLINTS:
        for _ in range(rng.integers(1, _MOST_GLINTS + 1)):
            place = int(rng.integers(width)), int(rng.integers(height))
            axes = int(rng.integers(1, max(2, width // 40) + 1)), int(rng.integers(1, max(2, width // 60) + 1))
            level = int(rng.integers(200, 256))
            if view.rays[place[1], place[0]].any():
                cv2.ellipse(rgb, place, axes, float(rng.uniform(0, 180)), 0, 360, (level, level, level), cv2.FILLED)
    if rng.random() < _SURROUND:
        hidden = ~_shape(height, width, rng)
        rgb[hidden], classes[hidden] = rng.integers(0, 16), 0
    if rng.random() < _BOX:
        side = rng.integers(width // 8, width // 3, 2)
        top, left = int(rng.choice([0, height - side[1]])), int(rng.choice([0, width - side[0]]))
        box = slice(top, top + int(side[1])), slice(left, left + int(side[0]))
        rgb[box], classes[box] = rng.integers((0, 20, 0), (50, 130, 60)), 0
    if rng.random() < _TEXT:
        for _ in range(rng.integers(1, 5)):
            word, level = str(rng.choice(_WORDS)), int(rng.integers(140, 256))
            place = int(rng.integers(-4, width // 2)), int(rng.integers(6, height))
            size = float(rng.uniform(0.2, 0.35)) * width / 128
            cv2.putText(rgb, word, place, cv2.FONT_HERSHEY_SIMPLEX, size, (level, level, level), 1)
    if rng.random() < _JPEG:
        _, data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*_QUALITY))])
        rgb = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
    rows, columns = (np.rint(view.centres[:, axis]).astype(int) for axis in (1, 0))
    kept = [
        (classes[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] == view.sought).any()
        for row, column in zip(rows, columns, strict=True)
    ]
    centres = view.centres[np.array(kept, np.bool_)]
    return replace(view, rgb=rgb, classes=classes, distance=np.zeros_like(view.distance), centres=centres)


def _lit_otherwise(rgb: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light a picture unevenly, burn a patch of it out, sharpen its edges: each of them in some pictures."""
    height, width = rgb.shape[:2]
    lit = np.array(rgb, np.float32, order="C")
    if rng.random() < _LIT:
        knots = rng.normal(0, _LIGHT_SPREAD, (_LIGHT_KNOTS, _LIGHT_KNOTS)).astype(np.float32)
        lit *= np.exp(cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC))[..., None]
    if rng.random() < _BURNT:
        place = int(rng.integers(width)), int(rng.integers(height))
        axes = tuple(max(1, int(side * width)) for side in rng.uniform(*_BURNT_SIDE, 2))
        patch = np.zeros((height, width), np.float32)
        cv2.ellipse(patch, place, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, cv2.FILLED)
        light = cv2.GaussianBlur(patch, (0, 0), float(rng.uniform(0.2, 0.6)) * min(axes))
        lit += 255 * float(rng.uniform(0.5, 2)) * light[..., None] * (rgb > 0)  # not in the surround
    if rng.random() < _SHARPENED:
        blurred = cv2.GaussianBlur(lit, (0, 0), float(rng.uniform(0.6, 1.5)))
        lit += float(rng.uniform(0, _MOST_SHARPENING)) * (lit - blurred)
    return np.ascontiguousarray(np.clip(lit, 0, 255), dtype=np.uint8)


def _shape(height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw the part of the picture that a device shows: a disc, or a rectangle with its corners cut or rounded."""
    shown = np.zeros((height, width), np.uint8)
    centre = np.array([width / 2, height / 2]) * rng.uniform(0.92, 1.08, 2)
    half = np.array([width / 2, height / 2]) * rng.uniform(0.8, 1.05, 2)
    kind = rng.integers(3)
    if kind == 0:
        cv2.circle(shown, (int(centre[0]), int(centre[1])), int(width * rng.uniform(0.46, 0.6)), 1, cv2.FILLED)
    elif kind == 1:
        cut = rng.uniform(0.05, 0.6)
        x, y = half
        corners = [(x, y * (1 - cut)), (x * (1 - cut), y)]
        corners += [(-u, v) for u, v in reversed(corners)]
        corners += [(-u, -v) for u, v in corners]
        cv2.fillPoly(shown, [(centre + np.array(corners)).astype(np.int32)], 1)
    else:
        power = rng.uniform(3, 10)
        v, u = np.mgrid[0:height, 0:width]
        shown = (((np.abs(u - centre[0]) / half[0]) ** power + (np.abs(v - centre[1]) / half[1]) ** power) < 1).astype(
            np.uint8
        )
    return shown > 0

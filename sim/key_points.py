"""Named points of instruments in a picture: where they are projected, and whether they are seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from assets.errors import InputError
from assets.transforms import apply, inverse
from sim.frame import Frame

Sight = Literal["visible", "occluded", "outside"]

REACH = 0.006
"""How far a point may lie under its own instrument's surface [m] and still count as seen: a point on the axis of a
10 mm shaft is 5 mm under it."""
_AHEAD = 2e-3  # share of the distance by which a surface must lie before a point to hide it


@dataclass(frozen=True)
class KeyPoint:
    """One named point in a frame."""

    name: str
    instance: int
    """Instance id of the thing that it belongs to."""
    pixel: tuple[float, float]
    """(u, v) [px], the centre of the top left pixel is (0, 0); (0, 0) for a point behind the lens."""
    depth: float
    """z-depth [m]; not above 0 for a point behind the lens."""
    sight: Sight
    """`visible`: nothing lies before it, or only its own thing, by at most `REACH`. `occluded`: something else does, or
    more of its own. `outside`: beside the picture, in its dark surround, or behind the lens."""

    def meta(self) -> dict[str, Any]:
        """Return what a sample's meta.json notes of it under `keypoints`; meant for points inside the picture."""
        return {
            "name": self.name,
            "instance": self.instance,
            "pixel": list(self.pixel),
            "visible": self.sight == "visible",
        }


def locate_key_points(
    points: Mapping[str, Float[np.ndarray, "3"]], frame: Frame, *, instance: int, reach: float = REACH
) -> list[KeyPoint]:
    """Project points into a frame and look at the frame's own depth and ids for what lies before them.

    Args:
        points: World frame [m], by name, as of `sim.instruments.posed.key_points`.
        frame: What the camera saw at that time.
        instance: Id of the thing whose points they are (`RenderScene.things`).
        reach: How far a point may lie under its own thing's surface [m].

    Returns:
        A key point for each, in the same order.

    Raises:
        InputError: A point is not finite.
    """
    if not points:
        return []
    world: NDArray[np.float64] = np.stack([np.asarray(point, np.float64) for point in points.values()])
    if not np.isfinite(world).all():
        raise InputError(f"key points: expected finite points, found {world.tolist()}")
    local = apply(inverse(frame.T_world_camera), world)
    pixels, in_front = frame.camera.project(local)
    _, shown = frame.camera.rays()
    height, width = frame.depth.shape
    result = []
    for name, place, (u, v), front in zip(points, local, pixels, in_front, strict=True):
        inside = bool(front) and -0.5 <= u <= width - 0.5 and -0.5 <= v <= height - 0.5
        row, column = (min(max(round(v), 0), height - 1), min(max(round(u), 0), width - 1)) if inside else (0, 0)
        sight: Sight = "outside"
        if inside and shown[row, column]:
            sight = "visible" if _seen(frame, row, column, place, instance, reach) else "occluded"
        pixel = (float(u), float(v)) if front else (0.0, 0.0)
        result.append(KeyPoint(name, instance, pixel, float(place[2]), sight))
    return result


def shown_points(points: Sequence[KeyPoint], shown: Bool[np.ndarray, "h w"]) -> list[KeyPoint]:
    """Return the points that are not outside, and whose pixel is shown."""
    height, width = shown.shape
    return [
        point
        for point in points
        if point.sight != "outside"
        and shown[min(max(round(point.pixel[1]), 0), height - 1), min(max(round(point.pixel[0]), 0), width - 1)]
    ]


def _seen(frame: Frame, row: int, column: int, place: NDArray[np.float64], instance: int, reach: float) -> bool:
    """Compare a point with the surface that its pixel shows, along the ray."""
    z = float(frame.depth[row, column])
    if z == 0:
        return True
    before = (float(place[2]) - z) * float(np.linalg.norm(place)) / float(place[2])
    allowed = reach if frame.instance[row, column] == instance else _AHEAD * float(np.linalg.norm(place))
    return before <= allowed

"""The objects in a frame: their masks, boxes and key points."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from scenarios.export.source import View


@dataclass(frozen=True)
class Instance:
    """One object as a frame shows it."""

    number: int
    """As in instance.png: 1 + the index of the object in the scene."""
    label: int
    """As in semantic.png."""
    mask: NDArray[np.bool_]
    """What is seen of it, shape (h, w)."""
    box: tuple[int, int, int, int]
    """Of its pixels: left, top, width, height [px]."""

    @property
    def area(self) -> int:
        """Pixels."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True)
class KeyPoint:
    """A named point of an object in the picture."""

    name: str
    instance: int
    """Number of the object."""
    pixel: tuple[float, float]
    """(u, v) [px]; the centre of the top left pixel is (0, 0)."""
    visible: bool
    """False where something hides it."""


def instances(view: View) -> Iterator[Instance]:
    """Give each object of a frame, by number and label.

    Raises:
        InputError: A mask is missing or damaged, or of another size than the camera's.
    """
    semantic, instance = view.sample.channel("semantic"), view.sample.channel("instance")
    if not semantic.shape == instance.shape == (view.camera.height, view.camera.width):
        raise InputError(
            f"{view.sample.where}: expected masks of {view.camera.width} x {view.camera.height} px as the camera, "
            f"found {semantic.shape[1]} x {semantic.shape[0]} and {instance.shape[1]} x {instance.shape[0]}"
        )
    both = semantic.astype(np.uint32) | (instance.astype(np.uint32) << 8)
    for code in np.unique(both[semantic > 0]).tolist():
        mask = both == code
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        left, top = int(columns[0]), int(rows[0])
        box = (left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1)
        yield Instance(code >> 8, code & 255, mask, box)


def key_points(view: View) -> list[KeyPoint]:
    """Read the key points of a frame: `keypoints` in meta.json, a list of name, instance, pixel and visible.

    Raises:
        InputError: They have another form.
    """
    stored = view.meta.get("keypoints", [])
    try:
        return [_key_point(one) for one in stored]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{view.sample.where}.meta.json: expected keypoints with name, instance, pixel and visible, "
            f"found {type(error).__name__}: {error}"
        ) from None


def _key_point(stored: dict[str, Any]) -> KeyPoint:
    u, v = map(float, stored["pixel"])
    return KeyPoint(str(stored["name"]), int(stored["instance"]), (u, v), bool(stored["visible"]))

"""From the ground truth of a frame to what the network should say of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Num, UInt8, UInt16
from numpy.typing import NDArray

from assets.errors import InputError
from assets.labels import label_id
from perception.prediction import LUMEN, LUMEN_DISTANCE, POLYP, WALL
from perception.survey_classes import survey_class_map
from perception.tasks import COLONOSCOPY, LIVER_SURVEY, PerceptionTask, task_named
from sim.camera import Camera
from sim.shards import Sample

_ON_WALL = ("colon_wall", "blood", "stool", "bowel_fluid")
LEAST_POLYP = 4
"""[px] A polyp of which less is seen has no centre."""

_LABELS = (*_ON_WALL, "polyp")
_NEEDED = {COLONOSCOPY.name: ("colon_wall", "polyp"), LIVER_SURVEY.name: ("liver",)}
"""Labels whose ids a frame of the task must name."""

_TIP_PIXELS = 64  # size that a tip is given: the heat map's peak is as narrow as it may be


@dataclass(frozen=True)
class Targets:
    """What is seen and what should be said of it."""

    rgb: UInt8[np.ndarray, "h w 3"]
    """sRGB."""
    exposure: float
    """Gain of the image, a reading of the device; 1 is nominal."""
    camera: Camera
    """The lens."""
    classes: UInt8[np.ndarray, "h w"]
    """Ids of the task's classes."""
    depth: Float32[np.ndarray, "h w"]
    """z-depth [m]; 0 where nothing."""
    valid: Bool[np.ndarray, "h w"]
    """True where the depth is known."""
    lumen_direction: Float32[np.ndarray, "3"]
    """Unit vector to the task's aim, camera axes: down the lumen, or to the instrument's tip."""
    lumen_visible: bool
    """Whether the aim is seen."""
    centres: Float32[np.ndarray, "n 3"]
    """Column u, row v [px] and visible pixels of each polyp that is nearer than LUMEN_DISTANCE, the largest first; or
    of the tip, if it is seen."""
    sought: Bool[np.ndarray, "h w"]
    """True for the pixels of what is sought at any distance: a polyp beyond LUMEN_DISTANCE is class lumen."""
    time: float
    """Simulated time of the frame in its episode [s]; 0 where the sample does not say."""
    patient: str
    """Splits and intervals go by this."""
    task: PerceptionTask
    """What the frame was recorded for."""


def sample_targets(sample: Sample) -> Targets:
    """Decode what training needs of a sample.

    Raises:
        InputError: A member is missing or damaged, sizes differ, or meta.json lacks what the targets need.
    """
    meta = sample.meta()
    camera = camera_from_json(meta.get("camera"), f"{sample.where}.meta.json")
    rgb, semantic, depth = sample.channel("rgb"), sample.channel("semantic"), sample.channel("depth")
    instance = sample.channel("instance")
    for name, array in (("rgb", rgb), ("semantic", semantic), ("depth", depth), ("instance", instance)):
        if array.shape[:2] != (camera.height, camera.width):
            raise InputError(
                f"{sample.where}.{name}.png: expected {camera.width} x {camera.height} px as its camera, "
                f"found {array.shape[1]} x {array.shape[0]}"
            )
    # Frames recorded before there was a second task name none.
    task = task_named(meta.get("task", COLONOSCOPY.name), f"{sample.where}.meta.json: task")
    labels = _labels(meta, _NEEDED[task.name], sample.where)
    direction, visible = _direction(meta, sample.where), _flag(meta, "lumen_visible", sample.where)
    if task is COLONOSCOPY:
        classes = class_map(semantic, depth, camera, labels=labels)
        centres = polyp_centres(classes, instance)
        sought = semantic == labels["polyp"]
    else:
        classes = survey_class_map(semantic, depth, labels=labels)
        centres = tip_centre(direction, camera) if visible else np.zeros((0, 3), np.float32)
        sought = classes == task.sought
    return Targets(
        rgb=rgb,
        exposure=_positive(meta, "exposure", sample.where),
        camera=camera,
        classes=classes,
        depth=depth,
        valid=depth > 0,
        lumen_direction=direction,
        lumen_visible=visible,
        centres=centres,
        sought=sought,
        time=_time(meta, sample.where),
        patient=_text(meta, "patient", sample.where),
        task=task,
    )


def polyp_centres(classes: UInt8[np.ndarray, "h w"], instance: UInt16[np.ndarray, "h w"]) -> NDArray[np.float32]:
    """Find the middle of what is seen of each polyp.

    Args:
        classes: Class ids.
        instance: Which thing each pixel shows.

    Returns:
        Column u, row v [px] and number of pixels of each polyp of at least LEAST_POLYP, the largest first, shape
        (polyps, 3).
    """
    rows, columns = np.nonzero(classes == POLYP)
    ids, member, pixels = np.unique(instance[rows, columns], return_inverse=True, return_counts=True)
    u = np.bincount(member, weights=columns, minlength=len(ids)) / np.maximum(pixels, 1)
    v = np.bincount(member, weights=rows, minlength=len(ids)) / np.maximum(pixels, 1)
    found = np.column_stack([u, v, pixels])[pixels >= LEAST_POLYP]
    return found[np.argsort(-found[:, 2], kind="stable")].astype(np.float32)


def tip_centre(direction: Float32[np.ndarray, "3"], camera: Camera) -> NDArray[np.float32]:
    """Return column u and row v [px] of what lies in a direction (camera axes), and the size it is given.

    Returns:
        Shape (1, 3); none, (0, 3), if it is outside of the picture.
    """
    pixel, before = camera.project(direction[None].astype(np.float64))
    inside = before & ((pixel > -0.5) & (pixel < np.array([camera.width, camera.height]) - 0.5)).all(axis=1)
    return np.column_stack([pixel, np.full(1, _TIP_PIXELS)])[inside].astype(np.float32)


def class_map(
    semantic: UInt8[np.ndarray, "h w"],
    depth: Float32[np.ndarray, "h w"],
    camera: Camera,
    *,
    labels: Mapping[str, int] | None = None,
) -> NDArray[np.uint8]:
    """Sort pixels into `perception.prediction.CLASSES`.

    Whatever lies farther than LUMEN_DISTANCE from the camera, in a straight line, is lumen, a polyp too. Blood,
    stool and fluid that hide the wall count as wall.

    Args:
        semantic: Label ids.
        depth: z-depth [m]; 0 where nothing.
        camera: The lens.
        labels: Ids by name, as the mask has them; None takes those of `assets/labels.csv`.

    Returns:
        Class ids, shape (h, w).

    Raises:
        KeyError: `labels` lacks colon_wall or polyp.
    """
    ids = {name: label_id(name) for name in _LABELS} if labels is None else labels
    of_label = np.zeros(256, np.uint8)
    of_label[[ids[name] for name in _ON_WALL if name in ids]] = WALL
    of_label[ids["polyp"]] = POLYP
    classes: NDArray[np.uint8] = cv2.LUT(semantic, of_label)
    classes[straight_distance(depth, camera) > LUMEN_DISTANCE] = LUMEN
    return classes


def straight_distance(depth: Num[np.ndarray, "*n h w"], camera: Camera) -> NDArray[np.float32]:
    """Turn z-depth [m], shape (..., h, w), into the distance from the camera's centre along each pixel's ray."""
    return np.asarray(depth * _distance_of_unit_depth(camera), dtype=np.float32)


@lru_cache(maxsize=8)
def _distance_of_unit_depth(camera: Camera) -> NDArray[np.float32]:
    rays, shown = camera.rays()
    # A point at distance d along the unit ray r has depth d r_z.
    return np.where(shown, 1 / np.where(shown, rays[..., 2], 1), 0).astype(np.float32)


def camera_from_json(stored: Any, where: str) -> Camera:
    """Make a camera from what `dataclasses.asdict` made of one.

    Raises:
        InputError: A value is missing, of another kind, or no camera has it; the line starts with `where`.
    """
    try:
        return Camera(**{**stored, "distortion": tuple(map(float, stored["distortion"]))})
    except (TypeError, KeyError, ValueError, InputError) as error:
        raise InputError(f"{where}: expected a camera, found {type(error).__name__}: {error}") from None


def _labels(meta: Mapping[str, Any], needed: Sequence[str], where: str) -> dict[str, int]:
    labels = meta.get("labels")
    if not isinstance(labels, dict) or not all(isinstance(labels.get(name), int) for name in needed):
        raise InputError(
            f"{where}.meta.json: expected labels with ids of {' and '.join(needed)}, found {labels!r:.100}"
        )
    return labels


def _direction(meta: Mapping[str, Any], where: str) -> NDArray[np.float32]:
    stored = meta.get("lumen_direction")
    if (
        not isinstance(stored, list)
        or len(stored) != 3
        or not all(isinstance(value, (int, float)) for value in stored)
        or not abs(np.linalg.norm(stored) - 1) < 1e-3
    ):
        raise InputError(f"{where}.meta.json: expected a unit vector as lumen_direction, found {stored!r:.100}")
    return np.array(stored, np.float32)


def _positive(meta: Mapping[str, Any], key: str, where: str) -> float:
    value = meta.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise InputError(f"{where}.meta.json: expected a positive number as {key}, found {value!r:.100}")
    return float(value)


def _time(meta: Mapping[str, Any], where: str) -> float:
    value = meta.get("time", 0.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise InputError(f"{where}.meta.json: expected a time of 0 or more, found {value!r:.100}")
    return float(value)


def _flag(meta: Mapping[str, Any], key: str, where: str) -> bool:
    value = meta.get(key)
    if not isinstance(value, bool):
        raise InputError(f"{where}.meta.json: expected true or false as {key}, found {value!r:.100}")
    return value


def _text(meta: Mapping[str, Any], key: str, where: str) -> str:
    value = meta.get(key)
    if not isinstance(value, str) or not value:
        raise InputError(f"{where}.meta.json: expected text as {key}, found {value!r:.100}")
    return value

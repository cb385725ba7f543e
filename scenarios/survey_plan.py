"""The plan of a liver survey, made on the patient's own map: from where each Couinaud segment can be looked at.

The map is the patient's liver, registered to the port, and its segments (`assets.couinaud`): it tells which segment a
pixel shows if it shows liver at all. What hides the liver it does not know; that the picture must tell. The other
organs are taken for one thing alone: where shaft and tip would come too near to them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8
from numpy.typing import NDArray

from assets.couinaud import NUMBERS, segments_of
from assets.patient import Organ, Patient
from assets.transforms import apply, inverse, unit
from scenarios.survey_reach import OFF_AXIS, ROLLS, Reach
from scenarios.survey_stage import Stage
from sim.camera import Camera
from sim.instruments.laparoscope import laparoscope_camera
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject

SHARP = (0.030, 0.120)
"""Distance from the lens within which the picture is sharp [m]; chosen: laparoscopes are focused on 50 to 100 mm."""
CENTRE = 0.5
"""Share of the width, and of the height, that is the middle of the picture."""
SHOWN = 0.02
"""A frame shows a segment when so large a share of its pixels does, in the middle and within SHARP."""
CAN_BE_SEEN = 1.25 * SHOWN
"""Share that a free pose must show of a segment that counts as one that can be seen: in a picture of another size some
pixels more or less fall to it."""
_POINTS, _DISTANCES = 6, (0.060, 0.085)
_KEPT = 3  # views of each segment in the plan
_SMALL = 48  # px of the pictures with which views are judged


@dataclass(frozen=True, eq=False)
class View:
    """Somewhere to look from."""

    joints: Float64[np.ndarray, "4"]
    """Yaw, pitch, insertion, roll of the laparoscope [rad or m]."""
    segment: int
    """What it is there to show."""
    shown: frozenset[int]
    """Segments that it shows if nothing hides them."""


class LiverMap:
    """The registered liver: which segment it would show where, if it alone were there. Owns a renderer."""

    def __init__(self, patient: Patient, liver: SceneObject, camera: Camera) -> None:
        """Take the patient's liver and the camera that looks at it."""
        self._segment = np.append(segments_of(patient).of_triangles(liver.mesh), 0).astype(np.uint8)
        self._renderer = Renderer([liver], camera, threads=1)

    def close(self) -> None:
        """Give back the renderer."""
        self._renderer.close()

    def look(
        self, T_world_camera: Float[np.ndarray, "4 4"]
    ) -> tuple[UInt8[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
        """Return the segment, 0 for none, and the z-depth [m] of each pixel."""
        seen = self._renderer.visibility(T_world_camera)
        return self._segment[seen.triangle], seen.depth


def segments_shown(
    segments: UInt8[np.ndarray, "h w"], depth: Float32[np.ndarray, "h w"], camera: Camera, *, share: float = SHOWN
) -> frozenset[int]:
    """Return the segments that a frame shows: enough pixels in the middle of the picture, at a distance that is sharp.

    Args:
        segments: Segment of each pixel that shows liver; 0 elsewhere.
        depth: z-depth [m].
        camera: The lens.
        share: Of all pixels, that is enough.
    """
    counts = np.bincount(segments[_middle(camera) & sharp(depth, camera)], minlength=max(NUMBERS) + 1)
    least = share * segments.size
    return frozenset(number for number in NUMBERS if counts[number] >= least)


def sharp(depth: Float32[np.ndarray, "h w"], camera: Camera) -> Bool[np.ndarray, "h w"]:
    """Tell where the picture is sharp: the straight-line distance is within SHARP."""
    rays, shown = camera.rays()
    distance = depth / np.where(shown, rays[..., 2], 1.0)
    return np.asarray(shown & (distance >= SHARP[0]) & (distance <= SHARP[1]))


def _middle(camera: Camera) -> NDArray[np.bool_]:
    row, column = np.mgrid[0 : camera.height, 0 : camera.width]
    across = np.abs(column - (camera.width - 1) / 2) <= CENTRE * camera.width / 2
    return np.asarray(across & (np.abs(row - (camera.height - 1) / 2) <= CENTRE * camera.height / 2))


def candidate_views(reach: Reach, patient: Patient, liver: Organ) -> list[NDArray[np.float64]]:
    """Return joints that look at places all over each segment from some sides, free of contact."""
    mesh = liver.surface
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    middles = corners.mean(axis=1)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    owner = segments_of(patient).of_triangles(mesh)
    port = reach.T_world_port[:3, 3]
    towards = ((port - middles) * normals).sum(axis=1) > 0  # what faces away from the port is seen from nowhere near it
    found = []
    for number in NUMBERS:
        own = np.flatnonzero((owner == number) & towards)
        own = own if len(own) else np.flatnonzero(owner == number)
        for index in _spread(middles[own], _POINTS) if len(own) else []:
            point = middles[own[index]]
            away = float(np.linalg.norm(point - port))
            for distance in _DISTANCES:
                for roll in np.linspace(-np.pi, np.pi, ROLLS, endpoint=False):
                    joints, left = reach.aim(point, insertion=max(0.02, away - distance), roll=float(roll))
                    if left <= OFF_AXIS:
                        found.append(joints)
    if not found:
        return []
    free = reach.free(np.array(found))
    return [joints for joints, clear in zip(found, free, strict=True) if clear and reach.reachable(joints)]


def _spread(points: NDArray[np.float64], count: int) -> list[int]:
    """Pick points far from each other, the first nearest to the middle of all."""
    chosen = [int(np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1)))]
    nearest = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


@dataclass(frozen=True, eq=False)
class SurveyPlan:
    """Where to look from, segment by segment, and what can be seen at all."""

    reach: Reach
    views: dict[int, tuple[View, ...]]
    """By segment, the most promising first."""
    visible: frozenset[int]
    """Segments that some free pose shows past all organs: the truth, not for drivers."""
    stage: Stage
    """Where the other instrument works."""


def make_plan(
    patient: Patient,
    reach: Reach,
    objects: tuple[SceneObject, ...],
    stage: Stage,
) -> SurveyPlan:
    """Judge candidate views in small pictures: by the liver alone for the plan, past all organs for the truth.

    Args:
        patient: With a liver that can be parted.
        reach: Of the laparoscope.
        objects: The organs as the renderer has them, without instruments.
        stage: Where the other instrument works.
    """
    liver = next(organ for organ in patient.organs if organ.label == "liver")
    index = next(k for k, item in enumerate(objects) if item.name == liver.name)
    first = sum(len(item.mesh.triangles) for item in objects[:index])
    camera = laparoscope_camera(_SMALL, _SMALL)
    owner = np.append(segments_of(patient).of_triangles(liver.surface), 0).astype(np.uint8)
    candidates = candidate_views(reach, patient, liver)
    liver_map = LiverMap(patient, objects[index], camera)
    rated: dict[int, list[tuple[float, View]]] = {}
    visible: set[int] = set()
    with Renderer(objects, camera, threads=1) as everything:
        for joints in candidates:
            pose = reach.camera_pose(joints)
            segments, depth = liver_map.look(pose)
            shown = segments_shown(segments, depth, camera, share=CAN_BE_SEEN)
            for number in shown:  # whichever it was aimed at: some segments are shown beside others alone
                score = float((segments[_middle(camera) & sharp(depth, camera)] == number).mean())
                rated.setdefault(number, []).append((score, View(joints, number, shown)))
            seen = everything.visibility(pose)
            on_liver = (seen.triangle >= first) & (seen.triangle < first + len(liver.surface.triangles))
            really = owner[np.where(on_liver, seen.triangle - first, -1)]
            visible |= segments_shown(really, seen.depth, camera, share=CAN_BE_SEEN)
    liver_map.close()
    views = {number: _different(sorted(some, key=lambda one: -one[0])) for number, some in rated.items()}
    return SurveyPlan(reach, views, frozenset(visible), stage)


def _different(rated: list[tuple[float, View]]) -> tuple[View, ...]:
    """Keep the best views that are not next to a better one."""
    kept: list[View] = []
    for _, view in rated:
        if all(np.abs(view.joints - other.joints)[[0, 1, 3]].max() > 0.25 for other in kept):
            kept.append(view)
        if len(kept) == _KEPT:
            break
    return tuple(kept)


def direction_to(T_world_camera: Float[np.ndarray, "4 4"], point: Float[np.ndarray, "3"]) -> NDArray[np.float64]:
    """Return the unit vector from the lens to a point [m], camera axes."""
    return unit(apply(inverse(np.asarray(T_world_camera)), np.asarray(point, dtype=np.float64)))

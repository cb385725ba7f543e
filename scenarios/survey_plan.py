"""The plan of a liver survey, made on the patient's own map: from where each Couinaud segment can be looked at.

The map is the patient's liver, registered to the port, and its segments (`assets.couinaud`): it tells which segment a
pixel shows if it shows liver at all. What hides the liver it does not know; that the picture must tell. The other
organs are taken for one thing alone: where shaft and tip would come too near to them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assets.couinaud import NUMBERS, segments_of
from assets.errors import InputError
from assets.instruments.device import Device
from assets.mesh_check import vertex_normals
from assets.patient import Organ, Patient
from assets.transforms import apply, inverse, unit
from sim.camera import Camera
from sim.instruments.laparoscope import T_tip_camera, laparoscope_camera
from sim.laparoscopy.aim import look_at
from sim.laparoscopy.placement import start_joints
from sim.render.renderer import Renderer
from sim.robots.kinematics import tip_pose
from sim.scene_objects import SceneObject

SHARP = (0.030, 0.120)
"""Distance from the lens within which the picture is sharp [m]; chosen: laparoscopes are focused on 50 to 100 mm."""
CENTRE = 0.5
"""Share of the width, and of the height, that is the middle of the picture."""
SHOWN = 0.02
"""A frame shows a segment when so large a share of its pixels does, in the middle and within SHARP."""
MARGIN = 0.005
"""Shaft and tip keep this far from all organs [m], on top of the shaft's radius."""
_LEAN = (
    0.46  # near the port: room that is kept to the wall, as a share of the way from the port; the sine of 27 degrees
)
_SKIPPED = 0.008  # m of shaft behind the port, in the wall itself
_COARSE = 0.004  # m: of triangles with longer edges more than the corners is asked for its distance
_POINTS, _DISTANCES, _ROLLS = 6, (0.060, 0.085), 4
_OFF_AXIS = 0.05  # rad that the arm's limits may leave between the axis of view and the point
_ALONG = 20  # points on a shaft that are asked for their distance
_RETRACTED = 0.040  # m: with the tip so far inside it may turn anywhere
_KEPT = 3  # views of each segment in the plan
_PLACES, _ABOUT = 400, 0.06  # places that are tried for the stage, and how far off the straight way [m]
_ROOM = 0.022  # m on all sides of the stage's centre
_WIDEST = 0.025  # m: how far from it the instrument moves at most
_STAGE_DISTANCE = 0.085  # m from the lens to the stage
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
    segments: UInt8[np.ndarray, "h w"], depth: Float32[np.ndarray, "h w"], camera: Camera
) -> frozenset[int]:
    """Return the segments that a frame shows: enough pixels in the middle of the picture, at a distance that is sharp.

    Args:
        segments: Segment of each pixel that shows liver; 0 elsewhere.
        depth: z-depth [m].
        camera: The lens.
    """
    counts = np.bincount(segments[_middle(camera) & sharp(depth, camera)], minlength=max(NUMBERS) + 1)
    least = SHOWN * segments.size
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


class Room:
    """The gas in the abdomen: how far a point in it is from all organs and the wall."""

    def __init__(self, patient: Patient) -> None:
        """Take the organs; of hollow ones the outer wall counts, of the abdominal wall what encloses the gas."""
        points, normals = [], []
        for organ in patient.organs:
            inside = organ.label == "abdominal_wall" and organ.kind == "lumen"
            if organ.kind == "lumen" and not inside:
                continue
            vertices = organ.surface.vertices.astype(np.float64)
            points.append(vertices)
            # A solid's normals point into the gas; those of the lumen that encloses it point out of it.
            sign = -1 if inside else 1
            normals.append(sign * vertex_normals(vertices, organ.surface.triangles))
            between, across = _between(vertices[organ.surface.triangles])
            points.append(between)
            normals.append(sign * across)
        self._points, self._normals = np.concatenate(points), np.concatenate(normals)
        self._tree = cKDTree(self._points)

    def about(self, points: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n"]:
        """Return the distance of each point to what is nearest [m]; negative outside of the gas."""
        distance, nearest = self._tree.query(points)
        side = ((points - self._points[nearest]) * self._normals[nearest]).sum(axis=1)
        return np.asarray(np.where(side >= 0, distance, -distance))


def _between(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return middles of edges and triangles, shape (n, 3), of large triangles (t, 3, 3), and the normals there."""
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    large = corners[longest > _COARSE]
    normal = np.cross(large[:, 1] - large[:, 0], large[:, 2] - large[:, 0])
    middles = np.concatenate([(large + np.roll(large, 1, axis=1)) / 2, large.mean(axis=1, keepdims=True)], axis=1)
    return middles.reshape(-1, 3), np.repeat(normal, 4, axis=0)


class Reach:
    """Where a laparoscope in its trocar may be: within the arm's limits, and clear of all organs."""

    def __init__(
        self, device: Device, T_world_port: Float[np.ndarray, "4 4"], patient: Patient, camera_roll: float = 0.0
    ) -> None:
        """Take the laparoscope, its trocar, the organs, and how the camera head is turned."""
        self.device, self.T_world_port, self.camera_roll = device, np.asarray(T_world_port), camera_roll
        assert device.head is not None
        self._view_angle = device.head.view_angle
        self._radius = max(ball.radius for part in device.parts for ball in part.balls)
        self._room = Room(patient)

    def camera_pose(self, joints: Float64[np.ndarray, "4"]) -> NDArray[np.float64]:
        """Return T_world_camera for joints."""
        optics = T_tip_camera(self._view_angle, float(joints[3]), self.camera_roll)
        return np.asarray(self.T_world_port @ tip_pose(self.device.arm, joints) @ optics)

    def depth(self, joints: Float64[np.ndarray, "4"]) -> float:
        """Return how far the tip is beyond the port [m]."""
        return float(np.linalg.norm(tip_pose(self.device.arm, joints)[:3, 3]))

    def free(self, joints: Float64[np.ndarray, "n 4"]) -> Bool[np.ndarray, "n"]:
        """Tell whether shaft and tip are in the gas and clear of the organs, for each row of joints."""
        port = self.T_world_port[:3, 3]
        tips = (self.T_world_port @ tip_pose(self.device.arm, joints))[:, :3, 3]
        lengths = np.linalg.norm(tips - port, axis=1)
        from_port = np.minimum(_SKIPPED / np.maximum(lengths, 1e-9), 1.0)[:, None]
        along = from_port + (1 - from_port) * np.linspace(0.0, 1.0, _ALONG)
        points = port + along[..., None] * (tips - port)[:, None, :]
        room = self._room.about(points.reshape(-1, 3)).reshape(points.shape[:2])
        wanted = np.minimum(self._radius + MARGIN, _LEAN * along * lengths[:, None])
        return np.asarray((room >= wanted).all(axis=1))

    def aim(
        self, point: Float64[np.ndarray, "3"], *, insertion: float, roll: float
    ) -> tuple[NDArray[np.float64], float]:
        """Return joints that look at a point, with the tip so far beyond the port, and the angle that is left [rad]."""
        return look_at(
            self.device, self.T_world_port, point, insertion=insertion, roll=roll, camera_roll=self.camera_roll
        )

    def way(self, start: Float64[np.ndarray, "4"], end: Float64[np.ndarray, "4"]) -> list[NDArray[np.float64]]:
        """Return the joints to go through: straight on where that is free, else out, round, and in again."""
        end = self._unwound(start, end)
        if self._arc_free(start, end):
            return [end]
        out, over = self._out(start), self._out(end)
        by_home = [] if self._arc_free(out, over) else [self.home(out[3]), self.home(over[3])]
        return [out, *by_home, over, end]

    def home(self, roll: float) -> NDArray[np.float64]:
        """Return joints at which the shaft is drawn back and points along the trocar."""
        return start_joints(self.device, _RETRACTED, float(roll))

    def reachable(self, joints: Float64[np.ndarray, "4"]) -> bool:
        """Tell whether one gets there from home without touching anything."""
        over = self._out(joints)
        return self._arc_free(self.home(joints[3]), over) and self._arc_free(over, joints)

    def _unwound(self, start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the same pose, with the roll that is nearest to that of the start within the limits."""
        arm = self.device.arm
        rolls = [end[3] + turn for turn in (-2 * np.pi, 0.0, 2 * np.pi)]
        allowed = [roll for roll in rolls if arm.lower[3] <= roll <= arm.upper[3]]
        return np.append(end[:3], min(allowed, key=lambda roll: abs(roll - start[3])))

    def _out(self, joints: NDArray[np.float64]) -> NDArray[np.float64]:
        drawn = joints.copy()
        drawn[2] -= max(0.0, self.depth(joints) - _RETRACTED)
        return np.clip(drawn, self.device.arm.lower, self.device.arm.upper)

    def _arc_free(self, start: NDArray[np.float64], end: NDArray[np.float64]) -> bool:
        return bool(self.free(start + np.linspace(0, 1, 25)[:, None] * (end - start)).all())


def candidate_views(reach: Reach, patient: Patient, liver: Organ) -> list[tuple[int, NDArray[np.float64]]]:
    """Return joints that look at places all over each segment from some sides, free of contact, with the segment."""
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
                for roll in np.linspace(-np.pi, np.pi, _ROLLS, endpoint=False):
                    joints, left = reach.aim(point, insertion=max(0.02, away - distance), roll=float(roll))
                    if left <= _OFF_AXIS:
                        found.append((number, joints))
    if not found:
        return []
    free = reach.free(np.array([joints for _, joints in found]))
    return [one for one, clear in zip(found, free, strict=True) if clear and reach.reachable(one[1])]


def _spread(points: NDArray[np.float64], count: int) -> list[int]:
    """Pick points far from each other, the first nearest to the middle of all."""
    chosen = [int(np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1)))]
    nearest = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


@dataclass(frozen=True, eq=False)
class Stage:
    """A free place in front of the organs in which an instrument moves, and a view of it."""

    centre: Float64[np.ndarray, "3"]
    """[m]"""
    reach: float
    """How far from the centre the instrument may move [m]."""
    joints: Float64[np.ndarray, "4"]
    """Of the laparoscope that looks at the centre."""


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


def find_stage(
    reach: Reach, patient: Patient, port: Float64[np.ndarray, "3"], field: Float64[np.ndarray, "3"]
) -> Stage:
    """Find the roomiest place on the way from an instrument's port to the operative field that can be looked at.

    Args:
        reach: Of the laparoscope.
        patient: Whose organs are to be kept clear of.
        port: Of the instrument [m].
        field: The operative field [m].

    Raises:
        InputError: There is no room.
    """
    spread = np.random.default_rng(0).uniform(-_ABOUT, _ABOUT, (_PLACES, 3))
    places = port + np.random.default_rng(1).uniform(0.3, 0.9, (_PLACES, 1)) * (field - port) + spread
    room = Room(patient).about(places)
    for index in np.argsort(-room):
        if room[index] < _ROOM:
            break
        away = float(np.linalg.norm(places[index] - reach.T_world_port[:3, 3]))
        for roll in np.linspace(-np.pi, np.pi, _ROLLS, endpoint=False):
            insertion = max(0.02, away - _STAGE_DISTANCE)
            joints, left = reach.aim(places[index], insertion=insertion, roll=float(roll))
            if left <= _OFF_AXIS and reach.reachable(joints):
                return Stage(places[index], float(min(_WIDEST, room[index] - _ROOM + 0.01)), joints)
    raise InputError(
        f"{patient.name}: expected room for an instrument of {1000 * _ROOM:.0f} mm on all sides, found none"
    )


def make_plan(
    patient: Patient,
    reach: Reach,
    objects: tuple[SceneObject, ...],
    port: Float64[np.ndarray, "3"],
    field: Float64[np.ndarray, "3"],
) -> SurveyPlan:
    """Judge candidate views in small pictures: by the liver alone for the plan, past all organs for the truth.

    Args:
        patient: With a liver that can be parted.
        reach: Of the laparoscope.
        objects: The organs as the renderer has them, without instruments.
        port: Of the other instrument [m].
        field: The operative field [m].
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
        for number, joints in candidates:
            pose = reach.camera_pose(joints)
            segments, depth = liver_map.look(pose)
            shown = segments_shown(segments, depth, camera)
            if number in shown:
                score = float((segments[_middle(camera) & sharp(depth, camera)] == number).mean())
                rated.setdefault(number, []).append((score, View(joints, number, shown)))
            seen = everything.visibility(pose)
            on_liver = (seen.triangle >= first) & (seen.triangle < first + len(liver.surface.triangles))
            really = owner[np.where(on_liver, seen.triangle - first, -1)]
            visible |= segments_shown(really, seen.depth, camera)
    liver_map.close()
    views = {number: _different(sorted(some, key=lambda one: -one[0])) for number, some in rated.items()}
    return SurveyPlan(reach, views, frozenset(visible), find_stage(reach, patient, port, field))


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

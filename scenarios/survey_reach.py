"""Where a laparoscope may be in an abdomen: the room in the gas, the arm's limits, and ways between free poses."""

import numpy as np
from jaxtyping import Bool, Float, Float64
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assets.errors import InputError
from assets.instruments.device import Device
from assets.mesh_check import vertex_normals
from assets.patient import Patient
from sim.instruments.laparoscope import T_tip_camera
from sim.laparoscopy.aim import look_at
from sim.laparoscopy.placement import start_joints
from sim.robots.kinematics import tip_pose

MARGIN = 0.005
"""Shaft and tip keep this far from all organs [m], on top of the shaft's radius."""
_LEAN = (
    0.46  # near the port: room that is kept to the wall, as a share of the way from the port; the sine of 27 degrees
)
_SKIPPED = 0.008  # m of shaft behind the port, in the wall itself
_COARSE = 0.004  # m: of triangles with longer edges more than the corners is asked for its distance
_ALONG = 20  # points on a shaft that are asked for their distance
_RETRACTED = 0.040  # m: with the tip so far inside it may turn anywhere
_ASIDE = np.radians((5.0, 10.0, 15.0, 20.0, 25.0, 30.0))  # rad that home may lean off the trocar's axis
_SIDES = np.linspace(0.0, 2 * np.pi, 8, endpoint=False)
OFF_AXIS = 0.05
"""What the arm's limits may leave between the axis of view and a point that is looked at [rad]."""
ROLLS = 4
"""Sides from which a place is looked at: rolls of the shaft all round."""


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

    def clear(
        self, port: Float64[np.ndarray, "3"], tips: Float64[np.ndarray, "n 3"], radius: float, margin: float
    ) -> Bool[np.ndarray, "n"]:
        """Tell whether a shaft from a port to each tip [m] keeps the margin from everything; less near the port."""
        points, beyond = on_shafts(port, tips)
        room = self.about(points.reshape(-1, 3)).reshape(beyond.shape)
        return np.asarray((room >= np.minimum(radius + margin, _LEAN * beyond)).all(axis=1))

    def about(self, points: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n"]:
        """Return the distance of each point to what is nearest [m]; negative outside of the gas."""
        distance, nearest = self._tree.query(points)
        side = ((points - self._points[nearest]) * self._normals[nearest]).sum(axis=1)
        return np.asarray(np.where(side >= 0, distance, -distance))


def on_shafts(port: NDArray[np.float64], tips: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points on the shafts to tips, shape (n, _ALONG, 3), and how far each is beyond the port [m]."""
    lengths = np.linalg.norm(tips - port, axis=1)
    from_port = np.minimum(_SKIPPED / np.maximum(lengths, 1e-9), 1.0)[:, None]
    along = from_port + (1 - from_port) * np.linspace(0.0, 1.0, _ALONG)
    return port + along[..., None] * (tips - port)[:, None, :], along * lengths[:, None]


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
        """Take the laparoscope, its trocar, the organs, and how the camera head is turned.

        Raises:
            InputError: There is no free place just beyond the trocar.
        """
        self.device, self.T_world_port, self.camera_roll = device, np.asarray(T_world_port), camera_roll
        assert device.head is not None
        self._view_angle = device.head.view_angle
        self._radius = max(ball.radius for part in device.parts for ball in part.balls)
        self.room = Room(patient)
        self._lean = self._leaning(patient.name)

    def camera_pose(self, joints: Float64[np.ndarray, "4"]) -> NDArray[np.float64]:
        """Return T_world_camera for joints."""
        optics = T_tip_camera(self._view_angle, float(joints[3]), self.camera_roll)
        return np.asarray(self.T_world_port @ tip_pose(self.device.arm, joints) @ optics)

    def depth(self, joints: Float64[np.ndarray, "4"]) -> float:
        """Return how far the tip is beyond the port [m]."""
        return float(np.linalg.norm(tip_pose(self.device.arm, joints)[:3, 3]))

    def free(self, joints: Float64[np.ndarray, "n 4"]) -> Bool[np.ndarray, "n"]:
        """Tell whether shaft and tip are in the gas and clear of the organs, for each row of joints."""
        tips = (self.T_world_port @ tip_pose(self.device.arm, joints))[:, :3, 3]
        return self.room.clear(self.T_world_port[:3, 3], tips, self._radius, MARGIN)

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
        """Return joints at which the shaft is drawn back and points along the trocar, or as little aside as is free."""
        joints = start_joints(self.device, _RETRACTED, float(roll))
        joints[:2] += self._lean
        return joints

    def reachable(self, joints: Float64[np.ndarray, "4"]) -> bool:
        """Tell whether one gets there from home without touching anything."""
        over = self._out(joints)
        return self._arc_free(self.home(joints[3]), over) and self._arc_free(over, joints)

    def _leaning(self, name: str) -> NDArray[np.float64]:
        """Return how far home leans off the trocar's axis, in yaw and pitch [rad]: beside a port the wall may slope."""
        aside = _ASIDE[:, None, None] * np.stack([np.cos(_SIDES), np.sin(_SIDES)], axis=1)
        leans = np.concatenate([np.zeros((1, 2)), aside.reshape(-1, 2)])
        joints = np.repeat(start_joints(self.device, _RETRACTED)[None], len(leans), axis=0)
        joints[:, :2] += leans
        free = np.flatnonzero(self.free(joints))
        if not len(free):
            raise InputError(
                f"{name}: expected room for the laparoscope's tip {1000 * _RETRACTED:.0f} mm beyond its trocar, up to "
                f"{np.degrees(_ASIDE[-1]):.0f} degrees off the trocar's axis, found wall or organs there"
            )
        return np.asarray(leans[free[0]])

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

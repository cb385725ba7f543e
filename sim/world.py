"""The PyBullet world: one owned client, static anatomy, a scope's bodies put where its rod is, and driven robots.

Every PyBullet call of the project goes through `BulletWorld`.
"""

import hashlib
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pybullet
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from assets.errors import InputError
from assets.mesh import Mesh
from assets.transforms import compose

_SOLVER_ITERATIONS = 100
# [m]; contacts of a small sphere nearer to each other than this are merged. With the default, 20 mm, the one with the
# face below it is lost to one with an edge beside it, and the sphere sinks in.
_MERGED = 1.0e-4


@dataclass(frozen=True)
class Contact:
    """The nearest points of two bodies."""

    body: int
    """The anatomy's or other body's id."""
    point: tuple[float, float, float]
    """On that body [m], world frame."""
    normal: tuple[float, float, float]
    """Unit vector from that body to the one asked about."""
    distance: float
    """[m]; negative where they overlap."""


@dataclass(frozen=True)
class Touch:
    """A point at which a robot's link presses on another body."""

    link: str
    """The robot's link, or the name of its base."""
    other: int
    """The other body's id."""
    point: tuple[float, float, float]
    """On the other body [m], world frame."""
    normal: tuple[float, float, float]
    """Unit vector from the other body to the robot."""
    depth: float
    """How far they overlap [m]; negative where a gap is left."""
    force: float
    """Along the normal [N], in the last substep."""


@dataclass(frozen=True)
class Drive:
    """What the motors of a robot are to do in the next substep; one entry a joint."""

    positions: NDArray[np.float64]
    """[rad or m]"""
    speeds: NDArray[np.float64]
    """[rad/s or m/s] with which the positions move."""
    max_speeds: NDArray[np.float64]
    """[rad/s or m/s]; also on the way back to a position that was lost."""
    max_forces: NDArray[np.float64]
    """[N m or N]"""
    gain: float
    """Share of a joint's error that its motor makes up for in a substep."""


class BulletWorld:
    """Owns a PyBullet client without a window; use it as a context manager."""

    def __init__(self) -> None:
        self._client = -1
        self._moving: dict[int, dict[str, int]] = {}
        self._links: dict[int, dict[int, str]] = {}
        self._passing: set[tuple[int, int]] = set()

    def __enter__(self) -> "BulletWorld":
        self._client = pybullet.connect(pybullet.DIRECT)
        if self._client < 0:
            raise RuntimeError("expected a PyBullet client, found that the connection was refused")
        # Its cache goes by file name and would give an old mesh for a rewritten file.
        # A residual threshold above 0 ends the solver early when substeps, and with them impulses, are small.
        pybullet.setPhysicsEngineParameter(
            enableFileCaching=0,
            deterministicOverlappingPairs=1,
            numSolverIterations=_SOLVER_ITERATIONS,
            solverResidualThreshold=0.0,
            contactBreakingThreshold=_MERGED,
            physicsClientId=self._client,
        )
        self._folder = tempfile.TemporaryDirectory(prefix="trocar-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pybullet.disconnect(physicsClientId=self._client)
        self._client = -1
        self._folder.cleanup()

    def add_anatomy(self, mesh: Mesh) -> int:
        """Add a static concave body in world coordinates.

        Args:
            mesh: In metres; orifices must be cut out of it already.

        Returns:
            The body's id.

        Raises:
            InputError: The mesh is empty.
        """
        if len(mesh.triangles) == 0:
            raise InputError("physics world: expected a mesh with triangles, found an empty one")
        data = _stl(mesh)
        path = Path(self._folder.name) / f"{hashlib.sha256(data).hexdigest()[:24]}.stl"
        path.write_bytes(data)
        shape = pybullet.createCollisionShape(
            pybullet.GEOM_MESH,
            fileName=str(path),
            flags=pybullet.GEOM_FORCE_CONCAVE_TRIMESH,  # else it silently becomes its convex hull
            physicsClientId=self._client,
        )
        path.unlink()
        # Without a visual shape of its own PyBullet would load the whole mesh a second time, for its own renderer.
        dot = pybullet.createVisualShape(pybullet.GEOM_SPHERE, radius=1e-4, physicsClientId=self._client)
        return int(pybullet.createMultiBody(0.0, shape, dot, physicsClientId=self._client))

    def add_spheres(self, radii: Sequence[float]) -> list[int]:
        """Add spheres that only move when `place` puts them somewhere; returns their ids."""
        shapes = [
            pybullet.createCollisionShape(pybullet.GEOM_SPHERE, radius=radius, physicsClientId=self._client)
            for radius in radii
        ]
        return [int(pybullet.createMultiBody(0.0, shape, physicsClientId=self._client)) for shape in shapes]

    def place(self, bodies: Sequence[int], positions: Float[np.ndarray, "n 3"]) -> None:
        """Put bodies at positions [m]."""
        for body, position in zip(bodies, positions, strict=True):
            pybullet.resetBasePositionAndOrientation(
                body, position.tolist(), (0.0, 0.0, 0.0, 1.0), physicsClientId=self._client
            )

    def nearest(self, body: int, other: int, within: float) -> Contact | None:
        """Return the nearest or deepest contact of two bodies; None if they are farther apart than `within` [m].

        The cost grows with the number of triangles within reach: ask for a few millimetres.
        """
        found = pybullet.getClosestPoints(body, other, within, physicsClientId=self._client)
        if not found:
            return None
        # PyBullet's tuple: 6 is the position on the second body, 7 the normal on it towards the first, 8 the distance.
        deepest = min(found, key=lambda entry: float(entry[8]))
        return Contact(other, tuple(deepest[6]), tuple(deepest[7]), float(deepest[8]))

    def add_robot(self, urdf: str, T_world_base: Float[np.ndarray, "4 4"]) -> int:
        """Add a robot whose base stands still.

        Args:
            urdf: The description itself, which names no other file.
            T_world_base: Pose of its base link.

        Returns:
            The body's id.

        Raises:
            InputError: PyBullet cannot read it.
        """
        path = Path(self._folder.name) / f"{hashlib.sha256(urdf.encode()).hexdigest()[:24]}.urdf"
        path.write_text(urdf, encoding="utf-8")
        try:
            return self.load_robot(path, T_world_base)
        finally:
            path.unlink()

    def load_robot(self, path: Path, T_world_base: Float[np.ndarray, "4 4"]) -> int:
        """Add a robot from a file, with the meshes that it names; else as `add_robot`."""
        try:
            body = pybullet.loadURDF(
                str(path),
                basePosition=T_world_base[:3, 3].tolist(),
                baseOrientation=_quaternion(T_world_base[:3, :3]),
                useFixedBase=1,
                flags=pybullet.URDF_USE_INERTIA_FROM_FILE,
                physicsClientId=self._client,
            )
        except pybullet.error as error:
            raise InputError(f"physics world: expected a readable URDF, found {error} in {path.name}") from error
        moving, links = {}, {-1: pybullet.getBodyInfo(body, physicsClientId=self._client)[0].decode()}
        for index in range(pybullet.getNumJoints(body, physicsClientId=self._client)):
            joint = pybullet.getJointInfo(body, index, physicsClientId=self._client)
            links[index] = joint[12].decode()
            if joint[2] != pybullet.JOINT_FIXED:
                moving[joint[1].decode()] = index
                # PyBullet gives every joint a motor that brakes it; only `drive` is to move ours.
                pybullet.setJointMotorControl2(
                    body, index, pybullet.VELOCITY_CONTROL, force=0.0, physicsClientId=self._client
                )
        self._moving[int(body)], self._links[int(body)] = moving, links
        return int(body)

    def joint_names(self, body: int) -> tuple[str, ...]:
        """Return the names of a robot's joints that move, in the order in which their values are given."""
        return tuple(self._moving[body])

    def joint_states(self, body: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return positions [rad or m] and speeds of a robot's joints."""
        states = pybullet.getJointStates(body, list(self._moving[body].values()), physicsClientId=self._client)
        return np.array([state[0] for state in states]), np.array([state[1] for state in states])

    def set_joints(self, body: int, positions: Float[np.ndarray, "j"], speeds: Float[np.ndarray, "j"]) -> None:
        """Put a robot's joints somewhere without regard to what is in the way."""
        for index, position, speed in zip(self._moving[body].values(), positions, speeds, strict=True):
            pybullet.resetJointState(body, index, float(position), float(speed), physicsClientId=self._client)

    def drive(self, body: int, drive: Drive) -> None:
        """Tell the motors of a robot what to do in the next substep."""
        joints = zip(
            self._moving[body].values(), drive.positions, drive.speeds, drive.max_speeds, drive.max_forces, strict=True
        )
        for index, position, speed, max_speed, force in joints:
            pybullet.setJointMotorControl2(
                body,
                index,
                pybullet.POSITION_CONTROL,
                targetPosition=float(position),
                targetVelocity=float(speed),
                positionGain=drive.gain,
                velocityGain=1.0,
                maxVelocity=float(max_speed),
                force=float(force),
                physicsClientId=self._client,
            )

    def set_substep(self, duration: float) -> None:
        """Say how long the next substeps are [s]; before `drive`, which makes impulses of its forces with it."""
        pybullet.setTimeStep(duration, physicsClientId=self._client)

    def advance(self) -> None:
        """Let all bodies move for one substep; there is no gravity."""
        pybullet.stepSimulation(physicsClientId=self._client)

    def link_poses(self, body: int) -> dict[str, NDArray[np.float64]]:
        """Return T_world_link, shape (4, 4), of every link of a robot but its base, by the name of the link."""
        poses = {}
        for index, name in self._links[body].items():
            if index >= 0:
                state = pybullet.getLinkState(body, index, computeForwardKinematics=1, physicsClientId=self._client)
                rotation = np.array(pybullet.getMatrixFromQuaternion(state[5])).reshape(3, 3)
                poses[name] = compose(rotation, np.array(state[4]))
        return poses

    def touches(self, body: int, others: Collection[int]) -> list[Touch]:
        """Return where a robot touches some other bodies, as found in the last substep."""
        found = pybullet.getContactPoints(bodyA=body, physicsClientId=self._client)
        names = self._links[body]
        # PyBullet's tuple: 2 is the other body, 3 the link, 6 the point on that body, 7 the normal, 8 the distance.
        return [
            Touch(names[entry[3]], int(entry[2]), tuple(entry[6]), tuple(entry[7]), -float(entry[8]), float(entry[9]))
            for entry in found
            if entry[2] in others
        ]

    def points_of(self, body: int, links: Sequence[str], places: Float[np.ndarray, "n 3"]) -> NDArray[np.float64]:
        """Return where points of a robot's links are, world frame [m], shape (n, 3); places in the links' frames."""
        index = {name: number for number, name in self._links[body].items()}
        states = pybullet.getLinkStates(
            body, [index[link] for link in links], computeForwardKinematics=1, physicsClientId=self._client
        )
        turns = [pybullet.getMatrixFromQuaternion(state[5]) for state in states]
        origins = np.array([state[4] for state in states])
        return np.asarray(origins + np.einsum("nij,nj->ni", np.array(turns).reshape(-1, 3, 3), places))

    def crossings(
        self, body: int, start: Float[np.ndarray, "n 3"], end: Float[np.ndarray, "n 3"]
    ) -> list[tuple[int, int, tuple[float, float, float]]]:
        """Return which ways of a robot's points lead through the surface of something that stands still.

        Returns:
            For each such way its index, the body, and the point on its surface [m]. Bodies that the robot may pass
            through do not count.
        """
        static_only = 2  # Bullet's group of bodies without mass
        hits = pybullet.rayTestBatch(
            start.tolist(), end.tolist(), collisionFilterMask=static_only, physicsClientId=self._client
        )
        return [
            (index, int(hit[0]), tuple(hit[3]))
            for index, hit in enumerate(hits)
            if hit[0] >= 0 and hit[0] not in self._moving and (body, hit[0]) not in self._passing
        ]

    def pass_through(self, body: int, other: int) -> None:
        """Let a robot and another body pass through each other, such as a shaft and the wall that holds its port."""
        self._passing.add((body, other))
        self._let_touch(body, other, False)

    def forget_contacts(self, body: int, other: int) -> None:
        """Drop what PyBullet remembers of the contacts of a robot with another body.

        It finds them anew in the next substep. Without this the future would depend on what no saved state tells: in
        which order the contacts were found.
        """
        if (body, other) not in self._passing:
            self._let_touch(body, other, False)
            self._let_touch(body, other, True)

    def push(self, body: int, link: str, force: Sequence[float], point: Sequence[float]) -> None:
        """Load a link with a force [N] at a point [m], both in world axes, during the next substep."""
        index = {name: number for number, name in self._links[body].items()}[link]
        pybullet.applyExternalForce(body, index, force, point, pybullet.WORLD_FRAME, physicsClientId=self._client)

    def _let_touch(self, body: int, other: int, allowed: bool) -> None:
        for link in self._links[body]:
            for other_link in self._links.get(other, (-1,)):
                pybullet.setCollisionFilterPair(
                    body, other, link, other_link, int(allowed), physicsClientId=self._client
                )


def _quaternion(rotation: Float[np.ndarray, "3 3"]) -> list[float]:
    return [float(value) for value in Rotation.from_matrix(rotation).as_quat()]


def _stl(mesh: Mesh) -> bytes:
    records = np.zeros(len(mesh.triangles), dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("unused", "<u2")])
    records["corners"] = mesh.vertices[mesh.triangles]
    return bytes(80) + np.uint32(len(records)).tobytes() + records.tobytes()

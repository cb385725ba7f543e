"""The PyBullet world: one owned client, static anatomy, and bodies of a scope that are put where the rod carries them.

Every PyBullet call of the project goes through `BulletWorld`.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pybullet
from jaxtyping import Float

from assets.errors import InputError
from assets.mesh import Mesh


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


class BulletWorld:
    """Owns a PyBullet client without a window; use it as a context manager."""

    def __init__(self) -> None:
        self._client = -1

    def __enter__(self) -> "BulletWorld":
        self._client = pybullet.connect(pybullet.DIRECT)
        if self._client < 0:
            raise RuntimeError("expected a PyBullet client, found that the connection was refused")
        # Its cache goes by file name and would give an old mesh for a rewritten file.
        pybullet.setPhysicsEngineParameter(enableFileCaching=0, physicsClientId=self._client)
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


def _stl(mesh: Mesh) -> bytes:
    records = np.zeros(len(mesh.triangles), dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("unused", "<u2")])
    records["corners"] = mesh.vertices[mesh.triangles]
    return bytes(80) + np.uint32(len(records)).tobytes() + records.tobytes()

"""PyBullet's own software renderer on the same meshes: what ours is compared with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pybullet
from jaxtyping import Float, Int32

from sim.scene_objects import SceneObject
from sim.world import BulletWorld

_NEAR, _FAR = 1e-3, 1.0  # m, planes of the view


class DrawnWorld(BulletWorld):
    """The world with bodies that PyBullet's own renderer draws."""

    def show(self, objects: Sequence[SceneObject], folder: Path) -> None:
        """Add objects as visual bodies; the first has the id 0.

        Args:
            objects: In world coordinates [m].
            folder: Takes the meshes that PyBullet reads; exists.
        """
        for item in objects:
            # It draws the side from which triangles run counter-clockwise; a lumen is seen from the other one.
            corners = item.mesh.triangles[:, ::-1] if item.kind == "lumen" else item.mesh.triangles
            lines = [f"v {x:.8g} {y:.8g} {z:.8g}" for x, y, z in item.mesh.vertices]
            lines += [f"f {a} {b} {c}" for a, b, c in corners + 1]
            path = folder / f"{item.name}.obj"
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            shape = pybullet.createVisualShape(pybullet.GEOM_MESH, fileName=str(path), physicsClientId=self._client)
            pybullet.createMultiBody(0.0, -1, shape, physicsClientId=self._client)

    def picture(self, size: int, fov_deg: float, T_world_camera: Float[np.ndarray, "4 4"]) -> Int32[np.ndarray, "h w"]:
        """Draw colour, depth and ids through a pinhole, and return the ids (-1 where nothing), shape (size, size)."""
        eye = T_world_camera[:3, 3]
        view = pybullet.computeViewMatrix(eye, eye + T_world_camera[:3, 2], -T_world_camera[:3, 1])
        projection = pybullet.computeProjectionMatrixFOV(fov_deg, 1.0, _NEAR, _FAR)
        answer = pybullet.getCameraImage(
            size,
            size,
            view,
            projection,
            shadow=0,
            renderer=pybullet.ER_TINY_RENDERER,
            physicsClientId=self._client,
        )
        return np.asarray(answer[4], dtype=np.int32).reshape(size, size)

"""PyBullet's own soft body on a mesh of ours: what our soft tissue is compared with."""

from pathlib import Path
from types import TracebackType

import numpy as np
import pybullet
from numpy.typing import NDArray

from sim.soft.tet_mesh import TetMesh
from sim.world import BulletWorld


class SoftBulletWorld(BulletWorld):
    """The world with one of PyBullet's deformable bodies, under gravity along -y."""

    def __init__(self, step: float) -> None:
        """Say how long a step of its explicit integration is [s]."""
        super().__init__()
        self._step = step

    def __enter__(self) -> "SoftBulletWorld":
        super().__enter__()
        pybullet.resetSimulation(pybullet.RESET_USE_DEFORMABLE_WORLD, physicsClientId=self._client)
        pybullet.setGravity(0.0, -9.81, 0.0, physicsClientId=self._client)
        pybullet.setTimeStep(self._step, physicsClientId=self._client)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)

    def add_soft(self, mesh: TetMesh) -> int:
        """Add a mesh as a Neo-Hookean body."""
        path = Path(self._folder.name) / "tissue.vtk"
        path.write_text(_vtk(mesh), encoding="ascii")
        mu, lam = (float(value[0]) for value in mesh.lame)
        return int(
            pybullet.loadSoftBody(
                str(path),
                mass=float(mesh.masses.sum()),
                useNeoHookean=1,
                NeoHookeanMu=4 / 3 * mu,  # its constants are those of Smith et al. 2018, not Lamé's
                NeoHookeanLambda=lam + 5 / 6 * mu,
                NeoHookeanDamping=0.01,
                collisionMargin=0.001,
                physicsClientId=self._client,
            )
        )

    def anchor(self, body: int, nodes: NDArray[np.int64]) -> None:
        """Hold nodes where they are."""
        for node in nodes:
            pybullet.createSoftBodyAnchor(body, int(node), -1, -1, physicsClientId=self._client)

    def simulate(self, steps: int) -> None:
        """Step on."""
        for _ in range(steps):
            pybullet.stepSimulation(physicsClientId=self._client)

    def nodes(self, body: int) -> NDArray[np.float64]:
        """Return the body's nodes [m], shape (n, 3)."""
        flag = pybullet.MESH_DATA_SIMULATION_MESH
        return np.array(pybullet.getMeshData(body, -1, flags=flag, physicsClientId=self._client)[1])


def _vtk(mesh: TetMesh) -> str:
    lines = ["# vtk DataFile Version 2.0", "tissue", "ASCII", "DATASET UNSTRUCTURED_GRID"]
    lines += [f"POINTS {len(mesh.nodes)} double", *(f"{x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.nodes)]
    lines += [f"CELLS {len(mesh.tets)} {5 * len(mesh.tets)}", *(f"4 {a} {b} {c} {d}" for a, b, c, d in mesh.tets)]
    lines += [f"CELL_TYPES {len(mesh.tets)}", *["10"] * len(mesh.tets)]
    return "\n".join(lines) + "\n"

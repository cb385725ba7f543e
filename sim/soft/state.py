"""The state of a soft body as plain data, its energy, and how it is carried over a cut."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.soft.contact import POINTS
from sim.soft.cutting import Cut
from sim.soft.grasp import Grasp
from sim.soft.tet_mesh import TetMesh


@dataclass(frozen=True)
class Energy:
    """Where the energy of a body is [J]."""

    kinetic: float
    elastic: float
    gravity: float
    """0 at the world's origin."""
    springs: float
    """In the ground springs."""

    @property
    def total(self) -> float:
        """All of it [J]."""
        return self.kinetic + self.elastic + self.gravity + self.springs


@dataclass(frozen=True)
class SoftState:
    """Everything that decides how a body goes on; made by `save_state`."""

    uncut: TetMesh
    """What the body was made of."""
    mesh: TetMesh
    """What cuts have made of it."""
    time: float
    arrays: dict[str, NDArray[np.float64]]
    tools: dict[str, NDArray[np.float64]]
    grasps: tuple[Grasp, ...]


def same_mesh(first: TetMesh, second: TetMesh) -> bool:
    """Tell whether two meshes hold the same numbers."""
    return first is second or (
        np.array_equal(first.tets, second.tets)
        and np.array_equal(first.nodes, second.nodes)
        and np.array_equal(first.tissue, second.tissue)
        and np.array_equal(first.cut_faces, second.cut_faces)
        and first.tissues == second.tissues
    )


def carried_over(state: SoftState, cut: Cut) -> SoftState:
    """Return the state of a body after a cut.

    New nodes are fixed, tied and held as those that they were parted from; loads and the stiffness of springs are
    shared by mass and by volume, so that their sums stay. What a jaw holds in all stays too.

    Args:
        state: Before the cut.
        cut: Of the mesh in that state.
    """
    source = cut.source
    arrays = {name: values[source] for name, values in state.arrays.items()}
    arrays["x"], arrays["velocity"] = cut.positions.copy(), cut.velocities.copy()
    whole = np.bincount(source, cut.mesh.masses)
    arrays["load"] *= (cut.mesh.masses / whole[source])[:, None]
    whole = np.bincount(source, cut.mesh.node_volumes)
    arrays["ground"] *= cut.mesh.node_volumes / whole[source]
    # A spring goes along with a node that got another place, so that it pulls as before.
    arrays["ground_anchor"] += cut.positions - state.arrays["x"][source]
    arrays["target"] += np.where(arrays["free"] > 0, cut.positions - state.arrays["x"][source], 0.0)
    tools = {name: values.copy() for name, values in state.tools.items()}
    before, after = cut.before.surface_faces, cut.mesh.surface_faces
    pressed = np.zeros((len(after), POINTS, *state.tools["pressed"].shape[1:]))
    pressed[np.searchsorted(after, before)] = state.tools["pressed"].reshape(len(before), *pressed.shape[1:])
    tools["pressed"] = pressed.reshape(-1, *pressed.shape[2:])
    grasps = tuple(_hold_copies(grasp, cut) for grasp in state.grasps)
    return SoftState(state.uncut, cut.mesh, state.time, arrays, tools, grasps)


def _hold_copies(grasp: Grasp, cut: Cut) -> Grasp:
    """Return a jaw that holds the nodes that were parted from those that it holds."""
    new = np.arange(len(cut.before.nodes), len(cut.source))
    new = new[np.isin(cut.source[new], grasp.nodes)]
    place = {int(node): k for k, node in enumerate(grasp.nodes)}
    rows = np.array([*range(len(grasp.nodes)), *(place[int(node)] for node in cut.source[new])], np.int64)
    return Grasp(
        nodes=np.concatenate([grasp.nodes, new]),
        stiffness=grasp.stiffness,
        limit=grasp.limit,
        reach=grasp.reach,
        T_world_jaw=grasp.T_world_jaw.copy(),
        anchors=grasp.anchors[rows],
        slipped=grasp.slipped[rows],
        held=grasp.held[rows],
    )

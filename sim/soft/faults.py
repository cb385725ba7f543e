"""Find what went wrong in a step, and where."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.soft.newton import Minimised
from sim.soft.report import FaultKind, SoftFault
from sim.soft.tet_mesh import TetMesh


def find_faults(
    mesh: TetMesh,
    organ: str,
    time: float,
    results: Sequence[Minimised],
    x: NDArray[np.floating],
    jacobian: NDArray[np.floating],
    pierced: NDArray[np.int32],
) -> tuple[SoftFault, ...]:
    """Return a fault for each kind that there is, with its worst place; of one that is not finite, that alone.

    Args:
        mesh: At rest.
        organ: Its name.
        time: At the end of the step [s].
        results: How each substep was solved.
        x: Nodes [m].
        jacobian: Volume ratio of each element.
        pierced: For each tool 1 + an element in which its axis is, or 0.
    """

    def at(kind: FaultKind, index: int, place: NDArray[np.float64] | None, detail: str) -> SoftFault:
        where = (float("nan"),) * 3 if place is None else (float(place[0]), float(place[1]), float(place[2]))
        return SoftFault(kind, organ, time, index, where, detail)

    if not results[-1].finite:
        bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
        node, place = (int(bad[0]), mesh.nodes[bad[0]]) if len(bad) else (-1, None)
        return (at("not finite", node, place, f"{len(bad)} nodes with a place that is no number"),)
    found = []
    unsolved = [one for one in results if not one.converged]
    if unsolved:
        worst = max(unsolved, key=lambda one: one.residual)
        detail = f"expected a residual of {worst.tolerance:g}, found {worst.residual:.3g}"
        found.append(at("not converged", -1, None, detail))
    inverted = np.flatnonzero(jacobian <= 0)
    if len(inverted):
        element = int(np.argmin(jacobian))
        detail = f"{len(inverted)} of {len(jacobian)} elements, the worst with volume ratio {jacobian[element]:.3g}"
        found.append(at("inverted", element, mesh.nodes[mesh.tets[element]].mean(axis=0), detail))
    for tool in np.flatnonzero(pierced):
        element = int(pierced[tool]) - 1
        detail = f"the tool's axis is inside the tissue, in element {element}"
        found.append(at("tunnelled", int(tool), mesh.nodes[mesh.tets[element]].mean(axis=0), detail))
    return tuple(found)

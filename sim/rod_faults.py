"""What a rod can no longer be trusted in: numbers lost, a shaft through the wall, a shaft folded upon itself."""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, attr-defined, var-annotated"
# (Warp's stubs give the double precision vectors no operators.)

import numpy as np
import warp as wp
from jaxtyping import Float
from numpy.typing import NDArray

from sim.rod_forces import Rod
from sim.wall_kernels import trilinear_distance

SAMPLES = 8
"""Places on each segment at which the middle of the rod is looked for in the wall."""


@wp.kernel(enable_backward=False)
def watch_rod(
    rod: Rod,
    grid: wp.array3d[wp.float32],
    x: wp.array[wp.vec3d],
    drive: wp.array[wp.float64],
    least: wp.array[wp.float64],
) -> None:
    """Write the least distance of the rod's middle to the wall on the segment behind each node [m].

    A surface of the rod that presses into the wall keeps its middle in the lumen; a middle in the wall has gone through
    it. Two limbs of the bowel have a wall between them, so a rod that got from one into the other lies in it somewhere.

    Args:
        rod: Constants.
        grid: Signed distances to the wall [m].
        x: Nodes [m], tip first.
        drive: Index of the driven node at 3.
        least: Written; 1 where a segment lies outside the patient, NaN where the wall's distance is no number.
    """
    i = wp.tid()
    found = wp.float64(1.0)
    lost = wp.bool(False)
    if i < wp.int32(drive[3]):
        for sample in range(SAMPLES):
            share = wp.float64(sample) / wp.float64(SAMPLES)
            point = x[i] + share * (x[i + 1] - x[i])
            if wp.dot(point - rod.entrance, rod.axis) > wp.float64(0.0):
                local = point - rod.grid_origin
                place = wp.vec3f(wp.float32(local[0]), wp.float32(local[1]), wp.float32(local[2]))
                distance = wp.float64(trilinear_distance(grid, rod.grid_spacing, place))
                lost = lost or not wp.isfinite(distance)
                found = wp.min(found, distance)
    if lost:
        found = wp.float64(wp.nan)
    least[i] = found


def find_fault(
    name: str,
    time: float,
    nodes: Float[np.ndarray, "n 3"],
    before: Float[np.ndarray, "n 3"],
    least: Float[np.ndarray, "n"],
    *,
    bending: int,
    tightest: float,
) -> str:
    """Say what is wrong after a step; empty if nothing is.

    Args:
        name: Of the scope.
        time: At the end of the step [s].
        nodes: Inside the patient and the first one outside [m], tip first.
        before: The same before the step.
        least: Distance of the rod's middle to the wall behind each of the nodes [m].
        bending: Nodes of the tip and its bending section, which may turn as tightly as its wires ask for.
        tightest: Radius [m] to which the shaft may bend; tighter than this it has buckled.
    """
    finite = np.isfinite(nodes).all(axis=1)
    if not finite.all():
        lost = int(np.argmin(finite))
        return f"not finite: node {lost} of the {name} was lost {_at(before[lost], time)}"
    known = np.isfinite(least)
    if not known.all():
        node = int(np.argmin(known))
        return f"not finite: the wall's distance from node {node} of the {name} is lost {_at(nodes[node], time)}"
    if len(least) and float(least.min()) < 0:
        node = int(np.argmin(least))
        return (
            f"tunnelling: node {node} of the {name} is {-1e3 * least[node]:.1f} mm in the wall {_at(nodes[node], time)}"
        )
    bend = shaft_radius(nodes[bending:])
    if len(bend) and float(bend.min()) < tightest:
        node = bending + 1 + int(np.argmin(bend))
        found = f"{1e3 * bend.min():.0f} mm, tighter than {1e3 * tightest:.0f} mm,"
        return f"buckling: the {name} is bent to a radius of {found} {_at(nodes[node], time)}"
    return ""


def shaft_radius(nodes: Float[np.ndarray, "n 3"]) -> NDArray[np.float64]:
    """Return the radius of the circle through each node and its two neighbours [m], shape (n - 2,)."""
    if len(nodes) < 3:
        return np.zeros(0)
    edges = np.diff(nodes, axis=0)
    chord = np.linalg.norm(edges[1:] + edges[:-1], axis=1)
    lengths = np.linalg.norm(edges, axis=1)
    twice_area = np.linalg.norm(np.cross(edges[1:], edges[:-1]), axis=1)
    return np.asarray(lengths[1:] * lengths[:-1] * chord / np.maximum(2 * twice_area, 1e-18))


def _at(place: NDArray[np.float64], time: float) -> str:
    return f"at ({', '.join(f'{1e3 * value:.1f}' for value in place)}) mm, {time:.1f} s"

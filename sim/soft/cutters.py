"""What cuts: a blade or the wire of a hook that is drawn through tissue, and scissors that close on it.

Whatever a sharp edge passes over parts at once, without force. A hook parts tissue by heat; the layer that it burns
away, some tenths of a millimetre, is thinner than an element and is not taken off. Scissors part what lies in the plane
of their blades between them; they do not squeeze it first.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation, Slerp

from assets.errors import InputError
from assets.transforms import apply, compose
from sim.soft.body import SoftBody
from sim.soft.cutting import Cut, CutOptions
from sim.soft.sweep import Sweep
from sim.soft.tet_mesh import TetMesh

_MOST_TURN = 0.1  # [rad] that an edge turns at once; its ends move straight


class Edge:
    """A sharp edge fixed to a moving tool: two points for a blade, more for a hook's bent wire."""

    def __init__(self, points: Float[np.ndarray, "k 3"], T_world_tool: Float[np.ndarray, "4 4"]) -> None:
        """Put the edge somewhere.

        Args:
            points: Ends of its straight parts, in the tool's frame [m].
            T_world_tool: Where the tool is.

        Raises:
            InputError: There are fewer than two points, or a number is not finite.
        """
        self.points = np.array(points, np.float64)
        if self.points.ndim != 2 or self.points.shape[1] != 3 or len(self.points) < 2:
            raise InputError(f"edge: expected two points or more of three numbers, found shape {self.points.shape}")
        self.T_world_tool = _pose(T_world_tool)
        self._seen: tuple[TetMesh, NDArray[np.float64]] | None = None

    def move(
        self,
        body: SoftBody,
        T_world_tool: Float[np.ndarray, "4 4"],
        *,
        cuts: bool = True,
        options: CutOptions | None = None,
    ) -> tuple[Cut, ...]:
        """Go to another pose, and part what is passed over on the way.

        What has moved across the edge since it stood still is parted first.

        Args:
            body: What is cut, where it is now; call this before its step.
            T_world_tool: Where the tool is then.
            cuts: False for a blade in its sheath, or a hook without current: nothing is cut.
            options: How the mesh is parted.

        Returns:
            What was cut, one after the other.
        """
        aim, start = _pose(T_world_tool), self.T_world_tool
        self.T_world_tool = aim
        seen, self._seen = self._seen, None
        if not cuts:
            return ()
        turns = Rotation.from_matrix(np.stack([start[:3, :3], aim[:3, :3]]))
        angle = float((turns[0].inv() * turns[1]).magnitude())
        shares = np.linspace(0, 1, max(1, int(np.ceil(angle / _MOST_TURN))) + 1)
        frames = Slerp([0.0, 1.0], turns)(shares).as_matrix()
        places = [
            apply(compose(frame, start[:3, 3] + share * (aim[:3, 3] - start[:3, 3])), self.points)
            for frame, share in zip(frames, shares, strict=True)
        ]
        last = seen[1] if seen is not None and seen[0] is body.mesh else None
        found = _cut_between(body, places, options, last)
        self._seen = body.mesh, body.positions
        return found


@dataclass(frozen=True)
class Scissors:
    """Two straight blades on one pivot: the tool's origin; they lie along z, and open in the x-z plane."""

    length: float
    """Of the blades from the pivot [m]."""

    def __post_init__(self) -> None:
        if not 0 < self.length < np.inf:
            raise InputError(f"scissors: expected blades longer than 0 m, found {self.length}")

    def close(
        self,
        body: SoftBody,
        T_world_tool: Float[np.ndarray, "4 4"],
        before: float,
        after: float,
        options: CutOptions | None = None,
    ) -> tuple[Cut, ...]:
        """Close the blades, and part what they pass over; opening them cuts nothing.

        Args:
            body: What is cut, where it is now; call this before its step.
            T_world_tool: Where the scissors are.
            before: Angle between the blades [rad].
            after: The same at the end [rad].
            options: How the mesh is parted.

        Returns:
            What was cut, one after the other.
        """
        if not (0 <= before <= np.pi and 0 <= after <= np.pi):
            raise InputError(f"scissors: expected angles of 0 to pi, found {before} and {after} rad")
        pose = _pose(T_world_tool)
        cuts: list[Cut] = []
        steps = np.linspace(before, after, max(1, int(np.ceil(abs(before - after) / _MOST_TURN))) + 1) / 2
        for way in (1, -1):
            tips = [self.length * np.array([way * np.sin(half), 0.0, np.cos(half)]) for half in steps]
            if after < before:
                cuts += _cut_between(body, [apply(pose, np.stack([np.zeros(3), tip])) for tip in tips], options)
        return tuple(cuts)


def _cut_between(
    body: SoftBody,
    places: list[NDArray[np.float64]],
    options: CutOptions | None,
    seen: NDArray[np.float64] | None = None,
) -> tuple[Cut, ...]:
    """Part what straight parts of an edge pass over from place to place [m], each of shape (k, 3)."""
    found = []
    for before, after in pairwise(places):
        for k in range(len(before) - 1):
            sweep = Sweep(_point(before[k]), _point(before[k + 1]), _point(after[k]), _point(after[k + 1]))
            x = body.positions
            cut = body.cut(sweep, options, seen=seen)
            if cut is not None:
                found.append(cut)
                seen = None if seen is None else cut.positions - (x - seen)[cut.source]
        seen = None  # the tissue stands still during the rest of the motion
    return tuple(found)


def _point(row: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(row[0]), float(row[1]), float(row[2])


def _pose(matrix: ArrayLike) -> NDArray[np.float64]:
    pose = np.array(matrix, np.float64)
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise InputError(f"blade: expected a finite pose of shape (4, 4), found shape {pose.shape}")
    return pose

"""Ground truth of the way through a lumen: where a point is along the centreline, and where the lumen leads."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.errors import InputError
from assets.patient import Centreline, Patient
from assets.transforms import unit
from sim.wall_distance import WallDistance

LOOK_AHEAD = 0.04
"""How far ahead along the centreline a point may lie to be the lumen's direction [m]. Half the bending section: who
aims farther cuts the corner, and hooks the tip behind the fold on the inner side of a bend."""
FALL_BACK = 0.02
"""How far ahead the point lies that is taken when none is seen [m]."""
CLEARANCE = 0.0065
"""The line of sight keeps this far from the wall [m]: the radius of a scope, so that a tip which follows it gets by."""
_STEP = 0.002  # [m] of the candidates along the centreline
_SAMPLES = 40  # on each line of sight
_WINDOW = 0.06  # a point is looked for within this arc of where it was before [m]


def colon_centreline(patient: Patient) -> Centreline:
    """Return the patient's centreline named `colon`.

    Raises:
        InputError: There is none.
    """
    for centreline in patient.centrelines:
        if centreline.name == "colon":
            return centreline
    found = ", ".join(centreline.name for centreline in patient.centrelines) or "none"
    raise InputError(f"{patient.name}: expected a centreline named colon, found {found}")


class CentrelineGuide:
    """Follows a point along the centreline; it remembers the arc where it last was."""

    def __init__(
        self,
        line: Centreline,
        wall: WallDistance,
        *,
        look_ahead: float = LOOK_AHEAD,
        fall_back: float = FALL_BACK,
        clearance: float = CLEARANCE,
    ) -> None:
        """Start at the line's beginning.

        Args:
            line: The way.
            wall: Of the lumen about it.
            look_ahead: Reach of `lumen_direction` along the line [m]; the defaults are a colonoscope's.
            fall_back: How far ahead it leads where nothing is seen [m].
            clearance: Of the lines of sight [m].
        """
        self._look_ahead, self._fall_back, self._clearance = look_ahead, fall_back, clearance
        points = line.points
        knots = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        self.length = float(knots[-1])
        """Of the centreline [m]."""
        count = max(2, round(self.length / _STEP) + 1)
        self._arc = np.linspace(0.0, self.length, count)
        self._points = np.stack([np.interp(self._arc, knots, points[:, axis]) for axis in range(3)], axis=1)
        self._wall = wall
        self._fractions = np.linspace(1.0, _SAMPLES, _SAMPLES) / _SAMPLES
        self.arc = 0.0
        """Where `locate` last found the point [m]."""

    def reset(self, arc: float = 0.0) -> None:
        """Forget where the point was; start at `arc` [m]."""
        self.arc = arc

    def point(self, arc: float) -> NDArray[np.float64]:
        """Return the centreline's point at `arc` [m], shape (3,), clamped to its ends."""
        return np.array([np.interp(arc, self._arc, self._points[:, axis]) for axis in range(3)])

    def locate(self, position: Float[np.ndarray, "3"]) -> float:
        """Return the arc [m] of the nearest centreline point, searched near the last one: limbs may touch."""
        near = np.flatnonzero(np.abs(self._arc - self.arc) <= _WINDOW)
        squared = np.sum((self._points[near] - position) ** 2, axis=1)
        self.arc = float(self._arc[near[np.argmin(squared)]])
        return self.arc

    @property
    def progress(self) -> float:
        """Share of the centreline up to where the point last was, 0 to 1."""
        return self.arc / self.length

    def lumen_direction(self, T_world_camera: Float[np.ndarray, "4 4"], arc: float) -> tuple[NDArray[np.float64], bool]:
        """Find where the lumen leads, as seen from the camera.

        Args:
            T_world_camera: Pose of the camera.
            arc: Where the camera is along the centreline [m], from `locate`.

        Returns:
            The unit direction, shape (3,), camera axes, to the farthest centreline point within the look-ahead whose
            line of sight keeps the clearance to the wall; and True. If none is seen: to the fall-back point ahead; and
            False.
        """
        camera = T_world_camera[:3, 3]
        ahead = np.flatnonzero((self._arc > arc + 1e-9) & (self._arc <= arc + self._look_ahead + 1e-9))
        candidates = self._points[ahead] if len(ahead) else self._points[-1:]
        lines = candidates - camera
        reach = np.linalg.norm(lines, axis=1)
        samples = camera + self._fractions[None, :, None] * lines[:, None, :]
        clear = self._wall.interpolate(samples.reshape(-1, 3))[0].reshape(len(lines), _SAMPLES)
        # A camera near the wall may look along it: no more is asked than it has, and then more and more.
        here = self._wall.interpolate(camera[None])[0][0] - 5e-4
        needed = np.minimum(self._clearance, here + 0.25 * self._fractions[None, :] * reach[:, None])
        seen = np.flatnonzero(np.all(clear >= needed, axis=1) & (reach > 1e-6))
        target = candidates[seen[-1]] if len(seen) else self.point(arc + self._fall_back)
        return unit(T_world_camera[:3, :3].T @ (target - camera)), bool(len(seen))

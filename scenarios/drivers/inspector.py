"""The inspector: the explorer, but it turns to the polyps that it sees and comes near, as people do for pictures."""

from dataclasses import dataclass, replace

import numpy as np

from assets.transforms import unit
from perception.prediction import POLYP, Prediction
from scenarios.drivers.explorer import Explorer
from scenarios.interface import Observation
from scenarios.scope_episode import ScopeReadings
from sim.scope_state import ScopeCommand


@dataclass(frozen=True)
class InspectorOptions:
    """How long it stays with a polyp, and how near it comes."""

    least_pixels: float = 0.002
    """Share of the picture from which on a polyp is turned to."""
    watched_steps: int = 9
    """Control steps that it stays."""
    passed_steps: int = 6
    """Control steps that it then goes on without looking at any."""
    near: tuple[float, float] = (0.005, 0.02)
    """Smallest and largest distance that it keeps [m]; another one for each polyp."""
    advance: float = 0.004
    """Way in a control step while it looks [m]."""
    astray: float = 0.2
    """Standard deviation of where the polyp is sought beside its middle [rad]; another one for each polyp."""


class Inspector(Explorer):
    """Drives as the explorer does, turns to a polyp for a while, and keeps a distance to it that it draws."""

    name = "inspector"

    def __init__(self, inspection: InspectorOptions | None = None) -> None:
        """Take how to look at polyps; a colonoscope's."""
        self._inspection = inspection or InspectorOptions()
        super().__init__()

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode and draw from `rng` from here on."""
        super().reset(rng)
        self._watched = self._passed = 0
        self._away: float | None = None
        self._begin()

    def _begin(self) -> None:
        """Draw how to look at the next polyp."""
        options, rng = self._inspection, self._rng
        self._keep = float(rng.uniform(*options.near))
        self._beside = options.astray * rng.standard_normal(3)

    def perceive(self, observation: Observation) -> Prediction:
        """Hand on the ground truth with the direction of the largest polyp in view, where there is one to look at."""
        options = self._inspection
        strayed = super().perceive(observation)
        self._away = None
        if self._passed > 0:
            self._passed -= 1
            return strayed
        polyp = strayed.classes == POLYP
        if not len(strayed.polyp_centres) or polyp.mean() < options.least_pixels:
            return strayed
        column, row = np.rint(strayed.polyp_centres[0, :2]).astype(int)
        towards = observation.camera.rays()[0][row, column].astype(np.float64)
        if not towards.any():
            return strayed
        self._away = float(np.median(strayed.depth[polyp]))
        self._watched += 1
        if self._watched >= options.watched_steps:
            self._watched, self._passed = 0, options.passed_steps
            self._begin()
        return replace(strayed, lumen_direction=unit(towards + self._beside))

    def act(self, prediction: Prediction, readings: ScopeReadings, phase: str) -> ScopeCommand:
        """Steer as every driver does; while it looks at a polyp, go slowly to the distance that it keeps."""
        command = super().act(prediction, readings, phase)
        if self._away is None:
            return command
        step = self._inspection.advance
        return replace(command, advance=float(np.clip(self._away - self._keep, -step, step)))

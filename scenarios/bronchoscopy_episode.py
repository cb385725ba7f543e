"""One bronchoscopy as the loop sees it: readings, ground truth, where the tip is, and what is counted."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from assets.labels import label_id
from perception.prediction import Prediction
from scenarios.interface import Truth
from scenarios.scope_episode import Idleness, ScopeReadings, TipSituation, TipTrack, scope_readings
from sim.bronchoscopy import BronchoscopyScene
from sim.camera import Camera
from sim.degradations.settings import Degradations
from sim.frame import Frame
from sim.render.appearance import Appearance
from sim.scope_state import ScopeCommand

BRONCHIAL_CLASSES = ("background", "wall", "lesion", "lumen")
"""What the masks tell apart. A lesion is class 2; the synthetic targets lie beside the lumen, and are not seen."""
WALL, LESION, LUMEN = 1, 2, 3
LUMEN_DISTANCE = 0.020
"""What lies farther than this is lumen [m]; chosen, two diameters of a main bronchus."""
PROGRESS = 0.002  # m: less than this is no progress
ON_WAY = 0.008  # m: farther from the way to the target than this, the tip is in another bronchus
WEDGED = 0.0003
"""Room around the scope below which it is held [m]."""


@dataclass(frozen=True)
class BronchialSituation(TipSituation):
    """Where a bronchoscopy stands; progress is an arc that grew by 2 mm."""

    off_way: float
    """Distance of the tip to the way to the target [m]."""
    goal: float
    """Arc length at which the scope is as near to the target as the calibre lets it come [m]."""


class BronchoscopyEpisode:
    """Counts along while a scope is driven through the airways; an `Environment`."""

    def __init__(
        self,
        scene: BronchoscopyScene,
        seed: int,
        friction: float,
        appearance: Appearance | None,
        degradations: Degradations | None,
    ) -> None:
        """Put the scope back to its start."""
        self.measuring = True
        self._scene = scene
        self._state = scene.reset(seed=seed, friction=friction, appearance=appearance, degradations=degradations)
        self._track = TipTrack(self._state)
        self._goal = goal_arc(scene)
        self._arc = self._farthest = scene.guide.arc
        self._idle = Idleness(self._arc, PROGRESS)

    @property
    def path(self) -> list[NDArray[np.float64]]:
        """Positions of the camera [m] so far."""
        return self._track.path

    def observe(self) -> tuple[Frame, Truth, ScopeReadings]:
        """Look through the scope."""
        scene, state = self._scene, self._state
        frame = scene.observe()
        direction, visible = scene.guide.lumen_direction(state.T_world_camera, scene.guide.arc)
        classes = bronchial_classes(frame.semantic, frame.depth, frame.camera)
        return (
            frame,
            Truth(frame, direction, visible, classes, len(BRONCHIAL_CLASSES), LESION),
            scope_readings(frame, state),
        )

    def count(self, frame: Frame, prediction: Prediction) -> None:
        """Count nothing: there is nothing to be found on the way."""

    def step(self, command: ScopeCommand, phase: str) -> None:
        """Move the scope."""
        self._state = self._scene.step(command)
        self._track.add(self._state)
        self._arc = self._scene.guide.arc
        if self._off_way() <= ON_WAY:
            self._farthest = max(self._farthest, self._arc)
        self._idle.add(self._arc)

    def begin_phase(self) -> None:
        """Do nothing: there is one phase."""

    def situation(self, step: int, phase_step: int, phase: str) -> BronchialSituation:
        """Say where the episode stands."""
        return BronchialSituation(
            step=step,
            phase_step=phase_step,
            phase=phase,
            state=self._state,
            arc=self._arc,
            off_way=self._off_way(),
            goal=self._goal,
            steps_since_progress=self._idle.steps,
        )

    def measures(self) -> dict[str, float]:
        """Return what was counted; lengths in metres, times in seconds.

        `goal` is the arc length at which the scope is as near to the target as it can come, `reached_arc` the tip's
        farthest on the way, `off_way` its distance to the way at the end.
        """
        return {
            "path_length": self._track.length,
            "goal": self._goal,
            "reached_arc": self._farthest,
            "off_way": self._off_way(),
            "contact_time": self._track.contact.time,
            "contact_depth_max": self._track.contact.deepest,
        }

    def _off_way(self) -> float:
        return float(np.linalg.norm(self._scene.guide.point(self._arc) - self.path[-1]))


def goal_arc(scene: BronchoscopyScene) -> float:
    """Return the arc length up to which the bronchi let the scope towards the target [m]."""
    line = scene.passage.line
    arcs = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line.points, axis=0), axis=1))])
    tight = np.flatnonzero(line.radius < scene.scope_device.tip_radius + WEDGED)
    goal = float(arcs[tight[0]] if len(tight) else arcs[-1])
    for organ in scene.patient.organs:
        if organ.name == "peripheral_target" and organ.attributes.get("centreline") == line.name:
            goal = min(goal, float(organ.attributes["arc"]))
    return goal


def bronchial_classes(
    semantic: UInt8[np.ndarray, "h w"], depth: Float32[np.ndarray, "h w"], camera: Camera
) -> NDArray[np.uint8]:
    """Sort pixels into BRONCHIAL_CLASSES, shape (h, w)."""
    rays, shown = camera.rays()
    far = depth > LUMEN_DISTANCE * np.where(shown, rays[..., 2], 1.0)
    classes = np.zeros(semantic.shape, np.uint8)
    classes[semantic == label_id("bronchi_wall")] = WALL
    classes[semantic == label_id("tumour")] = LESION
    classes[far & (classes > 0)] = LUMEN
    return classes

"""One colonoscopy as the loop sees it: readings, ground truth, where the tip is, and what is counted."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assets.labels import label_id
from perception.detector import PolypDetector
from perception.prediction import CLASSES, POLYP, Prediction
from perception.targets import class_map
from scenarios.interface import Truth
from scenarios.measures import MucosaSeen, PolypsFound
from scenarios.scope_episode import Idleness, ScopeReadings, TipSituation, TipTrack, scope_readings
from sim.degradations.settings import Degradations
from sim.frame import Frame
from sim.render.appearance import Appearance
from sim.scene import ColonoscopyScene
from sim.scope_state import ScopeCommand

PROGRESS = 0.005  # m: less than this is no progress


@dataclass(frozen=True)
class ScopeSituation(TipSituation):
    """Where a colonoscopy stands; progress is an arc that grew, or shrank in the withdrawal, by 5 mm."""

    farthest_arc: float
    """The farthest that the tip has been [m]."""
    centreline_length: float
    """[m]"""
    landmark_distance: Mapping[str, float]
    """Distance of the tip to each landmark of the patient [m]."""


class ColonoscopyEpisode:
    """Counts along while a scope is driven through a colon; an `Environment`."""

    def __init__(
        self,
        scene: ColonoscopyScene,
        seed: int,
        friction: float,
        appearance: Appearance | None,
        degradations: Degradations | None,
    ) -> None:
        """Put the scope back to its start."""
        self.measuring = True
        self._scene = scene
        self._state = scene.reset(seed=seed, friction=friction, appearance=appearance, degradations=degradations)
        self._mucosa_object, self._mucosa_start = _mucosa(scene)
        self._mucosa = MucosaSeen(scene.objects[self._mucosa_object].mesh)
        polyp = label_id("polyp")
        self._polyps = PolypsFound([1 + index for index, item in enumerate(scene.objects) if item.label_id == polyp])
        self._detector = PolypDetector()
        self._track = TipTrack(self._state)
        self._arc = self._farthest = scene.guide.arc
        self._insertion_path: float | None = None
        self._nearest_to_caecum = float("inf")
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
        classes = class_map(frame.semantic, frame.depth, frame.camera)
        return frame, Truth(frame, direction, visible, classes, len(CLASSES), POLYP), scope_readings(frame, state)

    def count(self, frame: Frame, prediction: Prediction) -> None:
        """Count mucosa seen and polyps found."""
        if not self.measuring:
            return
        triangles = self._scene.renderer.seen_triangles() - self._mucosa_start
        # A rolling shutter moves the frame's channels, and not what the renderer says of its triangles.
        on_mucosa = (frame.instance == 1 + self._mucosa_object) & (triangles < self._mucosa.triangle_count)
        self._mucosa.add(frame, np.where(on_mucosa, triangles, -1))
        self._polyps.add(frame, self._detector(prediction))

    def step(self, command: ScopeCommand, phase: str) -> None:
        """Move the scope; progress is forwards, or backwards in the withdrawal."""
        self._state = self._scene.step(command)
        self._track.add(self._state)
        self._arc = self._scene.guide.arc
        self._farthest = max(self._farthest, self._arc)
        self._idle.add(self._arc, backwards=phase == "withdrawal")
        self._nearest_to_caecum = min(self._nearest_to_caecum, self._distances().get("caecum", float("inf")))

    def begin_phase(self) -> None:
        """Count progress from here; the first phase, the insertion, is over."""
        self._insertion_path = self._track.length if self._insertion_path is None else self._insertion_path
        self._idle.restart(self._arc)

    def situation(self, step: int, phase_step: int, phase: str) -> ScopeSituation:
        """Say where the episode stands."""
        return ScopeSituation(
            step=step,
            phase_step=phase_step,
            phase=phase,
            state=self._state,
            arc=self._arc,
            farthest_arc=self._farthest,
            steps_since_progress=self._idle.steps,
            centreline_length=self._scene.guide.length,
            landmark_distance=self._distances(),
        )

    def measures(self) -> dict[str, float]:
        """Return what was counted; lengths in metres, times in seconds.

        `path_length` is the way of the tip in the insertion, `reached_arc` its farthest place along the centreline,
        `contact_time` the time in which it touched the wall, `contact_depth_max` its greatest overlap with the wall,
        `mucosa_seen` seen area over whole area.
        """
        return {
            "path_length": self._track.length if self._insertion_path is None else self._insertion_path,
            "centreline_length": self._scene.guide.length,
            "reached_arc": self._farthest,
            "contact_time": self._track.contact.time,
            "contact_depth_max": self._track.contact.deepest,
            "mucosa_seen": self._mucosa.share,
            "polyps_present": float(self._polyps.present),
            "polyps_found": float(self._polyps.found),
            "false_alarms": float(self._polyps.false_alarms),
            "minimum_distance_to_caecum": self._nearest_to_caecum,
        }

    def _distances(self) -> dict[str, float]:
        tip = self.path[-1]
        return {name: float(np.linalg.norm(tip - place)) for name, place in self._scene.patient.landmarks.items()}


def _mucosa(scene: ColonoscopyScene) -> tuple[int, int]:
    """Return the index of the colon's lumen among the objects, and of its first triangle among all triangles."""
    start = 0
    for index, item in enumerate(scene.objects):
        if item.kind == "lumen" and item.label_id == label_id("colon_wall"):
            return index, start
        start += len(item.mesh.triangles)
    raise AssertionError("a colonoscopy scene without a colon lumen")

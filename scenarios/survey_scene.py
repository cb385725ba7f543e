"""The scene of a liver survey: an oblique laparoscope at the umbilicus, a grasper, the registered map, and a plan."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np

from assets.errors import InputError
from assets.instruments.hand_held import grasper, laparoscope
from assets.labels import label_id
from assets.patient import Patient
from scenarios.survey_plan import LiverMap, make_plan
from scenarios.survey_reach import Reach
from scenarios.survey_stage import find_stage
from sim.camera import Camera
from sim.frame import Frame
from sim.key_points import KeyPoint
from sim.laparoscopy.placement import Placement
from sim.laparoscopy.scene import LaparoscopyScene
from sim.looks import View
from sim.render.channels import Extra
from sim.render.renderer import Renderer
from sim.scene_objects import objects_of

SCOPE, TOOL = "laparoscope", "grasper"
VIEW_DEG = 30.0
_START = 0.040  # m of the laparoscope beyond its port when an episode starts


class SurveyScene:
    """Owns a laparoscopy and what was made of the patient's images before it; use it as a context manager."""

    def __init__(self, patient: Patient, *, camera: Camera) -> None:
        """Build the scene and plan the survey.

        Args:
            patient: With a liver that can be parted (`assets.couinaud`) and ports at umbilicus and midclavicular line.
            camera: Of the laparoscope.

        Raises:
            InputError: The patient lacks what is needed.
        """
        if not any(organ.label == "liver" for organ in patient.organs):
            found = ", ".join(organ.label for organ in patient.organs) or "no organs"
            raise InputError(f"{patient.name}: expected a liver to survey, found {found}")
        self.patient, self.camera = patient, camera
        placements = (
            Placement(laparoscope(VIEW_DEG), "port_umbilical", SCOPE, insertion=_START, roll=np.pi),
            Placement(grasper(), "port_midclavicular", TOOL),  # as deep as there is room: the gallbladder may be near
        )
        with ExitStack() as building:
            self.theatre = building.enter_context(
                LaparoscopyScene(patient, camera=camera, instruments=placements, watching=SCOPE, threads=1)
            )
            port = self.theatre.trocars[SCOPE].T_world_port
            device = self.theatre.table.instruments[SCOPE].device
            reach = Reach(device, port, patient, self.theatre.state.instruments[SCOPE].camera_roll)
            organs = objects_of(patient)
            tool = self.theatre.table.instruments[TOOL].device
            stage = find_stage(reach, tool, self.theatre.trocars[TOOL], self.theatre.field, patient.name)
            self.plan = make_plan(patient, reach, organs, stage)
            liver = next(item for item in organs if item.label_id == label_id("liver"))
            self.liver_map = LiverMap(patient, liver, camera)
            building.callback(self.liver_map.close)
            self._exits = building.pop_all()

    @property
    def renderer(self) -> Renderer:
        """What draws the laparoscope's picture."""
        return self.theatre.renderer

    @property
    def last_view(self) -> View:
        """What the laparoscope saw last."""
        return self.theatre.last_view

    @property
    def channels(self) -> tuple[Extra, ...]:
        """What the laparoscope's frames have besides their usual channels."""
        return self.theatre.channels

    @channels.setter
    def channels(self, wanted: tuple[Extra, ...]) -> None:
        self.theatre.channels = wanted

    def key_points(self, frame: Frame) -> list[KeyPoint]:
        """Return the named points of the grasper in a frame of now."""
        return self.theatre.key_points(frame)

    def __enter__(self) -> "SurveyScene":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()


def open_scene(patient: Patient, camera: Camera, cache: Path | None) -> SurveyScene:
    """Make a patient's scene; nothing of it is worth keeping from run to run."""
    return SurveyScene(patient, camera=camera)

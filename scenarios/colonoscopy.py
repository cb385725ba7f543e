"""Colonoscopy: insertion from the rectum to the caecum, then withdrawal with inspection."""

import math
from dataclasses import replace
from pathlib import Path

from assets.instruments.flexible import COLONOSCOPE_FIELD
from assets.patient import Patient
from perception.prediction import CLASSES, LUMEN, POLYP, WALL
from scenarios.colonoscopy_episode import ColonoscopyEpisode, ScopeSituation
from scenarios.colonoscopy_report import REPORT
from scenarios.drivers.blind import Blind
from scenarios.drivers.classical import Classical
from scenarios.drivers.explorer import Explorer
from scenarios.drivers.inspector import Inspector
from scenarios.drivers.oracle import Oracle
from scenarios.drivers.steering import Steering
from scenarios.interface import Phase, Scenario, Task, Test
from sim.camera import Camera
from sim.scene import ColonoscopyScene
from sim.scope_state import ScopeCommand

REACHED = 0.030  # m: the caecum is reached when the tip comes this near its landmark
NEAR = 0.040  # m: a landmark counts as passed
NO_PROGRESS = 80  # control steps (8 s) without 5 mm of progress: the episode is given up
RECTUM = 0.10  # m of shaft inside at which the withdrawal ends


def caecum_reached(situation: ScopeSituation) -> bool:
    """Tell whether the tip is within 30 mm of the caecum's landmark."""
    return situation.landmark_distance["caecum"] <= REACHED


def withdrawn(situation: ScopeSituation) -> bool:
    """Tell whether only the rectum is left to leave."""
    return situation.state.insertion <= RECTUM


def passed(landmark: str) -> Test:
    """Make an event: the tip came within 40 mm of a landmark."""

    def came_near(situation: ScopeSituation) -> bool:
        return situation.landmark_distance.get(landmark, float("inf")) <= NEAR

    return came_near


def stuck(situation: ScopeSituation) -> bool:
    """Tell whether the tip has made no way for 8 s."""
    return situation.steps_since_progress >= NO_PROGRESS


def endoscope_camera(width: int, height: int) -> Camera:
    """Make the colonoscope's camera: a fisheye, COLONOSCOPE_FIELD across the width, with the corners dark."""
    return replace(Camera.with_fov(width, height, math.degrees(COLONOSCOPE_FIELD)), content_radius=0.57 * width)


def open_scene(patient: Patient, camera: Camera, cache: Path | None) -> ColonoscopyScene:
    """Make a patient's scene, with one thread."""
    return ColonoscopyScene(patient, camera=camera, threads=1, cache=cache)


def open_soft_scene(patient: Patient, camera: Camera, cache: Path | None) -> ColonoscopyScene:
    """Make a patient's scene with a wall that gives way, with one thread."""
    return ColonoscopyScene(patient, camera=camera, threads=1, cache=cache, soft_wall=True)


def slowed(command: ScopeCommand, share: float) -> ScopeCommand:
    """Return the same command at a share of its speed."""
    return ScopeCommand(
        advance=share * command.advance,
        bend_up=share * command.bend_up,
        bend_right=share * command.bend_right,
        roll=share * command.roll,
        free=command.free and share > 0,
    )


TASK = Task(
    name="colonoscopy",
    classes=CLASSES,
    sought=POLYP,
    camera=endoscope_camera,
    open_scene=open_scene,
    start=ColonoscopyEpisode,
    controller=Steering,
    drivers={"oracle": Oracle, "classical": Classical, "blind": Blind, "explorer": Explorer, "inspector": Inspector},
    slowed=slowed,
    eroded=(POLYP, LUMEN),
    filler=WALL,
    report=REPORT,
)

COLONOSCOPY = Scenario(
    name="colonoscopy",
    task=TASK,
    phases=(Phase("insertion", caecum_reached), Phase("withdrawal", withdrawn)),
    success=caecum_reached,
    events={
        name: passed(name)
        for name in ("rectosigmoid", "sigmoid_descending", "splenic_flexure", "hepatic_flexure", "caecum")
    },
    aborts={"stuck": stuck},
)

COLONOSCOPY_SOFT_WALL = replace(
    COLONOSCOPY, name="colonoscopy_soft_wall", task=replace(TASK, open_scene=open_soft_scene)
)
"""The same in a bowel that the scope stretches."""

"""Bronchoscopy: from the trachea towards a peripheral target, as far as the bronchi are wider than the scope."""

from dataclasses import replace
from pathlib import Path

from assets.patient import Patient
from scenarios.bronchoscopy_episode import (
    BRONCHIAL_CLASSES,
    LESION,
    LUMEN,
    ON_WAY,
    WALL,
    BronchialSituation,
    BronchoscopyEpisode,
)
from scenarios.bronchoscopy_report import REPORT
from scenarios.colonoscopy import slowed
from scenarios.drivers.blind import Blind
from scenarios.drivers.bronchial import BronchialSteering
from scenarios.drivers.classical import Classical
from scenarios.drivers.explorer import Explorer
from scenarios.drivers.oracle import Oracle
from scenarios.interface import Phase, Scenario, Task
from sim.bronchoscopy import BronchoscopyScene
from sim.camera import Camera

REACHED = 0.008  # m: so near to the goal along the way, and on it, the tip has arrived
NO_PROGRESS = 60  # control steps (6 s) without 2 mm of progress: the episode is given up


def arrived(situation: BronchialSituation) -> bool:
    """Tell whether the tip is as near to the target as the bronchi let it come."""
    return situation.arc >= situation.goal - REACHED and situation.off_way <= ON_WAY


def stuck(situation: BronchialSituation) -> bool:
    """Tell whether the tip has made no way for 6 s."""
    return situation.steps_since_progress >= NO_PROGRESS


def bronchoscope_camera(width: int, height: int) -> Camera:
    """Make the bronchoscope's camera: a fisheye, 120 degrees across the width, with the corners dark.

    Video bronchoscopes state 120 degrees (Olympus BF-H190).
    """
    return replace(Camera.with_fov(width, height, 120.0), content_radius=0.57 * width)


def open_scene(patient: Patient, camera: Camera, cache: Path | None) -> BronchoscopyScene:
    """Make a patient's scene, with one thread."""
    return BronchoscopyScene(patient, camera=camera, threads=1, cache=cache)


TASK = Task(
    name="bronchoscopy",
    classes=BRONCHIAL_CLASSES,
    sought=LESION,
    camera=bronchoscope_camera,
    open_scene=open_scene,
    start=BronchoscopyEpisode,
    controller=BronchialSteering,
    drivers={
        "oracle": lambda: Oracle(BronchialSteering()),
        "classical": lambda: Classical(BronchialSteering()),
        "blind": lambda: Blind(BronchialSteering(), len(BRONCHIAL_CLASSES)),
        "explorer": lambda: Explorer(controller=BronchialSteering()),
    },
    slowed=slowed,
    eroded=(LUMEN,),
    filler=WALL,
    report=REPORT,
)

BRONCHOSCOPY = Scenario(
    name="bronchoscopy",
    task=TASK,
    phases=(Phase("insertion", arrived),),
    success=arrived,
    events={"arrived": arrived},
    aborts={"stuck": stuck},
    max_steps=300,
    friction=0.1,
)

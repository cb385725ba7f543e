"""Laparoscopic liver survey: see every Couinaud segment that can be seen, then keep a moving tip centred."""

from perception.survey_classes import INSTRUMENT, LIVER, OTHER, SURVEY_CLASSES
from scenarios.drivers.blind import Blind
from scenarios.drivers.oracle import Oracle
from scenarios.drivers.survey_classical import SurveyClassical
from scenarios.drivers.survey_explorer import SurveyExplorer
from scenarios.drivers.surveying import Surveying
from scenarios.interface import Phase, Scenario, Task
from scenarios.survey_episode import (
    SERVO_STEPS,
    SETTLING_STEPS,
    SURVEY_STEPS,
    ScopeMove,
    SurveyEpisode,
    SurveySituation,
)
from scenarios.survey_report import REPORT
from scenarios.survey_scene import open_scene
from sim.instruments.laparoscope import laparoscope_camera

FOLLOWED = 0.80
"""Share of the minute in which the tip is to be centred."""


def surveyed(situation: SurveySituation) -> bool:
    """Tell whether the survey is over: all that can be seen was, or the time is up."""
    return situation.complete or situation.phase_step >= SURVEY_STEPS


def followed(situation: SurveySituation) -> bool:
    """Tell whether the minute is over."""
    return situation.phase_step >= SETTLING_STEPS + SERVO_STEPS


def accomplished(situation: SurveySituation) -> bool:
    """Tell whether all was seen, the tip was centred for at least 80 % of the minute, and nothing was touched."""
    whole = situation.servo_steps >= SERVO_STEPS
    return situation.complete and whole and situation.centred_share >= FOLLOWED and situation.touch_time == 0


def slowed(command: ScopeMove, share: float) -> ScopeMove:
    """Return the same command at a share of its speed."""
    return ScopeMove(command.joints, share * command.speed)


TASK = Task(
    name="liver_survey",
    classes=SURVEY_CLASSES,
    sought=INSTRUMENT,
    camera=laparoscope_camera,
    open_scene=open_scene,
    start=SurveyEpisode,
    controller=Surveying,
    drivers={
        "oracle": lambda: Oracle(Surveying()),
        "classical": SurveyClassical,
        "blind": lambda: Blind(Surveying(), len(SURVEY_CLASSES)),
        "explorer": SurveyExplorer,
    },
    slowed=slowed,
    eroded=(INSTRUMENT, LIVER),
    filler=OTHER,
    report=REPORT,
)

LIVER_SURVEY = Scenario(
    name="liver_survey",
    task=TASK,
    phases=(Phase("survey", surveyed), Phase("servo", followed)),
    success=accomplished,
    events={"surveyed": lambda now: now.complete, "touched": lambda now: now.touch_time > 0},
    aborts={},
    max_steps=SURVEY_STEPS + SETTLING_STEPS + SERVO_STEPS + 10,
)

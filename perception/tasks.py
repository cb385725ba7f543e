"""What a network is for: the classes it tells apart, and what else it says. One definition a task, entered in TASKS."""

from dataclasses import dataclass
from typing import Literal

from assets.errors import InputError
from perception.prediction import CLASSES, LUMEN_DISTANCE, POLYP
from perception.survey_classes import INSTRUMENT, SURVEY_CLASSES

Head = Literal["direction", "centres", "target"]
"""Beside classes and depth. direction: the way ahead, told where it is hidden too; centres: a heat map with a peak at
the middle of each thing that is sought; target: a heat map of one point, whose peak is the direction."""


@dataclass(frozen=True)
class PerceptionTask:
    """What the networks of a task have in common."""

    name: str
    """As the task is called in `scenarios`."""
    classes: tuple[str, ...]
    """What the masks tell apart; the index is the id. Background, where nothing is seen, is 0."""
    class_weights: tuple[float, ...]
    """Of the classes, in the cross-entropy."""
    sought: int
    """The class that is searched for, or held in view: it is shown more often in training, and counts more."""
    heads: tuple[Head, ...]
    """What the network says besides."""
    aim: str
    """What the direction leads to, in words."""
    lumen_distance: float | None = None
    """[m] What lies beyond is class lumen; None where there is no such class."""


COLONOSCOPY = PerceptionTask(
    name="colonoscopy",
    classes=CLASSES,
    class_weights=(0.5, 1.0, 5.0, 1.0),  # polyps have few of the pixels, and Dice alone never finds them
    sought=POLYP,
    heads=("direction", "centres"),
    aim="the lumen",
    lumen_distance=LUMEN_DISTANCE,
)

LIVER_SURVEY = PerceptionTask(
    name="liver_survey",
    classes=SURVEY_CLASSES,
    class_weights=(0.5, 1.0, 3.0, 1.0),  # the shaft of an instrument is thin
    sought=INSTRUMENT,
    heads=("target",),
    aim="the instrument's tip",
)

TASKS = {one.name: one for one in (COLONOSCOPY, LIVER_SURVEY)}


def task_named(name: object, where: str) -> PerceptionTask:
    """Return a task by its name.

    Raises:
        InputError: There is no such task; the line starts with `where`.
    """
    if not isinstance(name, str) or name not in TASKS:
        raise InputError(f"{where}: expected a task of {', '.join(TASKS)}, found {name!r:.100}")
    return TASKS[name]

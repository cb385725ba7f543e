"""What a user scripts against: observations, drivers, tasks, and scenarios of phases, events and a success test."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, UInt8
from numpy.typing import NDArray

from assets.patient import Patient
from perception.prediction import Prediction
from scenarios.measure import TaskReport
from sim.camera import Camera
from sim.control_step import CONTROL_STEP
from sim.degradations.settings import Degradations
from sim.frame import Frame
from sim.render.appearance import Appearance

Command = Any
"""What an operator does within a control step; each task has its own, such as `sim.scope_state.ScopeCommand`."""


@dataclass(frozen=True)
class Readings:
    """What the device itself tells, besides the picture; each task adds its own."""

    time: float
    """Simulated time [s]."""
    exposure: float
    """Gain of the automatic exposure; 1 is nominal."""


@dataclass(frozen=True)
class Truth:
    """What only a simulator knows. The loop hands it to drivers with `needs_truth`, and to nobody else."""

    frame: Frame
    lumen_direction: Float64[np.ndarray, "3"]
    """Unit vector, camera axes, to the task's target: in the colon the farthest centreline point ahead that is seen."""
    lumen_visible: bool
    """False where the target is not seen."""
    classes: UInt8[np.ndarray, "h w"]
    """Ids of the task's classes."""
    class_count: int
    """How many classes the task has."""
    sought: int
    """The class that is searched for, in the colon polyps."""


@dataclass(frozen=True)
class Observation:
    """What a driver gets each control step."""

    rgb: UInt8[np.ndarray, "h w 3"]
    camera: Camera
    readings: Readings
    truth: Truth | None = None


@runtime_checkable
class Driver(Protocol):
    """Perceives, then acts. One object drives one episode after another; `reset` comes before each."""

    name: str
    needs_truth: bool

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode; `rng` is the episode's own source of randomness."""

    def perceive(self, observation: Observation) -> Prediction:
        """Say what is in the picture."""

    def act(self, prediction: Prediction, readings: Any, phase: str) -> Command:
        """Choose the command of this control step."""


@runtime_checkable
class Controller(Protocol):
    """Acts on what was perceived, whoever did; a task's drivers share one, so that perception alone differs."""

    def reset(self) -> None:
        """Forget the last episode."""

    def command(self, prediction: Prediction, readings: Any, phase: str) -> Command:
        """Choose the command of this control step."""


@dataclass(frozen=True)
class Situation:
    """Where an episode stands after a control step; phases, events and the success test are asked about it.

    Each task adds what it knows, such as `scenarios.colonoscopy_episode.ScopeSituation`.
    """

    step: int
    """Control steps done in the episode."""
    phase_step: int
    """Control steps done in this phase."""
    phase: str

    @property
    def place(self) -> str:
        """How far the episode is, in words: of captions and reasons."""
        return f"{self.step * CONTROL_STEP:.0f} s"

    @property
    def fault(self) -> str:
        """Why the simulation itself can no longer be relied on, which ends the episode; empty where all is well."""
        return ""

    def meta(self) -> dict[str, Any]:
        """Return what a recorded frame notes of the situation, as JSON values."""
        return {}


@runtime_checkable
class Environment(Protocol):
    """One episode of a task on a scene: what the loop asks for, whatever the task."""

    measuring: bool
    """False: nobody asks for the measures, so what is dear and counted for them alone may be left out."""

    @property
    def path(self) -> Sequence[NDArray[np.float64]]:
        """Positions of the camera [m] so far, one a control step."""

    def observe(self) -> tuple[Frame, Truth, Readings]:
        """Look: the frame, what is true of it, and what the device tells."""

    def count(self, frame: Frame, prediction: Prediction) -> None:
        """Count what the last frame observed shows, and what was made of it, for the task's measures."""

    def step(self, command: Command, phase: str) -> None:
        """Move through one control step."""

    def begin_phase(self) -> None:
        """Note that the next phase begins."""

    def situation(self, step: int, phase_step: int, phase: str) -> Situation:
        """Say where the episode stands."""

    def measures(self) -> dict[str, float]:
        """Return what the task counts of the whole episode."""


@runtime_checkable
class Scene(Protocol):
    """A patient with instruments in it; it is dear to make, and serves one episode after another."""

    patient: Patient
    camera: Camera


@dataclass(frozen=True)
class Task:
    """What a scenario is played on: a kind of scene, what is seen in it, who can drive there, and what is counted."""

    name: str
    classes: tuple[str, ...]
    """Names of what the masks tell apart; the index is the id, 0 is the background."""
    sought: int
    """The class that is searched for: frames that show much of it are samples, and are recorded more often."""
    camera: Callable[[int, int], Camera]
    """Makes the camera of a picture's width and height [px]."""
    open_scene: Callable[[Patient, Camera, Path | None], AbstractContextManager[Any]]
    """Makes the scene of a patient, with one thread; the folder is where dear things are kept from run to run."""
    start: Callable[[Any, int, float, Appearance | None, Degradations | None], Environment]
    """Begins an episode on a scene: seed, friction, look, what goes wrong with the picture."""
    controller: Callable[[], Controller]
    """Of the drivers oracle, model and blind."""
    drivers: Mapping[str, Callable[[], Driver]]
    """Drivers by name, besides `model`."""
    slowed: Callable[[Command, float], Command]
    """The same command at a share of its speed; at 0 nothing moves."""
    eroded: tuple[int, ...]
    """Classes whose masks the error `mask_erosion` erodes; what they lose goes to `filler`."""
    filler: int
    """What the error `dropped_class` takes the class `sought` for."""
    report: TaskReport


Test = Callable[[Any], bool]
"""Asked about the task's `Situation`."""


@dataclass(frozen=True)
class Phase:
    """A stretch of the procedure; the next begins when `done` holds."""

    name: str
    done: Test


@dataclass(frozen=True)
class Scenario:
    """A procedure. `dataclasses.replace` makes a variant of one that exists."""

    name: str
    task: Task
    phases: tuple[Phase, ...]
    """In order; the episode ends well after the last."""
    success: Test
    """Asked after every step; once it held, the episode is a success."""
    events: Mapping[str, Test]
    """The first step at which each holds is noted in the episode."""
    aborts: Mapping[str, Test]
    """Each ends the episode, with its name as the reason."""
    max_steps: int = 500
    """Control steps of 0.1 s."""
    friction: float = 0.02
    """Coulomb coefficient between scope and mucosa. In the living small bowel 0.007 to 0.054 was measured (Tribology
    Letters 51, 2013, doi:10.1007/s11249-013-0167-1); 0.09 on excised, lubricated colon (Communications Engineering 1,
    2024, doi:10.1038/s44172-024-00177-5), whose bends give way where a rigid wall cannot."""

"""What a user scripts against: observations, drivers, and scenarios made of phases, events and a success test."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, UInt8

from perception.prediction import Prediction
from sim.camera import Camera
from sim.frame import Frame
from sim.scope_state import ScopeCommand, ScopeState


@dataclass(frozen=True)
class Readings:
    """What the device itself tells, besides the picture."""

    time: float
    """Simulated time [s]."""
    exposure: float
    """Gain of the automatic exposure; 1 is nominal."""
    insertion: float
    """Length of shaft inside the patient, read off its marks [m]."""
    bend_up: float
    """Angle of the up/down wheel [rad]; up is positive."""
    bend_right: float
    """Angle of the left/right wheel [rad]; right is positive."""
    roll: float
    """Angle by which the shaft was turned at the anus [rad]."""
    push_force: float
    """Force with which the hand pushes the shaft [N]; negative when it pulls."""
    blocked: bool
    """The push was stopped at the force limit."""


@dataclass(frozen=True)
class Truth:
    """What only a simulator knows. The loop hands it to drivers with `needs_truth`, and to nobody else."""

    frame: Frame
    lumen_direction: Float64[np.ndarray, "3"]
    """Unit vector, camera axes, to the farthest centreline point ahead that is seen."""
    lumen_visible: bool
    """False where no centreline point ahead is seen."""


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

    def act(self, prediction: Prediction, readings: Readings, phase: str) -> ScopeCommand:
        """Choose the command of this control step."""


@dataclass(frozen=True)
class Situation:
    """Where an episode stands after a control step; phases, events and the success test are asked about it."""

    step: int
    """Control steps done in the episode."""
    phase_step: int
    """Control steps done in this phase."""
    phase: str
    state: ScopeState
    arc: float
    """Arc length of the tip along the centreline [m]."""
    farthest_arc: float
    """The farthest that the tip has been [m]."""
    steps_since_progress: int
    """Control steps since the farthest arc last grew, or shrank in the withdrawal, by 5 mm."""
    centreline_length: float
    """[m]"""
    landmark_distance: Mapping[str, float]
    """Distance of the tip to each landmark of the patient [m]."""


Test = Callable[[Situation], bool]


@dataclass(frozen=True)
class Phase:
    """A stretch of the procedure; the next begins when `done` holds."""

    name: str
    done: Test


@dataclass(frozen=True)
class Scenario:
    """A procedure. `dataclasses.replace` makes a variant of one that exists."""

    name: str
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

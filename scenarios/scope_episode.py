"""What an episode with a flexible scope has, whichever way it goes: readings, where the tip stands, and its path."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenarios.interface import Readings, Situation
from scenarios.measures import WallContact
from sim.control_step import CONTROL_STEP
from sim.frame import Frame
from sim.scope_state import ScopeState


@dataclass(frozen=True)
class ScopeReadings(Readings):
    """What a flexible scope tells, besides the picture."""

    insertion: float
    """Length of shaft inside the patient, read off its marks [m]."""
    bend_up: float
    """Angle of the up/down wheel [rad]; up is positive."""
    bend_right: float
    """Angle of the left/right wheel [rad]; right is positive."""
    roll: float
    """Angle by which the shaft was turned at the entrance [rad]."""
    push_force: float
    """Force with which the hand pushes the shaft [N]; negative when it pulls."""
    blocked: bool
    """The push was stopped at the force limit."""


@dataclass(frozen=True)
class TipSituation(Situation):
    """Where a procedure with a flexible scope stands."""

    state: ScopeState
    arc: float
    """Arc length of the tip along the way [m]."""
    steps_since_progress: int
    """Control steps since the tip last made way, as far as the task asks for."""

    @property
    def place(self) -> str:
        """Arc length of the tip."""
        return f"{self.arc * 1000:.0f} mm"

    @property
    def fault(self) -> str:
        """What the scope's body reports."""
        return self.state.fault

    def meta(self) -> dict[str, Any]:
        """Return contact and arc."""
        return {"contact": bool(self.state.tip_contact), "arc": self.arc}


def scope_readings(frame: Frame, state: ScopeState) -> ScopeReadings:
    """Return what the scope tells beside a frame."""
    return ScopeReadings(
        time=frame.time,
        exposure=frame.exposure,
        insertion=state.insertion,
        bend_up=state.bend_up,
        bend_right=state.bend_right,
        roll=state.roll,
        push_force=state.push_force,
        blocked=state.blocked,
    )


class TipTrack:
    """Counts along where the tip goes and what it touches."""

    def __init__(self, state: ScopeState) -> None:
        self.path: list[NDArray[np.float64]] = [state.T_world_camera[:3, 3].copy()]
        """Positions of the camera [m], the start and one a control step."""
        self.length = 0.0
        """Of the path [m]."""
        self.contact = WallContact()

    def add(self, state: ScopeState) -> None:
        """Count a control step."""
        position = state.T_world_camera[:3, 3].copy()
        self.length += float(np.linalg.norm(position - self.path[-1]))
        self.path.append(position)
        self.contact.add(state.tip_contact, state.contact_depth, CONTROL_STEP)


class Idleness:
    """Counts the control steps since the arc last grew, or shrank, by a least way."""

    def __init__(self, arc: float, least: float) -> None:
        """Begin at an arc length; `least` is the way that counts [m]."""
        self.steps = 0
        self._mark, self._least = arc, least

    def restart(self, arc: float) -> None:
        """Count from here."""
        self.steps, self._mark = 0, arc

    def add(self, arc: float, *, backwards: bool = False) -> None:
        """Count a control step that ended at an arc length [m]."""
        made_way = self._mark - arc if backwards else arc - self._mark
        if made_way >= self._least:
            self.restart(arc)
        else:
            self.steps += 1

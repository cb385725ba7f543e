"""What the hand tells a flexible scope, and where the scope is and what it feels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64


@dataclass(frozen=True)
class ScopeCommand:
    """What the operator does within one control step of 0.1 s; clipped to the device's limits."""

    advance: float = 0.0
    """Insertion [m], positive inwards."""
    bend_up: float = 0.0
    """Change of the angle towards image up [rad]."""
    bend_right: float = 0.0
    """Change of the angle towards image right [rad]; without effect on a scope that bends in one plane."""
    roll: float = 0.0
    """Turn of the shaft at the orifice, about its forward axis [rad]."""
    free: bool = False
    """The wheels are let go: the bending section is limp, and its angles are what the wall makes of them."""


@dataclass(frozen=True)
class ScopeState:
    """Where the scope is after a control step, and what it feels."""

    T_world_camera: Float64[np.ndarray, "4 4"]
    """Pose of the lens at the centre of the end face, OpenCV axes."""
    nodes: Float64[np.ndarray, "n 3"]
    """Nodes inside the patient and the first one outside [m], tip first."""
    insertion: float
    """Length of scope inside the orifice [m]."""
    roll: float
    """Of the shaft at the orifice [rad]."""
    bend_up: float
    """Angle of the wheel [rad]: as commanded, or with the wheels let go as the bending section is bent."""
    bend_right: float
    """Angle of the wheel [rad], likewise."""
    tip_contact: bool
    """The rigid tip touches the wall."""
    contact_depth: float
    """How deep the rigid tip presses into the wall [m]; 0 without contact."""
    contact_count: int
    """Nodes that touch the wall."""
    push_force: float
    """Of the hand at the orifice [N]; negative when it pulls."""
    blocked: bool
    """The hand slipped at the limit of its force: less than half of the commanded advance was made."""
    time: float
    """[s] since the start."""
    fault: str = ""
    """Why the episode should end: what the rod can no longer be trusted in, where and when; empty if all is well."""

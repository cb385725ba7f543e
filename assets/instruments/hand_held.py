"""Instruments in a hand, through a trocar: laparoscopes, grasper, scissors, hook and suction.

The arm is the hand with the trocar: yaw and pitch about the port, insertion and roll. Insertion is the depth of the tip
beyond the port.
"""

from math import pi, radians

import numpy as np

from assets.instruments.arm import Arm, Joint, Vector
from assets.instruments.device import Ball, CameraHead, Device, Jaw, Part
from assets.instruments.shapes import (
    balls_along,
    clevis,
    grasper_jaw,
    half_turn,
    hook_wire,
    rim_balls,
    scissors_blade,
    scope_end,
    shaft,
    side_holes,
    suction_tube,
)
from assets.mesh import Mesh

_H = pi / 2
HAND = Arm(
    name="hand",
    joints=(
        Joint("yaw", "revolute", _H, 0.0, 0.0, _H, -radians(60), radians(60), 1.5, 4.5, 1.0),
        Joint("pitch", "revolute", -_H, 0.0, 0.0, -_H, -radians(60), radians(60), 1.5, 4.5, 1.0),
        Joint("insertion", "prismatic", _H, 0.0, 0.0, 0.0, 0.0, 0.3, 0.2, 30.0, 0.3),
        Joint("roll", "revolute", 0.0, 0.0, 0.0, 0.0, -radians(270), radians(270), 2 * pi, 0.5, 0.1),
    ),
    tip_axes=((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    tip_offset=(0.0, 0.0, 0.0),
    source="yaw and pitch: chosen, wider than the cone of 60 by 90 degrees that instruments need (Lum et al., The "
    "RAVEN, Int. J. Robot. Res. 28, 2009, doi:10.1177/0278364909101795); insertion: shafts of 310 to 330 mm; speeds: "
    "chosen, the insertion's that of the dVRK's PSM, yaw and pitch about as fast at the tip 150 mm deep; 30 N along "
    "the shaft and at the tip 150 mm deep: chosen, of the order of the grasps in Barrie et al., Br. J. Surg. 100, 2013",
)

GRASPER_JAW = Jaw(
    length=0.020,
    upper=radians(60),
    max_speed=radians(60) / 0.18,
    max_force=0.35,
    source="opening: usual for blunt graspers; quickest closing 0.18 s and greatest grasp 35 N, here at half the jaw's "
    "length, in 25 grasps of small bowel (Barrie et al., Br. J. Surg. 100, 2013, p. 34)",
)
SCISSORS_JAW = Jaw(
    length=0.017,
    upper=radians(50),
    max_speed=radians(50) / 0.18,
    max_force=0.35,
    source="length and opening: chosen, curved 5 mm scissors; speed and torque as for the grasper",
)
HEAD_SPEED = pi
"""Turn of a camera head on its eyepiece [rad/s]; chosen."""

_SHAFT_RADIUS = 0.0025  # [m], 5 mm
_SCOPE_RADIUS = 0.005  # [m], 10 mm
_SHAFT_LENGTH = 0.33  # [m]
_SCOPE_LENGTH = 0.31  # [m]
_COLLIDING = 0.2  # [m] of the shaft behind the tip; the rest is seldom inside


def laparoscope(view_deg: float = 0.0) -> Device:
    """Return a 10 mm laparoscope.

    Args:
        view_deg: Between the shaft and the direction of view [degrees]: 0 and 30 are usual.
    """
    head = CameraHead(radians(view_deg), HEAD_SPEED, "chosen: a camera head turns freely on its eyepiece")
    body, window = scope_end(_SCOPE_RADIUS, -_SCOPE_LENGTH, head.view_angle)
    back = _SCOPE_RADIUS * np.tan(head.view_angle)
    balls = (
        *balls_along(-_COLLIDING, -float(back), _SCOPE_RADIUS),
        *rim_balls(_SCOPE_RADIUS, head.view_angle),
    )
    return Device(
        f"laparoscope_{view_deg:g}",
        "laparoscope",
        HAND,
        (_on_roll("shaft", body, "instrument_steel", balls), _on_roll("window", window, "polymer", ())),
        head=head,
        key_points=(("tip", "roll", (0.0, 0.0, 0.0)),),
    )


def grasper() -> Device:
    """Return a blunt 5 mm grasper with teeth, both jaws moving."""
    jaw = grasper_jaw(GRASPER_JAW.length, 0.0046)
    return _with_jaws("grasper", GRASPER_JAW, half_turn(jaw), jaw, 0.0012, gap=0.0031)


def scissors() -> Device:
    """Return curved 5 mm scissors."""
    blades = [scissors_blade(SCISSORS_JAW.length, 0.0048, side) for side in (-1.0, 1.0)]
    return _with_jaws("scissors", SCISSORS_JAW, blades[0], blades[1], 0.0007, gap=0.0028)


def hook() -> Device:
    """Return a 5 mm L hook for monopolar coagulation: an insulated shaft with a bare electrode."""
    reach, side = 0.012, 0.0045
    parts = (
        _on_roll(
            "shaft",
            shaft(_SHAFT_RADIUS, -_SHAFT_LENGTH, -reach),
            "polymer",
            balls_along(-_COLLIDING, -reach, _SHAFT_RADIUS),
        ),
        _on_roll(
            "wrist",
            hook_wire(reach + 0.002, side, 0.0008),
            "instrument_steel",
            (
                *balls_along(-reach, 0.0, 0.0008),
                *balls_along(-0.0016, 0.0, 0.0008, y=side / 2),
                *balls_along(-0.0016, 0.0, 0.0008, y=side),
            ),
        ),
    )
    points = (("tip", "roll", _in_roll((0.0, side, 0.0))), ("wrist", "roll", _in_roll((0.0, 0.0, -reach))))
    return Device("hook", "hook", HAND, parts, key_points=points)


def suction() -> Device:
    """Return a 5 mm tube for suction and irrigation with side holes."""
    parts = (
        _on_roll(
            "shaft",
            suction_tube(_SHAFT_RADIUS, -_SHAFT_LENGTH),
            "instrument_steel",
            balls_along(-_COLLIDING, 0.0, _SHAFT_RADIUS),
        ),
        _on_roll("holes", side_holes(_SHAFT_RADIUS), "polymer", ()),
    )
    return Device("suction", "suction", HAND, parts, key_points=(("tip", "roll", (0.0, 0.0, 0.0)),))


def _with_jaws(name: str, jaw: Jaw, left: Mesh, right: Mesh, ball: float, *, gap: float) -> Device:
    pivot, start = -jaw.length, -jaw.length - 0.008
    fork = clevis(0.96 * _SHAFT_RADIUS, pivot, start - 0.001, gap)
    parts = (
        _on_roll(
            "shaft",
            shaft(_SHAFT_RADIUS, -_SHAFT_LENGTH, start),
            "polymer",
            balls_along(-_COLLIDING, start, _SHAFT_RADIUS),
        ),
        _on_roll("wrist", fork, "instrument_steel", balls_along(start, pivot + 0.0019, 0.0019)),
        *(
            Part(
                f"jaw_{side}",
                f"jaw_{side}",
                np.eye(4),
                mesh,
                "instrument_steel",
                balls_along(0.002, jaw.length, ball, y=y),
            )
            for side, mesh, y in (("left", left, -ball), ("right", right, ball))
        ),
    )
    points = (
        ("tip", "roll", (0.0, 0.0, 0.0)),
        ("wrist", "roll", (0.0, 0.0, pivot)),
        ("jaw_left_tip", "jaw_left", (0.0, 0.0, jaw.length)),
        ("jaw_right_tip", "jaw_right", (0.0, 0.0, jaw.length)),
    )
    return Device(name, name, HAND, parts, jaw=jaw, key_points=points)


def _on_roll(name: str, mesh: Mesh, material: str, balls: tuple[Ball, ...]) -> Part:
    return Part(name, "roll", HAND.T_last_tip, mesh, material, balls)


def _in_roll(point: Vector) -> Vector:
    """Return a point of the tip frame in the frame of the link `roll`."""
    x, y, z = (HAND.T_last_tip @ [*point, 1.0])[:3]
    return float(x), float(y), float(z)

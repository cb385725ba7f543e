"""Instruments on the dVRK's arms: a grasper or scissors with a wrist on the PSM, a laparoscope on the ECM."""

from math import radians

import numpy as np
from numpy.typing import NDArray

from assets.instruments.device import Box, CameraHead, Device, Jaw, Part
from assets.instruments.dvrk import ECM, PSM, PSM_JAW_TORQUE, PSM_JAW_UPPER, PSM_TIP
from assets.instruments.shapes import (
    balls_along,
    clevis,
    grasper_jaw,
    half_turn,
    pulley,
    rim_balls,
    scissors_blade,
    scope_end,
    shaft,
)
from assets.mesh import Mesh
from assets.transforms import compose

PSM_JAW = Jaw(
    length=PSM_TIP,
    upper=PSM_JAW_UPPER,
    max_speed=PSM.joints[-1].max_speed,
    max_force=PSM_JAW_TORQUE,
    source="share/tool/LARGE_NEEDLE_DRIVER_400006.json and mtsIntuitiveResearchKitPSM, see assets/instruments/dvrk.py",
)
_SHAFT_RADIUS = 0.004  # [m]; EndoWrist instruments of the first generations are 8 mm thick
_SHAFT_LENGTH = 0.4162  # [m]
_SCOPE_RADIUS = 0.006  # [m]; the da Vinci's stereo endoscope is 12 mm thick

# Blocks that stand for the arms outside the patient, sizes by eye: a column on the yaw axis, a boom, the slide of the
# insertion with its carriage, the shaft.
_PSM_BOXES = (
    Box("yaw", (0.0, 0.0, 0.55), (0.12, 0.12, 0.20)),
    Box("yaw", (0.24, 0.0, 0.49), (0.48, 0.07, 0.07)),
    Box("yaw", (0.46, 0.0, 0.28), (0.05, 0.05, 0.44)),
    Box("pitch", (0.06, 0.45, 0.0), (0.05, 0.45, 0.07)),
    Box("insertion", (0.02, 0.0, -0.02), (0.09, 0.08, 0.05)),
    Box("roll", (0.0, 0.0, -0.21), (0.007, 0.007, 0.40)),
)
_ECM_BOXES = (
    Box("yaw", (0.0, 0.0, 0.60), (0.14, 0.14, 0.22)),
    Box("yaw", (0.22, 0.0, 0.53), (0.44, 0.09, 0.09)),
    Box("yaw", (0.42, 0.0, 0.31), (0.06, 0.06, 0.46)),
    Box("pitch", (0.08, 0.40, 0.0), (0.06, 0.45, 0.09)),
    Box("insertion", (0.02, 0.0, -0.04), (0.10, 0.10, 0.08)),
    Box("roll", (0.0, 0.0, -0.2), (0.010, 0.010, 0.36)),
)


def psm_grasper() -> Device:
    """Return the PSM with a grasper whose kinematics and jaws are those of the large needle driver."""
    jaw = grasper_jaw(PSM_TIP, 0.0052)
    return _psm("psm_grasper", "grasper", half_turn(jaw), jaw, 0.0012)


def psm_scissors() -> Device:
    """Return the PSM with scissors of the large needle driver's kinematics."""
    left, right = (scissors_blade(PSM_TIP, 0.0052, side) for side in (-1.0, 1.0))
    return _psm("psm_scissors", "scissors", left, right, 0.0008)


def ecm_laparoscope(view_deg: float = 0.0) -> Device:
    """Return the ECM with its endoscope; its camera head is fixed to it, so it is to be left at 0.

    Args:
        view_deg: 0 or 30, upwards [degrees].
    """
    head = CameraHead(radians(view_deg), 1e-3, "the ECM's camera head turns with the endoscope")
    body, window = scope_end(_SCOPE_RADIUS, -ECM.joints[3].d, head.view_angle)
    back = float(_SCOPE_RADIUS * np.tan(head.view_angle))
    balls = (*balls_along(-0.25, -back, _SCOPE_RADIUS), *rim_balls(_SCOPE_RADIUS, head.view_angle))
    parts = (
        Part("shaft", "roll", ECM.T_last_tip, body, "instrument_steel", balls),
        Part("window", "roll", ECM.T_last_tip, window, "polymer", ()),
    )
    points = (("tip", "roll", (0.0, 0.0, 0.0)),)
    return Device(
        f"ecm_laparoscope_{view_deg:g}", "laparoscope", ECM, parts, head=head, key_points=points, boxes=_ECM_BOXES
    )


def _psm(name: str, label: str, left: Mesh, right: Mesh, ball: float) -> Device:
    quarter = compose(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.zeros(3))
    pitch_to_yaw = PSM.joints[5].a
    along_x: NDArray[np.float64] = compose(np.array([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]), np.zeros(3))
    shaft_end = -0.007
    parts = (
        Part(
            "shaft",
            "roll",
            np.eye(4),
            shaft(_SHAFT_RADIUS, -_SHAFT_LENGTH, shaft_end),
            "polymer",
            balls_along(-0.2, shaft_end, _SHAFT_RADIUS),
        ),
        Part(
            "fork",
            "roll",
            quarter,
            clevis(0.96 * _SHAFT_RADIUS, 0.0, shaft_end - 0.001, 0.0052),
            "instrument_steel",
            (),
        ),
        Part(
            "wrist",
            "wrist_pitch",
            along_x @ quarter,
            clevis(0.0036, pitch_to_yaw, -0.0026, 0.0036, rounded=True),
            "instrument_steel",
            balls_along(-0.002, pitch_to_yaw + 0.002, 0.003),
        ),
        Part("hub", "wrist_pitch", along_x, pulley(0.0026, 0.0050), "instrument_steel", ()),
        *(
            Part(
                f"jaw_{side}", f"jaw_{side}", np.eye(4), mesh, "instrument_steel", balls_along(0.0, PSM_TIP, ball, y=y)
            )
            for side, mesh, y in (("left", left, -ball), ("right", right, ball))
        ),
    )
    points = (
        ("tip", "wrist_yaw", (0.0, PSM_TIP, 0.0)),
        ("wrist", "wrist_pitch", (0.0, 0.0, 0.0)),
        ("jaw_left_tip", "jaw_left", (0.0, 0.0, PSM_TIP)),
        ("jaw_right_tip", "jaw_right", (0.0, 0.0, PSM_TIP)),
    )
    return Device(name, label, PSM, parts, jaw=PSM_JAW, key_points=points, boxes=_PSM_BOXES)

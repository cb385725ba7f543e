"""Which instrument is in which trocar, and how it stands when a scene begins."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.instruments.device import Device
from assets.instruments.hand_held import grasper, hook, laparoscope
from sim.robots.kinematics import tip_pose


@dataclass(frozen=True, eq=False)
class Placement:
    """An instrument in a trocar."""

    device: Device
    port: str
    """Name of the trocar site: an orifice of the patient's abdominal wall."""
    name: str = ""
    """By which it is commanded; the device's own if empty."""
    insertion: float | None = None
    """Of the tip beyond the port at the start [m]; None goes in as far as `CLEARANCE` is left around the tip."""
    roll: float = 0.0
    """Of the shaft at the start [rad]."""
    latency: int = 0
    """Control steps between a command and its effect."""

    @property
    def key(self) -> str:
        """Name by which it is commanded."""
        return self.name or self.device.name


def cholecystectomy(view_deg: float = 0.0) -> tuple[Placement, ...]:
    """Return the usual four trocars of a laparoscopic cholecystectomy.

    The laparoscope is at the umbilicus; an assistant's grasper for the fundus far lateral; the surgeon's grasper, for
    the infundibulum, in the midclavicular line; the hook in the epigastrium (Zollinger's Atlas of Surgical Operations).

    Args:
        view_deg: Between the laparoscope's shaft and its view [degrees].
    """
    return (
        Placement(laparoscope(view_deg), "port_umbilical", "laparoscope", roll=np.pi if view_deg else 0.0),
        Placement(grasper(), "port_axillary", "fundus_grasper"),
        Placement(grasper(), "port_midclavicular", "grasper"),
        Placement(hook(), "port_epigastric", "hook"),
    )


def start_joints(device: Device, insertion: float, roll: float = 0.0) -> NDArray[np.float64]:
    """Return joints at which the instrument points along its trocar's axis with its tip so deep [m], in its limits."""
    arm = device.arm
    joints = np.clip(np.zeros(len(arm.joints)), arm.lower, arm.upper)
    joints[3] = roll
    joints[2] += insertion + tip_pose(arm, joints)[2, 3]
    return np.clip(joints, arm.lower, arm.upper)


def check_names(placements: tuple[Placement, ...], camera: str) -> None:
    """Refuse two instruments of one name or in one trocar, and a scene without the laparoscope that it names.

    Raises:
        InputError: It is so.
    """
    names = [placement.key for placement in placements]
    ports = [placement.port for placement in placements]
    for what, values in (("name", names), ("trocar site", ports)):
        twice = [value for value in values if values.count(value) > 1]
        if twice:
            raise InputError(f"instruments: expected each with a {what} of its own, found {twice[0]!r} twice")
    scopes = [placement.key for placement in placements if placement.device.head is not None]
    if camera not in scopes:
        raise InputError(
            f"instruments: expected a laparoscope called {camera!r}, found {', '.join(scopes) or 'no laparoscope'}"
        )

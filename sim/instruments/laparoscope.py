"""What a laparoscope sees: the pose of its camera, for straight and oblique optics with a camera head that turns."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.errors import InputError
from assets.instruments.device import Device
from assets.transforms import compose
from sim.camera import Camera
from sim.instruments.instrument import InstrumentState
from sim.render.appearance import LightSettings

FIELD_OF_VIEW_DEG = 70.0
"""Across the image [degrees]; chosen: rigid laparoscopes see some 60 to 80 degrees, and labels overstate it (Wang et
al., Endoscope field of view measurement, Biomed. Opt. Express 8, 2017, doi:10.1364/BOE.8.001441)."""


def T_tip_camera(view_angle: float, shaft_roll: float, camera_roll: float) -> NDArray[np.float64]:  # noqa: N802
    """Return the pose of the camera in the tip frame, shape (4, 4), OpenCV axes.

    The optics look `view_angle` off the shaft towards the tip frame's -y, which is image up; the camera head turns the
    image about the direction of view by what it is turned against the shaft (Yamaguchi et al., Development of a camera
    model and calibration procedure for oblique-viewing endoscopes, Comput. Aided Surg. 9, 2004,
    doi:10.3109/10929080500163505).

    Args:
        view_angle: [rad]
        shaft_roll: Of the shaft against the port [rad].
        camera_roll: Of the camera head against the port [rad]; held still while the shaft rolls, the view goes round a
            cone and the image stays upright.
    """
    cv, sv = np.cos(view_angle), np.sin(view_angle)
    turn = camera_roll - shaft_roll
    ct, st = np.cos(turn), np.sin(turn)
    tilt = np.array([[1.0, 0.0, 0.0], [0.0, cv, -sv], [0.0, sv, cv]])
    about_view = np.array([[ct, -st, 0.0], [st, ct, 0.0], [0.0, 0.0, 1.0]])
    return compose(tilt @ about_view, np.zeros(3))


def camera_pose(device: Device, state: InstrumentState) -> NDArray[np.float64]:
    """Return T_world_camera, shape (4, 4), OpenCV axes, of a laparoscope; its lens is at the tip.

    Raises:
        InputError: The device has no camera head.
    """
    if device.head is None:
        raise InputError(f"{device.name}: expected an instrument with a camera head, found none")
    shaft_roll = float(state.joints[3])
    pose: Float[np.ndarray, "4 4"] = T_tip_camera(device.head.view_angle, shaft_roll, state.camera_roll)
    return np.asarray(state.T_world_tip @ pose)


def laparoscope_camera(width: int, height: int) -> Camera:
    """Return the intrinsics of a laparoscope's camera: a pinhole, since distortion is corrected or small."""
    return Camera.with_fov(width, height, FIELD_OF_VIEW_DEG, model="pinhole")


def laparoscope_light(power: float = 1.0) -> LightSettings:
    """Return the ring of fibres around the lens of a 10 mm laparoscope, as two guides."""
    return LightSettings(power=power, positions=((0.0038, 0.0, 0.0), (-0.0038, 0.0, 0.0)))

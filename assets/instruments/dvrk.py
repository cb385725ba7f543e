"""The patient side manipulator (PSM) and the endoscopic camera manipulator (ECM) of the da Vinci Research Kit.

The system: Kazanzides et al., An open-source research kit for the da Vinci Surgical System, ICRA 2014,
doi:10.1109/ICRA.2014.6907809. Kinematics, limits and greatest efforts: the configuration files of its control software,
github.com/jhu-dvrk/sawIntuitiveResearchKit, share/kinematic/psm.json and ecm.json and share/tool/
LARGE_NEEDLE_DRIVER_400006.json ("see dVRK user guide"). Speeds: those of the joint trajectories in its components
mtsIntuitiveResearchKitPSM and mtsIntuitiveResearchKitECM. Masses: rounded from the public URDFs (SurRoL's psm.urdf and
ecm.urdf, after WPI's), the small ones raised; the arms are balanced by weights and springs, so gravity is left out.
"""

from math import pi, radians

from assets.instruments.arm import Arm, Joint

_H = pi / 2
_SOURCE = "dVRK configuration files and control software, see assets/instruments/dvrk.py"

PSM_TIP = 0.0102
"""From the axis of the wrist's yaw to the tip of the jaws [m]; published values run from 0.0095 to 0.0102."""

PSM = Arm(
    name="psm",
    joints=(
        Joint("yaw", "revolute", _H, 0.0, 0.0, _H, -1.588, 1.588, pi, 3.316101, 1.5),
        Joint("pitch", "revolute", -_H, 0.0, 0.0, -_H, -0.925025, 0.925025, pi, 3.316101, 2.0),
        Joint("insertion", "prismatic", _H, 0.0, 0.0, -0.4318, 0.0, 0.24, 0.2, 9.877926, 0.4),
        Joint("roll", "revolute", 0.0, 0.0, 0.4162, 0.0, -4.53786, 4.53786, 6 * pi, 0.33, 0.1),
        Joint("wrist_pitch", "revolute", -_H, 0.0, 0.0, -_H, -1.39626, 1.39626, 6 * pi, 0.25, 0.01),
        Joint("wrist_yaw", "revolute", -_H, 0.0091, 0.0, -_H, -1.39626, 1.39626, 6 * pi, 0.20, 0.01),
    ),
    # The tool tip's axes of the same file: z along the jaws, x along the axis about which they open.
    tip_axes=((0.0, 0.0, -1.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    tip_offset=(0.0, PSM_TIP, 0.0),
    source=_SOURCE,
)

PSM_JAW_UPPER = 1.39626
"""Greatest opening of the large needle driver [rad]; its file lets the motor close to -0.698 to press harder, which
here the motor's torque does."""
PSM_JAW_TORQUE = 0.16
"""Of the jaws' motor [N m]."""

ECM = Arm(
    name="ecm",
    joints=(
        Joint("yaw", "revolute", _H, 0.0, 0.0, _H, -_H, _H, radians(30), 26.93208, 6.0),
        Joint("pitch", "revolute", -_H, 0.0, 0.0, -_H, -0.76794, 1.1344, radians(30), 26.93208, 2.0),
        Joint("insertion", "prismatic", _H, 0.0, 0.0, -0.3822, 0.0, 0.255, 0.06, 80.6589483, 1.0),
        Joint("roll", "revolute", 0.0, 0.0, 0.3829, 0.0, -1.552, 1.552, radians(30), 0.87658808, 1.5),
    ),
    tip_axes=((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    tip_offset=(0.0, 0.0, 0.0),
    source=_SOURCE,
)

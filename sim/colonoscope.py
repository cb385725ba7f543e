"""A steerable colonoscope: an elastic body in the lumen, moved by a hand at the anus and by its bending section."""

from dataclasses import dataclass

import numpy as np
import warp as wp
from jaxtyping import Float, Float64
from numpy.typing import NDArray

from assets.errors import InputError
from assets.patient import Orifice
from assets.transforms import compose, unit
from sim.rod_forces import Rod
from sim.rod_kernels import advance_rod
from sim.wall_distance import WallDistance
from sim.wall_kernels import quiet

CONTROL_STEP = 0.1
"""[s]"""
CONTACT_MARGIN = 3.0e-4
"""A surface this near to the wall [m] feels it; the film of fluid, and the grid's error, are this thick."""

_GRAVITY = 9.81  # [m/s^2], along -y: the patient lies supine
# The wall is rigid; the contact of each node is as stiff as keeps it within a millimetre under the hand's full force.
_CONTACT_STIFFNESS = 1.0e5  # [N/m]
_CONTACT_RAMP = 6.0e-4  # the stiffness rises from 0 over this depth [m]
_STICK_LENGTH = 5.0e-5  # [m] of slide in a substep from which friction acts in full
# Drag per length [N s/m^2], chosen: along the lumen it stays below 0.3 N/m at full speed; across it holds 10 cm of
# shaft back to 5 cm/s per newton, so that a snap takes several substeps and the implicit step has one solution.
_DRAG_ALONG = 3.0
_DRAG_ACROSS = 200.0
_HAND_STIFFNESS = 2.0e4  # [N/m] between the hand and the shaft


@dataclass(frozen=True)
class ScopeDevice:
    """What the instrument is and can do.

    Lengths, diameters and angulation are of the Olympus CF-HQ190L (Olympus, EVIS EXERA III CF-HQ190 data sheet);
    the length is that of the longest instruments.
    """

    length: float = 2.0
    """Of the insertion tube [m]."""
    spacing: float = 0.01
    """Of the nodes [m]."""
    tube_radius: float = 0.0064
    """[m], diameter 12.8 mm."""
    tip_radius: float = 0.0066
    """[m], diameter 13.2 mm."""
    nose: float = 0.005
    """From the first node to the end face with the lens [m]; with the first segment the rigid tip is 15 mm long."""
    bending_length: float = 0.09
    """Of the bending section, behind the rigid tip [m]."""
    shaft_rigidity: float = 0.016
    """Flexural rigidity of the insertion tube [N m^2]: the soft end of the 160 to 300 N cm^2 measured by Wehrmeyer,
    Barthel, Roth and Saifuddin, Colonoscope flexural rigidity measurement, Medical & Biological Engineering & Computing
    36, 1998, since the wall is rigid here and does not give way as bowel does."""
    passive_length: float = 0.10
    """Of the softer part behind the bending section [m]."""
    passive_rigidity: float = 0.008
    """Flexural rigidity of that part [N m^2]: less than the shaft's, as in Olympus' passive bending."""
    bending_rigidity: float = 0.05
    """Of the bending section held by its wires [N m^2]; estimated: a tip force of 5 N yields some 35 degrees."""
    axial_rigidity: float = 2.0e4
    """Force over axial strain [N]: 0.2 % at 40 N, as good as inextensible."""
    density: float = 0.25
    """Mass per length [kg/m]; estimated from the cross-section at twice the density of water."""
    max_advance: float = 0.008
    """In a control step [m]."""
    max_bend_rate: float = float(np.radians(15))
    """In a control step, each angle [rad]."""
    max_bend_up: float = float(np.radians(180))
    """Up and down [rad]."""
    max_bend_right: float = float(np.radians(160))
    """Right and left [rad]; both at once are limited by an ellipse."""
    max_roll_rate: float = float(np.radians(15))
    """In a control step [rad]."""
    push_limit: float = 40.0
    """[N] at which the hand slips. The peak of 21 colonoscopies was 4.4 kgf, or 43 N (Appleyard et al., The measurement
    of forces exerted during colonoscopy, Gastrointest. Endosc. 52(2), 2000, doi:10.1067/mge.2000.107218)."""
    pull_limit: float = 30.0
    """[N]; the same study found pulling forces of 1.8 kgf, or 18 N, at most, so that this limit is seldom met."""


@dataclass(frozen=True)
class ScopeCommand:
    """What the operator does within one control step of 0.1 s; clipped to the device's limits."""

    advance: float = 0.0
    """Insertion [m], positive inwards."""
    bend_up: float = 0.0
    """Change of the angle towards image up [rad]."""
    bend_right: float = 0.0
    """Change of the angle towards image right [rad]."""
    roll: float = 0.0
    """Turn of the shaft at the anus, about its forward axis [rad]."""


@dataclass(frozen=True)
class ScopeState:
    """Where the scope is after a control step, and what it feels."""

    T_world_camera: Float64[np.ndarray, "4 4"]
    """Pose of the lens at the centre of the end face, OpenCV axes."""
    nodes: Float64[np.ndarray, "n 3"]
    """Nodes inside the patient and the first one outside [m], tip first."""
    insertion: float
    """Length of scope inside the anus [m]."""
    roll: float
    """Of the shaft at the anus [rad]."""
    bend_up: float
    """Commanded angle [rad]."""
    bend_right: float
    """Commanded angle [rad]."""
    tip_contact: bool
    """The rigid tip touches the wall."""
    contact_depth: float
    """How deep the rigid tip presses into the wall [m]; 0 without contact."""
    contact_count: int
    """Nodes that touch the wall."""
    push_force: float
    """Of the hand at the anus [N]; negative when it pulls."""
    blocked: bool
    """The hand slipped at the limit of its force: less than half of the commanded advance was made."""
    time: float
    """[s] since the start."""


class Colonoscope:
    """The state of a scope in a lumen; `step` moves it.

    Its tip has no pose of its own to set: it is where the elastic body, held by the wall, carries it.
    """

    def __init__(
        self,
        wall: WallDistance,
        orifice: Orifice,
        path: Float[np.ndarray, "n 3"],
        *,
        insertion: float = 0.07,
        friction: float = 0.02,
        device: ScopeDevice | None = None,
        substeps: int = 6,
    ) -> None:
        """Lay the scope along the first `insertion` metres of a path and let it settle.

        Args:
            wall: Of the free lumen.
            orifice: The anus.
            path: From the anus inwards [m].
            insertion: Length inside at the start [m].
            friction: Coulomb's coefficient. On bowel mucosa 0.007 to 0.054 was measured (Tribology Letters 51(3), 2013,
                doi:10.1007/s11249-013-0167-1), 0.09 on excised, lubricated colon (doi:10.1038/s44172-024-00177-5).
            device: The instrument; None for the default.
            substeps: In a control step.

        Raises:
            InputError: Friction or insertion are out of range.
        """
        quiet()
        self.device = device or ScopeDevice()
        if not 0 <= friction <= 2:
            raise InputError(f"colonoscope: expected a friction coefficient within 0 and 2, found {friction}")
        if not 0.04 <= insertion <= self.device.length / 2:
            raise InputError(
                f"colonoscope: expected an insertion within 0.04 and {self.device.length / 2} m, found {insertion}"
            )
        self.friction = friction
        self._wall = wall
        self._orifice = orifice
        self._path = np.asarray(path, dtype=np.float64)
        self._start_insertion = insertion
        count = round(self.device.length / self.device.spacing)
        self._rod = self._rod_constants(substeps)
        rigidity = np.full(count, self.device.shaft_rigidity)
        soft = round(self.device.passive_length / self.device.spacing)
        rigidity[: self._rod.bend_last + 1 + soft] = self.device.passive_rigidity
        rigidity[: self._rod.bend_last + 1] = self.device.bending_rigidity
        radius = np.full(count, self.device.tube_radius)
        radius[0] = self.device.tip_radius
        self._command = np.zeros(7)
        self._nodes = np.zeros((count, 3))
        self._drive = np.zeros(5)
        self._gap = np.zeros(count)
        self._frame = np.zeros((count, 3))
        vectors = [wp.zeros(count, dtype=wp.vec3d, device="cpu") for _ in range(4)]
        blocks = [wp.zeros(count, dtype=wp.mat33d, device="cpu") for _ in range(3)]
        self._launch_inputs = [
            self._rod,
            wp.array(wall.values, dtype=wp.float32, device="cpu", copy=False),
            _doubles(rigidity),
            _doubles(radius),
            _doubles(self._command),
            wp.array(self._nodes, dtype=wp.vec3d, device="cpu", copy=False),
            vectors[0],
            *blocks,
            *vectors[1:],
            wp.zeros(2 * count, dtype=wp.vec4d, device="cpu"),
            _doubles(self._drive),
            _doubles(self._gap),
            wp.array(self._frame, dtype=wp.vec3d, device="cpu", copy=False),
        ]
        self.state = self.reset()

    def _rod_constants(self, substeps: int) -> Rod:
        device = self.device
        axis = unit(self._orifice.normal)
        # Image up at the start is as nearly anterior (+y) as may be: the usual orientation of a supine patient's view.
        reference = np.array([0.0, 1.0, 0.0]) if abs(axis[1]) < 0.9 else np.array([0.0, 0.0, 1.0])
        rod = Rod()
        rod.spacing = device.spacing
        rod.stretch_stiffness = device.axial_rigidity / device.spacing
        rod.contact_stiffness = _CONTACT_STIFFNESS
        rod.contact_margin = CONTACT_MARGIN
        rod.contact_ramp = _CONTACT_RAMP
        rod.friction = self.friction
        rod.stick_length = _STICK_LENGTH
        rod.drag_along = _DRAG_ALONG * device.spacing * substeps / CONTROL_STEP
        rod.drag_across = _DRAG_ACROSS * device.spacing * substeps / CONTROL_STEP
        rod.weight = wp.vec3d(0.0, -_GRAVITY * device.density * device.spacing, 0.0)
        rod.nose = device.nose
        rod.entrance = wp.vec3d(*self._orifice.centre)
        rod.axis = wp.vec3d(*axis)
        rod.across = wp.vec3d(*unit(np.cross(axis, reference)))
        rod.hand_stiffness = _HAND_STIFFNESS
        rod.push_limit = device.push_limit
        rod.pull_limit = device.pull_limit
        rod.bend_first = 1
        rod.bend_last = round(device.bending_length / device.spacing)
        rod.substeps = substeps
        rod.iterations = 10
        rod.tolerance = 3.0e-5
        rod.longest_move = 0.002
        rod.grid_origin = wp.vec3d(*self._wall.origin)
        rod.grid_spacing = self._wall.spacing
        return rod

    def reset(self) -> ScopeState:
        """Lay the scope along its path again, unbent, and let it settle for one second.

        Returns:
            The state at time 0.
        """
        arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(self._path, axis=0), axis=1))])
        count = len(self._nodes)
        inside = self._start_insertion - self.device.nose - self.device.spacing * np.arange(count)
        along = [np.interp(np.clip(inside, 0, None), arc, self._path[:, axis]) for axis in range(3)]
        axis = unit(self._orifice.normal)
        self._nodes[:] = np.stack(along, axis=1)
        outside = inside <= 0
        self._nodes[outside] = self._orifice.centre + inside[outside, None] * axis
        self._command[:] = 0.0
        self._drive[:] = 0.0
        self._drive[:2] = self._start_insertion
        self._drive[3] = int(np.argmax(outside))
        self._time = 0.0
        for _ in range(10):
            self.step(ScopeCommand())
        self._time = 0.0
        self.state = self._read(0.0, 0.0)
        return self.state

    def step(self, command: ScopeCommand) -> ScopeState:
        """Carry out a command, clipped to the device's limits, and return the state after it."""
        device = self.device
        numbers = (command.advance, command.bend_up, command.bend_right, command.roll)
        if not np.all(np.isfinite(numbers)):
            raise InputError(f"colonoscope: expected a finite command, found {command}")
        before = float(self._drive[1])
        advance = float(np.clip(command.advance, -device.max_advance, device.max_advance))
        longest = device.length - 4 * device.spacing
        advance = float(np.clip(before + advance, 0.04, longest)) - before
        self._command[[1, 3, 5]] = self._command[[2, 4, 6]]
        self._command[0] = advance
        self._command[2] += np.clip(command.bend_up, -device.max_bend_rate, device.max_bend_rate)
        self._command[4] += np.clip(command.bend_right, -device.max_bend_rate, device.max_bend_rate)
        reach = np.hypot(self._command[2] / device.max_bend_up, self._command[4] / device.max_bend_right)
        self._command[[2, 4]] /= max(1.0, reach)
        self._command[6] += np.clip(command.roll, -device.max_roll_rate, device.max_roll_rate)
        wp.launch(advance_rod, dim=1, inputs=self._launch_inputs, device="cpu")
        self._time += CONTROL_STEP
        self.state = self._read(advance, float(self._drive[1]) - before)
        return self.state

    def _read(self, commanded: float, made: float) -> ScopeState:
        driven = int(self._drive[3])
        forward = unit(self._nodes[0] - self._nodes[1])
        right = unit(self._frame[0] - forward * (self._frame[0] @ forward))
        rotation = np.stack([right, np.cross(forward, right), forward], axis=1)
        touching = self._gap[:driven] < self._rod.contact_margin
        tip_gap = float(self._gap[:2].min())
        return ScopeState(
            T_world_camera=compose(rotation, self._nodes[0] + forward * self.device.nose),
            nodes=self._nodes[: driven + 1].copy(),
            insertion=float(self._drive[1]),
            roll=float(self._command[6]),
            bend_up=float(self._command[2]),
            bend_right=float(self._command[4]),
            tip_contact=tip_gap < self._rod.contact_margin,
            contact_depth=max(0.0, -tip_gap),
            contact_count=int(touching.sum()),
            push_force=float(self._drive[2]),
            blocked=commanded > 5e-4 and made < commanded / 2,
            time=self._time,
        )


def _doubles(values: NDArray[np.float64]) -> wp.array:
    return wp.array(values, dtype=wp.float64, device="cpu", copy=False)

"""A flexible scope: an elastic body in a lumen, moved by a hand at the orifice and by its bending section."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import warp as wp
from jaxtyping import Float
from numpy.typing import NDArray

from assets.errors import InputError
from assets.instruments.flexible import COLONOSCOPE, ScopeDevice
from assets.patient import Orifice
from assets.transforms import compose, unit
from sim.bending import bends_of
from sim.control_step import CONTROL_STEP
from sim.plain_state import array_of, entries_of, flag_of, from_bytes, number_of, text_of, to_bytes
from sim.rod_faults import find_fault, watch_rod
from sim.rod_forces import SAMPLES, Rod
from sim.rod_kernels import advance_rod
from sim.scope_state import ScopeCommand, ScopeState
from sim.soft_wall.press import press_wall
from sim.wall_distance import WallDistance
from sim.wall_kernels import quiet

CONTACT_MARGIN = 3.0e-4
"""A surface this near to the wall [m] feels it; the film of fluid, and the grid's error, are this thick."""

_GRAVITY = 9.81  # [m/s^2], along -y: the patient lies supine
# The contact of each node is as stiff as keeps it within a millimetre of a rigid wall under the hand's full force.
CONTACT_STIFFNESS = 1.0e5
"""Of each node's contact with a rigid wall [N/m]."""
_CONTACT_RAMP = 6.0e-4  # the stiffness rises from 0 over this depth [m]
_STICK_LENGTH = 5.0e-5  # [m] of slide in a substep from which friction acts in full
# Drag per length [N s/m^2], chosen: along the lumen it stays below 0.3 N/m at full speed; across it holds 10 cm of
# shaft back to 5 cm/s per newton, so that a snap takes several substeps and the implicit step has one solution.
_DRAG_ALONG = 3.0
_DRAG_ACROSS = 200.0
_HAND_STIFFNESS = 2.0e4  # [N/m] between the hand and the shaft
TIGHTEST = 2.0
"""Radius of the shaft's bends over that of the tube, below which it counts as buckled; chosen: its inner side would be
bent to half of its length, and nodes 10 mm apart no longer stand for it."""
_LEAST_ADVANCE = 5.0e-4  # [m] of a command, below which nobody can tell whether it was made
_TURN = float(np.radians(20))  # of the wires or the shaft in a control step, up to which the usual substeps do [rad]
_KIND, _VERSION = "flexible scope", 1
ENTRIES = ("made_of", "nodes", "frame", "gap", "command", "drive", "time", "blocked", "fault")
"""Of a scope's saved state."""


class FlexibleScope:
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
        wall_stiffness: float = CONTACT_STIFFNESS,
    ) -> None:
        """Lay the scope along the first `insertion` metres of a path and let it settle.

        Args:
            wall: Of the free lumen.
            orifice: Where the scope enters.
            path: From the orifice inwards [m].
            insertion: Length inside at the start [m].
            friction: Coulomb's coefficient. On bowel mucosa 0.007 to 0.054 was measured (Tribology Letters 51(3), 2013,
                doi:10.1007/s11249-013-0167-1), 0.09 on excised, lubricated colon (doi:10.1038/s44172-024-00177-5).
            device: The instrument; None for an adult colonoscope.
            substeps: In a control step at the speeds of an adult colonoscope; more where a device is faster.
            wall_stiffness: Of each node's contact with the wall [N/m]; less than that of a rigid wall where the wall
                itself is squeezed.

        Raises:
            InputError: Friction or insertion are out of range.
        """
        quiet()
        self.device = device or COLONOSCOPE
        if not 0 <= friction <= 2:
            raise InputError(f"scope: expected a friction coefficient within 0 and 2, found {friction}")
        self._least_insertion = 4 * self.device.spacing
        if not self._least_insertion <= insertion <= self.device.length / 2:
            raise InputError(
                f"scope: expected an insertion within {self._least_insertion} and {self.device.length / 2} m, "
                f"found {insertion}"
            )
        self.friction = friction
        self._wall = wall
        self._orifice = orifice
        self._path = np.asarray(path, dtype=np.float64)
        self._start_insertion = insertion
        self._substeps = substeps
        self._wall_stiffness = wall_stiffness
        count = round(self.device.length / self.device.spacing)
        self._rod = self._rod_constants()
        self._rigidity = rigidity = np.full(count, self.device.shaft_rigidity)
        soft = round(self.device.passive_length / self.device.spacing)
        rigidity[: self._rod.bend_last + 1 + soft] = self.device.passive_rigidity
        rigidity[: self._rod.bend_last + 1] = self.device.bending_rigidity
        radius = np.full(count, self.device.tube_radius)
        radius[0] = self.device.tip_radius
        self._command = np.zeros(7)
        self._nodes = np.zeros((count, 3))
        self._drive = np.zeros(5)
        self._gap = np.zeros(count)
        self._least = np.zeros(count)
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
            wp.zeros(SAMPLES * count, dtype=wp.vec4d, device="cpu"),
            _doubles(self._drive),
            _doubles(self._gap),
            wp.array(self._frame, dtype=wp.vec3d, device="cpu", copy=False),
        ]
        grid, nodes, drive = (self._launch_inputs[index] for index in (1, 5, 14))
        self._watch_inputs = [self._rod, grid, nodes, drive, _doubles(self._least)]
        self.state = self.reset()

    def _rod_constants(self) -> Rod:
        device = self.device
        axis = unit(self._orifice.normal)
        # Image up at the start is as nearly anterior (+y) as may be: the usual orientation of a supine patient's view.
        reference = np.array([0.0, 1.0, 0.0]) if abs(axis[1]) < 0.9 else np.array([0.0, 0.0, 1.0])
        rod = Rod()
        rod.spacing = device.spacing
        rod.stretch_stiffness = device.axial_rigidity / device.spacing
        rod.contact_stiffness = self._wall_stiffness * 2 / SAMPLES
        rod.contact_margin = CONTACT_MARGIN
        rod.contact_ramp = _CONTACT_RAMP
        rod.friction = self.friction
        rod.stick_length = _STICK_LENGTH
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
        self._fault = ""
        self._time = 0.0
        for _ in range(10):
            self.step(ScopeCommand())
        self._time = 0.0
        self.state = self._read(blocked=False)
        return self.state

    def step(self, command: ScopeCommand) -> ScopeState:
        """Carry out a command, clipped to the device's limits, and return the state after it.

        A fault stays in the state until the next reset; a scope whose numbers were lost stays where it was before.

        Raises:
            InputError: The command is not finite.
        """
        device = self.device
        numbers = (command.advance, command.bend_up, command.bend_right, command.roll)
        if not np.all(np.isfinite(numbers)):
            raise InputError(f"scope: expected a finite command, found {command}")
        self._time += CONTROL_STEP
        if self._fault.startswith("not finite"):
            self.state = replace(self.state, time=self._time)
            return self.state
        before = float(self._drive[1])
        advance = float(np.clip(command.advance, -device.max_advance, device.max_advance))
        longest = device.length - 4 * device.spacing
        advance = float(np.clip(before + advance, self._least_insertion, longest)) - before
        self._aim(command, advance)
        self._hold(free=command.free)
        kept = (self._nodes.copy(), self._frame.copy(), self._drive.copy())
        wp.launch(advance_rod, dim=1, inputs=self._launch_inputs, device="cpu")
        wp.launch(watch_rod, dim=len(self._nodes), inputs=self._watch_inputs, device="cpu")
        finite = bool(np.isfinite(self._drive).all()) and bool(np.isfinite(self._nodes).all())
        driven = int(self._drive[3] if finite else kept[2][3])
        if not self._fault:
            self._fault = find_fault(
                device.name,
                self._time,
                self._nodes[: driven + 1],
                kept[0],
                self._least[:driven],
                bending=self._rod.bend_last + 1,
                tightest=TIGHTEST * device.tube_radius,
            )
        if not finite:
            self._nodes[:], self._frame[:], self._drive[:] = kept
            self._fault = self._fault or f"not finite: the hand of the {device.name} was lost, {self._time:.1f} s"
            self.state = replace(self.state, time=self._time, fault=self._fault)
            return self.state
        if command.free:
            bends = bends_of(self._nodes, self._frame, self._rod.bend_last)
            self._command[[2, 4]] = device.within(*bends)  # the wheels went along
        made = float(self._drive[1]) - before
        self.state = self._read(blocked=advance > _LEAST_ADVANCE and made < advance / 2)
        return self.state

    def wall_forces(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where the scope presses on the wall [m], shape (n, 3), and its forces on it [N], without friction."""
        count = SAMPLES * len(self._nodes)
        place, force = np.zeros((count, 3)), np.zeros((count, 3))
        rod, grid, _, radius, _, nodes = self._launch_inputs[:6]
        written = [wp.array(one, dtype=wp.vec3d, device="cpu", copy=False) for one in (place, force)]
        inputs = [rod, grid, radius, nodes, self._launch_inputs[14], *written]
        wp.launch(press_wall, dim=count, inputs=inputs, device="cpu")
        pressed = np.any(force != 0, axis=1)
        return place[pressed], force[pressed]

    def save_state(self) -> bytes:
        """Return all that the scope's future depends on as JSON: the same state, the same bytes."""
        return to_bytes(_KIND, _VERSION, self.to_plain())

    def restore_state(self, data: bytes) -> ScopeState:
        """Go back to a saved state; what follows is the same, bit for bit.

        Raises:
            InputError: The data is damaged, or of another scope, wall or start; then nothing has changed.
        """
        return self.from_plain(from_bytes(data, _KIND, _VERSION, ENTRIES), f"saved state of {_KIND}")

    def to_plain(self) -> dict[str, Any]:
        """Return the saved state as plain data."""
        return {
            "made_of": self._made_of(),
            "nodes": self._nodes.tolist(),
            "frame": self._frame.tolist(),
            "gap": self._gap.tolist(),
            "command": self._command.tolist(),
            "drive": self._drive.tolist(),
            "time": self._time,
            "blocked": self.state.blocked,
            "fault": self._fault,
        }

    def from_plain(self, data: Any, where: str) -> ScopeState:
        """Go back to what `to_plain` returned.

        Raises:
            InputError: As `restore_state`.
        """
        plain = entries_of(data, ENTRIES, where)
        count, expected = len(self._nodes), self._made_of()
        if plain["made_of"] != expected:
            found = plain["made_of"] if isinstance(plain["made_of"], dict) else {}
            other = next(name for name in expected if found.get(name) != expected[name])
            raise InputError(
                f"{where}: expected a scope and wall like this one's, {other} {expected[other]}, "
                f"found {str(found.get(other))[:80]}"
            )
        shapes: dict[str, tuple[int, ...]] = {"nodes": (count, 3), "frame": (count, 3), "gap": (count,)}
        shapes |= {"command": (7,), "drive": (5,)}
        arrays = {name: array_of(plain[name], shape, f"{where}: {name}") for name, shape in shapes.items()}
        driven = float(arrays["drive"][3])
        if driven != int(driven) or not 3 <= driven <= count - 2:
            raise InputError(f"{where}: drive: expected a driven node of 3 to {count - 2}, found {driven}")
        if np.linalg.norm(np.diff(arrays["nodes"], axis=0), axis=1).min() < self.device.spacing / 10:
            raise InputError(f"{where}: nodes: expected them {self.device.spacing} m apart, found two in one place")
        time, blocked = number_of(plain["time"], f"{where}: time"), flag_of(plain["blocked"], f"{where}: blocked")
        fault = text_of(plain["fault"], f"{where}: fault")
        self._nodes[:], self._frame[:], self._gap[:] = arrays["nodes"], arrays["frame"], arrays["gap"]
        self._command[:], self._drive[:] = arrays["command"], arrays["drive"]
        self._time, self._fault = time, fault
        self.state = self._read(blocked=blocked)
        return self.state

    def _made_of(self) -> dict[str, Any]:
        """Return what a saved state must fit to."""
        wall = self._wall
        return {
            "device": asdict(self.device),
            "friction": self.friction,
            "insertion": self._start_insertion,
            "substeps": self._substeps,
            "wall_stiffness": self._wall_stiffness,
            "wall": [*wall.values.shape, *wall.origin.tolist(), wall.spacing],
        }

    def _aim(self, command: ScopeCommand, advance: float) -> None:
        """Set what the rod is to do in this step, in as many substeps as keep each of them short."""
        device, rod = self.device, self._rod
        self._command[[1, 3, 5]] = self._command[[2, 4, 6]]
        self._command[0] = advance
        self._command[2] += np.clip(command.bend_up, -device.max_bend_rate, device.max_bend_rate)
        self._command[4] += np.clip(command.bend_right, -device.max_bend_rate, device.max_bend_rate)
        self._command[[2, 4]] = device.within(float(self._command[2]), float(self._command[4]))
        self._command[6] += np.clip(command.roll, -device.max_roll_rate, device.max_roll_rate)
        turned = float(np.abs(self._command[[2, 4, 6]] - self._command[[1, 3, 5]]).max())
        most = max(abs(advance) / COLONOSCOPE.max_advance, turned / max(_TURN, COLONOSCOPE.max_bend_rate))
        rod.substeps = int(np.ceil(self._substeps * max(1.0, most - 1e-9)))
        rod.drag_along = _DRAG_ALONG * device.spacing * rod.substeps / CONTROL_STEP
        rod.drag_across = _DRAG_ACROSS * device.spacing * rod.substeps / CONTROL_STEP

    def _hold(self, *, free: bool) -> None:
        """Hold the bending section by its wires, or leave it to itself: straight at rest, and limp."""
        if free:
            self._command[1:5] = 0.0
        rigidity = self.device.limp_rigidity if free else self.device.bending_rigidity
        self._rigidity[: self._rod.bend_last + 1] = rigidity

    def _read(self, *, blocked: bool) -> ScopeState:
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
            blocked=blocked,
            time=self._time,
            fault=self._fault,
        )


def _doubles(values: NDArray[np.float64]) -> wp.array:
    return wp.array(values, dtype=wp.float64, device="cpu", copy=False)

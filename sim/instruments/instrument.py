"""An instrument in the PyBullet world: it follows commands within the limits of its arm, and feels what it touches.

The set point runs towards the target no faster than each joint may; a motor in each joint follows it with a force that
grows with the joint's lag up to the motor's limit, as the controllers of the real arms and a hand do. The remote centre
of motion is held by the chain itself: its first joints turn about it.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import NDArray

from assets.errors import InputError
from assets.instruments.device import Device
from assets.transforms import apply, compose, inverse
from sim.instruments.command import Command, JointTarget, TipTarget
from sim.instruments.motion import Motion, SavedMotion, motion_from_json, motion_to_json
from sim.instruments.posed import device_links, key_points
from sim.robots.inverse import inverse as solve
from sim.robots.kinematics import tip_pose
from sim.robots.urdf import device_urdf
from sim.world import BulletWorld, Drive, Touch

FULL_FORCE_LAG = 0.02
"""A joint that lags behind its set point by this much time at full speed [s] gets the full force of its motor; chosen.
For a hand this is 7.5 kN/m along the shaft, for the PSM 2.5 kN/m."""
_LEAST_FORCE = 0.03  # of the motor's limit: the friction in the trocar's valve or the gears, about 1 N along the shaft


@dataclass(frozen=True, eq=False)
class InstrumentState:
    """Where an instrument is after a control step, and what it felt during it."""

    joints: Float64[np.ndarray, "l"]
    """Values of all its links: the arm's joints, then the two jaws [rad or m]."""
    set_point: Float64[np.ndarray, "l"]
    """Where the motors drive them."""
    jaw: float
    """Angle between the jaws [rad]; 0 without jaws."""
    camera_roll: float
    """Turn of the camera head against the port [rad]."""
    T_world_tip: Float64[np.ndarray, "4 4"]
    links: dict[str, NDArray[np.float64]]
    """T_world_link of the moving links, for `sim.instruments.posed`."""
    key_points: dict[str, NDArray[np.float64]]
    """World frame [m]."""
    reached: bool
    """The last target lies within the workspace."""
    contact_force: float
    """Sum over all contacts with anatomy, mean over the step [N]."""
    peak_force: float
    """The largest such sum of a substep [N]."""
    contact_depth: float
    """The deepest overlap with anatomy during the step [m]; 0 without contact."""
    touches: tuple[Touch, ...]
    """The contacts with anatomy at the end of the step."""
    fault: str
    """Why the episode should end: which link went through a wall first, where and when; empty if all is well."""
    time: float
    """[s] since the start."""


class Instrument:
    """One instrument; `InstrumentTable` moves it together with the others of its world."""

    def __init__(
        self,
        world: BulletWorld,
        device: Device,
        T_world_port: Float[np.ndarray, "4 4"],
        *,
        name: str | None = None,
        joints: Float[np.ndarray, "j"] | None = None,
        latency: int = 0,
    ) -> None:
        """Put the instrument into a world.

        Args:
            world: Where it lives.
            device: What it is.
            T_world_port: Pose of the port: its origin is the remote centre of motion, z points out of the patient.
            name: None for the device's.
            joints: Of the arm at the start; None for the middle of the limits with 0.1 m of insertion.
            latency: Control steps between a command and its effect.

        Raises:
            InputError: The joints are out of their limits, or the latency is negative.
        """
        self.device, self.name, self.latency = device, name or device.name, latency
        self._world = world
        self._T_world_port = np.array(T_world_port, dtype=np.float64)
        arm = device.arm
        if joints is None:
            joints = np.clip((arm.lower + arm.upper) / 2, arm.lower, arm.upper)
            joints[2] = np.clip(0.1 - arm.joints[2].offset - arm.joints[3].d, arm.lower[2], arm.upper[2])
        if np.shape(joints) != arm.lower.shape or not bool(arm.within(np.asarray(joints))):
            raise InputError(f"instrument {self.name}: expected joints within the limits of {arm.name}, found {joints}")
        if latency < 0:
            raise InputError(f"instrument {self.name}: expected a latency of at least 0 steps, found {latency}")
        jaws = 2 if device.jaw else 0
        self.body = world.add_robot(device_urdf(device), self._T_world_port)
        assert world.joint_names(self.body) == device.links
        self._speed_limit = np.append(arm.max_speed, [device.jaw.max_speed / 2] * jaws if device.jaw else [])
        self._force_limit = np.append(arm.max_force, [device.jaw.max_force] * jaws if device.jaw else [])
        start = np.append(joints, np.zeros(jaws))
        self._motion = Motion(start, start.copy(), deque([None] * latency))
        world.set_joints(self.body, start, np.zeros(len(start)))
        foremost = [(part, max(part.balls, key=lambda ball: ball.centre[2])) for part in device.parts if part.balls]
        self._probe_links = [part.link for part, _ in foremost]
        self._probes = np.array([apply(part.T_link_part, np.array(ball.centre)) for part, ball in foremost])
        self._watched = world.points_of(self.body, self._probe_links, self._probes)
        self.state = self.read(0.0)

    def aim(self, command: Command | None, duration: float) -> float:
        """Take a command for the next control step.

        Args:
            command: One that `check_command` lets pass; None goes on towards the last target.
            duration: Of the control step [s].

        Returns:
            How far any point of the instrument may move in this step [m].
        """
        motion = self._motion
        motion.queue.append(command)
        due = motion.queue.popleft()
        if due is not None:
            self._take(due)
        measured, moving = self._world.joint_states(self.body)
        lead = self._speed_limit * FULL_FORCE_LAG
        # What stands in the way holds the set point back too, so that nothing jumps when it gives way.
        self._start = measured + np.clip(motion.set_point - measured, -lead, lead)
        step = self._speed_limit * duration
        motion.set_point = self._start + np.clip(motion.goal - self._start, -step, step)
        if self.device.head is not None:
            turn = self.device.head.max_speed * duration
            motion.camera_roll += float(np.clip(motion.camera_goal - motion.camera_roll, -turn, turn))
        self._duration = duration
        motion.force, motion.peak_force, motion.depth = 0.0, 0.0, 0.0
        return self._longest_way(np.abs(motion.set_point - measured) + np.abs(moving) * FULL_FORCE_LAG)

    def drive(self, share: float, substep: float) -> None:
        """Set the motors for a substep [s] that ends after this share of the control step."""
        position = self._start + share * (self._motion.set_point - self._start)
        speed = (self._motion.set_point - self._start) / self._duration
        measured, moving = self._world.joint_states(self.body)
        lag = np.abs(position - measured) / (self._speed_limit * FULL_FORCE_LAG)
        slip = np.abs(speed - moving) / self._speed_limit
        force = self._force_limit * np.clip(lag + slip, _LEAST_FORCE, 1.0)
        self._world.drive(self.body, Drive(position, speed, self._speed_limit, force, substep / FULL_FORCE_LAG))

    def feel(self, anatomy: frozenset[int], weight: float) -> None:
        """Read the contacts with anatomy after a substep that makes up `weight` of the control step."""
        motion = self._motion
        motion.touches = tuple(self._world.touches(self.body, anatomy))
        force = sum(touch.force for touch in motion.touches)
        motion.force += weight * force
        motion.peak_force = max(motion.peak_force, force)
        motion.depth = max([motion.depth, *(touch.depth for touch in motion.touches)])

    def watch(self, time: float) -> None:
        """Look whether a part went through a surface since this was last asked; contacts do not tell it.

        The middle of a sphere that collides never gets to a surface, so its way crosses none.
        """
        now = self._world.points_of(self.body, self._probe_links, self._probes)
        for index, other, point in self._world.crossings(self.body, self._watched, now):
            if not self._motion.fault:
                place = ", ".join(f"{1000 * value:.1f}" for value in point)
                self._motion.fault = (
                    f"tunnelling: {self._probe_links[index]} of {self.name} went through body {other} "
                    f"at ({place}) mm, {time:.3f} s"
                )
        self._watched = now

    def now(self) -> tuple[dict[str, NDArray[np.float64]], float]:
        """Return T_world_link of the moving links, and the angle between the jaws [rad], also within a control step."""
        joints, _ = self._world.joint_states(self.body)
        links = device_links(self.device, self._T_world_port, joints)
        return links, float(joints[-2] - joints[-1]) if self.device.jaw else 0.0

    def read(self, time: float) -> InstrumentState:
        """Return the state after a control step that ends at a time [s].

        Raises:
            RuntimeError: A joint is NaN or infinite.
        """
        joints, _ = self._world.joint_states(self.body)
        if not np.isfinite(joints).all():
            link = self.device.links[int(np.argmin(np.isfinite(joints)))]
            raise RuntimeError(f"instrument {self.name}: expected finite joints, found {link} lost at {time:.3f} s")
        count = len(self.device.arm.joints)
        links = device_links(self.device, self._T_world_port, joints)
        self.state = InstrumentState(
            joints=joints,
            set_point=self._motion.set_point.copy(),
            jaw=float(joints[count] - joints[count + 1]) if self.device.jaw else 0.0,
            camera_roll=self._motion.camera_roll,
            T_world_tip=self._T_world_port @ tip_pose(self.device.arm, joints[:count]),
            links=links,
            key_points=key_points(self.device, links),
            reached=self._motion.reached,
            contact_force=self._motion.force,
            peak_force=self._motion.peak_force,
            contact_depth=self._motion.depth,
            touches=self._motion.touches,
            fault=self._motion.fault,
            time=time,
        )
        return self.state

    def save(self) -> dict[str, Any]:
        """Return all that the instrument's future depends on, as plain data."""
        return motion_to_json(self._motion, *self._world.joint_states(self.body))

    def parse(self, data: Any, where: str) -> SavedMotion:
        """Check what `save` returned, without changing anything.

        Raises:
            InputError: It is damaged, or of another instrument.
        """
        return motion_from_json(
            data,
            f"{where}: {self.name}",
            arm_joints=len(self.device.arm.joints),
            links=len(self.device.links),
            latency=self.latency,
        )

    def restore(self, saved: SavedMotion) -> None:
        """Go back to a saved state."""
        self._motion, joints, speeds = saved
        self._world.set_joints(self.body, joints, speeds)
        self._watched = self._world.points_of(self.body, self._probe_links, self._probes)

    def _take(self, command: Command) -> None:
        arm, device = self.device.arm, self.device
        count = len(arm.joints)
        near = self._motion.goal[:count]
        if isinstance(command, JointTarget):
            joints = np.clip(command.joints, arm.lower, arm.upper)
            self._motion.reached = bool(arm.within(command.joints))
        else:
            T_port_world = inverse(self._T_world_port)
            if isinstance(command, TipTarget):
                T_port_tip = T_port_world @ command.T_world_tip
            else:
                T_port_tip = compose(tip_pose(arm, near)[:3, :3], apply(T_port_world, command.point))
            solution = solve(arm, T_port_tip, near)
            joints, self._motion.reached = solution.joints, bool(solution.reached)
            if not isinstance(command, TipTarget) and count == 4:
                # A shaft without a wrist looks where its place makes it look, so only the place can be missed.
                joints[3] = near[3] if command.roll is None else np.clip(command.roll, arm.lower[3], arm.upper[3])
                self._motion.reached = bool(solution.position_error <= 1e-9)
        self._motion.goal[:count] = joints
        if command.jaw is not None and device.jaw is not None:
            half = float(np.clip(command.jaw, 0.0, device.jaw.upper)) / 2
            self._motion.goal[count:] = half, -half
        if command.camera_roll is not None and device.head is not None:
            self._motion.camera_goal = command.camera_roll

    def _longest_way(self, change: NDArray[np.float64]) -> float:
        """Return how far a change of the joints can carry the outermost point: each joint by its lever [m]."""
        arm = self.device.arm
        reach = max(abs(arm.lower[2]), abs(arm.upper[2])) + abs(arm.joints[2].offset + arm.joints[3].d) + 0.02
        levers = [reach if joint.name in ("yaw", "pitch") else 0.02 for joint in arm.joints]
        levers[2] = 1.0
        levers += [self.device.jaw.length] * 2 if self.device.jaw else []
        return float(change @ np.array(levers))

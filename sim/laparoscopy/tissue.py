"""The soft organs of a scene, moved together with the instruments: contact both ways, jaws that catch and let go."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from sim.instruments.table import Coupling, InstrumentTable
from sim.laparoscopy.bonds import Supports
from sim.laparoscopy.capsules import PartCapsule, capsules_of, fastest
from sim.laparoscopy.jaws import NARROWEST, OPENED, PINCH, JawHold, between, grip_limit, jaw_pose
from sim.laparoscopy.organ_state import pack_organ, unpack_organ
from sim.laparoscopy.parting import BLADES, SCISSORS, SeenOrgan, blades_pose, part_organ
from sim.laparoscopy.physiology import MotionField
from sim.laparoscopy.soft_organ import SoftOrgan
from sim.laparoscopy.state import Hold, OrganContact
from sim.soft.body import SoftBody
from sim.soft.contact import Capsule
from sim.soft.cutters import Scissors
from sim.soft.newton import SoftOptions
from sim.world import BulletWorld

FRAME = 1 / 60
"""Soft tissue moves in frames of about this length [s]; control steps are cut evenly."""
GRAVITY = 9.81
"""[m/s^2]"""
_NEAR = 0.005  # [m]; a tool that could come this near to an organ in two frames is looked at
_HELD = 2.0  # stiffness of held nodes over that of the tissue between two of them; chosen
_DRAG = 1.0  # [1/s], damping over mass, chosen: what surrounds an organ slows it


@dataclass(frozen=True)
class Position:
    """How the patient lies on the table; organs have the patient's shape when supine, and sag from there."""

    head_up: float = 0.0
    """Reverse Trendelenburg [rad]."""
    left_down: float = 0.0
    """Turn about the long axis [rad]."""

    def sag(self) -> NDArray[np.float64]:
        """Return by how much gravity differs from that of the supine patient [m/s^2], shape (3,), patient axes."""
        down = np.array(
            [
                -np.cos(self.head_up) * np.sin(self.left_down),
                -np.cos(self.head_up) * np.cos(self.left_down),
                -np.sin(self.head_up),
            ]
        )
        return np.asarray(GRAVITY * (down - [0.0, -1.0, 0.0]))


@dataclass(frozen=True)
class Load:
    """What soft tissue does to a part of an instrument."""

    instrument: str
    organ: str
    link: str
    part: str
    force: tuple[float, float, float]
    """[N], world frame."""
    moment: tuple[float, float, float]
    """About the point [N m]."""
    point: tuple[float, float, float]
    """[m], world frame."""


class SoftTissue(Coupling):
    """Owns the bodies of all soft organs of a scene."""

    def __init__(
        self,
        world: BulletWorld,
        table: InstrumentTable,
        organs: Sequence[SoftOrgan],
        field: MotionField,
        *,
        position: Position,
        rigid: Mapping[int, NDArray[np.float64]],
        device: str = "cpu",
    ) -> None:
        """Lay the organs down at rest.

        Args:
            world: That of the instruments.
            table: The instruments.
            organs: What is soft.
            field: Breathing and heartbeat.
            position: Of the patient.
            rigid: Middle of each rigid organ's body in the world [m]; it goes where its middle goes.
            device: A Warp device.
        """
        self._world, self._table, self._field = world, table, field
        self._rigid = list(rigid)
        self._middles = np.array(list(rigid.values())).reshape(-1, 3)
        self.organs = {organ.name: organ for organ in organs}
        """As cuts have made them."""
        self._whole = dict(self.organs)
        self._scissors = {
            name: Scissors(instrument.device.jaw.length)
            for name, instrument in table.instruments.items()
            if instrument.device.label == SCISSORS and instrument.device.jaw is not None
        }
        self._capsules: list[tuple[str, PartCapsule]] = [
            (name, capsule)
            for name, instrument in table.instruments.items()
            for capsule in capsules_of(instrument.device)
        ]
        self._reach = {
            name: _NEAR + 2 * FRAME * fastest(instrument.device) for name, instrument in table.instruments.items()
        }
        options = SoftOptions(tools=max(1, len(self._capsules)), drag=_DRAG, device=device)
        self.bodies = {
            organ.name: SoftBody(
                organ.mesh, options, gravity=position.sag().tolist(), name=organ.name, raise_faults=False
            )
            for organ in organs
        }
        self._skins = {organ.name: np.unique(organ.mesh.surface) for organ in organs}
        self._edges = {organ.name: _mean_edge(organ) for organ in organs}
        for organ in organs:
            if len(organ.fixed):
                self.bodies[organ.name].fix(organ.fixed)
        self._supports = Supports(self.organs, self.bodies, field)
        self.seen = {organ.name: SeenOrgan(organ, self.bodies[organ.name]) for organ in organs}
        """What is to be drawn of each organ."""
        self._time, self.fault = 0.0, ""
        self.loads: list[Load] = []
        """What pushes on the instruments now."""
        self._holds: dict[str, JawHold] = {}
        self._leaving: dict[str, str] = {}
        """Instruments that have let go of an organ and are not clear of it yet."""
        self._angles = {name: 0.0 for name in table.instruments}
        for _ in range(3 if np.any(position.sag()) else 0):
            for name, body in self.bodies.items():
                self._supports.update(name, 0.0)
                body.equilibrate()
        self._start = self.save()

    @property
    def holds(self) -> dict[str, Hold]:
        """What each instrument holds."""
        return {
            name: Hold(hold.organ, len(self.bodies[hold.organ].held(hold.grasp)), hold.force, hold.limit)
            for name, hold in self._holds.items()
        }

    @property
    def contacts(self) -> tuple[OrganContact, ...]:
        """The instruments' parts that press on soft tissue, or hold it; the depth is not known."""
        return tuple(
            OrganContact(
                load.instrument, load.organ, load.link, float(np.linalg.norm(load.force)), float("nan"), load.point
            )
            for load in self.loads
            if any(load.force)
        )

    def reset(self) -> None:
        """Put everything back to the start."""
        self.restore(*self._start)

    def frames(self, duration: float) -> int:
        """Return into how many frames a control step of a duration [s] is cut."""
        return max(1, round(duration / FRAME))

    def load(self) -> None:
        """Push on the instruments during the substep that comes."""
        for load in self.loads:
            body = self._table.instruments[load.instrument].body
            self._world.push(body, load.link, load.force, load.point)
            if any(load.moment):
                self._twist(body, load)

    def meet(self, duration: float) -> None:
        """Move the organs on by a frame [s], to where the instruments are now."""
        self._time += duration
        now = {name: instrument.now() for name, instrument in self._table.instruments.items()}
        self._place_rigid()
        self.loads = []
        for name in self.bodies:
            self._move(name, duration, now)
        for name, (links, angle) in now.items():
            if name in self._scissors:
                self._snip(name, links, angle)
            elif self._table.instruments[name].device.jaw is not None:
                self._work_jaws(name, links, angle)
            self._angles[name] = angle

    def _move(
        self, name: str, duration: float, now: Mapping[str, tuple[dict[str, NDArray[np.float64]], float]]
    ) -> None:
        body, mesh = self.bodies[name], self.organs[name].mesh
        self._supports.update(name, self._time)
        friction = mesh.tissues[0].friction
        x = body.positions
        low, high = x.min(axis=0), x.max(axis=0)
        tools: list[Capsule | None] = []
        for instrument, capsule in self._capsules:
            there = capsule.at(now[instrument][0], friction)
            ends, reach = np.array([there.first, there.second]), self._reach[instrument] + there.radius
            near = (ends.min(axis=0) < high + reach).all() and (ends.max(axis=0) > low - reach).all()
            hold = self._holds.get(instrument)
            holding = (hold is not None and hold.organ == name) or self._leaving.get(instrument) == name
            # Jaws that hold press no more: the springs of the grasp stand for both. Having let go they are in the midst
            # of the tissue, and press again once they are clear of it.
            sharp = instrument in self._scissors and capsule.part in BLADES
            tools.append(there if near and not sharp and not (holding and capsule.part != "shaft") else None)
        body.set_tools(tools)
        for instrument, hold in self._holds.items():
            if hold.organ == name:
                links = now[instrument][0]
                body.move_grasp(hold.grasp, jaw_pose(self._table.instruments[instrument].device, links))
        report = body.step(duration)
        if report.faults and not self.fault:
            self.fault = str(report.faults[0])
        rows = zip(self._capsules, tools, report.tool_forces, report.tool_moments, strict=True)
        for (instrument, capsule), tool, force, moment in rows:
            if tool is not None and any(force):
                self.loads.append(Load(instrument, name, capsule.link, capsule.part, force, moment, tool.first))
        for instrument, hold in self._holds.items():
            if hold.organ == name:
                hold.force = report.grasp_forces[hold.grasp]
                link = self._table.instruments[instrument].device.arm.joints[-1].name
                place = body.held_place(hold.grasp)
                point = (float(place[0]), float(place[1]), float(place[2]))
                self.loads.append(Load(instrument, name, link, "jaws", hold.force, (0.0, 0.0, 0.0), point))

    def _place_rigid(self) -> None:
        if not self._field.physiology.still:
            self._world.place(self._rigid, self._field.offset(self._middles, self._time))

    def _work_jaws(self, name: str, links: dict[str, NDArray[np.float64]], angle: float) -> None:
        """Catch what lies between closing jaws; let go when they open, or when all has slipped out."""
        hold = self._holds.get(name)
        if hold is not None:
            body = self.bodies[hold.organ]
            if angle > hold.angle + OPENED or not len(body.held(hold.grasp)):
                body.release(hold.grasp)
                self._leaving[name] = hold.organ
                del self._holds[name]
            elif angle < hold.angle:
                thickness = max(hold.thickness * np.tan(max(angle, 0.0) / 2) / np.tan(hold.angle / 2), NARROWEST)
                body.squeeze(hold.grasp, thickness / hold.thickness)
                hold.angle, hold.thickness = angle, float(thickness)
            return
        if name in self._leaving:
            if self._clear(name, links):
                del self._leaving[name]
            return
        if angle >= self._angles[name] - 1e-6:
            return
        device = self._table.instruments[name].device
        pressed = {"jaw_left": 0.0, "jaw_right": 0.0}
        for load in self.loads:
            if load.instrument == name and load.part in pressed:
                pressed[load.part] += float(np.linalg.norm(load.force))
        if min(pressed.values()) < PINCH:
            return
        pose = jaw_pose(device, links)
        for organ, body in self.bodies.items():
            skin = self._skins[organ]
            held = {
                int(node) for other in self._holds.values() if other.organ == organ for node in body.held(other.grasp)
            }
            nodes = skin[between(device, pose, angle, body.positions[skin], self._edges[organ] / 2)]
            nodes = np.array([node for node in nodes.tolist() if node not in held], dtype=np.int64)
            if len(nodes):
                limit = grip_limit(device, self.organs[organ].mesh.tissues[0].friction)
                assert device.jaw is not None
                # Springs not much stiffer than the tissue: what is held gives way in the jaws as its own layers do, and
                # the elements at their rim are not turned inside out.
                stiffness = _HELD * self.organs[organ].mesh.tissues[0].youngs_modulus * self._edges[organ]
                reach = device.jaw.length / 2
                grasp = body.grasp(nodes, pose, limit=limit, stiffness=stiffness, reach=reach)
                self._holds[name] = JawHold(organ, grasp, limit, angle)
                return

    def _snip(self, name: str, links: dict[str, NDArray[np.float64]], angle: float) -> None:
        """Part what the blades pass over as they close."""
        if angle >= self._angles[name] - 1e-6:
            return
        pose = blades_pose(jaw_pose(self._table.instruments[name].device, links))
        for organ, body in self.bodies.items():
            cuts = self._scissors[name].close(body, pose, max(self._angles[name], 0.0), max(angle, 0.0))
            if cuts:
                for cut in cuts:
                    self.organs[organ] = part_organ(self.organs[organ], cut)
                self.seen[organ].part(cuts)
                self._take_over(organ)

    def _take_over(self, organ: str) -> None:
        """Go along with an organ whose nodes are others now."""
        self._skins[organ] = np.unique(self.organs[organ].mesh.surface)
        self._supports = Supports(self.organs, self.bodies, self._field)

    def _clear(self, name: str, links: dict[str, NDArray[np.float64]]) -> bool:
        """Tell whether the jaws of an instrument are away from the organ that they let go of."""
        organ = self._leaving[name]
        x = self.bodies[organ].positions[self._skins[organ]]
        for instrument, capsule in self._capsules:
            if instrument == name and capsule.part != "shaft":
                there = capsule.at(links, 0.0)
                first, axis = np.array(there.first), np.array(there.second) - there.first
                along = np.clip((x - first) @ axis / max(float(axis @ axis), 1e-18), 0.0, 1.0)
                away = np.linalg.norm(x - first - along[:, None] * axis, axis=1).min()
                if away < there.radius + self._edges[organ]:
                    return False
        return True

    def _twist(self, body: int, load: Load) -> None:
        """Apply a moment as two opposite forces."""
        moment, point = np.array(load.moment), np.array(load.point)
        across = np.cross(moment, np.eye(3)[int(np.argmin(np.abs(moment)))])
        arm = 0.01 * across / np.linalg.norm(across)
        force = np.cross(moment, arm) / (2 * 0.01**2)
        self._world.push(body, load.link, force.tolist(), (point + arm).tolist())
        self._world.push(body, load.link, (-force).tolist(), (point - arm).tolist())

    def save(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return all that the tissue's future depends on, as JSON values and arrays."""
        arrays: dict[str, NDArray[Any]] = {}
        organs: dict[str, dict[str, Any]] = {}
        for name, body in self.bodies.items():
            organs[name], parts = pack_organ(self.organs[name], body, self.seen[name].skin.binding)
            arrays |= parts
        plain = {
            "time": self._time,
            "fault": self.fault,
            "loads": [asdict(load) for load in self.loads],
            "holds": {name: asdict(hold) for name, hold in self._holds.items()},
            "angles": dict(self._angles),
            "leaving": dict(self._leaving),
            "organs": organs,
        }
        return plain, arrays

    def restore(self, plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go back to what `save` returned.

        Raises:
            InputError: It is of other organs or instruments, or damaged.
        """
        try:
            found = {
                name: unpack_organ(self._whole[name], body, float(plain["time"]), plain["organs"][name], arrays)
                for name, body in self.bodies.items()
            }
            loads = [_load(load) for load in plain["loads"]]
            holds = {name: JawHold(**{**hold, "force": tuple(hold["force"])}) for name, hold in plain["holds"].items()}
            angles = {name: float(plain["angles"][name]) for name in self._angles}
            time, fault, leaving = float(plain["time"]), str(plain["fault"]), dict(plain["leaving"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"saved state of soft tissue: expected one of this scene, found {error!r}") from error
        for name, (state, organ, binding) in found.items():
            cut = self.organs[name] is not self._whole[name] or binding is not None
            self.bodies[name].restore_state(state)
            if cut:
                self.organs[name] = organ
                self.seen[name].put(binding)
                self._take_over(name)
        self.loads, self._holds, self._angles, self._time, self.fault = loads, holds, angles, time, fault
        self._leaving = leaving
        self._place_rigid()


def _load(plain: Mapping[str, Any]) -> Load:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
    return Load(**values)


def _mean_edge(organ: SoftOrgan) -> float:
    corners = organ.mesh.nodes[organ.mesh.surface]
    return float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).mean())

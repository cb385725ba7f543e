"""A laparoscopy: a patient's abdomen, instruments in their trocars, and what the laparoscope sees."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.patient import Patient
from sim.camera import Camera
from sim.control_step import CONTROL_STEP
from sim.degradations.settings import Degradations
from sim.exposure import AutoExposure
from sim.frame import Frame
from sim.instruments.command import Command, JointTarget
from sim.instruments.laparoscope import camera_pose, laparoscope_light
from sim.instruments.table import InstrumentTable
from sim.key_points import KeyPoint, locate_key_points
from sim.laparoscopy.aim import look_at
from sim.laparoscopy.parting import SCISSORS, cut_name, cut_objects, no_cut
from sim.laparoscopy.physiology import MotionField, Physiology
from sim.laparoscopy.placement import Placement, check_names, cholecystectomy
from sim.laparoscopy.soft_organ import SoftOrgan, soft_organ
from sim.laparoscopy.state import LaparoscopyState, OrganContact, pack, unpack
from sim.laparoscopy.theatre import add_anatomy, add_instruments, instrument_objects, part_name
from sim.laparoscopy.tissue import Position, SoftTissue
from sim.laparoscopy.trocars import operative_field
from sim.looks import View
from sim.render.appearance import Appearance
from sim.render.channels import Extra
from sim.render.renderer import Renderer
from sim.scene_objects import objects_of
from sim.world import BulletWorld

_SETTLING_FRAMES = 6
_SETTLING_TIME = 1.0  # [s] between them


class LaparoscopyScene:
    """Owns the renderer and the physics world of one patient; use it as a context manager.

    `reset` starts a new episode and keeps what is dear: meshes and renderer.
    """

    def __init__(
        self,
        patient: Patient,
        *,
        camera: Camera,
        instruments: Sequence[Placement] | None = None,
        watching: str = "laparoscope",
        soft: Sequence[str | SoftOrgan] = (),
        physiology: Physiology | None = None,
        position: Position | None = None,
        seed: int = 0,
        device: str = "cpu",
        threads: int = 2,
        cache: Path | None = None,
    ) -> None:
        """Build the scene and start an episode.

        Args:
            patient: With a liver, and trocar sites in its abdominal wall.
            camera: Of the laparoscope, such as `sim.instruments.laparoscope.laparoscope_camera` gives.
            instruments: What is in which trocar; None for those of a cholecystectomy.
            watching: Name of the laparoscope that `observe` looks through.
            soft: Organs that deform, by name or as `soft_organ` makes them; the others are rigid.
            physiology: Breathing and heartbeat; None for stillness.
            position: Of the patient on the table; None for supine.
            seed: Of the sensor noise.
            device: A Warp device for the renderer; soft tissue is computed on the CPU.
            threads: Of the renderer.
            cache: Folder in which tetrahedra are kept by their content; without it no two runs make the same.

        Raises:
            InputError: The patient lacks what is needed, an instrument does not fit, or an organ cannot be made soft.
        """
        self.patient, self.camera, self.watching = patient, camera, watching
        self.placements = tuple(cholecystectomy() if instruments is None else instruments)
        check_names(self.placements, watching)
        self.field = operative_field(patient)
        made_soft = [soft_organ(patient, one, cache=cache) if isinstance(one, str) else one for one in soft]
        sharp = any(placement.device.label == SCISSORS for placement in self.placements)
        self._parted = {organ.name: organ.surface for organ in made_soft} if sharp else {}
        self.objects = (
            *objects_of(patient),
            *instrument_objects(self.placements, watching),
            *cut_objects(self._parted),
        )
        self.channels: tuple[Extra, ...] = ()
        """What `observe` adds to a frame's usual channels."""
        self.motion = MotionField(patient, physiology or Physiology())
        self._surfaces = {organ.name: organ.surface.vertices for organ in patient.organs}
        self._exits = ExitStack()
        with ExitStack() as building:
            self.world = building.enter_context(BulletWorld())
            self._anatomy = add_anatomy(self.world, patient, [organ.name for organ in made_soft])
            made, self.trocars = add_instruments(self.world, patient, self.placements)
            self.table = InstrumentTable(self.world, made, self._anatomy.bodies.values())
            self._start = self.table.save_state()
            self.tissue = SoftTissue(
                self.world,
                self.table,
                made_soft,
                self.motion,
                position=position or Position(),
                rigid={
                    body: self._surfaces[name].mean(axis=0, dtype=np.float64)
                    for name, body in self._anatomy.bodies.items()
                },
            )
            self._shown = {name: seen.skin for name, seen in self.tissue.seen.items()}
            self.renderer = Renderer(self.objects, camera, device=device, threads=threads)
            building.callback(self.renderer.close)
            self._exits = building.pop_all()
        self.exposure = AutoExposure()
        self.reset(seed=seed)

    def __enter__(self) -> "LaparoscopyScene":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the physics client and the renderer's threads."""
        self._exits.close()

    def reset(
        self,
        *,
        seed: int,
        appearance: Appearance | None = None,
        degradations: Degradations | None = None,
    ) -> LaparoscopyState:
        """Start a new episode: all instruments as they were placed.

        Args:
            seed: Of the sensor noise.
            appearance: The look of tissue and sensor; None for the default.
            degradations: What goes wrong with the picture; None for nothing.

        Returns:
            The state at time 0.
        """
        self.appearance = appearance or Appearance()
        self.degradations = degradations or Degradations()
        self._noise = np.random.default_rng(seed)
        self._observed: tuple[NDArray[np.float64], float] | None = None
        self.exposure.reset()
        self._metered = 0.0
        self.table.restore_state(self._start)
        self.tissue.reset()
        self.state = self._read()
        return self.state

    def step(self, commands: Mapping[str, Command], dt: float = CONTROL_STEP) -> LaparoscopyState:
        """Move all instruments through one control step.

        Args:
            commands: By the instruments' names; one without a command goes on towards its last target.
            dt: Duration of the step [s].

        Returns:
            The state after it.

        Raises:
            InputError: A name or a command is wrong, or dt is out of range.
        """
        self.table.step(commands, dt, coupling=self.tissue)
        self.state = self._read()
        return self.state

    def look_at(
        self, point: NDArray[np.float64], *, insertion: float | None = None, roll: float | None = None
    ) -> JointTarget:
        """Return the command with which the watching laparoscope looks at a point, as near as its limits let it.

        Args:
            point: [m], world frame.
            insertion: Of its tip beyond the trocar [m]; None for that of now.
            roll: Of its shaft [rad]; None for that of now.
        """
        state = self.state.instruments[self.watching]
        port = self.trocars[self.watching].T_world_port
        depth = float(np.linalg.norm(state.T_world_tip[:3, 3] - port[:3, 3])) if insertion is None else insertion
        joints, _ = look_at(
            self.table.instruments[self.watching].device,
            port,
            point,
            insertion=depth,
            roll=float(state.joints[3]) if roll is None else roll,
            camera_roll=state.camera_roll,
        )
        return JointTarget(joints)

    def observe(self) -> Frame:
        """Render what the laparoscope sees now, without flow; the exposure adapts from one observation to the next."""
        self._show()
        pose, time = self.state.T_world_camera, self.state.time
        before, since = self._observed or (pose, time)
        if self._observed is None:
            # The camera was on before the episode starts: its exposure has settled.
            for _ in range(_SETTLING_FRAMES):
                self._render(pose, 0)
                self.exposure.update(self._metered, _SETTLING_TIME)
        else:
            self.exposure.update(self._metered, time - since)
        noise_seed = int(self._noise.integers(2**31))
        clean = self._render(pose, noise_seed)
        self._observed = (pose, time)
        self.last_view = View(
            T_world_camera=pose,
            time=time,
            noise_seed=noise_seed,
            light=laparoscope_light(),
            degradations=self.degradations,
            before=before if time != since else None,  # seen twice at one time, or for the first time: nothing moves
            dt=time - since,
            channels=self.channels,
        )
        return self.last_view.through(clean, self.appearance)

    def key_points(self, frame: Frame) -> list[KeyPoint]:
        """Return the named points of all instruments but the watching one in a frame of now.

        Args:
            frame: What `observe` gave, or another look at the same moment.
        """
        found: list[KeyPoint] = []
        for placement in self.placements:
            if placement.key != self.watching:
                name = part_name(placement.key, placement.device.parts[0].name)
                number = next(index for index, item in enumerate(self.objects) if item.name == name)
                points = self.state.instruments[placement.key].key_points
                found += locate_key_points(points, frame, instance=int(self.renderer.scene.things[number]))
        return found

    def save_state(self) -> bytes:
        """Return all that the future depends on, but appearance and degradations: the same state, the same bytes."""
        seen = None if self._observed is None else [self._observed[0].tolist(), self._observed[1]]
        plain: dict[str, Any] = {
            "version": 1,
            "instruments": self.table.save_state().decode(),
            "gain": self.exposure.gain,
            "metered": self._metered,
            "observed": seen,
            "noise": self._noise.bit_generator.state,
        }
        tissue, arrays = self.tissue.save()
        return pack(plain | {"tissue": tissue}, arrays)

    def restore_state(self, data: bytes) -> LaparoscopyState:
        """Go back to a saved state, also of another scene of the same patient and instruments; to the byte.

        Raises:
            InputError: The data is damaged, or of another scene.
        """
        plain, arrays = unpack(data)
        expected = {"version", "instruments", "gain", "metered", "observed", "noise", "tissue"}
        if set(plain) != expected or plain["version"] != 1:
            raise InputError(f"saved state of a laparoscopy: expected version 1, found {str(plain)[:60]!r}")
        self.tissue.restore(plain["tissue"], arrays)
        self.table.restore_state(plain["instruments"].encode())
        self.exposure.reset(plain["gain"])
        self._metered = plain["metered"]
        seen = plain["observed"]
        self._observed = None if seen is None else (np.array(seen[0]), seen[1])
        self._noise.bit_generator.state = plain["noise"]
        self.state = self._read()
        return self.state

    def _show(self) -> None:
        """Put everything in the renderer's scene where it is now."""
        scene = self.renderer.scene
        for placement in self.placements:
            if placement.key != self.watching:
                links = self.state.instruments[placement.key].links
                for part in placement.device.parts:
                    scene.move(part_name(placement.key, part.name), links[part.link] @ part.T_link_part)
        for name, seen in self.tissue.seen.items():
            if seen.skin is not self._shown[name]:
                self._show_parted(name)
                continue
            scene.deform(name, seen.skin.update()[0])
            if seen.opened is not None:
                scene.deform(cut_name(name), seen.opened.update()[0])
        if not self.motion.physiology.still:
            for name in {item.name for item in self.objects} & set(self._surfaces) - set(self.tissue.seen):
                rest = self._surfaces[name]
                scene.deform(name, (rest + self.motion.offset(rest, self.state.time)).astype(np.float32))

    def _show_parted(self, name: str) -> None:
        """Draw an organ anew that was cut, or is whole again."""
        scene, seen = self.renderer.scene, self.tissue.seen[name]
        scene.replace_mesh(name, seen.skin.mesh(), rest=seen.skin.rest)
        if seen.opened is None:
            scene.replace_mesh(cut_name(name), no_cut(self._parted[name]))
        else:
            scene.replace_mesh(cut_name(name), seen.opened.mesh(), rest=seen.opened.rest)
        self._shown[name] = seen.skin

    def _render(self, pose: NDArray[np.float64], seed: int) -> Frame:
        frame = self.renderer.render(
            pose,
            exposure=self.exposure.gain,
            light=laparoscope_light(),
            appearance=self.appearance,
            time=self.state.time,
            seed=seed,
            channels=self.channels,
        )
        self._metered = self.renderer.metered
        return frame

    def _read(self) -> LaparoscopyState:
        states = self.table.states
        contacts = tuple(
            OrganContact(name, self._anatomy.names[touch.other], touch.link, touch.force, touch.depth, touch.point)
            for name, state in states.items()
            for touch in state.touches
            if touch.force > 0
        )
        return LaparoscopyState(
            time=next(iter(states.values())).time,
            instruments=states,
            T_world_camera=camera_pose(self.table.instruments[self.watching].device, states[self.watching]),
            contacts=contacts + self.tissue.contacts,
            holds=self.tissue.holds,
            fault="; ".join(
                fault for fault in (*(state.fault for state in states.values()), self.tissue.fault) if fault
            ),
        )

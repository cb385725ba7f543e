"""An endoscopy through a natural orifice: an anatomy, a flexible scope in it, and what its camera sees.

Physics and renderer are views of it. `sim.scene` and `sim.bronchoscopy` say which anatomy and which scope.
"""

import hashlib
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.instruments.flexible import ScopeDevice
from assets.labels import label_id
from assets.patient import Patient
from sim.camera import Camera
from sim.degradations.settings import Degradations
from sim.exposure import AutoExposure
from sim.flexible_scope import CONTACT_MARGIN, CONTACT_STIFFNESS, FlexibleScope
from sim.frame import Frame
from sim.geometry import CentrelineGuide
from sim.looks import View
from sim.passage import Passage
from sim.plain_state import (
    array_of,
    entries_of,
    from_bytes,
    generator_of,
    generator_to_plain,
    number_of,
    settings_of,
    settings_to_plain,
    to_bytes,
)
from sim.render.appearance import Appearance, LightSettings
from sim.render.channels import Extra
from sim.render.renderer import Renderer
from sim.scene_objects import objects_of
from sim.scope_state import ScopeCommand, ScopeState
from sim.soft_wall.following import draw_wall, soft_wall_of
from sim.soft_wall.soft_wall import SoftWall, WallLoad
from sim.wall_building import drop_orifices
from sim.wall_distance import WallDistance, lumen_of, patient_wall_distance
from sim.world import BulletWorld

_CONTACT_REACH = 0.002  # [m] around the tip within which PyBullet looks for the wall
_TIP_BODIES = 2  # spheres of the rigid tip
_SETTLING_FRAMES = 6
_SETTLING_TIME = 1.0  # [s] between them
_KIND, _VERSION = "endoscopy scene", 2
_ENTRIES = (
    "made_of",
    "friction",
    "insertion",
    "scope",
    "arc",
    "gain",
    "metered",
    "exposed_at",
    "observed",
    "noise",
    "appearance",
    "degradations",
    "insufflation",
    "wall",
)
MOST_INSUFFLATION = 6.0e3
"""[Pa] above or below the pressure at which the anatomy was taken; 45 mmHg."""


class TubularScene:
    """Owns the renderer and the physics world of one patient; use it as a context manager.

    `reset` starts a new episode and keeps what is dear: meshes, wall distance and renderer.
    """

    def __init__(
        self,
        patient: Patient,
        passage: Passage,
        *,
        camera: Camera,
        seed: int = 0,
        friction: float = 0.02,
        light: LightSettings | None = None,
        device: str = "cpu",
        threads: int = 2,
        scope_device: ScopeDevice | None = None,
        cache: Path | None = None,
        soft_wall: bool = False,
    ) -> None:
        """Build the scene and start an episode.

        Args:
            patient: With the lumen that the passage names.
            passage: The way of the scope.
            camera: Of the scope.
            seed: Of where the episode starts and of the sensor noise.
            friction: Coulomb's coefficient of scope and mucosa.
            light: The scope's light guides; None for a colonoscope's.
            device: A Warp device for the renderer; the body of the scope is computed on the CPU.
            threads: Of the renderer.
            scope_device: The instrument; None for the usual one.
            cache: Folder in which the wall distance is kept from run to run; None does not keep it.
            soft_wall: The wall gives way to the scope and to insufflation; else it is rigid, which is faster.

        Raises:
            InputError: The patient lacks what is needed, or a parameter is out of range.
        """
        self.patient = patient
        self.passage = passage
        self.camera = camera
        seen = {label_id(label) for label in passage.seen}
        self.objects = tuple(item for item in objects_of(patient) if item.label_id in seen)
        self.scope_device = scope_device or passage.device
        self.wall: WallDistance = patient_wall_distance(
            patient,
            lumen=passage.lumen,
            solids=passage.solids,
            opening=passage.opening,
            spacing=passage.grid_spacing,
            threads=threads,
            cache=cache,
        )
        self.soft_wall: SoftWall | None = None
        """The wall's displacement, where it gives way."""
        if soft_wall:
            self.soft_wall = soft_wall_of(patient, passage, self.wall)
            self.wall = self.soft_wall.grid
        self.guide = guide_along(passage, self.wall)
        self.appearance = Appearance()
        self.channels: tuple[Extra, ...] = ()
        """What `observe` adds to a frame's usual channels."""
        self._light = light
        self._exits = ExitStack()
        with ExitStack() as building:
            self.world = building.enter_context(BulletWorld())
            self._lumen, lumen = lumen_of(patient, passage.lumen)
            self._walls = [self.world.add_anatomy(drop_orifices(lumen, (passage.orifice,)))]
            solids = [organ.surface for organ in patient.organs if organ.label in passage.solids]
            self._walls += [self.world.add_anatomy(solid) for solid in solids]
            tip = self.scope_device.tip_radius
            self._tip = self.world.add_spheres([tip] + [self.scope_device.tube_radius] * (_TIP_BODIES - 1))
            self.renderer = Renderer(self.objects, camera, device=device, threads=threads)
            building.callback(self.renderer.close)
            self._exits = building.pop_all()
        self.exposure = AutoExposure()
        self.reset(seed=seed, friction=friction)

    def __enter__(self) -> Self:
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
        friction: float,
        appearance: Appearance | None = None,
        degradations: Degradations | None = None,
        insufflation: float = 0.0,
    ) -> ScopeState:
        """Start a new episode.

        Args:
            seed: Of the insertion at the start and of the sensor noise.
            friction: Coulomb's coefficient of scope and mucosa.
            appearance: The look of tissue and sensor; None for the default.
            degradations: What goes wrong with the picture; None for nothing.
            insufflation: Pressure in the lumen above that at which the anatomy was taken [Pa].

        Returns:
            The state at time 0.

        Raises:
            InputError: The pressure is out of range, or the wall is rigid and there is any.
        """
        self._check_insufflation(insufflation)
        self.degradations = degradations or Degradations()
        self._observed: tuple[NDArray[np.float64], float] | None = None
        self._noise = np.random.default_rng(seed)
        insertion = float(self._noise.uniform(*self.passage.start))
        self.appearance = appearance or Appearance()
        self._friction, self._insertion, self._insufflation = friction, insertion, insufflation
        if self.soft_wall is not None:
            self.soft_wall.settle(insufflation)
            self._draw_wall()
        self.scope = self._new_scope(friction, insertion)
        self.guide.reset(insertion)
        self.exposure.reset()
        self._exposed_at: float | None = None
        self.state = self._with_contact(self.scope.state)
        return self.state

    def _new_scope(self, friction: float, insertion: float) -> FlexibleScope:
        return FlexibleScope(
            self.wall,
            self.passage.orifice,
            self.passage.line.points,
            insertion=insertion,
            friction=friction,
            device=self.scope_device,
            wall_stiffness=CONTACT_STIFFNESS
            if self.soft_wall is None
            else self.soft_wall.contact_stiffness(self.scope_device.spacing),
        )

    def _draw_wall(self) -> None:
        if self.soft_wall is not None:
            draw_wall(self.soft_wall, self._lumen, self.objects, self.renderer.scene)

    def _check_insufflation(self, pressure: float) -> None:
        most = 0.0 if self.soft_wall is None else MOST_INSUFFLATION
        if not abs(pressure) <= most:
            kind = "a rigid wall" if self.soft_wall is None else "a soft wall"
            raise InputError(f"scene: expected an insufflation of at most {most:g} Pa for {kind}, found {pressure}")

    def step(self, command: ScopeCommand) -> ScopeState:
        """Move the scope through one control step."""
        self.state = self._with_contact(self.scope.step(command))
        if self.soft_wall is not None:
            places, forces = self.scope.wall_forces()
            self.soft_wall.step(WallLoad(self._insufflation, places, forces))
            self._draw_wall()
        self.guide.locate(self.state.T_world_camera[:3, 3])
        return self.state

    def observe(self) -> Frame:
        """Render what the camera sees now, without flow; the exposure adapts from one observation to the next."""
        pose = self.state.T_world_camera
        if self._exposed_at is None:
            # The camera was on before the episode starts: its exposure has settled.
            for _ in range(_SETTLING_FRAMES):
                self.renderer.render(pose, exposure=self.exposure.gain, light=self._light, appearance=self.appearance)
                self.exposure.update(self.renderer.metered, _SETTLING_TIME)
        else:
            self.exposure.update(self.renderer.metered, self.state.time - self._exposed_at)
        self._exposed_at = self.state.time
        noise_seed = int(self._noise.integers(2**31))
        clean = self.renderer.render(
            pose,
            exposure=self.exposure.gain,
            light=self._light,
            appearance=self.appearance,
            time=self.state.time,
            seed=noise_seed,
            channels=self.channels,
        )
        before, since = self._observed if self._observed is not None else (pose, self.state.time)
        self._observed = (pose, self.state.time)
        dt = self.state.time - since
        self.last_view = View(
            T_world_camera=pose,
            time=self.state.time,
            noise_seed=noise_seed,
            light=self._light,
            degradations=self.degradations,
            before=before if dt else None,  # seen twice at one time, or for the first time: nothing moves
            dt=dt,
            channels=self.channels,
        )
        return self.last_view.through(clean, self.appearance)

    def save_state(self) -> bytes:
        """Return all that the episode's future depends on as JSON: the same state, the same bytes."""
        seen = self._observed
        entries = {
            "made_of": self._made_of(),
            "friction": self._friction,
            "insertion": self._insertion,
            "scope": self.scope.to_plain(),
            "arc": self.guide.arc,
            "gain": self.exposure.gain,
            "metered": self.renderer.metered,
            "exposed_at": self._exposed_at,
            "observed": None if seen is None else {"pose": seen[0].tolist(), "time": seen[1]},
            "noise": generator_to_plain(self._noise),
            "appearance": settings_to_plain(self.appearance),
            "degradations": settings_to_plain(self.degradations),
            "insufflation": self._insufflation,
            "wall": None if self.soft_wall is None else self.soft_wall.displacement.tolist(),
        }
        return to_bytes(_KIND, _VERSION, entries)

    def restore_state(self, data: bytes) -> ScopeState:
        """Go back to a saved state, also of another process; what follows is the same, bit for bit, frames too.

        Raises:
            InputError: The data is damaged, or of another patient or scope; then nothing has changed.
        """
        where = f"saved state of {_KIND}"
        plain = from_bytes(data, _KIND, _VERSION, _ENTRIES)
        made_of = entries_of(plain["made_of"], self._made_of(), f"{where}: made of")
        for name, expected in self._made_of().items():
            if made_of[name] != expected:
                raise InputError(f"{where}: expected {name} {expected}, found {str(made_of[name])[:80]}")
        numbers = {
            name: number_of(plain[name], f"{where}: {name}")
            for name in ("friction", "insertion", "arc", "gain", "metered", "insufflation")
        }
        if numbers["gain"] <= 0 or numbers["metered"] < 0:
            raise InputError(f"{where}: expected a gain above 0 and a brightness of at least 0, found {numbers}")
        exposed_at = plain["exposed_at"]
        exposed_at = None if exposed_at is None else number_of(exposed_at, f"{where}: exposed at")
        observed = None
        if plain["observed"] is not None:
            seen = entries_of(plain["observed"], ("pose", "time"), f"{where}: observed")
            pose = array_of(seen["pose"], (4, 4), f"{where}: observed pose")
            observed = pose, number_of(seen["time"], f"{where}: observed time")
        noise = generator_of(plain["noise"], f"{where}: noise")
        appearance = settings_of(Appearance, plain["appearance"], f"{where}: appearance")
        degradations = settings_of(Degradations, plain["degradations"], f"{where}: degradations")
        self._check_insufflation(numbers["insufflation"])
        shape = () if self.soft_wall is None else self.soft_wall.displacement.shape
        if (plain["wall"] is None) != (self.soft_wall is None):
            raise InputError(
                f"{where}: expected {'a rigid' if self.soft_wall is None else 'a soft'} wall, found the other"
            )
        displacement = None if plain["wall"] is None else array_of(plain["wall"], shape, f"{where}: wall")
        scope = self._new_scope(numbers["friction"], numbers["insertion"])
        scope.from_plain(plain["scope"], f"{where}: scope")
        self.scope, self._noise, self._observed, self._exposed_at = scope, noise, observed, exposed_at
        self._friction, self._insertion = numbers["friction"], numbers["insertion"]
        self._insufflation = numbers["insufflation"]
        if self.soft_wall is not None and displacement is not None:
            self.soft_wall.place(displacement)
            self._draw_wall()
        self.appearance, self.degradations = appearance, degradations
        self.guide.reset(numbers["arc"])
        self.exposure.reset(numbers["gain"])
        self.renderer.metered = numbers["metered"]
        self.state = self._with_contact(scope.state)
        return self.state

    def _made_of(self) -> dict[str, Any]:
        """Return what a saved state must fit to."""
        content = hashlib.sha256()
        for item in self.objects:
            content.update(np.ascontiguousarray(item.mesh.vertices).tobytes())
        return {
            "patient": self.patient.name,
            "surfaces": content.hexdigest()[:16],
            "line": self.passage.line.name,
            "camera": [self.camera.width, self.camera.height],
        }

    def _with_contact(self, state: ScopeState) -> ScopeState:
        """Replace the tip's contact by what PyBullet finds between its bodies and the anatomy, if that is rigid."""
        if self.soft_wall is not None:
            return state
        self.world.place(self._tip, state.nodes[: len(self._tip)])
        distances = [
            contact.distance
            for body in self._tip
            for wall in self._walls
            if (contact := self.world.nearest(body, wall, _CONTACT_REACH)) is not None
        ]
        nearest = min(distances, default=_CONTACT_REACH)
        return replace(state, tip_contact=nearest < CONTACT_MARGIN, contact_depth=max(0.0, -nearest))


def guide_along(passage: Passage, wall: WallDistance) -> CentrelineGuide:
    """Return a guide along the passage's line that looks as far ahead as suits its usual scope.

    The look-ahead is four ninths of the bending section: who aims farther cuts the corner, and hooks the tip behind a
    fold on the inner side of a bend.
    """
    device = passage.device
    return CentrelineGuide(
        passage.line,
        wall,
        look_ahead=device.bending_length * 4 / 9,
        fall_back=device.bending_length * 2 / 9,
        clearance=device.tip_radius - 1.0e-4,
    )

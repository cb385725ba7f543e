"""A colonoscopy: a patient's colon, a scope in it, and what its camera sees. Physics and renderer are views of it."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.labels import label_id
from assets.patient import Orifice, Patient
from sim.camera import Camera
from sim.colonoscope import CONTACT_MARGIN, Colonoscope, ScopeCommand, ScopeDevice, ScopeState
from sim.degradations.degrade import degrade
from sim.degradations.settings import Degradations
from sim.exposure import AutoExposure
from sim.frame import Frame
from sim.geometry import CentrelineGuide, colon_centreline
from sim.render.appearance import Appearance
from sim.render.renderer import Renderer
from sim.scene_objects import objects_of
from sim.wall_building import drop_orifices
from sim.wall_distance import WallDistance, colon_lumen, patient_wall_distance
from sim.world import BulletWorld

_START = (0.05, 0.08)  # [m] of scope inside the rectum when an episode starts
_CONTACT_REACH = 0.002  # [m] around the tip within which PyBullet looks for the wall
_TIP_BODIES = 2  # spheres of the rigid tip
_SETTLING_FRAMES = 6
_SETTLING_TIME = 1.0  # [s] between them


class ColonoscopyScene:
    """Owns the renderer and the physics world of one patient; use it as a context manager.

    `reset` starts a new episode and keeps what is dear: meshes, wall distance and renderer.
    """

    def __init__(
        self,
        patient: Patient,
        *,
        camera: Camera,
        seed: int = 0,
        friction: float = 0.02,
        device: str = "cpu",
        threads: int = 2,
        scope_device: ScopeDevice | None = None,
        cache: Path | None = None,
    ) -> None:
        """Build the scene and start an episode.

        Args:
            patient: With a colon lumen, its centreline and an orifice.
            camera: Of the scope.
            seed: Of where the episode starts and of the sensor noise.
            friction: Coulomb's coefficient of scope and mucosa.
            device: A Warp device for the renderer; the body of the scope is computed on the CPU.
            threads: Of the renderer.
            scope_device: The instrument; None for the default.
            cache: Folder in which the wall distance is kept from run to run; None does not keep it.

        Raises:
            InputError: The patient lacks what is needed, or a parameter is out of range.
        """
        self.patient = patient
        self.camera = camera
        # From inside the lumen no other organ is seen: an imported patient has some 60 of them.
        self.objects = tuple(item for item in objects_of(patient) if item.label_id in _seen_inside())
        self.wall: WallDistance = patient_wall_distance(patient, threads=threads, cache=cache)
        self.guide = CentrelineGuide(patient, self.wall)
        self.appearance = Appearance()
        self._orifice = anus(patient)
        self._scope_device = scope_device or ScopeDevice()
        self._exits = ExitStack()
        with ExitStack() as building:
            self.world = building.enter_context(BulletWorld())
            self._walls = [self.world.add_anatomy(drop_orifices(colon_lumen(patient)[1], (self._orifice,)))]
            self._walls += [self.world.add_anatomy(organ.surface) for organ in patient.organs if organ.label == "polyp"]
            tip = self._scope_device.tip_radius
            self._tip = self.world.add_spheres([tip] + [self._scope_device.tube_radius] * (_TIP_BODIES - 1))
            self.renderer = Renderer(self.objects, camera, device=device, threads=threads)
            building.callback(self.renderer.close)
            self._exits = building.pop_all()
        self.exposure = AutoExposure()
        self.reset(seed=seed, friction=friction)

    def __enter__(self) -> "ColonoscopyScene":
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
    ) -> ScopeState:
        """Start a new episode.

        Args:
            seed: Of the insertion at the start and of the sensor noise.
            friction: Coulomb's coefficient of scope and mucosa.
            appearance: The look of tissue and sensor; None for the default.
            degradations: What goes wrong with the picture; None for nothing.

        Returns:
            The state at time 0.
        """
        self.degradations = degradations or Degradations()
        self._observed: tuple[NDArray[np.float64], float] | None = None
        self._noise = np.random.default_rng(seed)
        insertion = float(self._noise.uniform(*_START))
        self.appearance = appearance or Appearance()
        self.scope = Colonoscope(
            self.wall,
            self._orifice,
            colon_centreline(self.patient).points,
            insertion=insertion,
            friction=friction,
            device=self._scope_device,
        )
        self.guide.reset(insertion)
        self.exposure.reset()
        self._exposed_at: float | None = None
        self.state = self._with_contact(self.scope.state)
        return self.state

    def step(self, command: ScopeCommand) -> ScopeState:
        """Move the scope through one control step."""
        self.state = self._with_contact(self.scope.step(command))
        self.guide.locate(self.state.T_world_camera[:3, 3])
        return self.state

    def observe(self) -> Frame:
        """Render what the camera sees now, without flow; the exposure adapts from one observation to the next."""
        pose = self.state.T_world_camera
        if self._exposed_at is None:
            # The camera was on before the episode starts: its exposure has settled.
            for _ in range(_SETTLING_FRAMES):
                self.renderer.render(pose, exposure=self.exposure.gain, appearance=self.appearance)
                self.exposure.update(self.renderer.metered, _SETTLING_TIME)
        else:
            self.exposure.update(self.renderer.metered, self.state.time - self._exposed_at)
        self._exposed_at = self.state.time
        noise_seed = int(self._noise.integers(2**31))
        clean = self.renderer.render(
            pose,
            exposure=self.exposure.gain,
            appearance=self.appearance,
            time=self.state.time,
            seed=noise_seed,
        )
        before, since = self._observed if self._observed is not None else (pose, self.state.time)
        self._observed = (pose, self.state.time)
        if since == self.state.time:  # seen twice at one time, or for the first time: nothing moves
            return degrade(clean, self.degradations, noise_seed=noise_seed)
        return degrade(
            clean,
            self.degradations,
            noise_seed=noise_seed,
            T_world_camera_before=before,
            dt=self.state.time - since,
        )

    def _with_contact(self, state: ScopeState) -> ScopeState:
        """Replace the tip's contact by what PyBullet finds between its bodies and the anatomy."""
        self.world.place(self._tip, state.nodes[: len(self._tip)])
        distances = [
            contact.distance
            for body in self._tip
            for wall in self._walls
            if (contact := self.world.nearest(body, wall, _CONTACT_REACH)) is not None
        ]
        nearest = min(distances, default=_CONTACT_REACH)
        return replace(state, tip_contact=nearest < CONTACT_MARGIN, contact_depth=max(0.0, -nearest))


def _seen_inside() -> frozenset[int]:
    """Return the ids of what a scope in the colon sees; fluid and stool are seen, and do not stop it."""
    return frozenset(map(label_id, ("colon_wall", "polyp", "stool", "bowel_fluid")))


def anus(patient: Patient) -> Orifice:
    """Return the patient's orifice named `anus`.

    Raises:
        InputError: There is none.
    """
    for orifice in patient.orifices:
        if orifice.name == "anus":
            return orifice
    found = ", ".join(orifice.name for orifice in patient.orifices) or "none"
    raise InputError(f"{patient.name}: expected an orifice named anus, found {found}")

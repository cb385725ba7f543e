"""A colonoscopy: a patient's colon, a scope in it, and what its camera sees."""

from pathlib import Path

from assets.instruments.flexible import ScopeDevice
from assets.patient import Patient
from sim.camera import Camera
from sim.passage import colon_passage
from sim.tubular_scene import TubularScene


class ColonoscopyScene(TubularScene):
    """A colonoscope in a colon, from the anus inwards."""

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
        soft_wall: bool = False,
    ) -> None:
        """Build the scene and start an episode.

        Args:
            patient: With a colon lumen, its centreline and an anus.
            camera: Of the scope.
            seed: Of where the episode starts and of the sensor noise.
            friction: Coulomb's coefficient of scope and mucosa.
            device: A Warp device for the renderer; the body of the scope is computed on the CPU.
            threads: Of the renderer.
            scope_device: The instrument; None for an adult colonoscope.
            cache: Folder in which the wall distance is kept from run to run; None does not keep it.
            soft_wall: The wall gives way to the scope and to insufflation; else it is rigid, which is faster.

        Raises:
            InputError: The patient lacks what is needed, or a parameter is out of range.
        """
        super().__init__(
            patient,
            colon_passage(patient),
            camera=camera,
            seed=seed,
            friction=friction,
            device=device,
            threads=threads,
            scope_device=scope_device,
            cache=cache,
            soft_wall=soft_wall,
        )

"""A bronchoscopy: a patient's airways, a bronchoscope in them, and what its camera sees."""

from pathlib import Path

from assets.instruments.flexible import ScopeDevice
from assets.patient import Patient
from sim.camera import Camera
from sim.passage import bronchial_passage
from sim.render.appearance import LightSettings
from sim.tubular_scene import TubularScene

LIGHT = LightSettings(power=0.25, positions=((0.0016, 0.0006, 0.0), (-0.0016, 0.0006, 0.0)))
"""Two light guides within a tip of 4.9 mm; chosen, as is their power, which the exposure makes up for."""


class BronchoscopyScene(TubularScene):
    """A bronchoscope below the larynx, on its way to one bronchus."""

    def __init__(
        self,
        patient: Patient,
        *,
        camera: Camera,
        line: str | None = None,
        seed: int = 0,
        friction: float = 0.1,
        device: str = "cpu",
        threads: int = 2,
        scope_device: ScopeDevice | None = None,
        cache: Path | None = None,
    ) -> None:
        """Build the scene and start an episode.

        Args:
            patient: With an airway tree.
            camera: Of the scope.
            line: Centreline to follow, such as `bronchi_B6_right`; None for the one to the peripheral target.
            seed: Of where the episode starts and of the sensor noise.
            friction: Coulomb's coefficient of scope and mucosa; chosen, that of a lubricated colon
                (doi:10.1038/s44172-024-00177-5).
            device: A Warp device for the renderer; the body of the scope is computed on the CPU.
            threads: Of the renderer.
            scope_device: The instrument; None for an adult bronchoscope of 4.9 mm.
            cache: Folder in which the wall distance is kept from run to run; None does not keep it.

        Raises:
            InputError: The patient lacks what is needed, or a parameter is out of range.
        """
        super().__init__(
            patient,
            bronchial_passage(patient, line),
            camera=camera,
            seed=seed,
            friction=friction,
            light=LIGHT,
            device=device,
            threads=threads,
            scope_device=scope_device,
            cache=cache,
        )

"""`trocar export-scene`: a view of a patient for Mitsuba 3, on request with its path-traced picture beside ours."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Float32
from numpy.typing import NDArray

from assets.errors import InputError
from assets.sources import load_source
from scenarios.figures import Figure
from scenarios.lumen_line import lumen_line
from scenarios.pictures import image_bytes
from scenarios.render_command import poses_along
from scenarios.runs import start_run
from sim.atomic import atomic_file
from sim.camera import Camera
from sim.degradations.tone import to_codes, to_linear
from sim.render.appearance import Appearance, LightSettings
from sim.render.mitsuba import path_trace, write_scene
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject, objects_of

_FOV_DEG = 100.0
_MATTE = Appearance(
    mottling=0, vessel_strength=0, wetness=0, bump=0, spot=0, vignette=0, shot_noise=0, read_noise=0, gain=1, ambient=1
)
"""What both renderers have in common: matte walls under point lights, and the light between them."""
_VIEWS = 20
"""Places along the centreline that `at` counts in."""


@dataclass(frozen=True)
class ExportSceneOptions:
    """Write one view along a patient's centreline for Mitsuba 3."""

    patient: tyro.conf.Positional[str]
    """A patient folder, or synth:ANATOMY:SEED."""
    out: Path
    """Folder for scene.xml and the meshes."""
    at: float = 0.5
    """Share of the centreline at which the camera is, looking ahead."""
    size: tuple[int, int] = (256, 256)
    """Width and height [px]; the camera is a pinhole of 100 degrees across."""
    samples: int = 64
    """Paths a pixel."""
    exposure: float = 0.4
    """Gain from scene radiance to the image."""
    compare: bool = False
    """Path-trace the view with matte walls and write compared.png: ours, Mitsuba's, and their difference eightfold."""

    def __post_init__(self) -> None:
        if not 0 <= self.at <= 1 or self.samples < 1 or not 0 < self.exposure < float("inf"):
            raise InputError(
                "export-scene: expected a place within 0 and 1, at least 1 sample and a positive exposure, "
                f"found {self.at}, {self.samples} and {self.exposure}"
            )


def export_scene(options: ExportSceneOptions) -> list[Figure]:
    """Write the scene; with `compare` also the pictures, and how far they are from each other.

    Returns:
        For direct light alone and for all of it, per channel: the root mean square difference over Mitsuba's mean, on
        pixels that see something.

    Raises:
        InputError: The patient has no centreline in a lumen, or Mitsuba is asked for and not there.
        OSError: The folder cannot be written.
    """
    patient = load_source(options.patient)
    line = lumen_line(patient)
    if line is None:
        raise InputError(
            f"export-scene: expected a patient with a centreline in a lumen, found none in {options.patient}"
        )
    start_run(options.out, "trocar export-scene", options)
    objects = objects_of(patient)
    pose = poses_along(line, _VIEWS)[round(options.at * (_VIEWS - 1))]
    camera = Camera.with_fov(*options.size, _FOV_DEG, model="pinhole")
    write_scene(options.out, objects, camera, pose, exposure=options.exposure, samples=options.samples)
    if not options.compare:
        return []
    folder = options.out / "matte"
    folder.mkdir(exist_ok=True)
    matte = [_matte(item) for item in objects]
    figures: list[Figure] = []
    rows: list[NDArray[np.uint8]] = []
    with Renderer(matte, camera) as renderer:
        for name, bounces in (("direct", 1), ("all", 16)):
            look = replace(_MATTE, ambient=_MATTE.ambient if bounces > 1 else 0.0)
            scene = write_scene(
                folder,
                matte,
                camera,
                pose,
                exposure=options.exposure,
                appearance=look,
                samples=options.samples,
                bounces=bounces,
                wet=False,
            )
            theirs = path_trace(scene)
            ours, seen = _radiance(renderer, pose, look, options.exposure)
            figures += _errors(name, options.patient, ours[seen], theirs[seen])
            difference = np.clip(128 + 8 * (to_codes(ours).astype(int) - to_codes(theirs)), 0, 255).astype(np.uint8)
            rows.append(np.concatenate([to_codes(ours), to_codes(theirs), difference], axis=1))
    with atomic_file(options.out / "compared.png") as stream:
        stream.write(image_bytes(np.concatenate(rows, axis=0)))
    return figures


def _radiance(
    renderer: Renderer, pose: NDArray[np.float64], look: Appearance, exposure: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return linear light, from the codes of a bracket of exposures, and where something is seen."""
    light, brighter = LightSettings(shadows=True), (16.0, 4.0, 1.0)
    frames = [renderer.render(pose, exposure=exposure * gain, appearance=look, light=light) for gain in brighter]
    found = to_linear(frames[-1].rgb)
    for frame, gain in zip(frames[::-1], brighter[::-1], strict=True):
        found = np.where(frame.rgb < 235, to_linear(frame.rgb) / np.float32(gain), found)
    return found, frames[0].depth > 0


def _matte(item: SceneObject) -> SceneObject:
    optical = replace(item.material.optical, translucency=0.0, variation=0.0, pit_contrast=0.0)
    return replace(item, material=replace(item.material, optical=optical))


def _errors(
    name: str, patient: str, ours: Float32[np.ndarray, "n 3"], theirs: Float32[np.ndarray, "n 3"]
) -> list[Figure]:
    how = "root mean square difference over the mean, linear light, without the noise of the paths"
    figures = []
    for channel, colour in enumerate(("red", "green", "blue")):
        error = float(np.sqrt(np.mean((ours[:, channel] - theirs[:, channel]) ** 2)) / theirs[:, channel].mean())
        figures.append(Figure(f"mitsuba.{name}.{colour}", patient, error, "1", n=len(ours), how=how))
    return figures

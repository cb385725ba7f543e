"""`trocar gallery`: one picture of frames in several patients, and of each degradation at three severities."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from assets.errors import InputError
from assets.sources import load_source, resolve_patients
from scenarios.colonoscopy import endoscope_camera
from scenarios.lumen_line import lumen_line
from scenarios.pictures import image_bytes
from scenarios.progress import progress
from scenarios.render_command import poses_along, settled
from sim.atomic import atomic_file
from sim.degradations.degrade import degrade
from sim.degradations.settings import AXES, single
from sim.exposure import AutoExposure
from sim.frame import Frame
from sim.render.appearance import Appearance, LightSettings
from sim.render.randomiser import draw_appearance
from sim.render.renderer import Renderer
from sim.scene_objects import objects_of

SEVERITIES = (0.3, 0.6, 1.0)
_COLUMNS = 8  # frames in a row; two degradations are side by side
_BAR = 18  # px: height of a row's caption
_SETTLING_ROUNDS = 6
_BACK, _TURN = 0.006, 0.12  # m and rad in a tenth of a second: the camera's motion, for motion blur and rolling shutter


@dataclass(frozen=True)
class GalleryOptions:
    """Draw frames along patients, and one frame under each degradation at three severities, in one picture."""

    out: Path
    """The picture, .png or .jpg."""
    patients: tuple[str, ...] = ("synth:colon:7",)
    """Patient folders, or synth:ANATOMY:SEED, a row each; the first one is degraded."""
    size: int = 200
    """Width and height of a frame [px]."""
    seed: int = 3
    """Of the degradations' patterns."""

    def __post_init__(self) -> None:
        if not 32 <= self.size <= 1024:
            raise InputError(f"gallery: expected a size within 32 and 1024 px, found {self.size}")
        if self.out.suffix.lower() not in (".png", ".jpg"):
            raise InputError(f"gallery: expected a .png or .jpg to write, found {self.out}")


def gallery(options: GalleryOptions) -> None:
    """Write the picture.

    Raises:
        InputError: A patient cannot be had, or has no centreline.
        OSError: The picture cannot be written.
    """
    sources = resolve_patients(options.patients)
    rows: list[NDArray[np.uint8]] = []
    degraded: Frame | None = None
    with progress("drawing", len(sources) + 1) as advance:
        for source in sources:
            frames, looks = _along(source, options)
            caption = source if source.startswith("synth:") else Path(source).name
            rows.append(_row([frame.rgb for frame in frames], caption))
            if degraded is None:
                degraded = frames[_COLUMNS // 2]
                rows.append(_row([frame.rgb for frame in looks], "drawn looks of one view; the last in narrow bands"))
            advance()
        assert degraded is not None
        cells = [_degradation(degraded, axis, options.seed) for axis in AXES]
        rows += [np.concatenate(cells[place : place + 2], axis=1) for place in range(0, len(cells), 2)]
        advance()
    with atomic_file(options.out) as stream:
        stream.write(image_bytes(np.concatenate(rows, axis=0), options.out.suffix.lower()[1:]))


def _along(source: str, options: GalleryOptions) -> tuple[list[Frame], list[Frame]]:
    """Return frames along a patient's first centreline in a lumen, and one of them under other looks."""
    patient = load_source(source)
    line = lumen_line(patient)
    if line is None:
        raise InputError(f"gallery: expected a patient with a centreline in a lumen, found none in {source}")
    rng = np.random.default_rng(options.seed)
    looks = [draw_appearance(rng) for _ in range(_COLUMNS - 1)] + [Appearance(narrow_band=True)]
    with Renderer(objects_of(patient), endoscope_camera(options.size, options.size)) as renderer:
        frames = [settled(renderer, pose) for pose in poses_along(line, _COLUMNS)]
        pose = frames[_COLUMNS // 2].T_world_camera
        exposures = [_exposure(renderer, pose, look) for look in looks]
        shadowed = LightSettings(shadows=True)
        return frames, renderer.render_looks(pose, looks, exposure=exposures, light=shadowed)


def _exposure(renderer: Renderer, pose: NDArray[np.float64], look: Appearance) -> float:
    """Return the gain at which the automatic exposure settles."""
    exposure = AutoExposure()
    for _ in range(_SETTLING_ROUNDS):
        renderer.render(pose, exposure=exposure.gain, appearance=look)
        exposure.update(renderer.metered, 1.0)
    return exposure.gain


def _degradation(frame: Frame, axis: str, seed: int) -> NDArray[np.uint8]:
    """Lay a clean frame and three severities side by side."""
    before = frame.T_world_camera.copy()
    cosine, sine = np.cos(_TURN), np.sin(_TURN)
    before[:3, 3] -= _BACK * before[:3, 2]
    before[:3, :3] = before[:3, :3] @ np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    wrong = [degrade(frame, single(axis, one, seed=seed), T_world_camera_before=before).rgb for one in SEVERITIES]
    levels = ", ".join(f"{one:g}" for one in SEVERITIES)
    return _row([frame.rgb, *wrong], f"{axis.replace('_', ' ')}: 0, {levels}")


def _row(pictures: list[UInt8[np.ndarray, "h w 3"]], caption: str) -> NDArray[np.uint8]:
    row = np.concatenate(pictures, axis=1)
    bar = np.full((_BAR, row.shape[1], 3), 30, np.uint8)
    cv2.putText(bar, caption, (6, _BAR - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (235, 235, 235), 1, cv2.LINE_AA)
    return np.concatenate([bar, row], axis=0)

"""Films of scopes under way: `python -m scenarios.films sigmoid --out DIR` and `... bronchus --out DIR`.

The oracle drives; on the right is what the scope sees, on the left the scope in the see-through organ. Each writes an
MP4 file and a film strip as JPEG.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import tyro
from jaxtyping import UInt8
from numpy.typing import NDArray

from assets.sources import load_source
from scenarios.colonoscopy import COLONOSCOPY, NEAR, endoscope_camera
from scenarios.colonoscopy_episode import ColonoscopyEpisode
from scenarios.drivers.bronchial import BronchialSteering
from scenarios.drivers.oracle import Oracle
from scenarios.interface import Observation
from sim.atomic import atomic_file
from sim.bronchoscopy import BronchoscopyScene
from sim.camera import Camera
from sim.control_step import CONTROL_STEP
from sim.scene import ColonoscopyScene
from sim.scope_state import ScopeCommand, ScopeState
from sim.tubular_scene import TubularScene
from sim.wall_distance import lumen_of

Image = UInt8[np.ndarray, "h w 3"]
_STRIP = 6  # pictures
_STEEL, _TIP, _PAPER = (60, 62, 66), (205, 60, 40), 250.0
_END = 0.008  # [m] before the end of its line at which the bronchoscope has arrived


@dataclass(frozen=True)
class FilmOptions:
    """Film a scope under way."""

    what: tyro.conf.Positional[Literal["sigmoid", "bronchus"]]
    """A colonoscope passing the sigmoid, or a bronchoscope on its way into a segmental bronchus."""
    out: Path
    """Folder of WHAT.mp4 and WHAT.jpg."""
    seed: int = 7
    """Of the synthetic anatomy."""
    line: str = "bronchi_B6_right"
    """Way of the bronchoscope."""
    size: int = 360
    """Height of the picture [px]."""
    steps: int = 160
    """Control steps at most."""


class Outside:
    """Draws an organ as if it were of glass, seen from the front, with the scope in it."""

    def __init__(self, scene: TubularScene, last: int, size: int) -> None:
        """Draw the organ about the first `last` points of the way, once."""
        line = scene.passage.line.points[: last + 1]
        mesh = lumen_of(scene.patient, scene.passage.lumen)[1]
        low, high = line.min(0) - 0.04, line.max(0) + 0.04
        self._middle = (low + high) / 2
        self._scale = (size - 1) / max(high[0] - low[0], high[2] - low[2])
        self._size = size
        corners = mesh.vertices[mesh.triangles].astype(np.float64)
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = np.linalg.norm(normal, axis=1)
        # Glass is dark where one looks along it: a triangle weighs by its area, less what it shows of its face.
        rim = (area - np.abs(normal[:, 1])) * self._scale**2
        near = np.all((corners.mean(1) > low) & (corners.mean(1) < high), axis=1)
        pixels = self._pixels(corners.mean(1)[near])
        shade = np.zeros((size, size))
        inside = np.all((pixels >= 0) & (pixels < size), axis=1)
        np.add.at(shade, tuple(pixels[inside].astype(int).T[::-1]), rim[near][inside])
        shade = 1 - np.exp(-0.35 * cv2.GaussianBlur(shade, (0, 0), 1.6))
        tint = np.array([235.0, 150.0, 140.0])
        self._background = (_PAPER - shade[..., None] * (_PAPER - tint) * 1.1).clip(0, 255).astype(np.uint8)
        self._width = max(2, round(2 * scene.scope_device.tube_radius * self._scale))

    def __call__(self, state: ScopeState) -> Image:
        """Return the organ with the scope in it."""
        picture = self._background.copy()
        points = np.round(self._pixels(state.nodes)).astype(np.int32)
        cv2.polylines(picture, [points], False, _STEEL, self._width, cv2.LINE_AA)
        cv2.polylines(picture, [points], False, (150, 152, 156), max(1, self._width // 4), cv2.LINE_AA)
        cv2.polylines(picture, [points[:3]], False, _TIP, self._width, cv2.LINE_AA)
        return picture

    def _pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Project along y; the patient's left is on the right, as one stands before them."""
        half = self._size / 2
        aside = half - (points[:, 0] - self._middle[0]) * self._scale
        down = half - (points[:, 2] - self._middle[2]) * self._scale
        return np.stack([aside, down], axis=1)


def film(options: FilmOptions) -> int:
    """Drive, write both files, and return how many pictures were taken.

    Raises:
        InputError: The seed or the line cannot be used.
        OSError: The folder cannot be written.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    make = {"sigmoid": _sigmoid, "bronchus": _bronchus}[options.what]
    pictures = list(make(options))
    video = options.out / f"{options.what}.mp4"
    beside = video.with_name(f".{options.what}.mp4")  # OpenCV writes to a path, and tells the format by its end
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(beside), cv2.VideoWriter.fourcc(*"mp4v"), 1 / CONTROL_STEP, (width, height))
    for picture in pictures:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()
    beside.replace(video)
    chosen = np.linspace(0, len(pictures) - 1, _STRIP).round().astype(int)
    strip = np.concatenate([np.concatenate(np.split(pictures[index], 2, axis=1), axis=0) for index in chosen], axis=1)
    coded = cv2.imencode(".jpg", cv2.cvtColor(strip, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    with atomic_file(options.out / f"{options.what}.jpg") as stream:
        stream.write(coded.tobytes())
    return len(pictures)


def _sigmoid(options: FilmOptions) -> Iterator[Image]:
    patient = load_source(f"synth:colon:{options.seed}")
    driver = Oracle()
    with ColonoscopyScene(patient, camera=endoscope_camera(options.size, options.size), threads=1) as scene:
        end = patient.landmarks["sigmoid_descending"]
        away = np.linalg.norm(scene.passage.line.points - end, axis=1)
        outside = Outside(scene, int(np.argmin(away)), options.size)
        episode = ColonoscopyEpisode(scene, options.seed, COLONOSCOPY.friction, None, None)

        def look() -> tuple[Image, ScopeCommand]:
            frame, truth, readings = episode.observe()
            said = driver.perceive(Observation(frame.rgb, frame.camera, readings, truth))
            return frame.rgb, driver.act(said, readings, "insertion")

        def passed() -> bool:
            return bool(np.linalg.norm(scene.state.T_world_camera[:3, 3] - end) < NEAR)

        def move(command: ScopeCommand) -> None:
            episode.step(command, "insertion")

        yield from _filmed(scene, outside, look, move, passed, options.steps)


def _bronchus(options: FilmOptions) -> Iterator[Image]:
    patient = load_source(f"synth:bronchi:{options.seed}")
    steering = BronchialSteering()
    camera = Camera.with_fov(options.size, options.size, 120.0)
    with BronchoscopyScene(patient, camera=camera, line=options.line, threads=1) as scene:
        outside = Outside(scene, len(scene.passage.line.points) - 1, options.size)

        def look() -> tuple[Image, ScopeCommand]:
            direction, _ = scene.guide.lumen_direction(scene.state.T_world_camera, scene.guide.arc)
            return scene.observe().rgb, steering.towards(direction)

        def arrived() -> bool:
            return scene.guide.arc > scene.guide.length - _END

        def move(command: ScopeCommand) -> None:
            scene.step(command)

        yield from _filmed(scene, outside, look, move, arrived, options.steps)


def _filmed(
    scene: TubularScene,
    outside: Outside,
    look: Callable[[], tuple[Image, ScopeCommand]],
    move: Callable[[ScopeCommand], None],
    done: Callable[[], bool],
    steps: int,
) -> Iterator[Image]:
    """Yield a picture a control step, until `done` or `steps` are over."""
    for _ in range(steps):
        rgb, command = look()
        yield np.concatenate([outside(scene.state), rgb], axis=1)
        if done() or scene.state.fault:
            return
        move(command)


if __name__ == "__main__":
    film(tyro.cli(FilmOptions))

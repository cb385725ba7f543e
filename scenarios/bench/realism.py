"""How near simulated colonoscopy frames are to real ones: statistics of light, colour, highlights and detail."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float64, UInt8
from numpy.typing import NDArray

from assets.errors import InputError
from assets.patient import Organ, Patient
from assets.sources import load_source
from assets.transforms import look_along
from perception.real_frames import read_real_frame, real_frame_paths
from scenarios.colonoscopy import endoscope_camera
from scenarios.figures import Figure
from scenarios.frame_statistics import SIDE, FrameStatistics, distance, frame_statistics
from scenarios.pictures import image_bytes
from sim.atomic import atomic_file
from sim.exposure import AutoExposure
from sim.render.randomiser import draw_appearance
from sim.render.renderer import Renderer
from sim.scene_objects import objects_of

PATIENTS = ("synth:polyposis:11", "synth:colon:3")
"""Whose colons are rendered: every real frame shows a polyp, so polyps must be common."""
FRAMES = 40
"""Frames of each patient, each under a look of its own."""
_TOWARDS_POLYP = 0.75
"""Share of the frames that look at a polyp; the others look along the lumen."""
_NEAR, _FAR = 0.008, 0.035  # m along the course between the camera and the polyp that it looks at
_SETTLING_FRAMES, _SETTLING_TIME = 6, 1.0
_SHOWN, _IN_A_ROW = 160, 10  # px of a picture in the sheet, and pictures in a row


def bench_realism(folder: Path, *, first: int | None = None, seed: int = 5, sheet: Path | None = None) -> list[Figure]:
    """Compare frames of drawn looks with real frames.

    Args:
        folder: With the real frames, in `images` and `masks`; the masks are not used.
        first: Only so many real frames, by name from the first; None for all.
        seed: Of the views and looks.
        sheet: A .png or .jpg to write, real frames above simulated ones; None for none.

    Returns:
        For each statistic the median over the frames, of the real and of the simulated ones, with the 10th and the 90th
        percentile of the frames as low and high; and for each histogram the earth mover's distance between both, beside
        that between two halves of the real frames, which is what chance alone makes of it.

    Raises:
        InputError: There are fewer than two real frames with content.
        OSError: The sheet cannot be written.
    """
    pairs = real_frame_paths(folder)[:first]
    pictures = [read_real_frame(*pair).rgb for pair in pairs]
    real = [found for rgb in pictures if (found := frame_statistics(rgb)) is not None]
    if len(real) < 2:
        raise InputError(f"{folder}: expected at least two frames with content, found {len(real)}")
    made = list(simulated_frames(seed))
    simulated = [found for rgb in made if (found := frame_statistics(rgb)) is not None]
    if sheet is not None:
        rows = [*_rows([_square(rgb) for rgb in pictures[: 2 * _IN_A_ROW]])]
        rows += _rows([_square(rgb) for rgb in made[:: max(1, len(made) // (3 * _IN_A_ROW))][: 3 * _IN_A_ROW]])
        with atomic_file(sheet) as stream:
            stream.write(image_bytes(np.concatenate(rows), "jpg" if sheet.suffix == ".jpg" else "png"))
    return [
        *_medians("real", f"{folder.name}, first {len(real)}", real),
        *_medians("simulated", f"{', '.join(PATIENTS)}, seed {seed}", simulated),
        *_distances("simulated", simulated, real),
        *_distances("real_halves", real[::2], real[1::2]),
    ]


def simulated_frames(seed: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Render colonoscopy frames, each under a drawn look, with the exposure settled.

    Args:
        seed: Of the views and the looks.
    """
    rng = np.random.default_rng(seed)
    for source in PATIENTS:
        patient = load_source(source)
        seen = [item for item in objects_of(patient) if item.kind == "lumen" or item.name.startswith("polyp")]
        with Renderer(seen, endoscope_camera(SIDE, SIDE)) as renderer:
            for index, pose in enumerate(_views(patient, FRAMES, rng)):
                look, exposure = draw_appearance(rng), AutoExposure()
                for _ in range(_SETTLING_FRAMES):
                    frame = renderer.render(pose, exposure=exposure.gain, appearance=look, seed=index)
                    exposure.update(renderer.metered, _SETTLING_TIME)
                yield frame.rgb


def _views(patient: Patient, count: int, rng: np.random.Generator) -> Iterator[Float64[np.ndarray, "4 4"]]:
    """Yield camera poses beside the centreline, most of them towards a polyp."""
    points = patient.centrelines[0].points
    step = float(np.linalg.norm(np.diff(points, axis=0), axis=1).mean())
    polyps: Sequence[Organ] = [organ for organ in patient.organs if organ.label == "polyp"]
    for index in range(count):
        away = float(rng.choice([-1.0, 1.0]))
        if polyps and index < _TOWARDS_POLYP * count:
            target = polyps[int(rng.integers(len(polyps)))].surface.vertices.mean(axis=0).astype(np.float64)
            nearest = int(np.linalg.norm(points - target, axis=1).argmin())
            place = int(np.clip(nearest + away * rng.uniform(_NEAR, _FAR) / step, 0, len(points) - 1))
            eye = points[place] + rng.uniform(-0.003, 0.003, 3)
            towards = target - eye + rng.normal(0, 0.2, 3) * np.linalg.norm(target - eye)
        else:
            place = int(rng.integers(20, len(points) - 20))
            eye = points[place]
            towards = points[place + int(10 * away)] - eye + rng.normal(0, 0.003, 3)
        yield look_along(towards, rng.normal(size=3), eye)


def _medians(name: str, subset: str, group: Sequence[FrameStatistics]) -> list[Figure]:
    how = "median over the frames; low and high: 10th and 90th percentile of the frames"
    figures = []
    for statistic in group[0].values:
        values = np.array([one.values[statistic] for one in group])
        low, middle, high = (float(one) for one in np.quantile(values, [0.1, 0.5, 0.9]))
        figures.append(Figure(f"realism.{name}.{statistic}", subset, middle, "1", low, high, len(group), how))
    return figures


def _distances(name: str, one: Sequence[FrameStatistics], other: Sequence[FrameStatistics]) -> list[Figure]:
    how = "earth mover's distance of the mean histograms, as a share of the axis"
    return [
        Figure(f"realism.{name}.distance.{channel}", "histograms", value, "1", n=len(one) + len(other), how=how)
        for channel, value in distance(one, other).items()
    ]


def _square(rgb: UInt8[np.ndarray, "h w 3"]) -> NDArray[np.uint8]:
    """Fit a picture into a square."""
    scale = _SHOWN / max(rgb.shape[:2])
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cell = np.zeros((_SHOWN, _SHOWN, 3), np.uint8)
    cell[: small.shape[0], : small.shape[1]] = small[:_SHOWN, :_SHOWN]
    return cell


def _rows(cells: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    cells = cells + [np.zeros_like(cells[0])] * (-len(cells) % _IN_A_ROW)
    return [np.concatenate(cells[first : first + _IN_A_ROW], axis=1) for first in range(0, len(cells), _IN_A_ROW)]

"""`trocar evaluate-real`: a network that has seen simulated frames alone, on real frames with masks of one class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray

from assets.errors import InputError
from perception.metrics import bootstrap_by_group, confusion, segmentation_scores
from perception.prediction import CLASSES
from perception.real_frames import RealFrame, centred_disc, mean_mask, read_real_frame, real_frame_paths
from perception.tasks import TASKS
from scenarios.figures import Figure
from scenarios.models import model_named, shipped_model
from scenarios.pictures import film_strip, image_bytes
from scenarios.progress import progress
from scenarios.runs import start_run
from sim.atomic import atomic_file

_SCORES = ("dice", "iou", "precision", "recall")
_COMMON = (256, 256)  # shape of the mean mask, which is then scaled to each picture
_SHOWN = 180  # px: height of a picture in the contact sheet


@dataclass(frozen=True)
class EvaluateRealOptions:
    """Measure a model on real frames with masks of one class; DIR holds `images` and `masks` with the same names."""

    folder: tyro.conf.Positional[Path]
    """DIR, with images/NAME.jpg and masks/NAME.jpg (or .png ...); a mask is set where it is brighter than 127."""
    model: str | None = None
    """A .safetensors of ours, an .onnx, or file.py:name, a callable (rgb, exposure) -> Prediction; if not given, the
    one for stills of polyps that comes with trocar."""
    label: str = "polyp"
    """The class that the masks mark."""
    exposure: float = 1.0
    """The reading of the device's gain that the network is told, since real frames come without."""
    first: int | None = None
    """Only so many frames, by name from the first."""
    last: int | None = None
    """Only so many frames, by name up to the last."""
    out: Path | None = None
    """Folder for compared.png: every frame with the true mask and the predicted one, worst first."""

    def __post_init__(self) -> None:
        known = dict.fromkeys(name for task in TASKS.values() for name in task.classes[1:])
        if self.label not in known:
            raise InputError(f"evaluate-real: expected a class of {', '.join(known)}, found {self.label!r}")
        if not (np.isfinite(self.exposure) and self.exposure > 0):
            raise InputError(f"evaluate-real: expected a positive exposure, found {self.exposure}")
        given = [value for value in (self.first, self.last) if value is not None]
        if len(given) > 1 or any(value < 1 for value in given):
            raise InputError(
                f"evaluate-real: expected first or last, of at least 1, found {self.first} and {self.last}"
            )


def evaluate_real(options: EvaluateRealOptions) -> list[Figure]:
    """Score the model on each frame, beside two baselines that know nothing of the picture.

    The mean mask comes from the other frames (each frame's own is left out); the centred disc covers as much of the
    picture as these masks do on average.

    Raises:
        InputError: A frame or the model cannot be read, or nothing is left to measure.
        OSError: The folder cannot be written.
    """
    pairs = real_frame_paths(options.folder)
    pairs = pairs[: options.first] if options.first is not None else pairs[-(options.last or len(pairs)) :]
    if len(pairs) < 2:
        raise InputError(f"{options.folder}: expected at least 2 frames, found {len(pairs)}")
    model = options.model or str(shipped_model("polyp_stills"))
    predict = model_named(model)
    if options.out is not None:
        start_run(options.out, "trocar evaluate-real", options)
    config = getattr(predict, "config", None)
    classes = CLASSES if config is None else config.task.classes
    if options.label not in classes:
        raise InputError(f"{model}: expected a model that tells {options.label}, found {', '.join(classes)}")
    index = classes.index(options.label)
    frames: list[RealFrame] = []
    said: list[NDArray[np.bool_]] = []
    with progress("looking at real frames", len(pairs)) as advance:
        for image, mask in pairs:
            frame = read_real_frame(image, mask)
            prediction = predict(frame.rgb, options.exposure)
            if prediction.classes.shape != frame.mask.shape:
                raise InputError(
                    f"{model}: expected a prediction of the picture's shape {frame.mask.shape}, "
                    f"found {prediction.classes.shape}"
                )
            frames.append(frame)
            said.append(prediction.classes == index)
            advance()
    subset = f"{options.folder.name}/{_which(options)}"
    scores = {"model": np.array([_scores(mask, frame.mask) for mask, frame in zip(said, frames, strict=True)])}
    scores["mean_mask"], scores["centred_disc"] = _baselines(frames)
    figures = [figure for subject in scores for figure in _figures(subject, options.label, scores[subject], subset)]
    for baseline in ("mean_mask", "centred_disc"):
        margin = scores["model"][:, 0] - scores[baseline][:, 0]
        how = f"Dice of the model less that of {baseline}, frame by frame, then the mean; 95 % interval by frame"
        figures.append(_mean(f"model.dice.{options.label}.over_{baseline}", margin, subset, how))
    if options.out is not None:
        _write_sheet(options.out / "compared.png", frames, said, scores["model"][:, 0])
    return figures


def _which(options: EvaluateRealOptions) -> str:
    return f"first{options.first}" if options.first else f"last{options.last}" if options.last else "all"


def _scores(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> list[float]:
    """Return Dice, IoU, precision and recall; precision is 0 where nothing is predicted."""
    found = segmentation_scores(confusion(said.astype(np.uint8), truth.astype(np.uint8), 2))
    return [float(np.nan_to_num(getattr(found, name)[1])) for name in _SCORES]


def _baselines(frames: Sequence[RealFrame]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean, disc = [], []
    for left_out, frame in enumerate(frames):
        others = [other for place, other in enumerate(frames) if place != left_out]
        shape = frame.mask.shape[0], frame.mask.shape[1]
        common = mean_mask(others, _COMMON).astype(np.uint8)
        scaled = cv2.resize(common, shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
        mean.append(_scores(scaled, frame.mask))
        share = float(np.mean([other.mask.mean() for other in others]))
        disc.append(_scores(centred_disc(shape, share), frame.mask))
    return np.array(mean), np.array(disc)


def _figures(subject: str, label: str, scores: NDArray[np.float64], subset: str) -> list[Figure]:
    figures = []
    for column, name in enumerate(_SCORES):
        how = "per frame, then the mean; 95 % interval by frame"
        figures.append(_mean(f"{subject}.{name}.{label}", scores[:, column], subset, how))
    how = "per frame, then the median"
    median = float(np.median(scores[:, 0]))
    return [*figures, Figure(f"{subject}.dice.{label}.median", subset, median, "1", n=len(scores), how=how)]


def _mean(name: str, values: NDArray[np.float64], subset: str, how: str) -> Figure:
    frames = np.arange(len(values)).astype(str)
    value, low, high = bootstrap_by_group(values, frames, np.random.default_rng(0))
    return Figure(name, subset, value, "1", low=low, high=high, n=len(values), how=how)


def _write_sheet(
    path: Path, frames: Sequence[RealFrame], said: Sequence[NDArray[np.bool_]], dice: NDArray[np.float64]
) -> None:
    tiles = []
    for place in np.argsort(dice, kind="stable"):
        rgb = frames[place].rgb
        width = round(_SHOWN * rgb.shape[1] / rgb.shape[0])
        for mask, colour in ((None, None), (frames[place].mask, (0, 158, 115)), (said[place], (240, 228, 66))):
            shown = cv2.resize(rgb, (width, _SHOWN), interpolation=cv2.INTER_AREA)
            if mask is not None and colour is not None:
                small = cv2.resize(mask.astype(np.uint8), (width, _SHOWN), interpolation=cv2.INTER_NEAREST)
                outlines, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
                cv2.drawContours(shown, outlines, -1, colour, 2)
            tiles.append(shown)
    with atomic_file(path) as stream:
        stream.write(image_bytes(film_strip(tiles, columns=6)))

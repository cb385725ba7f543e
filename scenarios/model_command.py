"""`trocar model`: a trained network for other runtimes, with another operating point, and for its readers."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro

from assets.errors import InputError
from perception.calibration import calibrate_alarms
from perception.checkpoint import load_model, save_model
from perception.dataset import load_split
from perception.device import choose_device
from perception.evaluate import subset_name
from perception.model_card import write_model_card
from perception.onnx_model import OnnxPredictor, export_onnx
from perception.predictor import Predictor
from scenarios.figures import Figure
from sim.shards import file_sha256

_COMPARED = 8  # made-up frames
_MAPS = ("probabilities", "depth", "depth_scale", "lumen_direction", "lumen_visible", "uncertainty")


@dataclass(frozen=True)
class ExportOptions:
    """Write a trained network as an ONNX file and compare both."""

    model: tyro.conf.Positional[Path]
    """A .safetensors of ours."""
    file: tyro.conf.Positional[Path]
    """The .onnx to write."""

    def __post_init__(self) -> None:
        if self.file.suffix != ".onnx":
            raise InputError(f"model export: expected a file that ends in .onnx, found {self.file}")


@dataclass(frozen=True)
class CalibrateOptions:
    """Fit anew how sure a trained network must be of a polyp for an alarm, as a training does at its end."""

    model: tyro.conf.Positional[Path]
    """A .safetensors of ours."""
    data: Path
    """Data set with a split `validation` of patients that the network was not trained on."""
    out: Path | None = None
    """The .safetensors to write; if not given, the model itself is replaced."""
    split: str = "validation"
    """Which split of it."""

    def __post_init__(self) -> None:
        if self.out is not None and self.out.suffix != ".safetensors":
            raise InputError(f"model calibrate: expected a file that ends in .safetensors, found {self.out}")


@dataclass(frozen=True)
class CardOptions:
    """Write what there is to know about a trained network beside it, as Markdown."""

    model: tyro.conf.Positional[Path]
    """A .safetensors of ours."""


def export(options: ExportOptions) -> list[Figure]:
    """Write the file, read it back, and return how far its predictions are from the network's.

    Raises:
        InputError: The model cannot be read, or the extra is not installed.
        OSError: The folder cannot be written.
    """
    network, config = load_model(options.model)
    export_onnx(options.file, network, config)
    ours, theirs = Predictor.load(options.model, device="cpu"), OnnxPredictor.load(options.file)
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(_COMPARED):
        image = rng.integers(0, 256, (config.camera.height, config.camera.width, 3), dtype=np.uint8)
        exposure = float(np.exp(rng.uniform(-1, 1)))
        a, b = ours(image, exposure), theirs(image, exposure)
        worst = max(worst, *(float(np.abs(np.subtract(getattr(a, name), getattr(b, name))).max()) for name in _MAPS))
    size = f"{config.camera.width} x {config.camera.height} px"
    how = f"largest difference to PyTorch in {', '.join(_MAPS)}; {_COMPARED} frames of noise, {size}"
    weight = options.file.stat().st_size / 1e6
    return [
        Figure("model.onnx.difference", options.file.name, worst, "1", n=_COMPARED, how=how),
        Figure("model.onnx.size_mb", options.file.name, weight, "MB", how="of the file"),
    ]


def recalibrate(options: CalibrateOptions) -> list[Figure]:
    """Fit the operating point of the alarms, write the network, and return what its alarms do on the split.

    Raises:
        InputError: Model or data cannot be read, or they do not belong together.
        OSError: The folder cannot be written.
    """
    network, config = load_model(options.model)
    frames = load_split(options.data, options.split)
    if "centres" not in config.task.heads or frames.task is not config.task:
        raise InputError(
            f"{options.model}: expected a model for colonoscopy and frames for it, found them for "
            f"{config.task.name} and {frames.task.name}"
        )
    if frames.camera != config.camera:
        raise InputError(f"{options.data}: expected the model's camera {config.camera}, found {frames.camera}")
    device = choose_device("cpu")
    shift, rate = calibrate_alarms(network, frames, device)
    before = config.training.get("calibration", {})
    fitted = before | {
        "centre_shift": float(before.get("centre_shift", 0.0)) + shift,
        "alarms_found": rate.found,
        "false_alarms_per_minute": rate.false_alarms_per_minute,
        "refitted_sha256": before.get("refitted_sha256") or file_sha256(options.model),  # as it was trained
    }
    save_model(
        options.out or options.model, network, replace(config, training=config.training | {"calibration": fitted})
    )
    subset, how = subset_name(options.data, options.split), f"{len(frames)} frames, each held until the next"
    found = [] if rate.found is None else [("alarms_found", rate.found, "1", f"polyps that an alarm hits; {how}")]
    rows = [
        *found,
        ("false_alarms_per_minute", rate.false_alarms_per_minute, "1/min", how),
        ("centre_shift", shift, "1", "added now"),
    ]
    return [Figure(f"model.calibration.{name}", subset, value, unit, how=text) for name, value, unit, text in rows]


def card(options: CardOptions) -> None:
    """Write MODEL.md beside the model.

    Raises:
        InputError: The model cannot be read.
        OSError: The folder cannot be written.
    """
    print(write_model_card(options.model))

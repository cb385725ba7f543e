"""`trocar model export` and `trocar model card`: a trained network for other runtimes, and for its readers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from assets.errors import InputError
from perception.checkpoint import load_model
from perception.model_card import write_model_card
from perception.onnx_model import OnnxPredictor, export_onnx
from perception.predictor import Predictor
from scenarios.figures import Figure

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


def card(options: CardOptions) -> None:
    """Write MODEL.md beside the model.

    Raises:
        InputError: The model cannot be read.
        OSError: The folder cannot be written.
    """
    print(write_model_card(options.model))

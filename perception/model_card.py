"""What there is to know about a trained network, as Markdown: made of what the training left in its config.

The headings are those of Mitchell et al., Model cards for model reporting, FAT* 2019, doi:10.1145/3287560.3287596.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perception.checkpoint import ModelConfig, load_model
from perception.tasks import PerceptionTask
from sim.atomic import atomic_file

_SHOWN = (
    "model.dice.mean",
    "model.dice.polyp",
    "model.precision.polyp",
    "model.recall.polyp",
    "model.dice.lumen",
    "model.dice.liver",
    "model.dice.instrument",
    "model.depth.abs_rel",
    "model.depth.delta_1_25",
    "model.direction.error_visible_deg",
    "model.direction.error_hidden_deg",
    "model.direction.visible_accuracy",
    "model.ece",
    "hue_threshold.dice.polyp",
    "hue_threshold.dice.instrument",
)


def write_model_card(model: Path) -> Path:
    """Write the card of a model beside it (`.md`) and return its path.

    Raises:
        InputError: The model cannot be read.
        OSError: The folder cannot be written.
    """
    network, config = load_model(model)
    parameters = sum(one.numel() for one in network.parameters())
    path = model.with_suffix(".md")
    with atomic_file(path) as stream:
        stream.write(model_card(config, parameters, model.stat().st_size).encode())
    return path


def model_card(config: ModelConfig, parameters: int, size: int) -> str:
    """Describe a model.

    Args:
        config: Of the model; its `training` holds options, steps, calibration and figures, as far as known.
        parameters: Number of weights.
        size: Of the file [bytes].
    """
    camera, training = config.camera, config.training
    options: Mapping[str, Any] = training.get("options", {})
    lines = [
        f"# Endoscopy network for {config.task.name}, size {config.size}",
        "",
        "Made by `trocar train`. Research software, not a medical device.",
        "",
        "## What it does",
        "",
        _abilities(config.task),
        "",
        f"- {parameters / 1e6:.2f} million weights, {size / 1e6:.1f} MB.",
        f"- Learned for {camera.width} x {camera.height} px through a {camera.model} lens, fx = {camera.fx:.1f} px. "
        "Other sizes are scaled; another lens makes distances and directions wrong.",
        "",
        "## Data and training",
        "",
        "Simulated frames alone unless the options below name real ones; splits are by patient.",
        "",
    ]
    lines += [f"- {name}: {_text(value)}" for name, value in sorted(options.items())]
    lines += [f"- steps: {_text(training.get('step'))}"]
    calibration: Mapping[str, Any] = training.get("calibration", {})
    if calibration:
        lines += ["", "Calibrated after training on the validation patients:", ""]
        lines += [f"- {name}: {_text(value)}" for name, value in sorted(calibration.items())]
    lines += ["", "## Figures", "", *_table(training.get("figures", []))]
    lines += [
        "",
        "## Limits",
        "",
        "- Learned from simulated patients. On real frames it has to be measured anew (`trocar evaluate-real`).",
        "- Depth needs the true gain of the exposure; without it only its shape means something.",
        "- Its uncertainty is calibrated on simulated patients like those it learned from, not on anything else.",
        "- It tells no finding but what is named above, and must not be used on patients.",
        "",
    ]
    return "\n".join(lines)


def _abilities(task: PerceptionTask) -> str:
    far = "" if task.lumen_distance is None else f"; lumen is what lies beyond {1000 * task.lumen_distance:.0f} mm"
    centres = f", and the centres of what is {task.classes[task.sought]}" if "centres" in task.heads else ""
    return (
        f"From one frame and the gain of its exposure it tells each pixel's class ({', '.join(task.classes)}{far}), "
        f"its depth and how uncertain both are, the direction of {task.aim} and whether it is seen{centres}."
    )


def _table(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for figure in figures:
        if figure["name"] not in _SHOWN or figure["value"] is None:
            continue
        low, high = figure.get("low"), figure.get("high")
        interval = f"{low:.3g} to {high:.3g}" if low is not None and high is not None else ""
        unit = "" if figure["unit"] == "1" else f" {figure['unit']}"
        rows.append(f"| {figure['name']} | {figure['subset']} | {figure['value']:.3g}{unit} | {interval} |")
    if not rows:
        return ["None are kept with the model."]
    how = "Classes pooled per patient; an absent class that is not predicted is left out; 95 % intervals by patient."
    return ["| figure | on | value | 95 % interval |", "|---|---|---|---|", *rows, "", how]


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

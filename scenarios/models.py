"""Models by what a user types: weights of ours, an ONNX file, or a callable of theirs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import perception
from assets.errors import InputError
from perception.prediction import Prediction
from sim.shards import file_sha256

if TYPE_CHECKING:
    from perception.onnx_model import OnnxPredictor
    from perception.predictor import Predictor

Predict = Callable[..., Prediction]
"""(rgb, exposure) to a prediction."""

SHIPPED = Path(perception.__file__).with_name("shipped")
"""The models that come with trocar, each with its card: one a task (`TASK.safetensors`, `TASK.md`) to drive, and
`polyp_stills` for pictures of polyps that people took."""


def shipped_model(task: str) -> Path:
    """Return the model that comes with trocar for a task, or for `polyp_stills`.

    Raises:
        InputError: There is none.
    """
    path = SHIPPED / f"{task}.safetensors"
    if not path.is_file():
        there = ", ".join(sorted(one.stem for one in SHIPPED.glob("*.safetensors"))) or "no task"
        raise InputError(f"model: expected --model FILE for {task}, found none; a model comes with trocar for {there}")
    return path


def model_content(model: str | None, task: str) -> dict[str, str]:
    """Return what a run's config says of the network that drives: the SHA-256 of its file, where it is one.

    Args:
        model: As for `model_named`; None for the one that comes with trocar.
        task: The task's name.

    Raises:
        InputError: None comes with trocar for the task.
        OSError: The file cannot be read.
    """
    path = Path(model) if model is not None else shipped_model(task)
    return {"model_sha256": file_sha256(path)} if path.is_file() else {}


def model_named(model: str, task: str | None = None) -> Predict:
    """Load a model.

    Args:
        model: A `.safetensors` of ours, an `.onnx` of `trocar model export`, or `file.py:name`.
        task: What it must be for; a user's callable does not tell. None for anything.

    Raises:
        InputError: It is missing, damaged, of another kind or for another task.
    """
    if ".py:" in model:
        from scenarios.user_code import load_object

        loaded: Predict = load_object(model, "model")
        if not callable(loaded):
            raise InputError(f"model: expected {model} to be callable, found {type(loaded).__name__}")
        return loaded
    if model.endswith(".onnx"):
        from perception.onnx_model import OnnxPredictor

        return _for_task(OnnxPredictor.load(Path(model)), model, task)
    from perception.predictor import Predictor

    return _for_task(Predictor.load(Path(model)), model, task)


def _for_task(predictor: "Predictor | OnnxPredictor", model: str, task: str | None) -> Predict:
    found = predictor.config.task
    if task is not None and found.name != task:
        raise InputError(
            f"model: expected a model for {task}, found {model}, one for {found.name} ({', '.join(found.classes)})"
        )
    return predictor

"""Models by what a user types: weights of ours, an ONNX file, or a callable of theirs."""

from collections.abc import Callable
from pathlib import Path

import perception
from assets.errors import InputError
from perception.prediction import Prediction

Predict = Callable[..., Prediction]
"""(rgb, exposure) to a prediction."""

SHIPPED = Path(perception.__file__).with_name("shipped")
"""The models that come with trocar, one a task, each with its card: `TASK.safetensors` and `TASK.md`."""


def shipped_model(task: str) -> Path:
    """Return the model that comes with trocar for a task.

    Raises:
        InputError: There is none.
    """
    path = SHIPPED / f"{task}.safetensors"
    if not path.is_file():
        there = ", ".join(sorted(one.stem for one in SHIPPED.glob("*.safetensors"))) or "no task"
        raise InputError(f"model: expected --model FILE for {task}, found none; a model comes with trocar for {there}")
    return path


def model_named(model: str) -> Predict:
    """Load a model.

    Args:
        model: A `.safetensors` of ours, an `.onnx` of `trocar model export`, or `file.py:name`.

    Raises:
        InputError: It is missing, damaged or of another kind.
    """
    if ".py:" in model:
        from scenarios.user_code import load_object

        loaded: Predict = load_object(model, "model")
        if not callable(loaded):
            raise InputError(f"model: expected {model} to be callable, found {type(loaded).__name__}")
        return loaded
    if model.endswith(".onnx"):
        from perception.onnx_model import OnnxPredictor

        return OnnxPredictor.load(Path(model))
    from perception.predictor import Predictor

    return Predictor.load(Path(model))

"""Models by what a user types: weights of ours, an ONNX file, or a callable of theirs."""

from collections.abc import Callable
from pathlib import Path

from assets.errors import InputError
from perception.prediction import Prediction

Predict = Callable[..., Prediction]
"""(rgb, exposure) to a prediction."""


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

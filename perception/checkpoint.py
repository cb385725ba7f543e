"""A trained network on disk: weights as safetensors, which run no code when read, and a config beside them as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from assets.errors import InputError
from perception.activations import Activation
from perception.network import STRIDE, Size, build
from perception.network_outputs import EndoscopyNet
from perception.targets import camera_from_json
from perception.tasks import COLONOSCOPY, PerceptionTask, task_named
from sim.atomic import atomic_file
from sim.camera import Camera

FORMAT = "trocar-endoscopy-net-2"
"""What the config calls itself; another layout of the network gets another number."""

MAX_MODEL_BYTES = 1 << 30
"""Of a model's file; the largest network has some 40 MB of weights."""

_MAX_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True)
class ModelConfig:
    """What must be known beside the weights to use them."""

    size: Size
    """Which of the network's sizes."""
    camera: Camera
    """The lens the network learned to see through."""
    training: dict[str, Any]
    """Where the weights come from: options, seed, steps, validation figures; JSON values."""
    activation: Activation = "relu"
    """Between its layers."""
    task: PerceptionTask = COLONOSCOPY
    """What it is for."""


def save_model(path: Path, network: EndoscopyNet, config: ModelConfig) -> None:
    """Write weights to `path` and the config beside it (`.json`), each under a temporary name first.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    stored = config_to_json(config)
    with atomic_file(path.with_suffix(".json")) as stream:
        stream.write(json.dumps(stored, indent=2, sort_keys=True, allow_nan=False).encode() + b"\n")
    with atomic_file(path) as stream:
        stream.write(tensor_bytes(network.state_dict()))


def load_model(path: Path) -> tuple[EndoscopyNet, ModelConfig]:
    """Read weights and config.

    Returns:
        The network on the CPU, in evaluation mode, and its config.

    Raises:
        InputError: A file is missing, damaged or of another kind, or the weights do not fit the config.
    """
    config = _load_config(path.with_suffix(".json"))
    tensors = read_tensors(path)
    network = build(config.size, config.activation, config.task)
    expected = network.state_dict()
    if set(tensors) != set(expected):
        odd = sorted(set(tensors) ^ set(expected))
        raise InputError(f"{path}: expected the {len(expected)} tensors of size {config.size}, found {odd[0]!r} amiss")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise InputError(
                f"{path}: {name}: expected {tuple(expected[name].shape)} {expected[name].dtype}, "
                f"found {tuple(tensor.shape)} {tensor.dtype}"
            )
        if not torch.isfinite(tensor).all():
            raise InputError(f"{path}: {name}: expected finite weights, found NaN or infinity")
    network.load_state_dict(tensors)
    return network.eval(), config


def tensor_bytes(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """Turn tensors into the bytes of a safetensors file."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        InputError: The file is missing, too large, cut short or of another kind.
    """
    try:
        size = path.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise InputError(f"{path}: expected at most {MAX_MODEL_BYTES} bytes of weights, found {size}")
        return load(path.read_bytes())
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path}: expected a safetensors file, found {error}") from None
    except OSError as error:
        raise InputError(f"{path}: expected a readable safetensors file, found {error.strerror}") from None


def check_image_size(camera: Camera, where: str) -> None:
    """Refuse images that the network cannot halve often enough.

    Raises:
        InputError: A side is no multiple of STRIDE.
    """
    if camera.width % STRIDE or camera.height % STRIDE:
        raise InputError(
            f"{where}: expected sides that are multiples of {STRIDE} px, found {camera.width} x {camera.height}"
        )


def config_to_json(config: ModelConfig) -> dict[str, Any]:
    """Return the config as JSON values."""
    return {
        "format": FORMAT,
        "size": config.size,
        "activation": config.activation,
        "task": config.task.name,
        "classes": list(config.task.classes),
        "heads": list(config.task.heads),
        "lumen_distance": config.task.lumen_distance,
        "camera": asdict(config.camera),
        "training": config.training,
    }


def _load_config(path: Path) -> ModelConfig:
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise InputError(f"{path}: expected at most {_MAX_CONFIG_BYTES} bytes, found {path.stat().st_size}")
        stored = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: expected the config beside the weights, found {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON, found {error}") from None
    return config_from_json(stored, str(path))


def config_from_json(stored: Any, where: str) -> ModelConfig:
    """Check a config and make it of JSON values.

    Raises:
        InputError: It does not fit this version; the line starts with `where`.
    """
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise InputError(f"{where}: expected the config of a model with format {FORMAT!r}")
    task = task_named(stored.get("task"), f"{where}: task")
    for name, wanted in (
        ("classes", list(task.classes)),
        ("heads", list(task.heads)),
        ("lumen_distance", task.lumen_distance),
    ):
        found = stored.get(name)
        if found != wanted:
            raise InputError(f"{where}: expected {name} {wanted} of a model for {task.name}, found {found!r:.100}")
    if stored.get("size") not in get_args(Size):
        raise InputError(f"{where}: expected a size of {', '.join(get_args(Size))}, found {stored.get('size')!r}")
    if stored.get("activation") not in get_args(Activation):
        raise InputError(
            f"{where}: expected an activation of {', '.join(get_args(Activation))}, found {stored.get('activation')!r}"
        )
    camera = camera_from_json(stored.get("camera"), where)
    check_image_size(camera, where)
    training = stored.get("training")
    return ModelConfig(
        stored["size"], camera, training if isinstance(training, dict) else {}, stored["activation"], task
    )

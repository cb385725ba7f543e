"""What a training is made of and what resuming it needs; on disk as safetensors, so that reading it runs no code."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from assets.errors import InputError
from perception.activations import Activation
from perception.checkpoint import load_model, read_tensors, tensor_bytes
from perception.network import Size, build
from perception.network_outputs import EndoscopyNet
from perception.tasks import COLONOSCOPY, PerceptionTask
from sim.atomic import atomic_file
from sim.camera import Camera


@dataclass
class TrainingState:
    """Everything that a step changes."""

    network: EndoscopyNet
    """The weights that learn."""
    average: EndoscopyNet
    """Their running average, which is the model."""
    optimiser: torch.optim.AdamW
    """With its moments."""
    step: int = 0
    """Steps done."""
    seconds: float = 0.0
    """Time spent on them [s], with that of runs before this one."""


def fresh_state(
    size: Size,
    seed: int,
    weight_decay: float,
    device: torch.device,
    activation: Activation = "relu",
    task: PerceptionTask = COLONOSCOPY,
    first: EndoscopyNet | None = None,
) -> TrainingState:
    """Start a training; the first weights are those of a network of this kind, or hang on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(size, activation, task)
    if first is not None:
        network.load_state_dict(first.state_dict())
    network.to(device)
    average = copy.deepcopy(network).requires_grad_(False).eval()
    parameters = list(network.parameters())
    # Norms and biases are few and set a scale: pulling them to zero only harms.
    groups = [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": weight_decay},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]
    return TrainingState(network, average, torch.optim.AdamW(groups, lr=0.0, fused=True))


def first_weights(path: Path, size: Size, activation: Activation, task: PerceptionTask, camera: Camera) -> EndoscopyNet:
    """Read the weights of a model that is learned further.

    Raises:
        InputError: They cannot be read, or belong to another network, task or lens.
    """
    network, config = load_model(path)
    wanted = {"size": size, "activation": activation, "task": task.name, "camera": camera}
    found = {"size": config.size, "activation": config.activation, "task": config.task.name, "camera": config.camera}
    for name, value in wanted.items():
        if found[name] != value:
            raise InputError(f"{path}: expected a model of {name} {value} to start from, found {found[name]}")
    return network


def update_average(average: EndoscopyNet, network: EndoscopyNet, keep: float) -> None:
    """Move the averaged weights and norms towards the network's: keep a share of them, take the rest from it."""
    means = [tensor for tensor in average.state_dict().values() if tensor.is_floating_point()]
    news = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
    torch._foreach_lerp_(means, news, 1 - keep)


def restore_norms(network: EndoscopyNet, average: EndoscopyNet) -> None:
    """Take the norms' running means from the average: a bad batch spoils the network's on its way through."""
    for own, kept in zip(network.buffers(), average.buffers(), strict=True):
        if own.is_floating_point():
            own.copy_(kept)


def save_state(path: Path, state: TrainingState, identity: Mapping[str, Any]) -> None:
    """Write the state, under a temporary name first.

    Args:
        path: A `.safetensors` file.
        state: What to keep.
        identity: The options that decide the course of the training; only these may resume it.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    tensors: dict[str, Tensor] = {}
    for kind, network in (("network", state.network), ("average", state.average)):
        tensors.update({f"{kind}.{name}": tensor for name, tensor in network.state_dict().items()})
    for number, moments in state.optimiser.state_dict()["state"].items():
        tensors.update({f"optimiser.{number}.{name}": tensor for name, tensor in moments.items()})
    progress = {"identity": dict(identity), "step": state.step, "seconds": state.seconds}
    with atomic_file(path) as stream:
        stream.write(tensor_bytes(tensors, {"progress": json.dumps(progress, sort_keys=True)}))


def load_state(path: Path, state: TrainingState, identity: Mapping[str, Any]) -> None:
    """Put what was saved into a fresh state.

    Args:
        path: What `save_state` wrote.
        state: Is filled.
        identity: The options that decide the course of the training.

    Raises:
        InputError: The file is damaged, or comes from a training with other options.
    """
    progress = _progress(path)
    found = progress.get("identity")
    if found != dict(identity):
        odd = [key for key in identity if not isinstance(found, dict) or found.get(key) != identity[key]]
        raise InputError(
            f"{path}: expected a training with the same options to resume, found another {', '.join(odd)}; "
            "give another --out or remove the folder"
        )
    tensors = read_tensors(path)
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}}
    moments: dict[int, dict[str, Tensor]] = {}
    try:
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimiser":
                number, _, key = rest.partition(".")
                # As the weights lie, or each step would copy.
                laid = tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
                moments.setdefault(int(number), {})[key] = laid
            else:
                parts[kind][rest] = tensor
        state.network.load_state_dict(parts["network"])
        state.average.load_state_dict(parts["average"])
        groups = state.optimiser.state_dict()["param_groups"]
        state.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        state.step, state.seconds = int(progress["step"]), float(progress["seconds"])
    except (KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: expected the state of a training, found {reason}; remove it to start anew") from None


def keep_log_until(path: Path, step: int) -> None:
    """Drop lines of the log from after a step: of an epoch that will be done again, or cut short.

    Raises:
        OSError: The folder cannot be written.
    """
    kept = [line for line in read_log(path) if line["step"] <= step]
    with atomic_file(path) as stream:
        stream.write("".join(json.dumps(line, sort_keys=True) + "\n" for line in kept).encode())


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the log of a training, a mapping an epoch; none if there is no log. A line cut short ends it.

    Returns:
        Each with step, epoch, seconds, learning_rate, frames_per_second, `loss` (means by part) and `validation`
        (figures by name; None where there was nothing to measure).
    """
    lines: list[dict[str, Any]] = []
    if not path.exists():
        return lines
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            break
        if not isinstance(line, dict) or not isinstance(line.get("step"), int):
            break
        lines.append(line)
    return lines


def _progress(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            progress = json.loads((file.metadata() or {}).get("progress", ""))
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(f"{path}: expected the state of a training, found {error}; remove it to start anew") from None
    return progress if isinstance(progress, dict) else {}

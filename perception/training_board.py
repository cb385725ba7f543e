"""The log of a training for TensorBoard, where it is installed."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_board(folder: Path, lines: Sequence[Mapping[str, Any]]) -> bool:
    """Write the epochs of a log as scalars by step; nothing where TensorBoard is not installed.

    Args:
        folder: For TensorBoard's files; those of a run before are removed, so that a resumed training is drawn once.
        lines: As `perception.training_state.read_log` gives them.

    Returns:
        Whether it was written.

    Raises:
        OSError: The folder cannot be written.
    """
    if importlib.util.find_spec("tensorboard") is None:
        return False
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    with SummaryWriter(str(folder)) as writer:
        for line in lines:
            scalars = {f"loss/{name}": value for name, value in line["loss"].items()}
            scalars |= {f"validation/{name}": value for name, value in line["validation"].items()}
            scalars |= {name: line[name] for name in ("learning_rate", "frames_per_second")}
            for name, value in scalars.items():
                if value is not None:
                    writer.add_scalar(name, value, line["step"])
    return True

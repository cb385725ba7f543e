"""What a training is told."""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from assets.errors import InputError
from perception.activations import Activation
from perception.network import Size
from perception.tasks import task_named
from perception.views import STILLS, WIDE, Alteration
from sim.shards import file_sha256


@dataclass(frozen=True)
class TrainOptions:
    """What to train, on what, and for how long."""

    data: Path
    """Data set with splits train, validation and maybe test."""
    out: Path
    """Folder of the training; an unfinished training with the same options is resumed."""
    task: str | None = None
    """What the network is for: colonoscopy or liver_survey; if not given, what the data were recorded for."""
    size: Size = "S"
    """Size of the network; or a baseline that sees each pixel by itself: mlp, linear."""
    activation: Activation = "relu"
    """Between its layers."""
    start: Path | None = None
    """Model (.safetensors) whose weights are learned further, of the same task, size, activation and lens; if not
    given, the training starts with random ones."""
    real: Path | None = None
    """Folder with a few real frames and masks of their polyps (images/NAME, masks/NAME) that are learned beside the
    simulated ones; needs a model to start from, which says what else is in them."""
    real_first: int = 10
    """So many of them, by name from the first."""
    real_share: float = 0.1
    """Share of an epoch's frames that they are, again and again."""
    epochs: int = 16
    """Passes over the training frames."""
    minutes: float | None = None
    """Bound of the training's time [min]; the learning rate falls in time for it."""
    batch: int = 32
    """Frames a step."""
    learning_rate: float = 2e-3
    """Peak learning rate."""
    weight_decay: float = 1e-2
    """Of AdamW."""
    polyp_share: float = 0.5
    """Share of an epoch's frames that show a polyp, or what else is sought; they are repeated as far as that needs."""
    wide: float = 0.6
    """Share of the training, from its beginning, in which frames are altered widely: magnified, or made to look like
    those of another device. So a network learns to know other scopes, more slowly; it ends with what it will see."""
    stills: bool = False
    """Learn for pictures that people have taken of polyps with any device, not for driving with the device of the data:
    frames are altered most widely, from the beginning to the end, and beliefs are made right for frames like those."""
    foreign: float | None = None
    """Share of the widely altered frames that are made to look like those of another device; if not given, 0.2, or 0.8
    for stills."""
    seed: int = 0
    """Decides the first weights, the order of the frames and how they are altered."""
    device: Literal["cpu", "cuda"] | None = None
    """Where to train; CUDA where it is there unless said."""
    threads: int = 2
    """Threads of the CPU."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the convolutions while training; auto takes bfloat16 where the hardware has it. Weights stay float32."""
    quiet: bool = False
    """Show no progress."""

    def __post_init__(self) -> None:
        for name in ("epochs", "minutes", "learning_rate", "threads"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"train: expected {name} above 0, found {value}")
        if self.batch < 2:
            raise InputError(f"train: expected a batch of at least 2 (batch norm), found {self.batch}")
        if self.real is not None and (self.start is None or self.real_first < 1 or not 0 < self.real_share <= 1):
            raise InputError(
                f"train: expected a start, a real_first of at least 1 and a real_share within 0 and 1 for real frames, "
                f"found {self.start}, {self.real_first} and {self.real_share}"
            )
        if self.foreign is not None and not 0 <= self.foreign <= 1:
            raise InputError(f"train: expected a foreign within 0 and 1, found {self.foreign}")
        if self.task is not None:
            task_named(self.task, "train: task")
        if not 0 <= self.weight_decay < math.inf or not 0 <= self.polyp_share <= 1 or not 0 <= self.wide <= 1:
            raise InputError(
                f"train: expected a weight_decay of 0 or more, polyp_share and wide within 0 and 1, "
                f"found {self.weight_decay}, {self.polyp_share} and {self.wide}"
            )

    def done(self, step: int, steps: int, seconds: float) -> float:
        """Return how far the training is, within 0 and 1."""
        spent = seconds / (60 * self.minutes) if self.minutes is not None else 0.0
        return min(1.0, max(step / steps, spent))

    def alteration(self, done: float) -> Alteration | None:
        """Return how widely frames are altered when a share of the training is done, within 0 and 1."""
        widely = STILLS if self.stills else WIDE
        if self.foreign is not None:
            widely = replace(widely, foreign=self.foreign)
        return widely if self.stills or done < self.wide else None

    def identity(self) -> dict[str, Any]:
        """Return the options that a training cannot change on its way: neither places nor speed nor when it ends.

        Raises:
            OSError: The model to start from cannot be read.
        """
        chosen = asdict(self)
        for name in ("data", "out", "start", "real", "epochs", "minutes", "device", "threads", "quiet"):
            del chosen[name]
        if self.start is not None:
            chosen |= {"start_sha256": file_sha256(self.start)}
        if self.real is None:
            del chosen["real_first"], chosen["real_share"]
        return chosen

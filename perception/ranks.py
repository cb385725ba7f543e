"""Several processes that train one network together, as `torchrun` starts them: each takes its part of every batch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as distributed
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from assets.errors import InputError


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; a training of one process has rank 0 of 1."""

    rank: int = 0
    """Of this process."""
    count: int = 1
    """Of processes."""
    local: int = 0
    """Of this process among those of its machine: which CUDA device it takes."""

    @property
    def leads(self) -> bool:
        """Whether this process writes, measures and reports."""
        return self.rank == 0

    def device(self, chosen: torch.device) -> torch.device:
        """Return the device of this process: of several CUDA devices its own."""
        return torch.device("cuda", self.local) if self.count > 1 and chosen.type == "cuda" else chosen

    def part(self, rows: Int64[np.ndarray, "batch"]) -> NDArray[np.int64]:
        """Return this process's part of a batch, as large as the others', so that gradients may be averaged.

        Batch norms see the part alone.
        """
        return rows[self.rank :: self.count]

    def generator(self, *seed: int) -> np.random.Generator:
        """Return randomness of this process's own."""
        return np.random.default_rng([*seed, self.rank] if self.rank else [*seed])

    def learner(self, network: nn.Module) -> nn.Module:
        """Return what to call in place of the network, so that gradients are averaged over all processes."""
        return network if self.count == 1 else DistributedDataParallel(network)

    def of_first(self, value: float) -> float:
        """Return the first process's value, such as its clock's, in each process."""
        if self.count == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=_where())
        distributed.broadcast(told, 0)
        return float(told)

    def all(self, sound: Tensor) -> bool:
        """Return whether it is so in every process."""
        if self.count == 1:
            return bool(sound)
        told = sound.to(_where(), torch.int32).reshape(1)
        distributed.all_reduce(told, distributed.ReduceOp.MIN)
        return bool(told)


def told_ranks() -> Ranks:
    """Return which of the processes that `torchrun` started this is; without it the only one.

    Raises:
        InputError: torchrun's variables are there in part, or are no numbers.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    given = {name: os.environ[name] for name in names if name in os.environ}
    if "WORLD_SIZE" not in given:
        return Ranks()
    if len(given) < len(names) or not all(value.isdigit() for value in given.values()):
        raise InputError(f"train: expected {', '.join(names)} as torchrun sets them, found {given}")
    return Ranks(int(given["RANK"]), int(given["WORLD_SIZE"]), int(given["LOCAL_RANK"]))


@contextmanager
def joined_ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that `torchrun` started; without it this process is alone.

    Args:
        device: Type of the device that trains: NCCL carries the gradients of CUDA devices, Gloo those of CPUs.

    Raises:
        InputError: torchrun's variables are there in part or are no numbers, or there is no CUDA device a process.
    """
    ranks = told_ranks()
    if ranks.count == 1:
        yield ranks
        return
    if device == "cuda":
        if ranks.local >= torch.cuda.device_count():
            raise InputError(f"train: expected a CUDA device a process, found {torch.cuda.device_count()}")
        torch.cuda.set_device(ranks.local)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield ranks
    finally:
        distributed.destroy_process_group()


def _where() -> torch.device:
    """Return where numbers that are told must lie: NCCL carries those of devices alone."""
    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")

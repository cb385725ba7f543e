"""A data set read from end to end, shard by shard, in a new order each epoch: for sets that fit into no memory.

Every rank and every worker of a DataLoader reads shards of its own; which, and in what order, follows from seed and
epoch alone. A stream can be left anywhere and taken up again at the very next frame.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from assets.errors import InputError
from perception.dataset import open_dataset
from sim.remote import Place
from sim.shards import Sample, read_shard

Item = TypeVar("Item")


@dataclass(frozen=True)
class Position:
    """Where a stream stands; plain numbers, fit for a checkpoint."""

    epoch: int = 0
    taken: tuple[int, ...] = ()
    """Items of this epoch that each worker has given already; none if it is empty."""


class FrameStream(IterableDataset[Item], Generic[Item]):
    """The frames of some splits, mixed within a buffer; an iterable data set for PyTorch's DataLoader.

    Ranks divide the shards, and so do the workers of each rank: every frame comes once an epoch on one of them. There
    should be as many shards as ranks times workers at least; ranks with fewer frames end sooner.
    """

    def __init__(
        self,
        folder: Place,
        splits: Sequence[str],
        transform: Callable[[Sample], Item],
        *,
        seed: int = 0,
        buffer: int = 256,
        rank: int = 0,
        ranks: int = 1,
        start: Position = Position(),
    ) -> None:
        """Open the data set; no shard is read yet.

        Args:
            folder: The data set; one at a URL is a `sim.remote.RemotePath`.
            splits: Such as train.
            transform: Makes of a sample what an item is, such as `perception.targets.sample_targets`.
            seed: Decides the order.
            buffer: Frames of which the next one is drawn; they are held as bytes. 1 keeps the shard's order.
            rank: Of this process among those that train together.
            ranks: How many there are.
            start: Where to begin.

        Raises:
            InputError: The data set is missing, or rank, ranks or buffer make no sense.
        """
        if not 0 <= rank < ranks or buffer < 1:
            raise InputError(
                f"stream: expected a rank of 0 to ranks - 1 and a buffer of at least 1, "
                f"found {rank} of {ranks}, {buffer}"
            )
        index = open_dataset(folder)
        self._shards = [
            (path, info.count)
            for split in splits
            for path, info in zip(index.paths(folder, split), index.shards[split], strict=True)
        ]
        self._transform, self._seed, self._buffer = transform, seed, buffer
        self._rank, self._ranks = rank, ranks
        self.position = start
        """Where the next iteration begins; set it between epochs, before a DataLoader starts its workers."""

    def __iter__(self) -> Iterator[Item]:
        """Go through one epoch from `position` on, on this rank and worker.

        Raises:
            InputError: A shard is missing or damaged, holds more or fewer frames than the data set says, or there are
                other workers than where the stream was left.
        """
        worker = get_worker_info()
        mine, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        given = self.position.taken or (0,) * workers
        if len(given) != workers:
            raise InputError(f"stream: expected {len(given)} workers as where it was left, found {workers}")
        share, shares = self._rank * workers + mine, self._ranks * workers
        for place, sample in enumerate(self._samples(share, shares)):
            if place >= given[mine]:  # what was taken already is read again, but not decoded
                yield self._transform(sample)

    def state(self, taken: int, workers: int = 0) -> dict[str, Any]:
        """Return what `resume` needs after `taken` items, one by one, came out of a DataLoader in this epoch.

        Args:
            taken: Items since the iteration began. A DataLoader takes one of each worker in turn, of those that have
                any left, and begins with the first of them again; so ask after a whole round.
            workers: Of the DataLoader; 0 if this process reads itself.

        Raises:
            ValueError: The round is not whole, or there are fewer items.
        """
        count = max(workers, 1)
        given = list(self.position.taken) or [0] * count
        left = []
        for each in range(count):
            mine = self._order(self._rank * count + each, self._ranks * count)
            left.append(sum(self._shards[number][1] for number in mine) - given[each])
        while taken:
            some = [each for each in range(count) if left[each] > 0]
            if not some or taken < len(some):
                raise ValueError(f"expected a whole round of {len(some)} workers' items, found {taken} in it")
            rounds = min(taken // len(some), *(left[each] for each in some))
            for each in some:
                given[each], left[each] = given[each] + rounds, left[each] - rounds
            taken -= rounds * len(some)
        return {"epoch": self.position.epoch, "taken": given}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was asked for, with the same seed, buffer, ranks and workers.

        Raises:
            InputError: It is no such state.
        """
        try:
            self.position = Position(int(state["epoch"]), tuple(map(int, state["taken"])))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"stream: expected a state with epoch and taken, found {error!r}") from None

    def _order(self, share: int, shares: int) -> list[int]:
        """Return the shards of a share, in the order of the epoch."""
        order = np.random.default_rng([self._seed, self.position.epoch]).permutation(len(self._shards))
        return [int(number) for number in order[share::shares]]

    def _samples(self, share: int, shares: int) -> Iterator[Sample]:
        """Give the samples of this share of the shards, mixed within the buffer."""
        rng = np.random.default_rng([self._seed, self.position.epoch, share])
        held: list[Sample] = []
        for number in self._order(share, shares):
            path, count = self._shards[number]
            found = 0
            for sample in read_shard(path):
                found += 1
                held.append(sample)
                if len(held) >= self._buffer:
                    yield _drawn(held, rng)
            if found != count:
                raise InputError(f"{path}: expected {count} frames as dataset.json says, found {found}")
        while held:
            yield _drawn(held, rng)


def _drawn(held: list[Sample], rng: np.random.Generator) -> Sample:
    """Take one out at random; the last takes its place."""
    place = int(rng.integers(len(held)))
    held[place], held[-1] = held[-1], held[place]
    return held.pop()

"""Any frame of a data set by its number, without reading the others: a map-style data set for PyTorch's DataLoader."""

import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from torch.utils.data import Dataset

from assets.errors import InputError
from perception.dataset import open_dataset
from sim.remote import RemotePath
from sim.shards import Sample

Item = TypeVar("Item")


@dataclass(frozen=True)
class Place:
    """Where a frame lies."""

    shard: Path | RemotePath
    key: str
    members: tuple[tuple[str, int, int], ...]
    """Name, first byte and length of each."""


class FrameDataset(Dataset[Item], Generic[Item]):
    """The frames of a split in the order of the shards; `data[17]` reads the bytes of frame 17 and nothing else.

    It holds places, not frames: some 1 kB a frame. Workers of a DataLoader may share it; each opens the shards itself.
    """

    def __init__(self, folder: Path | RemotePath, splits: Sequence[str], transform: Callable[[Sample], Item]) -> None:
        """Find every frame; the heads of the tar files are read, their content is not.

        Args:
            folder: The data set; one at a URL is a `sim.remote.RemotePath`.
            splits: Such as train.
            transform: Makes of a sample what an item is, such as `perception.targets.sample_targets`; picklable for
                workers that are spawned.

        Raises:
            InputError: The data set is missing or damaged, or a split holds more or fewer frames than it says.
        """
        index = open_dataset(folder)
        self._transform = transform
        self._places: list[Place] = []
        for split in splits:
            for path, info in zip(index.paths(folder, split), index.shards[split], strict=True):
                places = list(places_in(path))
                if len(places) != info.count:
                    raise InputError(f"{path}: expected {info.count} frames as dataset.json says, found {len(places)}")
                self._places += places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> Item:
        """Read one frame.

        Raises:
            IndexError: There is no such frame.
            InputError: Its bytes are damaged.
        """
        place = self._places[number]
        with place.shard.open("rb") as stream:
            members = {}
            for name, first, length in place.members:
                stream.seek(first)
                members[name] = stream.read(length)
                if len(members[name]) != length:
                    raise InputError(f"{place.shard}: {place.key}.{name}: expected {length} bytes, found the end")
        return self._transform(Sample(place.key, members, f"{place.shard.name}: {place.key}"))


def places_in(path: Path | RemotePath) -> Iterator[Place]:
    """Find each frame of a shard.

    Raises:
        InputError: As of `sim.shards.read_shard`, but that the content of the members is not looked at.
    """
    key, members = "", list[tuple[str, int, int]]()
    try:
        with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                found, _, name = member.name.partition(".")
                if not member.isreg() or not name or "/" in member.name:
                    raise InputError(f"{path}: expected plain files named KEY.NAME, found {member.name[:100]!r}")
                if found != key and members:
                    yield Place(path, key, tuple(members))
                    members = []
                key = found
                members.append((name, member.offset_data, member.size))
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{path}: expected a whole tar file, found {error}") from None
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: expected a shard, found no such file") from None
    if members:
        yield Place(path, key, tuple(members))

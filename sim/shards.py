"""Shards: WebDataset tar files of samples. Same samples, same bytes; a shard is there whole or not at all."""

import hashlib
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from sim import codec
from sim.atomic import atomic_file
from sim.frame import Frame
from sim.frame_meta import decode_meta
from sim.quantisation import DEPTH_STEP
from sim.remote import Place, size_of

_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")
_MEMBER = re.compile(r"(?P<key>[A-Za-z0-9_-]{1,80})\.(?P<name>[A-Za-z0-9_.]{1,40})")
_MAX_MEMBER = 256 << 20  # bytes: a 16 bit, three-channel image of 8192 x 4096 px that does not compress
_MAX_MEMBERS = 64  # a sample
_FILTERS = ("patient", "split", "seed", "step", "time", "lumen_visible", "geometry", "look", "view")


@dataclass(frozen=True)
class Sample:
    """One frame in a shard: its members as bytes. Decode only the channels that are needed."""

    key: str
    """Unique within the data set; letters, digits, `_` and `-`."""
    members: Mapping[str, bytes]
    """rgb.png, semantic.png, instance.png, depth.png, normal.png, meta.json, maybe others of `sim.conventions`."""
    where: str = "sample"
    """The place that errors name, such as `train-000003.tar: 000017`."""

    def frame(self) -> Frame:
        """Decode every channel.

        Raises:
            InputError: A member is missing or damaged, or the channels differ in size.
        """
        return codec.decode_frame(self.members, self.where)

    def channel(self, channel: codec.Channel) -> NDArray[Any]:
        """Decode one channel, with the dtype and meaning it has in `Frame`.

        Raises:
            InputError: The member is missing or damaged.
        """
        return codec.decode_channel(self.members, channel, self.where)

    def stored(self, channel: codec.Channel | str) -> tuple[str, bytes]:
        """Return the name of a channel's member, such as rgb.png or rgb.jpg, and its bytes.

        Raises:
            InputError: There is none.
        """
        name = codec.member_name(self.members, channel, self.where)
        return name, self.members[name]

    def meta(self) -> dict[str, Any]:
        """Decode meta.json.

        Raises:
            InputError: It is missing or damaged.
        """
        return decode_meta(self.members, self.where)


@dataclass(frozen=True)
class ShardInfo:
    """What is known of a written shard."""

    name: str
    """The file's name within the data set."""
    sha256: str
    count: int
    """Samples in it."""
    bytes: int
    """Size of the file."""


def encode(
    frame: Frame,
    meta: Mapping[str, Any],
    *,
    key: str,
    depth_step: float = DEPTH_STEP,
    with_flow: bool = False,
    storage: codec.Storage = codec.USUAL,
) -> Sample:
    """Turn a frame and JSON values into a sample.

    Raises:
        ValueError: The key has other characters than letters, digits, `_` and `-`; or a value does not fit its stated
            quantisation, named with the sample and the pixel.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"sample: expected a key of letters, digits, _ and -, found {key!r}")
    try:
        members = codec.encode_frame(frame, meta, depth_step=depth_step, with_flow=with_flow, storage=storage)
    except ValueError as error:
        raise ValueError(f"sample {key}: {error}") from error
    return Sample(key, members, f"sample {key}")


def decode(sample: Sample) -> Frame:
    """Decode every channel of a sample; the same as `sample.frame()`."""
    return sample.frame()


def write_shard(path: Path, samples: Iterable[Sample]) -> ShardInfo:
    """Write samples in the order they come, under a temporary name, and rename when all is on the disk.

    Raises:
        ValueError: Two samples have the same key.
        OSError: The disk is full, or the folder cannot be written.
    """
    keys: set[str] = set()
    with atomic_file(path) as stream:
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for sample in samples:
                if sample.key in keys:
                    raise ValueError(f"{path.name}: expected unique keys, found {sample.key!r} twice")
                keys.add(sample.key)
                for name in sorted(sample.members):
                    _add(tar, f"{sample.key}.{name}", sample.members[name])
        stream.flush()
        size = stream.tell()
    return ShardInfo(path.name, file_sha256(path), len(keys), size)


def read_shard(path: Place) -> Iterator[Sample]:
    """Read the samples of a shard one by one; nothing of it is extracted to disk. One at a URL is read as it comes.

    Raises:
        InputError: The file is missing, no tar, cut short or damaged, or a member is no plain file of a plain name.
    """
    try:
        with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            yield from _samples(tar, path.name)
            _check_end(stream, tar, path)
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{path}: expected a whole tar file, found {error}") from None
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: expected a shard, found no such file") from None


def shard_info(path: Place) -> ShardInfo:
    """Look at a shard that is there already; it is read in full, so a damaged one is found.

    Raises:
        InputError: As of `read_shard`.
    """
    count = sum(1 for _ in read_shard(path))
    return ShardInfo(path.name, file_sha256(path), count, size_of(path))


def file_sha256(path: Place) -> str:
    """Hash a file.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def index_record(sample: Sample, shard: str) -> dict[str, Any]:
    """Say what one filters a sample by: a line of index.jsonl.

    Returns:
        key and shard; of the meta data patient, split, seed, step, time, lumen_visible, geometry, look and view where
        they are there; and `pixels`, the count of pixels by label id (as text, JSON's way).

    Raises:
        InputError: A member is missing or damaged.
    """
    meta = sample.meta()
    counts = np.bincount(sample.channel("semantic").ravel())
    kept: dict[str, Any] = {name: meta[name] for name in _FILTERS if name in meta}
    pixels = {str(label): int(counts[label]) for label in np.flatnonzero(counts)}
    return {"key": sample.key, "shard": shard, **kept, "pixels": pixels}


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)  # mtime, uid and gid 0, no user names: nothing of this machine
    info.size = len(data)
    info.mode = 0o644
    tar.addfile(info, BytesIO(data))


def _samples(tar: tarfile.TarFile, where: str) -> Iterator[Sample]:
    key = ""
    members: dict[str, bytes] = {}
    seen: set[str] = set()
    for member in tar:
        match = _MEMBER.fullmatch(member.name)
        if match is None or member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise InputError(f"{where}: expected plain files named KEY.NAME, found {member.name[:100]!r}")
        if member.size > _MAX_MEMBER:
            raise InputError(f"{where}: expected members of at most {_MAX_MEMBER} bytes, found {member.size}")
        if match["key"] != key:
            if members:
                yield Sample(key, members, f"{where}: {key}")
            key, members = match["key"], {}
            if key in seen:
                raise InputError(f"{where}: expected each sample in one piece, found {key!r} a second time")
            seen.add(key)
        if match["name"] in members or len(members) >= _MAX_MEMBERS:
            raise InputError(f"{where}: expected each member once, found {member.name!r} again")
        content = tar.extractfile(member)
        assert content is not None
        members[match["name"]] = content.read()
        if len(members[match["name"]]) != member.size:
            raise InputError(f"{where}: {member.name}: expected {member.size} bytes, found the end of the file")
    if members:
        yield Sample(key, members, f"{where}: {key}")


def _check_end(stream: BufferedReader, tar: tarfile.TarFile, path: Place) -> None:
    # tarfile takes a damaged header, and a file cut between two members, for the end.
    stream.seek(tar.offset)
    rest, empty = 0, True
    while block := stream.read(1 << 20):
        rest += len(block)
        empty = empty and not any(block)
    if not empty or rest < 512:
        raise InputError(f"{path}: expected the end of the archive at byte {tar.offset}, found it cut short or damaged")

"""What is known of a finished shard, beside it until the data set is: its checksum, the lines of its frames, its bytes.

So the index is written without reading any shard again, and a run that resumes needs not fetch what is there.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from assets.errors import InputError
from sim.atomic import atomic_file
from sim.frame_meta import json_bytes
from sim.remote import Place
from sim.shards import Sample, ShardInfo, index_record, read_shard, shard_info

_SUFFIX = ".notes"
_SIZES = "member_bytes"


def notes_of(shard: Place) -> Place:
    """Return where the notes of a shard are: a hidden file beside it."""
    return shard.parent / f".{shard.name}{_SUFFIX}"


def is_notes(name: str) -> bool:
    """Tell whether a file's name is one of notes."""
    return name[:1] == "." and name.endswith(_SUFFIX)


def write_notes(shard: Path, info: ShardInfo, samples: Iterable[Sample]) -> Path:
    """Write the notes of a shard: a line on it, a line of index.jsonl for each of its frames, a line of their bytes.

    Raises:
        InputError: A sample is damaged.
        OSError: The folder cannot be written.
    """
    path = shard.parent / f".{shard.name}{_SUFFIX}"
    with atomic_file(path) as stream:
        stream.write(json_bytes(asdict(info)) + b"\n")
        sizes: Counter[str] = Counter()
        for sample in samples:
            stream.write(json_bytes(index_record(sample, shard.name)) + b"\n")
            sizes.update({name: len(data) for name, data in sample.members.items()})
        stream.write(json_bytes({_SIZES: sizes}) + b"\n")
    return path


def note_anew(shard: Path) -> ShardInfo:
    """Read a whole shard and write its notes.

    Raises:
        InputError: The shard is damaged.
        OSError: The folder cannot be written.
    """
    info = shard_info(shard)
    write_notes(shard, info, read_shard(shard))
    return info


def noted_info(shard: Place) -> ShardInfo | None:
    """Return what the notes say of the shard; None where there are none, or they are not whole."""
    try:
        with notes_of(shard).open("rb") as stream:
            stored = json.loads(stream.readline())
            info = ShardInfo(shard.name, str(stored["sha256"]), int(stored["count"]), int(stored["bytes"]))
            whole = sum(1 for _ in stream) == info.count + 1
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return None
    return info if whole else None


def noted_records(shard: Place) -> Iterator[dict[str, Any]]:
    """Read the lines of the shard's frames.

    Raises:
        InputError: There are no notes.
    """
    return (record for record in _lines(shard) if _SIZES not in record)


def noted_sizes(shard: Place) -> dict[str, int]:
    """Return the bytes of all frames of the shard by member, such as rgb.png.

    Raises:
        InputError: There are no notes.
    """
    return {name: int(count) for record in _lines(shard) for name, count in record.get(_SIZES, {}).items()}


def _lines(shard: Place) -> Iterator[dict[str, Any]]:
    try:
        with notes_of(shard).open("rb") as stream:
            stream.readline()
            for line in stream:
                yield json.loads(line)
    except (FileNotFoundError, ValueError) as error:
        raise InputError(f"{notes_of(shard)}: expected the notes of a finished shard, found {error}") from None

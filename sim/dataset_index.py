"""What a data set says of itself: dataset.json (conventions, splits, checksums) and index.jsonl (a line a sample).

Where pyarrow is there, index.parquet says the same as index.jsonl (`sim.index_table`).

dataset.json is written last, so a folder that has one is whole.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from assets.errors import InputError
from sim.atomic import atomic_file
from sim.conventions import CONVENTIONS
from sim.frame_meta import json_bytes
from sim.index_table import write_table
from sim.remote import Place, size_of
from sim.shards import ShardInfo

VERSION = 1
_MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class DatasetIndex:
    """The content of dataset.json."""

    labels: dict[str, int]
    """Label ids by name, as the semantic masks use them."""
    depth_step: float
    """Step of stored depth [m]."""
    splits: dict[str, tuple[str, ...]]
    """The patients of each split, such as train, validation and test; a patient is in one split only."""
    shards: dict[str, tuple[ShardInfo, ...]]
    """The shards of each split, in order."""
    index_sha256: str
    """Checksum of index.jsonl."""
    config: dict[str, Any] = field(default_factory=dict)
    """The options that decide the content; neither paths nor times."""
    conventions: dict[str, str] = field(default_factory=lambda: dict(CONVENTIONS))
    """What each member holds, in words and numbers."""

    def paths(self, folder: Place, split: str) -> list[Place]:
        """Return the shards of a split.

        Raises:
            InputError: There is no such split.
        """
        if split not in self.shards:
            raise InputError(f"{folder}: expected a split of {', '.join(sorted(self.shards))}, found {split!r}")
        return [folder / shard.name for shard in self.shards[split]]


def write_dataset(
    folder: Path,
    records: Iterable[Mapping[str, Any]],
    *,
    labels: Mapping[str, int],
    depth_step: float,
    splits: Mapping[str, Iterable[str]],
    shards: Mapping[str, Iterable[ShardInfo]],
    config: Mapping[str, Any],
) -> DatasetIndex:
    """Write index.jsonl from the records (see `sim.shards.index_record`), index.parquet, then dataset.json.

    The shards lie there.

    Returns:
        The index, as `read_dataset` would read it.

    Raises:
        InputError: A patient is in two splits.
        OSError: The folder cannot be written.
    """
    patients = {split: tuple(names) for split, names in splits.items()}
    for patient, where in leaks(patients).items():
        raise InputError(f"splits: expected each patient in one split, found {patient} in {' and '.join(where)}")
    digest = hashlib.sha256()
    occurring: set[int] = set()
    with atomic_file(folder / "index.jsonl") as stream:
        for record in records:
            line = json_bytes(dict(record)) + b"\n"
            digest.update(line)
            stream.write(line)
            occurring.update(map(int, record.get("pixels", ())))
    write_table(folder, read_records(folder), label_names(labels, occurring))
    index = DatasetIndex(
        labels=dict(labels),
        depth_step=depth_step,
        splits=patients,
        shards={split: tuple(infos) for split, infos in shards.items()},
        index_sha256=digest.hexdigest(),
        config=dict(config),
    )
    text = json.dumps({"version": VERSION, **asdict(index)}, sort_keys=True, indent=1, allow_nan=False)
    with atomic_file(folder / "dataset.json") as stream:
        stream.write(text.encode() + b"\n")
    return index


def read_dataset(folder: Place) -> DatasetIndex:
    """Read dataset.json; shards are not opened, see `scenarios/dataset_check.py` for that.

    Raises:
        InputError: The file is missing, no JSON, of another version, or says something else than expected.
    """
    path = folder / "dataset.json"
    try:
        if (size := size_of(path)) > _MAX_BYTES:
            raise InputError(f"{path}: expected at most {_MAX_BYTES} bytes, found {size}")
        stored = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: expected a data set (made by `trocar dataset generate`), found none") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON, found {error}") from None
    if not isinstance(stored, dict) or stored.get("version") != VERSION:
        found = stored.get("version") if isinstance(stored, dict) else type(stored).__name__
        raise InputError(f"{path}: expected version {VERSION}, found {found!r}")
    try:
        shards = {str(split): tuple(_shard_info(one) for one in infos) for split, infos in stored["shards"].items()}
        return DatasetIndex(
            labels={str(name): int(label) for name, label in stored["labels"].items()},
            depth_step=float(stored["depth_step"]),
            splits={str(split): tuple(map(str, names)) for split, names in stored["splits"].items()},
            shards=shards,
            index_sha256=str(stored["index_sha256"]),
            config=dict(stored["config"]),
            conventions=dict(stored["conventions"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: expected the fields of a data set, found {type(error).__name__}: {error}") from None


def read_records(folder: Place) -> Iterator[dict[str, Any]]:
    """Read index.jsonl, a record a sample.

    Raises:
        InputError: The file is missing or a line is no JSON object.
    """
    path = folder / "index.jsonl"
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise InputError(f"{path}: line {number}: expected a JSON object, found {type(record).__name__}")
                yield record
    except FileNotFoundError:
        raise InputError(f"{path}: expected the index of a data set, found none") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: line {number}: expected JSON, found {error}") from None


def label_names(labels: Mapping[str, int], ids: Iterable[int]) -> dict[int, str]:
    """Return the names of label ids in order; 0 is the background, and one without a name is `id_N`."""
    names = {label: name for name, label in labels.items()} | {0: "background"}
    return {label: names.get(label, f"id_{label}") for label in sorted(set(ids))}


def leaks(splits: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return the patients that are in more than one split, with these splits."""
    where: dict[str, list[str]] = {}
    for split in sorted(splits):
        for patient in sorted(set(splits[split])):
            where.setdefault(patient, []).append(split)
    return {patient: found for patient, found in where.items() if len(found) > 1}


def _shard_info(stored: Mapping[str, Any]) -> ShardInfo:
    name = str(stored["name"])
    if Path(name).name != name or name in ("", ".", ".."):
        raise ValueError(f"a shard's name that is no plain file name: {name!r}")
    return ShardInfo(name, str(stored["sha256"]), int(stored["count"]), int(stored["bytes"]))

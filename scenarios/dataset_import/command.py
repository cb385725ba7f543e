"""`trocar dataset import`: a public set becomes shards of ours, so that a network trained here can be tested on it."""

import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from assets.errors import InputError
from assets.labels import load_labels
from scenarios.dataset_import.recording import PublicSet, Recording
from scenarios.export.resample import rescaled
from scenarios.progress import progress
from scenarios.runs import start_run
from sim.atomic import remove_leftovers
from sim.dataset_index import DatasetIndex, write_dataset
from sim.folder_lock import exclusive
from sim.shards import Sample, ShardInfo, encode, index_record, read_shard, shard_info, write_shard

SPLITS = ("train", "validation", "test")
_READERS = {"simcol3d": "scenarios.dataset_import.simcol3d", "c3vd": "scenarios.dataset_import.c3vd"}


@dataclass(frozen=True)
class ImportOptions:
    """Turn a public set into a data set; its licence is noted in dataset.json."""

    source: tyro.conf.Positional[Path]
    """The set's folder, or one of its sequences."""
    format: Literal["simcol3d", "c3vd"]
    """Its layout."""
    out: Path
    """Folder of the data set."""
    size: tuple[int, int] | None = None
    """Change the frames to this width and height [px], such as 256 256; networks here want multiples of 32."""
    every: int = 1
    """Take every so many frames."""
    splits: tuple[float, float, float] | None = None
    """Shares of the anatomies, in order, for train, validation and test; by default the set's own splits, or all of it
    for test where it has none."""

    def __post_init__(self) -> None:
        if self.every < 1 or (self.size is not None and min(self.size) < 1):
            raise InputError(f"import: expected every and size of at least 1, found {self.every}, {self.size}")
        if self.splits is not None and (min(self.splits) < 0 or abs(sum(self.splits) - 1) > 1e-6):
            raise InputError(f"import: expected shares of the splits that sum to 1, found {self.splits}")


def import_dataset(options: ImportOptions) -> DatasetIndex:
    """Write a shard a sequence; those that are there already from the same options are kept.

    Raises:
        InputError: The source is missing or damaged, or `out` holds something else.
        OSError: The folder cannot be written, or the disk is full.
    """
    if not options.source.is_dir():
        raise InputError(f"{options.source}: expected a folder, found none")
    found: PublicSet = importlib.import_module(_READERS[options.format]).find(options.source)
    recordings = _unique(found.recordings)
    splits = _splits(recordings, options.splits)
    with exclusive(options.out):
        start_run(options.out, "trocar dataset import", options)
        remove_leftovers(options.out)
        infos: dict[str, list[ShardInfo]] = {split: [] for split in SPLITS}
        count = sum(len(one.numbers[:: options.every]) for one in recordings)
        with progress(f"importing {found.about['source']}", count) as advance:
            for one in recordings:
                path = options.out / f"{one.name}.tar"
                if path.exists():
                    info = shard_info(path)
                else:
                    samples = _samples(one, splits[one.name], options, found)
                    info = write_shard(path, samples)
                infos[splits[one.name]].append(info)
                advance(info.count)
        chosen = asdict(options)
        index = write_dataset(
            options.out,
            (
                index_record(sample, info.name)
                for split in SPLITS
                for info in infos[split]
                for sample in read_shard(options.out / info.name)
            ),
            labels={name: label.id for name, label in load_labels().items()},
            depth_step=found.depth_step,
            splits={split: [one.name for one in recordings if splits[one.name] == split] for split in SPLITS},
            shards=infos,
            config={**found.about, **{name: chosen[name] for name in ("format", "size", "every", "splits")}},
        )
    print(f"licence: {found.about['licence']}; cite {found.about['citation']}", file=sys.stderr)
    print(f"splits: {found.about['splits']}", file=sys.stderr)
    return index


def _samples(one: Recording, split: str, options: ImportOptions, found: PublicSet) -> Iterator[Sample]:
    labels = {name: label.id for name, label in load_labels().items()}
    for number in one.numbers[:: options.every]:
        frame = one.read(number)
        if options.size is not None:
            frame = rescaled(frame, *options.size)
        meta: dict[str, Any] = {
            "patient": one.name,
            "anatomy": one.group,
            "split": split,
            "episode": 0,
            "step": number,
            "labels": labels,
            "lumen_direction": [0.0, 0.0, 1.0],
            "lumen_visible": False,
            "source": found.about["source"],
            "licence": found.about["licence"],
        }
        yield encode(frame, meta, key=f"{one.name}-{number:06d}", depth_step=found.depth_step)


def _splits(recordings: Sequence[Recording], shares: tuple[float, float, float] | None) -> dict[str, str]:
    """Return the split of each sequence: the set's own, or whole anatomies in order of their names."""
    if shares is None:
        return {one.name: one.split or "test" for one in recordings}
    groups = sorted({one.group for one in recordings})
    train, validation, _ = shares
    of_group = {}
    for index, group in enumerate(groups):
        position = (index + 0.5) / len(groups)
        of_group[group] = "train" if position < train else "validation" if position < train + validation else "test"
    return {one.name: of_group[one.group] for one in recordings}


def _unique(recordings: Sequence[Recording]) -> tuple[Recording, ...]:
    names = [one.name for one in recordings]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"source: expected sequences of different names, found {', '.join(sorted(twice))} twice")
    return tuple(recordings)

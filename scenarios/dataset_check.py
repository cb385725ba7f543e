"""`trocar dataset check`: counts, class balance, leaks between splits, checksums, channels that disagree."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Bool, Float32
from rich.table import Table

from assets.errors import InputError
from scenarios.contact_sheet import ContactSheet
from scenarios.figures import CheckFailedError, Figure, show
from scenarios.near_duplicates import Prints
from scenarios.progress import progress
from sim.dataset_index import DatasetIndex, label_names, leaks, read_dataset, read_records
from sim.frame import Frame
from sim.index_table import table_faults
from sim.shards import Sample, ShardInfo, file_sha256, read_shard

_MAX_FAULTS = 20  # printed; one broken convention makes every sample a fault


@dataclass(frozen=True)
class CheckOptions:
    """Check a data set: counts, class balance, leaks between splits, checksums, channels that disagree."""

    folder: tyro.conf.Positional[Path]
    """The data set, with its dataset.json."""
    contact_sheet: Path | None = None
    """A JPEG to write: frames of all shards, evenly spread, each above its labels in colour."""


@dataclass
class Census:
    """What was counted while the shards were read."""

    frames: Counter[str] = field(default_factory=Counter)
    """By split."""
    pixels: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By split and label id."""
    patients: dict[str, set[str]] = field(default_factory=dict)
    """By split, as the samples themselves say."""
    prints: Prints = field(default_factory=Prints)
    """To find frames that are in two splits."""
    sheet: ContactSheet | None = None
    faults: list[str] = field(default_factory=list)


def check(options: CheckOptions) -> list[Figure]:
    """Read every sample of a data set, print what is in it, and return the counts.

    Raises:
        InputError: There is no data set.
        CheckFailedError: Something in it is wrong; holds the figures too.
        OSError: The contact sheet cannot be written.
    """
    if not (options.folder / "dataset.json").is_file():
        raise InputError(f"{options.folder}: expected a data set, with its dataset.json, found none")
    try:
        index = read_dataset(options.folder)
    except InputError as error:
        raise CheckFailedError([str(error)]) from None
    count = sum(shard.count for shards in index.shards.values() for shard in shards)
    sheet = None if options.contact_sheet is None else ContactSheet(count)
    census = take_census(options.folder, index, sheet)
    if sheet is not None and options.contact_sheet is not None:
        sheet.write(options.contact_sheet)
    show(_table(index, census))
    figures = _figures(index, census)
    if census.faults:
        more = len(census.faults) - _MAX_FAULTS
        rest = [f"and {more} faults more"] if more > 0 else []
        raise CheckFailedError([*census.faults[:_MAX_FAULTS], *rest], figures)
    return figures


def take_census(folder: Path, index: DatasetIndex, sheet: ContactSheet | None = None) -> Census:
    """Read every shard, count, and note every fault with its place."""
    census = Census(sheet=sheet)
    census.faults += [
        f"dataset.json: expected each patient in one split, found {patient} in {' and '.join(where)}"
        for patient, where in leaks(index.splits).items()
    ]
    listed = dict(_listed_keys(folder, index, census))
    keys: set[str] = set()
    with progress("checking shards", sum(len(shards) for shards in index.shards.values())) as advance:
        for split, shards in sorted(index.shards.items()):
            for shard in shards:
                _check_shard(folder, index, split, shard, census, keys, listed)
                advance()
    census.faults += [
        f"index.jsonl: expected only samples that are there, found {key}" for key in sorted(set(listed) - keys)
    ]
    found = leaks({split: sorted(patients) for split, patients in census.patients.items()})
    census.faults += [
        f"samples: expected each patient in one split, found {patient} in {' and '.join(where)}"
        for patient, where in found.items()
    ]
    census.faults += [
        f"{later}: expected no frame of another split that shows the same, found {first}"
        for later, first in census.prints.pairs()
    ]
    return census


def disagreements(frame: Frame) -> Iterator[str]:
    """Say where the channels of a frame do not fit each other; nothing must be nothing in all of them."""
    something = frame.semantic > 0
    for name, there in (
        ("instance", frame.instance > 0),
        ("depth", frame.depth > 0),
        ("normal", frame.normal.any(axis=-1)),
    ):
        count = int(np.count_nonzero(there != something))
        if count:
            row, column = np.argwhere(there != something)[0]
            yield f"{name} and semantic disagree on what is nothing at {count} px, first at row {row}, column {column}"
    labels_of = {
        int(instance): np.unique(frame.semantic[frame.instance == instance])
        for instance in np.unique(frame.instance[something])
        if instance
    }
    for instance, labels in labels_of.items():
        if len(labels) > 1:
            yield f"instance {instance} has {len(labels)} labels: {', '.join(map(str, labels))}"
    rays, _ = frame.camera.rays()
    away = something & ((frame.normal * rays).sum(axis=-1) > 0.02)  # the stored normals are up to 0.4 degrees off
    if away.any():
        yield f"{int(away.sum())} normals face away from the camera"
    yield from _flow_faults("flow", frame.flow, frame.flow_valid, something)
    if frame.flow_back is not None and frame.flow_back_valid is not None:
        yield from _flow_faults("flow_back", frame.flow_back, frame.flow_back_valid, something)


def _flow_faults(
    name: str, flow: Float32[np.ndarray, "h w 2"], valid: Bool[np.ndarray, "h w"], something: Bool[np.ndarray, "h w"]
) -> Iterator[str]:
    """Say where flow leaves the picture, though what it follows is seen at both ends, or begins at nothing."""
    height, width = valid.shape
    rows, columns = np.nonzero(valid)
    x, y = columns + flow[rows, columns, 0], rows + flow[rows, columns, 1]
    out = (x < -1) | (x > width) | (y < -1) | (y > height)  # half a pixel beyond the last centre, and as much for steps
    if out.any():
        first = int(np.argmax(out))
        yield f"{name} is out of range at {int(out.sum())} px, first at row {rows[first]}, column {columns[first]}"
    nowhere = valid & ~something
    if nowhere.any():
        row, column = np.argwhere(nowhere)[0]
        yield f"{name} begins at nothing at {int(nowhere.sum())} px, first at row {row}, column {column}"


def _check_shard(
    folder: Path,
    index: DatasetIndex,
    split: str,
    shard: ShardInfo,
    census: Census,
    keys: set[str],
    listed: dict[str, str],
) -> None:
    path = folder / shard.name
    if not path.is_file():
        census.faults.append(f"{shard.name}: expected a shard, found no such file")
        return
    if file_sha256(path) != shard.sha256:
        census.faults.append(
            f"{shard.name}: expected the checksum of dataset.json, found another: the file was changed"
        )
    count = 0
    try:
        for sample in read_shard(path):
            count += 1
            if sample.key in keys:
                census.faults.append(f"{sample.where}: expected unique keys, found this one a second time")
            keys.add(sample.key)
            if listed.get(sample.key) != shard.name:
                census.faults.append(f"{sample.where}: expected a line in index.jsonl, found none for this shard")
            _check_sample(index, split, sample, census)
    except InputError as error:
        census.faults.append(str(error))
    if count != shard.count:
        census.faults.append(f"{shard.name}: expected {shard.count} samples, found {count}")


def _check_sample(index: DatasetIndex, split: str, sample: Sample, census: Census) -> None:
    meta, frame = sample.meta(), sample.frame()
    if meta.get("depth_step") != index.depth_step:
        census.faults.append(
            f"{sample.where}: expected a depth step of {index.depth_step:g} m, found {meta.get('depth_step')}"
        )
    patient = str(meta.get("patient"))
    if patient not in index.splits.get(split, ()):
        census.faults.append(f"{sample.where}: expected a patient of the split {split}, found {patient}")
    census.patients.setdefault(split, set()).add(patient)
    census.frames[split] += 1
    census.prints.add(split, sample.where, frame)
    if census.sheet is not None:
        census.sheet.add(frame)
    labels, counts = np.unique(frame.semantic, return_counts=True)
    for label, count in zip(labels, counts, strict=True):
        census.pixels[split, int(label)] += int(count)
    unknown = set(labels.tolist()) - set(index.labels.values()) - {0}
    if unknown:
        census.faults.append(f"{sample.where}: expected labels of dataset.json, found ids {sorted(unknown)}")
    census.faults += [f"{sample.where}: {line}" for line in disagreements(frame)]


def _listed_keys(folder: Path, index: DatasetIndex, census: Census) -> Iterator[tuple[str, str]]:
    try:
        for record in read_records(folder):
            yield str(record.get("key")), str(record.get("shard"))
    except InputError as error:
        census.faults.append(str(error))
        return
    if file_sha256(folder / "index.jsonl") != index.index_sha256:
        census.faults.append("index.jsonl: expected the checksum of dataset.json, found another: the file was changed")
    occurring = {int(label) for record in read_records(folder) for label in record.get("pixels", ())}
    census.faults += table_faults(folder, read_records(folder), label_names(index.labels, occurring))


def _names(index: DatasetIndex, census: Census) -> dict[int, str]:
    return label_names(index.labels, (label for _, label in census.pixels))


def _table(index: DatasetIndex, census: Census) -> Table:
    names = _names(index, census)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("split")
    for column in ("patients", "shards", "frames", *names.values()):
        table.add_column(column, justify="right")
    for split in index.shards:
        total = sum(census.pixels[split, label] for label in names)
        shares = [f"{census.pixels[split, label] / total:.1%}" if total else "" for label in names]
        counts = (len(index.splits.get(split, ())), len(index.shards[split]), census.frames[split])
        table.add_row(split, *map(str, counts), *shares)
    return table


def _figures(index: DatasetIndex, census: Census) -> list[Figure]:
    figures = []
    for split in index.shards:
        frames = census.frames[split]
        figures.append(Figure("dataset.frames", split, float(frames), "frames", n=frames, how="samples that were read"))
        patients = len(index.splits.get(split, ()))
        figures.append(
            Figure("dataset.patients", split, float(patients), "patients", n=patients, how="of dataset.json")
        )
        total = sum(count for (where, _), count in census.pixels.items() if where == split)
        for label, name in _names(index, census).items():
            if total:
                share = census.pixels[split, label] / total
                figures.append(Figure(f"dataset.share.{name}", split, share, "1", n=frames, how="share of all pixels"))
    faults = len(census.faults)
    figures.append(
        Figure("dataset.faults", "all", float(faults), "faults", n=sum(census.frames.values()), how="see stderr")
    )
    return figures

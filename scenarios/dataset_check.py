"""`trocar dataset check`: counts, class balance, leaks between splits, checksums, channels that disagree."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rich.table import Table

from assets.errors import InputError
from scenarios.figures import CheckFailedError, Figure, show
from scenarios.parallel import run_pieces
from scenarios.progress import progress
from scenarios.shard_check import Findings, look_at_shard, shard_pieces
from sim.dataset_index import DatasetIndex, label_names, leaks, read_dataset, read_records
from sim.index_table import TABLE, table_faults
from sim.remote import Place, fetched, place_of
from sim.shards import file_sha256

_MAX_FAULTS = 20  # printed; one broken convention makes every sample a fault


@dataclass(frozen=True)
class CheckOptions:
    """Check a data set: counts, class balance, leaks between splits, checksums, channels that disagree."""

    folder: tyro.conf.Positional[str | Path]
    """The data set, with its dataset.json: a path, or a URL that fsspec knows."""
    contact_sheet: Path | None = None
    """A JPEG to write: frames of all shards, evenly spread, each above its labels in colour."""
    workers: int = 1
    """Processes that read shards."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError(f"dataset check: expected at least 1 worker, found {self.workers}")


def check(options: CheckOptions) -> list[Figure]:
    """Read every sample of a data set, print what is in it, and return the counts.

    Raises:
        InputError: There is no data set, or a server cannot be asked.
        CheckFailedError: Something in it is wrong; holds the figures too.
        OSError: The contact sheet cannot be written.
    """
    folder = place_of(options.folder)
    if not (folder / "dataset.json").is_file():
        raise InputError(f"{folder / 'dataset.json'}: expected a data set, found none")
    try:
        index = read_dataset(folder)
    except InputError as error:
        raise CheckFailedError([str(error)]) from None
    census = take_census(folder, index, workers=options.workers, with_sheet=options.contact_sheet is not None)
    if census.sheet is not None and options.contact_sheet is not None:
        census.sheet.write(options.contact_sheet)
    show(_table(index, census))
    figures = _figures(index, census)
    if census.faults:
        more = len(census.faults) - _MAX_FAULTS
        rest = [f"and {more} faults more"] if more > 0 else []
        raise CheckFailedError([*census.faults[:_MAX_FAULTS], *rest], figures)
    return figures


def take_census(folder: Place, index: DatasetIndex, *, workers: int = 1, with_sheet: bool = False) -> Findings:
    """Read every shard, count, and note every fault with its place; the same whatever the number of workers."""
    pieces = shard_pieces(folder, index, sum(one.count for ones in index.shards.values() for one in ones))
    pieces = pieces if with_sheet else [replace(piece, sheet=None) for piece in pieces]
    found: dict[int, Findings] = {}
    with progress("checking shards", len(pieces)) as advance:
        for number, one in run_pieces(look_at_shard, pieces, workers=workers):
            found[number] = one
            advance()
    census = Findings()
    census.faults += [
        f"dataset.json: expected each patient in one split, found {patient} in {' and '.join(where)}"
        for patient, where in leaks(index.splits).items()
    ]
    listed = dict(_listed_keys(folder, index, census))
    keys: set[str] = set()
    geometries: dict[str, set[str]] = {}
    for number, piece in enumerate(pieces):
        one = found.pop(number)
        _add(one, census)
        geometries.setdefault(piece.split, set()).update(one.geometries)
        for key in one.keys:
            if key in keys:
                census.faults.append(f"{piece.info.name}: {key}: expected unique keys, found this one a second time")
            keys.add(key)
            if listed.get(key) != piece.info.name:
                census.faults.append(
                    f"{piece.info.name}: {key}: expected a line in index.jsonl, found none for this shard"
                )
    census.faults += [
        f"index.jsonl: expected only samples that are there, found {key}" for key in sorted(set(listed) - keys)
    ]
    for what, where in (("patient", census.patients), ("geometry with all its looks", geometries)):
        census.faults += [
            f"samples: expected each {what} in one split, found {one} in {' and '.join(splits)}"
            for one, splits in leaks({split: sorted(ones) for split, ones in where.items()}).items()
        ]
    census.faults += [
        f"{later}: expected no frame of another split that shows the same, found {first}"
        for later, first in census.prints.pairs()
    ]
    return census


def _add(one: Findings, census: Findings) -> None:
    """Add what was found in the next shard."""
    census.faults += one.faults
    census.frames += one.frames
    census.pixels += one.pixels
    for split, patients in one.patients.items():
        census.patients.setdefault(split, set()).update(patients)
    census.prints.extend(one.prints)
    if one.sheet is not None:
        census.sheet = one.sheet if census.sheet is None else census.sheet.joined(one.sheet)


def _listed_keys(folder: Place, index: DatasetIndex, census: Findings) -> Iterator[tuple[str, str]]:
    try:
        for record in read_records(folder):
            yield str(record.get("key")), str(record.get("shard"))
    except InputError as error:
        census.faults.append(str(error))
        return
    if file_sha256(folder / "index.jsonl") != index.index_sha256:
        census.faults.append("index.jsonl: expected the checksum of dataset.json, found another: the file was changed")
    occurring = {int(label) for record in read_records(folder) for label in record.get("pixels", ())}
    if (folder / TABLE).is_file():
        with fetched(folder / TABLE) as table:
            census.faults += table_faults(table.parent, read_records(folder), label_names(index.labels, occurring))


def _names(index: DatasetIndex, census: Findings) -> dict[int, str]:
    return label_names(index.labels, (label for _, label in census.pixels))


def _table(index: DatasetIndex, census: Findings) -> Table:
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


def _figures(index: DatasetIndex, census: Findings) -> list[Figure]:
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

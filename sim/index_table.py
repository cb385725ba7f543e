"""index.parquet: what index.jsonl says, as flat columns that data frames and query engines filter by.

It is there where pyarrow is (extra `export`). It follows from index.jsonl, so dataset.json does not name it.
"""

from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from assets.errors import InputError
from sim.atomic import atomic_file

TABLE = "index.parquet"
PIXELS = "pixels_"
"""A column a label that occurs: `pixels_polyp` counts its pixels in the frame, `pixels_background` those of nothing."""
_ROWS = 65_536  # a row group: some 2 MB
_COLUMNS = {
    "key": "string",
    "shard": "string",
    "patient": "string",
    "split": "string",
    "seed": "int64",
    "step": "int64",
    "time": "float64",
    "lumen_visible": "bool",
    "geometry": "string",
    "look": "int64",
    "view": "string",
}


def write_table(folder: Path, records: Iterable[Mapping[str, Any]], names: Mapping[int, str]) -> None:
    """Write index.parquet, a row a record in their order; without pyarrow, see that none of other data is left there.

    Args:
        folder: The data set's.
        records: As `sim.shards.index_record` makes them. What a record lacks is null.
        names: Of the labels that occur, by id; a column each, in the order of the ids.

    Raises:
        OSError: The folder cannot be written.
    """
    if find_spec("pyarrow") is None:
        (folder / TABLE).unlink(missing_ok=True)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {**_COLUMNS, **{PIXELS + names[label]: "int64" for label in sorted(names)}}
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
    rows = (flat_record(record, names) for record in records)
    with atomic_file(folder / TABLE) as stream, pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))


def flat_record(record: Mapping[str, Any], names: Mapping[int, str]) -> dict[str, Any]:
    """Return a record as a row of the table."""
    pixels = record.get("pixels", {})
    return {
        **{name: record.get(name) for name in _COLUMNS},
        **{PIXELS + names[label]: pixels.get(str(label), 0) for label in sorted(names)},
    }


def table_faults(folder: Path, records: Iterable[Mapping[str, Any]], names: Mapping[int, str]) -> Iterator[str]:
    """Say where index.parquet differs from the records, at most once; nothing where it or pyarrow is not there."""
    if not (folder / TABLE).is_file() or find_spec("pyarrow") is None:
        return
    rows = (flat_record(record, names) for record in records)
    try:
        for number, (found, expected) in enumerate(zip_longest(_rows(folder / TABLE), rows)):
            if found != expected:
                key = (expected or {}).get("key")
                yield f"{TABLE}: row {number}: expected what index.jsonl says of {key}, found other"
                return
    except InputError as error:
        yield str(error)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=_ROWS):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{TABLE}: expected a Parquet file, found {str(error).partition(chr(10))[0]}") from None

"""The table of structures: one row of `labels.csv` each, and the only place for their names and ids."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from assets.errors import InputError

BACKGROUND = 0
"""Id of a pixel or voxel that shows nothing."""

TABLE = Path(__file__).with_name("labels.csv")
"""Ids 1 to 117 are those of TotalSegmentator version 2 (Wasserthal et al., 2023, doi:10.1148/ryai.230024)."""


@dataclass(frozen=True)
class Label:
    """One structure."""

    name: str
    id: int
    """1 to 255; what masks hold."""
    group: str
    """Body system, or `instrument`."""
    material: str
    """Usual table of `materials.toml`."""
    totalsegmentator_v2: int | None
    """Its id in label maps of TotalSegmentator version 2."""
    totalsegmentator_v1: int | None
    """Its id in label maps of TotalSegmentator version 1, which SARAMIS shares."""


@cache
def _table() -> dict[str, Label]:
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        row["name"]: Label(
            name=row["name"],
            id=int(row["id"]),
            group=row["group"],
            material=row["material"],
            totalsegmentator_v2=int(row["totalsegmentator_v2"]) if row["totalsegmentator_v2"] else None,
            totalsegmentator_v1=int(row["totalsegmentator_v1"]) if row["totalsegmentator_v1"] else None,
        )
        for row in rows
    }


def load_labels() -> dict[str, Label]:
    """Return every structure by its name, in the order of the table."""
    return dict(_table())


def label_id(name: str) -> int:
    """Return the id of a structure.

    Raises:
        InputError: There is no such name.
    """
    try:
        return _table()[name].id
    except KeyError:
        raise InputError(f"expected a label of {TABLE.name}, such as colon_wall or polyp, found {name!r}") from None


def label_name(label: int) -> str:
    """Return the structure with this id, `background` for 0.

    Raises:
        InputError: There is no such id.
    """
    if label == BACKGROUND:
        return "background"
    for name, row in _table().items():
        if row.id == label:
            return name
    raise InputError(f"expected an id of {TABLE.name} or {BACKGROUND}, found {label}")

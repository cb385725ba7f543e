"""What the ids of a label map mean: the names of its own header, a known table, or a user's file."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args
from xml.etree import ElementTree

import numpy as np

from assets.errors import InputError
from assets.labels import load_labels

KnownScheme = Literal["totalsegmentator-v2", "totalsegmentator-v1", "saramis"]
CHOICES = (*get_args(KnownScheme), "a names.csv with the columns id,name")

MAX_HEADER_BYTES = 1 << 20
"""A header of names that is longer than this is not one; that of TotalSegmentator has 13 kB."""


def scheme_names(scheme: str | Path) -> dict[int, str]:
    """Return the names of a scheme by id.

    Args:
        scheme: One of `KnownScheme`, or a CSV file with the columns `id` and `name`.

    Raises:
        InputError: There is no such scheme, or the file is not such a table.
    """
    labels = load_labels().values()
    if scheme == "totalsegmentator-v2":
        return {row.totalsegmentator_v2: row.name for row in labels if row.totalsegmentator_v2 is not None}
    if scheme in ("totalsegmentator-v1", "saramis"):  # SARAMIS keeps the ids of version 1
        return {row.totalsegmentator_v1: row.name for row in labels if row.totalsegmentator_v1 is not None}
    path = Path(scheme)
    if path.suffix.lower() != ".csv":
        raise InputError(f"expected a label scheme of {', '.join(CHOICES)}, found {str(scheme)!r}")
    return _read_table(path)


def _read_table(path: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                label, name = row.get("id"), row.get("name")
                if label is None or not name or not label.strip().isdecimal():
                    raise InputError(
                        f"expected the columns id,name with a whole number and a name, found {row} in {path}:{number}"
                    )
                if int(label) in names:
                    raise InputError(f"expected each id once, found {int(label)} again in {path}:{number}")
                names[int(label)] = name.strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"expected a table of names with the columns id,name, found {error} in {path}") from None
    if not names:
        raise InputError(f"expected a table of names with the columns id,name, found no row in {path}")
    return names


def header_names(extensions: list[bytes]) -> dict[int, str]:
    """Read `<Label Key="5"><![CDATA[liver]]></Label>` from NIfTI header extensions.

    Returns:
        Names by id; empty where no extension holds any.
    """
    for content in extensions:
        text = content.rstrip(b"\x00 \r\n\t")
        # A document type could define entities that grow without bound; a table of labels needs none.
        if len(text) > MAX_HEADER_BYTES or b"<Label" not in text or b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            continue
        try:
            root = ElementTree.fromstring(text)
        except ElementTree.ParseError:
            continue
        names = {
            int(element.attrib["Key"]): (element.text or "").strip()
            for element in root.iter("Label")
            if element.attrib.get("Key", "").isdecimal()
        }
        names = {label: name for label, name in names.items() if label > 0 and name}
        if names:
            return names
    return {}


def resolve_names(
    ids: np.ndarray, own: Mapping[int, str], scheme: str | Path | None, place: str
) -> tuple[dict[int, str], str]:
    """Decide what the ids mean.

    Args:
        ids: The ids that occur, without 0.
        own: Names that the file itself holds.
        scheme: What the user says, or None.
        place: File named in an error.

    Returns:
        Names of the ids that occur, and where they come from (`header` or the scheme).

    Raises:
        InputError: Neither says it, the two contradict each other, or ids are not in the table.
    """
    if scheme is None and not own:
        raise InputError(
            f"expected label names in the header of {place} or a label scheme, found neither; give --scheme: "
            + ", ".join(CHOICES)
        )
    given = scheme_names(scheme) if scheme is not None else {}
    if own and given:
        clashes = [label for label in ids.tolist() if label in own and own[label] != given.get(label)]
        if clashes:
            label = clashes[0]
            raise InputError(
                f"expected the header's names, such as {own[label]} for id {label}, found {given.get(label, 'none')} "
                f"in the scheme {scheme} ({len(clashes)} of {len(ids)} ids differ) for {place}"
            )
    table, origin = (own, "header") if own else (given, str(scheme))
    unknown = [label for label in ids.tolist() if label not in table]
    if unknown:
        raise InputError(
            f"expected ids of {origin} in {place}, found {', '.join(map(str, unknown[:5]))}"
            f"{' ...' if len(unknown) > 5 else ''}; the choices for --scheme are {', '.join(CHOICES)}"
        )
    return {label: table[label] for label in ids.tolist()}, origin

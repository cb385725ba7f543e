"""What the ids of a label map mean: the names of its own header, a known table, or a user's file."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args
from xml.etree import ElementTree

import numpy as np

from assets.errors import InputError
from assets.importers.names import known_name
from assets.labels import load_labels

KnownScheme = Literal["totalsegmentator-v2", "totalsegmentator-v1", "saramis"]
CHOICES = (
    *get_args(KnownScheme),
    "a names.csv with the columns id,name",
    "a colour table of Slicer (.ctbl)",
    "an atlas's structures (.json)",
)

MAX_HEADER_BYTES = 1 << 20
"""A header of names that is longer than this is not one; that of TotalSegmentator has 13 kB."""

MAX_TABLE_BYTES = 1 << 24
"""Largest file of names; that of the SPL abdominal atlas has 100 kB."""


def scheme_names(scheme: str | Path) -> dict[int, str]:
    """Return the names of a scheme by id.

    Args:
        scheme: One of `KnownScheme`, a CSV file with the columns `id` and `name`, or a colour table of Slicer.

    Raises:
        InputError: There is no such scheme, or the file is not such a table.
    """
    labels = load_labels().values()
    if scheme == "totalsegmentator-v2":
        return {row.totalsegmentator_v2: row.name for row in labels if row.totalsegmentator_v2 is not None}
    if scheme in ("totalsegmentator-v1", "saramis"):  # SARAMIS keeps the ids of version 1
        return {row.totalsegmentator_v1: row.name for row in labels if row.totalsegmentator_v1 is not None}
    path = Path(scheme)
    if path.suffix.lower() == ".ctbl":
        return _read_colour_table(path)
    if path.suffix.lower() == ".json":
        return _read_atlas(path)
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


def _text(path: Path, what: str) -> str:
    """Return the text of a table of names that is not too large."""
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise InputError(f"expected {what} of at most {MAX_TABLE_BYTES} bytes, found more in {path}")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"expected {what}, found {' '.join(str(error).split())} in {path}") from None


def _read_colour_table(path: Path) -> dict[int, str]:
    """Read lines `id name red green blue alpha`, as Slicer writes them."""
    what = "a colour table with lines 'id name red green blue alpha'"
    names: dict[int, str] = {}
    for number, line in enumerate(_text(path, what).splitlines(), start=1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if len(words) != 6 or not all(word.isdecimal() and len(word) < 7 for word in (words[0], *words[2:])):
            raise InputError(f"expected {what}, found {line[:60]!r} in {path}:{number}")
        if int(words[0]) in names:
            raise InputError(f"expected each id once, found {words[0]} again in {path}:{number}")
        names[int(words[0])] = words[1]
    if not names:
        raise InputError(f"expected {what}, found no line in {path}")
    return names


def _read_atlas(path: Path) -> dict[int, str]:
    """Read the structures of an atlas of the Open Anatomy Project: JSON with a name and a label's `dataKey` each."""
    what = "an atlas's list of structures with annotation.name and a selector's dataKey"
    names: dict[int, str] = {}
    try:
        for row in json.loads(_text(path, what)):
            if row.get("@type") != "Structure":
                continue
            for key in (selector["dataKey"] for selector in row["sourceSelector"] if "dataKey" in selector):
                if not isinstance(key, int) or key in names:
                    raise InputError(f"expected each whole dataKey once, found {str(key)[:20]} in {path}")
                names[key] = str(row["annotation"]["name"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"expected {what}, found {type(error).__name__} in {path}") from None
    if not names:
        raise InputError(f"expected {what}, found none in {path}")
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
        scheme: What the user says, or None; where the file's own name is not in the table of labels, it may give
            another.
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
    given = {label: known_name(name) or name for label, name in (scheme_names(scheme) if scheme else {}).items()}
    if own and given:
        known, whole = load_labels(), scheme in get_args(KnownScheme)
        clashes = [
            label
            for label in ids.tolist()
            if own.get(label) in known and (whole or label in given) and own[label] != given.get(label)
        ]
        if clashes:
            label = clashes[0]
            raise InputError(
                f"expected the header's names, such as {own[label]} for id {label}, found {given.get(label, 'none')} "
                f"in the scheme {scheme} ({len(clashes)} of {len(ids)} ids differ) for {place}"
            )
    table, origin = ({**own, **given}, "header") if own else (given, Path(str(scheme)).name)
    unnamed = [label for label in ids.tolist() if label not in table]
    # A known scheme has a name for every id; a table of somebody may leave some out, but not most of them.
    if unnamed and (origin in get_args(KnownScheme) or 2 * len(unnamed) > len(ids)):
        raise InputError(
            f"expected ids of {origin} in {place}, found {', '.join(map(str, unnamed[:5]))}"
            f"{' ...' if len(unnamed) > 5 else ''}; the choices for --scheme are {', '.join(CHOICES)}"
        )
    return {label: table.get(label, f"unnamed id {label}") for label in ids.tolist()}, origin

"""The file `patient.json` of a patient folder: what it says, and what is checked when it is read."""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.labels import load_labels
from assets.materials import load_materials
from assets.patient import Orifice

SCHEMA = 1
KINDS = ("lumen", "wall", "solid")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Names become file names, so they hold nothing that a path could be made of."""
MOST = 4096
"""Most organs, centrelines, landmarks or orifices."""


@dataclass(frozen=True)
class FileEntry:
    """One mesh or centreline as `patient.json` names it."""

    name: str
    sha256: str
    count: int
    """Triangles or points."""
    fields: dict[str, Any]
    """What else stands in the entry."""


def check_name(name: Any, where: str) -> str:
    """Return a name that is fit for a file.

    Raises:
        InputError: It is not.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InputError(f"expected a name of up to 64 letters, digits, _ and -, found {name!r} in {where}")
    return name


def member(table: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Return an entry of a JSON object.

    Raises:
        InputError: It is missing or of another type.
    """
    expected = kind.__name__ if isinstance(kind, type) else "number"
    if not isinstance(table, dict) or key not in table:
        raise InputError(f"expected {key!r}, found nothing in {where}")
    value = table[key]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"expected {key!r} to be of type {expected}, found {type(value).__name__} in {where}")
    return value


def vector(value: Any, where: str) -> NDArray[np.float64]:
    """Return three finite numbers.

    Raises:
        InputError: They are not.
    """
    good = isinstance(value, list) and len(value) == 3
    if not good or not all(isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in value):
        raise InputError(f"expected three finite numbers, found {str(value)[:60]} in {where}")
    return np.array(value, dtype=np.float64)


def read_files(table: Any, key: str, counted: str, where: str) -> list[FileEntry]:
    """Read the list of organs or centrelines; their names are unique.

    Raises:
        InputError: An entry is not as it should be.
    """
    entries = []
    rows = member(table, key, list, where)
    if len(rows) > MOST:
        raise InputError(f"expected at most {MOST} {key}, found {len(rows)} in {where}")
    for index, row in enumerate(rows):
        place = f"{where}: {key}[{index}]"
        name = check_name(member(row, "name", str, place), place)
        digest = member(row, "sha256", str, place)
        count = member(row, counted, int, place)
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise InputError(f"expected a SHA-256 of 64 hex digits, found {digest[:70]!r} in {place}")
        entries.append(FileEntry(name, digest, count, row))
    names = [entry.name for entry in entries]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"expected every name once, found {twice!r} twice in {where}: {key}")
    return entries


def read_tetrahedra(entry: FileEntry, where: str) -> FileEntry | None:
    """Read what an organ's entry says of its tetrahedra; None where it has none.

    Raises:
        InputError: It is not as it should be.
    """
    place = f"{where}: organ {entry.name}: tetrahedra"
    if "tetrahedra" not in entry.fields:
        return None
    row = member(entry.fields, "tetrahedra", dict, place)
    digest, count = member(row, "sha256", str, place), member(row, "count", int, place)
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise InputError(f"expected a SHA-256 of 64 hex digits, found {digest[:70]!r} in {place}")
    return FileEntry(entry.name, digest, count, row)


def check_organ(entry: FileEntry, where: str) -> None:
    """Check label, kind, material and attributes of an organ's entry.

    Raises:
        InputError: One is not known.
    """
    place = f"{where}: organ {entry.name}"
    label = member(entry.fields, "label", str, place)
    material = member(entry.fields, "material", str, place)
    kind = member(entry.fields, "kind", str, place)
    member(entry.fields, "attributes", dict, place)
    if label not in load_labels():
        raise InputError(f"expected a label of assets/labels.csv, found {label!r} in {place}")
    if material not in load_materials():
        raise InputError(f"expected one of {', '.join(load_materials())}, found material {material!r} in {place}")
    if kind not in KINDS:
        raise InputError(f"expected one of {', '.join(KINDS)}, found kind {kind!r} in {place}")


def read_orifices(table: Any, organs: list[str], where: str) -> tuple[Orifice, ...]:
    """Read the orifices; each lies in an organ that is there.

    Raises:
        InputError: One is not as it should be.
    """
    orifices = []
    for index, row in enumerate(member(table, "orifices", list, where)[:MOST]):
        place = f"{where}: orifices[{index}]"
        organ = member(row, "organ", str, place)
        if organ not in organs:
            raise InputError(f"expected one of the organs, found {organ!r} in {place}")
        normal = vector(member(row, "normal", list, place), place)
        radius = float(member(row, "radius", (int, float), place))
        if abs(float(np.linalg.norm(normal)) - 1.0) > 1e-6:
            raise InputError(f"expected a unit normal, found length {np.linalg.norm(normal):.6g} in {place}")
        if not 0.0 < radius < 1.0:
            raise InputError(f"expected a radius between 0 and 1 m, found {radius} in {place}")
        name = check_name(member(row, "name", str, place), place)
        orifices.append(Orifice(name, organ, vector(member(row, "centre", list, place), place), normal, radius))
    return tuple(orifices)


def read_landmarks(table: Any, where: str) -> dict[str, NDArray[np.float64]]:
    """Read the landmarks.

    Raises:
        InputError: One is not as it should be.
    """
    marks = member(table, "landmarks", dict, where)
    if len(marks) > MOST:
        raise InputError(f"expected at most {MOST} landmarks, found {len(marks)} in {where}")
    return {check_name(name, where): vector(value, f"{where}: landmark {name}") for name, value in marks.items()}

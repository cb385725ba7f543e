"""Read a file of landmarks: points that a person has told where the label map cannot."""

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from assets.errors import InputError
from assets.patient import Patient

BEYOND = 0.05
"""A landmark may lie so far beyond the box of all organs [m]: chosen; one in another frame or unit lies farther."""


def read_landmarks(path: Path) -> dict[str, Float64[np.ndarray, "3"]]:
    """Read points in the order in which the colon visits them.

    Args:
        path: CSV with the columns `name,x,y,z`, or JSON as `{"anus": [x, y, z], ...}`; RAS [mm].

    Returns:
        Positions [m], RAS, by name, in the order of the file.

    Raises:
        InputError: The file is missing, damaged, or names a point twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = _json_rows(text) if path.suffix.lower() == ".json" else _csv_rows(text)
        names = [name for name, _ in rows]
        points = np.array([[float(value) for value in point] for _, point in rows], np.float64).reshape(len(rows), 3)
    except (OSError, UnicodeDecodeError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise InputError(
            "expected landmarks as name,x,y,z in RAS mm (.csv, or a .json object), "
            f"found {' '.join(str(error).split())} in {path}"
        ) from None
    if not names or not np.isfinite(points).all():
        raise InputError(f"expected at least one landmark with finite coordinates, found none or NaN in {path}")
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise InputError(f"expected each landmark once, found {doubles[0]} again in {path}")
    return {name: point * 1e-3 for name, point in zip(names, points, strict=True)}


def with_given(patient: Patient, given: Mapping[str, Float64[np.ndarray, "3"]], where: str) -> Patient:
    """Put points that a person has told in the place of those that were found, and to them.

    Args:
        patient: Made of a scan.
        given: Positions [m], RAS, by name.
        where: The file of the landmarks, for the error.

    Raises:
        InputError: A point lies far from all organs.
    """
    if not given:
        return patient
    corners = np.concatenate([organ.surface.vertices for organ in patient.organs]).astype(np.float64)
    low, high = corners.min(axis=0) - BEYOND, corners.max(axis=0) + BEYOND
    for name, point in given.items():
        if (point < low).any() or (point > high).any():
            box = [np.round(corner * 1e3).astype(int).tolist() for corner in (low, high)]
            place = np.round(point * 1e3, 1)
            raise InputError(
                f"expected landmarks in RAS mm near the organs, {box[0]} to {box[1]}, found {name} at {place.tolist()} "
                f"in {where}"
            )
    told = patient.provenance.get("given_landmarks_mm", {})
    told = told | {name: np.round(point * 1e3, 3).tolist() for name, point in given.items()}
    return replace(
        patient, landmarks={**patient.landmarks, **given}, provenance=patient.provenance | {"given_landmarks_mm": told}
    )


def _json_rows(text: str) -> list[tuple[str, list[Any]]]:
    return [(str(name), list(point)) for name, point in dict(json.loads(text)).items()]


def _csv_rows(text: str) -> list[tuple[str, list[Any]]]:
    return [(row["name"].strip(), [row["x"], row["y"], row["z"]]) for row in csv.DictReader(text.splitlines())]

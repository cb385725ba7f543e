"""What a source is, and which importer makes a patient of it; a new kind of source is one row here."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from assets.ct.hounsfield import MOST_LABELS
from assets.errors import InputError
from assets.importers.bare_ct import import_ct
from assets.importers.label_map import ImportOptions, import_labels
from assets.importers.label_volume import label_volume
from assets.importers.landmark_file import read_landmarks, with_given
from assets.importers.liver import part_liver
from assets.importers.mesh_set import MeshOptions, filled
from assets.importers.mesh_source import import_mesh_source, is_mesh_source
from assets.importers.volume import Content, Volume
from assets.importers.volume_file import FORMATS, read_volume, volume_format
from assets.mesh_files.read import ENDINGS
from assets.patient import Patient


@dataclass(frozen=True)
class Request:
    """What the user says about a source; an importer takes of it what concerns it."""

    scheme: str | Path | None = None
    """What the ids of a label map mean."""
    landmarks: Path | None = None
    """File of points: those that the colon visits, and others that win over what is found."""
    content: Literal["auto", "labels", "ct"] = "auto"
    """What the voxels of a volume are; auto: as the file or its numbers say."""
    options: ImportOptions = field(default_factory=ImportOptions)
    """How organs are made of a volume."""
    meshes: MeshOptions = field(default_factory=MeshOptions)
    """How mesh files are taken; which organs are filled with tetrahedra holds for volumes too."""


@dataclass(frozen=True)
class SourceKind:
    """One kind of source."""

    name: str
    """For people, with its extensions."""
    matches: Callable[[Path], bool]
    make: Callable[[Path, Request, Callable[[str], None]], Patient]


def import_source(path: Path, request: Request | None = None, report: Callable[[str], None] | None = None) -> Patient:
    """Make a patient of whatever a path holds.

    Args:
        path: A file or a folder.
        request: What is known about it.
        report: Called with what is being done.

    Raises:
        InputError: It is of no known kind, or cannot be used.
    """
    if not path.exists():
        raise InputError(f"expected a file or folder to import, found nothing at {path}")
    kind = next((one for one in KINDS if one.matches(path)), None)
    if kind is None:
        hint = "; it may be a table of names: give the volume, and this with --scheme" if _is_table(path) else ""
        raise InputError(f"expected {'; '.join(one.name for one in KINDS)}, found something else at {path}{hint}")
    return kind.make(path, request or Request(), report or (lambda _: None))


def _is_volume(path: Path) -> bool:
    return volume_format(path) is not None


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in (".ctbl", ".csv", ".json")


def _import_volume(path: Path, request: Request, report: Callable[[str], None]) -> Patient:
    report(f"reading {path.name}")
    volume = read_volume(path)
    labelled = content_of(volume, request) == "labels"
    patient = (_import_labels if labelled else _import_ct)(volume, path, request, report)
    return replace(patient, organs=tuple(filled(patient.organs, request.meshes, report)))


def _import_labels(volume: Volume, path: Path, request: Request, report: Callable[[str], None]) -> Patient:
    labels = label_volume(replace(volume, content="labels"), path, scheme=request.scheme)
    return import_labels(labels, path, landmarks=request.landmarks, options=request.options, report=report)


def _import_ct(volume: Volume, path: Path, request: Request, report: Callable[[str], None]) -> Patient:
    options = request.options
    if request.scheme is not None:
        raise InputError(f"expected a label map for a scheme, found a CT in {path}")
    if options.couinaud:
        raise InputError(f"expected a label map or meshes for Couinaud's segments, found a CT in {path}")
    given = read_landmarks(request.landmarks) if request.landmarks is not None else {}
    patient = import_ct(volume, path, organ_edge_mm=options.organ_edge_mm, licence=options.licence, report=report)
    return with_given(patient, given, str(request.landmarks))


def content_of(volume: Volume, request: Request) -> Content:
    """Tell labels from a CT: by what the user or the file says, else by the numbers."""
    if request.content != "auto":
        return request.content
    if volume.content is not None:
        return volume.content
    if request.scheme is not None:
        return "labels"
    voxels = volume.layers[0]
    if voxels.dtype.kind == "f" and not np.array_equal(voxels, np.rint(voxels)):
        return "ct"
    low, high = float(voxels.min()), float(voxels.max())
    if low < 0 or high > np.iinfo(np.uint16).max:
        return "ct"
    different = np.count_nonzero(np.bincount(np.ascontiguousarray(voxels, np.uint16).ravel()))
    return "labels" if different <= MOST_LABELS else "ct"


def _import_meshes(path: Path, request: Request, report: Callable[[str], None]) -> Patient:
    patient = import_mesh_source(path, request.meshes, report=report)
    return part_liver(patient, None) if request.options.couinaud else patient


KINDS = (
    SourceKind(f"mesh files ({', '.join(ENDINGS)}) or a SARAMIS folder", is_mesh_source, _import_meshes),
    SourceKind("; ".join(one.name for one in FORMATS), _is_volume, _import_volume),
)
"""In the order in which they are tried: a SARAMIS case holds volumes too."""

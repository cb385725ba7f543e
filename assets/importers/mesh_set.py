"""Make a patient of mesh files: one organ a file, or one an object of a scene."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from assets.errors import InputError
from assets.importers.hollow import openings
from assets.importers.landmark_file import read_landmarks
from assets.importers.mesh_frame import METRES, Frame, Unit, axes_matrix, find_axes, find_unit
from assets.importers.mesh_names import UNKNOWN, choose, read_mesh_names
from assets.importers.mesh_organs import Part, build_organs
from assets.importers.schemes import scheme_names
from assets.mesh_files.raw import RawMesh, joined
from assets.mesh_files.read import ENDINGS, read_mesh_file
from assets.patient import Organ, Patient
from assets.tetrahedralise import tetrahedralise

MAX_FILES = 2048
MAX_SET_BYTES = 1 << 29
"""Largest set that is read: 512 MiB."""


@dataclass(frozen=True)
class MeshOptions:
    """How mesh files are to be taken."""

    units: Unit | None = None
    """Unit of the files; None tells it by the sizes of organs, or the extent of the set."""
    axes: str | None = None
    """What the files' axes run to, such as RAS, LPS or LSA; None tells it by the files, or the places of organs."""
    names: Path | None = None
    """CSV with the columns file,label and perhaps kind, for files whose names say no structure."""
    scheme: str | Path | None = None
    """What the numbers in names such as `label_5.stl` mean."""
    landmarks: Path | None = None
    """Points to keep with the patient: CSV (name,x,y,z) or JSON, RAS [mm]."""
    tetrahedra: tuple[str, ...] = ()
    """Organs to fill with tetrahedra, by name, where no file has any."""
    tetrahedra_edge_mm: float | None = None
    """Wanted length of their edges [mm]; None for a twelfth of the organ's diagonal."""
    cache: Path | None = None
    """Folder in which tetrahedra are kept from run to run."""
    licence: str = "unknown: that of the imported files"
    """Of the data; it stays with the patient."""

    def __post_init__(self) -> None:
        if self.axes is not None:
            axes_matrix(self.axes)
        if self.units is not None and self.units not in METRES:
            raise InputError(f"expected units of {', '.join(METRES)}, found {self.units!r}")


@dataclass
class MeshSet:
    """What was read, before it is put in place."""

    parts: list[Part] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    """File and reason of everything that does not become an organ."""
    digests: dict[str, str] = field(default_factory=dict)
    """SHA-256 by file."""

    def leave_out(self, what: str, reason: str) -> None:
        """Keep the reason why something does not become an organ."""
        self.left_out.append({"what": " ".join(what.split()), "reason": " ".join(reason.split())})


def import_mesh_set(
    path: Path, options: MeshOptions | None = None, *, report: Callable[[str], None] | None = None
) -> Patient:
    """Import a mesh file, or a folder of them.

    Args:
        path: A file of `ENDINGS`, or a folder that holds such files; folders in it are not entered.
        options: How to take them.
        report: Called with what is being done.

    Returns:
        A patient whose provenance states unit, axes, and what was left out and why.

    Raises:
        InputError: Nothing can be used, or the unit cannot be told.
    """
    options, say = options or MeshOptions(), report or (lambda _: None)
    found = read_set(mesh_files(path), options, say)
    frame = find_frame(found.parts, options)
    organs = build_organs(found.parts, frame.T_ras_file, found.leave_out, say)
    patient = patient_of(path, organs, found, frame, options, importer="mesh_set", say=say)
    others = {organ.label: organ.surface.vertices.astype(np.float64) for organ in patient.organs}
    return replace(patient, orifices=openings(patient, others))


def mesh_files(path: Path) -> list[Path]:
    """Return the mesh files of a folder in the order of their names, or the file itself.

    Raises:
        InputError: There is none, or there are too many or too large ones.
    """
    if not path.is_dir():
        return [path]
    try:
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS and file.is_file())
        total = sum(file.stat().st_size for file in files)
    except OSError as error:
        raise InputError(f"expected a folder of mesh files, found {error.strerror} at {path}") from None
    if not 0 < len(files) <= MAX_FILES or total > MAX_SET_BYTES:
        raise InputError(
            f"expected 1 to {MAX_FILES} files of {', '.join(ENDINGS)} and {MAX_SET_BYTES} bytes at most, found "
            f"{len(files)} of {total} bytes in {path}"
        )
    return files


def read_set(files: Sequence[Path], options: MeshOptions, say: Callable[[str], None]) -> MeshSet:
    """Read files and tell what each object shows.

    Raises:
        InputError: The table of names or the scheme is none, or the only file is damaged.
    """
    given = read_mesh_names(options.names) if options.names is not None else {}
    scheme = scheme_names(options.scheme) if options.scheme is not None else {}
    found = MeshSet()
    for file in files:
        say(f"reading {file.name}")
        folder = file.parent.resolve()
        if file.is_symlink() and not file.resolve().is_relative_to(folder):
            found.leave_out(file.name, f"a link to {file.resolve()}, out of its folder")
            continue
        try:
            objects = read_mesh_file(file)
            found.digests[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        except InputError as error:
            if len(files) == 1:
                raise
            found.leave_out(file.name, str(error))
            continue
        choices = [choose(_candidates(file, mesh, len(objects)), given, scheme) for mesh in objects]
        whole = choose((file.name, file.stem), given, scheme)
        if len(objects) > 1 and whole[0] is not None and all(choice == UNKNOWN for choice in choices):
            objects, choices = (joined(objects),), [whole]  # patches of what the file's name says
        for index, (mesh, (structure, reason)) in enumerate(zip(objects, choices, strict=True)):
            what = file.name if len(objects) == 1 else f"{file.name}/{mesh.name or index}"
            if structure is None:
                found.leave_out(what, reason)
            else:
                found.parts.append(Part(what, structure, mesh))
    if not found.parts:
        listed = "; ".join(f"{row['what']}: {row['reason']}" for row in found.left_out[:5])
        raise InputError(f"expected at least one mesh of a structure of assets/labels.csv, found none: {listed}")
    return found


def _candidates(file: Path, mesh: RawMesh, count: int) -> tuple[str, ...]:
    """Return the names that may say what an object shows; the file's own only where it is the only object."""
    of_file = (file.name, file.stem) if count == 1 else ()
    of_object = (f"{file.name}/{mesh.name}", f"{file.stem}/{mesh.name}", mesh.name) if mesh.name else ()
    return of_file + of_object


def find_frame(parts: Sequence[Part], options: MeshOptions, landmarks: dict[str, Any] | None = None) -> Frame:
    """Tell unit and axes of what was read.

    Raises:
        InputError: They cannot be told, or files contradict each other.
    """
    boxes = {part.structure.name: (part.mesh.vertices.min(axis=0), part.mesh.vertices.max(axis=0)) for part in parts}
    extents: dict[str, float] = {}
    for part in parts:
        low, high = boxes[part.structure.name]
        if part.structure.name == "rectum_lumen" or part.structure.paired or part.structure.name[-1].isdigit():
            continue  # a part of the structure that the label names, or several
        extents[part.structure.label] = float((high - low).max())
    whole = np.max([high for _, high in boxes.values()], axis=0) - np.min([low for low, _ in boxes.values()], axis=0)
    unit, unit_from = find_unit(extents, float(whole.max()), options.units)
    stated = {part.mesh.axes for part in parts if part.mesh.axes is not None}
    if len(stated) > 1 and options.axes is None:
        raise InputError(f"expected one frame, found files that state {', '.join(sorted(stated))}; give --axes")
    centres = {name: (low + high) / 2 for name, (low, high) in boxes.items()}
    axes, axes_from = find_axes(centres | (landmarks or {}), next(iter(stated), None), options.axes, unit=METRES[unit])
    return Frame(unit, unit_from, axes, axes_from)


def patient_of(
    path: Path,
    organs: Sequence[Organ],
    found: MeshSet,
    frame: Frame,
    options: MeshOptions,
    *,
    importer: str,
    say: Callable[[str], None],
    provenance: dict[str, Any] | None = None,
) -> Patient:
    """Put a patient together, and fill the organs that were asked for with tetrahedra.

    Raises:
        InputError: No organ is left, or one that was asked for is not there.
    """
    if not organs:
        listed = "; ".join(f"{row['what']}: {row['reason']}" for row in found.left_out[:5])
        raise InputError(f"expected at least one surface that can be used, found none: {listed}")
    return Patient(
        name=re.sub(r"[^A-Za-z0-9]+", "_", path.stem if path.is_file() else path.resolve().name).strip("_")[:64]
        or "meshes",
        source=path.name,
        licence=options.licence,
        organs=tuple(filled(organs, options, say)),
        landmarks=read_landmarks(options.landmarks) if options.landmarks is not None else {},
        provenance={
            "importer": importer,
            "sha256": found.digests,
            "unit": frame.unit,
            "unit_from": frame.unit_from,
            "axes": frame.axes,
            "axes_from": frame.axes_from,
            "left_out": found.left_out,
            "notes": sorted({note for part in found.parts for note in part.mesh.notes}),
            **(provenance or {}),
        },
    )


def filled(organs: Sequence[Organ], options: MeshOptions, say: Callable[[str], None]) -> list[Organ]:
    """Fill organs with tetrahedra on demand.

    Raises:
        InputError: An organ is not there, or cannot be filled.
    """
    names = [organ.name for organ in organs]
    missing = [name for name in options.tetrahedra if name not in names]
    if missing:
        raise InputError(f"expected organs of {', '.join(names)} to fill with tetrahedra, found {missing[0]!r}")
    edge = options.tetrahedra_edge_mm
    result = []
    for organ in organs:
        if organ.name in options.tetrahedra and organ.tetrahedra is None:
            say(f"filling {organ.name}")
            mesh = tetrahedralise(organ.surface, edge=None if edge is None else edge * 1e-3, cache=options.cache)
            organ = replace(organ, tetrahedra=mesh)
        result.append(organ)
    return result

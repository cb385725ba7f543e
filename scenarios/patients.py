"""`trocar patient`: make one up, build one from a label map, check one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.table import Table

from assets.errors import InputError
from assets.importers.label_map import ImportOptions as LabelMapOptions
from assets.importers.label_map import import_label_map
from assets.mesh_check import MeshReport
from assets.patient import Patient
from assets.patient_check import OrganReport, check_patient
from assets.patient_io import load_patient, save_patient
from assets.sources import ANATOMIES
from scenarios.figures import CheckFailedError, Figure, show
from scenarios.pictures import path_map
from scenarios.progress import progress
from sim.atomic import atomic_file


@dataclass(frozen=True)
class SynthOptions:
    """Make up a patient from a seed; the same seed gives the same bytes."""

    out: Path
    """Folder of the patient; a patient that is there is replaced."""
    anatomy: Literal["colon", "polyposis"] = "colon"
    """What to make up: a colon with 3 to 8 polyps, or with 20 to 40 as in attenuated polyposis."""
    seed: int = 0
    """Decides the patient."""


@dataclass(frozen=True)
class ImportOptions:
    """Build a patient from a label map, such as a segmented CT."""

    source: tyro.conf.Positional[Path]
    """A .nii or .nii.gz with several labels, or a folder of CLASS.nii.gz."""
    out: Path
    """Folder of the patient; a patient that is there is replaced."""
    scheme: str | None = None
    """What the ids mean: totalsegmentator-v2, totalsegmentator-v1, saramis, or a CSV file of id,name; if not
    given, the file's header says it."""
    landmarks: Path | None = None
    """Points that the colon visits, in its order, where the labels cannot tell: CSV (name,x,y,z) or JSON, RAS [mm]."""
    licence: str = "unknown: that of the imported file"
    """Licence of the data; it stays with the patient."""


@dataclass(frozen=True)
class CheckOptions:
    """Check a patient folder: files, surfaces, centrelines, landmarks, orifices; exit 1 if anything is wrong."""

    folder: tyro.conf.Positional[Path]
    """The patient's folder, with its patient.json."""


def synth(options: SynthOptions) -> None:
    """Write a synthetic patient and a picture of it.

    Raises:
        InputError: The seed cannot be used, or the folder holds something else.
        OSError: The folder cannot be written.
    """
    _refuse_occupied(options.out)
    with progress(f"making {options.anatomy} {options.seed}", 1) as advance:
        patient = ANATOMIES[options.anatomy](options.seed)
        advance()
    _write(patient, options.out)


def import_source(options: ImportOptions) -> None:
    """Write the patient of a label map and a picture of it.

    Raises:
        InputError: The label map cannot be used, or the folder holds something else.
        OSError: The folder cannot be written.
    """
    _refuse_occupied(options.out)
    with progress(f"importing {options.source.name}", None) as advance:
        patient = import_label_map(
            options.source,
            scheme=options.scheme,
            landmarks=options.landmarks,
            options=LabelMapOptions(licence=options.licence),
            report=lambda line: advance(note=line),
        )
    _write(patient, options.out)


def check(options: CheckOptions) -> list[Figure]:
    """Print what is in a patient folder, a row an organ, and return the counts.

    Raises:
        InputError: There is no patient.
        CheckFailedError: Something in it is wrong; holds the figures too.
    """
    if not (options.folder / "patient.json").is_file():
        raise InputError(f"{options.folder}: expected a patient's folder, with its patient.json, found none")
    try:
        patient = load_patient(options.folder, surfaces=False)
    except InputError as error:
        raise CheckFailedError([str(error)]) from None
    reports = check_patient(patient)
    print(f"{patient.name}: {patient.source}, licence {patient.licence}")
    show(_table(patient, reports))
    faults = [f"{report.name}: {problem}" for report in reports for problem in report.problems]
    subset = f"patient/{patient.name}"
    figures = [
        Figure("patient.organs", subset, len(patient.organs), "organs", how="in patient.json"),
        Figure("patient.faults", subset, len(faults), "faults", n=len(reports), how="of all parts, see stderr"),
    ]
    if faults:
        raise CheckFailedError(faults, figures)
    return figures


def _table(patient: Patient, reports: list[OrganReport]) -> Table:
    organs = {organ.name: organ for organ in patient.organs}
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("part", "label", "kind", "material"):
        table.add_column(column)
    for column in ("triangles", "bodies", "genus", "area", "volume"):
        table.add_column(column, justify="right")
    table.add_column("found")
    for report in reports:
        organ, mesh = organs.get(report.name), report.mesh
        cells = [organ.label, organ.kind, organ.material] if organ else [""] * 3
        cells += _sizes(mesh) if mesh else [""] * 5
        verdict = f"[red]{len(report.problems)} wrong[/red]" if report.problems else "[green]well[/green]"
        table.add_row(report.name, *cells, verdict)
    return table


def _sizes(mesh: MeshReport) -> list[str]:
    genus = "?" if mesh.genus is None else str(mesh.genus)
    area, volume = f"{mesh.area * 1e4:.1f} cm2", f"{mesh.volume * 1e6:.1f} ml"
    return [str(mesh.triangle_count), str(mesh.body_count), genus, area, volume]


def _refuse_occupied(folder: Path) -> None:
    # `save_patient` would say so too, but only when the work is done.
    if folder.exists() and not (folder / "patient.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: expected a new folder or one with a patient, found something else")


def _write(patient: Patient, folder: Path) -> None:
    save_patient(patient, folder)
    with atomic_file(folder / "overview.png") as stream:
        stream.write(path_map(patient))
    print(f"{patient.name} is in {folder}; overview.png shows it")

"""`trocar patient`: make one up, build one from a label map, a CT or meshes, check one."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from rich.table import Table

from assets.abdomen.synthesis import synthetic_abdomen
from assets.colon.person import Sex
from assets.colon.synthesis import ColonPlan, synthetic_colon
from assets.errors import InputError
from assets.importers.detect import Request
from assets.importers.detect import import_source as import_any
from assets.importers.label_map import ImportOptions as LabelMapOptions
from assets.importers.mesh_frame import Unit
from assets.importers.mesh_set import MeshOptions
from assets.lumen.colon import ColonOptions
from assets.mesh_check import MeshReport
from assets.patient import Patient
from assets.patient_check import OrganReport, check_patient
from assets.patient_io import load_patient, save_patient
from assets.sources import ANATOMIES
from scenarios.figures import CheckFailedError, Figure, show
from scenarios.overview import overview
from scenarios.progress import progress
from sim.atomic import atomic_file


@dataclass(frozen=True)
class SynthOptions:
    """Make up a patient from a seed; the same seed gives the same bytes."""

    out: Path
    """Folder of the patient; a patient that is there is replaced."""
    anatomy: Literal["colon", "polyposis", "residue", "bronchi", "abdomen"] = "colon"
    """What to make up: a colon with 3 to 8 polyps, one with 20 to 40 as in attenuated polyposis, one badly prepared
    (fluid, stool, a collapsed stretch), an airway tree, or an abdomen inflated for laparoscopy."""
    seed: int = 0
    """Decides the patient."""
    tumour: bool = False
    """Grow a tumour in the liver of an abdomen."""
    sex: Sex | None = None
    """Of a colon's owner; the seed's choice if not given."""
    age: float | None = None
    """Of a colon's owner [years]; the seed's choice if not given."""
    diverticula: int | None = None
    """How many a colon has; as many as people of this age have if not given."""
    residue: bool = False
    """Leave fluid and stool in a colon."""
    collapsed: bool = False
    """Let a stretch of a colon fall together to a slit."""

    @property
    def plan(self) -> ColonPlan:
        """What is asked of a colon."""
        return ColonPlan(self.sex, self.age, self.diverticula, self.residue, self.collapsed)

    def __post_init__(self) -> None:
        if self.plan != ColonPlan() and self.anatomy != "colon":
            raise InputError(
                f"expected the anatomy colon for sex, age, diverticula, residue or collapsed, found {self.anatomy}"
            )
        if self.tumour and self.anatomy != "abdomen":
            raise InputError(f"expected the anatomy abdomen for a tumour of the liver, found {self.anatomy}")


@dataclass(frozen=True)
class ImportOptions:
    """Build a patient from a label map, a bare CT (NIfTI, NRRD, .seg.nrrd, MetaImage, DICOM, DICOM-SEG), or meshes."""

    source: tyro.conf.Positional[Path]
    """A volume; a folder of CLASS.nii.gz, or of one DICOM series; a mesh file (STL, PLY, OBJ, GLB, glTF, VTK, VTP, VTU,
    MSH), a folder of them, or a SARAMIS folder."""
    out: Path
    """Folder of the patient; a patient that is there is replaced."""
    scheme: str | None = None
    """What the ids mean: totalsegmentator-v2, totalsegmentator-v1, saramis, a CSV file of id,name, or Slicer's colour
    table (.ctbl); if not given, the file says it."""
    landmarks: Path | None = None
    """Points that the colon visits, in its order, where the labels cannot tell: CSV (name,x,y,z) or JSON, RAS [mm].
    larynx and carina, and every point of a source without a colon's lumen, win over what is found, and are kept."""
    content: Literal["auto", "labels", "ct"] = "auto"
    """What the voxels are; auto: as the file or its numbers say. Of a bare CT body, bones, lungs, airways and bowel gas
    are found by intensity, and marked as derived."""
    lumen: bool = True
    """Make a lumen of a labelled colon, with centreline and landmarks; else it is a solid organ."""
    couinaud: bool = False
    """Find out Couinaud's eight segments of the liver: as labelled, else by labelled portal branches, else by planes
    (approximate). porta_hepatis, vena_cava, gallbladder_fundus and umbilical_fissure in the landmarks' file win over
    what is found."""
    licence: str = "unknown: that of the imported file"
    """Licence of the data; it stays with the patient."""
    colon: tyro.conf.OmitArgPrefixes[ColonOptions] = field(default_factory=ColonOptions)
    """How the labelled colon becomes a lumen."""
    units: Unit | None = None
    """Unit of mesh files: mm, cm or m; if not given, the sizes of the organs tell it."""
    axes: str | None = None
    """What the axes of mesh files run to, such as RAS, LPS or LSA; if not given, the files or the places of the organs
    tell it."""
    names: Path | None = None
    """What mesh files show where their names do not say it: CSV of file,label and perhaps kind."""
    tetrahedra: tuple[str, ...] = ()
    """Organs to fill with tetrahedra, by name."""
    tetrahedra_edge_mm: float | None = None
    """Wanted length of their edges [mm]."""
    cache: Path | None = None
    """Folder in which tetrahedra are kept from run to run."""


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
        if options.tumour:
            patient = synthetic_abdomen(options.seed, tumour=True)
        elif options.plan != ColonPlan():
            patient = synthetic_colon(options.seed, options.plan)
        else:
            patient = ANATOMIES[options.anatomy](options.seed)
        advance()
    _write(patient, options.out)


def import_source(options: ImportOptions) -> None:
    """Write the patient of a label map, a CT or of meshes, and a picture of it; say what was left out and why.

    Raises:
        InputError: The source cannot be used, or the folder holds something else.
        OSError: The folder cannot be written.
    """
    _refuse_occupied(options.out)
    with progress(f"importing {options.source.name}", None) as advance:
        request = Request(
            options.scheme,
            options.landmarks,
            options.content,
            LabelMapOptions(
                lumen=options.lumen, colon=options.colon, licence=options.licence, couinaud=options.couinaud
            ),
            _mesh_options(options),
        )
        patient = import_any(options.source, request, lambda line: advance(note=line))
    _write(patient, options.out)
    for row in patient.provenance.get("left_out", []):
        print(f"left out: {row['what']}: {row['reason']}", file=sys.stderr)


def _mesh_options(options: ImportOptions) -> MeshOptions:
    given = {} if options.licence == ImportOptions.licence else {"licence": options.licence}
    return MeshOptions(
        units=options.units,
        axes=options.axes,
        names=options.names,
        scheme=options.scheme,
        landmarks=options.landmarks,
        tetrahedra=options.tetrahedra,
        tetrahedra_edge_mm=options.tetrahedra_edge_mm,
        cache=options.cache,
        **given,
    )


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
    lengths = {
        f"centreline {line.name}": f"{100 * np.linalg.norm(np.diff(line.points, axis=0), axis=1).sum():.1f} cm"
        for line in patient.centrelines
    }
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("part", "label", "kind", "material"):
        table.add_column(column)
    for column in (
        "triangles",
        "closed",
        "manifold",
        "bodies",
        "genus",
        "crossings",
        "area",
        "volume",
        "tetrahedra",
        "length",
    ):
        table.add_column(column, justify="right")
    table.add_column("found")
    for report in reports:
        organ, mesh = organs.get(report.name), report.mesh
        cells = [organ.label, organ.kind, organ.material] if organ else [""] * 3
        cells += _sizes(mesh, report.crossings) if mesh else [""] * 8
        solid = report.tetrahedra
        cells.append(f"{solid.count} >= {solid.least_quality:.2f}" if solid else "")
        cells.append(lengths.get(report.name, ""))
        verdict = f"[red]{len(report.problems)} wrong[/red]" if report.problems else "[green]well[/green]"
        table.add_row(report.name, *cells, verdict)
    return table


def _sizes(mesh: MeshReport, crossings: int | None) -> list[str]:
    genus = "?" if mesh.genus is None else str(mesh.genus)
    area, volume = f"{mesh.area * 1e4:.1f} cm2", f"{mesh.volume * 1e6:.1f} ml"
    crossed = "?" if crossings is None else str(crossings)
    sound = ["yes" if held else "no" for held in (mesh.closed, mesh.manifold)]
    return [str(mesh.triangle_count), *sound, str(mesh.body_count), genus, crossed, area, volume]


def _refuse_occupied(folder: Path) -> None:
    # `save_patient` would say so too, but only when the work is done.
    if folder.exists() and not (folder / "patient.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: expected a new folder or one with a patient, found something else")


def _write(patient: Patient, folder: Path) -> None:
    save_patient(patient, folder)
    with atomic_file(folder / "overview.png") as stream:
        stream.write(overview(patient))
    print(f"{patient.name} is in {folder}; overview.png shows it")

"""Make a patient of a CT's label map: the organs that are there, and of a colon one that a scope can pass."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from scipy import ndimage

from assets.couinaud import LANDMARKS
from assets.errors import InputError
from assets.importers.airways import MARKS, with_airway_tree
from assets.importers.hollow import with_lumens
from assets.importers.label_volume import LabelVolume, read_label_volume
from assets.importers.landmark_file import read_landmarks, with_given
from assets.importers.liver import part_liver
from assets.importers.organ_surfaces import Occupied, organ_surfaces
from assets.importers.tubes import with_tube_lines
from assets.labels import load_labels
from assets.lumen.alterations import ADDED, CAUSES, REMOVED
from assets.lumen.colon import Colon, ColonOptions, build_colon
from assets.lumen.colon_route import ORDER
from assets.lumen.curves import tangents
from assets.patient import Centreline, Organ, Orifice, Patient
from assets.transforms import apply

MIDLINE = ("sacrum", "vertebrae_S1", "vertebrae_L5", "vertebrae_L4", "vertebrae_L3", "vertebrae_L2", "urinary_bladder")
"""Structures that lie on the mid-sagittal plane, in the order of preference."""


@dataclass(frozen=True)
class ImportOptions:
    """What to make of a label map."""

    colon: ColonOptions = field(default_factory=ColonOptions)
    lumen: bool = True
    """Make the colon's lumen where there is a colon; without it the colon is an organ like the others."""
    organs: bool = True
    """Make closed surfaces of the other structures."""
    organ_edge_mm: float = 6.0
    """Edge of the other structures' triangles, about [mm]."""
    licence: str = "unknown: that of the imported file"
    """Of the data; it stays with the patient."""
    couinaud: bool = False
    """Find out the eight segments of the liver; landmarks of `assets.couinaud.LANDMARKS` are taken from the file of
    landmarks."""

    def __post_init__(self) -> None:
        if not 1.0 <= self.organ_edge_mm <= 30.0:
            raise InputError(f"expected organ_edge_mm from 1 to 30, found {self.organ_edge_mm}")
        if self.couinaud and not self.organs:
            raise InputError("expected organs for Couinaud's segments, found them turned off")
        if not (self.lumen or self.organs):
            raise InputError("expected something to import, found both lumen and organs turned off")


def import_label_map(
    path: Path,
    *,
    scheme: str | Path | None = None,
    landmarks: Path | None = None,
    altered: Path | None = None,
    options: ImportOptions | None = None,
    report: Callable[[str], None] | None = None,
) -> Patient:
    """Import a label map.

    Args:
        path: NIfTI, NRRD, MetaImage or DICOM; or a folder of `<class>.nii.gz`.
        scheme: What the ids mean where the file does not say it: `totalsegmentator-v2`, `totalsegmentator-v1`,
            `saramis`, or a file of names (see `schemes.CHOICES`).
        landmarks: Points that the colon visits, in its order: CSV (name,x,y,z) or JSON, RAS [mm]. Names are `anus`,
            `rectosigmoid`, `sigmoid_descending`, `splenic_flexure`, `hepatic_flexure`, `caecum`; any other name is a
            way point, but for `larynx` and `carina`. Without a colon's lumen they win over what is found, and are kept.
        altered: NIfTI file to write: 1 + the index in `CAUSES` of why a voxel of the lumen's grid differs from the
            label.
        options: What to make of it.
        report: Called with what is being done.

    Raises:
        InputError: The input is missing, damaged, of unknown scheme, holds nothing that is known, or no whole colon.
    """
    (report or (lambda _: None))(f"reading {path.name}")
    volume = read_label_volume(path, scheme=scheme)
    return import_labels(volume, path, landmarks=landmarks, altered=altered, options=options, report=report)


def import_labels(
    volume: LabelVolume,
    path: Path,
    *,
    landmarks: Path | None = None,
    altered: Path | None = None,
    options: ImportOptions | None = None,
    report: Callable[[str], None] | None = None,
) -> Patient:
    """Import a label map that was read from `path`; the rest is as of `import_label_map`.

    Raises:
        InputError: It holds nothing that is known, or no whole colon.
    """
    options, say = options or ImportOptions(), report or (lambda _: None)
    given = read_landmarks(landmarks) if landmarks is not None else {}
    of_liver = {name: given.pop(name) for name in LANDMARKS if name in given} if options.couinaud else {}
    if not volume.names:
        raise InputError(f"expected labelled voxels, found an empty mask in {path}")
    left_out = volume.left_out
    if len(left_out) == len(set(volume.names.values())):
        raise InputError(
            f"expected structures of assets/labels.csv such as liver, found {', '.join(list(left_out)[:6])} "
            f"({len(left_out)} names, none of them known) in {path}; give --scheme names.csv with the columns id,name"
        )
    if left_out:
        say(f"left out, for assets/labels.csv does not know them: {', '.join(left_out)}")
    colon = None
    whole_colon = options.lumen and "colon" in volume.names.values()
    if not whole_colon and set(given) & set(ORDER):
        raise InputError(f"expected a colon for the landmarks of {landmarks}, found none in {path}")
    elsewhere = {name: given.pop(name) for name in list(given) if name in MARKS or not whole_colon}
    if whole_colon:
        try:
            colon = build_colon(
                volume.mask("colon"),
                volume.T_world_index,
                middle=_middle(volume),
                iliac_crest=_top(volume, "hip_left"),
                bone=_bone_surface(volume),
                given=given,
                options=options.colon,
                report=report,
            )
        except InputError as error:
            raise InputError(f"{error}; --no-lumen imports the colon as a solid organ") from None
        if altered is not None:
            _write_altered(colon, altered)
    organs: tuple[Organ, ...] = ()
    displaced: dict[str, int] = {}
    if options.organs:
        say("meshing the other organs")
        occupied = Occupied.around(colon.lumen, options.colon.wall_mm * 1e-3) if colon else None
        without = {"colon"} if colon else set()
        organs, displaced = organ_surfaces(volume, without, occupied, options.organ_edge_mm * 1e-3)
    if colon is None and not organs:
        raise InputError(
            f"expected something to import, found nothing left of {', '.join(sorted(set(volume.names.values()))[:6])} "
            f"with these options in {path}"
        )
    provenance = {
        "importer": "label_map",
        "format": volume.format,
        "layers": len(volume.layers),
        "sha256": volume.sha256,
        "names_from": volume.origin_of_names,
        "left_out_names": sorted(left_out),
        "left_out_voxels": left_out,
        "options": asdict(options),
        "given_landmarks_mm": {name: np.round(point * 1e3, 3).tolist() for name, point in (given | of_liver).items()},
        "displaced_organ_voxels": displaced,
        **(_colon_provenance(colon) if colon else {}),
    }
    patient = Patient(
        name=patient_name(path),
        source=path.name,
        licence=options.licence,
        organs=(*((_colon_organ(colon),) if colon else ()), *organs),
        centrelines=(Centreline("colon", colon.points, colon.radius),) if colon else (),
        landmarks={name: colon.points[index] for name, index in colon.landmarks.items()} if colon else {},
        orifices=(_anus(colon),) if colon else (),
        provenance=provenance,
    )
    if options.organs:
        say("telling lumens from walls, and following airways, gut and vessels")
        patient = with_airway_tree(with_lumens(patient, volume, options.organ_edge_mm * 1e-3), volume)
        patient = with_tube_lines(patient, volume, say)
    if options.couinaud:
        say("parting the liver")
        patient = part_liver(patient, volume, of_liver)
    return with_given(patient, elsewhere, str(landmarks))


def patient_name(path: Path) -> str:
    """Return a name that is fit for files, made of the source's: without extension, other characters as `_`."""
    stem = path.resolve().name
    for extension in (".gz", ".nii", ".nrrd", ".nhdr", ".seg", ".mha", ".mhd", ".dcm"):
        stem = stem[: -len(extension)] if stem.lower().endswith(extension) else stem
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-")[:64] or "patient"


def _colon_organ(colon: Colon) -> Organ:
    return Organ("colon_lumen", "colon_wall", "lumen", "colon_mucosa", colon.surface, dict(colon.figures))


def _anus(colon: Colon) -> Orifice:
    inward = np.asarray(tangents(colon.points)[0])
    return Orifice("anus", "colon_lumen", colon.points[0], inward, colon.orifice_radius)


def _colon_provenance(colon: Colon) -> dict[str, object]:
    return {
        "altered_voxels": {
            "voxel_mm": colon.figures["voxel_mm"],
            "label": colon.figures["label_voxels"],
            "lumen": colon.figures["lumen_voxels"],
            "added": colon.lumen.alterations.counts(ADDED),
            "removed": colon.lumen.alterations.counts(REMOVED),
        },
        "altered_places": list(colon.lumen.alterations.places),
        "notes": [
            "The anus is inferred: the label ends above it, and an anal canal was added.",
            "Bends tighter than least_bend_mm were opened, as a scope opens those of a soft colon; limbs moved along.",
            "Pouches (haustra) and folds are made up; stool and air in the label count as lumen.",
        ],
    }


def _write_altered(colon: Colon, path: Path) -> None:
    T_world_index = np.diag([1e3, 1e3, 1e3, 1.0]) @ colon.lumen.grid.T_world_index
    image = nib.Nifti1Image(colon.lumen.alterations.cause, T_world_index)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = ("1..n: " + " ".join(CAUSES)).encode()[:79]
    try:
        nib.save(image, path)
    except (OSError, ImageFileError) as error:
        raise InputError(f"expected to write the altered voxels (.nii.gz), found {error}: {path}") from None


def _bone_surface(volume: LabelVolume) -> NDArray[np.float64]:
    """Return the centres of the outermost voxels of bones, RAS [m], shape (n, 3)."""
    table = load_labels()
    ids = [label for label, name in volume.names.items() if name in table and table[name].group == "bone"]
    bone = np.any([np.isin(layer, ids) for layer in volume.layers], axis=0)
    voxels = np.argwhere(bone & ~ndimage.binary_erosion(bone))
    return apply(volume.T_world_index, voxels.astype(np.float64))


def _middle(volume: LabelVolume) -> float:
    """Return x of the mid-sagittal plane [m]."""
    present = set(volume.names.values())
    name = next((name for name in MIDLINE if name in present), None)
    voxels = np.argwhere(volume.mask(name) if name else volume.data > 0)
    return float(apply(volume.T_world_index, voxels.mean(axis=0))[0])


def _top(volume: LabelVolume, name: str) -> float | None:
    """Return the largest z of a structure [m], or None where it is not labelled."""
    if name not in volume.names.values():
        return None
    voxels = np.argwhere(volume.mask(name))
    return float(apply(volume.T_world_index, voxels.astype(np.float64))[:, 2].max())

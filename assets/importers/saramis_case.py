"""Import a SARAMIS case folder: `full_meshes/<organ>/`, beside the CT and its segmentation."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from assets.errors import InputError
from assets.importers.hollow import openings
from assets.importers.mesh_frame import Frame, axes_matrix
from assets.importers.mesh_names import Structure
from assets.importers.mesh_organs import Part, build_organs
from assets.importers.mesh_set import MeshOptions, MeshSet, find_frame, patient_of
from assets.importers.saramis_frame import T_ras_mesh, VolumeFrame, read_volume_frame
from assets.importers.saramis_hollow import with_shells
from assets.importers.saramis_variants import (
    MARCHING_CUBES,
    Variants,
    find_variants,
    read_one,
    shared_offset,
    take_surface,
    take_tetrahedra,
    uncentred,
)
from assets.labels import load_labels
from assets.lumen.surface import offset_to_volume
from assets.mending.bodies import signed_volume
from assets.mesh_check import check_mesh
from assets.patient import Organ, Patient

LICENCE = "CC-BY-NC-SA 4.0 (SARAMIS)"
MAX_ORGANS = 256
VOLUME_SHARE = 0.01
"""Organs whose smoothing changed the volume by more than this get it back by moving the surface along its normals."""
MOST_LOSS = 0.6
"""Where smoothing changed the volume by more than this share, the surface is refused."""

NOTES = (
    "Texture coordinates are not used; in SARAMIS their v runs from the top (v -> 1 - v).",
    "Organs go by the names of their folders; ids of neither table, of 104 or of 106 classes, are used.",
)


@dataclass
class _Case:
    """What was read of a case."""

    found: MeshSet = field(default_factory=MeshSet)
    variant: dict[str, str] = field(default_factory=dict)
    volume_mm3: dict[str, float] = field(default_factory=dict)
    hollow: dict[str, Path] = field(default_factory=dict)


def case_folder(path: Path) -> Path | None:
    """Return the folder that holds `full_meshes`: the case itself, or its `Orig`; None where it is no SARAMIS case."""
    return next((folder for folder in (path, path / "Orig") if (folder / "full_meshes").is_dir()), None)


def import_saramis_case(
    path: Path, options: MeshOptions | None = None, *, report: Callable[[str], None] | None = None
) -> Patient:
    """Import a case: every organ whose name `assets/labels.csv` knows, in the scanner's RAS where the volume tells it.

    Args:
        path: `amos_XXXX` with its `Orig`, `case_XXXXX`, or `sXXXX`.
        options: How to take it; `units` is millimetres always.
        report: Called with what is being done.

    Raises:
        InputError: The folder is no case, or holds no surface that can be used.
    """
    options, say = options or MeshOptions(), report or (lambda _: None)
    folder = case_folder(path)
    if folder is None:
        raise InputError(f"expected a SARAMIS case with full_meshes, found none in {path}")
    variants = _organ_folders(folder / "full_meshes")
    offset = shared_offset(variants)
    case = _read(variants, offset, say)
    found = case.found
    if not found.parts:
        listed = "; ".join(f"{row['what']}: {row['reason']}" for row in found.left_out[:5])
        raise InputError(f"expected organs in {folder / 'full_meshes'}, found none that can be used: {listed}")
    placed = any(variant != "centered_global" for variant in case.variant.values()) or offset is not None
    T, frame, aligned = _place(folder, found, options, placed)
    organs = _with_volumes(build_organs(found.parts, T, found.leave_out, say), case, T)
    organs, hollow = with_shells(organs, case.hollow, offset, T, found.leave_out, found.digests)
    if options.licence == MeshOptions().licence:
        options = replace(options, licence=LICENCE)
    patient = patient_of(
        path,
        organs,
        found,
        frame,
        options,
        importer="saramis_case",
        say=say,
        provenance={
            "aligned_to": aligned,
            "shared_offset_mm": None if offset is None else np.round(offset, 4).tolist(),
            "hollow_used": hollow,
            "hollow_not_used": [name for name in case.hollow if name not in hollow],
            "saramis": list(NOTES),
        },
    )
    others = {organ.label: organ.surface.vertices.astype(np.float64) for organ in patient.organs}
    return replace(patient, orifices=openings(patient, others))


def _organ_folders(meshes: Path) -> list[Variants]:
    folders = sorted(item for item in meshes.iterdir() if item.is_dir() and not item.is_symlink())
    if not 0 < len(folders) <= MAX_ORGANS:
        raise InputError(f"expected 1 to {MAX_ORGANS} folders of organs, found {len(folders)} in {meshes}")
    return [find_variants(folder) for folder in folders]


def _read(variants: Sequence[Variants], offset: Float64[np.ndarray, "3"] | None, say: Callable[[str], None]) -> _Case:
    case, labels, mixed = _Case(), load_labels(), uncentred(variants)
    found = case.found
    for own in variants:
        if own.organ not in labels:
            found.leave_out(own.organ, "no structure of assets/labels.csv has this name")
            continue
        say(f"reading {own.organ}")
        structure = Structure(own.organ, own.organ, "solid")
        if own.hollow is not None:
            case.hollow[own.organ] = own.hollow
        tetrahedra, file, refused = take_tetrahedra(own, offset, mixed=mixed)
        for name, reason in refused:
            found.leave_out(name, reason)
        try:
            surface, case.variant[own.organ], cubes = take_surface(own, offset, mixed=mixed)
        except InputError as error:
            case.variant.pop(own.organ, None)
            found.leave_out(own.organ, str(error))
            continue
        for path in (own.smooth or own.raw or own.shared, file):
            if path is not None:
                found.digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        fallback = None
        if cubes is not None:
            fallback = partial(_marching_cubes, own, structure)
            case.volume_mm3[own.organ] = abs(signed_volume(cubes.vertices, cubes.triangles))
        found.parts.append(Part(f"{own.organ} ({case.variant[own.organ]})", structure, surface, fallback))
        if tetrahedra is not None and file is not None:
            found.parts.append(Part(file.name, structure, tetrahedra))
    return case


def _marching_cubes(own: Variants, structure: Structure) -> Part:
    """Read what is taken where the decimated surface cannot be mended; all at once would take too much memory."""
    assert own.raw is not None
    return Part(f"{own.organ} ({MARCHING_CUBES})", structure, read_one(own.raw))


def _place(
    folder: Path, found: MeshSet, options: MeshOptions, placed: bool
) -> tuple[Float64[np.ndarray, "4 4"], Frame, str | None]:
    """Return what maps meshes to RAS [m]: by the volume's header, else by the axes that the organs tell."""
    if options.axes is None and placed:
        volume = _volume(folder, found)
        if volume is not None:
            boxes = [(part.mesh.vertices.min(axis=0), part.mesh.vertices.max(axis=0)) for part in found.parts]
            try:
                T = T_ras_mesh(volume, boxes)
                return T, Frame("mm", "SARAMIS", "RAS", f"header of {volume.source}"), volume.source
            except InputError as error:
                found.leave_out("the scanner's frame", str(error))
    frame = find_frame(found.parts, replace(options, units="mm"))
    frame = replace(frame, unit_from="SARAMIS")
    axes_matrix(frame.axes)
    return frame.T_ras_file, frame, None


def _volume(folder: Path, found: MeshSet) -> VolumeFrame | None:
    """Read the first header that can be read: segmentation before CT."""
    files = [folder / "auto_seg.seg.nrrd", folder / "auto_seg_pre.seg.nrrd", *sorted(folder.glob("*.nii.gz"))]
    for file in files:
        if file.is_file() and not file.is_symlink():
            try:
                return read_volume_frame(file)
            except InputError as error:
                found.leave_out(file.name, str(error))
    found.leave_out("the scanner's frame", "expected auto_seg.seg.nrrd or a .nii.gz beside full_meshes, found none")
    return None


def _with_volumes(organs: Sequence[Organ], case: _Case, T: Float64[np.ndarray, "4 4"]) -> list[Organ]:
    """Give organs the volume that smoothing took: Laplacian steps shrink thin vessels by a tenth to a half."""
    scale = abs(float(np.linalg.det(T[:3, :3])))
    result = []
    for organ in organs:
        variant = MARCHING_CUBES if MARCHING_CUBES in organ.attributes["from"] else case.variant[organ.name]
        attributes = organ.attributes | {"variant": variant}
        wanted = case.volume_mm3.get(organ.name, 0.0) * scale
        has = check_mesh(organ.surface).volume
        change = has / wanted - 1 if wanted > 0 else 0.0
        attributes["volume_change_by_smoothing"] = round(change, 4) if wanted > 0 else None
        if abs(change) > MOST_LOSS:
            case.found.leave_out(organ.name, f"smoothing changed its volume by {100 * change:.0f} %")
            continue
        if abs(change) > VOLUME_SHARE and organ.tetrahedra is None:
            surface = offset_to_volume(organ.surface, wanted)
            if not check_mesh(surface).problems:
                attributes["volume_ml"] = round(check_mesh(surface).volume * 1e6, 4)
                organ = replace(organ, surface=surface)
        result.append(replace(organ, attributes=attributes))
    return result

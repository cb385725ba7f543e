"""Make a patient of a CT without labels: what intensity and connectivity can tell, each marked as derived."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from assets.ct.air import air_structures
from assets.ct.body import body, bones
from assets.ct.hounsfield import scan_of
from assets.errors import InputError
from assets.importers.airways import with_airway_tree
from assets.importers.hollow import AIR, with_lumens
from assets.importers.label_map import patient_name
from assets.importers.label_volume import LabelVolume
from assets.importers.organ_surfaces import organ_surfaces
from assets.importers.volume import Volume
from assets.patient import Patient


def import_ct(
    volume: Volume,
    path: Path,
    *,
    organ_edge_mm: float = 6.0,
    licence: str = "unknown: that of the imported file",
    report: Callable[[str], None] | None = None,
) -> Patient:
    """Find body, bones, airways, lungs and bowel gas in a CT.

    Every organ has the attributes `derived`, `confidence` (high, medium, low), `confidence_reason` and `method`; what
    could not be told stands in the provenance under `not_told`.

    Args:
        volume: As read.
        path: Its file or folder.
        organ_edge_mm: Edge of the triangles, about [mm].
        licence: Of the data.
        report: Called with what is being done.

    Raises:
        InputError: It is no CT in Hounsfield units, or nothing can be told.
    """
    say = report or (lambda _: None)
    scan = scan_of(volume, path)
    say("finding body and bones by intensity")
    skin = body(scan)
    skeleton = bones(scan, skin.mask)
    say("finding airways, lungs and bowel gas by connectivity")
    aerated, not_told = air_structures(scan, skin.mask)
    if skeleton is None:
        not_told.append("bone: no region dense enough")
    found = [*([skeleton] if skeleton else []), *aerated]
    layer = np.zeros(scan.hounsfield.shape, np.uint16)
    names = {1: "body"}
    for number, one in enumerate(found, start=2):
        layer[one.mask & (layer == 0)] = number
        names[number] = one.name
    labels = LabelVolume(
        layer, scan.T_world_index, names, "derived", volume.sha256, (skin.mask.astype(np.uint16),), volume.format
    )
    say("meshing")
    organs, _ = organ_surfaces(labels, set(), None, organ_edge_mm * 1e-3)
    if not organs:
        raise InputError(f"expected a body, found nothing to mesh in {path}")
    derived = {one.name: one for one in (skin, *found)}
    marked = tuple(
        replace(
            organ,
            attributes={
                **organ.attributes,
                "derived": True,
                "confidence": derived[organ.name].confidence,
                "confidence_reason": derived[organ.name].reason,
                "method": derived[organ.name].method,
            },
        )
        for organ in organs
    )
    patient = Patient(
        name=patient_name(path),
        source=path.name,
        licence=licence,
        organs=marked,
        provenance={
            "importer": "bare_ct",
            "format": volume.format,
            "sha256": volume.sha256,
            "voxel_mm": np.round(scan.spacing * 1e3, 4).tolist(),
            "derived": [organ.name for organ in marked],
            "not_told": not_told,
            "notes": [
                *volume.notes,
                "Nothing here was labelled by a person or a network: each organ's attributes say how it was found.",
            ],
        },
    )
    return with_airway_tree(with_lumens(patient, labels, organ_edge_mm * 1e-3, air=(*AIR, "colon")), labels)

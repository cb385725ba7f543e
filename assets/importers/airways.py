"""Give an imported airway its tree of centrelines, from the trachea to the bronchi."""

from dataclasses import replace

from assets.importers.label_volume import LabelVolume
from assets.lumen.airway_tree import airway_tree
from assets.patient import Patient

NAMES = ("airways", "trachea")
"""Labels of an airway; the first that occurs is taken: the second one's bronchi end near the carina."""


MARKS = ("larynx", "carina")
"""Landmarks that the tree tells, where they are not given."""


def with_airway_tree(patient: Patient, volume: LabelVolume) -> Patient:
    """Add the centrelines of the airway, and the landmarks `larynx` and `carina`.

    Args:
        patient: Made of the volume.
        volume: Where the airway is a label.

    Returns:
        The patient with the centreline `trachea` and one of `bronchi_NAME` to each blind end, all from the trachea's
        upper end on; the organ's attribute `branches` holds the tree as that of synthetic bronchi does. Without an
        airway, or where it is too small to have an axis, the patient as it is.
    """
    name = next((name for name in NAMES if any(organ.label == name for organ in patient.organs)), None)
    if name is None:
        return patient
    tree = airway_tree(volume.mask(name), volume.T_world_index)
    if tree is None:
        return patient
    found = {
        "branches": [branch.row() for branch in tree.branches],
        "skeleton": {
            "voxel_mm": round(tree.voxel * 1e3, 4),
            "twigs_cut": tree.twigs_cut,
            "rings_cut": tree.rings_cut,
        },
    }
    organs = tuple(
        replace(organ, attributes=organ.attributes | found) if organ.label == name else organ
        for organ in patient.organs
    )
    marks = {"larynx": tree.branches[0].points[0].copy()}
    if tree.carina is not None:
        marks["carina"] = tree.carina.copy()
    return replace(
        patient,
        organs=organs,
        centrelines=(*patient.centrelines, *tree.lines()),
        landmarks=marks | patient.landmarks,
    )

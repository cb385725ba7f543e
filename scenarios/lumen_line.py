"""The centreline that an endoscope goes along: one that lies in a lumen, not in a solid vessel."""

from assets.mesh_check import winding_number
from assets.patient import Centreline, Patient


def lumen_line(patient: Patient) -> Centreline | None:
    """Return the first centreline whose middle lies within a lumen's surface; None if there is none."""
    lumens = [organ.surface for organ in patient.organs if organ.kind == "lumen"]
    for line in patient.centrelines:
        middle = line.points[[len(line.points) // 2]]
        if any(winding_number(lumen, middle)[0] > 0.5 for lumen in lumens):
            return line
    return None

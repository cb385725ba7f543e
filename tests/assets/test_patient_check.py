from dataclasses import replace

import numpy as np
import pytest

from assets.mesh import Mesh
from assets.patient import Centreline, Organ, Patient
from assets.patient_check import check_patient


def rod(radius: float, half: float) -> Mesh:
    """A closed prism of 24 sides about the z axis, twelve rings high."""
    turn = 2 * np.pi * np.arange(24) / 24
    ring = radius * np.column_stack([np.cos(turn), np.sin(turn)])
    heights = np.linspace(-half, half, 12)
    vertices = np.concatenate([np.column_stack([ring, np.full(24, z)]) for z in heights])
    triangles = []
    for level in range(11):
        for n in range(24):
            a, b = 24 * level + n, 24 * level + (n + 1) % 24
            triangles += [(a, b, b + 24), (a, b + 24, a + 24)]
    low, high = len(vertices), len(vertices) + 1
    vertices = np.concatenate([vertices, [[0, 0, -half], [0, 0, half]]])
    top = 24 * 11
    triangles += [(low, (n + 1) % 24, n) for n in range(24)]
    triangles += [(high, top + n, top + (n + 1) % 24) for n in range(24)]
    return Mesh(vertices.astype(np.float32), np.array(triangles, np.int32))


def vessel(name: str = "portal_segment_5_0", shift: float = 0.0, radius: float = 0.0035) -> Patient:
    """A solid portal vein, 8 mm wide, with one centreline along its axis, or beside it."""
    line = np.column_stack([np.full(30, shift), np.zeros(30), np.linspace(-0.035, 0.035, 30)])
    organs = (
        Organ("portal_vein", "portal_vein_and_splenic_vein", "solid", "vessel", rod(0.004, 0.04)),
        Organ("liver", "liver", "solid", "liver", rod(0.06, 0.07)),
    )
    return Patient("p", "a test", "none", organs, (Centreline(name, line, np.full(30, radius)),))


def problems(patient: Patient) -> list[str]:
    return [problem for report in check_patient(patient) for problem in report.problems]


def test_a_centreline_may_lie_in_a_solid_of_its_name():
    assert problems(vessel()) == []
    # the label's first word counts as the name's does
    patient = vessel()
    renamed = tuple(replace(organ, name="tube") if organ.name == "portal_vein" else organ for organ in patient.organs)
    assert problems(replace(patient, organs=renamed)) == []


def test_a_centreline_that_leaves_its_solid_is_told():
    (found,) = problems(vessel(shift=0.006, radius=0.0001))
    assert "every point inside portal_vein" in found


def test_a_radius_that_leaves_the_solid_is_told():
    (found,) = problems(vessel(radius=0.0065))
    assert "inside portal_vein, found one 2.5 mm too large" in found


@pytest.mark.parametrize("name", ["colon", "splenic_artery"])
def test_a_centreline_in_an_organ_of_another_name_is_told(name):
    # it lies in the liver and in the vein, yet is neither's
    assert problems(vessel(name)) == ["expected a lumen or a solid of its name about it, found none"]

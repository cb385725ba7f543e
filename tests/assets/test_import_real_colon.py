"""The real colon: fused limbs, collapsed parts, and no anal canal (skipped where the data are absent)."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from assets.colon.course import SHARPEST
from assets.importers.label_map import ImportOptions, import_label_map
from assets.labels import load_labels
from assets.lumen.colon import ColonOptions
from assets.lumen.curves import bend_radii
from assets.mesh_check import check_mesh, winding_number
from assets.patient_check import check_patient

DATA = Path(__file__).parents[2].parent / "shared" / "realdata"
SOURCE = DATA / "ct" / "totalseg_example" / "example_seg_full.nii.gz"
ORDER = ["anus", "rectosigmoid", "sigmoid_descending", "splenic_flexure", "hepatic_flexure", "caecum"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SOURCE.is_file(), reason=f"real data are absent: no {SOURCE.name} beside the project"),
]


@pytest.fixture(scope="module")
def patient():
    # A coarser lumen than the usual one, for time; the way and the splitting are the same.
    return import_label_map(SOURCE, options=ImportOptions(colon=ColonOptions(voxel_mm=2.0, triangles=60_000)))


@pytest.fixture(scope="module")
def line(patient):
    return next(centreline for centreline in patient.centrelines if centreline.name == "colon")


def passes(line, place_mm, within_mm=25.0) -> int:
    """Return where along the centreline a place known from the scan is passed, in points."""
    distance = np.linalg.norm(line.points - np.array(place_mm) * 1e-3, axis=1)
    assert distance.min() * 1e3 < within_mm, place_mm
    return int(np.argmin(distance))


def test_nothing_is_wrong_with_it(patient):
    assert [report for report in check_patient(patient) if report.problems] == []
    report = check_mesh(patient.organs[0].surface)
    assert (report.genus, report.body_count) == (0, 1)


def test_length(line):
    assert 1.2 <= np.linalg.norm(np.diff(line.points, axis=0), axis=1).sum() <= 1.8


def test_the_way_visits_the_places_seen_in_the_scan_in_their_order(line):
    # Read off the CT slice by slice, independent of the importer.
    places = [
        (0, 105, 115),  # rectum
        (20, 137, 185),
        (-10, 176, 199),  # the narrow rectosigmoid
        (-60, 200, 175),  # sigmoid
        (-90, 212, 220),
        (-105, 222, 290),
        (-117, 188, 298),  # second limb of the sigmoid
        (-100, 158, 242),
        (-115, 152, 298),  # descending colon
        (-110, 190, 375),
        (-85, 226, 375),  # transverse colon
        (-10, 233, 250),
        (25, 217, 192),
        (75, 220, 260),
        (55, 242, 335),  # hepatic flexure, the gas dome
        (100, 190, 305),  # ascending colon
        (108, 165, 270),  # caecum
    ]
    found = [passes(line, place) for place in places]
    assert found == sorted(set(found))


def test_the_short_cut_from_sigmoid_to_transverse_is_closed(line, patient):
    # Near (-94, 218, 316) both limbs pass; along the colon they are far apart, and a wall is between them.
    sigmoid, transverse = passes(line, (-105, 216, 310)), passes(line, (-78, 228, 345))
    assert transverse - sigmoid > 100  # 0.2 m
    straight = np.linspace(line.points[sigmoid], line.points[transverse], 60)
    assert (winding_number(patient.organs[0].surface, straight) < 0.5).any()


def test_landmarks(patient, line):
    assert list(patient.landmarks) == ORDER
    tree = cKDTree(line.points)
    places = [tree.query(point)[1] for point in patient.landmarks.values()]
    assert places == sorted(set(places))
    organs = {organ.name: cKDTree(organ.surface.vertices) for organ in patient.organs}
    assert organs["spleen"].query(patient.landmarks["splenic_flexure"])[0] < 0.05
    assert organs["liver"].query(patient.landmarks["hepatic_flexure"])[0] < 0.05
    assert np.linalg.norm(patient.landmarks["rectosigmoid"] - [-0.010, 0.176, 0.199]) < 0.02


def test_calibre(patient, line):
    assert line.radius.min() >= 0.012
    beyond = np.linalg.norm(line.points - line.points[0], axis=1) > 0.02
    assert cKDTree(patient.organs[0].surface.vertices).query(line.points[beyond])[0].min() > 0.0118


def test_a_scope_can_take_every_bend(patient, line):
    # The scan's tightest bend has a radius of 9 mm, and a bending section turns with 29 mm.
    assert bend_radii(line.points).min() >= 0.85 * SHARPEST
    assert bend_radii(line.points, 20e-3).min() >= 0.95 * SHARPEST
    assert patient.provenance["options"]["colon"]["least_bend_mm"] == pytest.approx(SHARPEST * 1e3)


def test_it_is_still_that_patients_colon(patient):
    lumen = patient.organs[0].attributes
    assert lumen["mean_shift_by_straightening_mm"] < 10
    assert lumen["largest_shift_by_straightening_mm"] < 35
    counts = patient.provenance["altered_voxels"]
    assert 0 < counts["added"]["straightened_into"] < 0.15 * counts["label"]
    assert 0 < counts["removed"]["straightened_from"] < 0.2 * counts["label"]


def test_no_bend_is_opened_into_bone(patient, line):
    table = load_labels()
    bones = [organ for organ in patient.organs if table[organ.label].group == "bone"]
    assert len(bones) > 20
    # The tube of the least calibre and its wall are 13.5 mm thick about the line.
    for bone in bones:
        assert cKDTree(bone.surface.vertices).query(line.points)[0].min() > 0.015, bone.name


def test_alterations_are_accounted_for(patient):
    counts = patient.provenance["altered_voxels"]
    assert counts["label"] + sum(counts["added"].values()) - sum(counts["removed"].values()) == counts["lumen"]
    between = [row for row in patient.provenance["altered_places"] if row["cause"] == "between_limbs"]
    centres = np.array([row["centre_ras_mm"] for row in between])
    assert np.linalg.norm(centres - [-94, 218, 316], axis=1).min() < 15
    json.dumps(patient.provenance, allow_nan=False)


def test_other_organs_keep_their_volume(patient):
    assert len(patient.organs) == 61
    for organ in patient.organs[1:]:
        voxels = organ.attributes["voxels"] * 0.003**3
        assert check_mesh(organ.surface).volume == pytest.approx(voxels, rel=0.01), organ.name

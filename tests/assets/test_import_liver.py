"""A box of liver whose segments are known: eight labelled boxes, branches within them, or planes through its marks."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from assets.couinaud import LANDMARKS, NUMBERS, by_planes, segments_of
from assets.errors import InputError
from assets.importers.label_map import ImportOptions, import_label_map
from assets.importers.liver import part_liver
from assets.patient import Patient
from assets.patient_check import check_patient

OPTIONS = ImportOptions(couinaud=True, organ_edge_mm=12.0)
SPACING = 4.0
"""Of the voxels [mm]; voxel (0, 0, 0) lies at ORIGIN, axes are RAS."""
ORIGIN = np.array([-60.0, -60.0, -60.0])
SHAPE = (31, 31, 31)
BRANCH_TIPS = {
    2: [-50, -35, 0],
    3: [-40, 40, 0],
    4: [8, 48, 0],
    5: [40, 30, -40],
    6: [50, -40, -40],
    7: [50, -40, 45],
    8: [40, 30, 45],
}
"""Where the branch of each segment ends [mm]."""
MARKS = {
    "porta_hepatis": [0.0, -20.0, -20.0],
    "vena_cava": [0.0, -50.0, 40.0],
    "gallbladder_fundus": [20.0, 56.0, -40.0],
    "umbilical_fissure": [-12.0, 56.0, 0.0],
}
NAMES = {1: "liver", 2: "portal_vein_and_splenic_vein", 3: "hepatic_vein", 4: "inferior_vena_cava", 5: "gallbladder"}


def grid() -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1) * SPACING + ORIGIN


def save(folder: Path, data: np.ndarray, names: dict[int, str], spacing: float = SPACING) -> tuple[Path, Path]:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = ORIGIN
    nib.save(nib.Nifti1Image(data.astype(np.uint8), affine), folder / "labels.nii.gz")
    table = folder / "names.csv"
    table.write_text("id,name\n" + "".join(f"{n},{name}\n" for n, name in names.items()))
    return folder / "labels.nii.gz", table


def marks_file(folder: Path, marks: dict[str, list[float]]) -> Path:
    path = folder / "marks.csv"
    path.write_text("name,x,y,z\n" + "".join(f"{name},{x},{y},{z}\n" for name, (x, y, z) in marks.items()))
    return path


def box() -> np.ndarray:
    data = np.zeros(SHAPE, np.uint8)
    data[1:-1, 1:-1, 1:-1] = 1
    return data


def attributes(patient: Patient, label: str = "liver") -> dict[str, object]:
    return next(organ for organ in patient.organs if organ.label == label).attributes["couinaud"]


def test_labelled_segments_are_taken_over_as_they_are(tmp_path):
    points = grid()
    data = 1 + (points[..., 0] > 0) + 2 * (points[..., 1] > 0) + 4 * (points[..., 2] > 0)
    data = np.where(box() > 0, data, 0)
    path, table = save(tmp_path, data, {n: f"liver_segment_{n}" for n in NUMBERS})
    patient = import_label_map(path, scheme=table, options=OPTIONS)
    found = attributes(patient, "liver_segment_3")
    assert (found["method"], found["approximate"]) == ("labels", False)
    for n in NUMBERS:  # volumes of the voxels
        assert found["shares"][str(n)] == pytest.approx((data == n).sum() / (data > 0).sum(), abs=0.003)
    inner = points[data > 0][::7] * 1e-3
    np.testing.assert_array_equal(segments_of(patient).of(inner + 1e-6), data[data > 0][::7])
    # meshes have no voxels, and need none for that
    meshes = part_liver(replace(patient, landmarks={}), None)
    assert attributes(meshes, "liver_segment_3")["shares"] == found["shares"]


def test_planes_part_a_liver_without_veins_and_say_that_it_is_approximate(tmp_path):
    path, table = save(tmp_path, box(), NAMES)
    patient = import_label_map(path, scheme=table, landmarks=marks_file(tmp_path, MARKS), options=OPTIONS)
    found = attributes(patient)
    assert (found["method"], found["approximate"]) == ("planes", True)
    assert sum(found["shares"].values()) == pytest.approx(1.0, abs=1e-3)
    # half spaces: the main fissure leaves to the right of it what is counted here by a cross product, no angle
    liver = grid()[box() > 0]
    ray = np.array(MARKS["gallbladder_fundus"]) - MARKS["vena_cava"]
    flat = (liver - MARKS["vena_cava"])[:, :2]
    front = flat[:, 1] > 0
    right = (flat[:, 0] * ray[1] - flat[:, 1] * ray[0] > 0)[front]
    numbers = segments_of(patient).of(liver[front] * 1e-3)
    known = numbers != 1
    np.testing.assert_array_equal(np.isin(numbers, (5, 6, 7, 8))[known], right[known])


def with_vessels() -> np.ndarray:
    """Voxels of 2 mm: the liver, and in it a stem from the porta with a straight branch to each tip."""
    shape = (61, 61, 61)
    data = np.zeros(shape, np.uint8)
    data[2:-2, 2:-2, 2:-2] = 1
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) * 2.0 + ORIGIN
    porta = np.array(MARKS["porta_hepatis"])
    for tip in BRANCH_TIPS.values():
        along = np.array(tip) - porta
        t = np.clip((points - porta) @ along / (along @ along), 0, 1)
        data[np.linalg.norm(points - porta - t[..., None] * along, axis=-1) < 3.0] = 2
    return data


def test_labelled_portal_branches_part_the_liver_by_the_nearest(tmp_path):
    data = with_vessels()
    path, table = save(tmp_path, data, NAMES, spacing=2.0)
    patient = import_label_map(path, scheme=table, landmarks=marks_file(tmp_path, MARKS), options=OPTIONS)
    found = attributes(patient)
    assert (found["method"], found["approximate"], found["branches_named_by"]) == ("veins", False, "planes")
    lines = {line.name: line for line in patient.centrelines}
    assert {name.rsplit("_", 1)[0] for name in lines} == {f"portal_segment_{n}" for n in BRANCH_TIPS}
    for n, tip in BRANCH_TIPS.items():  # from the stem outwards
        line = lines[f"portal_segment_{n}_0"]
        assert np.linalg.norm(line.points[-1] * 1e3 - tip) < 6.0
        assert np.linalg.norm(line.points[0] * 1e3 - MARKS["porta_hepatis"]) < 25.0
        # a sphere in the voxels of a rod of 3 mm radius, which voxels of 2 mm make up to a voxel thinner
        assert np.median(line.radius) == pytest.approx(0.0022, abs=0.0008)
    segments = segments_of(patient)
    np.testing.assert_array_equal(segments.of(np.array(list(BRANCH_TIPS.values())) * 1e-3), list(BRANCH_TIPS))
    # nearest of the straight branches, by another formula
    porta = np.array(MARKS["porta_hepatis"])
    points = np.random.default_rng(0).uniform(-55, 55, (400, 3))
    away = []
    for tip in BRANCH_TIPS.values():
        t = np.clip((points - porta) @ (tip - porta) / ((tip - porta) @ (tip - porta)), 0, 1)
        away.append(np.linalg.norm(points - porta - t[:, None] * (tip - porta), axis=1))
    order = np.sort(away, axis=0)
    clear = (order[1] - order[0] > 12) & (np.linalg.norm(points - porta, axis=1) > 45)
    assert clear.sum() > 60
    numbers = segments.of(points[clear] * 1e-3)
    nearest = np.array(list(BRANCH_TIPS))[np.argmin(away, axis=0)][clear]
    outside = numbers != 1
    np.testing.assert_array_equal(numbers[outside], nearest[outside])
    assert [report.problems for report in check_patient(patient) if report.problems] == []


def test_landmarks_are_found_in_the_labels(tmp_path):
    data, points = box(), grid()
    for number, (low, high) in {
        2: ([-4, -24, -60], [4, -16, -16]),
        4: ([-8, -60, -60], [8, -48, 60]),
        5: ([12, 20, -60], [28, 60, -48]),
    }.items():
        data[((points >= low) & (points <= high)).all(axis=-1)] = number
    path, table = save(tmp_path, data, NAMES)
    patient = import_label_map(path, scheme=table, options=OPTIONS)
    found = {name: patient.landmarks[name] * 1e3 for name in LANDMARKS}
    np.testing.assert_allclose(found["porta_hepatis"][:2], [0, -20], atol=SPACING)
    np.testing.assert_allclose(found["vena_cava"], [0, -54, 52], atol=6.0)
    np.testing.assert_allclose(found["gallbladder_fundus"], [20, 58, -54], atol=9.0)
    shares = attributes(patient)["shares"]
    assert shares["2"] + shares["3"] == pytest.approx(0.16, abs=0.04)  # as chosen where no landmark tells it
    assert by_planes(np.array([[0.04, 0.03, 0.05]]), *(patient.landmarks[name] for name in LANDMARKS))[0] == 8


def test_what_is_missing_is_named(tmp_path):
    path, table = save(tmp_path, box(), NAMES)
    with pytest.raises(InputError, match=r"or the landmarks porta_hepatis, vena_cava, gallbladder_fundus in the file"):
        import_label_map(path, scheme=table, options=OPTIONS)
    path, table = save(tmp_path, box(), {1: "spleen"})
    with pytest.raises(InputError, match="found no liver in labels"):
        import_label_map(path, scheme=table, options=OPTIONS)

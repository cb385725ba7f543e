"""The importer against a label map made of a known line, with limbs that are fused on purpose."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree
from skimage.measure import euler_number

from assets.colon.course import SHARPEST
from assets.errors import InputError
from assets.importers.label_map import ImportOptions, import_label_map
from assets.lumen.alterations import CAUSES
from assets.lumen.colon import ColonOptions
from assets.lumen.curves import bend_radii
from assets.mesh_check import check_mesh
from assets.patient_check import check_patient

VOXEL = 3.0
COARSE = ColonOptions(voxel_mm=2.5, triangles=20_000)
LANDMARKS = ["anus", "rectosigmoid", "sigmoid_descending", "splenic_flexure", "hepatic_flexure", "caecum"]

# From the lower rectum to the caecum, RAS mm.
COURSE = [
    [0, 40, 0], [0, 25, 45], [10, 45, 90], [-15, 90, 105], [-60, 120, 110], [-62, 128, 180], [-78, 122, 255],
    [-100, 85, 245], [-105, 60, 180], [-118, 32, 170], [-128, 25, 220], [-125, 28, 280], [-120, 45, 345],
    [-95, 95, 372], [-60, 125, 315], [-35, 130, 240], [0, 130, 192], [45, 133, 200], [70, 128, 250], [66, 108, 312],
    [95, 70, 330], [118, 46, 285], [115, 52, 230], [90, 95, 200],
]  # fmt: skip


def course() -> np.ndarray:
    points = np.array(COURSE, float)
    at = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return CubicSpline(at, points)(np.linspace(0, at[-1], 3000))


def contacts() -> list[tuple[np.ndarray, np.ndarray]]:
    """Nearest places of limbs that are to be fused: sigmoid and caecum to transverse, sigmoid to descending."""
    line = course()
    arc = np.linspace(0, 1, len(line))
    pairs = (
        ((arc > 0.2) & (arc < 0.33), (arc > 0.6) & (arc < 0.75)),
        ((arc > 0.3) & (arc < 0.36), (arc > 0.43) & (arc < 0.55)),
        (arc > 0.98, (arc > 0.75) & (arc < 0.85)),
    )
    places = []
    for one, other in pairs:
        gap, nearest = cKDTree(line[other]).query(line[one])
        places.append((line[one][np.argmin(gap)], line[other][nearest[np.argmin(gap)]]))
    return places


def label_map(path: Path, *, fused: bool = False) -> np.ndarray:
    """Write colon, spleen, liver and sacrum; return the colon's mask."""
    origin = np.array([-170.0, -10.0, -40.0])
    shape = (110, 60, 150)
    grid = origin + VOXEL * np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    colon = (cKDTree(course()).query(grid.reshape(-1, 3), distance_upper_bound=13.0)[0] < np.inf).reshape(shape)
    for one, other in contacts() if fused else ():
        bar = np.linspace(one, other, 50)
        colon |= (cKDTree(bar).query(grid.reshape(-1, 3), distance_upper_bound=9.0)[0] < np.inf).reshape(shape)
    data = np.zeros(shape, np.uint8)
    for label, centre, radius in ((1, (-120, 20, 390), 25), (5, (90, 90, 375), 32), (25, (0, 12, 90), 12)):
        data[np.linalg.norm(grid - np.array(centre), axis=-1) <= radius] = label
    data[colon] = 20
    affine = np.diag([VOXEL, VOXEL, VOXEL, 1.0])
    affine[:3, 3] = origin
    nib.save(nib.Nifti1Image(data, affine), path)
    return colon


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fused")
    mask = label_map(folder / "fused.nii.gz", fused=True)
    altered = folder / "altered.nii.gz"
    patient = import_label_map(
        folder / "fused.nii.gz", scheme="totalsegmentator-v2", altered=altered, options=ImportOptions(colon=COARSE)
    )
    return mask, patient, altered


def test_the_label_is_fused_indeed(fused):
    # A tube is a ball (Euler number 1); each fusion of two limbs makes a handle more.
    assert euler_number(fused[0], connectivity=3) == 1 - 3


def test_the_patient_is_whole(fused):
    _, patient, _ = fused
    assert [report for report in check_patient(patient) if report.problems] == []
    lumen = patient.organs[0]
    assert (lumen.name, lumen.label, lumen.kind, lumen.material) == (
        "colon_lumen",
        "colon_wall",
        "lumen",
        "colon_mucosa",
    )
    report = check_mesh(lumen.surface)
    assert (report.genus, report.body_count) == (0, 1)
    assert {organ.name for organ in patient.organs} == {"colon_lumen", "spleen", "liver", "sacrum"}


def test_the_centreline_keeps_to_the_known_line(fused):
    _, patient, _ = fused
    (line,) = patient.centrelines
    truth = course() * 1e-3
    length = np.linalg.norm(np.diff(line.points, axis=0), axis=1)
    true_length = np.linalg.norm(np.diff(truth, axis=0), axis=1).sum()
    assert length.sum() == pytest.approx(true_length + 0.03, abs=0.04)  # the canal is added below
    assert np.median(length) == pytest.approx(2e-3, rel=0.05)
    away, nearest = cKDTree(truth).query(line.points[20:])
    assert away.max() < 0.012
    # In the order of the colon: no step back, no leap from limb to limb.
    step = np.diff(nearest) * true_length / len(truth)
    assert step.min() > -0.01
    assert step.max() < 0.02


def test_its_bends_are_opened_and_counted(fused):
    _, patient, _ = fused
    assert bend_radii(course() * 1e-3).min() < 0.5 * SHARPEST
    (line,) = patient.centrelines
    assert bend_radii(line.points).min() >= 0.85 * SHARPEST
    counts = patient.provenance["altered_voxels"]
    assert counts["added"]["straightened_into"] > 0
    assert counts["removed"]["straightened_from"] > 0


def test_bends_stay_as_they_are_where_that_is_asked_for(tmp_path):
    label_map(tmp_path / "colon.nii.gz")
    options = ImportOptions(colon=replace(COARSE, least_bend_mm=0.0), organs=False)
    patient = import_label_map(tmp_path / "colon.nii.gz", scheme="totalsegmentator-v2", options=options)
    counts = patient.provenance["altered_voxels"]
    assert counts["added"]["straightened_into"] == counts["removed"]["straightened_from"] == 0
    (line,) = patient.centrelines
    assert cKDTree(course() * 1e-3).query(line.points[20:])[0].max() < 0.008


def test_landmarks_come_in_order_and_where_they_belong(fused):
    _, patient, _ = fused
    assert list(patient.landmarks) == LANDMARKS
    tree = cKDTree(patient.centrelines[0].points)
    places = [tree.query(point)[1] for point in patient.landmarks.values()]
    assert places == sorted(set(places))
    for name, place in (("splenic_flexure", [-95, 100, 368]), ("hepatic_flexure", [95, 70, 325])):
        assert np.linalg.norm(patient.landmarks[name] - np.array(place) * 1e-3) < 0.04
    assert np.linalg.norm(patient.landmarks["caecum"] - np.array(COURSE[-1]) * 1e-3) < 0.03


def test_the_calibre_is_what_was_asked_for(fused):
    _, patient, _ = fused
    (line,) = patient.centrelines
    assert line.radius.min() >= COARSE.min_calibre_mm * 0.5e-3
    # Independent of the importer's radius: no corner of the surface is nearer, the open end apart.
    beyond = np.linalg.norm(line.points - line.points[0], axis=1) > 0.02
    assert cKDTree(patient.organs[0].surface.vertices).query(line.points[beyond])[0].min() > 0.0118


def test_the_orifice_is_a_disc_at_the_anus(fused):
    _, patient, _ = fused
    (orifice,) = patient.orifices
    assert (orifice.name, orifice.organ, orifice.radius) == ("anus", "colon_lumen", 0.012)
    assert orifice.normal @ orifice.normal == pytest.approx(1.0)
    offset = patient.organs[0].surface.vertices - orifice.centre
    along = offset @ orifice.normal
    on_disc = (np.linalg.norm(offset - along[:, None] * orifice.normal, axis=1) < 0.01) & (along < 0.01)
    assert on_disc.sum() > 5
    assert np.abs(along[on_disc]).max() < 1e-6


def test_every_altered_voxel_is_counted(fused):
    _, patient, altered = fused
    counts = patient.provenance["altered_voxels"]
    balance = counts["label"] + sum(counts["added"].values()) - sum(counts["removed"].values())
    assert balance == counts["lumen"]
    assert counts["removed"]["between_limbs"] > 0
    assert counts["added"]["distension"] > 0
    image = nib.load(altered)
    marks = np.bincount(np.asarray(image.dataobj).ravel(), minlength=len(CAUSES) + 1)
    assert {cause: marks[n] for n, cause in enumerate(CAUSES, start=1)} == counts["added"] | counts["removed"]
    rows = patient.provenance["altered_places"]
    between = [row for row in rows if row["cause"] == "between_limbs"]
    assert sum(row["voxels"] for row in between) == counts["removed"]["between_limbs"]
    # Each of the three fusions put in is among the places.
    centres = np.array([row["centre_ras_mm"] for row in between])
    for one, other in contacts():
        assert np.linalg.norm(centres - (one + other) / 2, axis=1).min() < 15


def test_lumen_volume_is_that_of_its_voxels(fused):
    _, patient, _ = fused
    volume = patient.provenance["altered_voxels"]["lumen"] * 2.5**3 * 1e-9
    # Smoothing takes a little off the convex side of a tube and off its pouches.
    assert check_mesh(patient.organs[0].surface).volume == pytest.approx(volume, rel=0.03)


def test_no_way_along_the_anatomy_is_refused_with_the_place(tmp_path):
    data = np.zeros((40, 40, 120), np.uint8)
    data[15:25, 15:25, 5:115] = 20
    nib.save(nib.Nifti1Image(data, np.diag([3.0, 3.0, 3.0, 1.0])), tmp_path / "tube.nii.gz")
    with pytest.raises(InputError, match=r"landmark file") as error:
        import_label_map(tmp_path / "tube.nii.gz", scheme="totalsegmentator-v2", options=ImportOptions(colon=COARSE))
    assert "\n" not in str(error.value)


def test_a_landmark_off_the_colon_is_refused_by_name_and_place(tmp_path):
    label_map(tmp_path / "colon.nii.gz")
    (tmp_path / "marks.csv").write_text("name,x,y,z\nsplenic_flexure,80,20,100\n")
    with pytest.raises(InputError, match=r"splenic_flexure at RAS \(80, 20, 100\) mm"):
        import_label_map(
            tmp_path / "colon.nii.gz",
            scheme="totalsegmentator-v2",
            landmarks=tmp_path / "marks.csv",
            options=ImportOptions(colon=COARSE),
        )


def test_landmarks_in_the_wrong_order_are_refused(tmp_path):
    label_map(tmp_path / "colon.nii.gz")
    (tmp_path / "marks.json").write_text('{"caecum": [104, 62, 180], "anus": [0, 40, 0]}')
    with pytest.raises(InputError, match="expected landmarks in the order anus"):
        import_label_map(
            tmp_path / "colon.nii.gz",
            scheme="totalsegmentator-v2",
            landmarks=tmp_path / "marks.json",
            options=ImportOptions(colon=COARSE),
        )


@pytest.mark.parametrize(
    "options", [{"min_calibre_mm": 15.0}, {"least_bend_mm": 60.0}, {"voxel_mm": 0.1}, {"wall_mm": -1.0}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        ColonOptions(**options)

"""What is found in a made-up CT whose parts are known, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from assets.errors import InputError
from assets.importers.detect import Request, content_of, import_source
from assets.importers.label_map import ImportOptions
from assets.importers.volume import Volume
from assets.importers.volume_file import read_volume
from assets.patient_check import check_patient
from tests.assets.volume_files import write_nifti

MM = 5.0
SHAPE = (80, 56, 84)  # 400 x 280 x 420 mm


def ellipsoid(centre, half) -> np.ndarray:
    axes = [(np.arange(n) * MM - c) / h for n, c, h in zip(SHAPE, centre, half, strict=True)]
    return sum(a.reshape([-1 if n == k else 1 for n in range(3)]) ** 2 for k, a in enumerate(axes)) < 1


def parts() -> dict[str, np.ndarray]:
    x, y, z = (a.reshape([-1 if n == k else 1 for n in range(3)]) * MM for k, a in enumerate(map(np.arange, SHAPE)))
    body = (((x - 200) / 170) ** 2 + ((y - 140) / 110) ** 2 < 1) & (z >= 0)
    tube = np.hypot(x - 200, y - 140) < 11
    trachea = tube & (z > 300)
    right, left = ellipsoid((285, 140, 290), (55, 70, 90)), ellipsoid((115, 140, 290), (55, 70, 90))
    # A bronchus on each side, from the trachea's end into the lung, its wall a voxel thick.
    bronchi = (np.hypot(y - 140, z - 305) < 8) & (np.abs(x - 200) < 45)
    spine = (np.hypot(x - 200, y - 70) < 18) & (z >= 0)
    gas = ellipsoid((200, 180, 100), (60, 25, 30))
    return {
        "body": np.broadcast_to(body, SHAPE), "airways": trachea | bronchi, "lung_right": right, "lung_left": left,
        "bone": np.broadcast_to(spine, SHAPE), "bowel_gas": gas,
    }  # fmt: skip


def ct() -> np.ndarray:
    found = parts()
    rng = np.random.default_rng(0)
    image = np.full(SHAPE, -1000.0)
    image[found["body"]] = 40
    for name, value in (
        ("lung_right", -820),
        ("lung_left", -820),
        ("bone", 500),
        ("airways", -1000),
        ("bowel_gas", -1000),
    ):
        image[found[name]] = value
    lungs = found["lung_right"] | found["lung_left"]
    image[10:70, 2:4, :] = 100  # the table, apart from the back
    noise = rng.normal(0, 10, SHAPE) + np.where(lungs, rng.normal(0, 25, SHAPE), 0)
    return (image + noise).astype(np.int16)


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ct")
    path = write_nifti(folder / "ct.nii.gz", ct(), np.diag([MM, MM, MM, 1.0]))
    (folder / "marks.csv").write_text("name,x,y,z\nlarynx,201,141,399\nnodule,280,140,290\n")
    return import_source(path, Request(landmarks=folder / "marks.csv", options=ImportOptions(organ_edge_mm=15.0)))


def test_given_landmarks_win_over_what_is_found_and_others_are_kept(patient):
    np.testing.assert_allclose(patient.landmarks["larynx"] * 1e3, [201, 141, 399])
    np.testing.assert_allclose(patient.landmarks["nodule"] * 1e3, [280, 140, 290])
    assert patient.provenance["given_landmarks_mm"] == {"larynx": [201, 141, 399], "nodule": [280, 140, 290]}
    assert next(line for line in patient.centrelines if line.name == "trachea").points[0][2] != 0.399  # was found


def test_all_parts_are_found_closed_and_marked(patient):
    assert {organ.name for organ in patient.organs} == set(parts())
    assert [report for report in check_patient(patient) if report.problems] == []
    for organ in patient.organs:
        assert organ.attributes["derived"] is True
        assert organ.attributes["confidence"] in ("high", "medium", "low")
        assert "doi" in organ.attributes["method"]
    assert patient.provenance["not_told"] == []


@pytest.mark.parametrize(
    ("name", "share"), [("body", 0.03), ("lung_right", 0.08), ("lung_left", 0.08), ("bone", 0.1), ("bowel_gas", 0.12)]
)
def test_volumes_are_those_that_were_put_in(patient, name, share):
    organ = next(organ for organ in patient.organs if organ.name == name)
    truth = parts()[name].sum() * MM**3 * 1e-3
    assert organ.attributes["volume_ml"] == pytest.approx(truth, rel=share)


def test_sides_and_places_are_right(patient):
    corners = {organ.name: organ.surface.vertices * 1e3 for organ in patient.organs}
    assert corners["lung_right"].max(axis=0) == pytest.approx([340, 210, 380], abs=8)
    assert corners["lung_left"].min(axis=0) == pytest.approx([60, 70, 200], abs=8)
    gas = corners["bowel_gas"]
    assert (gas.min(axis=0) + gas.max(axis=0)) / 2 == pytest.approx([200, 180, 100], abs=5)


def test_airways_do_not_leak_into_the_lungs(patient):
    airways = next(organ for organ in patient.organs if organ.name == "airways")
    trachea = np.pi * 11**2 * 115 * 1e-3
    assert 0.5 * trachea < airways.attributes["volume_ml"] < 3 * trachea


def test_without_a_trachea_airways_are_not_told(tmp_path):
    image = ct()
    image[parts()["airways"]] = 40
    path = write_nifti(tmp_path / "ct.nii.gz", image[:, :, :70], np.diag([MM, MM, MM, 1.0]))
    patient = import_source(path, Request(options=ImportOptions(organ_edge_mm=25.0)))
    assert "airways" not in {organ.name for organ in patient.organs}
    assert any(line.startswith("airways: no trachea") for line in patient.provenance["not_told"])
    lung = next(organ for organ in patient.organs if organ.name == "lung_left")
    assert (lung.attributes["confidence"], "part of it" in lung.attributes["confidence_reason"]) == ("medium", True)


@pytest.mark.parametrize(
    ("change", "content", "match"),
    [
        (lambda image: np.maximum(image + 1024, 0), "auto", "without its offset"),
        (lambda image: np.where(image < -500, 0, image), "auto", "expected air near -1000"),
        (lambda image: np.full_like(image, -1000), "auto", "is this a CT"),
        (lambda image: (image > 0).astype(np.int16), "ct", "a label map"),
        (lambda image: np.where(image > -500, -900, image), "auto", "expected a body in air"),
        (lambda image: np.where(image == image[0, 0, 0], np.nan, image).astype(np.float32), "ct", "finite"),
    ],
)
def test_what_is_no_ct_is_refused_with_the_reason(tmp_path, change, content, match):
    path = write_nifti(tmp_path / "x.nii.gz", change(ct()), np.diag([MM, MM, MM, 1.0]))
    with pytest.raises(InputError, match=match) as error:
        import_source(path, Request(content=content))
    assert "\n" not in str(error.value)


def test_coarse_voxels_are_refused(tmp_path):
    path = write_nifti(tmp_path / "x.nii.gz", ct(), np.diag([MM, MM, 20.0, 1.0]))
    with pytest.raises(InputError, match="at most 12 mm"):
        import_source(path)


def test_a_scheme_for_a_ct_is_refused(tmp_path):
    path = write_nifti(tmp_path / "x.nii.gz", ct(), np.diag([MM, MM, MM, 1.0]))
    with pytest.raises(InputError, match="is this a CT"):
        import_source(path, Request(scheme="totalsegmentator-v2"))


def test_labels_are_told_from_a_ct_by_their_numbers(tmp_path):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    cases = {
        "labels": np.arange(8).reshape(2, 2, 2).astype(np.uint8),
        "ct": np.linspace(-1000, 900, 8).reshape(2, 2, 2).astype(np.int16),
    }
    for content, data in cases.items():
        volume: Volume = read_volume(write_nifti(Path(tmp_path) / "v.nii", data, affine))
        assert content_of(volume, Request()) == content

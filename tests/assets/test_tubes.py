"""Centrelines of tubular organs: bent tubes whose axes are known, loops that touch, and a scan's vessels."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from assets.importers.label_map import ImportOptions, import_label_map
from assets.lumen.tube_axis import tube_axis
from assets.mesh_check import check_mesh
from assets.patient import Patient
from assets.patient_check import check_patient
from tests.assets.volume_files import write_nifti

MM = 1e-3
REAL = Path(__file__).parents[2].parent / "shared" / "realdata" / "ct" / "totalseg_example" / "example_seg_full.nii.gz"
NAMES = {5: "liver", 6: "stomach", 15: "esophagus", 18: "small_bowel", 19: "duodenum", 51: "heart", 52: "aorta"}


def helix(*, turns: float, pitch: float, around: float = 30.0) -> np.ndarray:
    """Return a finely sampled helix about z [mm], from below to above, whose lower end lies at (around, 0, 0)."""
    angle = np.linspace(0.0, 2 * np.pi * turns, 4000)
    return np.stack([around * np.cos(angle), around * np.sin(angle), pitch * angle / (2 * np.pi)], axis=1)


def length_of(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def tube(line: np.ndarray, radius: float, spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels within `radius` of a line, cut off flat at its ends, and their affine [mm]."""
    step = np.array(spacing)
    origin = line.min(axis=0) - radius - 6.0
    shape = np.ceil((np.ptp(line, axis=0) + 2 * radius + 12.0) / step).astype(int)
    centres = origin + step * np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    away, nearest = cKDTree(line).query(centres.reshape(-1, 3))
    mask = (away < radius) & (nearest > 0) & (nearest < len(line) - 1)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return mask.reshape(shape), affine


def with_ball(data: np.ndarray, affine: np.ndarray, label: int, centre: np.ndarray, radius: float) -> None:
    indices = np.stack(np.meshgrid(*map(np.arange, data.shape), indexing="ij"), -1)
    centres = indices @ affine[:3, :3].T + affine[:3, 3]
    data[(np.linalg.norm(centres - centre, axis=-1) < radius) & (data == 0)] = label


def imported(folder: Path, data: np.ndarray, affine: np.ndarray) -> Patient:
    (folder / "names.csv").write_text("id,name\n" + "".join(f"{n},{name}\n" for n, name in NAMES.items()))
    path = write_nifti(folder / "labels.nii.gz", data.astype(np.uint8), affine)
    return import_label_map(path, scheme=folder / "names.csv", options=ImportOptions(organ_edge_mm=4.0))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 1.5), (2.0, 2.0, 2.0)])
def test_a_bent_tube_has_its_length_and_radius(spacing):
    around, radius = 40.0, 9.3
    angle = np.linspace(0.2, 2.2, 3000)  # a piece of a torus
    line = np.stack([around * np.cos(angle), np.zeros_like(angle), around * np.sin(angle)], axis=1)
    mask, affine = tube(line, radius, spacing)
    axis = tube_axis(mask, np.diag([MM, MM, MM, 1.0]) @ affine)
    assert axis is not None
    assert axis.length / MM == pytest.approx(around * 2.0, rel=0.02)
    inner = axis.points[8:-8] / MM  # nearer to a flat end than its radius, the end is the wall
    assert cKDTree(line).query(inner)[0].max() < 0.5 * max(spacing)
    np.testing.assert_allclose(axis.radius[8:-8] / MM, radius, atol=0.5 * max(spacing))
    assert axis.covered > 0.97


@pytest.fixture(scope="module")
def coil() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    line = helix(turns=1.4, pitch=36.0)
    return line, *tube(line, 7.0, (2.0, 2.0, 2.0))


def test_an_imported_helix_is_ordered_from_above_and_passes_the_check(coil, tmp_path):
    line, mask, affine = coil
    patient = imported(tmp_path, mask * 52, affine)
    (found,) = patient.centrelines
    assert found.name == "aorta"
    assert length_of(found.points) / MM == pytest.approx(length_of(line), rel=0.02)
    np.testing.assert_allclose(found.points[[0, -1]] / MM, line[[-1, 0]], atol=5.0)  # no heart: from above
    assert np.median(found.radius) / MM == pytest.approx(7.0, abs=1.0)
    nearest = cKDTree(line).query(found.points / MM)[1]
    assert (np.diff(nearest) < 0).all()  # never back, and no leap between turns
    assert np.diff(nearest).min() * length_of(line) / len(line) > -4.0
    assert patient.organs[0].attributes["tube"]["ordered_by"] == "runs down"
    assert [report for report in check_patient(patient) if report.problems] == []


@pytest.mark.parametrize("at_the_top", [True, False])
def test_a_labelled_neighbour_tells_the_first_end(coil, tmp_path, at_the_top):
    line, mask, affine = coil
    data = mask * 19
    end = line[-1] - (0, 14, 0) if at_the_top else line[0] - (0, 10, 0)
    with_ball(data, affine, 6, end, 8.0)
    patient = imported(tmp_path, data, affine)
    (found,) = patient.centrelines
    np.testing.assert_allclose(found.points[0] / MM, line[-1 if at_the_top else 0], atol=5.0)
    told = next(organ for organ in patient.organs if organ.label == "duodenum").attributes["tube"]
    assert told["ordered_by"] == "starts beside the stomach"


def test_loops_that_touch_are_refused_with_a_line(tmp_path):
    mask, affine = tube(helix(turns=3.0, pitch=11.0), 7.0, (2.0, 2.0, 2.0))
    patient = imported(tmp_path, mask * 18, affine)
    assert patient.centrelines == ()
    (note,) = patient.provenance["notes"]
    assert note.startswith("No centreline of small_bowel: ")
    assert "loops of it touch" in note
    assert "tube" not in patient.organs[0].attributes


def test_a_ball_and_two_pieces_are_no_tubes(tmp_path):
    data = np.zeros((60, 40, 80), np.uint8)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    with_ball(data, affine, 18, np.array([30.0, 30, 30]), 20.0)
    data[40:46, 10:16, 4:36] = data[40:46, 10:16, 44:76] = 15
    patient = imported(tmp_path, data, affine)
    assert patient.centrelines == ()
    of_oesophagus, of_bowel = sorted(patient.provenance["notes"])
    assert of_oesophagus.endswith("it is in 2 pieces.")
    assert of_bowel.endswith("it is too thin or too short.")


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_file(), reason=f"real data are absent: no {REAL.name} beside the project")
def test_the_vessels_and_duodenum_of_a_scan():
    patient = import_label_map(REAL, options=ImportOptions(lumen=False))
    lines = {line.name: line for line in patient.centrelines}
    assert {"aorta", "inferior_vena_cava", "portal_vein_and_splenic_vein", "duodenum"} <= set(lines)
    assert {f"iliac_{kind}_{side}" for kind in ("artery", "vena") for side in ("left", "right")} <= set(lines)
    assert [note.split(":")[0] for note in patient.provenance["notes"]] == ["No centreline of small_bowel"]
    organs = {organ.name: organ for organ in patient.organs}
    aorta = lines["aorta"]
    # The round tube of this length that encloses what the surface does is a little wider than the spheres inside.
    round_radius = np.sqrt(check_mesh(organs["aorta"].surface).volume / (np.pi * length_of(aorta.points)))
    assert 0.0 < round_radius - np.median(aorta.radius) < 1.5e-3  # half a voxel of 3 mm
    assert aorta.points[0, 2] > aorta.points[-1, 2] + 0.1
    cava = lines["inferior_vena_cava"]
    assert cava.points[0, 2] < cava.points[-1, 2] - 0.1
    stomach = cKDTree(organs["stomach"].surface.vertices)
    from_stomach = stomach.query(lines["duodenum"].points[[0, -1]])[0]
    assert from_stomach[0] < from_stomach[1]
    portal = lines["portal_vein_and_splenic_vein"].points
    assert portal[0, 0] < portal[-1, 0] - 0.05  # from the spleen, on the left, to the liver
    named = {f"centreline {name}" for name in lines}
    reports = [report for report in check_patient(patient) if report.name in named]
    assert len(reports) == len(lines)
    assert [report for report in reports if report.problems] == []

"""Airway trees from voxels: tubes whose axes are known, a synthetic patient's bronchi, and a scan."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from assets.bronchi.synthesis import synthetic_bronchi
from assets.importers.detect import Request, import_source
from assets.importers.label_map import ImportOptions
from assets.lumen.airway_tree import airway_tree
from assets.patient_check import check_patient
from tests.assets.volume_files import write_nifti

MM = 1e-3
CT = Path(__file__).parents[2].parent / "shared" / "realdata" / "ct"


def affine(spacing: float) -> np.ndarray:
    return np.diag([spacing, spacing, spacing, 1.0])


def tubes(pieces, shape=(110, 60, 120), spacing=1.0) -> np.ndarray:
    """Voxels of 1 mm of round tubes: (start, end, radius) in mm."""
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) * spacing
    mask = np.zeros(shape, bool)
    for start, end, radius in pieces:
        along = np.subtract(end, start)
        t = np.clip((points - start) @ along / (along @ along), 0, 1)
        mask |= np.linalg.norm(points - start - t[..., None] * along, axis=-1) < radius
    return mask


FORK = [
    ((55, 30, 110), (55, 30, 60), 8.0),
    ((55, 30, 60), (85, 30, 30), 6.0),
    ((55, 30, 60), (20, 30, 35), 5.0),
    ((85, 30, 30), (95, 48, 12), 3.5),
    ((85, 30, 30), (98, 14, 14), 4.5),
]


@pytest.fixture(scope="module")
def fork():
    return airway_tree(tubes(FORK), affine(MM))


def test_a_fork_of_tubes_has_its_branches_names_and_order(fork):
    rows = {branch.name: branch for branch in fork.branches}
    assert list(rows) == ["trachea", "right_main", "left_main", "right_a", "right_b"]
    assert [rows[name].generation for name in rows] == [0, 1, 1, 2, 2]
    assert rows["right_b"].parent == "right_main"
    assert fork.rings_cut == 0
    np.testing.assert_allclose(rows["trachea"].points[-1] / MM, [55, 30, 60], atol=4.0)
    # the ridge: in the plane of both tubes, where a point is 6 mm off one axis and 5 mm off the other
    axes = [np.subtract(end, start) / np.linalg.norm(np.subtract(end, start)) for start, end, _ in FORK[1:3]]
    offs = [np.linalg.norm(np.cross(fork.carina / MM - (55, 30, 60), axis)) for axis in axes]
    np.testing.assert_allclose(offs, [6.0, 5.0], atol=1.2)
    assert fork.carina[2] / MM < 58
    # parents are wider, and of sisters the wider is the first: the ends tell which is which
    np.testing.assert_allclose(rows["right_a"].points[-1] / MM, [98, 14, 14], atol=6.0)
    np.testing.assert_allclose(rows["right_b"].points[-1] / MM, [95, 48, 12], atol=6.0)


def test_its_axes_and_radii_are_those_of_the_tubes(fork):
    rows = {branch.name: branch for branch in fork.branches}
    for name, (start, end, radius) in zip(("trachea", "right_main", "left_main"), FORK, strict=False):
        branch = rows[name]
        inner = slice(len(branch.points) // 4, -len(branch.points) // 4)
        along = np.subtract(end, start) / np.linalg.norm(np.subtract(end, start))
        off = branch.points / MM - start
        away = np.linalg.norm(off - (off @ along)[:, None] * along, axis=1)
        assert away[inner].max() < 1.5, name
        np.testing.assert_allclose(np.median(branch.radius[inner]) / MM, radius, atol=0.6, err_msg=name)


def test_lines_share_their_way_and_run_from_the_larynx(fork):
    lines = {line.name: line for line in fork.lines()}
    assert list(lines) == ["trachea", "bronchi_left_main", "bronchi_right_a", "bronchi_right_b"]
    shared = len(lines["trachea"].points)
    for line in lines.values():
        np.testing.assert_array_equal(line.points[:shared], lines["trachea"].points)
        steps = np.linalg.norm(np.diff(line.points, axis=0), axis=1)
        assert steps.min() > 0.0
        assert steps.max() < 0.0035
        assert len(line.radius) == len(line.points)
    assert lines["trachea"].points[0, 2] > lines["trachea"].points[-1, 2]


def test_roughness_makes_no_branches():
    mask = tubes(FORK)
    rng = np.random.default_rng(0)
    shell = mask & ~np.roll(mask, 1, axis=0)
    mask[shell & (rng.random(mask.shape) < 0.3)] = False
    found = airway_tree(mask, affine(MM))
    assert [branch.name for branch in found.branches] == ["trachea", "right_main", "left_main", "right_a", "right_b"]


def test_oblique_axes_give_the_same_tree_elsewhere(fork):
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    T = affine(MM)
    T[:3, :3] = turn @ T[:3, :3]
    T[:3, 3] = [0.1, -0.2, 0.3]
    found = airway_tree(tubes(FORK), T)
    assert [branch.name for branch in found.branches] == [branch.name for branch in fork.branches]
    np.testing.assert_allclose(found.carina, turn @ fork.carina + T[:3, 3], atol=1e-9)


def test_what_is_too_small_has_no_tree():
    mask = np.zeros((20, 20, 20), bool)
    assert airway_tree(mask, affine(MM)) is None
    mask[10, 10, 10] = True
    assert airway_tree(mask, affine(MM)) is None


def test_a_ring_is_opened_and_counted():
    mask = tubes([*FORK, ((85, 30, 30), (85, 30, 8), 3.0), ((85, 30, 8), (95, 48, 12), 3.0)])
    found = airway_tree(mask, affine(MM))
    assert found.rings_cut >= 1
    assert len(found.lines()) >= 3


@pytest.fixture(scope="module")
def voxelised(tmp_path_factory):
    """A synthetic patient's lumen as voxels of 0.8 mm, labelled as TotalSegmentator labels a trachea."""
    patient = synthetic_bronchi(3)
    mesh = patient.organs[0].surface
    spacing = 0.0008
    low = mesh.vertices.min(axis=0) - 4 * spacing
    shape = np.ceil((np.ptp(mesh.vertices, axis=0) + 8 * spacing) / spacing).astype(int)
    mask = np.zeros(shape, bool)
    for line in patient.centrelines:  # the union of the balls about the lines, which the lumen's wall encloses
        for point, radius in zip(line.points, line.radius, strict=True):
            first = np.maximum(((point - radius - low) / spacing).astype(int), 0)
            last = np.minimum(((point + radius - low) / spacing).astype(int) + 2, shape)
            axes = [
                (np.arange(a, b) * spacing + lo - p) ** 2 for a, b, lo, p in zip(first, last, low, point, strict=True)
            ]
            ball = axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :] < radius**2
            mask[first[0] : last[0], first[1] : last[1], first[2] : last[2]] |= ball
    T = affine(spacing * 1e3)
    T[:3, 3] = low * 1e3
    path = write_nifti(tmp_path_factory.mktemp("airway") / "labels.nii.gz", mask.astype(np.uint8), T)
    table = path.parent / "names.csv"
    table.write_text("id,name\n1,airways\n")
    return patient, import_source(path, Request(scheme=table, options=ImportOptions(organ_edge_mm=3.0)))


def test_synthetic_bronchi_come_back_as_the_tree_that_they_are(voxelised):
    truth, found = voxelised
    np.testing.assert_allclose(found.landmarks["carina"], truth.landmarks["carina"], atol=0.006)
    rows = {row["name"]: row for row in found.organs[0].attributes["branches"]}
    known = {row["name"]: row for row in truth.organs[0].attributes["branches"]}
    for side in ("right", "left"):
        assert rows[f"{side}_main"]["parent"] == "trachea"
        np.testing.assert_allclose(rows[f"{side}_main"]["end"], known[f"{side}_main"]["end"], atol=0.008)
    lines = {line.name: line for line in truth.centrelines}
    # every segmental bronchus of 4 mm or more is met to its end, and no axis strays from the true ones
    mine = cKDTree(np.concatenate([line.points for line in found.centrelines]))
    theirs = cKDTree(np.concatenate([line.points for line in truth.centrelines]))
    for name, line in lines.items():
        row = known.get(name.removeprefix("bronchi_"))
        if row is not None and row["generation"] <= 4 and row["diameter"] > 0.004:
            assert np.percentile(mine.query(line.points)[0], 95) < 0.0025, name
    away, nearest = theirs.query(mine.data)
    assert np.percentile(away, 95) < 0.002
    radius = np.concatenate([line.radius for line in found.centrelines])
    true = np.concatenate([line.radius for line in truth.centrelines])[nearest]
    wide = true > 0.002
    assert np.median(np.abs(radius[wide] / true[wide] - 1)) < 0.1
    assert len(found.centrelines) > 40


def test_an_imported_airway_passes_the_check(voxelised):
    _, found = voxelised
    assert found.centrelines[0].name == "trachea"
    assert {line.name.split("_")[0] for line in found.centrelines[1:]} == {"bronchi"}
    assert [report for report in check_patient(found) if report.problems] == []


@pytest.mark.skipif(not CT.is_dir(), reason="no real scans beside the project")
def test_a_chest_ct_without_labels_has_a_trachea_that_parts_in_two():
    patient = import_source(
        CT / "slicerio_chest" / "CTChest4.nrrd", Request(content="ct", options=ImportOptions(organ_edge_mm=10.0))
    )
    names = [line.name for line in patient.centrelines]
    assert names[0] == "trachea"
    trachea = patient.centrelines[0]
    assert trachea.points[0, 2] > trachea.points[-1, 2]
    # 10 to 27 mm across (Breatnach et al., AJR 142, 1984); the ball in it may be half a voxel smaller
    voxel = max(patient.provenance["voxel_mm"])
    assert 5.0 - voxel / 2 < np.median(trachea.radius) * 1e3 < 13.5
    assert {"right_main", "left_main"} <= {
        row["name"] for organ in patient.organs for row in organ.attributes.get("branches", [])
    }

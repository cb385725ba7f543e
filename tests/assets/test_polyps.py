import numpy as np
import pytest
from scipy.spatial import cKDTree

from assets.colon.course import draw_course
from assets.colon.polyps import AROUND, FLAT_HEIGHT, SINK, UP, draw_polyps, grow, profile, wall_patch
from assets.colon.segments import draw_segments
from assets.colon.wall import draw_wall, mesh_wall
from assets.mesh_check import check_mesh, winding_number


@pytest.fixture(scope="module")
def wall():
    rng = np.random.default_rng(3)
    course, segments = draw_course(rng, draw_segments(rng))
    return draw_wall(rng, course, segments)


@pytest.fixture(scope="module")
def lumen(wall):
    return mesh_wall(wall)


@pytest.fixture(scope="module", params=["Is", "IIa", "Ip"])
def grown(request, wall):
    rng = np.random.default_rng(11)
    while True:
        patch = wall_patch(wall, rng.uniform(0.7, wall.cap - 0.05), rng.uniform(0, 2 * np.pi), 0.005)
        polyp = grow(patch, request.param, 0.009, rng)
        if polyp is not None:
            return request.param, patch, polyp[0]


def test_a_polyp_is_one_closed_body(grown):
    _, _, mesh = grown
    report = check_mesh(mesh)
    assert report.problems == ()
    assert (report.genus, report.body_count) == (0, 1)
    assert 1000 <= report.triangle_count <= 3000


def test_its_skirt_lies_in_the_wall_and_its_top_in_the_lumen(grown, lumen):
    _, _, mesh = grown
    rim = mesh.vertices[:AROUND].astype(np.float64)
    assert winding_number(lumen, rim) == pytest.approx(0.0, abs=1e-3)
    depth = cKDTree(lumen.vertices).query(rim)[0]
    assert depth.min() > 0.4 * SINK
    top = mesh.vertices[(UP - 4) * AROUND : (UP - 3) * AROUND].astype(np.float64)
    assert winding_number(lumen, top) == pytest.approx(1.0, abs=1e-3)


def test_its_diameter_is_its_size(grown):
    paris, patch, mesh = grown
    local = (mesh.vertices - patch.origin) @ patch.axes.T
    upper = local[local[:, 2] > (0.5 if paris == "Ip" else 0.15) * local[:, 2].max()]
    spread = np.ptp(upper[:, :2], axis=0).mean()
    assert spread == pytest.approx(0.009, rel=0.25)


def test_only_flat_ones_are_flat(grown):
    paris, patch, mesh = grown
    height = ((mesh.vertices - patch.origin) @ patch.axes[2]).max()
    if paris == "IIa":
        assert height < 0.0032  # 2.4 mm, and the unevenness of the wall under it
    else:
        assert height > 0.0035


def test_only_pedunculated_ones_have_a_neck():
    rng = np.random.default_rng(0)
    for paris, has_neck in (("Is", False), ("IIa", False), ("Ip", True)):
        radius, height = profile(paris, 0.010, rng)
        assert radius[-1] == pytest.approx(0.0)
        assert height[0] == -SINK
        assert bool((np.diff(radius) > 1e-6).any()) == has_neck
        assert (height.max() <= FLAT_HEIGHT) == (paris == "IIa")


def test_its_surface_is_lobulated(grown):
    # Along a ring, radius and height vary with more waves than an oval on a sloping wall has.
    _, patch, mesh = grown
    local = (mesh.vertices - patch.origin) @ patch.axes.T
    ring = local[(UP - 9) * AROUND : (UP - 8) * AROUND]
    turn = np.arange(AROUND) * (2 * np.pi / AROUND)
    radius = np.linalg.norm(ring[:, :2] - ring[:, :2].mean(axis=0), axis=1)
    fit = np.stack([np.ones(AROUND), *(f(k * turn) for k in (1, 2) for f in (np.cos, np.sin))], axis=1)
    both = np.stack([radius, ring[:, 2]], axis=1)
    rest = both - fit @ np.linalg.lstsq(fit, both, rcond=None)[0]
    assert 2e-5 < np.sqrt((rest**2).sum(axis=1).mean()) < 6e-4


def test_a_place_that_is_too_uneven_is_refused(wall):
    rng = np.random.default_rng(2)
    crest = next(fold for fold in wall.folds if fold.depth > 0.010)
    patch = wall_patch(wall, crest.arc, crest.angle, 0.008)
    assert grow(patch, "IIa", 0.016, rng) is None


def test_a_patients_polyps_are_apart_and_as_described(wall):
    organs = draw_polyps(np.random.default_rng(4), wall)
    assert 3 <= len(organs) <= 8
    assert [organ.name for organ in organs] == [f"polyp_{index:02d}" for index in range(1, len(organs) + 1)]
    for index, organ in enumerate(organs):
        about = organ.attributes
        assert about["paris"] in ("Is", "IIa", "Ip")
        assert 4.0 <= about["size_mm"] <= 20.0
        assert about["segment"] == wall.segments.name_at(about["arc"])
        near = np.linalg.norm(organ.surface.vertices - about["position"], axis=1)
        assert near.min() < 0.004
        assert (organ.label, organ.kind, organ.material) == ("polyp", "solid", "polyp")
        for other in organs[index + 1 :]:
            assert cKDTree(organ.surface.vertices).query(other.surface.vertices)[0].min() > 0.001


def test_a_patch_finds_the_wall_it_was_laid_on(wall):
    patch = wall_patch(wall, 0.3, 1.0, 0.004)
    height, miss = patch.heights(np.array([[0.0, 0.0], [0.002, 0.0], [0.0, 0.002]]))
    assert abs(height[0]) < 1e-6
    assert miss < 2e-4
    assert np.allclose(patch.axes @ patch.axes.T, np.eye(3), atol=1e-9)
    course = np.array([np.interp(0.3, wall.course.arc, column) for column in wall.course.points.T])
    assert (course - patch.origin) @ patch.axes[2] > 0

import numpy as np
import pytest
from scipy.spatial import cKDTree

from assets.colon.course import draw_course, fits, smooth_curve
from assets.colon.folds import Fold, Valve, intrusion
from assets.colon.polyps import POLYPOSIS
from assets.colon.segments import SEGMENTS, draw_segments
from assets.colon.synthesis import synthetic_colon, synthetic_polyposis
from assets.colon.wall import draw_wall, mesh_wall
from assets.errors import InputError
from assets.mesh_check import check_mesh, winding_number
from assets.patient_check import check_patient

SEEDS = (0, 1, 13)


@pytest.fixture(scope="module", params=SEEDS)
def patient(request):
    return synthetic_colon(request.param)


@pytest.fixture(scope="module")
def wall():
    rng = np.random.default_rng(5)
    course, segments = draw_course(rng, draw_segments(rng))
    return draw_wall(rng, course, segments)


def test_the_same_seed_gives_the_same_patient_and_another_another():
    first, again, other = synthetic_colon(0), synthetic_colon(0), synthetic_colon(1)
    assert first.organs[0].surface.vertices.tobytes() == again.organs[0].surface.vertices.tobytes()
    assert [o.attributes for o in first.organs] == [o.attributes for o in again.organs]
    assert first.provenance == again.provenance
    difference = np.abs(first.organs[0].surface.vertices - other.organs[0].surface.vertices)
    assert np.median(difference) > 0.005


def test_the_lumen_is_one_closed_body_without_handles(patient):
    surface = patient.organs[0].surface
    report = check_mesh(surface)
    assert report.problems == ()
    assert (report.genus, report.body_count) == (0, 1)
    assert 90_000 < report.triangle_count < 110_000
    assert surface.vertices.dtype == np.float32
    assert surface.triangles.dtype == np.int32


def test_the_checker_finds_nothing_wrong(patient):
    assert [report.problems for report in check_patient(patient) if report.problems] == []


def test_the_wall_runs_neither_through_itself_nor_through_another_limb(patient):
    # Where it did, the winding number beside it would be 2 or -1.
    surface = patient.organs[0].surface
    corners = surface.vertices[surface.triangles].astype(np.float64)
    some = np.random.default_rng(0).choice(len(corners), 60, replace=False)
    normals = np.cross(corners[some, 1] - corners[some, 0], corners[some, 2] - corners[some, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    middles = corners[some].mean(axis=1)
    np.testing.assert_allclose(winding_number(surface, middles + 5e-5 * normals), 0.0, atol=1e-3)
    np.testing.assert_allclose(winding_number(surface, middles - 5e-5 * normals), 1.0, atol=1e-3)


def test_landmarks_lie_where_they_lie_in_a_supine_patient(patient):
    marks = patient.landmarks
    lowest = patient.organs[0].surface.vertices[:, 2].min()
    assert marks["anus"][2] < lowest + 0.005
    assert abs(marks["anus"][0]) < 0.02
    assert marks["splenic_flexure"][0] < -0.06  # the patient's left
    assert marks["hepatic_flexure"][0] > 0.06
    assert marks["splenic_flexure"][2] > marks["hepatic_flexure"][2]
    assert marks["caecum"][0] > 0.05
    assert marks["caecum"][2] < 0.0 < marks["hepatic_flexure"][2]
    assert marks["sigmoid_descending"][0] < -0.05


def test_the_transverse_colon_sags_forwards(patient):
    line = patient.centrelines[0].points
    index = cKDTree(line).query([patient.landmarks["splenic_flexure"], patient.landmarks["hepatic_flexure"]])[1]
    transverse = line[index[0] : index[1]]
    flexures = line[index]
    assert transverse[:, 1].max() > flexures[:, 1].max() + 0.03
    assert transverse[:, 2].min() < flexures[:, 2].min() - 0.03


def test_the_centreline_visits_the_landmarks_in_order(patient):
    line = patient.centrelines[0]
    order = ("anus", "rectosigmoid", "sigmoid_descending", "splenic_flexure", "hepatic_flexure", "caecum")
    distance, index = cKDTree(line.points).query([patient.landmarks[name] for name in order])
    assert distance.max() < 0.002
    assert list(index) == sorted(index)
    assert (index[0], index[-1]) == (0, len(line.points) - 1)
    step = np.linalg.norm(np.diff(line.points, axis=0), axis=1)
    assert step.max() < 0.0025


def test_a_scope_of_13_mm_passes_with_margin(patient):
    line = patient.centrelines[0]
    assert 2 * line.radius.min() > 0.0165
    polyps = np.concatenate([organ.surface.vertices for organ in patient.organs[1:]])
    assert 2 * cKDTree(polyps).query(line.points)[0].min() > 0.0155


def test_radii_of_the_centreline_touch_the_wall(patient):
    # An independent measure: the distance to triangles' middles can only be larger, by less than half an edge.
    line, surface = patient.centrelines[0], patient.organs[0].surface
    middles = surface.vertices[surface.triangles].mean(axis=1)
    inner = np.linalg.norm(line.points - patient.landmarks["anus"], axis=1) > 0.03
    excess = cKDTree(middles).query(line.points[inner])[0] - line.radius[inner]
    assert excess.min() > -0.0005
    assert excess.max() < 0.004


def test_the_caecum_is_a_blind_end_within_reach(patient):
    mark, surface = patient.landmarks["caecum"], patient.organs[0].surface
    assert winding_number(surface, mark[None])[0] == pytest.approx(1.0)
    ahead = patient.centrelines[0].points[-1] - patient.centrelines[0].points[-6]
    ahead /= np.linalg.norm(ahead)
    beyond = (surface.vertices - mark) @ ahead
    near = np.linalg.norm(surface.vertices - mark, axis=1) < 0.06
    assert 0.015 < beyond[near].max() < 0.045


def test_the_orifice_is_a_flat_disc_that_looks_inwards(patient):
    (orifice,) = patient.orifices
    surface = patient.organs[0].surface
    near = np.linalg.norm(surface.vertices - orifice.centre, axis=1) < 1.2 * orifice.radius
    assert np.abs((surface.vertices[near] - orifice.centre) @ orifice.normal).min() < 1e-6
    assert ((surface.vertices[near] - orifice.centre) @ orifice.normal).min() > -0.002
    assert winding_number(surface, (orifice.centre + 0.004 * orifice.normal)[None])[0] == pytest.approx(1.0, abs=1e-3)
    assert winding_number(surface, (orifice.centre - 0.004 * orifice.normal)[None])[0] == pytest.approx(0.0, abs=1e-3)


def test_the_lumen_is_triangular_in_the_transverse_colon_and_round_in_the_rectum(wall):
    def lobes(segment):
        end = wall.segments.ends[segment]
        arc = np.linspace(end - 0.7 * wall.segments.lengths[segment], end - 0.3 * wall.segments.lengths[segment], 120)
        turn = np.arange(90) * (2 * np.pi / 90)
        first = np.interp(arc, wall.course.arc, wall.taenia_angle)
        radius = wall.radius_at(*np.broadcast_arrays(arc[:, None], turn + first[:, None]))
        return np.abs((radius * np.exp(3j * turn)).mean(axis=1) / radius.mean(axis=1)).mean()

    assert lobes(3) > 3 * lobes(0)


def test_taeniae_indent_the_wall(wall):
    arc = np.linspace(wall.segments.ends[2] + 0.05, wall.segments.ends[3] - 0.05, 200)
    first = np.interp(arc, wall.course.arc, wall.taenia_angle)
    on, between = wall.radius_at(arc, first), wall.radius_at(arc, first + np.pi / 3)
    assert np.percentile(between, 90) > np.percentile(on, 90) + 0.003


def test_a_fold_has_its_depth_in_the_middle_and_none_at_its_ends():
    fold = Fold(0.5, 1.0, np.pi / 3, 0.01, 0.002, 0.003, 0.0, 0.008)
    at = np.array([0.5, 0.5 + 0.003, 0.5 - 0.003, 0.6, 0.5, 0.506])
    turn = np.array([1.0, 1.0 + np.pi / 3, 1.0 - np.pi / 3, 1.0, 1.0 + np.pi, 1.0])
    found = intrusion((fold,), at, turn)
    assert found[0] == pytest.approx(0.01, rel=1e-6)
    assert found[1:5] == pytest.approx(0.0, abs=4e-4)
    assert 0.0 < found[5] < 0.2 * found[0]
    assert intrusion((fold,), at, turn + 2 * np.pi) == pytest.approx(found, abs=1e-9)


def test_the_valve_has_two_lips_and_a_slit():
    valve = Valve(0.5, 0.0, 0.008)
    slit, lip, far = valve.intrusion(np.array([0.5, 0.504, 0.6]), np.zeros(3), np.full(3, 0.03))
    assert lip > 1.5 * slit > 0
    assert far < 1e-6


def test_the_valve_is_medial(patient):
    marks = patient.landmarks
    line = patient.centrelines[0].points
    centre = line[cKDTree(line).query(marks["ileocaecal"])[1]]
    assert marks["ileocaecal"][0] < centre[0]


def test_smoothing_keeps_the_radius_of_a_bend():
    turn = np.linspace(0, np.pi, 40)
    nodes = 0.06 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    course = smooth_curve(nodes, np.full(40, 0.01))
    middle = slice(len(course.arc) // 4, -(len(course.arc) // 4))
    np.testing.assert_allclose(course.curvature[middle], 1 / 0.06, rtol=0.02)
    np.testing.assert_allclose(np.linalg.norm(course.points[middle], axis=1), 0.06, rtol=0.01)


def test_lengths_are_those_drawn_and_fitness_means_something():
    rng = np.random.default_rng(8)
    drawn = draw_segments(rng)
    course, segments = draw_course(rng, drawn)
    assert fits(course, segments)
    assert segments.length == pytest.approx(course.arc[-1], abs=1e-9)
    assert segments.length == pytest.approx(drawn.length, rel=0.06)
    thick = type(segments)(segments.lengths, 1.8 * segments.radii)
    assert not fits(course, thick)


def test_every_wall_of_the_tube_is_in_front_of_the_axis_of_its_bend(wall):
    turn = np.linspace(0, 2 * np.pi, 60)
    arc = np.linspace(0.0, wall.cap, 400)
    radius = wall.radius_at(*np.broadcast_arrays(arc[:, None], turn[None, :]))
    bend = np.stack([np.interp(arc, wall.course.arc, column) for column in wall.bend.T], axis=1)
    assert (radius.min(axis=1) * np.linalg.norm(bend, axis=1)).max() < 0.9


def test_rings_do_not_cross(wall):
    mesh = mesh_wall(wall)
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    assert edges.max() < 0.020
    assert np.percentile(edges, 99) < 0.009


def test_segments_have_published_means():
    names = [segment.name for segment in SEGMENTS]
    assert names == ["rectum", "sigmoid", "descending", "transverse", "ascending", "caecum"]
    draws = np.array([draw_segments(np.random.default_rng(seed)).lengths for seed in range(400)])
    np.testing.assert_allclose(draws.mean(axis=0), [segment.length for segment in SEGMENTS], rtol=0.03)
    assert 1.35 < draws.sum(axis=1).mean() < 1.65  # 150 cm by CT colonography, doi:10.1007/s11604-021-01204-7


def test_negative_seeds_are_refused():
    with pytest.raises(InputError, match="at least 0, found -1"):
        synthetic_colon(-1)


def test_polyposis_is_the_same_colon_with_many_polyps_apart_from_each_other():
    plain, many = synthetic_colon(4), synthetic_polyposis(4)
    assert many.organs[0].surface.vertices.tobytes() == plain.organs[0].surface.vertices.tobytes()
    polyps = many.organs[1:]
    assert POLYPOSIS[0] <= len(polyps) <= POLYPOSIS[1]
    assert {organ.attributes["paris"] for organ in polyps} == {"Is", "IIa", "Ip"}
    bodies = [organ.surface.vertices for organ in polyps]
    nearest = min(cKDTree(one).query(other)[0].min() for i, one in enumerate(bodies) for other in bodies[:i])
    assert nearest > 0.001
    line = many.centrelines[0]
    assert 2 * cKDTree(np.concatenate(bodies)).query(line.points)[0].min() > 0.0155
    assert not [found for found in check_patient(many) if found.problems]
    assert many.source == "synth:polyposis:4"

import numpy as np
import pytest
from scipy.spatial import cKDTree

from assets.colon.diverticula import draw_count
from assets.colon.person import LONGER, Person, as_in, draw_person
from assets.colon.segments import SEGMENTS, draw_segments
from assets.colon.statistics import colon_statistics
from assets.colon.synthesis import ColonPlan, synthetic_colon, synthetic_residue
from assets.errors import InputError
from assets.mesh_check import check_mesh, winding_number
from assets.mesh_intersections import self_intersections
from assets.patient_check import check_patient


@pytest.fixture(scope="module")
def bad():
    """Everything at once."""
    return synthetic_colon(3, ColonPlan(sex="female", age=72.0, diverticula=30, residue=True, collapsed=True))


@pytest.fixture(scope="module")
def plain():
    return synthetic_colon(3, ColonPlan(sex="female", age=72.0, diverticula=0))


def of(patient, label):
    return [organ for organ in patient.organs if organ.label == label]


def test_a_woman_has_the_longer_and_narrower_colon():
    segments = draw_segments(np.random.default_rng(0))
    woman, man = as_in(Person("female", 57.0), segments), as_in(Person("male", 57.0), segments)
    assert woman.length - man.length == pytest.approx(2 * LONGER)
    assert (woman.radii < segments.radii).all()
    assert (segments.radii < man.radii).all()


def test_age_lengthens_the_transverse_colon_alone():
    segments = draw_segments(np.random.default_rng(0))
    change = as_in(Person("male", 77.0), segments).lengths - as_in(Person("male", 57.0), segments).lengths
    assert {s.name for s, x in zip(SEGMENTS, change, strict=True) if x} == {"transverse"}
    assert change.sum() > 0


def test_mean_lengths_of_women_and_men_are_the_published_ones():
    lengths = {"female": [], "male": []}
    for seed in range(300):
        for sex in lengths:
            rng = np.random.default_rng(seed)
            segments = draw_segments(rng)
            lengths[sex].append(as_in(draw_person(rng, sex=sex), segments).length)
    # From anus to the blind end here, some 3 cm longer than the centreline that was measured.
    assert np.mean(lengths["female"]) - 0.03 == pytest.approx(1.543, abs=0.03)
    assert np.mean(lengths["male"]) - 0.03 == pytest.approx(1.471, abs=0.03)


def test_what_is_given_of_a_person_changes_nothing_else():
    draws = [draw_person(np.random.default_rng(5), **given) for given in ({}, {"sex": "male"}, {"age": 60.0})]
    assert draws[1].age == draws[0].age
    assert draws[2].sex == draws[0].sex


@pytest.mark.parametrize(("age", "some", "many"), [(47.0, 0.35, 0.08), (55.0, 0.40, 0.15), (70.0, 0.58, 0.30)])
def test_as_many_people_have_diverticula_as_published(age, some, many):
    rng = np.random.default_rng(1)
    counts = np.array([draw_count(rng, Person("male", age)) for _ in range(4000)])
    assert (counts > 0).mean() == pytest.approx(some, abs=0.03)
    assert (counts > 10).mean() == pytest.approx(many, abs=0.03)


def test_the_same_seed_and_plan_give_the_same_patient(bad):
    again = synthetic_colon(3, ColonPlan(sex="female", age=72.0, diverticula=30, residue=True, collapsed=True))
    assert [organ.name for organ in again.organs] == [organ.name for organ in bad.organs]
    for one, other in zip(bad.organs, again.organs, strict=True):
        np.testing.assert_array_equal(one.surface.vertices, other.surface.vertices)
        np.testing.assert_array_equal(one.surface.triangles, other.surface.triangles)


def test_a_wall_with_diverticula_is_one_closed_body_without_handles(bad):
    report = check_mesh(bad.organs[0].surface)
    assert (report.closed, report.manifold, report.oriented, report.outward) == (True,) * 4
    assert (report.genus, report.body_count, report.unused_count, report.degenerate_count) == (0, 1, 0, 0)


@pytest.fixture(scope="module")
def pouched():
    return synthetic_colon(3, ColonPlan(sex="female", age=72.0, diverticula=30))


def test_diverticula_hold_more_air_than_the_wall_without_them(plain, pouched):
    sacs = pouched.organs[0].attributes["diverticula"]
    assert 20 <= len(sacs) <= 30
    balls = sum(np.pi / 6 * (1e-3 * sac["width_mm"]) ** 3 for sac in sacs)
    added = check_mesh(pouched.organs[0].surface).volume - check_mesh(plain.organs[0].surface).volume
    assert added == pytest.approx(balls, rel=0.25)  # with necks, without the part of the ball that is the opening


def test_a_diverticulum_is_air_outside_of_the_wall_that_was(plain, pouched):
    sacs = pouched.organs[0].attributes["diverticula"]
    inside = [np.array(s["position"]) - np.array(s["normal"]) * (0.002 + 0.5e-3 * s["width_mm"]) for s in sacs]
    np.testing.assert_allclose(winding_number(pouched.organs[0].surface, np.array(inside)), 1.0, atol=1e-6)
    np.testing.assert_allclose(winding_number(plain.organs[0].surface, np.array(inside)), 0.0, atol=1e-6)


def test_nothing_runs_through_itself(bad):
    for organ in bad.organs:
        assert len(self_intersections(organ.surface)) == 0, organ.name


def test_the_checker_finds_nothing_wrong(bad):
    assert [report for report in check_patient(bad) if report.problems] == []


def test_fluid_is_level_and_lies_low(bad):
    pools = of(bad, "bowel_fluid")
    assert pools
    lumen = bad.organs[0].surface.vertices
    for pool in pools:
        height = pool.surface.vertices[:, 1]
        level = height.max()
        top = np.isclose(height, level, atol=1e-6)
        assert top.sum() >= 0.4 * len(height)  # the other half is the bed
        near = lumen[np.linalg.norm(lumen - pool.surface.vertices.mean(axis=0), axis=1) < 0.04]
        assert level < 0.5 * (near[:, 1].min() + near[:, 1].max())
        assert check_mesh(pool.surface).closed
        assert check_mesh(pool.surface).volume == pytest.approx(1e-6 * pool.attributes["volume_ml"], rel=0.02)


def test_stool_is_closed_and_leaves_the_scope_its_way(bad):
    lumps = of(bad, "stool")
    assert len(lumps) >= 3
    course = cKDTree(bad.centrelines[0].points)
    for lump in lumps:
        assert check_mesh(lump.surface).closed
        assert course.query(lump.surface.vertices)[0].min() > 0.0065


def test_a_collapsed_stretch_is_narrow_and_lets_a_scope_pass(bad, plain):
    points, radius = bad.centrelines[0].points, bad.centrelines[0].radius
    arc = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    about = bad.organs[0].attributes
    middle = (about["collapsed_from"] + about["collapsed_to"]) / 2
    there = np.abs(arc - middle) < 0.01
    assert 0.0065 < radius[there].min() < 0.010
    assert plain.centrelines[0].radius[there].min() > 0.012


def test_nobody_else_is_changed_by_residue(bad, plain):
    assert {o.name for o in plain.organs} <= {o.name for o in bad.organs}
    assert not of(plain, "stool")
    assert colon_statistics(plain).length == pytest.approx(colon_statistics(bad).length)


def test_the_badly_prepared_colon_is_an_anatomy_of_its_own():
    patient = synthetic_residue(1)
    assert patient.source == "synth:residue:1"
    assert of(patient, "bowel_fluid")
    assert of(patient, "stool")
    assert "collapsed_from" in patient.organs[0].attributes


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"diverticula": -1}, "expected 0 to 60 diverticula, found -1"),
        ({"diverticula": 1000}, "expected 0 to 60 diverticula, found 1000"),
        ({"age": float("nan")}, "expected an age of 18 to 100 years, found nan"),
    ],
)
def test_impossible_plans_are_refused(plan, message):
    with pytest.raises(InputError, match=message):
        synthetic_colon(0, ColonPlan(**plan))

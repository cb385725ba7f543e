import dataclasses
from functools import cache

import numpy as np
import pytest

from assets.bronchi.clearance import crowd_of
from assets.bronchi.growth import EXPONENT, branching_angles
from assets.bronchi.measures import draw_measures
from assets.bronchi.named import NAMED, SEGMENTAL
from assets.bronchi.statistics import bronchi_statistics, spread
from assets.bronchi.synthesis import synthetic_bronchi
from assets.bronchi.tree import Branch, draw_named
from assets.errors import InputError
from assets.mesh_check import check_mesh, winding_number
from assets.patient_check import check_patient
from assets.patient_io import load_patient, save_patient
from assets.transforms import unit

SEEDS = (0, 3)
made = cache(synthetic_bronchi)


@pytest.fixture(params=SEEDS)
def patient(request):
    return made(request.param)


@pytest.fixture
def one():
    return made(3)


def lines_of(patient):
    return {line.name: line for line in patient.centrelines}


def branches_of(patient):
    return {row["name"]: row for row in patient.organs[0].attributes["branches"]}


def test_the_same_seed_gives_the_same_patient_and_another_another(one):
    again, other = synthetic_bronchi(3), made(0)
    for first, second in zip(one.organs, again.organs, strict=True):
        assert first.surface.vertices.tobytes() == second.surface.vertices.tobytes()
        assert first.surface.triangles.tobytes() == second.surface.triangles.tobytes()
        assert first.attributes == second.attributes
    for first, second in zip(one.centrelines, again.centrelines, strict=True):
        assert first.points.tobytes() == second.points.tobytes()
    assert one.provenance == again.provenance
    assert np.linalg.norm(one.landmarks["larynx"] - other.landmarks["larynx"]) > 1e-3
    assert branches_of(one)["B1_right"]["diameter"] != branches_of(other)["B1_right"]["diameter"]


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="at least 0, found -1"):
        synthetic_bronchi(-1)


def test_the_lumen_is_one_closed_body_without_handles(patient):
    for organ in patient.organs:
        report = check_mesh(organ.surface)
        assert report.problems == ()
        assert (report.genus, report.body_count) == (0, 1)
    assert 120_000 < len(patient.organs[0].surface.triangles) < 260_000


def test_the_checker_finds_nothing_wrong(one):
    some = dataclasses.replace(one, centrelines=one.centrelines[::12])
    assert [report.problems for report in check_patient(some) if report.problems] == []


def test_the_wall_runs_neither_through_itself_nor_through_another_bronchus(patient):
    # Where it did, the winding number beside it would be 2 or -1.
    surface = patient.organs[0].surface
    corners = surface.vertices[surface.triangles].astype(np.float64)
    some = np.random.default_rng(0).choice(len(corners), 40, replace=False)
    normals = unit(np.cross(corners[some, 1] - corners[some, 0], corners[some, 2] - corners[some, 0]))
    middles = corners[some].mean(axis=1)
    np.testing.assert_allclose(winding_number(surface, middles + 2e-5 * normals), 0.0, atol=2e-3)
    np.testing.assert_allclose(winding_number(surface, middles - 2e-5 * normals), 1.0, atol=2e-3)


def test_every_segment_has_its_bronchus_and_the_tree_goes_to_the_fifth_generation_at_least(patient):
    rows = branches_of(patient)
    assert {name.removesuffix("_right") for name in rows if name.endswith("_right") and name in SEGMENTAL} == {
        f"B{number}" for number in range(1, 11)
    }
    assert {name.removesuffix("_left") for name in rows if name.endswith("_left") and name in SEGMENTAL} == {
        "B1_2", "B3", "B4", "B5", "B6", "B7_8", "B9", "B10"
    }  # fmt: skip
    parents = {row["parent"] for row in rows.values()}
    for row in rows.values():
        assert row["parent"] is None or rows[row["parent"]]["generation"] == row["generation"] - 1
        if row["parent"]:
            assert row["start"] == rows[row["parent"]]["end"]
            assert row["diameter"] < rows[row["parent"]]["diameter"]
    ends = [row["generation"] for name, row in rows.items() if name not in parents]
    assert min(ends) >= 4
    assert np.mean(np.array(ends) >= 5) > 0.97
    assert sum(row["generation"] >= 6 for row in rows.values()) > 30


def test_bronchi_lie_where_they_lie_in_a_supine_patient(patient):
    rows, marks = branches_of(patient), patient.landmarks
    ends = {name: np.array(row["end"]) for name, row in rows.items()}
    assert marks["larynx"][2] - marks["carina"][2] > 0.07
    assert marks["larynx"][1] > marks["carina"][1]  # the trachea runs backwards as it descends
    for name in SEGMENTAL:
        assert (ends[name][0] > 0) == name.endswith("_right")
    for side in ("right", "left"):
        assert ends[f"B6_{side}"][1] < np.array(rows[f"B6_{side}"]["start"])[1] - 0.006  # backwards
        assert ends[f"B3_{side}"][1] > np.array(rows[f"B3_{side}"]["start"])[1] + 0.005  # forwards
        assert ends[f"B10_{side}"][2] < ends[f"B6_{side}"][2] < ends[f"B3_{side}"][2]
    apical = rows["B1_right"]
    assert apical["end"][2] > apical["start"][2] + 0.006
    # The right main bronchus is shorter, wider and steeper.
    assert rows["right_main"]["length"] < rows["left_main"]["length"]
    assert rows["right_main"]["diameter"] > rows["left_main"]["diameter"]


def test_the_carina_is_a_ridge_across_the_lumen(patient):
    # Points in front of it, towards the larynx, are in the lumen; behind it, between the bronchi, they are not.
    surface, carina = patient.organs[0].surface, patient.landmarks["carina"]
    up = unit(patient.landmarks["larynx"] - carina)
    before = winding_number(surface, carina + np.array([[0.002], [0.005], [0.02]]) * up)
    behind = winding_number(surface, carina - np.array([[0.002], [0.005], [0.01]]) * up)
    np.testing.assert_allclose(before, 1.0, atol=1e-3)
    np.testing.assert_allclose(behind, 0.0, atol=1e-3)
    # It is sharp: a few millimetres below its edge the partition is still thin, and both bronchi lie beside it.
    for down in (0.002, 0.004):
        across = carina - down * up + np.linspace(-0.008, 0.008, 33)[:, None] * np.array([1.0, 0.0, 0.0])
        wall = winding_number(surface, across) < 0.5
        assert 0.0005 <= 0.0005 * wall.sum() <= 2.2 * down + 0.001
        assert not wall[0]
        assert not wall[-1]


def section(patient, share):
    """Return the trachea's surface near its axis' middle part: along, to the right and to the back [m]."""
    line = lines_of(patient)["trachea"]
    way = unit(line.points[-1] - line.points[0])
    right = unit(np.array([1.0, 0.0, 0.0]) - way[0] * way)
    middle = line.points[int(share * len(line.points))]
    off = patient.organs[0].surface.vertices.astype(np.float64) - middle
    near = off[(np.abs(off @ way) < 0.025) & (np.linalg.norm(off, axis=1) < 0.03)]
    return np.stack([near @ way, near @ right, near @ np.cross(way, right)], axis=1)


def test_the_posterior_wall_of_the_trachea_is_flat(patient):
    found = section(patient, 0.5)
    back = -1.0 if abs(found[:, 2].min()) < found[:, 2].max() else 1.0
    depth = back * found[:, 2]  # towards the back of the body
    slab = np.abs(found[:, 0]) < 0.003
    half = np.ptp(found[slab, 1]) / 2
    flat = depth[slab & (np.abs(found[:, 1]) < 0.5 * half) & (depth > 0)]
    round_ = depth[slab & (np.abs(found[:, 1]) < 0.5 * half) & (depth < 0)]
    assert np.ptp(flat) < 0.0016  # folds and a slight bow; a circle would have 0.13 of the half width more
    assert abs(flat.mean()) < 0.85 * abs(round_.min())
    # It is the dorsal side.
    line = lines_of(patient)["trachea"]
    way = unit(line.points[-1] - line.points[0])
    dorsal = np.cross(way, unit(np.array([1.0, 0.0, 0.0]) - way[0] * way))
    assert back * dorsal[1] < 0


def test_rings_stand_out_in_front_and_not_behind(patient):
    found = section(patient, 0.5)
    attributes = patient.organs[0].attributes
    pitch = attributes["trachea_length"] / attributes["trachea_rings"]
    back = -1.0 if abs(found[:, 2].min()) < found[:, 2].max() else 1.0
    depth = back * found[:, 2]

    def amplitude(rows, values):
        # The strongest sine along the trachea with about the rings' distance.
        residual = values - np.polyval(np.polyfit(rows[:, 0], values, 2), rows[:, 0])
        waves = 1.0 / (pitch * np.linspace(0.8, 1.25, 40))
        return max(2 * abs(np.mean(residual * np.exp(2j * np.pi * wave * rows[:, 0]))) for wave in waves)

    middle = np.abs(found[:, 1]) < 0.003
    front, behind = found[middle & (depth < 0)], found[middle & (depth > 0)]
    assert amplitude(front, front[:, 2]) > 1.2e-4
    assert amplitude(front, front[:, 2]) > 2.5 * amplitude(behind, behind[:, 2])


def test_lines_are_a_tree_from_the_larynx(patient):
    lines, rows = lines_of(patient), branches_of(patient)
    assert patient.centrelines[0].name == "trachea"
    assert {f"bronchi_{name}" for name in SEGMENTAL} < set(lines)
    parents = {row["parent"] for row in rows.values()}
    assert {f"bronchi_{name}" for name in rows if name not in parents} < set(lines)
    for name, line in lines.items():
        np.testing.assert_array_equal(line.points[0], patient.landmarks["larynx"])
        assert np.linalg.norm(np.diff(line.points, axis=0), axis=1).max() < 0.003
        row = rows[name.removeprefix("bronchi_")]
        assert np.linalg.norm(line.points[-1] - row["end"]) < 0.6 * row["diameter"] + 0.001
    # A daughter's line begins with its mother's, point by point, and does not turn sharply where it leaves it.
    for number, last in (("B1", "bia"), ("B6", "bi"), ("B10", "bii")):
        mother, daughter = lines[f"bronchi_{number}_right"].points, lines[f"bronchi_{number}{last}_right"].points
        np.testing.assert_array_equal(daughter[: len(mother)], mother)
        ways = unit(np.diff(daughter, axis=0))
        turns = np.degrees(np.arccos(np.clip((ways[1:] * ways[:-1]).sum(axis=1), -1, 1)))
        assert turns.max() < 45


def test_the_radius_of_a_line_is_the_room_about_it(one):
    # An independent measure: no point of the wall, taken at random, is nearer.
    surface = one.organs[0].surface
    corners = surface.vertices[surface.triangles].astype(np.float64)
    some = corners[np.random.default_rng(1).choice(len(corners), 4000)].mean(axis=1)
    for name in ("trachea", "bronchi_B10_left", "bronchi_B3_right"):
        line = lines_of(one)[name]
        gap = np.linalg.norm(line.points[20:, None] - some[None], axis=-1).min(axis=1)
        assert (gap - line.radius[20:]).min() > -0.0003
        assert np.median(gap - line.radius[20:]) < 0.0015


def test_a_slim_scope_of_4_mm_enters_most_segments_and_one_of_5_5_mm_reaches_the_lower_lobes(patient):
    found = bronchi_statistics(patient)
    assert np.mean([found.entered[name] > 0.004 for name in SEGMENTAL]) >= 0.7
    for name in ("B6_right", "B6_left"):
        assert found.reached[name] > 0.0055


def test_the_target_is_a_lesion_beside_a_small_bronchus(patient):
    lumen, target = patient.organs
    assert (target.label, target.kind) == ("tumour", "solid")
    line = lines_of(patient)[target.attributes["centreline"]]
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line.points, axis=0), axis=1))])
    place = int(np.abs(arc - target.attributes["arc"]).argmin())
    middle = target.surface.vertices.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(middle, patient.landmarks["peripheral_target"])
    size = np.ptp(target.surface.vertices, axis=0).max()
    assert 0.9 < size / target.attributes["diameter"] < 1.15
    assert 0.004 < size < 0.022
    # It is solid tissue outside of the lumen, a wall's breadth from the bronchus that its line leads to.
    assert np.abs(winding_number(lumen.surface, target.surface.vertices[::60].astype(np.float64))).max() < 1e-2
    gap = np.linalg.norm(target.surface.vertices - line.points[place], axis=1).min() - line.radius[place]
    assert 0.0 < gap < 0.004
    assert target.attributes["generation"] >= 4


def test_the_orifice_is_a_flat_disc_that_looks_inwards(patient):
    (orifice,) = patient.orifices
    np.testing.assert_array_equal(orifice.centre, patient.landmarks["larynx"])
    off = patient.organs[0].surface.vertices - orifice.centre
    along = off @ orifice.normal
    disc = np.linalg.norm(off, axis=1) < 0.6 * orifice.radius
    assert np.abs(along[disc & (along < 0.002)]).max() < 1e-4
    assert along.min() > -1e-4
    beside = orifice.centre + np.array([[0.004], [-0.004]]) * orifice.normal
    np.testing.assert_allclose(winding_number(patient.organs[0].surface, beside), [1.0, 0.0], atol=1e-3)


def test_it_is_written_and_read(one, tmp_path):
    small = dataclasses.replace(one, centrelines=one.centrelines[:3])
    save_patient(small, tmp_path / "p")
    again = load_patient(tmp_path / "p")
    assert again.organs[0].attributes == one.organs[0].attributes
    np.testing.assert_array_equal(again.organs[0].surface.triangles, one.organs[0].surface.triangles)


def test_branching_angles_are_those_of_least_volume():
    # Of equal sisters: cos = 2^(1 - 2/n - ...), in closed form; of very unequal ones, the larger goes straight on.
    equal = np.degrees(branching_angles(0.5))
    assert equal == pytest.approx([np.degrees(np.arccos(1 / (2 * 0.5 ** (2 / EXPONENT))))] * 2)
    small, large = np.degrees(branching_angles(0.02))
    assert large < 8 < 60 < small
    # Independent: the junction whose three tubes together have the least volume, found by brute force.
    share = 0.3
    radii = np.array([1.0, share ** (1 / EXPONENT), (1 - share) ** (1 / EXPONENT)])
    first, second = branching_angles(share)
    ends = np.array([[-1.0, 0.0], [np.cos(first), np.sin(first)], [np.cos(second), -np.sin(second)]])
    grid = np.stack(np.meshgrid(*[np.linspace(-0.2, 0.2, 81)] * 2, indexing="ij"), axis=-1)
    volume = (radii**2 * np.linalg.norm(grid[..., None, :] - ends, axis=-1)).sum(axis=-1)
    best = grid.reshape(-1, 2)[volume.argmin()]
    np.testing.assert_allclose(best, 0.0, atol=1e-9)


def test_bronchi_that_come_too_near_are_found():
    rng = np.random.default_rng(3)
    tree = draw_named(rng, draw_measures(rng))
    assert crowd_of(tree)[1] == []
    left = tree["B3_left"]
    aim = np.array([0.02, 0.0, -0.02])
    stray = Branch("stray", "B3_left", 5, left.end, aim, 0.003, 0.0, 0.0)
    assert ("right_main", "stray") in crowd_of(tree | {"stray": stray})[1]


def test_rows_of_the_table_follow_their_parents():
    seen = {"right_main", "left_main"}
    for row in NAMED:
        assert row.parent in seen
        assert row.name not in seen
        seen.add(row.name)


def test_what_is_drawn_is_as_published():
    drawn = [draw_measures(np.random.default_rng(seed)) for seed in range(400)]
    for sex, length, width in (("male", 0.1051, 0.0177), ("female", 0.0983, 0.0153)):
        some = [one for one in drawn if one.sex == sex]
        assert 150 < len(some) < 250
        assert np.mean([one.length for one in some]) == pytest.approx(length, rel=0.03)
        assert np.mean([one.width for one in some]) == pytest.approx(width, rel=0.02)
    assert np.degrees(np.mean([one.right_angle + one.left_angle for one in drawn])) == pytest.approx(77.4, abs=1.5)


def test_statistics_agree_with_what_was_drawn(patient):
    found, attributes = bronchi_statistics(patient), patient.organs[0].attributes
    assert found.trachea_length == pytest.approx(attributes["trachea_length"], rel=0.04)
    # Of the surface, with gaps between rings: half their depth more on either side.
    assert found.trachea_width == pytest.approx(attributes["trachea_width"] + 0.0007, abs=0.0006)
    assert found.trachea_depth == pytest.approx(attributes["trachea_depth"] + 0.0005, abs=0.0009)
    assert found.right_angle == pytest.approx(attributes["right_angle"], abs=np.radians(4))
    drawn = branches_of(patient)
    ratios = [found.calibres[name] / drawn[name]["diameter"] for name in found.calibres]
    assert 1.0 < np.median(ratios) < 1.08  # bends and blends widen a branch a little
    assert 0.028 < found.left_length < 0.065
    assert 0.004 < found.right_length < 0.024


def test_missing_landmarks_are_named(one):
    marks = {name: place for name, place in one.landmarks.items() if name != "LC2"}
    with pytest.raises(InputError, match="LC2 in patient bronchi_0003"):
        bronchi_statistics(dataclasses.replace(one, landmarks=marks))


def test_spread_gives_figures_of_real_bronchi():
    figures = {figure["name"]: figure for figure in spread(range(2))}
    for figure in figures.values():
        assert set(figure) == {"name", "subset", "value", "unit", "low", "high", "n", "how"}
        assert np.isfinite(figure["value"])
    assert figures["anatomy.bronchi.left_main_length.mean"]["n"] == 2
    calibres = [figures[f"anatomy.bronchi.generation_{number}.calibre.mean"]["value"] for number in range(1, 7)]
    assert calibres == sorted(calibres, reverse=True)
    assert figures["anatomy.bronchi.branches.min"]["value"] > 120

"""Mending: surfaces of known volume are damaged in one way each, and come back, or are refused with where."""

import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.mending.anal_canal import with_anal_canal
from assets.mending.holes import find_holes
from assets.mending.mend import mend
from assets.mending.weld import LEAST_AREA, areas, without_doubles, without_slivers
from assets.mesh import Mesh
from assets.mesh_check import check_mesh

SPHERE = trimesh.creation.icosphere(4, 0.05)
POINTS, FACES = np.asarray(SPHERE.vertices, np.float64), np.asarray(SPHERE.faces, np.int64)
VOLUME = float(SPHERE.volume)


def sphere(radius, x=0.0, inside_out=False):
    shape = trimesh.creation.icosphere(3, radius)
    faces = np.asarray(shape.faces, np.int64)
    return np.asarray(shape.vertices) + np.array([x, 0, 0]), faces[:, ::-1] if inside_out else faces


def together(*shapes):
    starts = np.cumsum([0, *(len(points) for points, _ in shapes)])
    cells = [faces + start for (_, faces), start in zip(shapes, starts, strict=False)]
    return np.concatenate([points for points, _ in shapes]), np.concatenate(cells)


def mended_volume(mended):
    report = check_mesh(mended.joined)
    assert report.problems == ()
    return report.volume


def test_a_sound_surface_is_left_alone():
    found = mend(POINTS, FACES, "here")
    assert found.figures == {}
    np.testing.assert_array_equal(found.joined.triangles, FACES)
    np.testing.assert_array_equal(found.joined.vertices, POINTS.astype(np.float32))


def test_a_surface_inside_out_is_turned():
    found = mend(POINTS, FACES[:, ::-1], "here")
    assert found.figures == {"bodies_turned_outwards": 1}
    assert mended_volume(found) == pytest.approx(VOLUME, rel=1e-6)


def test_triangles_that_disagree_are_turned():
    rng = np.random.default_rng(0)
    some = rng.choice(len(FACES), len(FACES) // 3, replace=False)
    faces = FACES.copy()
    faces[some] = faces[some][:, ::-1]
    found = mend(POINTS, faces, "here")
    assert found.figures == {"triangles_turned": len(some)}
    assert mended_volume(found) == pytest.approx(VOLUME, rel=1e-6)


def test_a_soup_is_welded():
    soup, faces = POINTS[FACES].reshape(-1, 3), np.arange(3 * len(FACES)).reshape(-1, 3)
    found = mend(soup, faces, "here")
    assert found.figures == {"vertices_merged": len(soup) - len(POINTS)}
    assert mended_volume(found) == pytest.approx(VOLUME, rel=1e-6)


def test_doubles_are_dropped():
    twice = np.concatenate([FACES, np.roll(FACES, 1, axis=1)])
    found = mend(POINTS, twice, "here")
    assert found.figures == {"double_triangles_dropped": len(FACES)}
    both_sides = np.concatenate([FACES, FACES[:, ::-1]])
    assert mended_volume(mend(POINTS, both_sides, "here")) == pytest.approx(VOLUME, rel=1e-6)
    # a membrane of both sides inside of the sphere encloses nothing
    fin = np.array([[0, 5, 9], [9, 5, 0]])
    found = mend(POINTS, np.concatenate([FACES, fin]), "here")
    assert found.figures == {"double_triangles_dropped": 2}


def test_doubles_are_counted_as_brute_force_does():
    rng = np.random.default_rng(1)
    cells = rng.integers(0, 6, (200, 3))
    kept, degenerate, doubles = without_doubles(cells)
    whole = [tuple(cell) for cell in cells.tolist() if len(set(cell)) == 3]
    sides = {}
    for a, b, c in whole:
        turn = min((a, b, c), (b, c, a), (c, a, b))
        sides.setdefault(frozenset(turn), set()).add(turn)
    single = sum(len(turns) == 1 for turns in sides.values())
    assert degenerate == len(cells) - len(whole)
    assert len(kept) == single
    assert doubles == len(whole) - single


def test_a_needle_and_a_flat_triangle_are_closed_without_a_hole():
    # a vertex put upon an edge makes two triangles of which one side is flat: here both neighbours are cut
    a, b, c = FACES[0]
    other = next(face for face in FACES[1:] if {a, b} <= set(face))
    d = next(corner for corner in other if corner not in (a, b))
    new = len(POINTS)
    rest = FACES[1:][[set(face) != set(other) for face in FACES[1:]]]
    near = POINTS[a] + 1e-9 * (POINTS[b] - POINTS[a])
    needle = np.array([[a, new, c], [new, b, c], [new, a, d], [b, new, d]])
    points, faces = np.concatenate([POINTS, near[None]]), np.concatenate([rest, needle])
    assert (areas(points, faces) < LEAST_AREA).sum() == 2
    cells, removed = without_slivers(points, faces)
    assert removed == 2
    assert (areas(points, cells) >= LEAST_AREA).all()
    mesh = Mesh(points.astype(np.float32), cells.astype(np.int32))
    report = check_mesh(mesh)
    assert report.closed
    assert report.manifold
    assert report.volume == pytest.approx(VOLUME, rel=1e-6)


def test_a_flat_triangle_is_turned_without_a_hole():
    # the middle of a block's edge is a corner of one of the faces there, and of a triangle without area
    box = trimesh.creation.box((0.02, 0.02, 0.02))
    points, faces = np.asarray(box.vertices), np.asarray(box.faces, np.int64)
    a, b, c = next(f for f in faces.tolist() if (np.ptp(points[[f[0], f[1]]], axis=0) > 0).sum() == 1)
    flat = np.array([[a, 8, c], [8, b, c], [a, b, 8]])
    rest = faces[[tuple(face) != (a, b, c) for face in faces.tolist()]]
    found = mend(np.concatenate([points, (points[[a]] + points[[b]]) / 2]), np.concatenate([rest, flat]), "here")
    assert found.figures == {"degenerate_triangles_dropped": 1}
    assert mended_volume(found) == pytest.approx(0.02**3, rel=1e-6)


@pytest.mark.parametrize("count", [1, 2, 6])
def test_a_small_hole_is_closed(count):
    around = np.flatnonzero((FACES[0, 0] == FACES).any(axis=1))[:count]
    found = mend(POINTS, np.delete(FACES, around, axis=0), "here")
    assert found.figures == {"holes_closed": 1}
    assert mended_volume(found) == pytest.approx(VOLUME, rel=2e-3)


def test_a_cut_tube_is_closed_flat():
    tube = trimesh.creation.cylinder(0.01, 0.2, sections=32).subdivide().subdivide().subdivide()
    points, faces = np.asarray(tube.vertices), np.asarray(tube.faces, np.int64)
    wall = faces[~(np.abs(points[faces][..., 2]) > 0.0999).all(axis=1)]
    found = mend(points, wall, "here")
    assert found.figures == {"holes_closed": 2}
    prism = 16 * np.sin(np.pi / 16) * 0.01**2 * 0.2
    assert mended_volume(found) == pytest.approx(prism, rel=1e-6)


def test_a_rim_that_is_not_seen_from_its_middle_is_closed_by_ears():
    # the top of a block, an L seen from above, is missing
    outline = np.array([[0, 0], [3, 0], [3, 1], [1, 1], [1, 3], [0, 3]]) * 0.01
    low, high = (np.column_stack([outline, np.full(6, z)]) for z in (0.0, 0.3))
    points = np.concatenate([low, high])
    sides = [(i, (i + 1) % 6, 6 + (i + 1) % 6) for i in range(6)] + [(i, 6 + (i + 1) % 6, 6 + i) for i in range(6)]
    bottom = [(0, 2, 1), (0, 3, 2), (0, 4, 3), (0, 5, 4)]
    found = mend(points, np.array(sides + bottom), "here")
    assert found.figures == {"holes_closed": 1}
    assert mended_volume(found) == pytest.approx(5e-4 * 0.3, rel=1e-6)


def test_a_large_or_bent_hole_is_refused_with_where():
    half = FACES[(POINTS[FACES][..., 0] < 0.001).all(axis=1)]
    with pytest.raises(InputError, match=r"a hole of 1\d\d\.\d mm .* at RAS .*too large to close, in here"):
        mend(POINTS, half, "here")
    # a band round a quarter of the sphere is taken out: small in area, but not planar
    x, y, z = (POINTS[FACES].mean(axis=1)[:, n] for n in range(3))
    bent = FACES[~((np.abs(z) < 0.003) & (np.abs(np.arctan2(y, x)) < 1.0))]
    with pytest.raises(InputError, match="too bent to close"):
        mend(POINTS, bent, "here")


def test_small_bodies_are_dropped_and_others_kept():
    points, faces = together(sphere(0.05), sphere(0.03, 0.2), sphere(0.005, -0.2))
    found = mend(points, faces, "here")
    assert found.figures == {"small_bodies_dropped": 1}
    assert len(found.bodies) == 2
    expected = trimesh.creation.icosphere(3, 0.05).volume + trimesh.creation.icosphere(3, 0.03).volume
    assert mended_volume(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("inside_out", [True, False])
def test_a_body_inside_of_another_is_dropped(inside_out):
    points, faces = together(sphere(0.05), sphere(0.03, inside_out=inside_out))
    found = mend(points, faces, "here")
    assert found.figures["inner_bodies_dropped"] == 1
    assert mended_volume(found) == pytest.approx(trimesh.creation.icosphere(3, 0.05).volume, rel=1e-5)


def test_bodies_that_share_an_edge_are_told_apart():
    box = trimesh.creation.box((0.02, 0.02, 0.02))
    points, faces = np.asarray(box.vertices), np.asarray(box.faces, np.int64)
    found = mend(*together((points, faces), (points + np.array([0.02, 0.02, 0]), faces)), "here")
    assert len(found.bodies) == 2
    assert mended_volume(found) == pytest.approx(2 * 0.02**3, rel=1e-6)


def test_three_sheets_are_refused():
    plane = POINTS[FACES][..., 2] > 0.0
    wall_rim = find_holes(POINTS, FACES[plane.all(axis=1)])[0][0]
    middle = len(POINTS)
    sheet = np.stack([wall_rim.rim, np.roll(wall_rim.rim, -1), np.full(len(wall_rim.rim), middle)], axis=1)
    points = np.concatenate([POINTS, wall_rim.centre[None]])
    with pytest.raises(InputError, match="three sheets that meet at RAS"):
        mend(points, np.concatenate([FACES, sheet]), "here")


def test_a_moebius_strip_is_refused():
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rows = [[(0.05 + s * np.cos(t / 2)) * np.cos(t), (0.05 + s * np.cos(t / 2)) * np.sin(t), s * np.sin(t / 2)]
            for t in turns for s in (-0.01, 0.01)]  # fmt: skip
    cells = []
    for i in range(24):
        a, b = 2 * i, 2 * i + 1
        c, d = (2 * i + 2, 2 * i + 3) if i < 23 else (1, 0)
        cells += [(a, b, c), (b, d, c)]
    with pytest.raises(InputError, match="one-sided"):
        mend(np.array(rows), np.array(cells), "here")


def test_flat_and_empty_surfaces_are_refused():
    with pytest.raises(InputError, match="expected triangles"):
        mend(np.zeros((0, 3)), np.zeros((0, 3), np.int64), "here")
    with pytest.raises(InputError, match="only doubles"):
        mend(np.zeros((3, 3)), np.array([[0, 1, 2]]), "here")


def test_surfaces_that_would_take_for_ever_are_refused():
    fragments = np.arange(30_000).reshape(-1, 3)
    places = np.random.default_rng(0).uniform(-0.1, 0.1, (30_000, 3))
    with pytest.raises(InputError, match=r"expected at most 64 bodies of like size, found \d{4}"):
        mend(places, fragments, "here")
    fine = trimesh.creation.icosphere(5, 0.05)
    points, faces = np.asarray(fine.vertices, np.float64), np.asarray(fine.faces, np.int64)
    taken, gone = np.zeros(len(points), bool), np.zeros(len(faces), bool)
    for index, face in enumerate(faces):  # every hole apart from the others
        if not taken[face].any():
            gone[index] = True
            taken[faces[(faces[:, :, None] == face).any(axis=(1, 2))]] = True
        if gone.sum() == 300:
            break
    with pytest.raises(InputError, match="expected at most 256 holes, found 300"):
        mend(points, faces[~gone], "here")
    # slivers about one corner of thousands of triangles
    count = 2000
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    ring = np.stack([1e-10 * np.cos(turn), 1e-10 * np.sin(turn), np.zeros(count)], axis=1)
    points = np.concatenate([ring, [[0, 0, 0.05], [0, 0, -0.05]]])
    step = np.roll(np.arange(count), -1)
    faces = np.concatenate(
        [
            np.stack([np.arange(count), step, np.full(count, count)], axis=1),
            np.stack([step, np.arange(count), np.full(count, count + 1)], axis=1),
        ]
    )
    with pytest.raises(InputError, match="here"):
        mend(points, faces, "here")


def closed_tube(radius, length=0.3):
    """A round blind tube along z."""
    shape = trimesh.creation.capsule(length, radius, count=[48, 48])
    return Mesh(np.asarray(shape.vertices, np.float32), np.asarray(shape.faces, np.int32)), shape.bounds


@pytest.mark.parametrize("radius", [0.012, 0.03])
def test_an_anal_canal_ends_in_a_round_disc(radius):
    lumen, bounds = closed_tube(radius)
    point = np.array([0.0, 0.0, bounds[0, 2] + radius + 0.01])
    opened, centre, disc = with_anal_canal(lumen, point, np.array([0.0, 0.0, 1.0]))
    report = check_mesh(opened)
    assert report.problems == ()
    assert report.genus == 0
    assert report.body_count == 1
    flat = opened.vertices[np.abs(opened.vertices[:, 2] - centre[2]) < 1e-6].astype(np.float64) - centre
    across = np.linalg.norm(flat, axis=1)
    assert centre[2] == pytest.approx(float(opened.vertices[:, 2].min()), abs=1e-6)
    np.testing.assert_allclose(across[across > 1e-4], disc, rtol=1e-4)
    np.testing.assert_allclose(centre[:2], 0, atol=1e-4)


def test_only_the_end_of_the_limb_is_cut():
    """A U of two limbs: the plane crosses both, and one keeps its end."""
    bend = trimesh.creation.torus(0.06, 0.02, major_sections=64, minor_sections=32)
    points = np.asarray(bend.vertices)
    angle = np.arctan2(points[:, 1], points[:, 0])
    # The ring is opened at its lowest place by leaving out a few degrees, and closed again flat.
    middles = np.abs(np.angle(np.exp(1j * (angle[np.asarray(bend.faces)] + np.pi / 2)))).max(axis=1)
    ring = mend(points, np.asarray(bend.faces, np.int64)[middles > 0.25], "here").joined
    point = np.array([0.06 * np.sin(0.6), -0.06 * np.cos(0.6), 0.0])
    inward = np.array([np.cos(0.6), np.sin(0.6), 0.0])
    opened, centre, _ = with_anal_canal(ring, point, inward)
    assert check_mesh(opened).problems == ()
    assert check_mesh(opened).genus == 0
    other = ring.vertices[ring.vertices[:, 0] < -0.01]
    kept = {tuple(row) for row in np.round(opened.vertices, 6).tolist()}
    assert all(tuple(row) in kept for row in np.round(other, 6).tolist())
    assert centre @ inward < point @ inward - 0.03


def test_a_cut_outside_of_the_lumen_is_refused():
    lumen, bounds = closed_tube(0.02)
    with pytest.raises(InputError, match="expected the lumen to go on"):
        with_anal_canal(lumen, bounds[0] - 0.1, np.array([0.0, 0.0, 1.0]))

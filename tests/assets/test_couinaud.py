from dataclasses import replace

import numpy as np
import pytest

from assets.couinaud import NUMBERS, by_branches, by_planes, centres, segments_of, shares
from assets.errors import InputError
from assets.mesh import Mesh
from assets.patient import Centreline, Organ, Patient

RNG = np.random.default_rng(3)
CORNERS = {n: 0.03 * np.array([(n - 1) & 1, (n - 1) >> 1 & 1, (n - 1) >> 2 & 1]) * 2 - 0.03 for n in NUMBERS}


def rod(point, length=0.0):
    return np.asarray(point) + np.linspace(-0.5, 0.5, 9)[:, None] * [0.0, 0.0, length]


def patient(**parts):
    return Patient(name="liver", source="a test", licence="none", organs=parts.pop("organs", ()), **parts)


def with_branches(hepatic=()):
    lines = [Centreline(f"portal_segment_{n}_0", rod(p, 0.004), np.full(9, 0.001)) for n, p in CORNERS.items()]
    return patient(centrelines=(*lines, *hepatic))


def box(low, high):
    vertices = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (high - low) + low
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
    return Mesh(vertices.astype(np.float32), np.array(triangles, np.int32))


def test_eight_known_branches_part_space_into_octants():
    points = RNG.uniform(-0.05, 0.05, (2000, 3))
    found = segments_of(with_branches()).of(points)
    octant = 1 + (points[:, 0] > 0) + 2 * (points[:, 1] > 0) + 4 * (points[:, 2] > 0)
    clear = np.abs(points).min(axis=1) > 1e-6
    np.testing.assert_array_equal(found[clear], octant[clear])


def test_the_nearest_branch_wins_as_brute_force_finds_it():
    portal = {n: RNG.uniform(-0.05, 0.05, (12, 3)) for n in NUMBERS}
    points = RNG.uniform(-0.06, 0.06, (300, 3))
    brute = [min(NUMBERS, key=lambda n: np.linalg.norm(portal[n] - p, axis=1).min()) for p in points]
    np.testing.assert_array_equal(by_branches(points, portal, {}), brute)


def test_near_a_hepatic_vein_only_its_own_segments_are_asked():
    portal = {7: rod([0.02, 0.0, 0.0]), 4: rod([-0.03, 0.0, 0.0]), 8: rod([0.05, 0.0, 0.0])}
    point = np.array([[0.0, 0.0, 0.0]])
    assert by_branches(point, portal, {})[0] == 7
    # the middle hepatic vein runs between 4, 5 and 8, so segment 7 has no part in what lies about it
    assert by_branches(point, portal, {"middle": rod([0.0, 0.01, 0.0])})[0] == 4
    assert by_branches(point, portal, {"middle": rod([0.0, 0.04, 0.0])})[0] == 7


def test_unknown_veins_and_no_branches_are_refused():
    with pytest.raises(InputError, match="no branch"):
        by_branches(np.zeros((1, 3)), {}, {})
    with pytest.raises(InputError, match="'umbilical'"):
        by_branches(np.zeros((1, 3)), {1: rod([0.0, 0.0, 0.0])}, {"umbilical": rod([0.0, 0.0, 0.0])})


def test_labelled_segments_are_taken_over_and_win_over_branches():
    organs = tuple(
        Organ(f"liver_segment_{n}", f"liver_segment_{n}", "solid", "liver", box(p - 0.029, p + 0.029))
        for n, p in {9 - n: p for n, p in CORNERS.items()}.items()
    )
    segments = segments_of(replace(with_branches(), organs=organs))
    points = RNG.uniform(-0.05, 0.05, (300, 3))
    mirrored = segments_of(with_branches()).of(points)
    assert (segments.method, segments.approximate) == ("labels", False)
    np.testing.assert_array_equal(segments.of(points), 9 - mirrored)
    # a point in the cleft between two labels belongs to the nearer
    assert segments.of(np.array([[0.0004, 0.03, 0.03]]))[0] == 1


def test_planes_stand_in_for_veins_and_say_so():
    marks = {
        "porta_hepatis": np.array([0.02, -0.02, 0.088]),
        "vena_cava": np.array([0.024, -0.042, 0.166]),
        "gallbladder_fundus": np.array([0.06, 0.07, 0.06]),
        "umbilical_fissure": np.array([-0.004, 0.075, 0.072]),
    }
    segments = segments_of(patient(landmarks=marks))
    assert (segments.method, segments.approximate) == ("planes", True)
    known = {
        2: [-0.07, -0.02, 0.13],
        3: [-0.06, 0.04, 0.11],
        4: [0.012, 0.05, 0.12],
        5: [0.065, 0.04, 0.08],
        6: [0.11, -0.02, 0.06],
        7: [0.10, -0.05, 0.14],
        8: [0.06, 0.02, 0.16],
        1: [0.02, -0.04, 0.11],
    }
    np.testing.assert_array_equal(segments.of(np.array(list(known.values()))), list(known))
    np.testing.assert_array_equal(by_planes(np.array([known[8]]), *segments.planes), [8])


def test_a_patient_without_any_of_it_is_refused():
    with pytest.raises(InputError, match=r"found segments none, branches \[1\], and no landmark porta_hepatis"):
        segments_of(patient(centrelines=(Centreline("portal_segment_1", rod([0, 0, 0]), np.zeros(9)),)))


def test_shares_add_up_and_centres_lie_in_their_segments():
    grid = np.stack(np.meshgrid(*[np.linspace(-0.05, 0.05, 12)] * 3), axis=-1).reshape(-1, 3)
    segments = segments_of(with_branches())
    assert shares(segments, grid) == dict.fromkeys(NUMBERS, 0.125)
    for number, centre in centres(segments, grid).items():
        assert segments.of(centre[None])[0] == number
        # the mean of an octant's nodes lies between nodes: half a step of 9.1 mm off
        np.testing.assert_allclose(centre, np.sign(CORNERS[number]) * 0.02727, atol=0.0046)


def test_triangles_are_asked_at_their_middles():
    mesh = box(CORNERS[1] - 0.002, CORNERS[1] + 0.002)
    np.testing.assert_array_equal(segments_of(with_branches()).of_triangles(mesh), np.ones(12))

"""The way through a tube, whose answers are known."""

from dataclasses import replace

import numpy as np
import pytest

from assets.errors import InputError
from assets.transforms import look_along
from sim.geometry import FALL_BACK, LOOK_AHEAD, CentrelineGuide, colon_centreline
from sim.wall_distance import patient_wall_distance


@pytest.fixture(scope="module")
def straight(tube_patient):
    patient = tube_patient(radius=0.02, straight=0.3)
    return CentrelineGuide(patient.centrelines[0], patient_wall_distance(patient))


@pytest.fixture(scope="module")
def bent(tube_patient):
    patient = tube_patient(radius=0.012, straight=0.15, bend_radius=0.03, angle=np.pi / 2)
    return CentrelineGuide(patient.centrelines[0], patient_wall_distance(patient))


def at(position, forward, up=(0.0, 1.0, 0.0)):
    return look_along(np.array(forward, float), np.array(up), np.array(position, float))


def test_a_straight_lumen_leads_straight_ahead(straight):
    pose = at([0.0, 0.0, 0.1], [0.0, 0.0, 1.0])
    direction, visible = straight.lumen_direction(pose, 0.1)
    np.testing.assert_allclose(direction, [0, 0, 1], atol=1e-6)
    assert visible


def test_off_the_axis_it_leads_to_the_farthest_point(straight):
    pose = at([0.006, 0.0, 0.1], [0.0, 0.0, 1.0])
    direction, visible = straight.lumen_direction(pose, 0.1)
    expected = pose[:3, :3].T @ np.array([-0.006, 0.0, LOOK_AHEAD])
    np.testing.assert_allclose(direction, expected / np.linalg.norm(expected), atol=1e-3)
    assert visible


def test_round_a_bend_it_turns_to_the_side_of_the_bend(bent):
    pose = at([0.0, 0.0, 0.14], [0.0, 0.0, 1.0])
    direction, visible = bent.lumen_direction(pose, 0.14)
    assert visible
    assert direction[1] < -0.1  # image up is +y, whither the tube bends
    target = pose[:3, :3] @ direction
    along = pose[:3, 3] + np.linspace(0.0, 0.03, 50)[:, None] * target
    assert bent._wall.distance(along).min() > 0.004


def test_what_no_line_of_sight_reaches_is_not_visible(bent):
    outside = at([0.0, 0.05, 0.05], [0.0, 0.0, 1.0])
    direction, visible = bent.lumen_direction(outside, 0.05)
    assert not visible
    expected = outside[:3, :3].T @ (bent.point(0.05 + FALL_BACK) - outside[:3, 3])
    np.testing.assert_allclose(direction, expected / np.linalg.norm(expected), atol=1e-9)


def test_the_direction_turns_with_the_camera(bent):
    position = [0.002, 0.001, 0.135]
    first = at(position, [0.0, 0.2, 1.0])
    second = at(position, [0.3, 0.0, 1.0], up=(0.7, 0.7, 0.0))
    directions = [pose[:3, :3] @ bent.lumen_direction(pose, 0.135)[0] for pose in (first, second)]
    np.testing.assert_allclose(*directions, atol=1e-9)


def test_the_arc_is_followed_and_does_not_jump_to_a_near_limb(tube_patient):
    patient = tube_patient(radius=0.01, straight=0.2, bend_radius=0.015, angle=np.pi, after=0.2)
    guide = CentrelineGuide(patient.centrelines[0], patient_wall_distance(patient))
    guide.reset(0.1)
    # Between the limbs, nearer to the one that comes back.
    assert guide.locate(np.array([0.0, 0.018, 0.1])) == pytest.approx(0.1, abs=0.003)
    for z in np.linspace(0.1, 0.15, 11):
        guide.locate(np.array([0.0, 0.0, z]))
    assert guide.arc == pytest.approx(0.15, abs=0.003)
    assert guide.progress == pytest.approx(guide.arc / guide.length)
    np.testing.assert_allclose(guide.point(0.05), [0, 0, 0.05], atol=1e-6)


def test_the_end_of_the_centreline_has_a_direction(straight):
    end = straight.length
    direction, _ = straight.lumen_direction(at([0.0, 0.0, end - 0.001], [0.0, 0.0, 1.0]), end)
    assert np.linalg.norm(direction) == pytest.approx(1.0)


def test_a_patient_without_a_centreline_is_refused(tube_patient):
    with pytest.raises(InputError, match="centreline named colon, found none"):
        colon_centreline(replace(tube_patient(), centrelines=()))

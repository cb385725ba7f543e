"""The wall distance against closed forms and against SciPy's interpolation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.interpolate import RegularGridInterpolator

from assets.errors import InputError
from assets.mesh import Mesh
from sim.wall_building import BAND
from sim.wall_distance import WallDistance, patient_wall_distance, wall_distance


def sphere(radius: float, centre: tuple[float, float, float], subdivisions: int = 4) -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh((ball.vertices + centre).astype(np.float32), ball.faces.astype(np.int32))


@pytest.fixture(scope="module")
def tube(tube_patient) -> WallDistance:
    return patient_wall_distance(tube_patient(radius=0.02, straight=0.2))


def test_a_tube_has_the_distance_of_a_cylinder(tube):
    rng = np.random.default_rng(1)
    across = rng.uniform(-0.025, 0.025, (4000, 2))
    points = np.column_stack([across, rng.uniform(0.05, 0.25, 4000)])
    points = points[np.hypot(*across.T) < 0.0245]
    rho = np.hypot(points[:, 0], points[:, 1])
    distance, gradient = tube.query(points)
    # The polygon of 48 sides lies 0.04 mm inside the circle; the rest is the grid's interpolation, worst on the axis,
    # where the distance has the tip of a cone.
    off_axis = rho > 0.004
    np.testing.assert_allclose(distance[off_axis], 0.02 - rho[off_axis], atol=2e-4)
    np.testing.assert_allclose(distance, 0.02 - rho, atol=8e-4)
    near_wall = rho > 0.01
    inward = -points[near_wall] * [1, 1, 0] / rho[near_wall, None]
    cosine = np.sum(gradient[near_wall] * inward, axis=1) / np.linalg.norm(gradient[near_wall], axis=1)
    assert cosine.min() > np.cos(np.radians(8))  # the normal turns by 6 degrees within half a cell


def test_no_sign_is_wrong_beyond_the_grid_error(tube):
    rng = np.random.default_rng(2)
    points = rng.uniform([-0.03, -0.03, 0.02], [0.03, 0.03, 0.35], (20000, 3))
    depth = np.minimum(0.02 - np.hypot(points[:, 0], points[:, 1]), 0.298 - points[:, 2])
    sure = np.abs(depth) > 4e-4
    assert np.array_equal(tube.distance(points[sure]) > 0, depth[sure] > 0)


def test_a_wide_lumen_keeps_its_distance_to_the_middle():
    wide = wall_distance(sphere(0.04, (0.0, 0.0, 0.0)))
    assert wide.distance(np.zeros((1, 3)))[0] == pytest.approx(0.04, abs=3e-4)
    assert wide.distance(np.array([[0.0, 0.0, 0.06]]))[0] == pytest.approx(-BAND, abs=1e-6)


def test_a_polyp_is_no_free_space(tube_patient):
    wall = patient_wall_distance(tube_patient(solids=(sphere(0.006, (0.0, 0.016, 0.1), 3),)))
    line = np.column_stack([np.zeros(50), np.linspace(0.0, 0.0155, 50), np.full(50, 0.1)])
    free = np.minimum(0.02 - line[:, 1], np.linalg.norm(line - [0.0, 0.016, 0.1], axis=1) - 0.006)
    shallow = free > -0.003  # deeper, the lumen's own wall is near, buried in the polyp
    np.testing.assert_allclose(wall.distance(line)[shallow], free[shallow], atol=4e-4)
    assert wall.distance(line)[~shallow].max() < 0


def test_the_anus_is_open_and_its_surroundings_are_not(tube):
    axis = np.column_stack([np.zeros((30, 2)), np.linspace(-0.05, 0.02, 30)])
    assert tube.distance(axis).min() > 0.015
    assert tube.distance(np.array([[0.0, 0.021, -0.01], [0.021, 0.0, -0.03]])).max() < 0


def test_interpolation_is_trilinear(tube):
    rng = np.random.default_rng(3)
    axes = [tube.origin[k] + tube.spacing * np.arange(n) for k, n in enumerate(tube.values.shape)]
    points = rng.uniform([a[0] for a in axes], [a[-1] for a in axes], (500, 3))
    expected = RegularGridInterpolator(axes, tube.values.astype(np.float64))(points)
    np.testing.assert_allclose(tube.interpolate(points)[0], expected, atol=1e-7)
    step = 1e-6
    _, gradient = tube.interpolate(points)
    for axis in range(3):
        ahead = points.copy()
        ahead[:, axis] += step
        same_cell = np.all(
            np.floor((ahead - tube.origin) / tube.spacing) == np.floor((points - tube.origin) / tube.spacing), axis=1
        )
        slope = (tube.interpolate(ahead)[0] - tube.interpolate(points)[0]) / step
        np.testing.assert_allclose(gradient[same_cell, axis], slope[same_cell], atol=2e-3)


def test_a_point_off_the_grid_takes_the_border(tube):
    assert tube.distance(np.array([[5.0, 5.0, 5.0]]))[0] == pytest.approx(-BAND)


def test_the_same_content_is_built_once(tube_patient):
    assert patient_wall_distance(tube_patient(after=0.05)) is patient_wall_distance(tube_patient(after=0.05))


def test_the_cache_gives_the_same_grid_and_survives_damage(tmp_path: Path):
    ball = sphere(0.02, (0.0, 0.0, 0.0), 3)
    moved = Mesh(ball.vertices + np.float32(1e-3), ball.triangles)
    wall_distance(ball, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    first = file.read_bytes()
    stored = np.load(file)
    built = wall_distance(ball)
    np.testing.assert_array_equal(built.values.reshape(-1)[stored["nodes"]], stored["distances"])
    stored.close()
    from sim import wall_distance as module

    module._cached.cache_clear()
    np.testing.assert_array_equal(wall_distance(ball, cache=tmp_path).values, built.values)
    file.write_bytes(first[: len(first) // 2])
    module._cached.cache_clear()
    np.testing.assert_array_equal(wall_distance(ball, cache=tmp_path).values, built.values)
    assert file.read_bytes() == first
    assert not np.array_equal(wall_distance(moved, cache=tmp_path).origin, built.origin)


def test_a_patient_without_a_colon_is_refused(tube_patient):
    patient = tube_patient(after=0.05)
    organ = replace(patient.organs[0], label="liver", kind="solid")
    with pytest.raises(InputError, match="colon_wall, found colon_lumen"):
        patient_wall_distance(replace(patient, organs=(organ,)))


def test_a_surface_that_encloses_nothing_is_refused():
    flat = Mesh(np.array([[0, 0, 0], [0.01, 0, 0], [0, 0.01, 0]], np.float32), np.array([[0, 1, 2]], np.int32))
    with pytest.raises(InputError, match="closed surface"):
        wall_distance(flat)

"""The wall's sign against rays by Embree, its distance against that to all triangles, and a leaf in closed form."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from assets.colon.synthesis import synthetic_colon
from assets.mesh import Mesh
from assets.mesh_distance import distance_to, nearest_on_triangles
from sim.geometry import colon_centreline
from sim.pseudonormals import pseudonormals
from sim.wall_building import ANAL_OPENING, TUNNEL, TUNNEL_INSIDE
from sim.wall_distance import colon_lumen, patient_wall_distance, wall_distance

NEAR = 0.001
QUERIES = 10_000


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> Mesh:
    made = trimesh.creation.box(bounds=[low, high])
    return Mesh(made.vertices.astype(np.float32), made.faces.astype(np.int32))


def enclosed(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """Ask Embree, by parity of crossings."""
    return trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False).contains(points)


def is_free(patient, points: np.ndarray) -> np.ndarray:
    """Say by Embree what is free: in the lumen and in no polyp, or in the channel through the anus."""
    free = enclosed(colon_lumen(patient)[1], points)
    for organ in patient.organs:
        if organ.label == "polyp":
            free &= ~enclosed(organ.surface, points)
    (anus,) = patient.orifices
    offset = points - anus.centre
    along = offset @ anus.normal
    across = np.linalg.norm(offset - along[:, None] * anus.normal, axis=1)
    return free | ((across < max(anus.radius, ANAL_OPENING)) & (along > -TUNNEL) & (along < TUNNEL_INSIDE))


@pytest.fixture(scope="module", params=[0, 3])
def colon(request):
    patient = synthetic_colon(request.param)
    return patient, patient_wall_distance(patient)


@pytest.fixture(scope="module")
def points(colon) -> np.ndarray:
    """Half of them within a millimetre of wall and polyps, the others anywhere about the centreline."""
    patient, _ = colon
    rng = np.random.default_rng(7)
    line = colon_centreline(patient).points
    spread = line[rng.integers(0, len(line), QUERIES // 2)] + rng.normal(scale=0.016, size=(QUERIES // 2, 3))
    near = []
    for mesh, count in ((colon_lumen(patient)[1], 4000), *((o.surface, 200) for o in patient.organs[1:6])):
        places, faces = trimesh.sample.sample_surface(trimesh.Trimesh(mesh.vertices, mesh.triangles), count, seed=1)
        normals = np.cross(*(np.diff(mesh.vertices[mesh.triangles[faces]], axis=1).transpose(1, 0, 2)))
        away = rng.uniform(-NEAR, NEAR, (count, 1)) / np.linalg.norm(normals, axis=1, keepdims=True)
        near.append(places + away * normals)
    return np.concatenate([spread, *near])[:QUERIES]


def test_no_sign_of_ten_thousand_is_wrong(colon, points):
    patient, wall = colon
    assert {organ.label for organ in patient.organs[1:6]} == {"polyp"}
    truth = is_free(patient, points)
    assert 0.4 < truth.mean() < 0.7
    distance = wall.distance(points)
    assert np.count_nonzero(np.abs(distance) < NEAR) > 4500
    assert np.count_nonzero((distance > 0) != truth) == 0
    assert np.count_nonzero((wall.interpolate(points)[0] > 0) != truth) > 50  # so the points can tell


def test_the_distance_near_the_wall_is_that_to_the_triangles(colon, points):
    patient, wall = colon
    asked = points[np.linalg.norm(points - patient.orifices[0].centre, axis=1) > 0.09]
    asked = asked[np.abs(wall.interpolate(asked)[0]) < 0.14 * wall.spacing][:1500]
    meshes = [colon_lumen(patient)[1], *(organ.surface for organ in patient.organs if organ.label == "polyp")]
    distance, gradient = wall.query(asked)
    truth = np.min([distance_to(mesh, asked)[0] for mesh in meshes], axis=0)  # among the triangles of nearest middles
    assert (np.abs(distance) < truth + 1e-6).all()  # positions are single precision
    assert np.mean(np.abs(distance) > truth - 1e-6) > 0.995
    corners = np.concatenate([mesh.vertices[mesh.triangles] for mesh in meshes]).astype(np.float64).transpose(1, 0, 2)
    for index in range(40):
        places = nearest_on_triangles(asked[index, None], *corners)
        exact = np.linalg.norm(places - asked[index], axis=1).min()
        assert abs(distance[index]) == pytest.approx(exact, abs=1e-6)
    clear = truth > 1e-4
    np.testing.assert_allclose(np.linalg.norm(gradient[clear], axis=1), 1.0, atol=1e-5)
    # Along the gradient the distance grows as the way does, unless another part of the wall comes near.
    step = 2e-5
    grown = (wall.distance(asked + step * gradient) - distance)[clear] / step
    assert np.quantile(np.abs(grown - 1), 0.9) < 0.01


def test_a_leaf_thinner_than_a_cell_is_found():
    """A leaf of 0.2 mm between two nodes of the grid: interpolated it is not there."""
    room = box((-0.02, -0.02, -0.02), (0.02, 0.02, 0.02))
    leaf = box((0.0009, -0.01, -0.01), (0.0011, 0.01, 0.01))
    wall = wall_distance(room, (leaf,))
    x = np.linspace(-0.003, 0.005, 81)
    line = np.column_stack([x, np.full(81, 1e-4), np.full(81, -2e-4)])
    expected = np.abs(x - 0.001) - 0.0001
    near = np.abs(expected) < 0.0004
    distance, gradient = wall.query(line)
    np.testing.assert_allclose(distance[near], expected[near], atol=1e-7)
    off_middle = near & (np.abs(x - 0.001) > 1e-6)
    np.testing.assert_allclose(gradient[off_middle, 0], np.sign(x - 0.001)[off_middle], atol=1e-5)
    assert (wall.interpolate(line)[0][near & (expected < -1e-5)] > 0).all()


def test_without_its_triangles_a_wall_is_its_grid(colon, points):
    patient, wall = colon
    grid = replace(wall, surface=None)
    np.testing.assert_array_equal(grid.query(points)[0], wall.interpolate(points)[0])
    far = np.abs(wall.interpolate(points)[0]) > 0.0035  # a cell's diagonal
    far &= np.linalg.norm(points - patient.orifices[0].centre, axis=1) > 0.09
    np.testing.assert_allclose(wall.distance(points)[far], grid.distance(points)[far], atol=2e-6, rtol=0)


def test_pseudonormals_of_a_cube_are_its_diagonals():
    cube = box((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))
    normals = pseudonormals(cube)
    at_corners = normals[:, :3] / np.linalg.norm(normals[:, :3], axis=2, keepdims=True)
    np.testing.assert_allclose(at_corners, cube.vertices[cube.triangles] / np.sqrt(3.0), atol=1e-6)
    corners = cube.vertices[cube.triangles]
    middles = (corners.sum(axis=1, keepdims=True) - corners) / 2  # of the edge opposite to each corner
    at_edges = normals[:, 3:6] / np.linalg.norm(normals[:, 3:6], axis=2, keepdims=True)
    np.testing.assert_allclose(at_edges, middles / np.linalg.norm(middles, axis=2, keepdims=True), atol=1e-6)

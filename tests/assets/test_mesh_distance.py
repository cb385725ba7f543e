import numpy as np
import pytest
import trimesh

from assets.mesh import Mesh
from assets.mesh_distance import distance_to, nearest_on_triangles


def test_distances_to_a_sphere_are_those_of_the_formula():
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.05)
    points = np.random.default_rng(0).uniform(-0.08, 0.08, (500, 3))
    mesh = Mesh(ball.vertices.astype(np.float32), ball.faces.astype(np.int32))
    distance, behind = distance_to(mesh, points)
    signed = np.linalg.norm(points, axis=1) - 0.05
    np.testing.assert_allclose(distance, np.abs(signed), atol=1.5e-4)  # the facets' sagitta
    clear = np.abs(signed) > 2e-4
    np.testing.assert_array_equal(behind[clear], signed[clear] < 0)


@pytest.mark.parametrize(
    ("point", "nearest"),
    [
        ([0.2, 0.2, 0.5], [0.2, 0.2, 0.0]),
        ([-1.0, -1.0, 0.3], [0.0, 0.0, 0.0]),
        ([2.0, -0.5, 0.0], [1.0, 0.0, 0.0]),
        ([-0.5, 3.0, 0.0], [0.0, 1.0, 0.0]),
        ([0.4, -1.0, 1.0], [0.4, 0.0, 0.0]),
        ([-1.0, 0.7, 1.0], [0.0, 0.7, 0.0]),
        ([1.0, 1.0, -2.0], [0.5, 0.5, 0.0]),
    ],
)
def test_each_region_of_a_triangle(point, nearest):
    a, b, c = (corner[None] for corner in np.eye(3)[[2, 0, 1]] * [1.0, 1.0, 0.0])
    np.testing.assert_allclose(nearest_on_triangles(np.array([point]), a, b, c), [nearest], atol=1e-12)

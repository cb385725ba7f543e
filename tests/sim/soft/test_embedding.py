"""A surface follows its tetrahedra."""

import numpy as np
import pytest

from assets.errors import InputError
from assets.mesh import Mesh
from assets.transforms import unit
from sim.soft.body import SoftBody
from sim.soft.embedding import EmbeddedSurface, barycentric_places
from sim.soft.newton import SoftOptions
from sim.soft.tet_mesh import tet_mesh
from sim.soft.tet_shapes import ball, box


@pytest.fixture(scope="module")
def solid():
    return tet_mesh(*ball(0.03, 4), "liver")


@pytest.fixture(scope="module")
def skin():
    """A finer ball's surface, a little inside."""
    nodes, tets = ball(0.0285, 7)
    fine = tet_mesh(nodes, tets, "liver")
    used, triangles = np.unique(fine.surface, return_inverse=True)
    return Mesh(nodes[used].astype(np.float32), triangles.reshape(-1, 3).astype(np.int32))


def test_places_are_exact(solid):
    points = np.random.default_rng(0).normal(size=(500, 3))
    points *= 0.02 / np.linalg.norm(points, axis=1, keepdims=True)
    tet, shares = barycentric_places(solid, points)
    assert shares.min() > -1e-9
    np.testing.assert_allclose(np.einsum("vi,vij->vj", shares, solid.nodes[solid.tets[tet]]), points, atol=1e-12)


def test_an_affine_motion_carries_surface_and_normals(solid, skin):
    body = SoftBody(solid, SoftOptions(), gravity=(0, 0, 0))
    surface = EmbeddedSurface(skin, body)
    np.testing.assert_allclose(surface.update()[0], skin.vertices, atol=1e-7)
    stretch = np.array([[1.2, 0.3, 0.0], [0.0, 0.9, 0.1], [0.1, 0.0, 1.1]])
    body.place(solid.nodes @ stretch.T + 0.01)
    vertices, normals = surface.update()
    np.testing.assert_allclose(vertices, skin.vertices @ stretch.T + 0.01, atol=1e-7)
    # A ball's normals are its directions; they turn with the inverse transpose.
    expected = unit(unit(skin.vertices.astype(float)) @ np.linalg.inv(stretch))
    assert np.einsum("ij,ij->i", normals, expected).min() > 0.99
    assert vertices.dtype == normals.dtype == np.float32
    np.testing.assert_array_equal(surface.mesh().vertices, vertices)


def test_a_vertex_just_outside_follows_and_one_far_outside_is_refused():
    mesh = tet_mesh(*box((0.02, 0.02, 0.02), (2, 2, 2)), "liver")
    body = SoftBody(mesh, gravity=(0, 0, 0))

    def triangle(height):
        corners = np.array([[0.005, height, 0.005], [0.01, height, 0.015], [0.015, height, 0.005]])
        return Mesh(corners.astype(np.float32), np.array([[0, 1, 2]], np.int32))

    surface = EmbeddedSurface(triangle(0.021), body)
    body.place(mesh.nodes * [1, 2, 1])
    np.testing.assert_allclose(surface.update()[0][:, 1], 0.042, atol=1e-7)
    with pytest.raises(InputError, match="within its tetrahedra, found vertex 0 at"):
        EmbeddedSurface(triangle(0.05), body)

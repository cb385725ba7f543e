"""Meshes of known shape fill it, and plain arrays are checked."""

import numpy as np
import pytest

from assets.errors import InputError
from assets.materials import Mechanical
from sim.soft.tet_mesh import signed_volumes, surface_areas, tet_mesh
from sim.soft.tet_shapes import ball, box, rod, tube

SHAPES = {
    "box": (box((0.1, 0.2, 0.3), (2, 3, 4)), 0.006, 1e-12),
    "tube": (tube(0.01, 0.02, 0.03, (3, 48, 4)), np.pi * 9e-6, 3e-3),
    "rod": (rod(0.01, 0.03, (6, 4)), np.pi * 3e-6, 6e-3),
    "ball": (ball(0.03, 6), 4 / 3 * np.pi * 2.7e-5, 2e-2),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_filled_once_and_its_surface_is_closed(name):
    (nodes, tets), volume, error = SHAPES[name]
    mesh = tet_mesh(nodes, tets, "liver")
    assert signed_volumes(nodes, tets).min() > 0
    assert mesh.volumes.sum() == pytest.approx(volume, rel=error)
    areas = surface_areas(mesh.nodes, mesh.surface)
    np.testing.assert_allclose(areas.sum(axis=0), 0, atol=1e-12)
    # The divergence theorem: only outward triangles around each point once give the volume of the elements.
    inside = np.einsum("ij,ij->", mesh.nodes[mesh.surface].mean(axis=1), areas) / 3
    assert inside == pytest.approx(mesh.volumes.sum())
    assert mesh.masses.sum() == pytest.approx(1079 * mesh.volumes.sum())
    assert mesh.node_volumes.sum() == pytest.approx(mesh.volumes.sum())


def test_corners_in_either_order_are_taken():
    nodes, tets = box((1, 1, 1), (1, 1, 1))
    mesh = tet_mesh(nodes, tets[:, [1, 0, 2, 3]], "liver")
    assert mesh.volumes.min() > 0


def test_tissues_are_told_by_number():
    nodes, tets = box((1, 1, 1), (1, 1, 2))
    stiff = Mechanical(1000.0, 1e6, 0.3, 0.1)
    mesh = tet_mesh(nodes, tets, np.arange(12) % 2 * 7, tissues={0: "liver", 7: stiff})
    mu, lam = mesh.lame
    assert mu[1] == pytest.approx(1e6 / 2.6)
    assert lam[1] == pytest.approx(1e6 * 0.3 / (1.3 * 0.4))
    assert mu[0] == pytest.approx(5500 / 2 / 1.49)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": np.zeros((4, 2))}, "shape"),
        ({"nodes": np.full((8, 3), np.nan)}, "finite nodes"),
        ({"tets": np.zeros((0, 4), int)}, "integer tets"),
        ({"tets": np.array([[0, 1, 2, 9]])}, "0 to 7, found 0 to 9"),
        ({"tets": np.array([[0, 1, 2, 3]])}, "node 4 in none"),
        ({"tissue": "granite"}, "found 'granite'"),
        ({"tissue": Mechanical(1000.0, 1e4, 0.5, 0.1)}, "Poisson"),
        ({"tissue": np.zeros(6, int)}, "a tissue for 0, found none"),
        ({"tissue": np.zeros(5, int)}, "each of 6 elements"),
    ],
)
def test_bad_arrays_are_refused(change, message):
    nodes, tets = box((1, 1, 1), (1, 1, 1))
    arguments = {"nodes": nodes, "tets": tets, "tissue": "liver"} | change
    with pytest.raises(InputError, match=message):
        tet_mesh(**arguments)


def test_a_flat_element_is_refused():
    nodes, tets = box((1, 1, 1), (1, 1, 1))
    nodes[:, 2] = 0
    with pytest.raises(InputError, match="with a volume, found none in element 0"):
        tet_mesh(nodes, tets, "liver")

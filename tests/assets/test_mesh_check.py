import numpy as np
import pytest
import trimesh

from assets.mesh import Mesh
from assets.mesh_check import check_mesh, vertex_normals, winding_number


def mesh_of(shape):
    return Mesh(np.asarray(shape.vertices, np.float32), np.asarray(shape.faces, np.int32))


def test_a_sphere_has_the_measures_of_a_sphere():
    report = check_mesh(mesh_of(trimesh.creation.icosphere(subdivisions=4, radius=0.5)))
    assert report.problems == ()
    assert (report.genus, report.body_count) == (0, 1)
    assert report.volume == pytest.approx(4 / 3 * np.pi * 0.125, rel=0.01)
    assert report.area == pytest.approx(np.pi, rel=0.01)


def test_a_torus_has_one_handle():
    torus = trimesh.creation.torus(major_radius=1.0, minor_radius=0.3, major_sections=64, minor_sections=32)
    report = check_mesh(mesh_of(torus))
    assert report.genus == 1
    assert report.volume == pytest.approx(2 * np.pi**2 * 0.09, rel=0.02)


def test_volume_holds_far_from_the_origin():
    box = trimesh.creation.box()
    box.apply_translation([900.0, -700.0, 500.0])
    assert check_mesh(mesh_of(box)).volume == pytest.approx(1.0, rel=1e-6)


def test_a_box_turned_inside_out_is_told():
    box = mesh_of(trimesh.creation.box())
    report = check_mesh(Mesh(box.vertices, box.triangles[:, ::-1].copy()))
    assert not report.outward
    assert report.problems == ("expected normals that point outwards, found inwards",)


def test_a_hole_is_told():
    box = mesh_of(trimesh.creation.box())
    report = check_mesh(Mesh(box.vertices, box.triangles[1:]))
    assert not report.closed
    assert report.genus is None


def test_one_flipped_triangle_is_told():
    box = mesh_of(trimesh.creation.box())
    triangles = box.triangles.copy()
    triangles[0] = triangles[0, ::-1]
    report = check_mesh(Mesh(box.vertices, triangles))
    assert report.closed
    assert not report.oriented


def test_two_boxes_that_share_an_edge_are_not_manifold():
    first, second = trimesh.creation.box(), trimesh.creation.box()
    second.apply_translation([1.0, 1.0, 0.0])
    both = trimesh.util.concatenate([first, second])
    both.merge_vertices()
    report = check_mesh(mesh_of(both))
    assert not report.manifold


def test_bodies_and_their_handles_are_counted():
    torus = trimesh.creation.torus(1.0, 0.2)
    ball = trimesh.creation.icosphere(radius=0.1)
    report = check_mesh(mesh_of(trimesh.util.concatenate([torus, ball])))
    assert (report.body_count, report.genus) == (2, 1)


def test_damage_is_counted():
    box = mesh_of(trimesh.creation.box())
    vertices = np.vstack([box.vertices, [[9, 9, 9]]]).astype(np.float32)
    triangles = np.vstack([box.triangles, [[0, 0, 1]]]).astype(np.int32)
    report = check_mesh(Mesh(vertices, triangles))
    assert report.degenerate_count == 1
    assert report.unused_count == 1


@pytest.mark.parametrize("damage", ["nan", "range", "empty"])
def test_what_cannot_be_measured_is_told(damage):
    box = mesh_of(trimesh.creation.box())
    vertices, triangles = box.vertices.copy(), box.triangles.copy()
    if damage == "nan":
        vertices[0, 0] = np.nan
    elif damage == "range":
        triangles[0, 0] = 99
    else:
        triangles = triangles[:0]
    report = check_mesh(Mesh(vertices, triangles))
    assert len(report.problems) == 1
    assert report.genus is None


def test_normals_of_a_sphere_are_its_radii():
    ball = mesh_of(trimesh.creation.icosphere(subdivisions=4))
    normals = vertex_normals(ball.vertices, ball.triangles)
    np.testing.assert_allclose(normals, ball.vertices, atol=8e-3)


def test_winding_number_of_a_torus_agrees_with_its_equation():
    torus = mesh_of(trimesh.creation.torus(1.0, 0.3, major_sections=64, minor_sections=32))
    points = np.random.default_rng(0).uniform(-1.4, 1.4, (300, 3)) * [1, 1, 0.35]
    height = np.hypot(np.hypot(points[:, 0], points[:, 1]) - 1.0, points[:, 2])
    clear = np.abs(height - 0.3) > 0.02
    numbers = winding_number(torus, points[clear])
    np.testing.assert_allclose(numbers, (height[clear] < 0.3).astype(float), atol=1e-6)

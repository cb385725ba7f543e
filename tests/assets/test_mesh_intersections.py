import numpy as np
import pytest
import trimesh

from assets.mesh import Mesh
from assets.mesh_intersections import self_intersections


def as_mesh(solid):
    return Mesh(np.asarray(solid.vertices, np.float32), np.asarray(solid.faces, np.int32))


def both(one, other):
    return as_mesh(trimesh.util.concatenate([one, other]))


def test_a_sphere_does_not_cross_itself():
    assert len(self_intersections(as_mesh(trimesh.creation.icosphere(3)))) == 0


@pytest.mark.parametrize("gap", [2.01, 3.0])
def test_spheres_apart_do_not_cross(gap):
    one = trimesh.creation.icosphere(2)
    assert len(self_intersections(both(one, one.copy().apply_translation([gap, 0.0, 0.0])))) == 0


def test_spheres_that_overlap_cross_between_each_other_alone():
    one = trimesh.creation.icosphere(2)
    pairs = self_intersections(both(one, one.copy().apply_translation([1.1, 0.13, 0.07])))
    assert len(pairs) > 20
    assert ((pairs[:, 0] < len(one.faces)) & (pairs[:, 1] >= len(one.faces))).all()


def test_a_needle_through_a_sheet_is_found_wherever_it_goes_through():
    sheet = Mesh(
        np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.2, 0.2, -1], [0.2, 0.2, 1], [5, 5, 5]], np.float32),
        np.array([[0, 1, 2], [3, 4, 5]], np.int32),
    )
    np.testing.assert_array_equal(self_intersections(sheet), [[0, 1]])
    beside = Mesh(sheet.vertices + np.float32([[0, 0, 0]] * 3 + [[1, 1, 0]] * 3), sheet.triangles)
    assert len(self_intersections(beside)) == 0


def test_neighbours_that_share_an_edge_or_a_corner_touch_and_do_not_cross():
    grid = trimesh.creation.box(extents=(1, 1, 1)).subdivide().subdivide()
    assert len(self_intersections(as_mesh(grid))) == 0


def test_a_triangle_folded_through_its_corner_neighbour_is_found():
    vertices = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [1, 1, -1], [1, 0.5, 1]], np.float32)
    mesh = Mesh(vertices, np.array([[0, 1, 2], [0, 3, 4]], np.int32))  # share corner 0; 3-4 pierces the first
    np.testing.assert_array_equal(self_intersections(mesh), [[0, 1]])


def test_as_many_pairs_as_by_trying_all():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 1, (60, 1, 3)) + rng.normal(0, 0.15, (60, 3, 3))
    mesh = Mesh(corners.reshape(-1, 3).astype(np.float32), np.arange(180, dtype=np.int32).reshape(-1, 3))
    solids = [trimesh.Trimesh(mesh.vertices[t], [[0, 1, 2]], process=False) for t in mesh.triangles]

    def crosses(a, b):
        for one, other in ((a, b), (b, a)):
            p = np.asarray(one.vertices, float)
            for i in range(3):
                way = p[(i + 1) % 3] - p[i]
                hits = trimesh.intersections.plane_lines(
                    other.vertices[0], other.face_normals[0], np.stack([p[i], p[i] + way])[:, None], line_segments=True
                )[0]
                for hit in hits:
                    weights = trimesh.triangles.points_to_barycentric(other.vertices[None], hit[None])[0]
                    if (weights > 1e-6).all():
                        return True
        return False

    wanted = [[i, j] for i in range(60) for j in range(i + 1, 60) if crosses(solids[i], solids[j])]
    assert len(wanted) >= 15
    np.testing.assert_array_equal(self_intersections(mesh), wanted)


@pytest.mark.parametrize("triangles", [[], [[0, 1, 2]], [[0, 0, 0], [0, 1, 2]]])
def test_little_or_damaged_input_gives_nothing(triangles):
    vertices = np.array([[0, 0, 0], [1, 0, 0], [np.nan, 1, 0]], np.float32)
    assert len(self_intersections(Mesh(vertices, np.array(triangles, np.int32).reshape(-1, 3)))) == 0

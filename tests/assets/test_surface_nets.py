"""Surfaces of label volumes against closed-form solids, and against one another where organs touch."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from assets.mesh import Mesh
from assets.mesh_check import check_mesh, vertex_normals, winding_number
from assets.mesh_quality import mesh_quality
from assets.surface_nets.islands import without_islands
from assets.surface_nets.manifold import label_surfaces
from assets.surface_nets.merging import merged
from assets.surface_nets.mesh_labels import mesh_labels
from assets.surface_nets.net import surface_net
from assets.surface_nets.smoothing import triangulated

VOXEL = 2e-3
T_WORLD = np.diag([VOXEL, VOXEL, VOXEL, 1.0])


def grid(*shape: int) -> tuple[np.ndarray, ...]:
    """Return the coordinates [m] of all voxels' centres."""
    return tuple(axis * VOXEL for axis in np.meshgrid(*map(np.arange, shape), indexing="ij"))


def ball() -> np.ndarray:
    x, y, z = grid(30, 30, 30)
    return ((x - 0.029) ** 2 + (y - 0.03) ** 2 + (z - 0.028) ** 2 < 0.024**2).astype(np.uint16)


def ring() -> np.ndarray:
    x, y, z = grid(40, 40, 16)
    return ((np.hypot(x - 0.0393, y - 0.0387) - 0.026) ** 2 + (z - 0.0155) ** 2 < 0.009**2).astype(np.uint16)


def rod() -> np.ndarray:
    x, y, z = grid(24, 24, 40)
    return ((np.hypot(x - 0.023, y - 0.023) < 0.014) & (np.abs(z - 0.039) < 0.03)).astype(np.uint16)


@pytest.mark.parametrize(
    ("labels", "volume", "area", "genus"),
    [
        (ball(), 4 / 3 * np.pi * 0.024**3, 4 * np.pi * 0.024**2, 0),
        (ring(), 2 * np.pi**2 * 0.026 * 0.009**2, 4 * np.pi**2 * 0.026 * 0.009, 1),
        (rod(), np.pi * 0.014**2 * 0.06, 2 * np.pi * 0.014 * (0.06 + 0.014), 0),
    ],
    ids=["sphere", "torus", "cylinder"],
)
def test_solids_keep_volume_area_and_genus(labels, volume, area, genus):
    (found,) = mesh_labels(labels, T_WORLD, edge=4e-3).values()
    report = check_mesh(found.surface)
    assert (report.problems, report.genus, report.body_count) == ((), genus, 1)
    assert report.volume == pytest.approx(labels.sum() * VOXEL**3, rel=0.002)
    assert report.volume == pytest.approx(volume, rel=0.03)  # the voxels themselves are off by that much
    assert report.area == pytest.approx(area, rel=0.06)
    normals = vertex_normals(found.surface.vertices, found.surface.triangles)
    outside = found.surface.vertices[::9] + 0.003 * normals[::9]
    assert np.abs(winding_number(found.surface, outside)).max() < 0.01


def test_a_sphere_is_smooth():
    (found,) = mesh_labels(ball(), T_WORLD, edge=4e-3).values()
    radius = np.linalg.norm(found.surface.vertices - [0.029, 0.03, 0.028], axis=1)
    assert np.abs(radius - 0.024).max() < 0.5 * VOXEL
    assert np.abs(radius - 0.024).mean() < 0.15 * VOXEL


def two_halves() -> np.ndarray:
    labels = ball()
    labels[:, :14][labels[:, :14] == 1] = 2
    labels[:, :, :12][labels[:, :, :12] == 2] = 3
    return labels


def test_neighbours_share_vertices_and_leave_no_gap():
    labels = two_halves()
    found = mesh_labels(labels, T_WORLD, edge=4e-3)
    assert {label: mesh.neighbours for label, mesh in found.items()} == {1: (2, 3), 2: (1, 3), 3: (1, 2)}
    for label, mesh in found.items():
        report = check_mesh(mesh.surface)
        assert report.problems == ()
        assert report.volume == pytest.approx((labels == label).sum() * VOXEL**3, rel=0.003)
    one, two = (found[label].surface for label in (1, 2))
    shared = np.isin(one.vertices.view("f4,f4,f4").ravel(), two.vertices.view("f4,f4,f4").ravel())
    between = (np.abs(one.vertices[:, 1] - 13.5 * VOXEL) < 0.5 * VOXEL) & (one.vertices[:, 2] > 13 * VOXEL)
    deep = between & (np.linalg.norm(one.vertices - [0.029, 0.03, 0.028], axis=1) < 0.02)
    assert deep.sum() > 3
    assert shared[deep].all()
    # Together they fill the ball once: random points are inside exactly one of them, or outside of all.
    points = np.random.default_rng(0).uniform(0.004, 0.054, (300, 3))
    times = sum(np.rint(winding_number(mesh.surface, points)) for mesh in found.values())
    far = np.abs(np.linalg.norm(points - [0.029, 0.03, 0.028], axis=1) - 0.024) > VOXEL
    inside = np.linalg.norm(points - [0.029, 0.03, 0.028], axis=1) < 0.024
    np.testing.assert_array_equal(times[far], inside[far])


def test_a_thin_vessel_keeps_its_volume():
    labels = np.zeros((40, 40, 60), np.uint16)
    for z in range(2, 58):
        x, y = int(20 + 12 * np.cos(z / 9)), int(20 + 12 * np.sin(z / 9))
        labels[x : x + 2, y : y + 2, z] = 1
    (found,) = mesh_labels(labels, T_WORLD, edge=3e-3).values()
    report = check_mesh(found.surface)
    assert report.problems == ()
    assert report.volume == pytest.approx((labels > 0).sum() * VOXEL**3, rel=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_closed_and_manifold_label_by_label(seed):
    # Voxels at random touch along edges and at corners in every way there is.
    labels = np.random.default_rng(seed).integers(0, 4, (9, 8, 7)).astype(np.uint16)
    net = surface_net(labels)
    surfaces = label_surfaces(net.points, triangulated(net, np.ones(3)))
    assert set(surfaces) == {1, 2, 3}
    for label, (points, triangles) in surfaces.items():
        half = np.sort(np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=2).reshape(-1, 2), axis=1)
        assert (np.unique(half, axis=0, return_counts=True)[1] == 2).all()
        volume = np.einsum("ij,ij->i", points[triangles[:, 0]], np.cross(*(points[triangles[:, n]] for n in (1, 2))))
        assert volume.sum() / 6 == pytest.approx((labels == label).sum())
    for mesh in mesh_labels(labels, T_WORLD, edge=8e-3).values():
        found = check_mesh(mesh.surface)
        assert found.closed
        assert found.manifold
        assert found.oriented


def test_the_same_volume_gives_the_same_bytes_and_shifts_with_its_place():
    labels = two_halves()
    one, two = mesh_labels(labels, T_WORLD, edge=4e-3), mesh_labels(np.pad(labels, 3), T_WORLD, edge=4e-3)
    for label, mesh in one.items():
        np.testing.assert_array_equal(mesh.surface.triangles, two[label].surface.triangles)
        np.testing.assert_allclose(mesh.surface.vertices + 3 * VOXEL, two[label].surface.vertices, atol=1e-6)


def test_reducing_keeps_near_the_surface_and_to_the_budget():
    fine, few = (mesh_labels(ball(), T_WORLD, edge=edge)[1] for edge in (1e-3, 6e-3))
    assert len(few.surface.triangles) < 0.4 * len(fine.surface.triangles)
    assert len(few.surface.triangles) < 2 * few.wanted
    away = cKDTree(fine.surface.vertices).query(few.surface.vertices)[0]
    assert away.max() < VOXEL


def test_islands_go_to_what_surrounds_them_and_are_counted():
    labels = np.zeros((20, 20, 20), np.uint16)
    labels[2:18, 2:18, 2:10], labels[2:18, 2:18, 10:18] = 1, 2
    labels[5, 5, 14] = labels[5, 5, 15] = 1  # a speck of 1 within 2
    labels[19, 19, 19] = 2
    result, found = without_islands(labels, 1e-9)
    assert {label: (one.count, one.voxels) for label, one in found.items()} == {1: (1, 2), 2: (1, 1)}
    assert (result[5, 5, 14], result[5, 5, 15], result[19, 19, 19]) == (2, 2, 0)
    assert (labels[5, 5, 14], np.count_nonzero(result != labels)) == (1, 3)
    # Half of an organ is no island, however small it is.
    pair = np.zeros((9, 9, 9), np.uint16)
    pair[1:3, 1:3, 1:3] = pair[5:7, 5:7, 5:7] = 1
    assert without_islands(pair, 1e-9)[1] == {}


def test_merging_takes_what_is_most_frequent():
    labels = np.zeros((4, 4, 3), np.uint16)
    labels[:2, :2, :2], labels[0, 0, 0] = 7, 3
    labels[2:, 2:, 2] = 5
    result = merged(labels, (2, 2, 2))
    assert result.shape == (2, 2, 2)
    assert (result[0, 0, 0], result[1, 1, 1], result[0, 1, 0]) == (7, 5, 0)


def test_a_vessel_thinner_than_merged_voxels_is_kept():
    labels = np.zeros((40, 40, 40), np.uint16)
    labels[4:36, 4:20, 4:36] = 1
    labels[20, 30, 4:36] = 2  # one voxel of 0.6 mm thick
    found = mesh_labels(labels, np.diag([6e-4, 6e-4, 6e-4, 1.0]), edge=3e-3)
    for label in (1, 2):
        report = check_mesh(found[label].surface)
        assert report.problems == ()
        assert report.volume == pytest.approx((labels == label).sum() * 6e-4**3, rel=0.03)


def test_quality_of_known_triangles():

    corners = np.array([[0, 0, 0], [1, 0, 0], [0.5, np.sqrt(3) / 2, 0], [0.5, 0, np.sqrt(2)]], np.float32) * np.float32(
        0.01
    )
    one = mesh_quality(Mesh(corners[:3], np.array([[0, 1, 2]], np.int32)))
    assert one == {
        "edge_mm": 10.0,
        "least_angle_deg": pytest.approx(60, abs=0.05),
        "shape_median": 1.0,
        "shape_p05": 1.0,
    }
    thin = Mesh(np.array([[0, 0, 0], [1, 0, 0], [0, 0.1, 0]], np.float32), np.array([[0, 1, 2]], np.int32))
    assert mesh_quality(thin)["least_angle_deg"] == pytest.approx(np.degrees(np.arctan(0.1)), abs=0.01)
    assert mesh_quality(Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))) == {}

"""What keeps a grown lumen a ball: simple points, growth, the way through fused limbs, and surfaces."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import euler_number

from assets.errors import InputError
from assets.lumen.colon_route import ORDER, find_route
from assets.lumen.curves import arc_lengths, resampled, smoothed
from assets.lumen.grid import resample
from assets.lumen.growth import BETWEEN_LIMBS, INSIDE, grow, power_order
from assets.lumen.simple_points import OFFSETS, SimplePoints
from assets.lumen.skeleton_graph import Edge, SkeletonGraph, bridged, skeleton_graph
from assets.lumen.surface import closed_surface, offset_to_volume
from assets.mesh_check import check_mesh

MM = np.diag([1e-3, 1e-3, 1e-3, 1.0])


def test_simple_points_agree_with_counting():
    rng = np.random.default_rng(0)
    cubes = rng.random((400, 3, 3, 3)) < rng.uniform(0.1, 0.9, (400, 1, 1, 1))
    cubes[:, 1, 1, 1] = False
    codes = np.array([sum(int(cube[tuple(o + 1)]) << n for n, o in enumerate(OFFSETS)) for cube in cubes])
    answers = SimplePoints()(codes)
    assert 5 < answers.sum() < 395
    for cube, answer in zip(cubes, answers, strict=True):
        if answer:
            after = cube.copy()
            after[1, 1, 1] = True
            # The Euler number stays; inside and outside are one piece each around the voxel.
            assert euler_number(np.pad(after, 1), 1) == euler_number(np.pad(cube, 1), 1)
            near = cube & (np.abs(np.indices((3, 3, 3)) - 1).sum(axis=0) <= 2)
            pieces, _ = ndimage.label(near)
            faces = pieces[tuple((OFFSETS[np.abs(OFFSETS).sum(axis=1) == 1] + 1).T)]
            assert len(set(faces[faces > 0].tolist())) == 1
            outside = ~cube
            outside[1, 1, 1] = False
            assert ndimage.label(outside, np.ones((3, 3, 3)))[1] == 1


@pytest.mark.parametrize(
    ("inside", "answer"),
    [
        ([(0, 0, -1)], True),  # grows a tip
        ([], False),  # a new piece
        ([(0, 0, -1), (0, 0, 1)], False),  # joins two pieces
        ([tuple(o) for o in OFFSETS], False),  # fills a cavity
        ([tuple(o) for o in OFFSETS if o[2] <= 0], True),  # thickens a slab
        ([tuple(o) for o in OFFSETS if o[2] == 0], False),  # plugs the hole of a ring
        ([(0, 0, -1), (1, 1, 0)], False),  # touches another voxel by an edge alone
    ],
)
def test_known_configurations(inside, answer):
    code = sum(1 << n for n, offset in enumerate(OFFSETS) if tuple(offset) in inside)
    assert SimplePoints()(np.array([code]))[0] == answer


def test_fused_limbs_of_a_hairpin_come_apart():
    # A U of two limbs of radius 5, 14 apart, whose walls are one: a bridge joins them at the far end.
    shape = (16, 40, 70)
    z, turn = np.arange(60, 15, -1.0), np.linspace(0, np.pi, 30)
    down = np.stack([np.full(45, 8.0), np.full(45, 13.0), z], axis=1)
    bend = np.stack([np.full(30, 8.0), 20 - 7 * np.cos(turn), 15 - 7 * np.sin(turn)], axis=1)
    up = np.stack([np.full(45, 8.0), np.full(45, 27.0), z[::-1]], axis=1)
    line = resampled(np.vstack([down, bend, up]), 1.0)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).astype(float)
    distance = np.linalg.norm(grid[..., None, :] - line[::3], axis=-1).min(axis=-1)
    mask = (distance <= 5.0) | ((np.abs(grid - [8, 20, 48]) <= [3, 8, 3]).all(axis=-1))
    assert euler_number(mask, 3) == 0  # the bridge makes a handle
    order = np.full(shape, np.inf, np.float32)
    order[mask] = power_order(np.argwhere(mask), line, np.full(len(line), 5.0))
    growth = grow(line, np.full(len(line), 40.0), [(distance <= 2.0, None), (mask, order)])
    inside = growth.state == INSIDE
    assert euler_number(inside, 1) == euler_number(inside, 3) == 1
    assert ndimage.label(inside)[1] == 1
    lost = mask & ~inside
    assert (growth.state[8, 15:26, 48] == BETWEEN_LIMBS).any()
    assert np.abs(np.argwhere(lost & (growth.state == BETWEEN_LIMBS))[:, 1] - 20).max() <= 3  # midway
    assert lost.sum() < 0.02 * mask.sum() + 7 * 7 * 5
    # Two voxels stay between the limbs.
    far = np.abs(growth.nearest[:, :, 48].max() - growth.nearest[:, :, 48]) > 40
    near, away = inside[:, :, 48] & ~far, inside[:, :, 48] & far
    assert ndimage.distance_transform_cdt(~near)[away].min() > 2


def test_power_order_is_the_signed_distance_to_one_sphere_in_effect():
    voxels = np.array([[0, 0, 0], [3, 0, 0], [5, 0, 0]])
    order = power_order(voxels, np.zeros((1, 3)), np.array([3.0]))
    np.testing.assert_allclose(order, [-3.0, 0.0, 4.0], atol=1e-5)  # the root of |25 - 9|
    # Between touching spheres of radius 6 and 2 the tie is where they touch, not halfway.
    ends, radius = np.array([[0.0, 0, 0], [8.0, 0, 0]]), np.array([6.0, 2.0])
    touch = np.array([[6, 0, 0]])
    assert power_order(touch, ends[:1], radius[:1]) == pytest.approx(power_order(touch, ends[1:], radius[1:]), abs=1e-3)


def test_a_skeleton_of_a_ring_with_a_tail():
    index = np.stack(np.meshgrid(np.arange(60), np.arange(40), np.arange(12), indexing="ij"), -1).astype(float)
    ring = np.abs(np.hypot(index[..., 0] - 20, index[..., 1] - 20) - 12) < 3
    tail = (np.abs(index[..., 1] - 20) < 3) & (index[..., 0] > 31) & (index[..., 0] < 55)
    mask = (ring | tail) & (np.abs(index[..., 2] - 6) < 3)
    _, grid = resample(mask, MM, spacing=1e-3, margin=0.0)
    distance = ndimage.distance_transform_edt(mask).astype(np.float32)
    graph = skeleton_graph(mask, distance, grid)
    lengths = sorted(edge.length for edge in graph.edges)
    assert len(graph.edges) == 3  # the tail, and the ring in two halves
    assert sum(lengths[-2:]) == pytest.approx(2 * np.pi * 0.012, rel=0.12)
    assert [len(graph.at(node)) for node in range(len(graph.nodes))].count(1) == 1


def test_gaps_are_bridged_up_to_a_length():
    pieces = [Edge((0, 1), np.array([[0, 0, 0], [0, 0, 0.1]]), np.full(2, 0.01))]
    pieces += [Edge((2, 3), np.array([[0, 0, 0.13], [0, 0, 0.2]]), np.full(2, 0.01))]
    nodes = np.array([[0, 0, 0], [0, 0, 0.1], [0, 0, 0.13], [0, 0, 0.2]])
    whole = bridged(SkeletonGraph(nodes, tuple(pieces)), 0.04)
    assert [edge.nodes for edge in whole.edges[2:]] == [(1, 2)]
    assert whole.edges[2].radius.max() == 0
    with pytest.raises(InputError, match=r"gap of 30 mm between RAS \(0, 0, 100\) mm and RAS \(0, 0, 130\) mm"):
        bridged(SkeletonGraph(nodes, tuple(pieces)), 0.02)


def colon_graph() -> SkeletonGraph:
    """A colon as a graph whose sigmoid (2) is fused to the transverse colon (5) by a short cut."""
    nodes = np.array(
        [
            [0, 0, 0],  # 0 anus
            [-60, 60, 100],  # 1 sigmoid
            [-70, 60, 200],  # 2 fused here
            [-120, 0, 120],  # 3 lower end of the descending colon
            [-120, 10, 380],  # 4 splenic flexure
            [-40, 80, 250],  # 5 fused here
            [90, 60, 340],  # 6 hepatic flexure
            [110, 0, 150],  # 7 caecum
        ]
    )
    pairs = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (2, 5)]
    edges = []
    for a, b in pairs:
        points = resampled(nodes[[a, b]] * 1e-3, 2e-3)
        edges.append(Edge((a, b), points, np.full(len(points), 0.015)))
    return SkeletonGraph(nodes * 1e-3, tuple(edges))


def test_the_short_cut_is_not_taken():
    route = find_route(colon_graph(), 0.0)
    assert route.edges == (0, 1, 2, 3, 4, 5, 6)
    np.testing.assert_allclose(route.points[route.splenic], [-0.120, 0.010, 0.380], atol=1e-9)
    np.testing.assert_allclose(route.points[route.hepatic], [0.090, 0.060, 0.340], atol=1e-9)


def test_landmarks_decide_where_they_are_given():
    graph = colon_graph()
    # A way point on the descending colon keeps the way; one after the flexure that lies before it refuses every way.
    via = {"anus": graph.nodes[0], "low": graph.nodes[3], "splenic_flexure": graph.nodes[4], "caecum": graph.nodes[7]}
    assert find_route(graph, 0.0, given=via).edges == (0, 1, 2, 3, 4, 5, 6)
    with pytest.raises(InputError, match=r"low at RAS \(-120, 0, 120\) mm or in another order"):
        find_route(graph, 0.0, given={"splenic_flexure": graph.nodes[4], "low": graph.nodes[3]})
    with pytest.raises(InputError, match=", ".join(ORDER)):
        find_route(graph, 0.0, given={"caecum": graph.nodes[7], "anus": graph.nodes[0]})


def test_a_colon_without_a_right_side_is_refused_with_the_place():
    whole = colon_graph()
    left = SkeletonGraph(whole.nodes[:6], tuple(edge for edge in whole.edges[:-1] if max(edge.nodes) < 6))
    with pytest.raises(InputError, match=r"the longest way .* stays on one side of the midline"):
        find_route(left, 0.0)
    short = SkeletonGraph(whole.nodes[:7], tuple(edge for edge in whole.edges if max(edge.nodes) < 7))
    with pytest.raises(InputError, match=r"ends at RAS \(90, 60, 340\) mm, not below the hepatic flexure"):
        find_route(short, 0.0)


def test_surfaces_keep_topology_volume_and_place():
    index = np.stack(np.meshgrid(np.arange(50), np.arange(46), np.arange(42), indexing="ij"), -1).astype(float)
    ball = np.linalg.norm(index - [25, 23, 21], axis=-1) <= 14
    mesh = closed_surface(ball, MM, smoothing=1.0, iterations=10, triangles=3000)
    report = check_mesh(mesh)
    assert (report.problems, report.genus) == ((), 0)
    assert report.triangle_count <= 3000 * 1.25
    assert report.volume == pytest.approx(4 / 3 * np.pi * 0.014**3, rel=0.02)
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices - [0.025, 0.023, 0.021], axis=1), 0.014, atol=6e-4)
    ring = np.hypot(np.hypot(index[..., 0] - 25, index[..., 1] - 23) - 13, index[..., 2] - 21) <= 5
    assert check_mesh(closed_surface(ring, MM, smoothing=1.0, iterations=10, triangles=3000)).genus == 1
    grown = offset_to_volume(mesh, 1.2 * report.volume)
    assert check_mesh(grown).volume == pytest.approx(1.2 * report.volume, rel=1e-3)


def test_a_mirrored_grid_still_points_outwards():
    ball = np.zeros((12, 12, 12), bool)
    ball[3:9, 3:9, 3:9] = True
    mirrored = np.diag([-1e-3, 1e-3, 1e-3, 1.0])
    assert check_mesh(closed_surface(ball, mirrored, smoothing=0.7, iterations=5)).problems == ()


def test_curves():
    turn = np.linspace(0, np.pi, 400)
    half = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    assert arc_lengths(half)[-1] == pytest.approx(np.pi, rel=1e-4)
    even = resampled(half, 0.01)
    assert np.ptp(np.linalg.norm(np.diff(even, axis=0), axis=1)) < 1e-5
    blurred = smoothed(even, 0.01, 0.1)
    np.testing.assert_allclose(blurred[[0, -1]], even[[0, -1]], atol=1e-12)
    # A Gaussian of width s takes a circle of radius r to r exp(-s^2 / 2 r^2).
    assert np.linalg.norm(blurred[150]) == pytest.approx(np.exp(-0.005), rel=1e-3)

"""Opening the bends of an imported colon: the axis, and what is carried along with it."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from assets.colon.course import SHARPEST
from assets.errors import InputError
from assets.lumen.colon import ColonOptions
from assets.lumen.colon_axis import Axis
from assets.lumen.curves import SPACING, arc_lengths, bend_radii, resampled, tangents
from assets.lumen.grid import Grid
from assets.lumen.straightening import straightened
from assets.lumen.transport import rotations, transported

CLEARANCE = 0.028


def hairpin(radius: float = 0.014, limb: float = 0.12) -> np.ndarray:
    """Two straight limbs and half a circle between them, in the plane y = 0, from the origin upwards."""
    up = np.arange(0.0, limb, SPACING)
    turn = np.arange(0.0, np.pi, SPACING / radius)
    rise = np.stack([0 * up, 0 * up, up], axis=1)
    bend = np.stack([radius - radius * np.cos(turn), 0 * turn, limb + radius * np.sin(turn)], axis=1)
    fall = np.stack([0 * up + 2 * radius, 0 * up, limb - up], axis=1)
    return resampled(np.concatenate([rise, bend, fall]), SPACING)


def test_bend_radii_of_known_curves():
    turn = np.linspace(0.0, np.pi, 200)
    circle = 0.03 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    np.testing.assert_allclose(bend_radii(circle), 0.03, rtol=2e-3)
    # A helix of radius a and pitch 2 pi b bends with (a^2 + b^2) / a.
    turn = np.linspace(0.0, 3 * np.pi, 5000)
    helix = np.stack([0.02 * np.cos(turn), 0.02 * np.sin(turn), 0.015 * turn], axis=1)
    np.testing.assert_allclose(bend_radii(helix, 2e-3), 0.625e-3 / 0.02, rtol=5e-3)
    straight = np.stack([turn, 2 * turn, 0 * turn], axis=1)
    assert bend_radii(straight).min() > 1e3
    assert bend_radii(hairpin()).min() == pytest.approx(0.014, rel=0.01)


def test_the_least_bend_is_that_of_the_synthetic_colons():
    assert ColonOptions().least_bend_mm == pytest.approx(SHARPEST * 1e3)


def test_a_hairpin_opens_and_the_rest_stays():
    axis = Axis(hairpin(limb=0.2), canal=10, moved=0.0)
    before, after = straightened(axis, least_bend=SHARPEST, clearance=CLEARANCE)
    assert bend_radii(after.points).min() >= 0.95 * SHARPEST
    assert bend_radii(after.points, 4e-3).min() >= 0.9 * SHARPEST
    assert arc_lengths(after.points)[-1] == pytest.approx(arc_lengths(axis.points)[-1], rel=0.01)
    # Point by point the same place of the colon; the anus and its direction are where they were.
    assert len(before) == len(after.points)
    assert cKDTree(axis.points).query(before)[0].max() < 1e-4
    np.testing.assert_allclose(after.points[0], axis.points[0], atol=1e-9)
    np.testing.assert_allclose(tangents(after.points)[0], [0, 0, 1], atol=1e-3)
    assert after.canal == 10
    # Opening half a circle takes some 2 (R - r) of room; the limbs' far ends need not move.
    moved = np.linalg.norm(after.points - before, axis=1)
    assert 0.010 < moved.max() < 2 * (SHARPEST - 0.014)
    assert moved[:30].max() < 1e-3


def test_a_bend_that_is_wide_enough_is_left_alone():
    turn = np.linspace(0.0, np.pi, 150)
    axis = Axis(0.06 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1), canal=0, moved=0.0)
    before, after = straightened(axis, least_bend=SHARPEST, clearance=CLEARANCE)
    assert np.linalg.norm(after.points - before, axis=1).max() < 2e-4


def test_a_bend_does_not_open_into_bone():
    axis = Axis(hairpin(), canal=0, moved=0.0)
    _, free = straightened(axis, least_bend=SHARPEST, clearance=CLEARANCE)
    # A wall of bone above the hairpin's right half, where it would go.
    y, z = np.meshgrid(np.arange(-0.06, 0.06, 3e-3), np.arange(0.02, 0.22, 3e-3), indexing="ij")
    bone = np.stack([np.full(y.size, 0.055), y.ravel(), z.ravel()], axis=1)
    room = CLEARANCE / 2 + 3e-3
    assert cKDTree(bone).query(free.points)[0].min() < room - 2e-3  # else this would test nothing
    _, kept = straightened(axis, least_bend=SHARPEST, clearance=CLEARANCE, bone=bone)
    assert cKDTree(bone).query(kept.points)[0].min() > room
    assert bend_radii(kept.points).min() >= 0.95 * SHARPEST


def test_no_room_is_refused_with_the_place():
    line = hairpin()
    span = np.arange(-0.04, 0.0401, 4e-3)
    around = np.stack(np.meshgrid(span + 0.014, span, span + 0.12, indexing="ij"), axis=-1).reshape(-1, 3)
    bone = around[cKDTree(line).query(around)[0] > 0.019]
    with pytest.raises(InputError, match=r"bends of 34 mm radius at least, found \d+ mm at RAS \(.*, 1\d\d\) mm"):
        straightened(Axis(line, canal=0, moved=0.0), least_bend=SHARPEST, clearance=CLEARANCE, bone=bone)


def test_the_smallest_rotation():
    rng = np.random.default_rng(1)
    source, target = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in rng.normal(size=(2, 50, 3)))
    turn = rotations(source, target)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", turn, source), target, atol=1e-12)
    np.testing.assert_allclose(turn @ turn.swapaxes(1, 2), np.broadcast_to(np.eye(3), turn.shape), atol=1e-12)
    angle = np.arccos((source * target).sum(axis=1))
    np.testing.assert_allclose(np.trace(turn, axis1=1, axis2=2), 1 + 2 * np.cos(angle), atol=1e-12)
    np.testing.assert_allclose(rotations(source, source), np.broadcast_to(np.eye(3), turn.shape), atol=1e-12)


def tube(grid: Grid, line: np.ndarray, radius: float) -> np.ndarray:
    """Occupancy of a tube, 0 to 1 over one voxel."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    distance = cKDTree(line).query(grid.to_world(index.astype(float)))[0].reshape(grid.shape)
    return np.clip(0.5 + (radius - distance) / grid.spacing, 0.0, 1.0).astype(np.float32)


@pytest.fixture(scope="module")
def opened():
    """A tube of 10 mm about a hairpin of 12 mm, its limbs fused, and the same after opening it."""
    line = hairpin(radius=0.012, limb=0.10)
    T_world_index = np.diag([2e-3, 2e-3, 2e-3, 1.0])
    T_world_index[:3, 3] = [-0.05, -0.04, -0.03]
    grid = Grid((62, 40, 88), 2e-3, T_world_index)
    label = tube(grid, line, 0.010)
    bar = np.stack([np.linspace(0.0, 0.024, 50), np.zeros(50), np.full(50, 0.03)], axis=1)
    label = np.maximum(label, tube(grid, bar, 0.006))
    before, after = straightened(Axis(line, canal=0, moved=0.0), least_bend=SHARPEST, clearance=CLEARANCE)
    return grid, label, before, after.points


def test_where_nothing_moves_nothing_changes(opened):
    grid, label, before, _ = opened
    same, fused = transported(label, grid, before, before, least=0.008)
    np.testing.assert_allclose(same, label, atol=1e-5)
    assert fused.any()


def test_the_tube_goes_with_its_axis(opened):
    grid, label, before, after = opened
    moved, _ = transported(label, grid, before, after, least=0.008)
    voxels = np.argwhere(np.ones(grid.shape, bool))
    distance = cKDTree(after).query(grid.to_world(voxels.astype(float)))[0].reshape(grid.shape)
    z = grid.to_world(voxels.astype(float))[:, 2].reshape(grid.shape)
    away = (np.abs(z - 0.03) > 0.016) & (z > 0.002)  # from the bar, and from the open ends
    assert (moved[away & (distance < 0.008)] > 0.5).all()
    assert (moved[away & (distance > 0.012)] < 0.5).all()
    # Half of the bar stays with each limb; nothing is left halfway, and nothing of the other limb comes along.
    assert moved.sum() == pytest.approx(label.sum(), rel=0.03)


def test_the_fused_place_is_marked_midway(opened):
    grid, label, before, after = opened
    _, fused = transported(label, grid, before, after, least=0.008)
    places = grid.to_world(np.argwhere(fused).astype(float))
    low = places[places[:, 2] < 0.06]
    np.testing.assert_allclose(low.mean(axis=0), [0.012, 0.0, 0.03], atol=2e-3)
    assert np.abs(low[:, 0] - 0.012).max() < 3e-3

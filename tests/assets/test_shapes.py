import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from assets.errors import InputError
from assets.shapes.appearance import appearances
from assets.shapes.fields import random_field, smooth_field
from assets.shapes.labels import deformed_places, random_label_volume
from assets.shapes.templates import SHAPES, Template, inside


def places(size):
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))


def plain(shape, size, rotation=None):
    return Template(
        shape, np.zeros(3), np.asarray(size), np.eye(3) if rotation is None else rotation, np.zeros((4,) * 3, "f4"), 0.0
    )


@pytest.mark.parametrize(
    ("shape", "volume"),
    [
        ("ellipsoid", 4 / 3 * np.pi),
        ("box", 8.0),
        ("cylinder", 2 * np.pi),
        ("capsule", np.pi * 0.3**2 * 1.4 + 4 / 3 * np.pi * 0.3**3),
        ("torus", 2 * np.pi**2 * 0.7 * 0.3**2),
    ],
)
def test_templates_have_the_volumes_of_their_solids(shape, volume):
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    size = np.array([0.5, 0.4, 0.45])
    found = inside(plain(shape, size, turn), places(96)).sum() * (2 / 96) ** 3
    assert found == pytest.approx(volume * size.prod(), rel=0.02)
    assert set(SHAPES) == {"ellipsoid", "box", "cylinder", "capsule", "torus"}


def test_smooth_fields_are_smooth_and_keep_constants_and_lines():
    np.testing.assert_allclose(smooth_field(np.full((4, 5, 6), 2.5, np.float32), (9, 10, 11)), 2.5, rtol=1e-6)
    ramp = np.broadcast_to(np.arange(9, dtype=np.float32)[:, None, None], (9, 4, 4))
    found = smooth_field(np.ascontiguousarray(ramp), (33, 5, 5))
    np.testing.assert_allclose(found[8:25, 2, 2], np.linspace(0, 8, 33)[8:25], atol=1e-5)
    # A cubic B-spline bends no more than its control points do.
    coarse = np.random.default_rng(1).standard_normal((5, 5, 5)).astype(np.float32)
    most = np.abs(np.diff(np.pad(coarse, ((1, 1), (0, 0), (0, 0)), mode="edge"), 2, axis=0)).max()
    bend = np.abs(np.diff(smooth_field(coarse, (41, 9, 9)), 2, axis=0)).max()
    assert 0.2 * most < bend / 0.1**2 < 1.01 * most
    field = random_field(np.random.default_rng(1), (40, 40, 40), 5)
    assert field.mean() == pytest.approx(0, abs=1e-4)
    assert field.std() == pytest.approx(1, abs=1e-3)


def test_places_are_deformed_smoothly_without_folding():
    place = deformed_places(np.random.default_rng(2), 48)
    shift = place - places(48)
    assert 0.02 < np.abs(shift).max() < 0.2
    jacobian = np.stack([np.stack(np.gradient(row, 2 / 48), axis=-1) for row in place], axis=-2)
    assert np.linalg.det(jacobian).min() > 0


def test_label_volumes_are_random_and_the_same_for_the_same_seed():
    first = random_label_volume(np.random.default_rng(3), 64)
    again = random_label_volume(np.random.default_rng(3), 64)
    other = random_label_volume(np.random.default_rng(4), 64)
    assert first.dtype == np.uint8
    assert first.shape == (64, 64, 64)
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.1


def test_label_volumes_hold_many_labels_without_gaps_and_some_background():
    counts = []
    for seed in range(12):
        labels = random_label_volume(np.random.default_rng(seed), 48)
        present = np.unique(labels)
        np.testing.assert_array_equal(present, np.arange(len(present)))
        counts.append(len(present) - 1)
        assert (labels == 0).mean() > 0.02
    assert 10 <= min(counts) <= max(counts) <= 41
    assert len(set(counts)) > 3


@pytest.mark.parametrize("size", [0, 15, 385, 10**9])
def test_sizes_out_of_range_are_refused_before_anything_is_made(size):
    with pytest.raises(InputError, match=f"expected 16 to 384 voxels along an edge, found {size}"):
        random_label_volume(np.random.default_rng(0), size)


def test_images_follow_the_labels():
    rng = np.random.default_rng(5)
    labels = random_label_volume(rng, 64)
    contrast, native = appearances(labels, rng)
    for image in (contrast, native):
        assert image.dtype == np.float32
        assert image.shape == labels.shape
        assert image.min() >= 0
        assert image.max() <= 1
        # Within a label, away from its boundary, an image varies less than over the whole.
        inner = {n: binary_erosion(labels == n, iterations=2) for n in np.unique(labels)}
        spreads = [image[mask].std() for mask in inner.values() if mask.sum() > 200]
        assert np.median(spreads) < 0.6 * image.std()
    assert native[labels == 0].mean() < 0.12


def test_contrast_brightens_some_labels_and_no_others():
    # Over many draws on one volume of two halves: means differ by more than bias and noise can in about 45 %.
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[:, :12], labels[:, 12:] = 1, 2
    gains = []
    for seed in range(60):
        contrast, native = appearances(labels, np.random.default_rng(seed))
        gains += [float((contrast - native)[labels == n].mean()) for n in (1, 2)]
    raised = np.mean(np.array(gains) > 0.08)
    assert 0.25 < raised < 0.6
    assert np.mean(np.array(gains) < -0.12) < 0.08


def test_images_are_the_same_for_the_same_seed():
    labels = random_label_volume(np.random.default_rng(6), 32)
    first = appearances(labels, np.random.default_rng(7))
    again = appearances(labels, np.random.default_rng(7))
    for one, other in zip(first, again, strict=True):
        assert one.tobytes() == other.tobytes()
    assert not np.array_equal(*first)

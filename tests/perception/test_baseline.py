import colorsys

import numpy as np

from perception.baseline import fit_hue_threshold, sought_counts
from perception.metrics import segmentation_scores
from perception.prediction import POLYP, WALL


def image_of_hues(hues):
    """Make an image with the given hues, in steps of 2 degrees."""
    colours = [[round(255 * one) for one in colorsys.hsv_to_rgb(hue / 180, 0.8, 0.8)] for hue in hues.ravel()]
    return np.array(colours, np.uint8).reshape(*hues.shape, 3)


def test_a_colour_of_their_own_gives_polyps_away_also_across_red():
    rng = np.random.default_rng(0)
    classes = np.where(rng.random((2, 16, 16)) < 0.2, POLYP, WALL).astype(np.uint8)
    hues = np.where(classes == POLYP, (rng.integers(-6, 6, classes.shape)) % 180, rng.integers(20, 150, classes.shape))
    rgb = np.stack([image_of_hues(one) for one in hues])
    threshold = fit_hue_threshold(rgb, classes, POLYP)
    assert threshold.fitted_dice > 0.99
    np.testing.assert_array_equal(threshold(rgb[0]), classes[0] == POLYP)


def test_the_fitted_interval_is_the_best_of_all():
    rng = np.random.default_rng(1)
    classes = np.where(rng.random((1, 24, 24)) < 0.15, POLYP, WALL).astype(np.uint8)
    hues = np.where(classes == POLYP, rng.normal(30, 12, classes.shape), rng.normal(20, 12, classes.shape)) % 180
    rgb = np.stack([image_of_hues(one) for one in hues])
    threshold = fit_hue_threshold(rgb, classes, POLYP)
    dice = segmentation_scores(sought_counts(threshold(rgb[0]), classes[0], POLYP)).dice[1]
    np.testing.assert_allclose(dice, threshold.fitted_dice)
    for first in range(0, 180, 9):
        for width in range(3, 180, 9):
            other = type(threshold)(first, width, 0.0)
            assert segmentation_scores(sought_counts(other(rgb[0]), classes[0], POLYP)).dice[1] <= dice + 1e-12


def test_where_hue_says_nothing_calling_everything_a_polyp_is_best():
    classes = np.full((1, 10, 10), WALL, np.uint8)
    classes[0, :1] = POLYP
    rgb = image_of_hues(np.full((10, 10), 10))[None]
    assert fit_hue_threshold(rgb, classes, POLYP).fitted_dice == 2 * 10 / (100 + 10)


def test_black_pixels_are_no_polyps():
    threshold = fit_hue_threshold(np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 4, 4), POLYP, np.uint8), POLYP)
    assert threshold.fitted_dice == 0
    assert not threshold(np.zeros((4, 4, 3), np.uint8)).any()

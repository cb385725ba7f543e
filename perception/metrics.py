"""Figures of merit, on plain arrays. An absent class counts as NaN, which means leave out, unless it was predicted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Num, Shaped, UInt8
from numpy.typing import NDArray


@dataclass(frozen=True)
class SegmentationScores:
    """Overlap of each class; NaN where a class is neither there nor predicted."""

    dice: Float64[np.ndarray, "classes"]
    """2 |A and B| / (|A| + |B|)."""
    iou: Float64[np.ndarray, "classes"]
    """|A and B| / |A or B|."""
    precision: Float64[np.ndarray, "classes"]
    """Share of the predicted pixels that are right; NaN where none is predicted."""
    recall: Float64[np.ndarray, "classes"]
    """Share of the true pixels that are found; NaN where there is none."""


@dataclass(frozen=True)
class DepthErrors:
    """Errors of a depth map over its valid pixels; NaN where there are none."""

    abs_rel: float
    """Mean of |p - g| / g."""
    rmse: float
    """Root of the mean square of p - g [m]."""
    delta: float
    """Share of pixels with max(p / g, g / p) < 1.25."""


def confusion(
    prediction: UInt8[np.ndarray, "*n"], truth: UInt8[np.ndarray, "*n"], class_count: int
) -> NDArray[np.int64]:
    """Count pixels by true class (row) and predicted class (column), shape (classes, classes)."""
    joint = truth.astype(np.int64).ravel() * class_count + prediction.ravel()
    return np.bincount(joint, minlength=class_count**2).reshape(class_count, class_count)


def segmentation_scores(counts: Int64[np.ndarray, "classes classes"]) -> SegmentationScores:
    """Score each class from pooled counts (see `confusion`)."""
    hit = np.diag(counts).astype(np.float64)
    true, predicted = counts.sum(axis=1).astype(np.float64), counts.sum(axis=0).astype(np.float64)
    return SegmentationScores(
        dice=_ratio(2 * hit, true + predicted),
        iou=_ratio(hit, true + predicted - hit),
        precision=_ratio(hit, predicted),
        recall=_ratio(hit, true),
    )


def depth_errors(
    prediction: Num[np.ndarray, "*n"],
    truth: Num[np.ndarray, "*n"],
    valid: Bool[np.ndarray, "*n"],
    *,
    median_scaled: bool = False,
) -> DepthErrors:
    """Compare depths [m] where `valid`.

    Args:
        prediction: Positive depths [m].
        truth: Positive depths [m] where valid.
        valid: Where to look.
        median_scaled: First scale the prediction so that its median is the truth's, as is usual where the scale cannot
            be known.
    """
    p, g = prediction[valid].astype(np.float64), truth[valid].astype(np.float64)
    if len(g) == 0:
        return DepthErrors(np.nan, np.nan, np.nan)
    if median_scaled:
        p = p * (np.median(g) / np.median(p))
    worse = np.maximum(p / g, g / np.maximum(p, 1e-12))
    return DepthErrors(
        abs_rel=float(np.mean(np.abs(p - g) / g)),
        rmse=float(np.sqrt(np.mean((p - g) ** 2))),
        delta=float(np.mean(worse < 1.25)),
    )


def angular_error(a: Float[np.ndarray, "*n 3"], b: Float[np.ndarray, "*n 3"]) -> NDArray[np.float64]:
    """Return the angles [rad] between vectors, shape (...,), exact for small angles too."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.asarray(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.sum(a * b, axis=-1)))


def bootstrap_by_group(
    values: Num[np.ndarray, "n"],
    groups: Sequence[str] | Shaped[np.ndarray, "n"],
    rng: np.random.Generator,
    *,
    draws: int = 2000,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """Return the mean and the ends of its percentile interval, drawing whole groups with replacement.

    Frames or episodes of one patient resemble one another, so patients are drawn, not frames (Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993, chapter 13). With fewer than two groups the interval is NaN: nothing is known
    of how patients differ. Without values all three are NaN.

    Args:
        values: Finite numbers.
        groups: Patient of each value.
        rng: Draws the groups.
        draws: How often all groups are drawn.
        level: Share of the draws within the interval.

    Raises:
        ValueError: `groups` is not as long as `values`.
    """
    if len(groups) != len(values):
        raise ValueError(f"expected a group for each of {len(values)} values, found {len(groups)}")
    if len(values) == 0:
        return np.nan, np.nan, np.nan
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(member, weights=values, minlength=len(names))
    sizes = np.bincount(member, minlength=len(names))
    mean = float(np.mean(values))
    if len(names) < 2:
        return mean, np.nan, np.nan
    drawn = rng.integers(len(names), size=(draws, len(names)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return mean, float(low), float(high)


def _ratio(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)

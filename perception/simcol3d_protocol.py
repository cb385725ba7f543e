"""The evaluation of the SimCol3D challenge, from its definition: depth and camera motion up to one scale a sequence.

Rau et al., SimCol3D: 3D reconstruction during colonoscopy challenge, Medical Image Analysis 96, 2024,
doi:10.1016/j.media.2024.103195. Figures come in the units in which it publishes them; compare one sequence at a time,
and average over sequences.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import NDArray

REACH = 0.2
"""Depths [m] are cut to this before they are compared."""
_SMALLEST = 1e-6  # m, added to the true depth where it divides: 1e-4 cm, as in the challenge's own program


@dataclass(frozen=True)
class DepthScores:
    """Errors of the depth of one sequence."""

    scale: float
    """What the prediction was multiplied by."""
    l1_cm: float
    """Mean over frames of the mean absolute error."""
    relative_percent: float
    """Mean over frames of the median of |p - g| / g."""
    rmse_cm: float
    """Mean over frames of the root of the mean square error."""


@dataclass(frozen=True)
class PoseScores:
    """Errors of the motion of one sequence."""

    scale: float
    """What the predicted translations were multiplied by."""
    ate_cm: float
    """Median distance between the two paths, both from the same start."""
    rte_cm: float
    """Median translation of Q^-1 P, with Q the true and P the predicted step."""
    rot_deg: float
    """Median angle of Q^-1 P."""


def depth_scores(prediction: Float[np.ndarray, "..."], truth: Float[np.ndarray, "n h w"]) -> DepthScores:
    """Score the depth [m] of the frames of one sequence; every pixel counts.

    The scale is s = sum(p g) / sum(p^2), with p and g the means of each frame.

    Args:
        prediction: Depth up to a scale; cut to 0 to 20 cm first, as the challenge does.
        truth: Depth, 0 to 20 cm.

    Raises:
        ValueError: The two differ in shape, or there is no frame.
    """
    if prediction.shape != truth.shape or truth.size == 0:
        raise ValueError(f"expected depth of some frames and one shape, found {prediction.shape} and {truth.shape}")
    means = np.array([np.clip(frame, 0, REACH).mean(dtype=np.float64) for frame in prediction])
    true_means = np.array([frame.mean(dtype=np.float64) for frame in truth])
    scale = _scale(true_means, means)
    l1, relative, rmse = [], [], []
    for guess, true in zip(prediction, truth, strict=True):
        off = np.abs(np.clip(guess, 0, REACH).astype(np.float64) * scale - true)
        l1.append(off.mean())
        relative.append(np.median(off / (true + _SMALLEST)))
        rmse.append(np.sqrt((off**2).mean()))
    return DepthScores(scale, float(np.mean(l1)) * 100, float(np.mean(relative)) * 100, float(np.mean(rmse)) * 100)


def pose_scores(prediction: Float[np.ndarray, "..."], truth: Float[np.ndarray, "n 4 4"]) -> PoseScores:
    """Score the steps of the camera, T_before_after of each pair of frames that follow each other [m].

    The scale is s = sum(t_true . t) / sum(t . t) over all steps' translations.

    Args:
        prediction: Steps up to a scale of their translations.
        truth: Steps; see `steps` for how to get them from poses.

    Raises:
        ValueError: The two differ in shape, or there is no step.
    """
    if prediction.shape != truth.shape or len(truth) == 0:
        raise ValueError(f"expected steps of one count, at least 1, found {prediction.shape} and {truth.shape}")
    scale = _scale(truth[:, :3, 3].ravel(), prediction[:, :3, 3].ravel())
    scaled = prediction.astype(np.float64)
    scaled[:, :3, 3] *= scale
    off = np.linalg.inv(truth.astype(np.float64)) @ scaled
    apart = np.linalg.norm(path(truth)[:, :3, 3] - path(scaled)[:, :3, 3], axis=1)
    # |skew part| = sin and trace = 1 + 2 cos: exact for small angles too, where the arc cosine of the trace is not
    skew = off[:, :3, :3] - off[:, :3, :3].transpose(0, 2, 1)
    sine = np.linalg.norm(skew[:, [2, 0, 1], [1, 2, 0]], axis=1) / 2
    angle = np.arctan2(sine, (np.trace(off[:, :3, :3], axis1=1, axis2=2) - 1) / 2)
    return PoseScores(
        scale,
        float(np.median(apart)) * 100,
        float(np.median(np.linalg.norm(off[:, :3, 3], axis=1))) * 100,
        float(np.degrees(np.median(angle))),
    )


def steps(poses: Float[np.ndarray, "n 4 4"]) -> NDArray[np.float64]:
    """Return T_before_after of each pair of T_world_camera that follow each other, shape (n - 1, 4, 4)."""
    return np.asarray(np.linalg.inv(poses[:-1]) @ poses[1:], dtype=np.float64)


def path(relative: Float[np.ndarray, "n 4 4"]) -> NDArray[np.float64]:
    """Undo `steps` from the identity on, shape (n + 1, 4, 4)."""
    poses = [np.eye(4)]
    for step in relative:
        poses.append(poses[-1] @ step)
    return np.stack(poses)


def _scale(truth: Float64[np.ndarray, "n"], prediction: Float64[np.ndarray, "n"]) -> float:
    """Return the factor that brings the prediction nearest to the truth; NaN for a prediction of nothing but zeros."""
    square = float(prediction @ prediction)
    return float(truth @ prediction) / square if square > 0 else float("nan")

"""Checks of poses: rotations and shifts, of one thing or of many."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from sim.render.geometry import FARTHEST

_RIGID = 1e-4  # by which a rotation may miss being one


def rigid(T_a_b: Any, where: str) -> NDArray[np.float64]:
    """Check a pose.

    Raises:
        InputError: It is no 4 x 4 array of finite numbers, no rotation, or farther than 100 km.
    """
    try:
        T = np.asarray(T_a_b, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: expected a pose, found {error}") from None
    if T.shape != (4, 4) or not np.isfinite(T).all():
        raise InputError(f"{where}: expected a finite pose of 4 x 4, found {T.tolist()}")
    off = np.abs(T[:3, :3] @ T[:3, :3].T - np.eye(3)).max() if np.abs(T[:3, :3]).max() < 2 else np.inf
    if off > _RIGID or np.linalg.det(T[:3, :3]) < 0 or not np.array_equal(T[3], [0, 0, 0, 1]):
        raise InputError(f"{where}: expected a rigid pose (a rotation and a shift), found {T.tolist()}")
    if np.abs(T[:3, 3]).max() > FARTHEST:
        raise InputError(f"{where}: expected a pose within {FARTHEST:g} m of the origin, found {T[:3, 3].tolist()}")
    return T


def rigid_poses(T_a_b: Any, where: str) -> NDArray[np.float64]:
    """Check many poses at once, shape (n, 4, 4), by the rules of `rigid`.

    Raises:
        InputError: The shape is another or a pose is not rigid; the line says which.
    """
    try:
        T = np.asarray(T_a_b, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: expected poses, found {error}") from None
    if T.ndim != 3 or T.shape[1:] != (4, 4):
        raise InputError(f"{where}: expected poses of shape (n, 4, 4), found {T.shape}")
    # Far outside of what a rotation holds, and so refused; bounded lest the products overflow.
    rotation = np.clip(np.where(np.isfinite(T[:, :3, :3]), T[:, :3, :3], 2.0), -2.0, 2.0)
    off = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    good = (off <= _RIGID) & (np.linalg.det(rotation) > 0) & (T[:, 3] == [0, 0, 0, 1]).all(axis=1)
    good &= (np.abs(T[:, :3, 3]) <= FARTHEST).all(axis=1)
    for index in np.flatnonzero(~good):
        rigid(T[index], f"{where}: pose {index}")
    return T

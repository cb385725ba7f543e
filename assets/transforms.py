"""Rigid transforms. `T_a_b` is a (4, 4) matrix that maps points of frame b into frame a; quaternions are xyzw."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray


def compose(rotation: Float[np.ndarray, "3 3"], translation: Float[np.ndarray, "3"]) -> NDArray[np.float64]:
    """Build T_a_b, shape (4, 4), from the rotation R_a_b and the origin of b in a [m]."""
    T_a_b = np.eye(4)
    T_a_b[:3, :3] = rotation
    T_a_b[:3, 3] = translation
    return T_a_b


def inverse(T_a_b: Float[np.ndarray, "4 4"]) -> NDArray[np.float64]:
    """Return T_b_a, shape (4, 4), of a rigid T_a_b."""
    rotation = T_a_b[:3, :3].T
    return compose(rotation, -rotation @ T_a_b[:3, 3])


def apply(T_a_b: Float[np.ndarray, "4 4"], points_b: Float[np.ndarray, "*n 3"]) -> NDArray[np.float64]:
    """Map points [m], shape (..., 3), from frame b into frame a."""
    return np.asarray(points_b @ T_a_b[:3, :3].T + T_a_b[:3, 3], dtype=np.float64)


def unit(vector: Float[np.ndarray, "*n 3"]) -> NDArray[np.float64]:
    """Scale vectors, shape (..., 3), to length 1; a zero vector stays zero."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.asarray(vector / np.where(length > 0, length, 1.0), dtype=np.float64)


def look_along(
    forward: Float[np.ndarray, "3"],
    up: Float[np.ndarray, "3"],
    position: Float[np.ndarray, "3"],
) -> NDArray[np.float64]:
    """Build T_world_camera, OpenCV axes, that looks along `forward` with `up` as nearly as possible to image up.

    Raises:
        ValueError: `forward` and `up` are parallel or zero.
    """
    z = unit(forward)
    x = np.cross(z, up)
    if np.linalg.norm(x) < 1e-9:
        raise ValueError(f"expected up not parallel to forward, found forward {forward}, up {up}")
    x = unit(x)
    return compose(np.stack([x, np.cross(z, x), z], axis=1), position)


def parallel_frames(tangents: Float[np.ndarray, "n 3"], first_x: Float[np.ndarray, "3"]) -> NDArray[np.float64]:
    """Carry a frame along a curve without twist, by projecting x of the frame before onto the next cross-section.

    The columns of each frame are x, y, z with z along the tangent. Second order in the step; see Bishop, There Is More
    than One Way to Frame a Curve, Amer. Math. Monthly 82(3), 1975, doi:10.1080/00029890.1975.11993807.

    Args:
        tangents: Unit tangents, shape (n, 3).
        first_x: Direction whose part across the first tangent becomes x of the first frame, shape (3,).

    Returns:
        Rotation matrices, shape (n, 3, 3).
    """
    across = np.empty((len(tangents), 3))
    x = unit(first_x - (first_x @ tangents[0]) * tangents[0])
    for index, z in enumerate(tangents):
        x = x - (x @ z) * z
        length = np.sqrt(np.add.reduce(x * x))
        x = x / length if length > 0 else x
        across[index] = x
    return np.stack([across, np.cross(tangents, across), tangents], axis=2)

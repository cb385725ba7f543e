"""Grasping: nodes tied to a moving frame by springs that slip beyond a force."""

import copy
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.errors import InputError
from assets.transforms import apply, inverse


@dataclass
class Grasp:
    """A jaw on some nodes. Each node has its share of the limit; where it slips, its anchor gives way in the jaw."""

    nodes: NDArray[np.int64]
    stiffness: float
    """Of the spring of each node [N/m]."""
    limit: float
    """Most force that the jaw can hold [N]: twice its closing force times the friction."""
    reach: float
    """Slip after which a node leaves the jaw [m]: the length of the jaw."""
    T_world_jaw: NDArray[np.float64]
    anchors: NDArray[np.float64]
    """In the jaw's frame [m], shape (n, 3)."""
    slipped: NDArray[np.float64]
    """Path of each anchor in the jaw so far [m], shape (n,)."""
    held: NDArray[np.bool_]
    """Nodes still in the jaw, shape (n,)."""

    @property
    def share(self) -> float:
        """Most force on one node [N]."""
        return self.limit / len(self.nodes)

    def copy(self) -> "Grasp":
        """Return one that shares nothing with this."""
        return copy.deepcopy(self)

    def world_anchors(self) -> NDArray[np.float64]:
        """Return the anchors in the world [m], shape (n, 3)."""
        return apply(self.T_world_jaw, self.anchors)

    def settle(self, x: Float[np.ndarray, "n 3"]) -> NDArray[np.float64]:
        """Let anchors slip until no node pulls harder than its share; return the force on the jaw [N].

        Args:
            x: The grasped nodes [m].
        """
        away = x - self.world_anchors()
        length = np.linalg.norm(away, axis=1)
        excess = np.where(self.held, np.maximum(length - self.share / self.stiffness, 0.0), 0.0)
        pull = self.stiffness * away * (1 - excess / np.maximum(length, 1e-300))[:, None]
        force = np.asarray(pull[self.held].sum(axis=0))
        slide = away * (excess / np.maximum(length, 1e-300))[:, None]
        self.anchors += slide @ self.T_world_jaw[:3, :3]
        self.slipped += excess
        self.held &= self.slipped <= self.reach
        return force


def make_grasp(
    nodes: NDArray[np.integer],
    x: Float[np.ndarray, "n 3"],
    T_world_jaw: Float[np.ndarray, "4 4"],
    *,
    limit: float,
    stiffness: float,
    reach: float,
) -> Grasp:
    """Close a jaw on nodes where they are.

    Args:
        nodes: Indices.
        x: Where they are [m].
        T_world_jaw: The jaw's frame.
        limit: Most force that it holds [N].
        stiffness: Of the spring of each node [N/m].
        reach: Slip after which a node leaves the jaw [m].

    Raises:
        InputError: There are no nodes, or a number is not above 0.
    """
    if not len(nodes) or not min(limit, stiffness, reach) > 0:
        raise InputError(
            f"grasp: expected nodes, and limit, stiffness and reach above 0, "
            f"found {len(nodes)} nodes, {limit} N, {stiffness} N/m and {reach} m"
        )
    return Grasp(
        nodes=np.array(nodes, np.int64),
        stiffness=stiffness,
        limit=limit,
        reach=reach,
        T_world_jaw=np.array(T_world_jaw, np.float64),
        anchors=apply(inverse(T_world_jaw), x),
        slipped=np.zeros(len(nodes)),
        held=np.ones(len(nodes), np.bool_),
    )

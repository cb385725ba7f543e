"""How the bending section of a flexible scope is bent, as its wheels would show it."""

import numpy as np
from jaxtyping import Float


def bends_of(nodes: Float[np.ndarray, "n 3"], frame: Float[np.ndarray, "n 3"], last: int) -> tuple[float, float]:
    """Add up the turns at the nodes of a bending section.

    Args:
        nodes: Of the rod [m], tip first.
        frame: x of the material frame of the segment behind each node, as the rod's kernel carries it.
        last: Node at which the section ends; it begins at node 1.

    Returns:
        The angles up and to the right [rad]. Of a section that nothing touches they are those of the wires.
    """
    edges = nodes[: last + 1] - nodes[1 : last + 2]
    along = edges / np.linalg.norm(edges, axis=1, keepdims=True)
    ahead, behind = along[:-1], along[1:]
    cosine = np.sum(ahead * behind, axis=1)
    aside = ahead - cosine[:, None] * behind
    sine = np.linalg.norm(aside, axis=1)
    turns = aside * (np.arctan2(sine, cosine) / np.maximum(sine, 1e-12))[:, None]
    right = frame[1 : last + 1]
    down = np.cross(behind, right)
    return -float(np.sum(turns * down)), float(np.sum(turns * right))

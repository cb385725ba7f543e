"""A triangle mesh: plain data, in metres."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32


@dataclass(frozen=True)
class Mesh:
    """Triangles in metres; seen from outside of what the surface encloses they run counter-clockwise."""

    vertices: Float32[np.ndarray, "v 3"]
    """Positions [m]."""
    triangles: Int32[np.ndarray, "t 3"]
    """Vertex indices."""

"""The templates that random label volumes are painted with: solids as functions of place, below 1 inside."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from assets.shapes.fields import smooth_field

Array = NDArray[np.float32]


def ellipsoid(place: Array) -> Array:
    """Return how far out places lie in a ball of radius 1; `place` has shape (3, ...)."""
    return np.asarray(np.sqrt((place * place).sum(axis=0)))


def box(place: Array) -> Array:
    """Return how far out places lie in a cube of half edge 1."""
    return np.asarray(np.abs(place).max(axis=0))


def cylinder(place: Array) -> Array:
    """Return how far out places lie in a cylinder of radius 1 and half height 1 about the third axis."""
    return np.asarray(np.maximum(np.sqrt(place[0] ** 2 + place[1] ** 2), np.abs(place[2])))


def capsule(place: Array) -> Array:
    """Return how far out places lie in a rod of radius 0.3 with round ends, 2 long, along the third axis."""
    along = np.maximum(np.abs(place[2]) - np.float32(0.7), 0)
    return np.asarray(np.sqrt(place[0] ** 2 + place[1] ** 2 + along**2) / np.float32(0.3))


def torus(place: Array) -> Array:
    """Return how far out places lie in a ring of radius 0.7 whose tube has radius 0.3."""
    around = np.sqrt(place[0] ** 2 + place[1] ** 2) - np.float32(0.7)
    return np.asarray(np.sqrt(around**2 + place[2] ** 2) / np.float32(0.3))


SHAPES: dict[str, Callable[[Array], Array]] = {
    "ellipsoid": ellipsoid,
    "box": box,
    "cylinder": cylinder,
    "capsule": capsule,
    "torus": torus,
}
"""Each fits into the cube from -1 to 1."""


@dataclass(frozen=True)
class Template:
    """One solid to paint, in coordinates in which the volume is the cube from -1 to 1."""

    shape: str
    """A name of `SHAPES`."""
    centre: NDArray[np.float64]
    """Shape (3,)."""
    size: NDArray[np.float64]
    """Half its extent along each of its own axes, shape (3,)."""
    rotation: NDArray[np.float64]
    """From its own axes to the volume's, shape (3, 3)."""
    lumps: Array
    """Random values on a coarse grid over the template: what deforms it, shape (k, k, k)."""
    depth: float
    """How strongly they do: 0 leaves the solid as it is."""

    @property
    def reach(self) -> float:
        """No point of it is farther than this from its centre."""
        return float(np.linalg.norm(self.size)) * (1.0 + 2.5 * self.depth)


def draw_template(rng: np.random.Generator) -> Template:
    """Draw a solid: any shape, place, direction and size, half of them lumpy."""
    size = np.exp(rng.uniform(np.log(0.12), np.log(0.55))) * rng.uniform(0.6, 1.4, 3)
    lumpy = rng.random() < 0.5
    knots = int(rng.integers(4, 8))
    return Template(
        shape=str(rng.choice(list(SHAPES))),
        centre=rng.uniform(-0.85, 0.85, 3),
        size=size,
        rotation=Rotation.from_quat(rng.standard_normal(4)).as_matrix(),
        lumps=rng.standard_normal((knots,) * 3).astype(np.float32),
        depth=float(rng.uniform(0.12, 0.35)) if lumpy else 0.0,
    )


def inside(template: Template, place: Array) -> NDArray[np.bool_]:
    """Tell which places of a box of voxels lie in a template.

    Args:
        template: The solid.
        place: Coordinates of the voxels, shape (3, i, j, k).
    """
    turn = template.rotation.T.astype(np.float32)
    centred = place - template.centre.astype(np.float32)[:, None, None, None]
    own = np.tensordot(turn, centred, axes=1) / template.size.astype(np.float32)[:, None, None, None]
    value = SHAPES[template.shape](np.asarray(own, dtype=np.float32))
    if template.depth:
        waves = smooth_field(template.lumps, (value.shape[0], value.shape[1], value.shape[2]))
        value = value * (1 + np.float32(template.depth) * np.clip(2 * waves, -2, 2))
    return np.asarray(value < 1)

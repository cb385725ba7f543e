"""Random label volumes: many random solids painted over one another, deformed together.

The idea of anatomix (Dey et al., Learning general-purpose biomedical volume representations using randomized synthesis,
arXiv 2411.02372, 2024): a network that has seen enough of these knows boundaries in volumes that it has never met.
"""

import numpy as np
from jaxtyping import Float32, UInt8

from assets.errors import InputError
from assets.shapes.fields import smooth_field
from assets.shapes.templates import Template, draw_template, inside

TEMPLATES = (20, 40)
"""Least and most solids of a volume (Dey et al., 2024)."""
SIZES = (16, 384)
"""Least and most voxels along an edge."""
KNOTS = 6
"""Nodes along an edge of the grid whose random shifts deform the whole."""
SHIFT = 0.09
"""Standard deviation of these shifts, over half the volume's edge."""


def check_size(size: int) -> None:
    """Refuse sizes that make no sense or do not fit into memory.

    Raises:
        InputError: It is out of range.
    """
    if not SIZES[0] <= size <= SIZES[1]:
        raise InputError(f"expected {SIZES[0]} to {SIZES[1]} voxels along an edge, found {size}")


def random_label_volume(rng: np.random.Generator, size: int = 128) -> UInt8[np.ndarray, "n n n"]:
    """Make up a label volume.

    Args:
        rng: The only source of chance.
        size: Voxels along each edge.

    Returns:
        0 for the background, and 1, 2, ... for what is left of 20 to 40 solids, every number in use; half of the
        volumes lie in a large body, label 1, beyond which all is background.

    Raises:
        InputError: The size is out of range.
    """
    check_size(size)
    place = deformed_places(rng, size)
    templates = [draw_template(rng) for _ in range(int(rng.integers(TEMPLATES[0], TEMPLATES[1] + 1)))]
    labels = np.zeros((size,) * 3, dtype=np.uint8)
    body = _body(rng) if rng.random() < 0.5 else None
    first = 1
    if body is not None:
        labels[inside(body, place)] = 1
        first = 2
    outside = labels == 0 if body is not None else None
    for number, template in enumerate(templates, first):
        box = _box(template, size)
        labels[box][inside(template, place[(slice(None), *box)])] = number
    if outside is not None:
        labels[outside] = 0
    used = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    renumbered = np.zeros(256, dtype=np.uint8)
    used = used[used > 0]
    renumbered[used] = np.arange(1, len(used) + 1)
    return np.asarray(renumbered[labels])


def deformed_places(rng: np.random.Generator, size: int) -> Float32[np.ndarray, "3 n n n"]:
    """Return coordinates of the voxels, from -1 to 1 along each axis, shifted smoothly and at random."""
    axis = ((np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / size)) - 1
    place = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))
    shifts = np.clip(rng.normal(0.0, SHIFT, (3, KNOTS, KNOTS, KNOTS)), -2 * SHIFT, 2 * SHIFT).astype(np.float32)
    for shift, row in zip(shifts, place, strict=True):
        row += smooth_field(shift, (size, size, size))
    return place


def _body(rng: np.random.Generator) -> Template:
    """Draw the large body about everything."""
    return Template(
        shape="ellipsoid",
        centre=rng.uniform(-0.08, 0.08, 3),
        size=rng.uniform(0.75, 1.1, 3),
        rotation=np.eye(3),
        lumps=rng.standard_normal((5, 5, 5)).astype(np.float32),
        depth=0.06,
    )


def _box(template: Template, size: int) -> tuple[slice, slice, slice]:
    """Return the voxels among which a template lies, shifts included."""
    reach = template.reach + 3 * SHIFT
    low = np.clip(((template.centre - reach + 1) * size / 2).astype(int), 0, size - 1)
    high = np.clip(((template.centre + reach + 1) * size / 2).astype(int) + 1, 1, size)
    return (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2])))

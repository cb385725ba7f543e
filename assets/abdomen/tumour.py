"""A tumour of the liver: a lobulated body just below the capsule, which it lifts, or deep between the vessels."""

from dataclasses import dataclass

import numpy as np

from assets.abdomen.lattice import SPACING, Array, Box, Field, slopes
from assets.abdomen.liver import Liver
from assets.abdomen.solids import Ripple, Solid, ellipsoid
from assets.transforms import unit

DIAMETER = (0.018, 0.045)
"""[m]; solitary tumours within the Milan criteria are up to 5 cm (Mazzaferro et al., N. Engl. J. Med. 334, 1996,
doi:10.1056/NEJM199603143341104)."""


@dataclass(frozen=True)
class Tumour:
    """One tumour."""

    centre: Array
    """[m]"""
    radii: Array
    """[m], shape (3,)."""
    ripple: Ripple

    def function(self, box: Box) -> Field:
        """Evaluate its field."""
        return ellipsoid(box, self.centre, self.radii) + np.float32(0.0009) * self.ripple(box)

    def solid(self) -> Solid:
        """Name it; it lies in the liver."""
        low, high = self.centre - self.radii - 0.003, self.centre + self.radii + 0.003
        return Solid("tumour", "tumour", "tumour", self.function, low, high, SPACING / 2, ("liver",), 0.0015)


def draw_tumour(rng: np.random.Generator, liver: Liver) -> Tumour:
    """Draw a tumour at a random place of the liver; two of three show at the front or the lower edge."""
    box = Box.around(*liver.corners, spacing=2 * SPACING)
    field = liver.function(box)
    radius = float(rng.uniform(*DIAMETER)) / 2
    radii = radius * rng.uniform(0.88, 1.12, 3)
    shown = rng.random() < 2 / 3
    depth = 0.45 * radius if shown else 1.4 * radius + 0.004
    nodes = box.points(np.abs(field + depth) < box.spacing / 2)
    if shown:
        out = unit(slopes(box, field, nodes))
        ahead = nodes[(out[:, 1] > 0.45) & (nodes[:, 1] > liver.hilum[1] + 0.02)]
        nodes = ahead if len(ahead) else nodes
    if not len(nodes):
        nodes = box.points(field == field.min())
    centre = nodes[int(rng.integers(len(nodes)))]
    return Tumour(centre, radii, Ripple.draw(rng, 0.014))

"""The liver: a dome under the diaphragm, cut from below by the visceral surface, with a thin left lobe."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from assets.abdomen.body import Body
from assets.abdomen.cavity import Cavity
from assets.abdomen.lattice import SPACING, Array, Box, Field, volume
from assets.abdomen.solids import Ripple, ellipsoid, half_space, smooth_max, smooth_min, tube
from assets.transforms import unit

# The template, in RAS axes about the middle of the abdomen [m]. Its proportions follow Gray's Anatomy, 41st edition,
# chapter 67: 15 to 20 cm wide, the right lobe as deep as the abdomen, the left a wedge to the left midclavicular line.
VOLUME = 1.66e-3
"""Of the template [m^3]; measured."""
HILUM = np.array([0.020, -0.020, 0.088])
"""Where the portal vein enters."""
DOWN = unit(np.array([-0.40, -0.02, -0.915]))
"""Normal of the visceral surface of the right lobe, out of the liver."""
RIGHT = np.array([0.048, -0.014, 0.090])
RIGHT_RADII = np.array([0.079, 0.074, 0.094])
LEFT = np.array([-0.022, 0.010, 0.124])
LEFT_RADII = np.array([0.066, 0.046, 0.030])
LEFT_DOWN = unit(np.array([-0.05, 0.10, -0.99]))
LEFT_FLOOR = np.array([-0.030, 0.0, 0.098])
EDGE = 0.006
"""Radius by which the lower edge is rounded: it is sharp (Gray's Anatomy, chapter 67) [m]."""
FISSURE = np.array([[-0.012, 0.075, 0.072], [-0.012, 0.04, 0.078], [-0.009, 0.015, 0.086], [0.000, -0.008, 0.090]])
"""The umbilical fissure with the round ligament, from the edge to the left portal vein."""
CAUDATE = np.array([0.004, -0.040, 0.108])


@dataclass(frozen=True)
class Liver:
    """One patient's liver as an implicit function, and the places that others build on."""

    body: Body
    factor: float
    """Size over that of the template."""
    anchor: Array
    """Point of the template that stays in place when the liver grows [m]."""
    shift: Array
    """How far the whole lies off its usual place [m]."""
    down: Array
    """Normal of the visceral surface, out of the liver."""
    left_reach: float
    """Length of the left lobe over that of the template."""
    ripple: Ripple

    def place(self, points: Array) -> Array:
        """Map points of the template into this liver [m]."""
        return self.body.place(self.anchor + self.factor * (points - self.anchor)) + self.shift

    @property
    def hilum(self) -> Array:
        """The porta hepatis [m]."""
        return self.place(HILUM)

    def function(self, box: Box) -> Field:
        """Evaluate the field of the liver before its neighbours press on it."""
        size = self.factor * self.body.scale
        right = ellipsoid(box, self.place(RIGHT), RIGHT_RADII * size)
        below = half_space(box, self.hilum, self.down)
        # the visceral surface is hollow: colon, kidney and duodenum press on it
        x, y = (axis - np.float32(c) for axis, c in zip(box.axes[:2], self.hilum[:2], strict=True))
        hollow = np.float32(0.010) * np.exp(-(((x - 0.055) / 0.05) ** 2 + ((y + 0.0) / 0.05) ** 2))
        right = smooth_max(right, below + hollow, EDGE)
        reach = np.array([self.left_reach, 1.0, 1.0])
        lobe = ellipsoid(box, self.place(LEFT * [self.left_reach, 1, 1]), LEFT_RADII * size * reach)
        floor = half_space(box, self.place(LEFT_FLOOR), LEFT_DOWN)
        left = smooth_max(lobe, floor + np.float32(0.006) * np.exp(-(((x + 0.06) / 0.04) ** 2)), EDGE)
        whole = smooth_min(right, left, 0.022)
        whole = smooth_min(whole, ellipsoid(box, self.place(CAUDATE), np.array([0.017, 0.021, 0.024]) * size), 0.010)
        whole = whole + np.float32(0.0016) * self.ripple(box)
        fissure = self.place(FISSURE)
        steps = np.concatenate([np.linspace(a, b, 16) for a, b in pairwise(fissure)])
        notch = tube(box, steps, np.linspace(0.0075, 0.004, len(steps)))
        return smooth_max(whole, -notch, 0.008)

    @property
    def corners(self) -> tuple[Array, Array]:
        """Corners of a box about the liver [m]."""
        low = np.minimum(self.place(RIGHT - RIGHT_RADII), self.place(LEFT - [LEFT_RADII[0] * 1.5, 0.06, 0.06]))
        return low - 0.012, self.place(RIGHT + RIGHT_RADII) + 0.012


def draw_liver(rng: np.random.Generator, body: Body, cavity: Cavity) -> Liver:
    """Draw one patient's liver: as large as gives it the volume wanted within the cavity's wall."""
    down = unit(DOWN + rng.normal(0.0, 0.05, 3))
    liver = Liver(
        body=body,
        factor=body.factor("liver", VOLUME * float(body.scale.prod())),
        anchor=np.array([0.055, -0.03, 0.165]),
        shift=rng.normal(0.0, 0.003, 3),
        down=down,
        left_reach=float(rng.uniform(0.88, 1.18)),
        ripple=Ripple.draw(rng, 0.07),
    )
    for _ in range(5):
        box = Box.around(*liver.corners, spacing=2 * SPACING)
        share = volume(box, liver.function(box), cavity.function(box)) / body.volumes["liver"]
        liver = replace(liver, factor=liver.factor * share**-0.45)
    return liver

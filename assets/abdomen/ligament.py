"""The falciform ligament: a sail between liver and anterior wall, with the round ligament in its free edge."""

from dataclasses import dataclass

import numpy as np

from assets.abdomen.cavity import UMBILICUS, Cavity
from assets.abdomen.lattice import SPACING, Array, Box, Field
from assets.abdomen.liver import FISSURE, Liver
from assets.abdomen.solids import Solid, curve, smooth_min, tube

THICKNESS = 0.0026
"""Two layers of peritoneum with fat between them [m]; chosen, and as thin as the lattice allows."""
CORD = 0.0042
"""Radius of the round ligament with its fat [m]; chosen after pictures."""


@dataclass(frozen=True)
class Ligament:
    """One patient's falciform ligament."""

    cord: Array
    """The round ligament from the umbilicus to the umbilical fissure [m], shape (n, 3)."""
    top: float
    """Level where it leaves the front of the liver [m]."""
    wave: Array
    """Amplitude [m], waves a metre along y and z, phase of its folds."""

    def function(self, box: Box) -> Field:
        """Evaluate its field; in front it runs on into the wall, behind into the liver."""
        x, y, z = box.axes
        amplitude, along_y, along_z, phase = self.wave
        lower = self.cord[np.argsort(self.cord[:, 2])]
        level = z.ravel()
        middle = np.interp(level, lower[:, 2], lower[:, 0])[None, None, :]
        back = np.interp(level, lower[:, 2], lower[:, 1])
        beyond = np.maximum(level - lower[-1, 2], 0.0)
        back = (back - 1.2 * beyond)[None, None, :]
        bend = amplitude * np.sin(2 * np.pi * (along_y * y + along_z * z) + phase)
        sheet = np.abs(x - middle - bend) - THICKNESS / 2
        field = np.maximum(np.maximum(sheet, back - y), np.maximum(z - self.top, lower[0, 2] - z))
        cord = tube(box, self.cord, np.linspace(0.6 * CORD, CORD, len(self.cord)))
        return smooth_min(np.asarray(field, dtype=np.float32), cord, 0.003)

    def solid(self, cavity: Cavity) -> Solid:
        """Give it its name, label and box."""
        low = self.cord.min(axis=0) - np.array([0.012, 0.02, 0.006])
        high = self.cord.max(axis=0) + np.array([0.012, 0.0, 0.0])
        high[1] = cavity.corners[1][1]
        high[2] = self.top + 0.003
        return Solid(
            "falciform_ligament", "falciform_ligament", "peritoneum", self.function, low, high, SPACING / 2, (), 0.0005
        )


def draw_ligament(rng: np.random.Generator, cavity: Cavity, liver: Liver) -> Ligament:
    """Hang the ligament from the wall between umbilicus and liver, a little left of the midline at the liver."""
    scale = cavity.body.scale
    low = UMBILICUS * scale[2] + 0.012
    start = np.array([-0.010, float(cavity.front(np.array([low]))[0]) + 0.004, low])
    end = liver.place(FISSURE)
    sag = float(rng.uniform(0.004, 0.012))
    middle = 0.5 * (start + end[0]) - [0.0, sag, 0.0]
    cord = curve(np.stack([start, middle, end[0], end[1], end[2]]), 0.002)
    wave = np.array([rng.uniform(0.001, 0.0025), rng.uniform(6.0, 14.0), rng.uniform(6.0, 14.0), rng.uniform(0, 6.28)])
    return Ligament(cord, float(liver.place(np.array([0.0, 0.0, 0.150]))[2]), wave)

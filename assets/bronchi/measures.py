"""Published measures of trachea and bronchi, and one patient's draw of those that the rest scales with."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Sex = Literal["female", "male"]

# Length: CT of 40 men and 20 women (Kamel et al., Clin. Anat. 22, 2009, PubMed 19544298). Width and depth of the
# lumen: CT of 50 men and 50 women (Lee et al., J. Korean Radiol. Soc. 24, 1988).
TRACHEA_LENGTH = {"male": (0.1051, 0.0098), "female": (0.0983, 0.0087)}
"""Mean and standard deviation from the cricoid to the carina [m]."""
TRACHEA_WIDTH = {"male": (0.0177, 0.0019), "female": (0.0153, 0.0012)}
"""Of the transverse diameter [m]."""
TRACHEA_DEPTH = {"male": (0.0189, 0.0021), "female": (0.0155, 0.0013)}
"""Of the anteroposterior diameter [m]."""

RING_COUNT = (15, 20)
"""Least and most cartilages of the trachea: 14 to 19 in 10 cadavers (Kamel et al., 2009), 16 to 20 (Standring, ed.,
Gray's Anatomy, 41st edition, 2016, chapter 54)."""
RING_HEIGHT = 0.0040
"""Of one cartilage along the trachea [m] (Gray's Anatomy, chapter 54)."""

# CT of 2107 patients (Mi et al., PLoS One 10, 2015, doi:10.1371/journal.pone.0123177). The spread of the angles is
# ours; with it the angle between both bronchi, 78 +- 20 degrees, 36 to 121 (Kamel et al., 2009), varies less.
RIGHT_LENGTH = (0.0136, 0.0043)
"""Right main bronchus, from the carina to the upper lobe's bronchus [m]."""
LEFT_LENGTH = (0.0483, 0.0065)
"""Left main bronchus, from the carina to where it divides [m]."""
RIGHT_ANGLE = (np.radians(34.9), np.radians(6.0))
"""Between trachea and right main bronchus [rad]."""
LEFT_ANGLE = (np.radians(42.5), np.radians(7.0))
"""Between trachea and left main bronchus [rad]."""

LEFT_OVER_TRACHEA = {"male": (0.75, 0.04), "female": (0.77, 0.04)}
"""Diameter of the left main bronchus over the trachea's width: 0.75 +- 0.09 and 0.77 +- 0.10 (Brodsky and Lemmens, J.
Clin. Anesth. 17, 2005); drawn with less spread, since theirs holds the error of measuring too."""
RIGHT_OVER_LEFT = (1.15, 0.04)
"""Diameter of the right main bronchus over the left one's: the right one is wider (Gray's Anatomy, chapter 54)."""


@dataclass(frozen=True)
class Measures:
    """What one patient's tree is scaled by; lengths in metres, angles in radians."""

    sex: Sex
    length: float
    """Of the trachea."""
    width: float
    """Transverse diameter of the trachea."""
    depth: float
    """Anteroposterior diameter of the trachea."""
    ring_count: int
    right_length: float
    left_length: float
    right_angle: float
    left_angle: float
    right_diameter: float
    left_diameter: float

    @property
    def scale(self) -> float:
        """Calibre of the patient's airways over those of the table of named bronchi."""
        return self.width / TRACHEA_WIDTH["male"][0]


def draw_measures(rng: np.random.Generator) -> Measures:
    """Draw one patient's measures: normal, cut off at 1.8 standard deviations; women and men alike often."""

    def normal(mean_and_deviation: tuple[float, float], z: float | None = None) -> float:
        mean, deviation = mean_and_deviation
        return float(mean + deviation * np.clip(rng.standard_normal() if z is None else z, -1.8, 1.8))

    sex: Sex = "male" if rng.random() < 0.5 else "female"
    size = rng.standard_normal()  # width and depth go together: wide tracheas are deep ones
    width = normal(TRACHEA_WIDTH[sex], size)
    left = normal(LEFT_OVER_TRACHEA[sex]) * width
    return Measures(
        sex=sex,
        length=normal(TRACHEA_LENGTH[sex]),
        width=width,
        depth=normal(TRACHEA_DEPTH[sex], 0.8 * size + 0.6 * rng.standard_normal()),
        ring_count=int(rng.integers(RING_COUNT[0], RING_COUNT[1] + 1)),
        right_length=normal(RIGHT_LENGTH),
        left_length=normal(LEFT_LENGTH),
        right_angle=normal(RIGHT_ANGLE),
        left_angle=normal(LEFT_ANGLE),
        right_diameter=normal(RIGHT_OVER_LEFT) * left,
        left_diameter=left,
    )

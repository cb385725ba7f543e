"""One patient's size and the sizes of the organs, drawn from published measures."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from assets.abdomen.lattice import Array

Sex = Literal["female", "male"]


@dataclass(frozen=True)
class Measure:
    """Mean and standard deviation of an organ's volume in women and men [m^3]."""

    female: tuple[float, float]
    male: tuple[float, float]


# Liver, spleen, kidney (each) and pancreas: means by CT of 149 adults (Geraghty, Boone, McGahan and Jain, Abdom.
# Imaging 29(4), 2004, pages 482 to 490). Deviations: liver 17 % and spleen 40 % (CT of 100 patients, Jasper,
# J. Clin. Diagn. Res. 13(8), 2019, doi:10.7860/JCDR/2019/41932.13038); the spleen's is cut to 25 % so that no draw is
# an enlarged one; kidney and pancreas 15 and 20 %, chosen.
# The pancreas agrees with 77.9 +- 21.7 ml (CT of 204 trauma patients, Abdom. Radiol. 44, 2019, pages 958 to 966,
# doi:10.1007/s00261-018-1793-8) and with 71 to 83 ml (review of CT and MRI, Expert Rev. Gastroenterol. Hepatol. 12,
# 2018, pages 757 to 766, doi:10.1080/17474124.2018.1496015).
# Gallbladder: 29.9 ml of bile in men and 26.5 ml in women, fasting, in a wall of 2.5 mm (ultrasound of 400 adults,
# Jamal et al., Zanco J. Med. Sci.); the wall of a pear 8 cm long has 50 cm^2, so 12 ml: 40 +- 9 ml with its wall.
# Stomach: empty, with its wall; fasting volumes vary by 33 % (SPECT of 433 people, PMC3105214); the mean is chosen.
LIVER = Measure((1.411e-3, 0.21e-3), (1.710e-3, 0.25e-3))
SPLEEN = Measure((0.180e-3, 0.045e-3), (0.238e-3, 0.055e-3))
KIDNEY = Measure((0.1565e-3, 0.022e-3), (0.1931e-3, 0.026e-3))
PANCREAS = Measure((0.0644e-3, 0.012e-3), (0.0874e-3, 0.016e-3))
GALLBLADDER = Measure((0.040e-3, 0.009e-3), (0.040e-3, 0.009e-3))
STOMACH = Measure((0.26e-3, 0.05e-3), (0.30e-3, 0.06e-3))
GAS = Measure((3.1e-3, 0.9e-3), (3.7e-3, 1.0e-3))
"""Carbon dioxide at 15 mmHg [m^3]: 3.1 +- 0.9 l in 100 women (Vilos et al., 2004 series); in
men more by the ratio of the body sizes here, chosen."""
CLEFTS = 0.6e-3
"""Clefts between the organs that pliable organs would close, and that are counted as gas here [m^3]; measured."""
DEVIATIONS = 1.8
"""Draws farther than this many standard deviations from the mean are brought back to it."""


@dataclass(frozen=True)
class Body:
    """Who lies on the table."""

    sex: Sex
    scale: Array
    """Size over that of the template along x, y and z, shape (3,)."""
    volumes: dict[str, float]
    """Wanted volumes [m^3]: liver, spleen, kidney_right, kidney_left, pancreas, gallbladder, stomach, gas."""

    def place(self, points: Float[np.ndarray, "*n 3"]) -> Array:
        """Map points of the template into this body [m]."""
        return np.asarray(points * self.scale, dtype=np.float64)

    def factor(self, organ: str, volume: float) -> float:
        """Return how much longer an organ is here than in the template, where it has this volume [m^3]."""
        return float((self.volumes[organ] / volume) ** (1.0 / 3.0))


def draw_body(rng: np.random.Generator) -> Body:
    """Draw sex, size and organ volumes; large bodies have large organs."""
    sex: Sex = "female" if rng.random() < 0.5 else "male"
    size = 1.0 + (0.035 if sex == "male" else -0.035) + 0.025 * float(_normal(rng))
    scale = size * (1.0 + 0.025 * np.clip(rng.standard_normal(3), -DEVIATIONS, DEVIATIONS))

    def draw(measure: Measure, share: float = 0.5) -> float:
        mean, deviation = measure.female if sex == "female" else measure.male
        # a part of the spread between people of one sex is the body's size
        bulk = float(scale.prod() / (1.035**3 if sex == "male" else 0.965**3)) - 1.0
        along = np.clip(bulk / 0.09, -DEVIATIONS, DEVIATIONS)
        return mean + deviation * float(share * along + np.sqrt(1.0 - share**2) * _normal(rng))

    kidney = draw(KIDNEY)
    volumes: dict[str, float] = {
        "liver": draw(LIVER, 0.6),
        "spleen": draw(SPLEEN),
        "kidney_right": kidney * rng.uniform(0.94, 1.04),
        "kidney_left": kidney * rng.uniform(0.96, 1.08),
        "pancreas": draw(PANCREAS),
        "gallbladder": draw(GALLBLADDER, 0.0),
        "stomach": draw(STOMACH, 0.2),
        "gas": CLEFTS + draw(GAS, 0.5),
    }
    return Body(sex, scale, volumes)


def _normal(rng: np.random.Generator) -> float:
    return float(np.clip(rng.standard_normal(), -DEVIATIONS, DEVIATIONS))

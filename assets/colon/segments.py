"""Published measures of the large bowel's segments, and one patient's draw from them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray


@dataclass(frozen=True)
class Segment:
    """What is known of one segment; lengths and radii in metres."""

    name: str
    length: float
    """Mean length along the centreline [m]."""
    length_deviation: float
    """Standard deviation of the length [m]."""
    radius: float
    """Mean radius of the distended lumen [m]."""
    fold_spacing: float
    """Mean distance between the folds of one sector [m]."""
    fold_depth: float
    """Mean depth of a fold, 1 for an edge that runs straight from taenia to taenia."""
    fold_presence: float
    """Share of the sectors that a level of folds crosses."""
    scatter: float
    """How far the folds of one level lie apart along the bowel, as a share of the spacing."""
    bulge: float
    """Depth of the haustra as a share of the radius."""
    taenia: float
    """How far the taeniae indent the lumen [m]."""


# Lengths: sigmoid 40 cm, descending 25 cm, transverse 50 cm, ascending 15 to 20 cm, caecum 6 cm (Standring, ed., Gray's
# Anatomy, 41st edition, 2016, chapter 66); take-off of the sigmoid 12.6 +- 1.8 cm from the anal verge (MRI of 100
# patients, Colorectal Dis. 2018, doi:10.1111/codi.14398), usually taken as 15 cm. Most of the spread of the whole,
# 150.3 +- 18.5 cm (CT colonography of 295 patients, Utano et al., Jpn. J. Radiol. 40, 2022,
# doi:10.1007/s11604-021-01204-7), is the sigmoid's (Phillips et al., Ann. R. Coll. Surg. Engl. 97, 2015,
# doi:10.1308/003588415X14181254790527).
# Radii: diameters 3 cm for rectosigmoid, 5 cm for the left and 6 cm for the right colon (ICRP Publication 100, Ann.
# ICRP 36, 2006); 4.8 cm on average (Helander and Fandriks, Scand. J. Gastroenterol. 49, 2014,
# doi:10.3109/00365521.2014.898326); transverse < 6 cm, caecum < 9 cm (Horton et al., RadioGraphics 20, 2000).
# Taeniae: 1 cm wide, most prominent proximally, gone in the lower sigmoid; folds thin, 3-D views as in Mang and Schima,
# CT Colonography, Thieme, 2013, chapter 4. Spacing, depth and scatter of the folds are chosen after such views.
SEGMENTS = (
    Segment("rectum", 0.140, 0.012, 0.0215, 0.0, 0.0, 0.0, 0.0, 0.02, 0.0),
    Segment("sigmoid", 0.425, 0.085, 0.0175, 0.032, 0.62, 0.72, 0.60, 0.09, 0.0006),
    Segment("descending", 0.250, 0.030, 0.0190, 0.038, 0.62, 0.60, 0.50, 0.09, 0.0012),
    Segment("transverse", 0.490, 0.065, 0.0260, 0.027, 0.88, 0.92, 0.16, 0.12, 0.0022),
    Segment("ascending", 0.165, 0.020, 0.0280, 0.030, 0.80, 0.85, 0.22, 0.13, 0.0022),
    Segment("caecum", 0.065, 0.006, 0.0315, 0.034, 0.50, 0.60, 0.30, 0.08, 0.0018),
)

ANAL_RADIUS = 0.0100
"""Radius of the anal canal round the scope [m]; it is a closed slit at rest, and stretches to pass 20 mm easily."""

ANAL_LENGTH = 0.035
"""Length of the anal canal [m]: 3 to 4 cm (Gray's Anatomy, chapter 68)."""

FREE_RADIUS = 0.0130
"""No fold or haustrum leaves less than this about the centreline [m], so that a scope of 13 mm passes everywhere: folds
give way to a scope, and a rigid wall cannot."""


@dataclass(frozen=True)
class Segments:
    """One patient's lengths and mean radii."""

    lengths: NDArray[np.float64]
    """Of the six segments [m], anus first."""
    radii: NDArray[np.float64]
    """Of the six segments [m]."""

    @property
    def ends(self) -> NDArray[np.float64]:
        """Arc length at which each segment ends [m]."""
        return np.cumsum(self.lengths)

    @property
    def length(self) -> float:
        """From the anus to the blind end [m]."""
        return float(self.lengths.sum())

    def at(self, arc: Float[np.ndarray, "*n"]) -> NDArray[np.intp]:
        """Return the index of the segment at each arc length [m]."""
        return np.asarray(np.minimum(np.searchsorted(self.ends, arc, side="right"), len(SEGMENTS) - 1))

    def name_at(self, arc: float) -> str:
        """Return the name of the segment at an arc length [m]."""
        return SEGMENTS[int(self.at(np.asarray(arc)))].name

    def blend(self, values: Float[np.ndarray, "6"], arc: Float[np.ndarray, "*n"]) -> NDArray[np.float64]:
        """Carry one value a segment smoothly along the bowel: constant in the middle of each, linear about its ends."""
        ends = self.ends
        starts = ends - self.lengths
        reach = 0.3 * self.lengths
        knots = np.stack([starts + reach, ends - reach], axis=1).ravel()
        return np.asarray(np.interp(arc, knots, np.repeat(values, 2)))

    def radius(self, arc: Float[np.ndarray, "*n"]) -> NDArray[np.float64]:
        """Return the mean radius of the lumen [m] at each arc length [m], anal canal included."""
        radius = self.blend(self.radii, arc)
        # The rectum narrows where it passes into the sigmoid; the ampulla above the anal canal does not.
        narrow = 0.15 * np.exp(-(((arc - self.ends[0]) / 0.02) ** 2))
        opening = np.clip((arc - ANAL_LENGTH * 0.6) / 0.045, 0.0, 1.0)
        opening = opening * opening * (3.0 - 2.0 * opening)
        return np.asarray(ANAL_RADIUS + (radius * (1.0 - narrow) - ANAL_RADIUS) * opening)


def draw_segments(rng: np.random.Generator) -> Segments:
    """Draw one patient's segments: lengths normal, within 2 standard deviations, radii within 12 % of the mean."""
    spread = np.clip(rng.standard_normal(len(SEGMENTS)), -2.0, 2.0)
    size = np.clip(rng.normal(1.0, 0.09), 0.82, 1.18)  # one factor for the whole patient
    lengths = np.array([s.length + spread[i] * s.length_deviation for i, s in enumerate(SEGMENTS)]) * size
    calibre = np.clip(rng.normal(1.0, 0.05), 0.9, 1.1)
    own = np.clip(rng.normal(1.0, 0.04, len(SEGMENTS)), 0.92, 1.08)
    radii = np.array([s.radius for s in SEGMENTS]) * calibre * own
    return Segments(lengths, radii)

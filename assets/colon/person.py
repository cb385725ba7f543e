"""Whose colon it is: sex and age, and what they do to its lengths and calibres."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from assets.colon.segments import SEGMENTS, Segments
from assets.errors import InputError

Sex = Literal["female", "male"]

YOUNGEST, OLDEST = 18.0, 100.0
"""Ages that can be asked for [years]."""
AGE, AGE_DEVIATION = 57.0, 9.0
"""Of those who come to be screened [years]: mean 56.6 (Khashab et al., Endoscopy 41, 2009, doi:10.1055/s-0029-1214899);
the deviation is chosen."""
SCREENED = (45.0, 80.0)
"""Ages that are drawn [years]."""
LONGER = 0.036
"""Half of how much longer a woman's colon is [m]: 154.3 against 147.1 cm, all of it in the proximal colon (Utano et
al., Jpn. J. Radiol. 40, 2022, doi:10.1007/s11604-021-01204-7); given to the transverse colon here."""
AGEING = 0.010
"""How much longer the transverse colon gets in ten years [m]: chosen; it is longer beyond 60 years, by how much the
abstract does not say (Khashab et al. 2009)."""
NARROWER = 0.03
"""Half of how much narrower a woman's colon is, as a share: chosen; its volume is less and its tortuosity more (Clin.
Imaging 46, 2017, doi:10.1016/j.clinimag.2017.07.006), by how much the abstract does not say."""


@dataclass(frozen=True)
class Person:
    """Who the patient is."""

    sex: Sex
    age: float
    """[years]"""

    def __post_init__(self) -> None:
        if self.sex not in get_args(Sex):
            raise InputError(f"expected the sex {' or '.join(get_args(Sex))}, found {self.sex!r}")
        if not YOUNGEST <= self.age <= OLDEST:
            raise InputError(f"expected an age of {YOUNGEST:g} to {OLDEST:g} years, found {self.age}")


def draw_person(rng: np.random.Generator, sex: Sex | None = None, age: float | None = None) -> Person:
    """Draw whom a screening colonoscopy meets; what is given is kept, and draws nothing else."""
    drawn_sex: Sex = "female" if rng.random() < 0.5 else "male"
    drawn_age = round(float(np.clip(rng.normal(AGE, AGE_DEVIATION), *SCREENED)), 1)
    return Person(sex if sex is not None else drawn_sex, age if age is not None else drawn_age)


def as_in(person: Person, segments: Segments) -> Segments:
    """Return an average person's segments as they would be in this one."""
    sign = 1.0 if person.sex == "female" else -1.0
    transverse = [segment.name for segment in SEGMENTS].index("transverse")
    lengths = segments.lengths.copy()
    lengths[transverse] += sign * LONGER + AGEING * (person.age - AGE) / 10.0
    return Segments(lengths, segments.radii * (1.0 - sign * NARROWER))

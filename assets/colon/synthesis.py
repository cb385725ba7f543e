"""A whole synthetic patient from a seed: the large bowel with its polyps, centreline and landmarks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assets.colon.course import Course, draw_course, fits
from assets.colon.diverticula import MOST, Diverticulum, draw_count, draw_diverticula, open_diverticula
from assets.colon.person import Person, Sex, as_in, draw_person
from assets.colon.polyps import POLYPOSIS, SPORADIC, draw_polyps
from assets.colon.residue import draw_residue
from assets.colon.segments import ANAL_RADIUS, SEGMENTS, Segments, draw_segments
from assets.colon.wall import Collapse, Wall, draw_wall, mesh_wall, wall_grid
from assets.errors import InputError
from assets.patient import Centreline, Organ, Orifice, Patient

SPACING = 0.002
"""Distance of the centreline's points [m]."""
MOST_DRAWS = 40
"""Courses drawn before giving up; nearly all fit at the first draw."""


@dataclass(frozen=True)
class ColonPlan:
    """What is asked of a synthetic colon; None leaves it to the seed."""

    sex: Sex | None = None
    age: float | None = None
    """[years]"""
    diverticula: int | None = None
    """How many; None as many as people of this age have."""
    residue: bool = False
    """Leave fluid and stool behind, as a fair preparation does."""
    collapsed: bool = False
    """Let a stretch of the sigmoid or descending colon fall together to a slit that a scope still passes."""
    polyps: tuple[int, int] = SPORADIC
    """Fewest and most polyps."""

    def __post_init__(self) -> None:
        if self.diverticula is not None and not 0 <= self.diverticula <= MOST:
            raise InputError(f"expected 0 to {MOST} diverticula, found {self.diverticula}")


SPORADIC_COLON = ColonPlan()


def synthetic_colon(seed: int, plan: ColonPlan = SPORADIC_COLON) -> Patient:
    """Make the large bowel of a patient with a few polyps; see `make_colon`."""
    return make_colon("colon", seed, plan)


def synthetic_polyposis(seed: int) -> Patient:
    """Make the large bowel of a patient with attenuated polyposis: many polyps to learn from; see `make_colon`."""
    return make_colon("polyposis", seed, ColonPlan(polyps=POLYPOSIS))


def synthetic_residue(seed: int) -> Patient:
    """Make a badly prepared large bowel: fluid, stool, and a stretch that has collapsed; see `make_colon`."""
    return make_colon("residue", seed, ColonPlan(residue=True, collapsed=True))


def make_colon(anatomy: str, seed: int, plan: ColonPlan) -> Patient:
    """Make a patient's large bowel, supine and distended as for colonoscopy.

    Args:
        anatomy: Its name on the command line.
        seed: The same seed gives the same patient.
        plan: What is asked of it.

    Returns:
        A patient with the organs `colon_lumen`, `polyp_01` onwards and, where asked for, `fluid_01` and `stool_01`
        onwards; the centreline `colon` from anus to caecum, and the orifice `anus`.

    Raises:
        InputError: The seed is negative, or the plan cannot be met.
    """
    if seed < 0:
        raise InputError(f"expected a seed of at least 0, found {seed}")
    # Streams of their own: what one part draws does not change the others.
    rng, others = np.random.default_rng(seed), np.random.default_rng([seed, 1]).spawn(4)
    person = draw_person(others[0], plan.sex, plan.age)
    course, segments, draws = _draw_fitting(rng, person)
    wall = draw_wall(rng, course, segments)
    if plan.collapsed:
        wall = replace(wall, collapse=_collapse(others[1], segments))
    grid = wall_grid(wall)
    count = draw_count(others[2], person) if plan.diverticula is None else plan.diverticula
    sacs = draw_diverticula(others[2], wall, grid, count)
    lumen = open_diverticula(mesh_wall(wall, grid), grid, sacs)
    centreline = _centreline(wall, grid.points.reshape(-1, 3))
    polyps = draw_polyps(rng, wall, plan.polyps, [(sac.origin, 2 * sac.neck) for sac in sacs])
    return Patient(
        name=f"{anatomy}_{seed:04d}",
        source=f"synth:{anatomy}:{seed}",
        licence="Apache-2.0",
        organs=(
            Organ(
                "colon_lumen", "colon_wall", "lumen", "colon_mucosa", lumen, _attributes(segments, wall, sacs, person)
            ),
            *polyps,
            *(draw_residue(others[3], wall) if plan.residue else ()),
        ),
        centrelines=(centreline,),
        landmarks=_landmarks(wall, centreline),
        orifices=(Orifice("anus", "colon_lumen", course.points[0], course.tangents[0], ANAL_RADIUS),),
        provenance={"anatomy": anatomy, "seed": seed, "courses_drawn": draws, "plan": asdict(plan)},
    )


def _draw_fitting(rng: np.random.Generator, person: Person) -> tuple[Course, Segments, int]:
    for draw in range(1, MOST_DRAWS + 1):
        course, segments = draw_course(rng, as_in(person, draw_segments(rng)))
        if fits(course, segments):
            return course, segments, draw
    raise AssertionError(f"no course fits in {MOST_DRAWS} draws")


def _collapse(rng: np.random.Generator, segments: Segments) -> Collapse:
    """Choose where the bowel has fallen together, mostly in the sigmoid.

    35 % of patients have such a segment at CT colonography (Radiol. Res. Pract. 2013, doi:10.1155/2013/517246).
    """
    segment = 1 if rng.random() < 0.8 else 2
    start, end = segments.ends[segment] - segments.lengths[segment], segments.ends[segment]
    half = float(rng.uniform(0.025, 0.05))
    return Collapse(float(rng.uniform(start + half, end - half)), half, float(rng.uniform(0.0, np.pi)))


def _attributes(segments: Segments, wall: Wall, sacs: Sequence[Diverticulum], person: Person) -> dict[str, Any]:
    about: dict[str, Any] = {"sex": person.sex, "age": person.age}
    about["diverticula"] = [
        {
            "position": [float(x) for x in sac.origin],
            "normal": [float(-x) for x in sac.outward],
            "opening_mm": round(2e3 * sac.neck, 2),
            "width_mm": round(2e3 * sac.sac, 2),
        }
        for sac in sacs
    ]
    if wall.collapse is not None:
        about["collapsed_from"] = wall.collapse.arc - wall.collapse.half_length
        about["collapsed_to"] = wall.collapse.arc + wall.collapse.half_length
    about |= {f"{s.name}_length": float(x) for s, x in zip(SEGMENTS, segments.lengths, strict=True)}
    return about | {f"{s.name}_radius": float(x) for s, x in zip(SEGMENTS, segments.radii, strict=True)}


def _centreline(wall: Wall, body: NDArray[np.float64]) -> Centreline:
    """Follow the course from the anus to the middle of the caecum's round end."""
    arc = np.linspace(0.0, wall.cap, round(wall.cap / SPACING) + 1)
    points = np.stack([np.interp(arc, wall.course.arc, column) for column in wall.course.points.T], axis=1)
    # Without the anus' disc, which a scope passes.
    return Centreline("colon", points, np.asarray(cKDTree(body).query(points)[0], dtype=np.float64))


def _landmarks(wall: Wall, centreline: Centreline) -> dict[str, NDArray[np.float64]]:
    """Name the ends of the segments; the caecum's is the middle of its round end, one radius from the wall."""
    names = ("rectosigmoid", "sigmoid_descending", "splenic_flexure", "hepatic_flexure")
    course, ends = wall.course, wall.segments.ends
    marks = {"anus": course.points[0].copy()}
    for name, arc in zip(names, ends, strict=False):
        marks[name] = course.points[int(np.searchsorted(course.arc, arc))].copy()
    marks["ileocaecal"] = wall.points(np.asarray(wall.valve.arc), np.asarray(wall.valve.angle))
    marks["caecum"] = centreline.points[-1].copy()
    return marks

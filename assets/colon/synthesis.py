"""A whole synthetic patient from a seed: the large bowel with its polyps, centreline and landmarks."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assets.colon.course import Course, draw_course, fits
from assets.colon.polyps import POLYPOSIS, SPORADIC, draw_polyps
from assets.colon.segments import ANAL_RADIUS, SEGMENTS, Segments, draw_segments
from assets.colon.wall import Wall, draw_wall, mesh_wall
from assets.errors import InputError
from assets.mesh import Mesh
from assets.patient import Centreline, Organ, Orifice, Patient

SPACING = 0.002
"""Distance of the centreline's points [m]."""
MOST_DRAWS = 40
"""Courses drawn before giving up; nearly all fit at the first draw."""


def synthetic_colon(seed: int) -> Patient:
    """Make the large bowel of a patient with a few polyps; see `_make`."""
    return _make("colon", seed, SPORADIC)


def synthetic_polyposis(seed: int) -> Patient:
    """Make the large bowel of a patient with attenuated polyposis: many polyps to learn from; see `_make`."""
    return _make("polyposis", seed, POLYPOSIS)


def _make(anatomy: str, seed: int, polyp_counts: tuple[int, int]) -> Patient:
    """Make a patient's large bowel, supine and distended as for colonoscopy.

    Args:
        anatomy: Its name on the command line.
        seed: The same seed gives the same patient.
        polyp_counts: Fewest and most polyps.

    Returns:
        A patient with the organs `colon_lumen` and `polyp_01` onwards, the centreline `colon` from anus to caecum, and
        the orifice `anus`.

    Raises:
        InputError: The seed is negative.
    """
    if seed < 0:
        raise InputError(f"expected a seed of at least 0, found {seed}")
    rng = np.random.default_rng(seed)
    course, segments, draws = _draw_fitting(rng)
    wall = draw_wall(rng, course, segments)
    lumen = mesh_wall(wall)
    centreline = _centreline(wall, lumen)
    return Patient(
        name=f"{anatomy}_{seed:04d}",
        source=f"synth:{anatomy}:{seed}",
        licence="Apache-2.0",
        organs=(
            Organ("colon_lumen", "colon_wall", "lumen", "colon_mucosa", lumen, _attributes(segments)),
            *draw_polyps(rng, wall, polyp_counts),
        ),
        centrelines=(centreline,),
        landmarks=_landmarks(wall, centreline),
        orifices=(Orifice("anus", "colon_lumen", course.points[0], course.tangents[0], ANAL_RADIUS),),
        provenance={"anatomy": anatomy, "seed": seed, "courses_drawn": draws},
    )


def _draw_fitting(rng: np.random.Generator) -> tuple[Course, Segments, int]:
    for draw in range(1, MOST_DRAWS + 1):
        course, segments = draw_course(rng, draw_segments(rng))
        if fits(course, segments):
            return course, segments, draw
    raise AssertionError(f"no course fits in {MOST_DRAWS} draws")


def _attributes(segments: Segments) -> dict[str, float]:
    lengths = {f"{s.name}_length": float(x) for s, x in zip(SEGMENTS, segments.lengths, strict=True)}
    return lengths | {f"{s.name}_radius": float(x) for s, x in zip(SEGMENTS, segments.radii, strict=True)}


def _centreline(wall: Wall, lumen: Mesh) -> Centreline:
    """Follow the course from the anus to the middle of the caecum's round end."""
    arc = np.linspace(0.0, wall.cap, round(wall.cap / SPACING) + 1)
    points = np.stack([np.interp(arc, wall.course.arc, column) for column in wall.course.points.T], axis=1)
    body = lumen.vertices[:-2]  # without the anus' disc: a scope passes it
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

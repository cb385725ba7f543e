"""Semilunar folds between the taeniae, the valves of Houston, and the lips of the ileocaecal valve."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assets.colon.segments import SEGMENTS, Segments

Array = NDArray[np.float64]

SECTOR = np.pi / 3
"""Half the angle between two taeniae [rad]."""
REACH = 0.035
"""A fold is nothing farther along the bowel than this [m]."""
CHORD = 1.0 - np.cos(SECTOR)
"""Depth of a straight edge from taenia to taenia over the radius at the taeniae: half of it."""


@dataclass(frozen=True)
class Fold:
    """A crescent that juts into the lumen."""

    arc: float
    """Where its middle stands along the bowel [m]."""
    angle: float
    """Where its middle stands about the lumen [rad]."""
    half_span: float
    """Half the angle that it spans [rad]."""
    depth: float
    """How far its middle juts into the lumen [m]."""
    thickness: float
    """Half its thickness at 1/e of its depth [m]."""
    tilt: float
    """How far one end stands along the bowel from the middle [m]."""
    bow: float
    """How far its ends stand along the bowel from its middle [m]."""
    haustrum: float
    """Over what distance the wall bulges out beside it [m]."""


def draw_folds(rng: np.random.Generator, segments: Segments, taenia: Array, arc: Array) -> tuple[Fold, ...]:
    """Draw the semilunar folds of sigmoid to caecum.

    Args:
        rng: The only source of chance.
        segments: The patient's lengths and radii.
        taenia: Angle of the first taenia at each arc length [rad], shape (n,); the others stand 120 degrees on.
        arc: Arc lengths [m], shape (n,).
    """
    folds = []
    at, last = segments.ends[0] + 0.015, segments.length - 0.045
    while at < last:
        segment = SEGMENTS[int(segments.at(np.asarray(at)))]
        radius = float(segments.radius(np.asarray(at)))
        double = int(rng.integers(0, 3)) if rng.random() < 0.22 else None
        for sector in range(3):
            if double is not None and sector == (double + 1) % 3:
                continue  # the fold of the sector before reaches over the taenia into this one
            if rng.random() > segment.fold_presence and sector != double:
                continue
            place = at + segment.scatter * segment.fold_spacing * rng.normal() * 0.7
            wide = sector == double
            share = segment.fold_depth * rng.uniform(0.72, 1.08) * (0.85 if wide else 1.0)
            first = float(np.interp(place, arc, taenia)) + sector * 2 * SECTOR
            folds.append(
                Fold(
                    arc=place,
                    angle=first + SECTOR * (2.0 if wide else 1.0),
                    half_span=SECTOR * (rng.uniform(1.5, 1.9) if wide else rng.uniform(0.95, 1.12)),
                    depth=share * (CHORD + 1.5 * segment.bulge) * radius,
                    thickness=rng.uniform(0.0015, 0.0024),
                    tilt=rng.normal(0.0, 0.003),
                    bow=rng.normal(0.0015, 0.0020),
                    haustrum=0.28 * segment.fold_spacing,
                )
            )
        at += segment.fold_spacing * float(np.clip(rng.normal(1.0, 0.22), 0.6, 1.5))
    return tuple(folds)


def draw_valves_of_houston(rng: np.random.Generator, segments: Segments, left: Array, arc: Array) -> tuple[Fold, ...]:
    """Draw the three transverse folds of the rectum: left, right and left.

    They stand about 7, 10 and 12 cm from the anal verge, the middle one, Kohlrausch's, the deepest (Gray's Anatomy,
    41st edition, chapter 68).

    Args:
        rng: The only source of chance.
        segments: The patient's lengths and radii.
        left: Angle at which the patient's left lies at each arc length [rad], shape (n,).
        arc: Arc lengths [m], shape (n,).
    """
    folds = []
    for share, turn, deep in ((0.47, 0.0, 0.40), (0.66, np.pi, 0.50), (0.85, 0.0, 0.42)):
        place = segments.lengths[0] * (share + rng.uniform(-0.03, 0.03))
        folds.append(
            Fold(
                arc=place,
                angle=float(np.interp(place, arc, left)) + turn + rng.normal(0.0, 0.2),
                half_span=rng.uniform(1.35, 1.65),
                depth=deep * rng.uniform(0.9, 1.1) * float(segments.radius(np.asarray(place))),
                thickness=rng.uniform(0.0024, 0.0032),
                tilt=rng.normal(0.0, 0.003),
                bow=rng.uniform(0.002, 0.005),
                haustrum=0.010,
            )
        )
    return tuple(folds)


def crest(fold: Fold, angle: Array) -> tuple[Array, Array]:
    """Return where the crest of a fold runs [m], and its height over that of its middle, at angles about the lumen."""
    share = (np.remainder(angle - fold.angle + np.pi, 2 * np.pi) - np.pi) / fold.half_span
    # The free edge runs nearly straight from end to end, as a chord of a wall that bulges by a tenth between them.
    turn = SECTOR * np.clip(share, -1.0, 1.0)
    height = np.maximum((1.0 + 0.1 * np.cos(3 * turn) - 0.9 * np.cos(SECTOR) / np.cos(turn)) / 0.65, 0.0)
    return fold.arc + fold.tilt * share + fold.bow * share * share, height


def intrusion(folds: tuple[Fold, ...], arc: Array, angle: Array) -> Array:
    """Return how far the folds jut into the lumen [m] at points of the wall.

    Args:
        folds: Any number of them.
        arc: Arc lengths [m], any shape.
        angle: Angles about the lumen [rad], the same shape.
    """
    arc, angle = np.broadcast_arrays(arc, angle)
    shape = arc.shape
    flat_arc, flat_angle = arc.ravel(), angle.ravel()
    order = np.argsort(flat_arc, kind="stable")
    in_order = flat_arc[order]
    power = np.zeros(flat_arc.shape)
    first, last = in_order[0] - REACH, in_order[-1] + REACH
    for fold in (fold for fold in folds if first < fold.arc < last):
        low, high = np.searchsorted(in_order, [fold.arc - REACH, fold.arc + REACH])
        near = order[low:high]
        edge, crescent = crest(fold, flat_angle[near])
        along = flat_arc[near] - edge
        ridge = 0.74 * np.exp(-((along / fold.thickness) ** 2)) + 0.26 * np.exp(-np.abs(along) / fold.haustrum)
        fade = np.clip((REACH - np.abs(along)) / 0.01, 0.0, 1.0)
        power[near] += (fold.depth * crescent * ridge * fade) ** 4
    return np.asarray(np.sqrt(np.sqrt(power))).reshape(shape)


@dataclass(frozen=True)
class Valve:
    """The ileocaecal valve: two lips about a slit, on the medial wall where the caecum begins."""

    arc: float
    """[m]"""
    angle: float
    """[rad]"""
    height: float
    """How far the lips jut into the lumen [m]."""

    def intrusion(self, arc: Array, angle: Array, radius: Array) -> Array:
        """Return how far it juts into the lumen [m]; the valve is 2 to 3 cm wide (Gray's Anatomy, chapter 66)."""
        turn = np.remainder(angle - self.angle + np.pi, 2 * np.pi) - np.pi
        across, along = turn * radius / 0.014, (arc - self.arc) / 0.0085
        lips = self.height * np.exp(-((across**2 + along**2) ** 1.6))
        slit = 0.55 * np.exp(-(((arc - self.arc) / 0.0016) ** 2)) * np.clip(1.2 - np.abs(across), 0.0, 1.0)
        return np.asarray(lips * (1.0 - slit))

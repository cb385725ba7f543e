"""Name the places along a colon's centreline, and refuse a line that does not visit them in order."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from assets.errors import InputError
from assets.lumen.colon_route import ORDER
from assets.lumen.curves import arc_lengths, place

LENGTH_RANGE = (1.2, 1.8)
"""Of a colon from anus to caecum [m]; CT colonography finds 1.2 to 2.5 m with most below 2 m (Khashab et al.,
Gastrointest. Endosc. 69, 2009); beyond 1.8 m a line is more likely to go back and forth."""

RECTUM_RANGE = (0.12, 0.25)
"""Where the rectosigmoid junction is sought, from the anus [m]: rectum of 12 to 15 cm and anal canal of about 4 cm
(Standring, ed., Gray's Anatomy, 41st edition, 2016), and what a bent line adds."""

LEAST_SEGMENT = 0.03
"""A segment shorter than this has been skipped [m]."""

SEGMENTS = ("rectum", "sigmoid", "descending", "transverse", "ascending_and_caecum")
"""What lies between the landmarks of `ORDER`."""

TURN = 0.02
"""How far the descending colon must rise again before its lowest place counts as its end [m]."""


def colon_landmarks(
    points: Float64[np.ndarray, "n 3"],
    label_radius: Float64[np.ndarray, "n"],
    middle: float,
    *,
    iliac_crest: float | None,
    given: Mapping[str, Float64[np.ndarray, "3"]],
) -> dict[str, int]:
    """Find the centreline's point of each landmark of `ORDER`.

    Args:
        points: Centreline from the anus, RAS [m].
        label_radius: Distance to the label's own boundary [m]; the rectosigmoid junction is a narrow place.
        middle: Mid-sagittal plane, x [m].
        iliac_crest: Height z of the left iliac crest [m], where the sigmoid begins; None where it is not known.
        given: Landmarks [m] that a person has told.

    Raises:
        InputError: A segment is skipped, or the whole is too short or too long.
    """
    arc = arc_lengths(points)
    if not LENGTH_RANGE[0] <= arc[-1] <= LENGTH_RANGE[1]:
        raise InputError(
            f"expected a colon of {LENGTH_RANGE[0]} to {LENGTH_RANGE[1]} m, found a centreline of {arc[-1]:.2f} m from "
            f"{place(points[0])} to {place(points[-1])}; a landmark file can tell the way"
        )
    last = len(points) - 1
    left, right = points[:, 0] < middle, points[:, 0] > middle
    found = {"anus": 0, "caecum": last}
    found["splenic_flexure"] = _given_or(given, "splenic_flexure", points, _highest(points, left))
    after = right & (np.arange(len(points)) > found["splenic_flexure"])
    found["hepatic_flexure"] = _given_or(given, "hepatic_flexure", points, _highest(points, after))
    near = (arc >= RECTUM_RANGE[0]) & (arc <= RECTUM_RANGE[1])
    narrow = int(np.argmin(np.where(near, label_radius, np.inf)))
    found["rectosigmoid"] = _given_or(given, "rectosigmoid", points, narrow)
    junction = _descending_end(points, found["splenic_flexure"], iliac_crest)
    found["sigmoid_descending"] = _given_or(given, "sigmoid_descending", points, junction)

    for name, before, following in zip(SEGMENTS, ORDER[:-1], ORDER[1:], strict=True):
        length = arc[found[following]] - arc[found[before]]
        if length < LEAST_SEGMENT:
            raise InputError(
                f"expected {before} before {following} along the colon, found {length * 1e3:.0f} mm of {name} at "
                f"{place(points[found[following]])}; a landmark file can tell where they are"
            )
    return {name: found[name] for name in ORDER}


def _highest(points: NDArray[np.float64], where: NDArray[np.bool_]) -> int:
    return int(np.argmax(np.where(where, points[:, 2], -np.inf)))


def _given_or(given: Mapping[str, NDArray[np.float64]], name: str, points: NDArray[np.float64], found: int) -> int:
    if name not in given:
        return found
    return int(np.argmin(np.linalg.norm(points - given[name], axis=1)))


def _descending_end(points: NDArray[np.float64], splenic: int, iliac_crest: float | None) -> int:
    """Follow the descending colon down from the flexure to the iliac crest, or to where it rises again."""
    lowest = splenic
    for index in range(splenic, -1, -1):
        z = points[index, 2]
        if iliac_crest is not None and z <= iliac_crest:
            return index
        if z < points[lowest, 2]:
            lowest = index
        elif z > points[lowest, 2] + TURN and points[splenic, 2] - points[lowest, 2] > 3 * TURN:
            return lowest
    return lowest

"""The unit and the axes of a set of meshes, told by what is in it where nobody says them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations, product
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from assets.errors import InputError

Unit = Literal["mm", "cm", "m"]
METRES: dict[Unit, float] = {"mm": 1e-3, "cm": 1e-2, "m": 1.0}

LONGEST_MM: dict[str, tuple[float, float]] = {
    "liver": (100, 350), "spleen": (50, 260), "kidney": (60, 180), "stomach": (60, 400), "gallbladder": (25, 170),
    "urinary_bladder": (25, 250), "heart": (70, 230), "pancreas": (60, 260), "duodenum": (60, 320),
    "colon": (120, 800), "small_bowel": (100, 700), "trachea": (60, 220), "aorta": (60, 600), "lung": (60, 400),
    "femur": (80, 560), "hip": (100, 300), "sacrum": (60, 200), "abdominal_wall": (200, 900), "prostate": (20, 120),
    "vertebrae": (25, 160), "inferior_vena_cava": (50, 450), "esophagus": (60, 400),
}  # fmt: skip
"""Least and most of an adult organ's longest side [mm], generously (Gray's Anatomy, 42nd edition)."""

BODY_MM = (5.0, 2500.0)
"""Least and most extent of a set that holds none of these organs [mm]."""

_CM = {
    "liver": (7, 5, 8), "spleen": (-11, -1, 8), "kidney_right": (7, -1, 3), "kidney_left": (-7, -1, 4),
    "stomach": (-5, 7, 8), "gallbladder": (6, 8, 5), "pancreas": (-2, 5, 6), "duodenum": (3, 5, 3),
    "small_bowel": (-1, 6, -5), "urinary_bladder": (0, 4, -16), "prostate": (0, 1, -21), "sacrum": (0, -5, -11),
    "heart": (-2, 8, 20), "lung_upper_lobe_left": (-8, 5, 27), "lung_lower_lobe_left": (-8, -3, 18),
    "lung_upper_lobe_right": (8, 5, 27), "lung_middle_lobe_right": (8, 8, 19), "lung_lower_lobe_right": (8, -3, 18),
    "trachea": (0, 2, 32), "aorta": (-1, 3, 6), "inferior_vena_cava": (2, 4, 5), "vertebrae_L5": (0, 0, -7),
    "vertebrae_L1": (0, -1, 7), "hip_left": (-8, 0, -14), "hip_right": (8, 0, -14), "femur_left": (-10, 0, -20),
    "femur_right": (10, 0, -20), "brain": (0, 2, 60), "abdominal_wall": (0, 13, 0), "rectum": (0, -2, -16),
    "rectum_lumen": (0, -2, -16), "adrenal_gland_right": (3, 2, 9), "adrenal_gland_left": (-5, 2, 9),
    "anus": (0, -3, -24), "caecum": (7, 7, -8), "hepatic_flexure": (8, 4, 3), "splenic_flexure": (-10, 1, 10),
}  # fmt: skip
"""Rough place of a structure's middle, to the right, the front and the head of vertebra L3 [cm]; textbook anatomy."""

_LEAST_COUNT = 5
_PLAIN = ((0.85, 0.2), (0.93, 0.1))
"""Cosine of the best axes, and its lead over the next best, of which one pair is enough; no wrong axes in 3000 draws of
five organs of a labelled CT."""


@dataclass(frozen=True)
class Frame:
    """How the files' coordinates become RAS in metres."""

    unit: Unit
    unit_from: str
    """`option`, `sizes of N organs` or `extent of the set`."""
    axes: str
    """What the files' axes run to, three letters of R or L, A or P, S or I."""
    axes_from: str
    """`option`, `file`, `places of N organs` or `assumed`."""

    @property
    def T_ras_file(self) -> Float64[np.ndarray, "4 4"]:  # noqa: N802
        """Maps coordinates of the file to RAS [m]; a rotation and a scale."""
        T = np.eye(4)
        T[:3, :3] = METRES[self.unit] * axes_matrix(self.axes)
        return T


def axes_matrix(axes: str) -> NDArray[np.float64]:
    """Return the rotation from axes such as `LPS` to RAS, shape (3, 3).

    Raises:
        InputError: The letters are no axes, or make a mirror image.
    """
    rows = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    text = axes.upper()
    if len(text) != 3 or not set(text) <= set(rows) or len({rows[letter][0] for letter in text}) != 3:
        raise InputError(f"expected three letters of R or L, A or P, S or I, such as RAS or LPS, found {axes[:20]!r}")
    matrix = np.zeros((3, 3))
    for column, letter in enumerate(text):
        row, sign = rows[letter]
        matrix[row, column] = sign
    if np.linalg.det(matrix) < 0:
        raise InputError(f"expected right-handed axes, such as RAS, LPS or LSA, found {axes[:20]!r}, a mirror image")
    return matrix


def find_unit(extents: Mapping[str, float], whole: float, given: Unit | None) -> tuple[Unit, str]:
    """Tell the unit of a set.

    Args:
        extents: Longest side of each structure, by label, in the files' unit.
        whole: Longest side of the whole set.
        given: What the user says.

    Returns:
        The unit, and what it was told by.

    Raises:
        InputError: It cannot be told.
    """
    if given is not None:
        return given, "option"
    ranges = [(size, LONGEST_MM[key]) for label, size in extents.items() if (key := _size_key(label))]
    fits = {
        unit: sum(low <= size * METRES[unit] * 1e3 <= high for size, (low, high) in ranges) for unit in get_args(Unit)
    }
    best = max(fits, key=lambda unit: fits[unit])
    if ranges and fits[best] > len(ranges) / 2 and list(fits.values()).count(fits[best]) == 1:
        return best, f"sizes of {len(ranges)} organs"
    low, high = BODY_MM
    if not ranges and low <= whole <= high:
        return "mm", "extent of the set"
    if not ranges and low * 1e-3 <= whole < high * 1e-3:
        return "m", "extent of the set"
    raise InputError(
        f"expected sizes of human organs in millimetres or metres, found a longest side of {whole:.4g} and "
        f"{fits['mm']}, {fits['cm']} and {fits['m']} of {len(ranges)} known organs that would fit in mm, cm and m; "
        "give --units"
    )


def _size_key(label: str) -> str | None:
    """Return the organ of `LONGEST_MM` that a label is, whatever its side, its lobe or its surface."""
    bare = label if label in LONGEST_MM else re.sub(r"_(left|right|wall)$", "", label)
    family = label.partition("_")[0]
    return next((key for key in (bare, family if family in ("lung", "vertebrae") else "") if key in LONGEST_MM), None)


def find_axes(
    centres: Mapping[str, Float64[np.ndarray, "3"]], stated: str | None, given: str | None, *, unit: float
) -> tuple[str, str]:
    """Tell the axes of a set.

    Args:
        centres: Middle of each structure or landmark, by name or label, in the files' coordinates.
        stated: What the files say.
        given: What the user says.
        unit: Metres of the files' unit.

    Returns:
        Three letters, and what they were told by.

    Raises:
        InputError: The user's letters are no axes, or the places of organs contradict the files.
    """
    if given is not None:
        axes_matrix(given)
        return given.upper(), "option"
    known = [name for name in centres if name in _CM]
    guess = _placed(np.array([centres[name] for name in known]).reshape(-1, 3) * unit, known)
    if guess is not None and stated != "LSA" and stated is not None and guess != stated:
        raise InputError(
            f"expected the axes {stated} that the files state, found organs placed as in {guess}; give --axes"
        )
    if guess is not None:
        return guess, f"places of {len(known)} organs"
    return (stated, "file") if stated is not None else ("RAS", "assumed")


def _placed(points: NDArray[np.float64], names: list[str]) -> str | None:
    """Return the axes in which structures lie as they do in a body; None where that is not plain."""
    if len(names) < _LEAST_COUNT:
        return None
    body = np.array([_CM[name] for name in names], dtype=np.float64) * 1e-2
    body, points = body - body.mean(axis=0), points - points.mean(axis=0)
    scale = np.linalg.norm(body) * np.linalg.norm(points)
    if scale == 0:
        return None
    fits = []
    for order in permutations(("RL", "AP", "SI")):
        for axes in ("".join(letters) for letters in product(*order)):
            try:
                fits.append((float((body * (points @ axes_matrix(axes).T)).sum() / scale), axes))
            except InputError:
                continue  # mirror images
    fits.sort(reverse=True)
    plain = any(fits[0][0] >= fit and fits[0][0] - fits[1][0] >= lead for fit, lead in _PLAIN)
    return fits[0][1] if plain else None

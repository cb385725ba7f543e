"""What trachea and bronchi measure, of one patient and over many seeds."""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assets.bronchi.named import SEGMENTAL
from assets.bronchi.synthesis import CARINAS, synthetic_bronchi
from assets.errors import InputError
from assets.patient import Patient
from assets.transforms import unit

Array = NDArray[np.float64]

SCOPES = {"6.0": 0.0060, "4.0": 0.0040}
"""Outer diameters of a bronchoscope for treatment and of a slim one, by their millimetres [m]."""
DEEPEST = 6
"""Last generation that is reported."""
MIDDLE = (0.35, 0.75)
"""Part of a branch that its calibre is measured in: past the bend by which it leaves its parent."""


@dataclass(frozen=True)
class BronchiStatistics:
    """Measures of one patient, by the surface where it says so."""

    sex: str
    trachea_length: float
    """From the upper end to the carina, along the trachea [m]."""
    trachea_width: float
    """Transverse diameter of the surface in the middle of the trachea [m]."""
    trachea_depth: float
    """Anteroposterior diameter of the surface there [m]."""
    left_length: float
    """Left main bronchus, from the carina to the ridge between the lobes' bronchi [m]."""
    right_length: float
    """Right main bronchus, from the carina to the upper lobe's bronchus [m]."""
    right_angle: float
    """Between trachea and right main bronchus [rad]."""
    left_angle: float
    """Between trachea and left main bronchus [rad]."""
    subcarinal_angle: float
    """Between both main bronchi [rad]."""
    calibres: dict[str, float]
    """Of each branch: twice the mean distance of the surface from the centreline [m]."""
    lengths: dict[str, float]
    """Of each branch, from node to node [m]."""
    angles: dict[str, float]
    """Of each branch but the trachea, with its parent [rad]."""
    generations: dict[str, int]
    """Of each branch."""
    reached: dict[str, float]
    """Diameter of the largest ball that runs from the larynx to where a branch begins [m]; of those with a line."""
    entered: dict[str, float]
    """The same to the middle of the branch [m]."""


def bronchi_statistics(patient: Patient) -> BronchiStatistics:
    """Measure a patient's bronchi by surface, centrelines, landmarks, and the tree in the lumen's attributes.

    Raises:
        InputError: There is no organ `bronchi_lumen` with a tree, or a landmark is missing.
    """
    lumen = next((organ for organ in patient.organs if organ.name == "bronchi_lumen"), None)
    missing = [name for name in CARINAS if name not in patient.landmarks]
    if lumen is None or "branches" not in lumen.attributes or missing:
        raise InputError(
            "expected the organ bronchi_lumen with its branches, and its landmarks, found none of "
            f"{', '.join(missing) or 'the first'} in patient {patient.name}"
        )
    rows = {row["name"]: row for row in lumen.attributes["branches"]}
    starts = {name: np.array(row["start"]) for name, row in rows.items()}
    ends = {name: np.array(row["end"]) for name, row in rows.items()}
    ways = {name: unit(ends[name] - starts[name]) for name in rows}
    points = np.unique(np.concatenate([line.points for line in patient.centrelines]), axis=0)
    marks, down = patient.landmarks, ways["trachea"]
    width, depth = _section(patient, lumen.surface.vertices.astype(np.float64), down)
    right = ways["right_main"]
    opening = rows["right_upper_lobe"]["diameter"] / np.sin(_angle(right, ways["right_upper_lobe"]))
    return BronchiStatistics(
        sex=str(lumen.attributes["sex"]),
        trachea_length=float((marks["carina"] - marks["larynx"]) @ down),
        trachea_width=width,
        trachea_depth=depth,
        left_length=float((marks["LC2"] - marks["carina"]) @ ways["left_main"]),
        right_length=float((marks["RC1"] - marks["carina"]) @ right - opening),
        right_angle=_angle(down, right),
        left_angle=_angle(down, ways["left_main"]),
        subcarinal_angle=_angle(right, ways["left_main"]),
        calibres=_calibres(lumen.surface.vertices.astype(np.float64), points, starts, ends),
        lengths={name: float(np.linalg.norm(ends[name] - starts[name])) for name in rows},
        angles={name: _angle(ways[name], ways[row["parent"]]) for name, row in rows.items() if row["parent"]},
        generations={name: int(row["generation"]) for name, row in rows.items()},
        reached=_balls(patient, starts),
        entered=_balls(patient, {name: (starts[name] + ends[name]) / 2 for name in rows}),
    )


def _angle(one: Array, other: Array) -> float:
    return float(np.arccos(np.clip(one @ other, -1.0, 1.0)))


def _section(patient: Patient, vertices: Array, down: Array) -> tuple[float, float]:
    """Return width and depth of the surface in the middle of the trachea [m]."""
    line = next(line for line in patient.centrelines if line.name == "trachea")
    middle = line.points[len(line.points) // 2]
    near = vertices[np.abs((vertices - middle) @ down) < 0.008]  # rings and gaps
    near = near[np.linalg.norm(near - middle, axis=1) < 0.02]
    right = unit(np.array([1.0, 0.0, 0.0]) - down[0] * down)
    return float(np.ptp(near @ right)), float(np.ptp(near @ np.cross(down, right)))


def _calibres(vertices: Array, points: Array, starts: dict[str, Array], ends: dict[str, Array]) -> dict[str, float]:
    """Measure branches in their middles: twice the mean distance of the vertices to which their axis is nearest."""
    names = list(starts)
    owner = np.full(len(points), -1)
    for index, name in enumerate(names):
        axis = ends[name] - starts[name]
        share = (points - starts[name]) @ axis / (axis @ axis)
        off = np.linalg.norm(points - starts[name] - share[:, None] * axis, axis=1)
        owner[(share > MIDDLE[0]) & (share < MIDDLE[1]) & (off < 0.0015)] = index
    distance, nearest = cKDTree(points).query(vertices)
    of = owner[nearest]
    found = {name: distance[of == index] for index, name in enumerate(names)}
    return {name: 2 * float(some.mean()) for name, some in found.items() if len(some) > 12}


def _balls(patient: Patient, places: dict[str, Array]) -> dict[str, float]:
    """Return the diameter of the largest ball that runs along each line to its branch's place [m]."""
    found = {}
    for line in patient.centrelines:
        name = line.name.removeprefix("bronchi_")
        if name in places:
            last = int(np.linalg.norm(line.points - places[name], axis=1).argmin())
            found[name] = 2 * float(line.radius[1 : max(last, 1) + 1].min())
    return found


def spread(seeds: Iterable[int]) -> list[dict[str, Any]]:
    """Measure synthetic bronchi of many seeds.

    Args:
        seeds: Which patients.

    Returns:
        Figures with name, subset, value, unit, low, high, n and how: mean, standard deviation, least and most of each
        measure, the share of bronchi that a scope enters, and the time of the processor that a patient takes.
    """
    seeds = list(seeds)
    rows: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for seed in seeds:
        start = time.process_time()
        patient = synthetic_bronchi(seed)
        rows["cpu_time", "s", "time of the processor, one patient"].append(time.process_time() - start)
        for key, value in _rows(bronchi_statistics(patient)):
            rows[key].append(value)
    subset = f"synth:bronchi:{seeds[0]}-{seeds[-1]}" if seeds else "none"
    figures = []
    for (name, measure, how), values in rows.items():
        data = np.array(values)
        deviation = float(data.std(ddof=1)) if len(data) > 1 else 0.0
        for what, value in (("mean", data.mean()), ("sd", deviation), ("min", data.min()), ("max", data.max())):
            figures.append(
                {
                    "name": f"anatomy.bronchi.{name}.{what}",
                    "subset": subset,
                    "value": float(value),
                    "unit": measure,
                    "low": None,
                    "high": None,
                    "n": len(data),
                    "how": how,
                }
            )
    return figures


def _rows(found: BronchiStatistics) -> list[tuple[tuple[str, str, str], float]]:
    """Return name, unit and explanation of every measure, with its value in one patient."""
    sex = found.sex
    rows: list[tuple[tuple[str, str, str], float]] = [
        ((f"trachea_length.{sex}", "m", "upper end to carina"), found.trachea_length),
        ((f"trachea_width.{sex}", "m", "of the surface, in the middle"), found.trachea_width),
        ((f"trachea_depth.{sex}", "m", "of the surface, in the middle"), found.trachea_depth),
        (("left_main_length", "m", "carina to LC2"), found.left_length),
        (("right_main_length", "m", "carina to the upper lobe's bronchus"), found.right_length),
        (("right_angle", "rad", "trachea to right main bronchus"), found.right_angle),
        (("left_angle", "rad", "trachea to left main bronchus"), found.left_angle),
        (("subcarinal_angle", "rad", "between the main bronchi"), found.subcarinal_angle),
        (("branches", "1", "count"), float(len(found.lengths))),
    ]
    for generation in range(1, DEEPEST + 1):
        names = [name for name, own in found.generations.items() if own == generation]
        calibres = [found.calibres[name] for name in names if name in found.calibres]
        for what, unit_, values, how in (
            ("calibre", "m", calibres, "twice the mean distance of the wall, mean of the branches"),
            ("length", "m", [found.lengths[name] for name in names], "node to node, mean of the branches"),
            ("angle", "rad", [found.angles[name] for name in names], "with the parent, mean of the branches"),
        ):
            rows.append(((f"generation_{generation}.{what}", unit_, how), float(np.mean(values))))
    segmental = [name for name in SEGMENTAL if name in found.entered]
    for words, scope in SCOPES.items():
        for what, balls_of in (("reached", found.reached), ("entered", found.entered)):
            share = float(np.mean([balls_of[name] > scope for name in segmental]))
            rows.append(((f"segmental_{what}_{words}mm.{sex}", "1", "share of the segmental bronchi"), share))
        for generation in range(4, DEEPEST + 1):
            balls = [ball for name, ball in found.entered.items() if found.generations[name] == generation]
            if balls:
                how = "share of the bronchi with a line of their own"
                key = f"generation_{generation}_entered_{words}mm.{sex}"
                rows.append(((key, "1", how), float(np.mean(np.array(balls) > scope))))
    return rows

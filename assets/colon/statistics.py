"""What a colon measures: lengths, calibres and tortuosity, of one patient and over many seeds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assets.colon.segments import SEGMENTS
from assets.colon.synthesis import synthetic_colon
from assets.errors import InputError
from assets.mesh import Mesh
from assets.patient import Patient
from assets.transforms import unit

Array = NDArray[np.float64]

LANDMARKS = ("rectosigmoid", "sigmoid_descending", "splenic_flexure", "hepatic_flexure", "ileocaecal")
"""Where the segments meet, from the rectum on; a patient without an ileocaecal valve has no caecum of its own."""
WINDOW = 0.10
"""Distance along the bowel between the two directions that a bend is measured by [m]."""
SHARP = np.pi / 2
"""Turn within the window that makes a bend count as a flexure [rad]."""


@dataclass(frozen=True)
class ColonStatistics:
    """Measures of one colon along its centreline, which ends in the middle of the caecum."""

    length: float
    """From the anus to the end of the centreline [m]."""
    segment_lengths: dict[str, float]
    """[m]"""
    calibres: dict[str, float]
    """Mean diameter of each segment: twice the mean distance of its wall from the centreline [m]."""
    calibre: float
    """The same of the whole [m]."""
    passage: float
    """Diameter of the largest ball that runs along the whole centreline [m]."""
    tortuosity: float
    """Length over the distance between both ends."""
    sigmoid_tortuosity: float
    """The same of the sigmoid alone."""
    flexures: int
    """Bends in which the bowel turns by more than 90 degrees within 10 cm."""
    sharpest: float
    """Least radius of a bend [m]."""


def colon_statistics(patient: Patient) -> ColonStatistics:
    """Measure a patient's colon by its surface, centreline and landmarks.

    Raises:
        InputError: There is no centreline `colon`, no organ `colon_lumen`, or a landmark is missing.
    """
    line = next((line for line in patient.centrelines if line.name == "colon"), None)
    lumen = next((organ for organ in patient.organs if organ.name == "colon_lumen"), None)
    missing = [name for name in LANDMARKS[:4] if name not in patient.landmarks]
    if line is None or lumen is None or missing:
        raise InputError(
            "expected the centreline colon, the organ colon_lumen and its landmarks, found none of "
            f"{', '.join(missing) or 'the first two'} in patient {patient.name}"
        )
    points = line.points
    step = np.linalg.norm(np.diff(points, axis=0), axis=1)
    arc = np.concatenate([[0.0], np.cumsum(step)])
    tree = cKDTree(points)
    marks = [int(tree.query(patient.landmarks[name])[1]) for name in LANDMARKS if name in patient.landmarks]
    ends = [0, *np.maximum.accumulate(marks), len(points) - 1]
    names = [segment.name for segment in SEGMENTS][: len(ends) - 1]
    distance, weight, nearest = _wall_distances(lumen.surface, tree)
    calibres, lengths = {}, {}
    for name, first, last in zip(names, ends[:-1], ends[1:], strict=True):
        of = (nearest >= first) & (nearest <= last) & (nearest > 1)
        calibres[name] = 2 * float(np.average(distance[of], weights=weight[of])) if of.any() else float("nan")
        lengths[name] = float(arc[last] - arc[first])
    sigmoid = float(np.linalg.norm(points[ends[2]] - points[ends[1]]))
    turn, bend = _bends(points, float(step.mean()))
    return ColonStatistics(
        length=float(arc[-1]),
        segment_lengths=lengths,
        calibres=calibres,
        calibre=2 * float(np.average(distance, weights=weight)),
        passage=2 * float(line.radius[1:].min()),
        tortuosity=float(arc[-1] / np.linalg.norm(points[-1] - points[0])),
        sigmoid_tortuosity=lengths["sigmoid"] / max(sigmoid, 1e-6),
        flexures=_count_runs(turn > SHARP),
        sharpest=bend,
    )


def _wall_distances(surface: Mesh, tree: cKDTree) -> tuple[Array, Array, NDArray[np.intp]]:
    """Return distance to the centreline, area and nearest centreline point of each triangle's middle."""
    corners = surface.vertices.astype(np.float64)[surface.triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    distance, nearest = tree.query(corners.mean(axis=1))
    return distance, area, nearest


def _bends(points: Array, step: float) -> tuple[Array, float]:
    """Return the turn of the direction over each window [rad], and the least radius of a bend [m]."""
    width = min(max(1, round(WINDOW / step)), len(points) - 1)
    direction = unit(np.gradient(points, axis=0))
    cosine = np.einsum("ij,ij->i", direction[:-width], direction[width:])
    small = max(1, round(0.012 / step))  # the circle through three points 12 mm apart
    a, b, c = points[: -2 * small], points[small:-small], points[2 * small :]
    sides = [np.linalg.norm(x, axis=1) for x in (b - a, c - b, c - a)]
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    radius = sides[0] * sides[1] * sides[2] / np.maximum(4 * area, 1e-12)
    return np.arccos(np.clip(cosine, -1.0, 1.0)), float(radius.min())


def _count_runs(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask[1:] & ~mask[:-1]) + int(mask[0]))


def spread(seeds: Iterable[int]) -> list[dict[str, Any]]:
    """Measure synthetic colons of many seeds.

    Args:
        seeds: Which patients.

    Returns:
        Figures with name, subset, value, unit, low, high, n and how: mean, standard deviation, least and most of each
        measure, and the count of polyps of each Paris class.
    """
    rows: dict[tuple[str, str, str], list[float]] = {}
    paris: dict[str, int] = {}
    seeds = list(seeds)
    for seed in seeds:
        patient = synthetic_colon(seed)
        found = colon_statistics(patient)
        measures: dict[tuple[str, str, str], float] = {
            ("length", "m", "centreline from anus to the middle of the caecum"): found.length,
            ("calibre", "m", "twice the mean distance of the wall from the centreline"): found.calibre,
            ("passage", "m", "largest ball that runs along the centreline"): found.passage,
            ("tortuosity", "1", "length over the distance between the ends"): found.tortuosity,
            ("sigmoid_tortuosity", "1", "length over the distance between the ends"): found.sigmoid_tortuosity,
            ("flexures", "1", "turns of more than 90 degrees within 10 cm"): found.flexures,
            ("sharpest_bend", "m", "least radius of the centreline"): found.sharpest,
            ("volume", "m^3", "enclosed by the lumen"): _volume(patient.organs[0].surface),
            ("polyps", "1", "count"): len(patient.organs) - 1,
        }
        for name, length in found.segment_lengths.items():
            measures[f"length_{name}", "m", "centreline"] = length
            measures[f"calibre_{name}", "m", "twice the mean distance of the wall"] = found.calibres[name]
        for key, value in measures.items():
            rows.setdefault(key, []).append(float(value))
        for organ in patient.organs[1:]:
            kind = str(organ.attributes["paris"])
            paris[kind] = paris.get(kind, 0) + 1
            size = organ.attributes["size_mm"] / 1e3
            rows.setdefault(("polyp_size", "m", "diameter, of Ip that of the head"), []).append(size)
    subset = f"synth:colon:{seeds[0]}-{seeds[-1]}" if seeds else "none"
    figures = []
    for (name, measure, how), values in rows.items():
        data = np.array(values)
        deviation = float(data.std(ddof=1)) if len(data) > 1 else 0.0
        for what, value in (("mean", data.mean()), ("sd", deviation), ("min", data.min()), ("max", data.max())):
            figures.append(_figure(f"anatomy.{name}.{what}", subset, float(value), measure, len(data), how))
    total = sum(paris.values())
    for kind, count in sorted(paris.items()):
        figures.append(_figure(f"anatomy.polyps.{kind}", subset, count / total, "1", total, "share of all polyps"))
    return figures


def _figure(name: str, subset: str, value: float, unit: str, count: int, how: str) -> dict[str, Any]:
    return {
        "name": name,
        "subset": subset,
        "value": value,
        "unit": unit,
        "low": None,
        "high": None,
        "n": count,
        "how": how,
    }


def _volume(surface: Mesh) -> float:
    a, b, c = np.moveaxis(surface.vertices.astype(np.float64)[surface.triangles], 1, 0)
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)

"""Measures of synthetic abdomens, to be held against published ones."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from assets.abdomen.contact import contacts
from assets.abdomen.lattice import SPACING, Box
from assets.abdomen.synthesis import Anatomy, draw_anatomy, mesh_anatomy, patient_of
from assets.couinaud import segments_of, turn_about
from assets.patient import Patient

BEHIND = ("kidney_right", "kidney_left", "inferior_vena_cava")
"""Organs behind the peritoneum."""


def abdomen_statistics(patient: Patient) -> dict[tuple[str, str, str], float]:
    """Measure one patient.

    Returns:
        Values by name, unit and how: volumes of organs and gas, measures of the cavity, shares of the segments.
    """
    organs = {organ.name: organ for organ in patient.organs}
    volumes = {name: organ.attributes["volume_ml"] / 1e6 for name, organ in organs.items()}
    wall = organs["abdominal_wall"].surface.vertices
    navel = patient.landmarks["umbilicus"]
    level = wall[np.abs(wall[:, 2] - navel[2]) < 0.012]
    middle = level[np.abs(level[:, 0]) < 0.015]
    apart = [name for name, organ in organs.items() if name not in BEHIND and "within" not in organ.attributes]
    gas = 2 * volumes["abdominal_wall"] - sum(volumes[name] for name in apart)
    result: dict[tuple[str, str, str], float] = {
        (f"volume_{name}", "m^3", "enclosed by the surface"): volume
        for name, volume in volumes.items()
        if "within" not in organs[name].attributes
    }
    result |= {
        ("gas", "m^3", "the cavity less the organs in it, clefts included"): gas,
        ("depth", "m", "on the midline at the umbilicus, from peritoneum to peritoneum"): float(np.ptp(middle[:, 1])),
        ("width", "m", "at the umbilicus' level"): float(np.ptp(level[:, 0])),
        ("height", "m", "from the pelvic inlet to the diaphragm"): float(np.ptp(wall[:, 2])),
        ("lift", "m", "of the wall at the umbilicus by the gas"): float(patient.provenance["lift"]),
        ("small_bowel_length", "m", "centreline"): float(patient.provenance["small_bowel_length"]),
        ("triangles", "1", "of all surfaces"): sum(len(organ.surface.triangles) for organ in patient.organs),
    }
    fundus, pouch = patient.landmarks["gallbladder_fundus"], patient.landmarks["gallbladder_infundibulum"]
    result["fundus_to_infundibulum", "m", "straight"] = float(np.linalg.norm(fundus - pouch))
    for number, share in organs["liver"].attributes["couinaud"]["shares"].items():
        result[f"segment_{number}", "1", "share of the liver"] = share
    return result


def left_of_fissure(patient: Patient, anatomy: Anatomy) -> float:
    """Return the share of the liver that is of segment 4 though it lies left of the umbilical fissure.

    The fissure is taken for the upright plane through the vena cava and the notch of the round ligament.
    """
    box = Box.around(*anatomy.liver.corners, spacing=2 * SPACING)
    points = box.points(np.maximum(anatomy.liver.function(box), anatomy.cavity.function(box)) < 0)
    cava, notch = patient.landmarks["vena_cava"], patient.landmarks["umbilical_fissure"]
    left = turn_about(points, cava) < float(turn_about(notch[None], cava)[0])
    return float(((segments_of(patient).of(points) == 4) & left).mean())


def spread(seeds: Iterable[int], *, most: int = 600) -> list[dict[str, Any]]:
    """Measure synthetic abdomens of many seeds.

    Args:
        seeds: Which patients.
        most: Vertices of each organ at which overlaps and gaps are measured.

    Returns:
        Figures with name, subset, value, unit, low, high, n and how: mean, standard deviation, least and most.
    """
    seeds = list(seeds)
    rows: dict[tuple[str, str, str], list[float]] = {}
    for seed in seeds:
        anatomy = draw_anatomy(np.random.default_rng(seed))
        surfaces = mesh_anatomy(anatomy)
        patient = patient_of(seed, anatomy, surfaces)
        measures = abdomen_statistics(patient)
        beyond = "of the liver is of segment 4 and left of the plane through vena cava and umbilical fissure"
        measures["segment_4_left_of_fissure", "1", beyond] = left_of_fissure(patient, anatomy)
        found = contacts(anatomy.solids, surfaces, np.random.default_rng(seed), most)
        measures["overlap", "m", f"deepest of {most} vertices an organ inside another organ"] = max(
            c.overlap for c in found
        )
        gaps = np.concatenate([contact.gaps for contact in found if contact.name not in ("mesentery", "omentum")])
        measures["gap_median", "m", "of vertices that a neighbour pushed back, fat left out"] = float(np.median(gaps))
        measures["gap_p90", "m", "nine of ten are nearer, fat left out"] = float(np.percentile(gaps, 90))
        for key, value in measures.items():
            rows.setdefault(key, []).append(float(value))
    subset = f"synth:abdomen:{seeds[0]}-{seeds[-1]}" if seeds else "none"
    figures = []
    for (name, unit, how), values in rows.items():
        data = np.array(values)
        deviation = float(data.std(ddof=1)) if len(data) > 1 else 0.0
        for what, value in (("mean", data.mean()), ("sd", deviation), ("min", data.min()), ("max", data.max())):
            figures.append(
                {
                    "name": f"abdomen.{name}.{what}",
                    "subset": subset,
                    "value": float(value),
                    "unit": unit,
                    "low": None,
                    "high": None,
                    "n": len(data),
                    "how": how,
                }
            )
    return figures

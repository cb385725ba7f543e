"""A whole synthetic patient from a seed: trachea and bronchi with centrelines, landmarks and a peripheral lesion."""

from typing import Any

import numpy as np

from assets.bronchi.centrelines import draw_lines, entrance, ridge
from assets.bronchi.clearance import crowd_of
from assets.bronchi.field import Field, lumen_field, mesh_field
from assets.bronchi.growth import grow
from assets.bronchi.measures import Measures, draw_measures
from assets.bronchi.relief import draw_relief
from assets.bronchi.target import draw_target
from assets.bronchi.tree import LEFT_MAIN, RIGHT_MAIN, TRACHEA, Tree, draw_named
from assets.bronchi.tube import Tube, tubes_of
from assets.errors import InputError
from assets.mesh import Mesh
from assets.mesh_check import check_mesh
from assets.patient import Organ, Orifice, Patient

CARINAS = {
    "carina": (RIGHT_MAIN, LEFT_MAIN),
    "RC1": ("right_upper_lobe", "intermediate"),
    "RC2": ("right_middle_lobe", "right_lower_lobe"),
    "LC1": ("left_upper_division", "lingula"),
    "LC2": ("left_upper_lobe", "left_lower_lobe"),
}
"""Ridges that bronchoscopists name, and the bronchi on either side."""
MOST_DRAWS = 200
"""Sets of named bronchi drawn before giving up."""


def synthetic_bronchi(seed: int) -> Patient:
    """Make a patient's trachea and bronchi, supine and at full inspiration.

    Args:
        seed: The same seed gives the same patient.

    Returns:
        A patient with the organs `bronchi_lumen` and `peripheral_target`, the orifice `trachea`, the landmarks
        `larynx`, `carina`, `RC1`, `RC2`, `LC1`, `LC2` and `peripheral_target`, and centrelines from the larynx to every
        bronchus' end. The lumen's attributes hold the tree: name, parent, generation, length, diameter and both ends of
        every branch.

    Raises:
        InputError: The seed is negative.
    """
    if seed < 0:
        raise InputError(f"expected a seed of at least 0, found {seed}")
    rng = np.random.default_rng(seed)
    measures = draw_measures(rng)
    tree, tubes, field, lumen, draws = _draw_fitting(rng, measures)
    lines = draw_lines(tree, tubes, lumen)
    target = draw_target(rng, tree, lines, lumen)
    middle, inwards = entrance(tubes)
    return Patient(
        name=f"bronchi_{seed:04d}",
        source=f"synth:bronchi:{seed}",
        licence="Apache-2.0",
        organs=(
            Organ("bronchi_lumen", "bronchi_wall", "lumen", "airway_mucosa", lumen, _attributes(tree, measures)),
            target,
        ),
        centrelines=lines,
        landmarks={
            "larynx": middle,
            **{name: ridge(field, tubes[one], tubes[other]) for name, (one, other) in CARINAS.items()},
            "peripheral_target": target.surface.vertices.astype(np.float64).mean(axis=0),
        },
        orifices=(Orifice("trachea", "bronchi_lumen", middle, inwards, float(tubes[TRACHEA].radius[0])),),
        provenance={"anatomy": "bronchi", "seed": seed, "trees_drawn": draws},
    )


def _draw_fitting(rng: np.random.Generator, measures: Measures) -> tuple[Tree, dict[str, Tube], Field, Mesh, int]:
    """Draw trees until one's bronchi keep apart from each other, and its lumen has no handles."""
    for draw in range(1, MOST_DRAWS + 1):
        named = draw_named(rng, measures)
        crowd, clashes = crowd_of(named)
        if clashes:
            continue
        tree = grow(rng, named, crowd)
        tubes = tubes_of(rng, tree, measures)
        field = lumen_field(tubes, {name: draw_relief(rng, tube, measures) for name, tube in tubes.items()})
        lumen = mesh_field(field)
        if len(lumen.triangles) != 2 * len(lumen.vertices) - 4:  # Euler: one closed surface without handles has so many
            continue
        report = check_mesh(lumen)
        if not report.problems and (report.body_count, report.genus) == (1, 0):
            return tree, tubes, field, lumen, draw
    raise AssertionError(f"no tree fits in {MOST_DRAWS} draws")


def _attributes(tree: Tree, measures: Measures) -> dict[str, Any]:
    return {
        "sex": measures.sex,
        "trachea_length": measures.length,
        "trachea_width": measures.width,
        "trachea_depth": measures.depth,
        "trachea_rings": measures.ring_count,
        "right_angle": measures.right_angle,
        "left_angle": measures.left_angle,
        "branches": [
            {
                "name": branch.name,
                "parent": branch.parent,
                "generation": branch.generation,
                "length": round(branch.length, 6),
                "diameter": round(2 * branch.radius, 6),
                "start": branch.start.round(6).tolist(),
                "end": branch.end.round(6).tolist(),
            }
            for branch in tree.values()
        ],
    }

"""The trees inside the liver: portal branches, each named after its Couinaud segment, and the hepatic veins."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from assets.abdomen.branches import BELOW, Branch, branch_of, pulled
from assets.abdomen.cavity import Cavity
from assets.abdomen.gut import Tube
from assets.abdomen.lattice import SPACING, Array, Box, sample
from assets.abdomen.liver import Liver
from assets.abdomen.solids import Solid, reach_of
from assets.abdomen.territories import draw_shares, grow
from assets.transforms import unit

# Courses in the template of assets/abdomen/liver.py [m], from the porta hepatis outwards. The right branch parts into
# an anterior and a posterior one, each with an upper and a lower segment; the left one runs across, then turns forwards
# in the umbilical fissure (Gray's Anatomy, 41st edition, chapter 67; Couinaud, Le foie, Masson, 1957).
SPLIT = np.array([0.021, -0.022, 0.100])
RIGHT = np.array([0.036, -0.022, 0.104])
ANTERIOR = np.array([0.050, 0.000, 0.102])
POSTERIOR = np.array([0.062, -0.042, 0.096])
ACROSS = np.array([0.002, -0.012, 0.106])
UMBILICAL = np.array([-0.018, 0.010, 0.112])
COURSES: dict[int, Array] = {
    1: np.array([[0.012, -0.020, 0.104], [0.009, -0.032, 0.107], [0.008, -0.038, 0.110]]),
    2: np.array([UMBILICAL, [-0.044, -0.014, 0.126], [-0.068, -0.024, 0.134]]),
    3: np.array([[-0.020, 0.022, 0.112], [-0.040, 0.026, 0.114], [-0.066, 0.028, 0.118]]),
    4: np.array([[-0.017, 0.020, 0.112], [0.006, 0.024, 0.116], [0.018, 0.034, 0.134]]),
    5: np.array([ANTERIOR, [0.062, 0.024, 0.080], [0.084, 0.028, 0.060]]),
    6: np.array([POSTERIOR, [0.092, -0.054, 0.064], [0.106, -0.050, 0.046]]),
    7: np.array([POSTERIOR, [0.086, -0.048, 0.106], [0.096, -0.046, 0.132]]),
    8: np.array([ANTERIOR, [0.064, 0.000, 0.122], [0.076, -0.002, 0.146]]),
}
VEINS: dict[str, Array] = {
    "right": np.array([[0.024, -0.042, 0.166], [0.052, -0.024, 0.146], [0.082, 0.000, 0.106], [0.094, 0.022, 0.070]]),
    "middle": np.array([[0.022, -0.034, 0.168], [0.026, -0.006, 0.146], [0.034, 0.022, 0.114], [0.038, 0.038, 0.092]]),
    "left": np.array([[0.014, -0.034, 0.168], [-0.004, -0.010, 0.150], [-0.030, 0.012, 0.134], [-0.056, 0.020, 0.126]]),
}
"""From the vena cava outwards: between the segments 6, 7 and 5, 8; 4 and 5, 8; 2 and 3."""
BETWEEN = {"right": ((5, 8), (6, 7)), "middle": ((4,), (5, 8))}
"""Segments on either side of a hepatic vein, in whose border it runs."""
PORTAL_RADII = (0.0055, 0.0034, 0.0017)
"""First branches, at the root and the end of a segment's branch [m]: right 8 to 9, left 7 to 8 mm wide at CT."""
VEIN_RADII = (0.0050, 0.0018)
"""Hepatic veins at the cava and at their ends [m]: 8 to 10 mm wide near the cava (Gray's Anatomy, chapter 67)."""
ROUNDS = 4
"""How often a hepatic vein is drawn below the capsule and off the portal branches in turn."""
MOUTH = 0.3
"""Share of a hepatic vein, from the vena cava on, that may leave the liver; chosen."""


@dataclass(frozen=True)
class Vessels:
    """Both trees of one liver."""

    portal: tuple[Branch, ...]
    """The first branches, then those of the segments, named `portal_segment_N_K`."""
    fine: tuple[Branch, ...]
    """Portal twigs that are too slim to be drawn, named likewise."""
    veins: tuple[Branch, ...]
    """`hepatic_vein_right`, `_middle`, `_left`, and their tributaries `_K`."""

    def solids(self, trunk: Tube) -> tuple[Solid, ...]:
        """Return the portal vein with its trunk outside of the liver, and each hepatic vein; they lie in the liver."""
        parts = [Tube(branch.points, branch.radii) for branch in self.portal]
        points = np.concatenate([trunk.points, *(part.points for part in parts)])
        radii = np.concatenate([trunk.radii, *(part.radii for part in parts)])
        fine: dict[str, Any] = {"spacing": SPACING / 2, "within": ("liver",), "rounding": 0.0006}
        portal = Tube(points, radii).solid("portal_vein", "vessel", label="portal_vein_and_splenic_vein", **fine)
        veins = (
            Tube(vein.points, vein.radii).solid(vein.name, "vessel", label="hepatic_vein", **fine)
            for vein in self.veins
        )
        return (portal, *veins)


def seen(branch: Branch, cavity: Cavity) -> Branch:
    """Return the part of a branch within the peritoneal cavity: hepatic veins begin in the vena cava, behind it."""
    box = Box.around(*reach_of(branch.points, branch.radii), spacing=SPACING)
    first = int(np.argmax(sample(box, cavity.function(box), branch.points) < -branch.radii))
    return Branch(branch.name, branch.points[first:], branch.radii[first:])


def draw_vessels(rng: np.random.Generator, liver: Liver, cavity: Cavity, trunk: Tube) -> Vessels:
    """Grow both trees into one patient's liver."""
    box = Box.around(*liver.corners, spacing=2 * SPACING)
    depth = -np.maximum(liver.function(box), cavity.function(box))  # positive inside
    split = liver.place(SPLIT)

    def put(template: Array, deviation: float) -> Array:
        points = template.copy()
        left = points[:, 0] < 0
        points[left, 0] *= liver.left_reach
        points = liver.place(points) + rng.normal(0.0, deviation, points.shape)
        return pulled(box, depth, points)

    size = liver.factor * float(liver.body.scale.mean())
    first, second, last = (radius * size for radius in PORTAL_RADII)
    joints = {
        name: put(point[None], 0.0012)[0]
        for name, point in (
            ("right", RIGHT),
            ("anterior", ANTERIOR),
            ("posterior", POSTERIOR),
            ("across", ACROSS),
            ("umbilical", UMBILICAL),
        )
    }
    trunk_end = trunk.points[-1]
    stems = [
        branch_of(
            "portal_left",
            [trunk_end, split, joints["across"], joints["umbilical"], put(COURSES[3][:1], 0.0)[0]],
            first,
            second,
        ),
        branch_of("portal_right", [trunk_end, split, joints["right"]], first, first),
        branch_of("portal_anterior", [joints["right"], joints["anterior"]], first * 0.9, second),
        branch_of("portal_posterior", [joints["right"], joints["posterior"]], first * 0.85, second),
    ]
    main = {}
    roots = {5: "anterior", 8: "anterior", 6: "posterior", 7: "posterior", 2: "umbilical"}
    for number, course in COURSES.items():
        nodes = put(course, 0.0025)
        if number in roots:
            nodes[0] = joints[roots[number]]
        else:
            stem = stems[0].points
            nodes[0] = stem[int(np.argmin(np.linalg.norm(stem - put(course[:1], 0.0), axis=1)))]
        slim = 0.6 if number == 1 else 1.0
        main[number] = branch_of(f"portal_segment_{number}_0", list(nodes), slim * second, last)
    twigs, fine = grow(rng, box, depth, main, draw_shares(rng))
    portal = (*stems, *main.values(), *twigs)
    tree = cKDTree(np.concatenate([branch.points for branch in portal]))
    reach = np.concatenate([branch.radii for branch in portal])
    near = {number: [branch.points] for number, branch in main.items()}
    for twig in (*twigs, *fine):
        near[int(twig.name.split("_")[2])].append(twig.points)
    veins = []
    for name, course in VEINS.items():
        nodes = put(course, 0.002)
        nodes[0] = liver.place(course[:1])[0]
        branch = branch_of(f"hepatic_vein_{name}", list(nodes), VEIN_RADII[0] * size, VEIN_RADII[1] * size)
        if name in BETWEEN:
            one, other = (cKDTree(np.concatenate([p for n in side for p in near[n]])) for side in BETWEEN[name])
            branch = _between(branch, one, other)
        # The mouth leaves the liver for the vena cava; what lies beyond it stays below the capsule.
        least = np.where(np.linspace(0.0, 1.0, len(branch.points)) > MOUTH, branch.radii + BELOW, -np.inf)
        for _ in range(ROUNDS):
            branch = _apart(replace(branch, points=pulled(box, depth, branch.points, least)), tree, reach)
        # What is still too shallow is left out, of the outer half: nearer to the mouth the vein is needed whole.
        deep = (sample(box, depth, branch.points) >= least - BELOW / 2) | (np.arange(len(least)) < len(least) // 2)
        veins.append(branch if deep.all() else branch.until(int(np.argmin(deep))))
    return Vessels(portal, tuple(fine), tuple(veins))


def _between(branch: Branch, one: cKDTree, other: cKDTree) -> Branch:
    """Draw a hepatic vein into the border of two territories: where the nearest branches of both are equally far."""
    points = branch.points.copy()
    free = np.clip(np.linspace(-0.5, 2.5, len(points)), 0.0, 1.0)  # its mouth stays at the vena cava
    for _ in range(30):
        (near, first), (far, second) = one.query(points), other.query(points)
        way = unit(points - one.data[first]) - unit(points - other.data[second])
        points -= (0.4 * free * (near - far) / 2)[:, None] * way / np.maximum((way * way).sum(axis=1) / 2, 0.3)[:, None]
        points[1:-1] += 0.4 * ((points[2:] + points[:-2]) / 2 - points[1:-1])
    return Branch(branch.name, points, branch.radii)


def _apart(branch: Branch, portal: cKDTree, reach: Array) -> Branch:
    """Push a hepatic vein off the portal branches that it would touch."""
    points = branch.points.copy()
    for _ in range(40):
        distance, index = portal.query(points)
        lack = np.maximum(branch.radii + reach[index] + 0.0015 - distance, 0.0)
        lack[0] = 0.0
        points += 0.5 * lack[:, None] * unit(points - portal.data[index])
        points[1:-1] += 0.3 * ((points[2:] + points[:-2]) / 2 - points[1:-1])
    return Branch(branch.name, points, branch.radii)

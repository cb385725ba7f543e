"""The gallbladder in its fossa, the ducts and the arteries of the hepatoduodenal ligament."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assets.abdomen.body import Body
from assets.abdomen.cavity import Cavity
from assets.abdomen.gut import Tube
from assets.abdomen.lattice import SPACING, Array, Box, Field, sample, slopes, volume
from assets.abdomen.liver import Liver
from assets.abdomen.neighbours import competed
from assets.abdomen.solids import Solid, curve
from assets.transforms import unit

LENGTH = (0.075, 0.100)
"""Of the gallbladder [m]: 7 to 10 cm, 3 cm wide (Gray's Anatomy, 41st edition, chapter 68)."""
FUNDUS = (0.008, 0.018)
"""How far the fundus stands out beyond the liver's edge [m]; chosen after pictures of laparoscopy."""
PROFILE = np.array(
    [
        [0.00, 0.0030],
        [0.05, 0.0042],
        [0.13, 0.0088],
        [0.22, 0.0110],
        [0.34, 0.0118],
        [0.60, 0.0148],
        [0.82, 0.0168],
        [0.93, 0.0150],
    ]
)
"""Radius [m] along the axis from neck to fundus, as shares of its length: Hartmann's pouch at 0.15 to 0.25."""
NECK = 0.020
"""Least distance of the neck from the porta hepatis, which leaves room for the cystic duct [m]; chosen."""
VOLUME = 0.040e-3
"""Of a gallbladder of middle length with this profile [m^3]; measured."""
CYSTIC = (0.030, 0.040)
"""Length of the cystic duct [m]: 3 to 4 cm (Gray's Anatomy, chapter 68)."""
CYSTIC_RADIUS = 0.0017
"""[m]: 2 to 3 mm of lumen within a wall of half a millimetre."""
DUCT_RADIUS = 0.0028
"""Common hepatic and common bile duct [m]: 4.1 +- 1.0 mm of lumen (ultrasound of 200 people) within its wall."""
ARTERY_RADIUS = 0.0022
"""Hepatic artery proper [m]: 4 to 5 mm wide."""
TWIG_RADIUS = 0.0011
"""Cystic artery [m]: about 2 mm with its wall."""
PORTAL_RADIUS = 0.0072
"""Main portal vein [m]: 15.5 +- 1.9 mm in contrast CT of 191 donors (Stamm et al., Abdom. Radiol. 41, 2016), 13 mm as
the usual upper limit at rest: 14.4 mm."""
FINE, FINEST = SPACING / 2, SPACING / 4
"""Spacings that ducts and arteries are meshed at [m]."""


@dataclass(frozen=True)
class Biliary:
    """Gallbladder, ducts and vessels below the liver."""

    gallbladder: Tube
    cystic_duct: Tube
    bile_duct: Tube
    hepatic_artery: Tube
    cystic_artery: Tube
    portal_vein: Tube
    landmarks: dict[str, Array]

    def early(self) -> Solid:
        """Return the gallbladder, which presses its fossa into the liver."""
        return _gallbladder_solid(self.gallbladder)

    def late(self) -> tuple[Solid, ...]:
        """Return ducts and arteries, which give way to the organs that they lead to."""
        fine: dict[str, Any] = {"spacing": FINEST, "rounding": 0.0006}
        return (
            self.cystic_duct.solid("cystic_duct", "gallbladder", **fine),
            self.bile_duct.solid("bile_duct", "gallbladder", **fine),
            self.hepatic_artery.solid("hepatic_artery", "vessel", within=("liver",), **fine),
            self.cystic_artery.solid("cystic_artery", "vessel", **fine),
        )


def _gallbladder_solid(gallbladder: Tube) -> Solid:
    return gallbladder.solid("gallbladder", "gallbladder", spacing=FINE, rounding=0.0015)


def draw_gallbladder(
    rng: np.random.Generator, body: Body, liver: Liver, cavity: Cavity
) -> tuple[Tube, dict[str, Array]]:
    """Lay the gallbladder along the visceral surface, from near the hilum to beyond the liver's edge."""
    box = Box.around(*liver.corners, spacing=SPACING)
    field = liver.function(box)
    down = liver.down
    swing = rng.normal(0.0, 0.06)
    along = np.array([0.50 + swing, 0.84, -0.20])
    along = unit(along - (along @ down) * down)
    # the edge: where the liver ends along this line, a little above its lower face
    steps = np.arange(0.0, 0.16, 0.001)
    probe = liver.hilum + np.array([0.010, 0.0, 0.0]) + steps[:, None] * along - 0.008 * down
    outside = np.flatnonzero((sample(box, field, probe) > 0) & (steps > 0.03))
    edge = float(steps[outside[0]]) if len(outside) else 0.11
    length = float(rng.uniform(*LENGTH)) * float(body.scale.prod() ** (1 / 3))
    share, radius = PROFILE.T
    tip = edge + float(rng.uniform(*FUNDUS)) - PROFILE[-1, 1]
    length = min(length, (tip - NECK) / PROFILE[-1, 0])
    factor = float(np.sqrt(body.volumes["gallbladder"] / (VOLUME * length / 0.0875)))
    places = tip - length * (PROFILE[-1, 0] - share)
    axis = liver.hilum + np.array([0.010, 0.0, 0.0]) + places[:, None] * along
    # each ball sinks a third of its width into the visceral surface
    depth = np.array([_surface_along(box, field, point, down) for point in axis])
    inner = places < edge - 0.012
    depth = np.where(inner, depth, depth[inner][-1] if inner.any() else 0.0)
    depth = np.convolve(np.pad(depth, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    droop = 0.010 * np.clip((share - 0.7) / 0.3, 0, 1) ** 2
    axis = axis + (depth + 0.30 * factor * radius + droop)[:, None] * down
    side = unit(np.cross(down, along))
    axis[1:5] += np.outer([0.002, 0.004, 0.003, 0.001], -np.sign(side[0]) * side)
    line = curve(np.column_stack([axis, factor * radius]), 0.002)
    gallbladder = Tube(line[:, :3], line[:, 3])
    for _ in range(3):
        solid = _gallbladder_solid(gallbladder)
        share_of = volume(solid.box, competed(solid, cavity.function, [])) / body.volumes["gallbladder"]
        gallbladder = Tube(gallbladder.points, gallbladder.radii * share_of**-0.45)
    last = gallbladder.points[-1] + gallbladder.radii[-1] * unit(gallbladder.points[-1] - gallbladder.points[-4])
    pouch = int(np.argmin(np.abs(line[:, 3][: len(line) // 3] - factor * 0.0110)))
    marks = {"gallbladder_fundus": last, "gallbladder_infundibulum": gallbladder.points[pouch].copy()}
    return gallbladder, marks


def _surface_along(box: Box, field: Field, point: Array, down: Array) -> float:
    """Return how far the liver's lower face lies from a point along `down` [m]."""
    steps = np.arange(-0.02, 0.025, 0.0005)
    values = sample(box, field, point + steps[:, None] * down)
    inside = np.flatnonzero(values < 0)
    return float(steps[inside[-1]]) if len(inside) else 0.0


def draw_biliary(
    rng: np.random.Generator,
    body: Body,
    liver: Liver,
    gallbladder: Tube,
    marks: dict[str, Array],
    obstacles: Sequence[Solid],
) -> Biliary:
    """Draw ducts and arteries about the porta hepatis, clear of the organs that they pass.

    Args:
        rng: Of the patient.
        body: Its size.
        liver: Its liver.
        gallbladder: From `draw_gallbladder`.
        marks: Its landmarks.
        obstacles: Organs that ducts and vessels go round.
    """
    hilum = liver.hilum

    def at(x: float, y: float, z: float, deviation: float = 0.001) -> Array:
        return hilum + np.array([x, y, z]) * float(body.scale.mean()) + rng.normal(0.0, deviation, 3)

    neck = gallbladder.points[0]
    out = unit(gallbladder.points[0] - gallbladder.points[4])
    top = at(0.002, 0.006, 0.002)
    join = at(0.008, 0.002, -0.024)
    papilla = body.place(np.array([0.042, -0.034, 0.018]))
    ducts = np.stack([top, at(0.005, 0.005, -0.010), join, body.place(np.array([0.029, -0.034, 0.050])), papilla])
    wave = unit(np.cross(out, np.array([0.0, 0.0, 1.0])))
    bend = neck + 0.008 * out
    middle = (bend + join) / 2
    long = float(rng.uniform(*CYSTIC))
    swing = 0.30 * np.sqrt(max(long**2 - float(np.linalg.norm(join - neck)) ** 2, 0.004**2))
    duct = np.stack([neck, bend, (bend + middle) / 2 + swing * wave, (middle + join) / 2 - swing * wave, join])
    portal = np.stack(
        [
            body.place(np.array([0.004, -0.042, 0.040])),
            at(-0.004, -0.012, -0.022),
            at(0.0, -0.009, -0.008),
            at(0.001, -0.004, 0.006),
        ]
    )
    artery = np.stack(
        [
            body.place(np.array([-0.018, -0.040, 0.062])),
            at(-0.010, -0.003, -0.022),
            at(-0.007, 0.003, -0.008),
            at(-0.004, 0.005, 0.006),
        ]
    )
    origin = artery[2]
    pouch = marks["gallbladder_infundibulum"]
    wall = pouch + (float(gallbladder.radii.max()) * 0.55) * unit(
        np.cross(gallbladder.points[6] - gallbladder.points[0], liver.down)
    )
    twig = np.stack(
        [origin, at(0.003, 0.011, -0.004), (at(0.008, 0.010, -0.006) + wall) / 2 - 0.002 * liver.down, wall]
    )
    box = Box.around(hilum - np.array([0.06, 0.06, 0.09]), hilum + np.array([0.07, 0.07, 0.03]))
    keep = _union(box, obstacles)

    def route(nodes: Array, radii: Array, free: tuple[int, int]) -> Tube:
        """Run a tube through nodes, push it off what is there already, and count it among that."""
        line = curve(np.column_stack([nodes, radii]), 0.0012)
        points = line[:, :3].copy()
        move = np.zeros(len(points))
        move[free[0] : len(points) - free[1]] = 1.0
        for _ in range(40):
            excess = np.maximum(line[:, 3] + 0.0012 - sample(box, keep, points), 0.0) * move
            slope = slopes(box, keep, points)
            points += 0.7 * excess[:, None] * slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 0.3) ** 2
            points[1:-1] += 0.25 * ((points[2:] + points[:-2]) / 2 - points[1:-1])
        result = Tube(points, line[:, 3])
        np.minimum(keep, result.function(box), out=keep)
        return result

    size = float(body.scale.prod() ** (1 / 3))
    vein = route(portal, np.full(len(portal), PORTAL_RADIUS * size * rng.uniform(0.92, 1.08)), (0, 12))
    bile = route(ducts, np.full(len(ducts), DUCT_RADIUS * size), (3, 8))
    cystic = route(duct, np.full(len(duct), CYSTIC_RADIUS), (5, 4))
    supply = route(artery, np.linspace(ARTERY_RADIUS, 0.0018, len(artery)) * size, (0, 3))
    branch = route(twig, np.full(len(twig), TWIG_RADIUS), (2, 3))
    marks = marks | {"cystic_duct": cystic.points[len(cystic.points) // 2].copy(), "porta_hepatis": hilum.copy()}
    return Biliary(gallbladder, cystic, bile, supply, branch, vein, marks)


def _union(box: Box, solids: Sequence[Solid]) -> Field:
    """Return the field of all obstacles together, far positive in the open."""
    union = np.full(box.shape, 0.03, np.float32)
    for solid in solids:
        np.minimum(union, solid.function(box), out=union)
    return union

"""Stomach, duodenum, pancreas, spleen and the frame of the colon: balls of varying size along smooth curves."""

from dataclasses import dataclass, replace

import numpy as np

from assets.abdomen.body import Body
from assets.abdomen.cavity import Cavity
from assets.abdomen.lattice import SPACING, Array, Box, Field, volume
from assets.abdomen.liver import Liver
from assets.abdomen.neighbours import competed
from assets.abdomen.solids import Ripple, Solid, curve, ellipsoid, reach_of, smooth_max, smooth_min, tube
from assets.transforms import unit

STEP = 0.0025
"""Distance of the balls along a tube [m]."""

# The template: positions in RAS axes about the middle of the abdomen, and radii [m].
# Stomach empty: a J from the cardia left of the midline over the fundus under the left dome to the pylorus at the
# transpyloric plane (Gray's Anatomy, 41st edition, chapter 65).
STOMACH = np.array(
    [
        [-0.064, -0.038, 0.140, 0.0290],
        [-0.072, -0.022, 0.118, 0.0350],
        [-0.070, -0.004, 0.090, 0.0335],
        [-0.056, 0.008, 0.064, 0.0285],
        [-0.036, 0.020, 0.044, 0.0240],
        [-0.010, 0.020, 0.036, 0.0205],
        [0.010, 0.010, 0.038, 0.0150],
        [0.020, 0.002, 0.043, 0.0115],
    ]
)
CARDIA = np.array([[-0.052, -0.034, 0.128, 0.015], [-0.036, -0.042, 0.140, 0.0105], [-0.026, -0.046, 0.158, 0.0090]])
"""From the body of the stomach to the hiatus: the abdominal oesophagus."""
STOMACH_VOLUME = 0.35e-3
"""Of the template [m^3]; measured."""
# Duodenum: 25 cm in a C about the head of the pancreas, 24.8 mm wide (MR enterography, Cronin et al., Eur. J. Radiol.).
DUODENUM = np.array(
    [
        [0.031, -0.004, 0.047, 0.0125],
        [0.043, -0.019, 0.048, 0.0125],
        [0.051, -0.030, 0.036, 0.0125],
        [0.052, -0.034, 0.012, 0.0120],
        [0.047, -0.035, -0.008, 0.0120],
        [0.028, -0.034, -0.022, 0.0120],
        [0.000, -0.034, -0.018, 0.0115],
        [-0.018, -0.034, -0.004, 0.0115],
        [-0.027, -0.028, 0.014, 0.0115],
    ]
)
PANCREAS = np.array(
    [
        [0.032, -0.034, 0.002, 0.0120],
        [0.026, -0.032, 0.024, 0.0130],
        [0.006, -0.028, 0.038, 0.0100],
        [-0.020, -0.030, 0.048, 0.0105],
        [-0.050, -0.042, 0.060, 0.0105],
        [-0.078, -0.054, 0.070, 0.0080],
    ]
)
PANCREAS_VOLUME = 0.060e-3
"""Of the template [m^3]; measured."""
OVER_PANCREAS = ("stomach", "spleen", "colon", "duodenum")
"""What the pancreas gives way to, besides the liver."""
SPLEEN = np.array([-0.092, -0.038, 0.096])
SPLEEN_RADII = np.array([0.0235, 0.0365, 0.0530])
SPLEEN_VOLUME = 0.11e-3
"""Of the template [m^3]; measured."""
# Colon not distended: ascending 203, transverse 198, descending 160 ml fasting (MRI of 75 volunteers, Pritchard et al.,
# Neurogastroenterol. Motil. 26, 2014, doi:10.1111/nmo.12243).
COLON = np.array(
    [
        [0.004, -0.052, -0.164, 0.0155],
        [0.012, -0.034, -0.146, 0.0150],
        [-0.018, -0.014, -0.136, 0.0140],
        [-0.056, -0.020, -0.140, 0.0135],
        [-0.088, -0.036, -0.118, 0.0135],
        [-0.104, -0.048, -0.080, 0.0145],
        [-0.108, -0.050, -0.030, 0.0150],
        [-0.108, -0.052, 0.024, 0.0150],
        [-0.104, -0.034, 0.066, 0.0160],
        [-0.096, -0.008, 0.054, 0.0170],
        [-0.078, 0.000, 0.012, 0.0175],
        [-0.040, 0.006, -0.016, 0.0180],
        [0.000, 0.008, -0.024, 0.0185],
        [0.042, 0.004, -0.014, 0.0190],
        [0.078, -0.006, 0.010, 0.0195],
        [0.098, -0.020, 0.020, 0.0200],
        [0.105, -0.040, -0.008, 0.0205],
        [0.104, -0.044, -0.044, 0.0220],
        [0.092, -0.036, -0.082, 0.0245],
        [0.084, -0.026, -0.108, 0.0220],
    ]
)
"""From the rectosigmoid to the caecum."""
HAUSTRA = 0.024
"""Distance of neighbouring haustra [m]; chosen after pictures."""


@dataclass(frozen=True)
class Tube:
    """A hollow organ as balls along a curve."""

    points: Array
    """[m], shape (n, 3)."""
    radii: Array
    """[m], shape (n,)."""

    def function(self, box: Box) -> Field:
        """Evaluate its field."""
        return tube(box, self.points, self.radii)

    def solid(
        self,
        name: str,
        material: str,
        *,
        label: str | None = None,
        spacing: float = SPACING,
        within: tuple[str, ...] = (),
        rounding: float = 0.003,
    ) -> Solid:
        """Give it a name, which is its label too unless that is given; see `Solid` for the rest."""
        low, high = reach_of(self.points, self.radii)
        return Solid(name, label or name, material, self.function, low, high, spacing, within, rounding)


@dataclass(frozen=True)
class Gut:
    """What lies between liver and pelvis, small bowel and fat left out."""

    stomach: Tube
    cardia: Tube
    duodenum: Tube
    pancreas: Tube
    colon: Tube
    spleen: tuple[Array, Array, Array]
    """Centre [m], radii [m], axes."""
    ripple: Ripple

    def stomach_function(self, box: Box) -> Field:
        """Evaluate the stomach with the abdominal oesophagus."""
        body = smooth_min(self.stomach.function(box), self.cardia.function(box), 0.008)
        return body + np.float32(0.0009) * self.ripple(box)

    def pancreas_function(self, box: Box) -> Field:
        """Evaluate the pancreas, whose surface is lobulated."""
        return self.pancreas.function(box) + np.float32(0.0011) * self.ripple(box)

    def spleen_function(self, box: Box) -> Field:
        """Evaluate the spleen: an ellipsoid that the stomach and the kidney hollow out on their side."""
        centre, radii, axes = self.spleen
        body = ellipsoid(box, centre, radii, axes)
        hollow = ellipsoid(box, centre + axes @ (np.array([1.45, 0.35, 0.0]) * radii), radii * [1.0, 1.3, 1.25], axes)
        return smooth_max(body, -hollow, 0.008) + np.float32(0.0006) * self.ripple(box)

    def solids(self) -> tuple[Solid, ...]:
        """Return stomach, spleen, colon, duodenum and pancreas in the order in which they give way."""
        both = np.concatenate([self.stomach.points, self.cardia.points])
        low, high = reach_of(both, np.concatenate([self.stomach.radii, self.cardia.radii]) + 0.003)
        stomach = Solid("stomach", "stomach", "hollow_organ", self.stomach_function, low, high)
        centre, radii, _ = self.spleen
        spleen = Solid("spleen", "spleen", "spleen", self.spleen_function, centre - radii.max(), centre + radii.max())
        low, high = reach_of(self.pancreas.points, self.pancreas.radii + 0.004)
        pancreas = Solid("pancreas", "pancreas", "soft_tissue", self.pancreas_function, low, high)
        return (
            stomach,
            spleen,
            self.colon.solid("colon", "hollow_organ"),
            self.duodenum.solid("duodenum", "hollow_organ"),
            pancreas,
        )


def draw_gut(rng: np.random.Generator, body: Body, cavity: Cavity, liver: Liver) -> Gut:
    """Draw one patient's stomach, spleen, colon, duodenum and pancreas beside the liver.

    Stomach, spleen and pancreas are made as large as gives them the volumes wanted once they have given way.
    """

    def draw(template: Array, deviation: float, factor: float = 1.0) -> Tube:
        nodes = template.copy()
        nodes[:, :3] = body.place(nodes[:, :3] + deviation * np.clip(rng.standard_normal((len(nodes), 3)), -1.8, 1.8))
        nodes[:, 3] *= factor * float(body.scale.prod() ** (1 / 3))
        line = curve(nodes, STEP)
        return Tube(line[:, :3], line[:, 3])

    size = float(body.scale.prod())
    stomach = draw(STOMACH, 0.003, float(np.sqrt(body.volumes["stomach"] / (STOMACH_VOLUME * size))))
    cardia = draw(CARDIA, 0.0015)
    duodenum = draw(DUODENUM, 0.0015)
    pancreas = draw(PANCREAS, 0.002, float(np.sqrt(body.volumes["pancreas"] / (PANCREAS_VOLUME * size))))
    sag = np.zeros_like(COLON)
    sag[9:15, 2] = -np.sin(np.pi * np.arange(1, 7) / 7) * rng.uniform(-0.008, 0.022)
    colon = _haustrated(rng, draw(COLON + sag, 0.003, float(rng.uniform(0.92, 1.10))))
    tilt = rng.uniform(-0.15, 0.15)
    long = unit(np.array([-0.10 + tilt, 0.42, 0.90]))  # along the tenth rib
    across = unit(np.cross(long, np.array([0.55, -0.83, 0.0])))
    axes = np.stack([np.cross(across, long), across, long], axis=1)
    if axes[0, 0] < 0:  # the first axis looks to the stomach, inwards
        axes[:, :2] *= -1.0
    spleen = (body.place(SPLEEN + rng.normal(0.0, 0.003, 3)), body.factor("spleen", SPLEEN_VOLUME) * SPLEEN_RADII, axes)
    gut = Gut(stomach, cardia, duodenum, pancreas, colon, spleen, Ripple.draw(rng, 0.035))
    return _fitted(gut, body, cavity, liver)


def _fitted(gut: Gut, body: Body, cavity: Cavity, liver: Liver) -> Gut:
    """Scale stomach, spleen and pancreas until what their neighbours leave of them has the volumes wanted."""
    first = Solid("liver", "liver", "liver", liver.function, *liver.corners)
    for _ in range(4):
        solids = {solid.name: solid for solid in gut.solids()}

        def share(name: str, *others: str, solids: dict[str, Solid] = solids) -> float:
            spacing = SPACING if name == "pancreas" else 2 * SPACING  # so thin an organ needs the nodes it is meshed at
            solid = replace(solids[name], spacing=spacing)
            # with the gaps and the rounded edges of the meshes, which take a fifth of the pancreas
            left = competed(solid, cavity.function, [first, *(solids[other] for other in others)])
            return volume(solid.box, left) / body.volumes[name]

        stomach, pancreas = gut.stomach, gut.pancreas
        centre, radii, axes = gut.spleen
        gut = replace(
            gut,
            stomach=Tube(stomach.points, stomach.radii * share("stomach") ** -0.5),
            spleen=(centre, radii * share("spleen", "stomach") ** -0.4, axes),
            pancreas=Tube(pancreas.points, pancreas.radii * share("pancreas", *OVER_PANCREAS) ** -0.5),
        )
    return gut


def _haustrated(rng: np.random.Generator, tube_: Tube) -> Tube:
    """Give the colon its haustra: it bulges between folds at irregular distances."""
    arc = np.arange(len(tube_.radii)) * float(np.linalg.norm(tube_.points[1] - tube_.points[0]))
    places = np.cumsum(HAUSTRA * rng.uniform(0.7, 1.35, int(arc[-1] / HAUSTRA / 0.6) + 4))
    phase = np.interp(arc, places, np.arange(len(places)))
    depth = np.interp(arc / arc[-1], [0.0, 0.15, 0.4, 1.0], [0.02, 0.06, 0.15, 0.17])
    bulge = np.abs(np.sin(np.pi * phase)) ** 0.7
    return Tube(tube_.points, tube_.radii * (1.0 + depth * (bulge - 0.6)))

"""The cavity under pneumoperitoneum: domed wall in front, diaphragm above, retroperitoneum behind, pelvis below."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from assets.abdomen.body import Body
from assets.abdomen.lattice import Array, Box, Field
from assets.abdomen.solids import Ripple, Solid, curve, ellipsoid, reach_of, smooth_max, tube

# The template, in RAS axes about the middle of the abdomen [m].
HALF_WIDTH = 0.124
"""As of the abdomen of assets/colon/course.py, less its wall [m]."""
BACK = -0.075
"""Bottom of the paravertebral gutters [m]."""
RESTING = 0.048
"""Inner face of the anterior wall at the umbilicus before insufflation [m]."""
COSTAL = 0.068
"""Inner face of the wall at the costal margin and the xiphoid [m]: ribs do not lift."""
UMBILICUS, XIPHOID, PUBIS = -0.030, 0.125, -0.190
"""Levels on the midline, z [m]; xiphoid to umbilicus 15.5 cm, umbilicus to pubis 16 cm."""
SPINE = np.array([0.0, -0.112])
"""Middle of the vertebral bodies, x and y [m]; as in assets/colon/course.py."""
SPINE_RADIUS = 0.052
"""With the psoas and the great vessels' bed before it [m]."""
DOMES = np.array([[0.068, -0.012, 0.188], [-0.066, -0.018, 0.164]])
"""Tops of the right and left half of the diaphragm [m]; the right one is higher (Gray's Anatomy, 41st ed., ch. 55)."""
FLOOR = -0.166
"""Lowest level: the pelvic inlet with the peritoneum over bladder and rectum [m]."""


@dataclass(frozen=True)
class Cavity:
    """The peritoneal sac with all that lies in it; its surface is the parietal peritoneum."""

    body: Body
    lift: float
    """How far the gas lifts the anterior wall at the umbilicus [m]."""
    ripple: Ripple
    domes: Array
    """Tops of the diaphragm [m], shape (2, 3)."""
    kidneys: tuple[tuple[Array, Array, Array], ...]
    """Centre [m], radii [m] and axes of each kidney, right and left; they lie behind the peritoneum."""
    cava: Array
    """The inferior vena cava from below upwards: positions and radius [m], shape (n, 4)."""

    def front(self, z: Float[np.ndarray, "*n"]) -> Array:
        """Return y of the wall on the midline at levels z [m]."""
        t = np.asarray(z) / self.body.scale[2]
        above = np.clip((t - UMBILICUS) / (XIPHOID + 0.03 - UMBILICUS), 0.0, 1.0)
        below = np.clip((UMBILICUS - t) / (UMBILICUS - PUBIS + 0.015), 0.0, 1.0)
        rest = np.where(t > UMBILICUS, RESTING + (COSTAL - RESTING) * above**1.3, RESTING - 0.026 * below**2)
        # a cylinder before, a dome after: Song et al., Surg. Endosc. 20, 2006, doi:10.1007/s00464-005-0676-6
        dome = np.cos(0.5 * np.pi * np.where(t > UMBILICUS, above, below)) ** 1.1
        return np.asarray(rest * self.body.scale[1] + self.lift * dome)

    def function(self, box: Box) -> Field:
        """Evaluate the field of the cavity."""
        x, y, z = box.axes
        sx, sy, sz = (float(s) for s in self.body.scale)
        level = z / np.float32(sz)
        # broad at the flanks, narrow at the pelvis and under the ribs' arch
        narrow = (
            1.0 - 0.17 * np.clip((-0.08 - level) / 0.12, 0, 1) ** 1.5 - 0.07 * np.clip((level - 0.08) / 0.11, 0, 1) ** 2
        )
        half = np.float32(HALF_WIDTH * sx) * narrow + np.float32(0.10 * self.lift) * np.exp(
            -(((level + 0.02) / 0.08) ** 2)
        )
        front = self.front(z.ravel())[None, None, :].astype(np.float32)
        back = np.float32(BACK * sy)
        middle = 0.45 * front + 0.55 * back
        depth = np.where(y > middle, front - middle, middle - back)
        power = np.float32(2.3)
        reach = (np.abs(x / half) ** power + np.abs((y - middle) / depth) ** power) ** (1.0 / power)
        shell = (reach - 1.0) * np.minimum(half, depth)
        result = smooth_max(shell, self._ceiling(box), 0.035)
        result = smooth_max(result, np.float32(FLOOR * sz) - z + 0 * x + 0 * y, 0.05)
        spine = np.hypot(x - np.float32(SPINE[0] * sx), y - np.float32(SPINE[1] * sy)) - np.float32(SPINE_RADIUS * sy)
        result = smooth_max(result, -(spine + 0 * z), 0.03)
        result = result + np.float32(0.0016) * self.ripple(box)
        for centre, radii, axes in self.kidneys:
            result = smooth_max(result, np.float32(0.0015) - ellipsoid(box, centre, radii, axes), 0.02)
        cava = tube(box, self.cava[:, :3], self.cava[:, 3] + 0.0012)
        return smooth_max(result, -cava, 0.010)

    def _ceiling(self, box: Box) -> Field:
        """Return how far the nodes lie above the diaphragm."""
        x, y, z = box.axes
        s = self.body.scale
        top = np.zeros(1, np.float32)
        for dome, width in zip(self.domes * s, (0.105, 0.098), strict=True):
            across = ((x - np.float32(dome[0])) / np.float32(width * s[0])) ** 2
            along = ((y - np.float32(dome[1])) / np.float32(0.125 * s[1])) ** 2
            cap = np.float32(dome[2]) - np.float32(0.105 * s[2]) * (
                1.0 - np.sqrt(np.maximum(1.0 - 0.9 * (across + along), 0.02))
            )
            top = np.maximum(top, cap) + np.float32(0.25 / 0.03) * np.maximum(0.03 - np.abs(top - cap), 0.0) ** 2
        return np.asarray(z - top, dtype=np.float32) * np.float32(0.85)

    def behind(self) -> tuple[Solid, ...]:
        """Return the organs behind the peritoneum: the kidneys and the vena cava."""
        solids = []
        for name, (centre, radii, axes) in zip(("kidney_right", "kidney_left"), self.kidneys, strict=True):
            reach = np.abs(axes) @ radii + 0.002
            shape = partial(_kidney, centre=centre, radii=radii, axes=axes)
            solids.append(Solid(name, name, "kidney", shape, centre - reach, centre + reach))
        low, high = reach_of(self.cava[:, :3], self.cava[:, 3])
        vein = partial(tube, points=self.cava[:, :3], radii=self.cava[:, 3])
        solids.append(Solid("inferior_vena_cava", "inferior_vena_cava", "vessel", vein, low, high))
        return tuple(solids)

    def solid(self) -> Solid:
        """Return the cavity as something that others stay out of."""
        return Solid("abdominal_wall", "abdominal_wall", "peritoneum", self.function, *self.corners)

    @property
    def corners(self) -> tuple[Array, Array]:
        """Corners of a box about the cavity [m]."""
        s = self.body.scale
        low = np.array([-HALF_WIDTH - 0.015, BACK - 0.01, FLOOR - 0.01]) * s
        high = np.array([HALF_WIDTH + 0.015, COSTAL + 0.01, 0.215]) * s
        high[1] = max(high[1], float(self.front(np.array([UMBILICUS * s[2]]))[0]) + 0.012)
        return low, high


def draw_cavity(rng: np.random.Generator, body: Body, lift: float) -> Cavity:
    """Draw the wall, the kidneys behind it and the vena cava."""
    kidneys = []
    for name, side, level in (("kidney_right", 1.0, 0.012), ("kidney_left", -1.0, 0.026)):
        factor = body.factor(name, 0.166e-3)
        centre = body.place(np.array([side * 0.066, -0.076, level]) + rng.normal(0.0, 0.003, 3))
        tilt = rng.uniform(0.10, 0.24)  # the upper poles lean towards the spine
        turn = rng.uniform(0.25, 0.5)  # and the hila look forwards
        axes = _turn_z(side * turn) @ _turn_y(-side * tilt)
        kidneys.append((centre, factor * np.array([0.031, 0.0235, 0.0545]), axes))
    x = 0.020 + rng.normal(0.0, 0.002)
    nodes = np.array(
        [
            [x - 0.008, -0.058, -0.150, 0.010],
            [x, -0.060, -0.05, 0.0105],
            [x + 0.001, -0.057, 0.05, 0.0115],
            [x + 0.004, -0.050, 0.12, 0.0125],
            [x + 0.003, -0.040, 0.185, 0.0125],
        ]
    )
    nodes[:, :3] = body.place(nodes[:, :3])
    domes = DOMES + rng.normal(0.0, 0.003, (2, 3))
    return Cavity(body, lift, Ripple.draw(rng, 0.12), domes, tuple(kidneys), curve(nodes, 0.002))


def _kidney(box: Box, centre: Array, radii: Array, axes: Array) -> Field:
    """Return a bean: an ellipsoid with the hilum pressed into its inner side."""
    side = -np.sign(centre[0])
    hilum = centre + side * axes[:, 0] * radii[0] * 1.35
    return smooth_max(ellipsoid(box, centre, radii, axes), 0.014 - _ball(box, hilum), 0.012)


def _ball(box: Box, centre: Array) -> Field:
    x, y, z = (axis - np.float32(c) for axis, c in zip(box.axes, centre, strict=True))
    return np.asarray(np.sqrt(x * x + y * y + z * z), dtype=np.float32)


def _turn_z(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _turn_y(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])

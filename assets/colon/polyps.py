"""Polyps of the Paris classification, grown on the wall: sessile (Is), flat (IIa) and pedunculated (Ip)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.spatial import cKDTree

from assets.colon.segments import ANAL_LENGTH
from assets.colon.wall import Wall
from assets.mesh import Mesh
from assets.mesh_check import vertex_normals
from assets.mesh_intersections import self_intersections
from assets.patient import Organ
from assets.transforms import unit

Array = NDArray[np.float64]
Paris = Literal["Is", "IIa", "Ip"]

# Shapes after the Paris classification (Gastrointest. Endosc. 58(6 Suppl), 2003): IIa rises less than 2.5 mm, the
# height of closed biopsy forceps. Of 3207 polyps 53 % were IIa, 43 % Is, 4 % Ip, mean sizes 3.1, 3.5 and 7.1 mm (Size,
# Shape, Histology, and Distribution of Colorectal Polyps Using High-Definition Colonoscopes, Am. J. Gastroenterol.,
# abstract). Below 4 mm polyps are left out here, so Ip are commoner and all are larger than there.
SHARES: dict[Paris, float] = {"Is": 0.45, "IIa": 0.37, "Ip": 0.18}
MEDIAN_SIZE: dict[Paris, float] = {"Is": 0.0072, "IIa": 0.0085, "Ip": 0.0105}
"""Median size of those of at least 4 mm [m]."""
SIZE_SPREAD = 0.38
"""Standard deviation of the logarithm of the size."""
LEAST_SIZE, MOST_SIZE = 0.004, 0.020
SPORADIC = (3, 8)
"""Fewest and most polyps of a patient without a syndrome: chosen, so that each patient has some to find."""
POLYPOSIS = (20, 40)
"""The same in attenuated familial polyposis, around a median of 25 adenomas (Burt et al., Genetic testing and phenotype
in a large kindred with attenuated familial adenomatous polyposis, Gastroenterology 127, 2004,
doi:10.1053/j.gastro.2004.05.003)."""
FLAT_HEIGHT = 0.0024
"""Most height of IIa [m]."""
UNEVEN: dict[Paris, float] = {"Is": 0.30, "IIa": 0.22, "Ip": 0.40}
"""Most height of the wall over its plane under a polyp, as a share of the polyp's radius."""
SINK = 0.001
"""How far the foot lies in the wall [m]."""
BELLY = 0.0012
"""How much deeper the middle of the foot lies [m]; less, and the foot runs through the skirt where the wall dips."""
CLOSE = 1.5e-4
"""A point of the wall is found when it is this near to where it is sought [m]."""
CLEARANCE = 0.0080
"""What a polyp leaves free about the course [m], so that a scope of 13 mm passes."""
AROUND, UP, UNDER = 40, 24, 6
"""Vertices of a ring; rings of the visible surface and of the foot."""


@dataclass(frozen=True)
class Patch:
    """The wall about a point, as a height over its plane."""

    wall: Wall
    arc: float
    """[m]"""
    angle: float
    """[rad]"""
    origin: Array
    """Position [m]."""
    axes: Array
    """Rows: two directions in the plane, then the normal into the lumen; shape (3, 3)."""
    steps: Array
    """Arc and angle per metre along the first two axes, shape (2, 2)."""

    def heights(self, across: Array) -> tuple[Array, float]:
        """Return the wall's height over the plane [m] at points of the plane, shape (n, 2), and the worst miss [m]."""
        place = np.array([self.arc, self.angle]) + across @ self.steps.T
        low, high = 1e-4, self.wall.cap
        for _ in range(8):
            at = (self.wall.points(place[:, 0], place[:, 1]) - self.origin) @ self.axes.T
            miss = across - at[:, :2]
            worst = float(np.abs(miss).max())
            if worst < CLOSE:
                break
            place = place + np.clip(miss @ self.steps.T, [-0.003, -0.15], [0.003, 0.15])
            place[:, 0] = np.clip(place[:, 0], low, high)
        return at[:, 2], worst


def wall_patch(wall: Wall, arc: float, angle: float, reach: float) -> Patch:
    """Lay a plane through the wall within `reach` [m] of a point."""
    step = np.linspace(-1.0, 1.0, 5)
    radius = float(wall.radius_at(np.array(arc), np.array(angle)))
    arcs, angles = np.meshgrid(arc + 0.7 * reach * step, angle + 0.7 * reach / radius * step, indexing="ij")
    points = wall.points(arcs, angles)
    along = unit(points[-1].mean(axis=0) - points[0].mean(axis=0))
    about = points[:, -1].mean(axis=0) - points[:, 0].mean(axis=0)
    about = unit(about - (about @ along) * along)
    normal = np.cross(along, about)
    origin = points[2, 2]
    course = np.array([np.interp(arc, wall.course.arc, column) for column in wall.course.points.T])
    normal = normal * np.sign(normal @ (course - origin))
    steps = np.array(
        [
            [1.4 * reach / np.linalg.norm(points[-1].mean(axis=0) - points[0].mean(axis=0)), 0.0],
            [0.0, 1.4 * reach / radius / np.linalg.norm(points[:, -1].mean(axis=0) - points[:, 0].mean(axis=0))],
        ]
    )
    return Patch(wall, arc, angle, origin, np.stack([along, about, normal]), steps)


def profile(paris: Paris, size: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw the outline from the edge of the skirt, sunk into the wall, to the top.

    Args:
        paris: The class.
        size: Diameter [m]; of an Ip that of its head.
        rng: The only source of chance.

    Returns:
        Radius and height over the wall [m], each of shape (UP,).
    """
    half = size / 2
    if paris == "Ip":
        stalk = half * rng.uniform(0.36, 0.46)
        rise = float(np.clip(size * rng.uniform(0.45, 0.75), 0.003, 0.008))
        radius = np.array([2.1, 1.55, 1.15, 1.0, 1.0]) * stalk
        radius = np.concatenate([radius, np.array([0.62, 0.92, 1.0, 0.88, 0.55, 0.28, 0.0]) * half])
        height = np.concatenate(
            [
                [-SINK, 0.04 * rise, 0.2 * rise, 0.5 * rise, 0.85 * rise],
                rise + np.array([0.02, 0.22, 0.66, 1.18, 1.48, 1.56, 1.60]) * half,
            ]
        )
    else:
        if paris == "Is":
            top = half * rng.uniform(0.85, 1.15)
            share = np.array([0.0, 0.02, 0.15, 0.36, 0.64, 0.86, 0.96, 0.99, 1.0])
        else:
            top = float(min(FLAT_HEIGHT, size * rng.uniform(0.26, 0.34)))
            share = np.array([0.0, 0.03, 0.20, 0.50, 0.78, 0.93, 0.98, 1.0, 1.0])
        radius = np.array([1.34, 1.14, 1.02, 0.95, 0.84, 0.62, 0.42, 0.22, 0.0]) * half
        height = share * top
        height[0] = -SINK
    run = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(radius), np.diff(height)))])
    at = np.linspace(0.0, run[-1], UP)
    return np.asarray(PchipInterpolator(run, radius)(at)), np.asarray(PchipInterpolator(run, height)(at))


def grow(patch: Patch, paris: Paris, size: float, rng: np.random.Generator) -> tuple[Mesh, float] | None:
    """Grow one polyp on a patch of wall.

    Args:
        patch: Where it stands.
        paris: The class.
        size: Its diameter [m].
        rng: The only source of chance.

    Returns:
        Its closed surface, normals outwards, and the radius of its foot [m]; None where the wall is too uneven for it.
    """
    radius, height = profile(paris, size, rng)
    top = height[-1]
    turn = np.arange(AROUND) * (2 * np.pi / AROUND)
    oval = 1.0 + rng.uniform(0.0, 0.10) * np.cos(2 * (turn - rng.uniform(0.0, np.pi)))
    inner = np.linspace(0.98 * radius[0], 0.0, UNDER)[:-1]
    rings = np.concatenate([radius[:-1], inner])
    around = np.stack([np.cos(turn), np.sin(turn)], axis=1) * oval[:, None]
    across = np.concatenate([(rings[:, None, None] * around).reshape(-1, 2), np.zeros((2, 2))])
    uneven = UNEVEN[paris] * radius.max() + 0.0006
    for points in (across[: AROUND * 2 : 4], across):  # the skirt alone tells of most places that they will not do
        wall, miss = patch.heights(points)
        if miss > CLOSE or np.abs(wall).max() > uneven:
            return None
    # The skirt follows the wall; the higher, the more the polyp has a shape of its own.
    keep = {"IIa": 1.0, "Is": 0.45, "Ip": 0.0}[paris]
    follow = keep + (1.0 - keep) * np.clip(1.0 - height[:-1] / (0.5 * top), 0.0, 1.0) ** 2
    deeper = SINK + BELLY * (0.7 + 0.3 * (1.0 - (inner / radius[0]) ** 2))
    rise = np.concatenate([height[:-1], -deeper])
    share = np.concatenate([follow, np.ones(len(inner))])
    up = np.repeat(rise, AROUND) + np.repeat(share, AROUND) * wall[:-2]
    up = np.concatenate([up, [top + keep * wall[-2], wall[-1] - SINK - BELLY]])
    local = np.column_stack([across, up])
    if paris == "Ip":  # the head droops
        droop = rng.uniform(0.1, 0.5) * np.clip(local[:, 2:] / top, 0.0, 1.0) ** 2 * top
        lean = rng.uniform(0.0, 2 * np.pi)
        local[:, :2] += droop * [np.cos(lean), np.sin(lean)]
    vertices = patch.origin + local @ patch.axes
    triangles = _triangles(UP - 1, len(inner))
    if np.linalg.det(patch.axes) < 0:
        triangles = triangles[:, ::-1]
    # Lobules, as adenomas have them: a few waves of about a third of the size, none at the skirt.
    weight = np.clip(local[:, 2] / (0.4 * top), 0.0, 1.0)
    strength = {"IIa": 0.00016, "Is": 0.020 * size, "Ip": 0.026 * size}[paris]
    lobes = np.zeros(len(vertices))
    for _ in range(9):
        direction = unit(rng.standard_normal(3))
        wave = 2 * np.pi / (max(0.0022, 0.42 * size) * rng.uniform(0.6, 1.4))
        lobes += np.cos(wave * (local @ direction) + rng.uniform(0.0, 2 * np.pi))
    outward = vertex_normals(vertices, triangles)
    vertices = vertices + (weight * strength * lobes / 2.1)[:, None] * outward
    return Mesh(vertices.astype(np.float32), triangles.astype(np.int32)), float(radius[0])


def _triangles(up: int, under: int) -> NDArray[np.int32]:
    """Close rings to a surface: `up` rings from the skirt to the top, `under` rings from the skirt inwards below."""
    top, bottom = (up + under) * AROUND, (up + under) * AROUND + 1
    corner = np.arange((up + under) * AROUND).reshape(-1, AROUND)
    order = np.concatenate([corner[up:][::-1], corner[:up]])
    a, b = order[:-1], np.roll(order, -1, axis=1)[:-1]
    c, d = order[1:], np.roll(order, -1, axis=1)[1:]
    sides = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    last, first = order[-1], order[0]
    cap = np.stack([last, np.roll(last, -1), np.full(AROUND, top)], -1)
    foot = np.stack([np.roll(first, -1), first, np.full(AROUND, bottom)], -1)
    return np.concatenate([sides, cap, foot]).astype(np.int32)


def _crosses_itself(mesh: Mesh) -> bool:
    """Tell whether the skirt and the foot cross, as they may where the wall is uneven."""
    ring = mesh.triangles.max(axis=1) // AROUND
    low = (ring < 8) | (ring >= UP - 1)
    return len(self_intersections(Mesh(mesh.vertices, mesh.triangles[low]))) > 0


def draw_polyps(
    rng: np.random.Generator,
    wall: Wall,
    counts: tuple[int, int] = SPORADIC,
    openings: Sequence[tuple[Array, float]] = (),
) -> tuple[Organ, ...]:
    """Grow polyps anywhere on the wall, apart from each other and clear of the scope's way.

    Args:
        rng: The only source of chance.
        wall: The lumen they grow in.
        counts: Fewest and most polyps; where too little free wall is left, there are fewer.
        openings: Middle and reach [m] of what the wall gives way to.
    """
    count = int(rng.integers(counts[0], counts[1] + 1))
    arc = wall.course.arc
    density = np.where((arc > ANAL_LENGTH + 0.02) & (arc < wall.cap - 0.01), wall.radius, 0.0)
    share = np.cumsum(density) / density.sum()
    clear = cKDTree(wall.course.points)
    organs: list[Organ] = []
    taken = list(openings)
    for _ in range(count):
        names: tuple[Paris, ...] = tuple(SHARES)
        paris = names[int(rng.choice(len(names), p=list(SHARES.values())))]
        size = float(np.clip(MEDIAN_SIZE[paris] * np.exp(SIZE_SPREAD * rng.normal()), LEAST_SIZE, MOST_SIZE))
        for attempt in range(80):
            if attempt % 20 == 19:
                size = max(LEAST_SIZE, 0.85 * size)
            place, angle = float(np.interp(rng.random(), share, arc)), float(rng.uniform(0.0, 2 * np.pi))
            patch = wall_patch(wall, place, angle, 0.5 * size)
            if any(np.linalg.norm(patch.origin - point) < reach + 0.8 * size + 0.004 for point, reach in taken):
                continue
            near_valve = np.abs(place - wall.valve.arc) < 0.022
            grown = None if near_valve else grow(patch, paris, size, rng)
            if grown is None or clear.query(grown[0].vertices)[0].min() < CLEARANCE:
                continue
            mesh, foot = grown
            if _crosses_itself(mesh):
                continue
            taken.append((patch.origin, max(foot, 0.9 * size)))
            attributes = {
                "paris": paris,
                "size_mm": round(1e3 * size, 2),
                "segment": wall.segments.name_at(place),
                "position": [float(x) for x in patch.origin],
                "normal": [float(x) for x in patch.axes[2]],
                "arc": place,
            }
            organs.append(Organ(f"polyp_{len(organs) + 1:02d}", "polyp", "solid", "polyp", mesh, attributes))
            break
    return tuple(organs)

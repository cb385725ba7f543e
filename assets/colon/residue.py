"""What a bowel preparation leaves behind: pools of turbid fluid where the bowel lies low, and lumps of stool."""

from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from assets.colon.segments import ANAL_LENGTH
from assets.colon.wall import Wall
from assets.mesh import Mesh
from assets.patient import Organ
from assets.transforms import unit

Array = NDArray[np.float64]

FLUID, FLUID_DEVIATION = 155e-6, 114e-6
"""Volume left after a preparation with magnesium citrate [m^3], 250 adults: 155 +- 114 ml of residual fluid at CT
colonography (Bannas et al., Clin. Radiol. 69, 2014, doi:10.1016/j.crad.2014.08.001)."""
FLUID_LIMITS = (30e-6, 380e-6)
"""[m^3]; the five or six places where the bowel lies low hold less than the upper half of it at a depth of `FULL`."""
POOLS = (4, 10)
"""Fewest and most pools: chosen."""
FULL = 0.60
"""Most depth of a pool over the lumen's mean radius: chosen, the camera swims above it."""
LONGEST = 0.20
"""Longest pool [m]: chosen."""
LUMPS = (6, 24)
"""Fewest and most lumps of stool: chosen, as in a fair preparation."""
LUMP = (0.0015, 0.0060)
"""Radius of a lump [m]: chosen."""
SINK = 0.0008
"""How far a pool reaches into the wall, so that no gap shows [m]."""
CLEAR = 0.0080
"""What a lump leaves free about the course [m], as polyps do."""
_AROUND = 160
"""Places about the lumen at which the wall's height is looked at."""
_ACROSS = 9
"""Vertices across a pool, and as many along its bed."""
_STEP = 0.0025
"""Distance of a pool's cross-sections along the bowel [m]."""


def draw_residue(rng: np.random.Generator, wall: Wall) -> tuple[Organ, ...]:
    """Draw fluid and stool; both can be seen, neither stops a scope."""
    return (*_draw_fluid(rng, wall), *_draw_stool(rng, wall))


@dataclass(frozen=True)
class _Sections:
    """The wall in rings along the bowel."""

    arcs: Array
    angles: Array
    points: Array
    """[m], shape (n, m, 3)."""
    radius: Array
    """[m], shape (n,)."""


def _sections(wall: Wall) -> _Sections:
    arcs: Array = np.arange(ANAL_LENGTH + 0.02, wall.cap - 0.004, _STEP, dtype=np.float64)
    angles: Array = np.arange(_AROUND, dtype=np.float64) * (2 * np.pi / _AROUND)
    points = wall.points(arcs[:, None], np.broadcast_to(angles, (len(arcs), _AROUND)))
    return _Sections(arcs, angles, points, wall.segments.radius(arcs))


def _draw_fluid(rng: np.random.Generator, wall: Wall) -> list[Organ]:
    sections = _sections(wall)
    low = sections.points[..., 1].min(axis=1)
    smooth = gaussian_filter1d(low, 4.0)
    valleys = np.flatnonzero((smooth[1:-1] < smooth[:-2]) & (smooth[1:-1] <= smooth[2:])) + 1
    total = float(np.clip(rng.normal(FLUID, FLUID_DEVIATION), *FLUID_LIMITS))
    count = int(rng.integers(POOLS[0], POOLS[1] + 1))
    chosen = rng.permutation(valleys)
    organs: list[Organ] = []
    taken = np.zeros(len(low), bool)
    left = total
    for index, valley in enumerate(chosen):
        if len(organs) == count or left <= 0:
            break
        pools_left = min(count - len(organs), len(chosen) - index)
        pool = _fill(wall, sections, int(valley), left / pools_left, taken)
        if pool is None:
            continue
        mesh, volume, reach = pool
        taken[reach] = True
        left -= volume
        attributes = {"volume_ml": round(1e6 * volume, 1), "segment": wall.segments.name_at(sections.arcs[valley])}
        organs.append(Organ(f"fluid_{len(organs) + 1:02d}", "bowel_fluid", "solid", "bowel_fluid", mesh, attributes))
    return organs


def _fill(
    wall: Wall, sections: _Sections, valley: int, wanted: float, taken: NDArray[np.bool_]
) -> tuple[Mesh, float, slice] | None:
    """Fill a valley to the level that holds the wanted volume [m^3], as far as it goes; None where that is a puddle."""
    low = sections.points[..., 1].min(axis=1)
    best = None
    for share in np.linspace(0.08, FULL, 12):
        level = float(low[valley] + share * sections.radius[valley])
        below = (low < level) & ~taken
        first = valley - int(np.argmax(~below[valley::-1])) + 1 if (~below[valley::-1]).any() else 0
        last = valley + int(np.argmax(~below[valley:])) if (~below[valley:]).any() else len(low)
        deep = (level - low[first:last]) / sections.radius[first:last]
        if last - first < 4 or (last - first) * _STEP > LONGEST or deep.max() > FULL:
            break
        mesh = _pool(wall, sections, range(first, last), level)
        if mesh is None:
            break
        best = (mesh, _volume(mesh), slice(max(first - 2, 0), last + 2))
        if best[1] >= wanted:
            break
    return best if best is not None and best[1] > 5e-7 else None


def _pool(wall: Wall, sections: _Sections, rows: range, level: float) -> Mesh | None:
    """Build the closed body of a pool: a level surface, and a bed that follows the wall a little below it."""
    loops = []
    for row in rows:
        height = sections.points[row, :, 1]
        bottom = int(height.argmin())
        order = np.roll(height, -bottom)
        right = int(np.argmax(order >= level))
        left = _AROUND - int(np.argmax(order[::-1] >= level))
        if right == 0 or left <= right:
            return None
        steps = np.array(
            [
                left - 1 + (level - order[left - 1]) / (order[left % _AROUND] - order[left - 1]) - _AROUND,
                right - 1 + (level - order[right - 1]) / (order[right] - order[right - 1]),
            ]
        )
        turn = (bottom + np.linspace(steps[0], steps[1], _ACROSS)) * (2 * np.pi / _AROUND)
        arc = np.full(_ACROSS, sections.arcs[row])
        bed = wall.points(arc, turn)
        ends = bed[[0, -1]].copy()
        ends[:, 1] = level
        chord = ends[1] - ends[0]
        reach = SINK / max(float(np.linalg.norm(chord)), 1e-4)
        top = ends[0] + np.linspace(-reach, 1 + reach, _ACROSS)[:, None] * chord
        axis = np.array([np.interp(sections.arcs[row], wall.course.arc, x) for x in wall.course.points.T])
        loops.append(np.concatenate([top, (bed + SINK * unit(bed - axis))[::-1]]))
    body = np.stack(loops)
    size = body.shape[1]
    poles = np.stack([body[0].mean(axis=0), body[-1].mean(axis=0)])
    corner = np.arange(len(body) * size).reshape(-1, size)
    a, b = corner[:-1], np.roll(corner, -1, axis=1)[:-1]
    c, d = corner[1:], np.roll(corner, -1, axis=1)[1:]
    sides = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    front = np.stack([np.roll(corner[0], -1), corner[0], np.full(size, body.shape[0] * size)], -1)
    back = np.stack([corner[-1], np.roll(corner[-1], -1), np.full(size, body.shape[0] * size + 1)], -1)
    mesh = Mesh(
        np.concatenate([body.reshape(-1, 3), poles]).astype(np.float32),
        np.concatenate([sides, front, back]).astype(np.int32),
    )
    return mesh if _volume(mesh) > 0 else Mesh(mesh.vertices, np.ascontiguousarray(mesh.triangles[:, ::-1]))


def _volume(mesh: Mesh) -> float:
    a, b, c = np.moveaxis(mesh.vertices.astype(np.float64)[mesh.triangles], 1, 0)
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def _draw_stool(rng: np.random.Generator, wall: Wall) -> list[Organ]:
    """Lay lumps on the wall, most of them where it lies low."""
    sphere = trimesh.creation.icosphere(subdivisions=3)
    course = cKDTree(wall.course.points)
    organs: list[Organ] = []
    for _ in range(int(rng.integers(LUMPS[0], LUMPS[1] + 1))):
        for _attempt in range(20):
            arc = float(rng.uniform(ANAL_LENGTH + 0.03, wall.cap - 0.01))
            angles = rng.uniform(0.0, 2 * np.pi, 3)  # the lowest of three places
            points = wall.points(np.full(3, arc), angles)
            place = points[int(points[:, 1].argmin())]
            radius = float(np.exp(rng.uniform(*np.log(LUMP))))
            axis = np.array([np.interp(arc, wall.course.arc, x) for x in wall.course.points.T])
            up = unit(axis - place)
            rough = sphere.vertices * _lobes(rng, sphere.vertices)[:, None]
            flat = rough - (1.0 - rng.uniform(0.5, 0.9)) * (rough @ up)[:, None] * up
            vertices = place + radius * (flat + 0.25 * up)
            if float(course.query(vertices)[0].min()) < CLEAR:
                continue
            mesh = Mesh(vertices.astype(np.float32), sphere.faces.astype(np.int32))
            attributes = {"size_mm": round(2e3 * radius, 2), "segment": wall.segments.name_at(arc)}
            organs.append(Organ(f"stool_{len(organs) + 1:02d}", "stool", "solid", "stool", mesh, attributes))
            break
    return organs


def _lobes(rng: np.random.Generator, directions: Array) -> Array:
    """Return the radius of an uneven ball by direction, about 1."""
    radius = np.ones(len(directions))
    for _ in range(8):
        wave = unit(rng.standard_normal(3)) * rng.uniform(2.0, 6.0)
        radius += 0.06 * np.cos(directions @ wave + rng.uniform(0.0, 2 * np.pi))
    return radius

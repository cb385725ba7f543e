"""Diverticula: sacs of mucosa that bulge out of the wall beside the taeniae, seen as dark round openings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import ndtri

from assets.colon.folds import intrusion
from assets.colon.person import Person
from assets.colon.segments import ANAL_LENGTH, SEGMENTS
from assets.colon.wall import AROUND, Wall, WallGrid
from assets.mesh import Mesh

Array = NDArray[np.float64]

# 42 % of 624 screened people had some, 14 on average and 158 at most; by age 35, 40 and 58 % had some, and 8, 15 and
# 30 % more than ten; of white people's 75 % lay in the sigmoid, 11 % in the descending colon and splenic flexure, 6 %
# in the transverse colon and 8 % beyond (Peery et al., Clin. Gastroenterol. Hepatol. 14, 2016,
# doi:10.1016/j.cgh.2016.01.020).
AGES = (50.0, 60.0)
"""Ends of the age groups [years]."""
PREVALENCE = (0.35, 0.40, 0.58)
"""Share of people with some, by age group."""
MANY = (0.08, 0.15, 0.30)
"""Share of people with more than ten, by age group."""
SHARES = {"sigmoid": 0.75, "descending": 0.11, "transverse": 0.06, "ascending": 0.08}
MOST = 60
"""A count beyond this is cut: chosen, there is little wall between so many."""
COUNT_SPREAD = 1.1
"""Standard deviation of the logarithm of the count: chosen, near what gives a mean of 14 and the shares above."""
WIDTH = (0.005, 0.010)
"""Of the sac [m] (Diverticular disease, practice guideline, World Gastroenterology Organisation, 2007)."""
NECK = (0.40, 0.65)
"""Width of the opening over that of the sac: chosen after endoscopic views."""
BESIDE = (0.25, 0.55)
"""Angle between a sac and the taenia beside it [rad]: chosen; where the vessels pierce the muscle, beside the taeniae
and never through them."""
THIN = 0.0020
"""Length of the neck: the muscle's thickness [m] (below 3 mm when distended, Horton et al., RadioGraphics 20, 2000)."""
UNEVEN = 0.0012
"""Most height of the wall over its plane around an opening [m]."""
APART = 0.0012
"""Least distance of a sac from any other wall [m]."""
_OUTLINE = np.array(
    # radius over the neck's, or over the sac's from the fourth ring on; depth over the neck's length, or over the sac's
    [[1.30, 0.00], [1.06, 0.12], [0.96, 0.50], [1.00, 1.00]]
)
_SAC = np.linspace(0.35, 0.94, 6) * np.pi
"""Angles of the sac's rings from its opening."""


@dataclass(frozen=True)
class Diverticulum:
    """One sac."""

    ring: int
    """First row of the wall's grid that its opening replaces."""
    column: int
    """First column."""
    rows: int
    columns: int
    """How many cells of the grid it replaces."""
    origin: Array
    """Middle of the opening [m]."""
    outward: Array
    """Unit vector into the sac."""
    neck: float
    """Radius of the opening [m]."""
    sac: float
    """Radius of the sac [m]."""


def draw_count(rng: np.random.Generator, person: Person) -> int:
    """Draw how many a person has."""
    group = int(np.searchsorted(AGES, person.age))
    has, size = rng.random() < PREVALENCE[group], rng.standard_normal()
    # The median that leaves the published share of those who have some above ten.
    quantile = float(ndtri(1.0 - MANY[group] / PREVALENCE[group]))
    median = 10.5 / np.exp(COUNT_SPREAD * quantile)
    return int(np.clip(round(median * np.exp(COUNT_SPREAD * size)), 1, MOST)) if has else 0


def draw_diverticula(rng: np.random.Generator, wall: Wall, grid: WallGrid, count: int) -> tuple[Diverticulum, ...]:
    """Place sacs where the wall is even, beside the taeniae, apart from each other and from other limbs.

    Args:
        rng: The only source of chance.
        wall: The lumen they belong to.
        grid: Its mesh.
        count: How many; where no place is found, there are fewer.
    """
    if not count:
        return ()
    body = grid.points.reshape(-1, 3)
    tree = cKDTree(body)
    names = [segment.name for segment in SEGMENTS]
    starts, ends = wall.segments.ends - wall.segments.lengths, wall.segments.ends
    found: list[Diverticulum] = []
    used = np.zeros(grid.points.shape[:2], bool)
    for _ in range(count):
        segment = names.index(str(rng.choice(list(SHARES), p=list(SHARES.values()))))
        for _attempt in range(30):
            arc = float(rng.uniform(max(starts[segment], ANAL_LENGTH), min(ends[segment], wall.cap - 0.02)))
            beside = float(rng.uniform(*BESIDE)) * float(rng.choice([-1.0, 1.0]))
            taenia = float(np.interp(arc, wall.course.arc, wall.taenia_angle))
            angle = taenia + int(rng.integers(3)) * 2 * np.pi / 3 + beside
            sac = float(rng.uniform(*WIDTH)) / 2
            neck = sac * float(rng.uniform(*NECK))
            if abs(arc - wall.valve.arc) < 0.03 or float(intrusion(wall.folds, np.array(arc), np.array(angle))) > 2e-4:
                continue
            one = _fit(grid, arc, angle, neck, sac)
            if one is None or used[_patch(one, 2, used.shape)].any() or not _clear(one, grid, tree):
                continue
            used[_patch(one, 1, used.shape)] = True
            found.append(one)
            break
    return tuple(found)


def _patch(one: Diverticulum, margin: int, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows = np.clip(np.arange(one.ring - margin, one.ring + one.rows + margin + 1), 0, shape[0] - 1)
    columns = np.arange(one.column - margin, one.column + one.columns + margin + 1) % AROUND
    return np.ix_(rows, columns)  # type: ignore[return-value]


def _fit(grid: WallGrid, arc: float, angle: float, neck: float, sac: float) -> Diverticulum | None:
    """Choose the cells that an opening replaces; None where the wall is too uneven or its cells do not suit."""
    column = round(angle / (2 * np.pi / AROUND)) % AROUND
    row = int(np.abs(grid.arcs[:, column] - arc).argmin())
    if not 8 <= row < len(grid.arcs) - 30:
        return None
    along = float(np.linalg.norm(grid.points[row + 1, column] - grid.points[row - 1, column])) / 2
    about = float(np.linalg.norm(grid.points[row, (column + 1) % AROUND] - grid.points[row, column - 1])) / 2
    side = 2 * neck * _OUTLINE[0, 0] + 0.0012
    rows, columns = (int(np.clip(np.ceil(side / step), 3, 9)) for step in (along, about))
    first, left = row - rows // 2, column - columns // 2
    block = grid.points[first : first + rows + 1, np.arange(left, left + columns + 1) % AROUND]
    origin = block.reshape(-1, 3).mean(axis=0)
    _, _, axes = np.linalg.svd(block.reshape(-1, 3) - origin)
    outward = axes[2] * np.sign(axes[2] @ (origin - grid.middle[row]))
    rim = (_outline(block) - origin) @ axes[:2].T
    if np.abs((block - origin) @ outward).max() > UNEVEN or np.linalg.norm(rim, axis=1).min() < 1.1 * neck:
        return None
    turn = np.diff(np.unwrap(np.arctan2(rim[:, 1], rim[:, 0])))
    if not (np.all(turn > 0.02) or np.all(turn < -0.02)):
        return None
    return Diverticulum(first, left % AROUND, rows, columns, origin, outward, neck, sac)


def _outline(block: NDArray[Any]) -> NDArray[Any]:
    """Return the outline of a block of the grid, once around: of its points, or of its vertices' numbers."""
    return np.concatenate([block[0, :-1], block[:-1, -1], block[-1, :0:-1], block[:0:-1, 0]])


def _rings(one: Diverticulum, rim: Array) -> Array:
    """Return the rings of a sac from its opening inwards, shape (k, n, 3), and its far end as the last point."""
    across = rim - one.origin
    across = across - (across @ one.outward)[:, None] * one.outward
    spokes = across / np.linalg.norm(across, axis=1, keepdims=True)
    radius = np.concatenate([_OUTLINE[:, 0] * one.neck, one.sac * np.sin(_SAC)])
    radius = np.maximum(radius, np.concatenate([np.zeros(4), np.where(np.pi / 2 > _SAC, one.neck, 0.0)]))
    depth = np.concatenate([_OUTLINE[:, 1] * THIN, THIN + one.sac * (np.cos(_SAC[0]) - np.cos(_SAC)) * 0.9 + 4e-4])
    return np.asarray(one.origin + radius[:, None, None] * spokes + depth[:, None, None] * one.outward)


def _end(one: Diverticulum) -> Array:
    return np.asarray(one.origin + (THIN + 4e-4 + 0.9 * one.sac * (1.0 + np.cos(_SAC[0]))) * one.outward)


def _clear(one: Diverticulum, grid: WallGrid, tree: cKDTree) -> bool:
    """Tell whether a sac keeps off every wall but that around its own opening."""
    block = grid.points[
        one.ring : one.ring + one.rows + 1, np.arange(one.column, one.column + one.columns + 1) % AROUND
    ]
    sac = _rings(one, _outline(block))[3:].reshape(-1, 3)
    return bool(tree.query(sac)[0].min() > APART)


def open_diverticula(mesh: Mesh, grid: WallGrid, sacs: Sequence[Diverticulum]) -> Mesh:
    """Cut the openings into the wall's mesh and put the sacs behind them; the body stays closed.

    Args:
        mesh: Of the wall, its grid's vertices first, then the two ends.
        grid: Of the same wall.
        sacs: What to open.

    Returns:
        The wall with its sacs; the two ends stay the last vertices.
    """
    if not sacs:
        return mesh
    body = grid.points.shape[0] * AROUND
    number = np.arange(body).reshape(-1, AROUND)
    gone = np.zeros(len(mesh.triangles), bool)
    rings_of = mesh.triangles // AROUND
    columns_of = mesh.triangles % AROUND
    inside = (mesh.triangles < body).all(axis=1)
    vertices, triangles = [mesh.vertices[:-2]], []
    count = body
    for one in sacs:
        row = (rings_of >= one.ring) & (rings_of <= one.ring + one.rows)
        column = (columns_of - one.column) % AROUND <= one.columns
        gone |= inside & (row & column).all(axis=1)
        block = number[one.ring : one.ring + one.rows + 1, np.arange(one.column, one.column + one.columns + 1) % AROUND]
        loop = _outline(block)
        rings = _rings(one, mesh.vertices[loop].astype(np.float64))
        size = len(loop)
        index = np.concatenate([loop[None], count + np.arange(rings.shape[0] * size).reshape(-1, size)])
        end = count + rings.shape[0] * size
        a, b = index[:-1], np.roll(index, -1, axis=1)[:-1]
        c, d = index[1:], np.roll(index, -1, axis=1)[1:]
        sides = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
        cap = np.stack([index[-1], np.roll(index[-1], -1), np.full(size, end)], -1)
        own = np.concatenate([sides, cap])
        triangles.append(own if _agrees(mesh.triangles[~gone & inside], loop) else own[:, ::-1])
        vertices += [rings.reshape(-1, 3).astype(np.float32), _end(one)[None].astype(np.float32)]
        count = end + 1
    kept = mesh.triangles[~gone].astype(np.int64)
    kept = np.where(kept >= body, kept - body + count, kept)
    vertices.append(mesh.vertices[-2:])
    # What lay inside the openings belongs to no triangle any more.
    used, place = np.unique(np.concatenate([kept, *triangles]), return_inverse=True)
    return Mesh(np.concatenate(vertices)[used], place.reshape(-1, 3).astype(np.int32))


def _agrees(triangles: NDArray[np.int32], loop: NDArray[np.intp]) -> bool:
    """Tell whether the wall around an opening runs against the loop, as its neighbour's edges must."""
    first, second = int(loop[0]), int(loop[1])
    holds = triangles[(triangles == first).any(axis=1) & (triangles == second).any(axis=1)][0].tolist()
    place = holds.index(first)
    return bool(holds[(place + 1) % 3] != second)

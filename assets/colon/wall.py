"""The wall of the lumen as a function of arc length and angle, and its mesh."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from assets.colon.course import Course
from assets.colon.folds import Fold, Valve, crest, draw_folds, draw_valves_of_houston, intrusion
from assets.colon.segments import FREE_RADIUS, SEGMENTS, Segments
from assets.mesh import Mesh
from assets.transforms import parallel_frames

Array = NDArray[np.float64]

TAENIA_WIDTH = 0.009
"""Taeniae are 6 to 12 mm wide (Gray's Anatomy, 41st edition, chapter 66) [m]."""
TURN = 0.86
"""No point of the wall comes nearer than 1 - TURN of the bend's radius to the axis of a bend."""
AROUND = 80
"""Vertices of a ring."""
SNAP = 0.014
"""Rings this near to a fold follow it [m]."""
SLIT = 0.0085
"""Half the width that a collapsed segment leaves [m]: that of the anal canal, so that a scope of 13 mm passes. A wall
that is rigid cannot close and be opened by insufflation."""
RINGS, CAP_RINGS = 606, 20
"""Rings of the tube and of its round end: with 80 around this makes 100,000 triangles."""


@dataclass(frozen=True)
class Collapse:
    """A stretch in which the lumen has fallen together to a slit."""

    arc: float
    """Its middle [m]."""
    half_length: float
    """[m]"""
    angle: float
    """Direction of the slit [rad]."""


@dataclass(frozen=True)
class Wall:
    """S(arc, angle): a tube about a course, whose radius depends on both."""

    course: Course
    segments: Segments
    frames: Array
    """Rotation matrices without twist, shape (n, 3, 3): angle 0 lies along the first column, z along the course."""
    bend: Array
    """Curvature vector at each point of the course [1/m], shape (n, 3)."""
    radius: Array
    """Mean radius at each point of the course [m], shape (n,)."""
    bulge: Array
    """Depth of the haustra over the radius, shape (n,)."""
    taenia_angle: Array
    """Angle of the first taenia [rad], shape (n,)."""
    taenia_depth: Array
    """[m], shape (n,)."""
    ripple: Array
    """Irregularity of the wall: rows of amplitude [m], waves a metre, waves about the lumen, phase; shape (k, 4)."""
    cap: float
    """Arc length at which the round end of the caecum begins [m]."""
    folds: tuple[Fold, ...]
    valve: Valve
    collapse: Collapse | None = None

    def _at(self, table: Array, arc: Array) -> Array:
        """Interpolate rows of a table along the course."""
        place = np.clip(arc / self.course.arc[1], 0.0, len(table) - 1.000001)
        index = place.astype(np.intp)
        share = (place - index).reshape(place.shape + (1,) * (table.ndim - 1))
        return np.asarray(table[index] * (1.0 - share) + table[index + 1] * share)

    def radius_at(self, arc: Array, angle: Array) -> Array:
        """Return the distance of the wall from the course [m]; both arguments have the shape of the answer."""
        mean = self._at(self.radius, arc)
        lobes = np.remainder(angle - self._at(self.taenia_angle, arc), 2 * np.pi / 3)
        from_taenia = np.minimum(lobes, 2 * np.pi / 3 - lobes) * mean
        radius = mean * (1.0 - self._at(self.bulge, arc) * np.cos(3 * lobes))
        radius -= self._at(self.taenia_depth, arc) * np.exp(-((2 * from_taenia / TAENIA_WIDTH) ** 4))
        for amplitude, along, about, phase in self.ripple:
            radius += amplitude * np.sin(2 * np.pi * along * arc + about * angle + phase)
        radius -= intrusion(self.folds, arc, angle) + self.valve.intrusion(arc, angle, mean)
        least = np.minimum(FREE_RADIUS, 0.9 * mean)
        if self.collapse is not None:
            away = np.clip(np.abs(arc - self.collapse.arc) / self.collapse.half_length, 0.0, 1.0)
            closed = np.cos(away * (np.pi / 2)) ** 2
            across = np.abs(np.sin(angle - self.collapse.angle))
            radius = radius * (1.0 - closed * (0.12 + 0.55 * across))
            least = least + closed * (SLIT - least)
        radius = (np.maximum(radius, 1e-4) ** 16 + least**16) ** 0.0625
        # On the inner side of a bend the wall stays short of the bend's axis, so that it never runs through itself.
        frame = self._at(self.frames, arc)
        bend = np.einsum("...i,...ij->...j", self._at(self.bend, arc), frame)
        towards = np.maximum(bend[..., 0] * np.cos(angle) + bend[..., 1] * np.sin(angle), 0.0)
        radius = radius / (1.0 + (radius * towards / TURN) ** 8) ** 0.125
        end = np.clip((arc - self.cap) / (self.course.arc[-1] - self.cap), 0.0, 1.0)
        return np.asarray(radius * np.sqrt(1.0 - end * end))

    def points(self, arc: Array, angle: Array) -> Array:
        """Return S(arc, angle) [m], shape (..., 3)."""
        arc, angle = np.broadcast_arrays(np.asarray(arc, np.float64), np.asarray(angle, np.float64))
        frame = self._at(self.frames, arc)
        radius = self.radius_at(arc, angle)[..., None]
        outward = np.cos(angle)[..., None] * frame[..., 0] + np.sin(angle)[..., None] * frame[..., 1]
        return np.asarray(self._at(self.course.points, arc) + radius * outward)


def _slow(rng: np.random.Generator, count: int, width: float) -> Array:
    """Draw noise with deviation 1 that varies over `width` points; shape (count,)."""
    pad = int(4 * width)
    noise = gaussian_filter1d(rng.standard_normal(count + 2 * pad), width)[pad : pad + count]
    return np.asarray(noise * np.sqrt(2.0 * np.sqrt(np.pi) * width))


def draw_wall(rng: np.random.Generator, course: Course, segments: Segments) -> Wall:
    """Draw haustra, taeniae, folds and irregularities of a lumen along a course."""
    arc = course.arc
    frames = parallel_frames(course.tangents, np.array([0.0, 1.0, 0.0]))
    radius = segments.radius(arc) * (1.0 + 0.03 * np.clip(_slow(rng, len(arc), 40.0), -1.5, 1.5))
    taenia_angle = rng.uniform(0.0, 2 * np.pi) + 0.5 * _slow(rng, len(arc), 120.0)
    left = np.arctan2(-frames[:, 0, 1], -frames[:, 0, 0])
    medial = np.arctan2(-frames[:, 0, 1] - 0.5 * frames[:, 1, 1], -frames[:, 0, 0] - 0.5 * frames[:, 1, 0])
    place = segments.ends[4] + 0.004
    valve = Valve(place, float(np.interp(place, arc, np.unwrap(medial))), rng.uniform(0.007, 0.010))
    ripple = np.stack(
        [
            rng.uniform(1.0e-4, 3.0e-4, 14),
            rng.uniform(15.0, 75.0, 14) * rng.choice([-1.0, 1.0], 14),
            rng.integers(1, 7, 14).astype(np.float64),
            rng.uniform(0.0, 2 * np.pi, 14),
        ],
        axis=1,
    )
    return Wall(
        course=course,
        segments=segments,
        frames=frames,
        bend=gaussian_filter1d(np.gradient(course.tangents, arc, axis=0), 3.0, axis=0),
        radius=radius,
        bulge=segments.blend(np.array([s.bulge for s in SEGMENTS]), arc),
        taenia_angle=taenia_angle,
        taenia_depth=segments.blend(np.array([s.taenia for s in SEGMENTS]), arc),
        ripple=ripple,
        cap=float(arc[-1] - 0.95 * radius[-1]),
        folds=draw_valves_of_houston(rng, segments, np.unwrap(left), arc)
        + draw_folds(rng, segments, taenia_angle, arc),
        valve=valve,
    )


def ring_places(wall: Wall) -> Array:
    """Choose where the mesh has rings [m]: close together at folds, wider apart between them, and round at the end."""
    grid = wall.course.arc[wall.course.arc <= wall.cap]
    density = np.ones(len(grid))
    for fold in wall.folds:
        reach = abs(fold.tilt) + abs(fold.bow) + 2.2 * fold.thickness
        density[np.abs(grid - fold.arc) < reach] = 3.0
    density[np.abs(grid - wall.valve.arc) < 0.012] = 3.0
    density = gaussian_filter1d(density, 2.0)
    count = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
    rings = np.interp(np.linspace(0.0, count[-1], RINGS), count, grid)
    turn = np.linspace(0.0, np.pi / 2, CAP_RINGS + 2)[1:-1]
    return np.concatenate([rings, wall.cap + (wall.course.arc[-1] - wall.cap) * np.sin(turn)])


def snap_rings(wall: Wall, rings: Array, angles: Array) -> Array:
    """Bend the ring nearest to each fold along its crest, and its neighbours with it, or sharp crests would look torn.

    Args:
        wall: The wall.
        rings: Arc lengths of the rings [m], shape (n,).
        angles: Angles of their vertices [rad], shape (m,).

    Returns:
        Arc length of each vertex [m], shape (n, m), increasing along each column.
    """
    arcs = np.repeat(rings[:, None], len(angles), axis=1)
    for fold in wall.folds:
        edge, height = crest(fold, angles)
        nearest = rings[np.abs(rings - fold.arc).argmin()]
        near = np.flatnonzero(np.abs(rings - nearest) < SNAP)
        weight = np.cos((rings[near] - nearest) * (np.pi / 2 / SNAP)) ** 2
        arcs[near] += weight[:, None] * (np.minimum(4.0 * height, 1.0) * (edge - nearest))
    # Where two folds pull the same vertex, order along the bowel comes first.
    return np.sort(np.clip(arcs, 0.0, rings[-1]), axis=0)


@dataclass(frozen=True)
class WallGrid:
    """The wall's mesh as rings of AROUND vertices."""

    arcs: Array
    """Arc length of each vertex [m], shape (n, AROUND)."""
    points: Array
    """[m], shape (n, AROUND, 3)."""
    middle: Array
    """The course where each ring stands [m], shape (n, 3)."""


def wall_grid(wall: Wall) -> WallGrid:
    """Place the vertices of the wall's mesh."""
    angles: Array = np.arange(AROUND, dtype=np.float64) * (2 * np.pi / AROUND)
    arcs = snap_rings(wall, ring_places(wall), angles)
    middle = np.stack([np.interp(arcs.mean(axis=1), wall.course.arc, column) for column in wall.course.points.T], 1)
    return WallGrid(arcs, wall.points(arcs, np.broadcast_to(angles, arcs.shape)), middle)


def mesh_wall(wall: Wall, grid: WallGrid | None = None) -> Mesh:
    """Build the closed surface, normals outwards: rings, a flat disc at the anus, a pole at the blind end."""
    points = (grid or wall_grid(wall)).points
    body = points.reshape(-1, 3)
    vertices = np.concatenate([body, wall.course.points[:1], wall.course.points[-1:]])
    corner = np.arange(len(points) * AROUND).reshape(len(points), AROUND)
    a, b = corner[:-1], np.roll(corner, -1, axis=1)[:-1]
    c, d = corner[1:], np.roll(corner, -1, axis=1)[1:]
    # Each quadrilateral is cut along its shorter diagonal, which keeps ridges whole and triangles fat.
    across = np.linalg.norm(vertices[b] - vertices[c], axis=-1) <= np.linalg.norm(vertices[a] - vertices[d], axis=-1)
    first = np.where(across[..., None], np.stack([a, b, c], -1), np.stack([a, b, d], -1))
    second = np.where(across[..., None], np.stack([b, d, c], -1), np.stack([a, d, c], -1))
    disc = np.stack([np.roll(corner[0], -1), corner[0], np.full(AROUND, len(body))], -1)
    pole = np.stack([corner[-1], np.roll(corner[-1], -1), np.full(AROUND, len(body) + 1)], -1)
    triangles = np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3), disc, pole])
    return Mesh(vertices.astype(np.float32), triangles.astype(np.int32))

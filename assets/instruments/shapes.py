"""Shapes of jaws, tips and shafts, in the axes of the tip: z forward, x along the axis of the jaws.

Sizes are those of common reusable instruments: 5 mm shafts of 330 mm, 10 mm laparoscopes of 310 mm (Karl Storz,
CLICKLINE and HOPKINS catalogues of laparoscopy), 8 mm shafts of the da Vinci EndoWrist; details are drawn by eye.
"""

import numpy as np
from numpy.typing import NDArray

from assets.instruments.device import Ball
from assets.instruments.solids import bar, bent_wire, joined, loft, moved, turned
from assets.mesh import Mesh
from assets.transforms import compose

TOOTH_PITCH = 1.0e-3
"""Distance of the grasper's teeth [m]."""
_TOOTH_DEPTH = 3.0e-4  # [m]


def half_turn(mesh: Mesh) -> Mesh:
    """Turn about z by 180 degrees: the other jaw of a pair."""
    return moved(mesh, compose(np.diag([-1.0, -1.0, 1.0]), np.zeros(3)))


def grasper_jaw(length: float, width: float) -> Mesh:
    """Return the jaw on the side of +y of a blunt grasper, its axis at the origin; its teeth meet the plane y = 0."""
    blade_start = 0.22 * length
    teeth = np.arange(blade_start, 0.97 * length, TOOTH_PITCH / 2)
    stations = [(-0.45 * width, 0.55, 0.0), (0.0, 0.62, 0.0), (0.15 * length, 0.7, 0.0)]
    stations += [(float(z), 1.0, _TOOTH_DEPTH * (index % 2)) for index, z in enumerate(teeth)]
    sections = []
    for z, breadth, gap in [*stations, (length, 0.55, _TOOTH_DEPTH)]:
        along = np.clip(z / length, 0, 1)
        half = width / 2 * breadth * (1 - 0.25 * along**2) * (1 - 0.45 * max(0.0, (along - 0.85) / 0.15) ** 2)
        height = width * (0.46 - 0.2 * along) * (1 - 0.4 * max(0.0, (along - 0.85) / 0.15) ** 2)
        sections.append((z, _half_round(half, gap, height)))
    return bar(sections)


def scissors_blade(length: float, width: float, side: float) -> Mesh:
    """Return a blade of curved scissors, its axis at the origin; side 1 opens to +y and lies at +x, side -1 the other.

    Both curve towards +x; their flat faces slide on each other in the plane of their curve.
    """
    thickness = 0.27 * width
    sections = []
    for z in np.linspace(-0.4 * width, length, 24):
        along = np.clip(z / length, 0, 1)
        high = width * (0.5 - 0.34 * along) * (1 - 0.55 * max(0.0, (along - 0.9) / 0.1) ** 2)
        low = -0.08 * width * (1 - along) - 2.0e-4
        thick = thickness * (1 - 0.45 * along)
        shift = 0.09 * length * along**2
        face = 1.0e-5
        profile = [(face, low), (face, high), (0.6 * thick, high), (thick, 0.45 * high), (0.8 * thick, 0.1 * high)]
        sections.append((float(z), np.array([(side * x + shift, side * y) for x, y in profile])))
    return bar(sections)


def clevis(radius: float, pivot: float, start: float, gap: float, *, rounded: bool = False) -> Mesh:
    """Return a fork that holds a pin along x at z = `pivot`; its prongs leave `gap` between them.

    Args:
        radius: Of the shaft that the fork continues [m].
        pivot: z of the pin [m].
        start: z of the fork's other end [m].
        gap: Between the prongs [m].
        rounded: Round the other end too, since it turns about a pin of its own.
    """
    turn = np.radians([0.0, 25.0, 45.0, 60.0, 72.0, 82.0])
    ends = [(pivot + 0.8 * radius * np.sin(angle), np.cos(angle)) for angle in turn]
    if rounded:
        ends = [(start + 0.8 * radius * (1 - np.sin(angle)), np.cos(angle)) for angle in turn[::-1]] + ends
    else:
        ends = [(start, 1.0), *ends]
    prongs = [
        bar([(float(z), _segment(radius, gap / 2, side, float(width))) for z, width in ends]) for side in (1.0, -1.0)
    ]
    pin = moved(turned([(-radius, 0.28 * radius), (radius, 0.28 * radius)], around=20), _x_from_z(pivot))
    return joined([*prongs, pin])


def shaft(radius: float, start: float, end: float) -> Mesh:
    """Return a rod from z = `start` to z = `end` with a bevelled end."""
    return turned([(start, radius), (end - 0.3 * radius, radius), (end, 0.8 * radius)])


def pulley(radius: float, width: float) -> Mesh:
    """Return a disc about the x axis."""
    return moved(turned([(-width / 2, radius), (width / 2, radius)]), _x_from_z(0.0))


def hook_wire(reach: float, side: float, radius: float) -> Mesh:
    """Return the electrode of an L hook: straight out to z = 0, then to the side of +y, which is image down."""
    bend = 1.6 * radius
    turn = np.linspace(0, np.pi / 2, 8)
    straight = np.array([[0.0, 0.0, -reach], [0.0, 0.0, -reach / 2], [0.0, 0.0, -radius - bend - 1e-4]])
    arc = np.stack([0 * turn, bend * (1 - np.cos(turn)), bend * np.sin(turn) - radius - bend], axis=-1)
    foot = np.array([[0.0, y, -radius] for y in np.linspace(bend + 2e-4, side, 6)])
    points = np.concatenate([straight, arc, foot, [[0.0, side + 0.3 * radius, -radius]]])
    radii = np.full(len(points), radius)
    radii[-1] = 0.6 * radius
    return bent_wire(points, radii)


def suction_tube(radius: float, start: float) -> Mesh:
    """Return a tube with an open, rounded mouth at z = 0 and a bore that ends in the dark."""
    wall = 0.28 * radius
    lip = [(-0.7 * wall, radius), (-0.15 * wall, radius - 0.25 * wall), (0.0, radius - 0.5 * wall)]
    bore = [(-0.15 * wall, radius - 0.8 * wall), (-0.7 * wall, radius - wall), (-6 * radius, radius - wall)]
    return turned([(start, radius), *lip, *bore])


def side_holes(radius: float) -> Mesh:
    """Return the dark mouths of the side holes of a suction tube."""
    disc = turned([(radius - 3e-4, 0.0007), (radius + 2e-5, 0.0007)], around=16)
    holes = []
    for row, z in enumerate((-0.006, -0.010, -0.014)):
        for quarter in range(2):
            angle = np.pi * quarter + np.pi / 2 * (row % 2)
            about_z = np.array(
                [[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, 1.0]]
            )
            holes.append(moved(disc, compose(about_z @ _x_from_z(0.0)[:3, :3], np.array([0.0, 0.0, z]))))
    return joined(holes)


def scope_end(radius: float, start: float, view_angle: float) -> tuple[Mesh, Mesh]:
    """Return a laparoscope's shaft, whose end face stands across the direction of view, and its window."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)

    def ring(size: float, back: float) -> NDArray[np.float64]:
        flat = size * circle
        return np.column_stack([flat, flat[:, 1] * np.tan(view_angle) - back])

    level = np.column_stack([circle, np.full(len(angle), start)])
    body = np.stack(
        [level * [0.97, 0.97, 1], level, ring(1.0, 4e-4), ring(0.985, 1e-4), ring(0.95, 0.0), ring(0.9, 0.0)]
    )
    glass = np.stack([ring(0.45, 5e-4), ring(0.45, -2e-5), ring(0.43, -3e-5)])
    return loft(body), loft(glass)


def balls_along(start: float, end: float, radius: float, *, y: float = 0.0) -> tuple[Ball, ...]:
    """Return spheres along z from `start` to `end`, one radius apart: 13 % of a radius is lost between two of them."""
    count = max(2, int(np.ceil((end - start - 2 * radius) / radius)) + 1)
    places = np.linspace(start + radius, end - radius, count)
    return tuple(Ball((0.0, y, float(z)), radius) for z in places)


def rim_balls(radius: float, view_angle: float) -> tuple[Ball, ...]:
    """Return spheres under the rim of a laparoscope's end face, since it is the rim that touches first."""
    small = 0.2 * radius
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    x, y = (radius - small) * np.cos(angle), (radius - small) * np.sin(angle)
    z = y * np.tan(view_angle) - small / np.cos(view_angle)
    return tuple(Ball((float(a), float(b), float(c)), small) for a, b, c in zip(x, y, z, strict=True))


def _half_round(half: float, low: float, high: float) -> NDArray[np.float64]:
    angle = np.linspace(0, np.pi, 9)
    arc = np.stack([half * np.cos(angle), low + 2e-4 + (high - low - 2e-4) * np.sin(angle)], axis=-1)
    return np.concatenate([[(-half, low), (half, low)], arc])


def _segment(radius: float, chord: float, side: float, rounding: float) -> NDArray[np.float64]:
    """Return the part of a disc beyond the chord x = `chord` on one side, narrowed in y."""
    reach = np.arccos(chord / radius)
    angle = np.linspace(-reach, reach, 9)
    return np.stack([side * radius * np.cos(angle), rounding * radius * np.sin(angle)], axis=-1)


def _x_from_z(z: float) -> NDArray[np.float64]:
    """Turn the z axis into x, and shift along z."""
    return compose(np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]), np.array([0.0, 0.0, z]))

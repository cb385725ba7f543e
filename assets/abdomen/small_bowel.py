"""The small bowel: one tube, coiled into the room that the other organs leave it, that nowhere runs through itself."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from assets.abdomen.body import Body
from assets.abdomen.gut import STEP, Tube
from assets.abdomen.lattice import Array, Box, Field, sample, slopes

RADII = (0.0122, 0.0098)
"""At the jejunum's start and at the ileum's end [m]: 24.5 and 18.7 mm wide (MR enterography, Cronin et al., Eur. J.
Radiol.)."""
LINK = 0.0065
"""Distance of the nodes that are relaxed [m]."""
ROOM = 0.0034
"""Wanted between the walls of two loops: peritoneum and some fat [m]."""
LOOP = 0.046
"""Width of a coil [m]; chosen after pictures."""
THINNEST = 0.0060
"""Least radius: below it the lattice would lose the tube [m]."""
ROUNDS = 150
"""Of the relaxation; loops that still touch are made thinner there."""
# Where the coils lie in the template [m]: below the transverse mesocolon, above the pelvis, on the posterior wall.
LOW = np.array([-0.088, -0.044, -0.150])
HIGH = np.array([0.084, 0.012, 0.004])
FLEXURE = np.array([-0.030, -0.024, 0.022])
"""The duodenojejunal flexure."""
VALVE = np.array([0.078, -0.030, -0.088])
"""Where the ileum meets the caecum."""


@dataclass(frozen=True)
class Room:
    """Where the coils may lie: negative inside, on a coarse box."""

    box: Box
    field: Field

    def push(self, points: Float[np.ndarray, "n 3"], depth: Float[np.ndarray, "n"]) -> Array:
        """Return how far points must move to lie this deep in the room [m], shape (n, 3)."""
        excess = np.maximum(sample(self.box, self.field, points) + depth, 0.0)
        slope = slopes(self.box, self.field, points)
        length = np.maximum(np.linalg.norm(slope, axis=1), 0.3)
        return -slope * (excess / length**2)[:, None]


def coil(rng: np.random.Generator, body: Body, room: Room) -> Tube:
    """Draw the coils and relax them until they lie beside each other in their room.

    Args:
        rng: Of the patient.
        body: Its size.
        room: What the wall and the other organs leave free.
    """
    nodes = _meander(rng, body)
    count = len(nodes)
    radius = np.linspace(RADII[0], RADII[1], count) * float(body.scale.prod() ** (1 / 3))
    ends = body.place(np.stack([FLEXURE, VALVE]))
    for turn in range(ROUNDS):
        nodes = _step(nodes, radius, room, ends, strength=0.5 if turn < ROUNDS - 30 else 0.35)
    arc = LINK * np.arange(count)
    fine = np.linspace(0.0, arc[-1], round(arc[-1] / STEP) + 1)
    points = np.stack([np.interp(fine, arc, gaussian_filter1d(column, 0.8)) for column in nodes.T], axis=1)
    points = np.stack([gaussian_filter1d(column, 1.5) for column in points.T], axis=1)
    wanted = np.interp(fine, arc, radius)
    for _ in range(30):  # no neighbour may cut the tube through
        points[1:-1] += (0.6 * room.push(points, np.full(len(points), 0.7 * radius.min())))[1:-1]
        points[1:-1] += 0.3 * ((points[2:] + points[:-2]) / 2 - points[1:-1])
    ripple = gaussian_filter1d(rng.standard_normal(len(fine)), 5.0) * np.sqrt(2 * np.sqrt(np.pi) * 5.0)
    wanted = wanted * (1.0 + 0.05 * np.clip(ripple, -1.6, 1.6))
    return Tube(points, _fitting(points, wanted))


def _meander(rng: np.random.Generator, body: Body) -> Array:
    """Lay coils in columns, layer by layer from the back; shape (n, 3), LINK apart."""
    pitch = 2 * float(np.mean(RADII)) + ROOM
    low, high = LOW, HIGH
    layers = max(2, int(np.ceil((high[1] - low[1]) / pitch)))
    columns = round((high[0] - low[0]) / LOOP)
    rows = round((high[2] - low[2]) / pitch)
    xs = np.linspace(low[0], high[0], columns + 1)
    path: list[Array] = [FLEXURE]
    for layer in range(layers):
        y = low[1] + (layer + 0.5) * (high[1] - low[1]) / layers
        order = range(columns) if layer % 2 == 0 else range(columns - 1, -1, -1)
        for visit, column in enumerate(order):
            left, right = xs[column] + 0.35 * pitch, xs[column + 1] - 0.35 * pitch
            levels = np.linspace(high[2], low[2], rows)
            if (visit + layer) % 2:
                levels = levels[::-1]
            for row, z in enumerate(levels):
                a, b = (left, right) if row % 2 == 0 else (right, left)
                path += [np.array([a, y, z]), np.array([(a + b) / 2, y + 0.004, z]), np.array([b, y, z])]
    path.append(VALVE)
    nodes = np.array(path) + rng.normal(0.0, 0.004, (len(path), 3))
    # slow displacements make the columns cross and slant
    for wave in rng.standard_normal((5, 3)):
        phase = nodes @ (2 * np.pi * wave / (0.11 * np.linalg.norm(wave))) + rng.uniform(0, 2 * np.pi)
        nodes = nodes + 0.0065 * np.sin(phase)[:, None] * rng.standard_normal(3)
    nodes[0], nodes[-1] = FLEXURE, VALVE
    nodes = body.place(nodes)
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(nodes, axis=0), axis=1))])
    at = np.linspace(0.0, arc[-1], round(arc[-1] / LINK) + 1)
    return np.stack([np.interp(at, arc, column) for column in nodes.T], axis=1)


def _step(nodes: Array, radius: Array, room: Room, ends: Array, strength: float) -> Array:
    """Move the nodes once: keep their distances, bend softly, keep loops apart, stay in the room."""
    count = len(nodes)
    move = np.zeros_like(nodes)
    # bending: neighbours next but one keep a distance, so no bend is tighter than the tube is wide
    across = nodes[4:] - nodes[:-4]
    length = np.linalg.norm(across, axis=1, keepdims=True)
    short = np.maximum(1.45 * radius[2:-2, None] - length, 0.0) * across / np.maximum(length, 1e-6)
    move[4:] += 0.25 * short
    move[:-4] -= 0.25 * short
    smooth = (nodes[2:] + nodes[:-2]) / 2 - nodes[1:-1]
    move[1:-1] += 0.22 * smooth
    pairs = cKDTree(nodes).query_pairs(2 * float(radius.max()) + ROOM, output_type="ndarray")
    pairs = pairs[np.abs(pairs[:, 1] - pairs[:, 0]) > 6]
    apart = nodes[pairs[:, 1]] - nodes[pairs[:, 0]]
    distance = np.maximum(np.linalg.norm(apart, axis=1), 1e-6)
    excess = np.maximum(radius[pairs[:, 0]] + radius[pairs[:, 1]] + ROOM - distance, 0.0)
    shove = (strength * excess / distance)[:, None] * apart
    for axis in range(3):
        move[:, axis] += np.bincount(pairs[:, 1], shove[:, axis], count) / 2
        move[:, axis] -= np.bincount(pairs[:, 0], shove[:, axis], count) / 2
    largest = 0.4 * float(radius.min())
    size = np.linalg.norm(move, axis=1, keepdims=True)
    nodes = nodes + move * np.minimum(1.0, largest / np.maximum(size, 1e-9))
    nodes = nodes + 0.7 * room.push(nodes, radius + 0.0015)
    nodes[0], nodes[-1] = ends
    for _ in range(3):
        link = np.diff(nodes, axis=0)
        length = np.maximum(np.linalg.norm(link, axis=1, keepdims=True), 1e-9)
        fix = 0.5 * (1.0 - LINK / length) * link
        for start in (0, 1):
            nodes[start:-1:2] += fix[start::2]
            nodes[start + 1 :: 2] -= fix[start::2]
            link = np.diff(nodes, axis=0)
            length = np.maximum(np.linalg.norm(link, axis=1, keepdims=True), 1e-9)
            fix = 0.5 * (1.0 - LINK / length) * link
        nodes[0], nodes[-1] = ends
    return nodes


def _fitting(points: Array, wanted: Array) -> Array:
    """Make the tube thinner where it would touch itself; shape (n,)."""
    pairs: NDArray[np.intp] = cKDTree(points).query_pairs(2.2 * float(wanted.max()), output_type="ndarray")
    pairs = pairs[np.abs(pairs[:, 1] - pairs[:, 0]) * STEP > np.pi * float(wanted.max())]
    distance = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    most = np.full(len(points), np.inf)
    share = wanted[pairs[:, 0]] / (wanted[pairs[:, 0]] + wanted[pairs[:, 1]])
    free = distance - 0.0028
    np.minimum.at(most, pairs[:, 0], free * share)
    np.minimum.at(most, pairs[:, 1], free * (1.0 - share))
    fitted = np.minimum(wanted, np.maximum(most, THINNEST))
    return np.minimum(fitted, gaussian_filter1d(fitted, 1.5))

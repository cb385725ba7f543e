"""The course of the large bowel through a supine abdomen: a template a segment, then relaxed until nothing collides."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from assets.colon.segments import Segments

Array = NDArray[np.float64]

STEP = 0.008
"""Distance between the nodes that are relaxed [m]."""

# Where the bowel is held, in RAS axes about the middle of the abdomen [m]: the rectum in the sacral hollow, the
# descending and ascending colon on the posterior wall, the splenic flexure higher and further back than the hepatic one
# (Gray's Anatomy, 41st edition, chapter 66). The abdomen is 30 to 34 cm wide and 20 to 22 cm deep inside.
RECTUM = np.array(
    [
        [0.000, -0.034, -0.216],
        [0.000, -0.028, -0.188],
        [0.000, -0.040, -0.164],
        [0.008, -0.062, -0.146],
        [-0.008, -0.075, -0.122],
        [0.004, -0.068, -0.100],
    ]
)
RECTOSIGMOID = np.array([0.000, -0.048, -0.082])
SIGMOID_DESCENDING = np.array([-0.105, -0.045, -0.055])
SPLENIC_FLEXURE = np.array([-0.112, -0.058, 0.172])
HEPATIC_FLEXURE = np.array([0.112, -0.035, 0.110])
CAECUM_TOP = np.array([0.112, -0.040, -0.045])
CAECUM_END = np.array([0.095, -0.012, -0.100])
BODY = np.array([0.160, 0.112])
"""Half width and half depth of the abdomen [m]."""
SPINE = np.array([0.0, -0.112])
"""The middle of the vertebral bodies, x and y [m]."""
SPINE_RADIUS = 0.045
"""[m]; lumbar vertebral bodies are 4 to 5 cm wide (Zhou et al., Eur. Spine J. 9, 2000), with the psoas beside them."""
TOP, BOTTOM = 0.20, -0.25
"""Diaphragm and pelvic floor, z [m]."""

BEND = 1.42
"""Least radius of a bend over the radius of the lumen: below 1 the wall would fold into itself."""
CLEAR = 1.19
"""Least distance of two limbs' centrelines over the sum of their radii: haustra bulge out by up to 17 %."""
SHARPEST = 0.034
"""Least radius of any bend [m]. A rigid wall cannot give way as bowel does when an endoscope stretches its bends, so
the bends are those of a colon with the scope in it: an adult scope's bending section turns with some 30 mm (90 mm of it
bend by 180 degrees; Olympus, CF-HQ190 data sheet)."""
SMOOTHINGS = 3
"""Times that narrow bends are smoothed."""
WIDE = 1.3
"""Relaxation aims at bends this much wider, since nodes on a polyline know their curvature only roughly."""
GAP = 0.006
"""Between the lumens of two limbs: two walls of 1 to 2 mm (Horton, RadioGraphics 20, 2000) and some fat [m]."""


@dataclass(frozen=True)
class Course:
    """A smooth curve from the anus to the blind end of the caecum."""

    arc: Array
    """Arc length of each point [m], shape (n,)."""
    points: Array
    """Positions [m], shape (n, 3), about 1 mm apart."""
    tangents: Array
    """Unit tangents, shape (n, 3)."""
    curvature: Array
    """[1/m], shape (n,)."""
    node: Array
    """Which of the nodes that it was drawn from lies here, as a fraction between neighbours, shape (n,)."""


def _bow(start: Array, end: Array, count: int, waves: list[tuple[int, Array]], length: float) -> Array:
    """Bow a straight line by sine waves, as strongly as gives it this length; shape (count, 3)."""
    t = np.linspace(0.0, 1.0, 16 * count)
    line = start + t[:, None] * (end - start)
    shape = np.zeros_like(line)
    for order, direction in waves:
        shape += np.sin(order * np.pi * t)[:, None] * direction
    low, high = 0.0, 3.0
    for _ in range(40):
        middle = (low + high) / 2
        run = np.linalg.norm(np.diff(line + middle * shape, axis=0), axis=1).sum()
        low, high = (middle, high) if run < length else (low, middle)
    return _resample(line + low * shape, count)


def _resample(points: Array, count: int) -> Array:
    """Place points at equal distances along a polyline; columns after the third ride along; shape (count, ...)."""
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points[:, :3], axis=0), axis=1))])
    at = np.linspace(0.0, arc[-1], count)
    return np.stack([np.interp(at, arc, column) for column in points.T], axis=1)


def _template(rng: np.random.Generator, segments: Segments, counts: list[int]) -> tuple[Array, Array]:
    """Draw the course before relaxation; nodes, shape (n, 3), and how firmly each is held, shape (n,)."""

    def shift(point: Array, deviation: float) -> Array:
        return point + np.clip(rng.normal(0.0, deviation, 3), -2 * deviation, 2 * deviation)

    side = rng.choice([-1.0, 1.0])
    rectum = RECTUM * [side, 1.0, 1.0]
    rectosigmoid = shift(RECTOSIGMOID, 0.006)
    junction, splenic = shift(SIGMOID_DESCENDING, 0.007), shift(SPLENIC_FLEXURE, 0.008)
    hepatic, top, end = shift(HEPATIC_FLEXURE, 0.009), shift(CAECUM_TOP, 0.007), shift(CAECUM_END, 0.007)

    def wave(x: float, y: float, z: float, deviation: float) -> Array:
        return np.array([x, y, z]) + rng.normal(0.0, deviation, 3)

    sides = rng.choice([-1.0, 1.0], 4)
    # A scope straightens what it passes: a wide loop is left of each segment with a mesentery, and gentle waves on it.
    sigmoid_waves = [
        (1, wave(0.02, 0.06, 0.09, 0.02)),  # the loop rises out of the pelvis, forwards
        (2, wave(0.03 * sides[0], 0.00, 0.015 * sides[1], 0.008)),
        (3, wave(0.008 * sides[2], 0.006, -0.010, 0.005)),
        (4, wave(0.00, 0.00, 0.00, 0.003)),
    ]
    transverse_waves = [
        (1, wave(0.00, 0.075, -0.10, 0.015)),  # it sags forwards and down
        (2, wave(0.00, 0.006, 0.010, 0.010)),
        (3, wave(0.00, 0.004, -0.012, 0.005)),
        (4, wave(0.00, 0.000, 0.000, 0.004)),
    ]
    descending_waves = [(k, wave(0.0, 0.0, 0.0, 0.015 / k**2)) for k in (1, 2, 3)]
    ascending_waves = [(k, wave(0.0, 0.0, 0.0, 0.012 / k**2)) for k in (1, 2)]
    lengths = segments.lengths
    pieces = [
        _resample(CubicSpline(np.arange(7), np.vstack([rectum, rectosigmoid]))(np.linspace(0, 6, 200)), counts[0] + 1),
        _bow(rectosigmoid, junction, counts[1] + 1, sigmoid_waves, lengths[1]),
        _bow(junction, splenic, counts[2] + 1, descending_waves, lengths[2]),
        _bow(splenic, hepatic, counts[3] + 1, transverse_waves, lengths[3]),
        _bow(hepatic, top, counts[4] + 1, ascending_waves, lengths[4]),
        _resample(np.stack([top, end]), counts[5] + 1),
    ]
    nodes = np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])])
    # Retroperitoneal segments are held firmly, those with a mesentery hardly.
    hold = np.concatenate(
        [[1.0], *(np.full(n, h) for n, h in zip(counts, (0.3, 0.0, 0.05, 0.0, 0.05, 0.05), strict=True))]
    )
    hold[:5] = 1.0
    for index in np.cumsum(counts)[1:4]:
        hold[index - 1 : index + 2] = 0.15
    return nodes, hold


def _relax(nodes: Array, hold: Array, radius: Array, rest: Array, anchor: Array, iterations: int) -> Array:
    """Move nodes until edges have their lengths, bends are wide enough, limbs keep apart and all lie in the body."""
    x = nodes.copy()
    step = float(rest.mean())
    arc = np.concatenate([[0.0], np.cumsum(rest)])
    first, second = np.triu_indices(len(x), 2)
    apart = arc[second] - arc[first]
    keep = apart > np.pi * _least_bend(np.maximum(radius[first], radius[second]))
    first, second = first[keep], second[keep]
    distance = radius[first] + radius[second] + GAP + 0.12 * (radius[first] + radius[second])  # haustra bulge out
    free = (1.0 - hold)[:, None]
    inside = arc > 0.16  # the rectum lies behind the abdomen's ellipse
    for turn in range(iterations):
        if turn == iterations // 2:  # what is held lets go, so that it can make room
            hold = np.where(hold == 1.0, 1.0, 0.1 * hold)
            free = (1.0 - hold)[:, None]
        # At the end bends come before lengths: a segment may rather grow or shrink a little.
        stretch = 0.4 if turn < 3 * iterations // 4 else 0.1
        x += 0.3 * hold[:, None] * (anchor - x)
        gap = x[second] - x[first]
        length = np.sqrt(np.einsum("ij,ij->i", gap, gap))
        close = np.flatnonzero(length < distance)
        if len(close):
            push = 0.25 * ((distance[close] - length[close]) / np.maximum(length[close], 1e-6))[:, None] * gap[close]
            move, share = np.zeros_like(x), np.ones(len(x))
            np.add.at(move, first[close], -push)
            np.add.at(move, second[close], push)
            np.add.at(share, first[close], 0.5)
            np.add.at(share, second[close], 0.5)
            x += free * move / np.sqrt(share)[:, None]
        for width in (1, 2, 3, 4) if turn % 2 else (4, 2, 1):
            least = WIDE * _least_bend(radius[width:-width])
            angle = np.minimum(width * step / least, np.pi / 2)
            bow = (x[: -2 * width] + x[2 * width :]) / 2 - x[width:-width]
            size = np.linalg.norm(bow, axis=1)
            excess = np.maximum(size - least * (1.0 - np.cos(angle)), 0.0) / np.maximum(size, 1e-9)
            move = 0.35 * excess[:, None] * bow
            x[width:-width] += free[width:-width] * move
            x[: -2 * width] -= free[: -2 * width] * move / 2
            x[2 * width :] -= free[2 * width :] * move / 2
        ellipse = BODY - radius[:, None] - 0.004
        far = np.sqrt(((x[:, :2] / ellipse) ** 2).sum(axis=1))
        scale = np.where(inside & (far > 1.0), 1.0 / np.maximum(far, 1e-9), 1.0)
        x[:, :2] *= 1.0 + (scale - 1.0)[:, None] * free
        from_spine = x[:, :2] - SPINE
        spine = np.linalg.norm(from_spine, axis=1)
        lack = np.where(inside, np.maximum(SPINE_RADIUS + radius - spine, 0.0) / np.maximum(spine, 1e-9), 0.0)
        x[:, :2] += 0.5 * free * lack[:, None] * from_spine
        x[:, 2] += free[:, 0] * (np.clip(x[:, 2], BOTTOM + radius, TOP - radius) - x[:, 2])
        for start in (0, 1):
            a, b = slice(start, len(x) - 1, 2), slice(start + 1, len(x), 2)
            edge = x[b] - x[a]
            size = np.linalg.norm(edge, axis=1)
            move = (stretch * (size - rest[start::2]) / np.maximum(size, 1e-9))[:, None] * edge
            x[a] += free[a] * move
            x[b] -= free[b] * move
    return x


def _least_bend(radius: Array) -> Array:
    """Return the least radius of a bend [m] for a lumen of this radius [m]."""
    return np.maximum(BEND * radius, SHARPEST)


def _blur(points: Array, width: float) -> Array:
    """Smooth along a curve by a Gaussian [points], applied so that bends keep their radius and the ends their places.

    One Gaussian would draw every bend inwards; adding back what a second one takes away (Tukey's twicing) does not.
    """
    pad = min(int(8 * width) + 1, len(points) - 1)
    longer = np.concatenate([2 * points[0] - points[pad:0:-1], points, 2 * points[-1] - points[-2 : -pad - 2 : -1]])
    once = gaussian_filter1d(longer, width, axis=0)
    return np.asarray((2 * once - gaussian_filter1d(once, width, axis=0))[pad:-pad])


def _tangents(points: Array) -> tuple[Array, Array, Array]:
    """Return arc length, unit tangents and curvature of a curve of points at equal distances."""
    arc = np.linspace(0.0, float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum()), len(points))
    tangents = np.gradient(points, arc, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    turn = gaussian_filter1d(np.gradient(tangents, arc, axis=0), 2.0, axis=0)
    return arc, tangents, np.linalg.norm(turn, axis=1)


def smooth_curve(nodes: Array, radius: Array, spacing: float = 0.001) -> Course:
    """Run a smooth curve along nodes and widen every bend that is too narrow for its lumen.

    Args:
        nodes: Positions [m], shape (n, 3).
        radius: Radius of the lumen at each node [m], shape (n,).
        spacing: Distance of the curve's points [m].

    Returns:
        The curve; its ends are those of the nodes.
    """
    number = np.arange(len(nodes), dtype=np.float64)
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(nodes, axis=0), axis=1))])
    fine = np.arange(0.0, chord[-1], spacing)
    rows = _blur(np.column_stack([CubicSpline(chord, nodes)(fine), np.interp(fine, chord, number)]), 14.0)
    for turn in range(SMOOTHINGS + 1):
        run = float(np.linalg.norm(np.diff(rows[:, :3], axis=0), axis=1).sum())
        rows = _resample(rows, round(run / spacing) + 1)
        arc, tangents, curvature = _tangents(rows[:, :3])
        narrow = curvature * _least_bend(np.interp(rows[:, 3], number, radius)) > 1.1
        if turn == SMOOTHINGS or not narrow.any():
            break
        weight = np.clip(gaussian_filter1d(narrow.astype(np.float64), 15.0) * 4.0, 0.0, 1.0)[:, None]
        rows = rows + weight * (_blur(rows, 14.0) - rows)
    return Course(arc, rows[:, :3], tangents, curvature, np.maximum.accumulate(rows[:, 3]))


def draw_course(rng: np.random.Generator, segments: Segments) -> tuple[Course, Segments]:
    """Draw a course with about these lengths and radii.

    Args:
        rng: The only source of chance.
        segments: The patient's lengths and radii.

    Returns:
        The course, and the segments with the lengths that they have on it. `fits` says whether it is fit for use.
    """
    counts = [2 * max(round(float(length) / (2 * STEP)), 3) for length in segments.lengths]
    rest = np.repeat(segments.lengths / counts, counts)
    nodes, hold = _template(rng, segments, counts)
    radius = segments.radius(np.concatenate([[0.0], np.cumsum(rest)]))
    # First every other node: what is wrong over long stretches mends itself in few steps there.
    rough, number = slice(None, None, 2), np.arange(len(nodes), dtype=np.float64)
    some = _relax(nodes[rough], hold[rough], radius[rough], rest[rough] + rest[1::2], nodes[rough], 600)
    nodes = _relax(CubicSpline(number[rough], some)(number), hold, radius, rest, nodes, 60)
    course = smooth_curve(nodes, radius)
    ends = np.interp(np.cumsum(counts), course.node, course.arc)
    return course, Segments(np.diff(np.concatenate([[0.0], ends])), segments.radii)


def fits(course: Course, segments: Segments) -> bool:
    """Tell whether all bends are wide enough for the lumen and no limb runs into another."""
    radius = segments.radius(course.arc)
    if (course.curvature * _least_bend(radius)).max() > 1.25:
        return False
    every = slice(None, None, 5)
    points, arc, radius = course.points[every], course.arc[every], radius[every]
    first, second = np.triu_indices(len(points), 1)
    apart = arc[second] - arc[first] > 0.9 * np.pi * _least_bend(np.maximum(radius[first], radius[second]))
    first, second = first[apart], second[apart]
    clear = np.linalg.norm(points[first] - points[second], axis=1) / (radius[first] + radius[second])
    return bool(clear.min() > CLEAR)

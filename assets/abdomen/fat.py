"""Fat that drapes over the bowel: the mesentery between the loops, and the greater omentum's apron upon them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, grey_closing
from scipy.spatial import cKDTree

from assets.abdomen.body import Body
from assets.abdomen.lattice import Array, Box, Field
from assets.abdomen.solids import Solid

Grid = NDArray[np.float64]

LOBULE = 0.013
"""Width of the lobules of the omentum [m]; chosen after pictures."""
# The apron in the template [m]: from the greater curvature over the transverse colon to below the umbilicus.
APRON = np.array([[-0.104, 0.088], [-0.120, 0.095]])
"""Least and most x, and least and most z."""


@dataclass(frozen=True)
class Drape:
    """A layer of fat between two heights over the frontal plane."""

    box: Box
    """The nodes over which it is laid."""
    top: Grid
    """y of its front at the nodes' x and z [m], shape (i, k)."""
    bottom: Grid
    """y of its back [m]."""

    def function(self, box: Box) -> Field:
        """Evaluate its field at nodes of the same spacing; beyond those it was laid over it goes on as at the edge."""
        assert box.spacing == self.box.spacing, "a drape knows its own nodes only"
        i, k = (
            np.clip(np.arange(n) + a - b, 0, m - 1)
            for n, a, b, m in zip(box.shape[::2], box.low[::2], self.box.low[::2], self.box.shape[::2], strict=True)
        )
        y = box.axes[1]
        parts = []
        for height, sign in ((self.top, 1.0), (self.bottom, -1.0)):
            dx, dz = np.gradient(height, box.spacing)
            lean = np.sqrt(1.0 + np.minimum(dx * dx + dz * dz, 8.0))
            lean, level = lean[np.ix_(i, k)][:, None, :], height[np.ix_(i, k)][:, None, :]
            parts.append(np.asarray(sign * (y - level) / lean, dtype=np.float32))
        return np.maximum(parts[0], parts[1])

    def solid(self, name: str, label: str) -> Solid:
        """Give it a name; it is meshed at the nodes that it was laid over."""
        low = self.box.origin + 2 * self.box.spacing
        high = self.box.origin + (np.array(self.box.shape) - 3) * self.box.spacing
        return Solid(name, label, "fat", self.function, low, high, nodes=self.box)


def heights(box: Box, solids: Sequence[Solid], lowest: float) -> Grid:
    """Return y of the highest surface under each node of the frontal plane [m], `lowest` where there is none."""
    union = np.full(box.shape, 1.0, np.float32)
    for solid in solids:
        np.minimum(union, solid.function(box), out=union)
    within = union < 0
    first = box.shape[1] - 1 - np.argmax(within[:, ::-1], axis=1)
    i, k = np.indices(first.shape)
    upper = np.minimum(first + 1, box.shape[1] - 1)
    below, above = union[i, first, k].astype(float), union[i, upper, k].astype(float)
    part = np.where(above > below, -below / np.maximum(above - below, 1e-9), 0.0)
    height = (first + np.clip(part, 0.0, 1.0) + box.low[1]) * box.spacing
    return np.where(within.any(axis=1), height, lowest)


def mesentery(body: Body, box: Box, height: Grid, cover: float) -> Drape:
    """Fill the valleys between the loops, down to the posterior wall.

    Args:
        body: Its size.
        box: The nodes.
        height: Of the bowel, from `heights`.
        cover: How far the loops stand out of the fat [m].
    """
    smooth = gaussian_filter(grey_closing(height, size=(9, 9)), 3.0)
    x, z = box.axes[0][:, 0, 0].astype(float), box.axes[2][0, 0].astype(float)
    edge = _edge(body, x, z, np.array([[-0.122, 0.118], [-0.176, 0.100]]), 0.03)
    bottom = np.full(height.shape, -1.0)
    return Drape(box, smooth - cover - 0.04 * edge**2, bottom)


def omentum(rng: np.random.Generator, body: Body, box: Box, height: Grid, stomach: Grid) -> Drape:
    """Hang the apron from the greater curvature over all that lies below it; it ends in an irregular edge.

    Args:
        rng: Of the patient.
        body: Its size.
        box: The nodes.
        height: Of stomach and bowel, from `heights`.
        stomach: Of the stomach alone.
    """
    drape = gaussian_filter(grey_closing(height, size=(25, 25)), 4.0)
    x, z = box.axes[0][:, 0, 0].astype(float), box.axes[2][0, 0].astype(float)
    frame = APRON + np.array(
        [[rng.normal(0, 0.006), rng.normal(0, 0.006)], [rng.normal(0, 0.02), rng.normal(0, 0.003)]]
    )
    noise = gaussian_filter(rng.standard_normal(height.shape), 12.0)
    curvature = _lowest(stomach > stomach.min(), z)
    hang = gaussian_filter1d(rng.standard_normal(len(x)), 7.0)
    ragged = (frame[1, 0] * body.scale[2] + 0.011 * hang / hang.std())[:, None] - z[None, :]
    hem = np.maximum(ragged / 0.022 + 1.0, 0.0)
    edge = np.hypot(_edge(body, x, z, frame - [[0.0, 0.0], [0.05, 0.0]], 0.022), hem)
    hem = np.maximum((z[None, :] - curvature[:, None] - 0.008) / 0.022 + 1.0, 0.0)
    edge = np.hypot(edge, hem) + 0.42 * noise / noise.std()
    thick = float(rng.uniform(0.006, 0.0105))
    lobules = _lobules(rng, x, z)
    present = np.clip((1.0 - edge) / 0.55, 0.0, 1.0)
    depth = thick * (0.35 + 0.65 * lobules) * np.sqrt(present) - 0.03 * np.clip(edge - 1.0, 0.0, 1.0)
    top = np.maximum(drape, height + 0.0006) + depth
    return Drape(box, top, np.minimum(drape, height + 0.002) - 0.016)


def _edge(body: Body, x: Array, z: Array, frame: Array, width: float) -> Grid:
    """Return 0 well inside a frame, 1 at its border, more outside; its corners are round."""
    sx, sz = body.scale[0], body.scale[2]
    across = np.maximum(frame[0, 0] * sx - x, x - frame[0, 1] * sx)[:, None] / width + 1.0
    along = np.maximum(frame[1, 0] * sz - z, z - frame[1, 1] * sz)[None, :] / width + 1.0
    return np.asarray(np.hypot(np.maximum(across, 0.0), np.maximum(along, 0.0)))


def _lowest(mask: NDArray[np.bool_], z: Array) -> Array:
    """Return the lowest level of a mask along each column, carried on beyond its ends, shape (i,)."""
    there = np.flatnonzero(mask.any(axis=1))
    return np.asarray(gaussian_filter1d(np.interp(np.arange(len(mask)), there, z[np.argmax(mask[there], axis=1)]), 3.0))


def _lobules(rng: np.random.Generator, x: Array, z: Array) -> Grid:
    """Return a pattern of cushions between 0 and 1 over the plane."""
    area = float((x[-1] - x[0]) * (z[-1] - z[0]))
    count = int(area / LOBULE**2)
    seeds = np.stack([rng.uniform(x[0], x[-1], count), rng.uniform(z[0], z[-1], count)], axis=1)
    grid = np.stack(np.meshgrid(x, z, indexing="ij"), axis=-1)
    distance = cKDTree(seeds).query(grid.reshape(-1, 2), k=2)[0]
    gap = (distance[:, 1] - distance[:, 0]).reshape(len(x), len(z))
    return np.asarray(gaussian_filter(np.sqrt(np.clip(gap / (0.9 * LOBULE), 0.0, 1.0)), 0.9))

"""A tileable image of the vessels under the mucosa: trees grown on a torus, wide ones first, at a distance."""

import heapq
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

VESSEL_SIZE = 1024
"""Texels along an edge of the finest image; a power of two."""
VESSEL_TILE = 0.05
"""Edge of the image [m]."""
VESSEL_LEVELS = 8
"""Images of halved size for vessels farther away."""
VESSEL_TEXELS = sum(((VESSEL_SIZE >> level) + 1) ** 2 for level in range(VESSEL_LEVELS))
"""Texels of all levels together."""

_WIDEST = 0.55e-3
"""Width of the trunks [m]: chosen from colonoscopy, where a polyp of 5 mm is some six of them across."""
_FINEST = 0.08e-3
"""Width at which a vessel is no longer drawn [m]."""
_TRUNKS = 5
_PERFORATORS = 60
"""Vessels that come up from the depth where the net has a gap."""
_STEP = 0.3e-3  # m
_CELL = 0.25e-3  # m, of the grid that says which vessel is where
_FREE = 1.3e-3  # m, at which a vessel turns away from another


class _Net:
    """Vessels on a torus, drawn at twice the final size."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.size = 2 * VESSEL_SIZE
        self.deep, self.shallow = (np.zeros((self.size, self.size), np.float32) for _ in range(2))
        self.cells = int(VESSEL_TILE / _CELL)
        self.owner = np.full((self.cells, self.cells), -1, np.int32)
        self.count = 0
        self.waiting: list[tuple[float, int, float, float, float, int]] = []

    def add(self, x: float, y: float, heading: float, width: float, parent: int) -> None:
        heapq.heappush(self.waiting, (-width, self.count, x, y, heading, parent))
        self.count += 1

    def grow(self) -> None:
        """Grow all that wait, the widest first."""
        while self.waiting:
            negative, name, x, y, heading, parent = heapq.heappop(self.waiting)
            self._grow_one(name, x, y, heading, -negative, parent)

    def emptiest(self) -> tuple[float, float]:
        """Return a point [m] as far as can be from all vessels."""
        free = np.tile((self.owner < 0).astype(np.uint8), (2, 2))
        distance = cv2.distanceTransform(free, cv2.DIST_L2, 3)
        half = self.cells // 2
        middle = distance[half : half + self.cells, half : half + self.cells]
        row, column = divmod(int(middle.argmax()), self.cells)
        return (column + half) * _CELL % VESSEL_TILE, (row + half) * _CELL % VESSEL_TILE

    def _at(self, x: float, y: float, heading: float, reach: float) -> int:
        column = int((x + reach * np.cos(heading)) / _CELL) % self.cells
        row = int((y + reach * np.sin(heading)) / _CELL) % self.cells
        return int(self.owner[row, column])

    def _grow_one(self, name: int, x: float, y: float, heading: float, width: float, parent: int) -> None:
        rng = self.rng
        turn, gone = 0.0, 0.0
        to_branch = (2 + rng.exponential(3)) * 1e-3 * (0.4 + width / _WIDEST)
        side = rng.choice([-1.0, 1.0])
        while width > _FINEST:
            turn = 0.8 * turn + rng.normal(0, 0.045)
            heading += turn
            left, right = (self._at(x, y, heading + side_angle, _FREE) not in (-1, name) for side_angle in (0.7, -0.7))
            heading += 0.12 * (int(right) - int(left))
            meets = self._at(x, y, heading, 0.5e-3) not in (-1, name, parent) and gone > 1e-3
            next_x, next_y = x + _STEP * np.cos(heading), y + _STEP * np.sin(heading)
            # A vessel that comes from the depth fades in.
            shown = width if parent >= 0 else width * min(1.0, 0.2 + gone / 3e-3)
            self._draw(x, y, next_x, next_y, shown)
            self.owner[int(y / _CELL) % self.cells, int(x / _CELL) % self.cells] = name
            x, y, gone = next_x, next_y, gone + _STEP
            if meets:
                return
            width *= 1 - 0.006
            to_branch -= _STEP
            if to_branch < 0:
                # Murray's law: the cubes of the daughters' calibres add up to the parent's (PNAS 12(3), 1926).
                share = rng.uniform(0.15, 0.5)
                side = -side if rng.random() < 0.75 else side
                self.add(x, y, heading + side * rng.uniform(0.6, 1.2), width * share ** (1 / 3), name)
                width *= (1 - share) ** (1 / 3)
                heading -= side * rng.uniform(0.05, 0.35)
                to_branch = (1 + rng.exponential(2.5)) * 1e-3 * (0.5 + width / _WIDEST)

    def _draw(self, x: float, y: float, next_x: float, next_y: float, width: float) -> None:
        image = self.deep if width > 0.35e-3 else self.shallow
        scale = self.size / VESSEL_TILE
        tile_x, tile_y = (np.floor(value / VESSEL_TILE) * VESSEL_TILE for value in (x, y))
        thick = max(round(width * scale), 1)
        for across in (-VESSEL_TILE, 0.0, VESSEL_TILE):
            for down in (-VESSEL_TILE, 0.0, VESSEL_TILE):
                shift_x, shift_y = across - tile_x, down - tile_y
                if min(x + shift_x, y + shift_y) < -2e-3 or max(x + shift_x, y + shift_y) > VESSEL_TILE + 2e-3:
                    continue
                ends = [
                    (round(16 * scale * (px + shift_x)), round(16 * scale * (py + shift_y)))
                    for px, py in ((x, y), (next_x, next_y))
                ]
                cv2.line(image, ends[0], ends[1], 1.0, thick, cv2.LINE_8, 4)


@cache
def vessel_images() -> Float32[np.ndarray, "m"]:
    """Bake the vessels' absorption from 0 (none) to about 1, all levels one after the other, the finest first.

    The same of the deep ones alone follows. Each level has its first column again behind its last, and then its first
    row behind its last: a pixel and its neighbours never lie at opposite edges.
    """
    rng = np.random.default_rng(7)
    net = _Net(rng)
    for _ in range(_TRUNKS):
        x, y = rng.uniform(0, VESSEL_TILE, 2)
        heading, width = rng.uniform(0, 2 * np.pi), _WIDEST * rng.uniform(0.7, 1.0)
        net.add(x, y, heading, width, 0)
        net.add(x, y, heading + np.pi, width, 0)
    net.grow()
    for _ in range(_PERFORATORS):
        x, y = net.emptiest()
        net.add(x, y, rng.uniform(0, 2 * np.pi), _WIDEST * rng.uniform(0.25, 0.55), -1)
        net.grow()
    # Light spreads in the tissue above a vessel: the deeper it lies, the softer and paler it shows.
    scale = net.size / VESSEL_TILE
    deep, shallow = 0.8 * _blur(net.deep, 0.18e-3 * scale), 0.8 * _blur(net.shallow, 0.06e-3 * scale)
    return np.concatenate([_levels(np.minimum(soft, 1.0)) for soft in (deep + shallow, deep)])


def _levels(image: NDArray[np.float32]) -> NDArray[np.float32]:
    level = cv2.resize(image, (VESSEL_SIZE, VESSEL_SIZE), interpolation=cv2.INTER_AREA)
    levels = [level]
    for _ in range(VESSEL_LEVELS - 1):
        half = len(level) // 2
        level = level.reshape(half, 2, half, 2).mean(axis=(1, 3))
        levels.append(level)
    return np.concatenate([np.pad(image, (0, 1), mode="wrap").ravel() for image in levels]).astype(np.float32)


def _blur(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    reach = int(4 * sigma) + 1
    wrapped = np.pad(image, reach, mode="wrap")
    return np.asarray(cv2.GaussianBlur(wrapped, (0, 0), sigma)[reach:-reach, reach:-reach], dtype=np.float32)

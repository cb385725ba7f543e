"""Every voxel in which a distended lumen differs from the label it was made of, with its cause."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, UInt8
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from assets.lumen.curves import arc_lengths
from assets.lumen.grid import Grid

ADDED = ("distension", "haustra", "anal_canal", "cavity", "straightened_into")
"""Causes of voxels outside the label: opened to the least calibre, made-up pouches, inferred canal, a hole in it,
and what a straightened bend was moved to."""

REMOVED = ("wall", "folds", "between_limbs", "loop", "beyond_anus", "not_reached", "straightened_from")
"""Causes of label voxels outside the lumen: the label's rim is wall, made-up folds, walls between fused limbs, voxels
that would close a loop, beyond the anus's plane, pieces that nothing connects, and what a straightened bend left."""

CAUSES = (*ADDED, *REMOVED)

EVERYWHERE = ("wall", "haustra", "folds")
"""Causes that lie all along the colon, so that a table of their places says nothing."""


@dataclass(frozen=True)
class Tests:
    """What was found out about each voxel on the way."""

    carried: Bool[np.ndarray, "i j k"]
    """The label as it lies about the straightened axis; what follows, `fused` apart, is about it."""
    fused: Bool[np.ndarray, "i j k"]
    """Where limbs touch in the scan."""
    filled: Bool[np.ndarray, "i j k"]
    """Holes of the label."""
    tube: Bool[np.ndarray, "i j k"]
    """Within the least radius of the axis."""
    canal: Bool[np.ndarray, "i j k"]
    """Beside the inferred anal canal's axis."""
    rim: Bool[np.ndarray, "i j k"]
    """Within the wall's thickness of the label's boundary."""
    folds: Bool[np.ndarray, "i j k"]
    """Taken by a made-up fold."""
    behind: Bool[np.ndarray, "i j k"]
    """Beyond the anus's plane."""
    between: Bool[np.ndarray, "i j k"]
    """Refused because another limb is too near."""
    loop: Bool[np.ndarray, "i j k"]
    """Refused because of the topology."""


@dataclass(frozen=True)
class Alterations:
    """The altered voxels: marked, counted, and as a table of places."""

    cause: UInt8[np.ndarray, "i j k"]
    """1 + index in `CAUSES`; 0 where the lumen is as the label has it."""
    places: tuple[dict[str, Any], ...]
    """Rows: cause, voxels, centre_ras_mm, arc_mm (from and to along the colon), without `EVERYWHERE`."""

    def counts(self, causes: tuple[str, ...]) -> dict[str, int]:
        """Return the number of voxels by cause, for causes of `ADDED` or `REMOVED`."""
        number = np.bincount(self.cause.ravel(), minlength=len(CAUSES) + 1)
        return {cause: int(number[1 + CAUSES.index(cause)]) for cause in causes}


def alterations(
    label: Bool[np.ndarray, "i j k"],
    inside: Bool[np.ndarray, "i j k"],
    tests: Tests,
    grid: Grid,
    axis: Float64[np.ndarray, "n 3"],
) -> Alterations:
    """Give each voxel that differs one cause.

    Args:
        label: As the scan has it.
        inside: The lumen.
        tests: What was found out.
        grid: Of all of them.
        axis: Of the colon, RAS [m]; tells where along the colon a place lies.
    """
    cause = np.zeros(label.shape, np.uint8)

    def mark(name: str, voxels: NDArray[np.bool_]) -> None:
        cause[voxels] = 1 + CAUSES.index(name)

    extra, lost = inside & ~label, label & ~inside
    # From the least telling cause to the most telling: the last one stays.
    mark("haustra", extra)
    mark("distension", extra & tests.tube)
    mark("cavity", extra & tests.filled)
    mark("straightened_into", extra & tests.carried)
    mark("anal_canal", extra & tests.canal)
    mark("straightened_from", lost)
    mark("between_limbs", lost & tests.fused)
    lost &= tests.carried
    mark("not_reached", lost)
    # The wall between two limbs is thicker than the faces at which a limb was refused.
    mark("between_limbs", _touching(lost & ~tests.rim & ~tests.folds & ~tests.loop, tests.between))
    mark("loop", lost & tests.loop)
    mark("folds", lost & tests.folds)
    mark("beyond_anus", lost & tests.behind)
    mark("wall", lost & tests.rim)
    rows = [row for name in CAUSES if name not in EVERYWHERE for row in _places(name, cause, grid, axis)]
    return Alterations(cause, tuple(rows))


def _touching(voxels: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the connected pieces that hold a seed."""
    pieces, count = ndimage.label(voxels, np.ones((3, 3, 3)))
    hit = np.bincount(pieces[seeds & voxels], minlength=count + 1) > 0
    hit[0] = False
    return np.asarray(hit[pieces])


def _places(name: str, cause: NDArray[np.uint8], grid: Grid, axis: NDArray[np.float64]) -> list[dict[str, Any]]:
    """List the connected places of a cause, in the order of the colon."""
    voxels = cause == 1 + CAUSES.index(name)
    pieces, count = ndimage.label(voxels, np.ones((3, 3, 3)))
    if count == 0:
        return []
    piece = pieces[voxels] - 1
    world = grid.to_world(np.argwhere(voxels).astype(np.float64))
    arc = arc_lengths(axis)[cKDTree(axis).query(world)[1]] * 1e3
    size = np.bincount(piece, minlength=count)
    centre = np.stack([np.bincount(piece, world[:, a], count) for a in range(3)], axis=1) / size[:, None] * 1e3
    low, high = np.full(count, np.inf), np.zeros(count)
    np.minimum.at(low, piece, arc)
    np.maximum.at(high, piece, arc)
    return [
        {
            "cause": name,
            "voxels": int(size[n]),
            "centre_ras_mm": [round(float(value), 1) for value in centre[n]],
            "arc_mm": [round(float(low[n]), 1), round(float(high[n]), 1)],
        }
        for n in np.argsort(low, kind="stable")
    ]

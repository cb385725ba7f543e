"""Made-up relief: haustral pouches and semilunar folds, which a label map of 3 mm voxels cannot hold."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int
from numpy.typing import NDArray

from assets.lumen.curves import arc_lengths, tangents
from assets.transforms import parallel_frames

FOLD_SPACING = 22e-3
"""Distance of the folds of one row [m]; chosen for the looks, within the 2 to 3 cm that haustra measure on CT."""

FOLD_WIDTH = 2.2e-3
"""Half the thickness of a fold [m]; chosen so that the lumen's voxels can hold it."""


@dataclass(frozen=True)
class Relief:
    """Three rows of pouches between the three taeniae, each with folds of its own."""

    height: float
    """Of pouches and folds [m]; 0 for none."""
    seed: int
    """Places the folds."""

    def shape(
        self, world: Float64[np.ndarray, "v 3"], line: Float64[np.ndarray, "n 3"], index: Int[np.ndarray, "v"]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the height of the pouches and of the folds at voxels, 0 to 1, shape (v,) each.

        Args:
            world: Voxels, RAS [m].
            line: The colon's axis [m].
            index: Nearest point of the line, by voxel.
        """
        rng = np.random.default_rng(self.seed)
        arc = arc_lengths(line)
        frames = parallel_frames(tangents(line), np.array([1.0, 0.3, 0.2]))
        offset = world - line[index]
        angle = np.arctan2((offset * frames[index, :, 1]).sum(axis=1), (offset * frames[index, :, 0]).sum(axis=1))
        row = np.floor((angle + np.pi) / (2 * np.pi / 3)).astype(int) % 3
        count = int(arc[-1] / FOLD_SPACING * 1.5) + 2
        folds = np.cumsum(FOLD_SPACING * rng.uniform(0.7, 1.3, size=(3, count)), axis=1)
        folds -= rng.uniform(0.0, FOLD_SPACING, size=(3, 1))
        phase, from_fold = np.empty(len(index)), np.empty(len(index))
        for sector in range(3):
            own = row == sector
            at = arc[index[own]]
            phase[own] = np.interp(at, folds[sector], np.arange(count))
            from_fold[own] = at - folds[sector][np.rint(phase[own]).astype(int)]
        taenia = np.abs(np.cos(1.5 * (angle + np.pi)))
        pouch = np.abs(np.sin(np.pi * phase)) ** 0.6 * (1.0 - 0.7 * taenia**6)
        fold = np.exp(-((from_fold / FOLD_WIDTH) ** 2)) * np.sqrt(np.maximum(1.0 - taenia**2, 0.0))
        return np.asarray(pouch), np.asarray(fold)

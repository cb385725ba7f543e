"""What is counted in an episode: mucosa seen, polyps found, false alarms, wall contact; defined where it is done."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from assets.mesh import Mesh
from sim.frame import Frame

SEEN_PIXELS = 4  # a patch of mucosa is seen when at least so many pixels of one frame show it,
SEEN_DISTANCE = 0.050  # m: within this straight-line distance,
SEEN_COSINE = float(np.cos(np.radians(75.0)))  # at less than 75 degrees to its normal
PATCH = 0.005  # m: side of the cubes that cut the mucosa into patches

FOUND_IOU = 0.3  # a polyp is found when the predicted mask overlaps its own by this IoU
FOUND_FRAMES = 3  # in at least so many frames; a false alarm is such a run of masks with no polyp
SMALLEST_MASK = 12  # px: smaller predicted regions are ignored


class MucosaSeen:
    """Counts the share of the colon's inner surface that was seen.

    The surface is cut into patches by cubes of 5 mm; a patch is seen when at least 4 pixels of one frame show it from
    within 50 mm and under 75 degrees to its normal. The share is by area.
    """

    def __init__(self, mucosa: Mesh) -> None:
        corners = mucosa.vertices[mucosa.triangles].astype(np.float64)
        self.triangle_count = len(corners)
        """Of the mucosa's mesh."""
        cells = np.floor(corners.mean(axis=1) / PATCH).astype(np.int64)
        cells -= cells.min(axis=0)
        _, self._patch = np.unique(np.ravel_multi_index(cells.T, cells.max(axis=0) + 1), return_inverse=True)
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
        self._area = np.bincount(self._patch, weights=area)
        self._seen = np.zeros(len(self._area), dtype=bool)

    def add(self, frame: Frame, triangles: NDArray[np.int32]) -> None:
        """Count a frame.

        Args:
            frame: The frame.
            triangles: Triangle of the mucosa's mesh that each pixel shows, shape (H, W); -1 for anything else.
        """
        rays, shown = frame.camera.rays()
        distance = frame.depth / np.where(shown, rays[..., 2], 1.0)
        cosine = -(frame.normal * rays).sum(axis=-1)
        counted = (triangles >= 0) & (distance <= SEEN_DISTANCE) & (cosine >= SEEN_COSINE)
        patches = np.bincount(self._patch[triangles[counted]], minlength=len(self._seen))
        self._seen |= patches >= SEEN_PIXELS

    @property
    def share(self) -> float:
        """Seen area over whole area."""
        return float(self._area[self._seen].sum() / self._area.sum())


class PolypsFound:
    """Counts the polyps found and the false alarms.

    A polyp is found when, in at least 3 frames, a connected region of the predicted mask overlaps the polyp's own mask
    by IoU >= 0.3. A false alarm is a run of at least 3 consecutive frames with a region of 12 px or more that touches
    no polyp.
    """

    def __init__(self, polyp_instances: Sequence[int]) -> None:
        self._frames = dict.fromkeys(polyp_instances, 0)
        self._run = 0
        self.false_alarms = 0

    def add(self, frame: Frame, predicted: Bool[np.ndarray, "h w"]) -> None:
        """Count a frame and the mask (H, W) that the driver predicted for it."""
        truth = np.where(np.isin(frame.instance, list(self._frames)), frame.instance, 0)
        count, regions, stats, _ = cv2.connectedComponentsWithStats(predicted.astype(np.uint8))
        hit: set[int] = set()
        alarm = False
        for region in range(1, count):
            area = int(stats[region, cv2.CC_STAT_AREA])
            under = truth[regions == region]
            instances, overlap = np.unique(under[under > 0], return_counts=True)
            alarm |= area >= SMALLEST_MASK and not len(instances)
            for instance, common in zip(instances, overlap, strict=True):
                union = area + np.count_nonzero(truth == instance) - common
                if common >= FOUND_IOU * union:
                    hit.add(int(instance))
        for instance in hit:
            self._frames[instance] += 1
        self._run = self._run + 1 if alarm else 0
        self.false_alarms += self._run == FOUND_FRAMES

    @property
    def present(self) -> int:
        """Polyps that the patient has."""
        return len(self._frames)

    @property
    def found(self) -> int:
        """Polyps found so far."""
        return sum(frames >= FOUND_FRAMES for frames in self._frames.values())


@dataclass
class WallContact:
    """Counts how long and how deep the tip pressed on the wall."""

    time: float = 0.0
    """Simulated time in contact [s]."""
    deepest: float = 0.0
    """Greatest overlap of the tip with the wall [m]."""

    def add(self, touching: bool, depth: float, dt: float) -> None:
        """Count a control step of `dt` seconds."""
        self.time += dt if touching else 0.0
        self.deepest = max(self.deepest, depth)

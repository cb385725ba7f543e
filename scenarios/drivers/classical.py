"""The classical driver: OpenCV alone. The lumen is the darkest region, a polyp a round bright bulge."""

import cv2
import numpy as np
from numpy.typing import NDArray

from perception.prediction import Prediction, mask_centres
from scenarios.drivers.steering import Steering
from scenarios.interface import Controller, Observation
from scenarios.scope_episode import ScopeReadings
from sim.camera import Camera
from sim.scope_state import ScopeCommand

DARK_SHARE = 0.06  # share of the shown pixels that counts as dark
ROUND = 0.75  # 4 pi area / perimeter^2 of a contour that may be a polyp; a disc has 1
POLYP_AREA = (0.003, 0.06)  # shares of the picture


class Classical:
    """Steers towards the darkest region, as guidance by image processing did before networks."""

    name = "classical"
    needs_truth = False

    def __init__(self, controller: Controller | None = None) -> None:
        """Take a task's controller; None steers a colonoscope."""
        self._steering: Controller = controller or Steering()

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode."""
        self._steering.reset()

    def perceive(self, observation: Observation) -> Prediction:
        """Find the dark region and the round contours."""
        _, shown = observation.camera.rays()
        grey = cv2.GaussianBlur(cv2.cvtColor(observation.rgb, cv2.COLOR_RGB2GRAY), (0, 0), 2.0)
        dark = (shown & (grey <= np.quantile(grey[shown], DARK_SHARE))).astype(np.uint8)
        polyps = _round_bulges(grey, shown)
        probabilities = np.zeros((4, *grey.shape), np.float32)
        probabilities[3] = dark
        probabilities[2] = polyps & (dark == 0)
        probabilities[1] = shown & (probabilities[2:].sum(0) == 0)
        probabilities[0] = ~shown
        return Prediction(
            probabilities=probabilities,
            depth=np.zeros(grey.shape, np.float32),
            depth_scale=np.zeros(grey.shape, np.float32),
            lumen_direction=_towards_largest(dark, observation.camera),
            lumen_visible=1.0,
            uncertainty=np.zeros(grey.shape, np.float32),
            frame_uncertainty=0.0,
            polyp_centres=mask_centres(polyps & (dark == 0)),
        )

    def act(self, prediction: Prediction, readings: ScopeReadings, phase: str) -> ScopeCommand:
        """Steer as every driver does."""
        command: ScopeCommand = self._steering.command(prediction, readings, phase)
        return command


def _towards_largest(mask: NDArray[np.uint8], camera: Camera) -> NDArray[np.float64]:
    """Return the unit ray through the middle of the mask's largest region, camera axes; straight ahead if empty."""
    count, _, stats, centroids = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return np.array([0.0, 0.0, 1.0])
    u, v = centroids[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))]
    rays, _ = camera.rays()
    return np.asarray(rays[round(v), round(u)], dtype=np.float64)


def _round_bulges(grey: NDArray[np.uint8], shown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark round regions brighter than their surroundings."""
    around = cv2.blur(grey, (31, 31))
    bright = ((grey > around.astype(np.int16) + 8) & shown).astype(np.uint8)
    contours, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    mask = np.zeros(grey.shape, np.uint8)
    for contour in contours:
        area, perimeter = cv2.contourArea(contour), cv2.arcLength(contour, True)
        low, high = (share * grey.size for share in POLYP_AREA)
        if low <= area <= high and 4 * np.pi * area >= ROUND * perimeter * perimeter:
            cv2.drawContours(mask, [contour], -1, 1, cv2.FILLED)
    return mask > 0

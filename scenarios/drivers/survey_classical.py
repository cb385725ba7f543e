"""The classical driver of a liver survey: hue and saturation tell liver and steel, and a tool's far end is its tip."""

import cv2
import numpy as np
from numpy.typing import NDArray

from perception.prediction import NO_CENTRES, Prediction
from perception.survey_classes import INSTRUMENT, LIVER, OTHER, SURVEY_CLASSES
from scenarios.drivers.surveying import Surveying
from scenarios.interface import Observation
from scenarios.survey_episode import ScopeMove, SurveyReadings
from sim.camera import Camera

LIVER_HUES = (172, 6)
"""First and last hue of liver, in OpenCV's steps of 2 degrees, round over red;"""
LIVER_SATURATION = (110, 255)
"""and its saturation, 0 to 255. Both were read off frames of the synthetic abdomens 900 to 902."""
STEEL_SATURATION = 60
"""Less saturated pixels are steel,"""
STEEL_VALUE = 40
"""if they are at least so bright."""
LEAST_TOOL = 0.004
"""Share of the picture below which a grey region is no tool, but a highlight."""


class SurveyClassical:
    """Tells liver and instruments by colour, as image processing did before networks."""

    name = "classical"
    needs_truth = False

    def __init__(self) -> None:
        self._controller = Surveying()

    def reset(self, rng: np.random.Generator) -> None:
        """Forget the last episode."""
        self._controller.reset()

    def perceive(self, observation: Observation) -> Prediction:
        """Threshold colours, and find the end of the largest grey region that reaches in from the picture's edge."""
        hue, saturation, value = cv2.split(cv2.cvtColor(cv2.medianBlur(observation.rgb, 3), cv2.COLOR_RGB2HSV))
        first, last = LIVER_HUES
        red = (hue >= first) | (hue <= last)
        low, high = LIVER_SATURATION
        grey = (saturation < STEEL_SATURATION) & (value >= STEEL_VALUE)
        tool = _tool(grey)
        classes = np.full(hue.shape, OTHER, np.uint8)
        classes[red & (saturation >= low) & (saturation <= high)] = LIVER
        classes[tool] = INSTRUMENT
        direction = _tip(tool, observation.camera)
        nothing = np.zeros(hue.shape, np.float32)
        return Prediction(
            probabilities=(np.arange(len(SURVEY_CLASSES))[:, None, None] == classes).astype(np.float32),
            depth=nothing,
            depth_scale=nothing,
            lumen_direction=np.array([0.0, 0.0, 1.0]) if direction is None else direction,
            lumen_visible=float(direction is not None),
            uncertainty=nothing,
            frame_uncertainty=0.0,
            polyp_centres=NO_CENTRES,
        )

    def act(self, prediction: Prediction, readings: SurveyReadings, phase: str) -> ScopeMove:
        """Steer as every driver does."""
        return self._controller.command(prediction, readings, phase)


def _tool(grey: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest grey region that touches the picture's edge, if it is no speck."""
    count, regions, stats, _ = cv2.connectedComponentsWithStats(grey.astype(np.uint8))
    edge = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    there = [index for index in edge if index > 0 and stats[index, cv2.CC_STAT_AREA] >= LEAST_TOOL * grey.size]
    if count < 2 or not there:
        return np.zeros(grey.shape, bool)
    largest = max(there, key=lambda index: int(stats[index, cv2.CC_STAT_AREA]))
    return np.asarray(regions == largest)


def _tip(tool: NDArray[np.bool_], camera: Camera) -> NDArray[np.float64] | None:
    """Return the ray to the tool's pixel that is farthest from where it comes in; None if there is no tool."""
    rows, columns = np.nonzero(tool)
    if not len(rows):
        return None
    edge = (rows == 0) | (columns == 0) | (rows == tool.shape[0] - 1) | (columns == tool.shape[1] - 1)
    entry = np.array([rows[edge].mean(), columns[edge].mean()])
    farthest = int(np.argmax(np.hypot(rows - entry[0], columns - entry[1])))
    return np.asarray(camera.rays()[0][rows[farthest], columns[farthest]], dtype=np.float64)

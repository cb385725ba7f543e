"""The controller of a liver survey: from view to view until the masks have shown each segment, then after the tip."""

import numpy as np
from numpy.typing import NDArray

from perception.prediction import Prediction
from perception.survey_classes import LIVER
from scenarios.survey_episode import SEEN_FRAMES, ScopeMove, SurveyReadings, rests
from scenarios.survey_plan import View, segments_shown
from sim.camera import Camera
from sim.instruments.laparoscope import laparoscope_camera

_ARRIVED = np.array([0.01, 0.01, 0.002, 0.05])  # rad, rad, m, rad
_DWELL = 12  # control steps at a view, after which it has shown what it will
_CENTRING = 0.5  # share of the way to the middle of the segment that each control step turns
_MOST_CENTRING = 0.12  # rad that a view is turned by at most to bring the segment to the middle
_LEAST_PIXELS = 0.002  # share of the picture below which a segment is not turned to
_FOLLOW = 0.6  # share of the angle to the tip that each control step turns
_LOST = 10  # control steps without the tip, after which the stage is looked at


class Surveying:
    """Goes through the plan's views; believes a segment seen when masks and map say so in 3 frames in a row."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last episode."""
        self._believed: set[int] = set()
        self._run = dict.fromkeys(range(1, 9), 0)
        self._queue: list[View] | None = None
        self._way: list[NDArray[np.float64]] = []
        self._aim: NDArray[np.float64] = np.zeros(4)
        self._view: View | None = None
        self._dwelt = 0
        self._lost = 0
        self._following = False
        self._pose: NDArray[np.float64] | None = None

    def command(self, prediction: Prediction, readings: SurveyReadings, phase: str) -> ScopeMove:
        """Choose the command for a phase: `survey`, or else to follow the tip."""
        return self._survey(prediction, readings) if phase == "survey" else self._follow(prediction, readings)

    def _survey(self, prediction: Prediction, readings: SurveyReadings) -> ScopeMove:
        height, width = readings.segments.shape
        camera = laparoscope_camera(width, height)
        liver = prediction.classes == LIVER
        segments = np.where(liver, readings.segments, 0).astype(np.uint8)
        shown = segments_shown(segments, readings.depth, camera)
        resting = self._pose is not None and rests(self._pose, readings.T_world_camera)
        self._pose = readings.T_world_camera
        for number in self._run:
            self._run[number] = self._run[number] + 1 if number in shown and resting else 0
        self._believed |= {number for number, run in self._run.items() if run > SEEN_FRAMES}
        if self._queue is None:
            self._queue = _in_order(readings)
        if self._view is None or self._view.segment in self._believed or self._dwelt >= _DWELL:
            self._next(readings)
        if self._view is None:
            return ScopeMove(readings.joints)
        if self._way:
            target = self._way[0]
            if np.all(np.abs(readings.joints - target) <= _ARRIVED):
                self._way.pop(0)
            return ScopeMove(target)
        self._dwelt += 1
        return ScopeMove(self._centred(segments == self._view.segment, readings, camera))

    def _next(self, readings: SurveyReadings) -> None:
        """Take the next view whose segment is not believed seen; when all were tried, begin again."""
        assert self._queue is not None
        left = [view for view in self._queue if view.segment not in self._believed]
        if not left:
            left = [view for view in _in_order(readings) if view.segment not in self._believed]
        self._dwelt = 0
        if not left:
            self._view, self._queue = None, []
            return
        # The nearest of the most promising: each segment's first untried view.
        first = {view.segment: view for view in reversed(left)}
        weights = np.array([1.0, 1.0, 8.0, 0.4])  # a turn of 1 rad takes as long as 12 cm of insertion
        near = min(first.values(), key=lambda view: float(np.abs((view.joints - readings.joints) * weights).max()))
        self._queue = [view for view in left if view is not near]
        self._view, self._way = near, readings.plan.reach.way(readings.joints, near.joints)
        self._aim = self._way[-1]

    def _centred(self, mask: NDArray[np.bool_], readings: SurveyReadings, camera: Camera) -> NDArray[np.float64]:
        """Turn towards the middle of what the masks show of the segment, not far from the planned view."""
        if np.count_nonzero(mask) < _LEAST_PIXELS * mask.size:
            return self._aim
        rays, _ = camera.rays()
        middle = (rays[mask] * readings.depth[mask][:, None]).mean(axis=0).astype(np.float64)
        joints = _turned(middle, _CENTRING, readings)
        off = np.clip(joints[:2] - self._aim[:2], -_MOST_CENTRING, _MOST_CENTRING)
        turned = np.concatenate([self._aim[:2] + off, self._aim[2:]])
        return turned if readings.plan.reach.free(turned[None])[0] else self._aim

    def _follow(self, prediction: Prediction, readings: SurveyReadings) -> ScopeMove:
        if not self._following:  # the survey is over: go to where the tip will be
            self._following = True
            self._way = readings.plan.reach.way(readings.joints, readings.plan.stage.joints)
            self._aim = self._way[-1]
        if self._way:
            target = self._way[0]
            if np.all(np.abs(readings.joints - target) <= _ARRIVED):
                self._way.pop(0)
            return ScopeMove(target)
        if prediction.lumen_visible < 0.5:
            self._lost += 1
            return ScopeMove(self._aim if self._lost > _LOST else readings.joints)
        self._lost = 0
        # A direction has no distance: the tip is taken to be as far as the middle of where it swings.
        far = float(np.linalg.norm(readings.plan.stage.centre - readings.T_world_camera[:3, 3]))
        joints = _turned(prediction.lumen_direction * far, _FOLLOW, readings)
        joints = np.concatenate([joints[:2], self._aim[2:]])
        return ScopeMove(joints if readings.plan.reach.free(joints[None])[0] else readings.joints)


def _turned(point: NDArray[np.float64], share: float, readings: SurveyReadings) -> NDArray[np.float64]:
    """Return joints that look a share of the way towards a point, camera axes [m]; insertion and roll stay."""
    reach = readings.plan.reach
    distance = float(np.linalg.norm(point))
    aim = share * point / max(distance, 1e-9) + (1 - share) * np.array([0.0, 0.0, 1.0])
    place = readings.T_world_camera[:3, 3] + readings.T_world_camera[:3, :3] @ aim * distance
    joints, _ = reach.aim(place, insertion=reach.depth(readings.joints), roll=float(readings.joints[3]))
    return joints


def _in_order(readings: SurveyReadings) -> list[View]:
    """List all views: the first of each segment, then the second, and so on."""
    views = readings.plan.views
    most = max((len(some) for some in views.values()), default=0)
    return [some[rank] for rank in range(most) for some in views.values() if rank < len(some)]

"""One liver survey as the loop sees it: readings, ground truth, and what is counted of segments, tip and touch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numpy.typing import NDArray

from assets.transforms import apply, inverse
from perception.prediction import Prediction
from perception.survey_classes import INSTRUMENT, LIVER, SURVEY_CLASSES, survey_class_map
from scenarios.interface import Readings, Situation, Truth
from scenarios.survey_plan import SurveyPlan, direction_to, segments_shown
from scenarios.survey_scene import SCOPE, TOOL, SurveyScene
from sim.control_step import CONTROL_STEP
from sim.degradations.settings import Degradations
from sim.frame import Frame
from sim.instruments.command import JointTarget, PointTarget
from sim.render.appearance import Appearance

SEEN_FRAMES = 3
"""A segment is seen when so many frames in a row show it (`survey_plan.segments_shown`), and the view rests."""
REST = (0.004, 0.06)
"""A view rests, so that nothing is blurred, where the lens moves by less than this in a control step [m], and turns by
less than this [rad]."""
CENTRED = 0.10
"""The tip is centred when it is not farther from the picture's middle than this share of its width; chosen: 7 mm at
50 mm from the lens, less than half of the 15 mm by which the tip swings to each side, so that a view that rests loses
it."""
SURVEY_STEPS, SETTLING_STEPS, SERVO_STEPS = 900, 50, 600
"""The survey ends after 90 s at the latest; then the tip comes into place for 5 s, and is followed for a minute."""
_STEP = np.array([0.08, 0.08, 0.010, 0.25])  # what the joints move in a control step at most [rad, rad, m, rad]
_SAME = 0.002  # m: a pixel of liver shows the place that the map says if its depth agrees
_HIDDEN = 4  # px: the tip is seen if an instrument is seen so near to it


@dataclass(frozen=True, eq=False)
class ScopeMove:
    """What the operator of the laparoscope does within a control step."""

    joints: Float64[np.ndarray, "4"]
    """Where to go: yaw, pitch, insertion, roll [rad or m]."""
    speed: float = 1.0
    """Share of the full speed."""


@dataclass(frozen=True, eq=False)
class SurveyReadings(Readings):
    """What the devices tell besides the picture, and what is known from the images taken before."""

    joints: Float64[np.ndarray, "4"]
    """Yaw, pitch, insertion, roll [rad or m]."""
    T_world_camera: Float64[np.ndarray, "4 4"]
    """From the joints."""
    segments: UInt8[np.ndarray, "h w"]
    """Segment that each pixel shows if it shows liver, by the patient's map; 0 where the map has no liver."""
    depth: Float32[np.ndarray, "h w"]
    """z-depth of the map's liver [m]; 0 where none."""
    plan: SurveyPlan
    """Views, and where one may go."""


@dataclass(frozen=True)
class SurveySituation(Situation):
    """Where a survey stands."""

    seen: frozenset[int]
    """Segments seen so far."""
    visible: frozenset[int]
    """Segments that can be seen from the port."""
    servo_steps: int
    """Control steps in which the tip was to be centred."""
    centred_steps: int
    """Those in which it was."""
    touch_time: float
    """Time in which the laparoscope touched anything [s]."""

    @property
    def place(self) -> str:
        """Segments seen, of those that can be."""
        return f"{len(self.seen & self.visible)} of {len(self.visible)} segments"

    @property
    def complete(self) -> bool:
        """All that can be seen was."""
        return self.visible <= self.seen

    @property
    def centred_share(self) -> float:
        """Share of the minute in which the tip was centred; 0 before it began."""
        return self.centred_steps / self.servo_steps if self.servo_steps else 0.0

    def meta(self) -> dict[str, Any]:
        """Return the segments seen."""
        return {"seen": sorted(self.seen)}


class SurveyEpisode:
    """Counts along while a laparoscope looks round; an `Environment`."""

    def __init__(
        self,
        scene: SurveyScene,
        seed: int,
        friction: float,
        appearance: Appearance | None,
        degradations: Degradations | None,
    ) -> None:
        """Put both instruments back to their start; nothing slides, so friction plays no part."""
        self.measuring = True
        self._scene, self._theatre = scene, scene.theatre
        self._state = self._theatre.reset(seed=seed, appearance=appearance, degradations=degradations)
        self.path = [self._state.T_world_camera[:3, 3].copy()]
        self._poses = [self._state.T_world_camera]
        self._run = dict.fromkeys(range(1, 9), 0)
        self._seen: frozenset[int] = frozenset()
        self._serving, self._served, self._centred = False, 0, 0
        self._touch_time, self._touch_force = 0.0, 0.0
        self._survey_steps = 0
        self._phase_steps = 0
        draw = np.random.default_rng([seed, 62])
        self._periods = draw.uniform(7.0, 13.0, 3)
        self._phases = draw.uniform(0.0, 2 * np.pi, 3)

    def observe(self) -> tuple[Frame, Truth, SurveyReadings]:
        """Look through the laparoscope, and at the map from where it is."""
        frame = self._theatre.observe()
        pose = self._state.T_world_camera
        segments, depth = self._scene.liver_map.look(pose)
        self._mapped = segments, depth
        classes = survey_class_map(frame.semantic, frame.depth)
        tip = self._state.instruments[TOOL].T_world_tip[:3, 3]
        truth = Truth(
            frame, direction_to(pose, tip), self._tip_seen(frame, classes), classes, len(SURVEY_CLASSES), INSTRUMENT
        )
        readings = SurveyReadings(
            time=frame.time,
            exposure=frame.exposure,
            joints=self._state.instruments[SCOPE].joints[:4],
            T_world_camera=pose,
            segments=segments,
            depth=depth,
            plan=self._scene.plan,
        )
        return frame, truth, readings

    def count(self, frame: Frame, prediction: Prediction) -> None:
        """Count segments seen, and whether the tip is in the middle; what was perceived plays no part."""
        segments, depth = self._mapped
        really = (survey_class_map(frame.semantic, frame.depth) == LIVER) & (np.abs(frame.depth - depth) < _SAME)
        shown = segments_shown(np.where(really, segments, 0).astype(np.uint8), frame.depth, frame.camera)
        resting = rests(self._poses[0], self._poses[-1])
        for number in self._run:
            self._run[number] = self._run[number] + 1 if resting and number in shown else 0
        self._seen |= {number for number, run in self._run.items() if run >= SEEN_FRAMES}
        if self._serving and self._phase_steps >= SETTLING_STEPS:
            self._served += 1
            self._centred += self._tip_centred(frame)

    def step(self, command: ScopeMove, phase: str) -> None:
        """Move the laparoscope; in the second phase the grasper moves on its own way."""
        joints = self._state.instruments[SCOPE].joints[:4]
        change = command.joints - joints
        # All joints arrive together, so that the way between two free poses is the straight one that was asked about.
        change *= command.speed / max(1.0, float(np.abs(change / _STEP).max()))
        commands: dict[str, Any] = {SCOPE: JointTarget(joints + change)}
        if self._serving:
            commands[TOOL] = PointTarget(self._tool_place(self._phase_steps * CONTROL_STEP))
        self._state = self._theatre.step(commands)
        pose = self._state.T_world_camera
        self.path.append(pose[:3, 3].copy())
        self._poses = [self._poses[-1], pose]
        force = sum(contact.force for contact in self._state.contacts if contact.instrument == SCOPE)
        self._touch_time += CONTROL_STEP if force > 0 else 0.0
        self._touch_force = max(self._touch_force, float(force))
        self._phase_steps += 1
        self._survey_steps += not self._serving

    def begin_phase(self) -> None:
        """The survey is over; the grasper comes in."""
        self._serving, self._phase_steps = True, 0

    def situation(self, step: int, phase_step: int, phase: str) -> SurveySituation:
        """Say where the episode stands."""
        return SurveySituation(
            step=step,
            phase_step=phase_step,
            phase=phase,
            seen=self._seen,
            visible=self._scene.plan.visible,
            servo_steps=self._served,
            centred_steps=self._centred,
            touch_time=self._touch_time,
        )

    def measures(self) -> dict[str, float]:
        """Return what was counted; times in seconds, forces in newtons."""
        visible = self._scene.plan.visible
        return {
            "segments_seen": float(len(self._seen & visible)),
            "segments_visible": float(len(visible)),
            "survey_steps": float(self._survey_steps),
            "servo_steps": float(self._served),
            "centred_steps": float(self._centred),
            "touch_time": self._touch_time,
            "touch_force_max": self._touch_force,
            "path_length": float(np.linalg.norm(np.diff(np.array(self.path), axis=0), axis=1).sum()),
        }

    def _tip_pixel(self, frame: Frame) -> NDArray[np.float64] | None:
        """Return where the grasper's tip is in the picture (u, v) [px]; None if it is behind the lens or outside."""
        tip = self._state.instruments[TOOL].T_world_tip[:3, 3]
        (pixel,), (before,) = frame.camera.project(apply(inverse(self._state.T_world_camera), tip)[None])
        size = np.array([frame.camera.width, frame.camera.height])
        return pixel if before and np.all((pixel > -0.5) & (pixel < size - 0.5)) else None

    def _tip_seen(self, frame: Frame, classes: UInt8[np.ndarray, "h w"]) -> bool:
        pixel = self._tip_pixel(frame)
        if pixel is None:
            return False
        column, row = round(pixel[0]), round(pixel[1])
        about = classes[max(0, row - _HIDDEN) : row + _HIDDEN + 1, max(0, column - _HIDDEN) : column + _HIDDEN + 1]
        return bool(np.any(about == INSTRUMENT))

    def _tip_centred(self, frame: Frame) -> bool:
        pixel = self._tip_pixel(frame)
        if pixel is None:
            return False
        middle = np.array([(frame.camera.width - 1) / 2, (frame.camera.height - 1) / 2])
        return float(np.linalg.norm(pixel - middle)) <= CENTRED * frame.camera.width

    def _tool_place(self, time: float) -> NDArray[np.float64]:
        """Return where the grasper is to be [m]: it comes into place, then swings about it."""
        stage = self._scene.plan.stage
        begun = min(1.0, time / (SETTLING_STEPS * CONTROL_STEP))
        swing = np.sin(2 * np.pi * time / self._periods + self._phases)
        return np.asarray(stage.centre + begun * swing @ stage.swing)


def rests(before: Float64[np.ndarray, "4 4"], now: Float64[np.ndarray, "4 4"]) -> bool:
    """Tell whether the view rests from one control step to the next, by REST."""
    moved = float(np.linalg.norm(now[:3, 3] - before[:3, 3]))
    turned = float(np.arccos(np.clip((np.trace(before[:3, :3].T @ now[:3, :3]) - 1) / 2, -1, 1)))
    return moved < REST[0] and turned < REST[1]

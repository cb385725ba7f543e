"""The one loop: observe, perceive, act, step; and what is noted of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from assets.labels import label_id
from perception.detector import PolypDetector
from perception.prediction import Prediction
from scenarios.clock import Latency, PerceptionClock
from scenarios.episode import EpisodeSummary
from scenarios.interface import Driver, Observation, Readings, Scenario, Situation, Truth
from scenarios.measures import MucosaSeen, PolypsFound, WallContact
from scenarios.truth import nothing_seen
from sim.degradations.settings import Degradations
from sim.frame import Frame
from sim.render.appearance import Appearance
from sim.scene import ColonoscopyScene
from sim.scope_state import ScopeCommand, ScopeState

CONTROL_STEP = 0.1  # s
PROGRESS = 0.005  # m: less than this is no progress
_AHEAD = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Moment:
    """One control step as it is shown to a recorder."""

    frame: Frame
    truth: Truth
    prediction: Prediction
    """What the controller acted on; with a latency, of an earlier frame."""
    command: ScopeCommand
    situation: Situation


Recorder = Callable[[Moment], bool]
"""Called with every control step; False ends the episode."""


@dataclass(frozen=True)
class Episode:
    """What happened in one run."""

    summary: EpisodeSummary
    path: Float64[np.ndarray, "n 3"]
    """Positions of the tip [m], one a control step."""
    events: dict[str, int] = field(default_factory=dict)
    """The first control step at which each event held."""


def run_episode(
    scene: ColonoscopyScene,
    scenario: Scenario,
    driver: Driver,
    seed: int,
    *,
    appearance: Appearance | None = None,
    degradations: Degradations | None = None,
    latency: Latency = 0.0,
    recorder: Recorder | None = None,
) -> Episode:
    """Run one procedure on a scene from its start.

    Args:
        scene: Reset to its start here.
        scenario: Phases, events and the success test.
        driver: Gets the ground truth only if it says that it needs it.
        seed: The episode's randomness: the start of the scope, the sensor's noise, the driver.
        appearance: The look of tissue and sensor; None for the standard one.
        degradations: What goes wrong with the picture; None for nothing.
        latency: Of perception [ms]: how late the driver acts on what it saw (`scenarios.clock`). "measured" takes the
            time that each perception took, so that results depend on the machine, and lets no frame be looked at while
            another is; what the ground truth tells is known at once.
        recorder: Called with every control step; may end the episode.

    Returns:
        The episode; it does not depend on what ran on the scene before.
    """
    started = time.perf_counter()
    state = scene.reset(seed=seed, friction=scenario.friction, appearance=appearance, degradations=degradations)
    driver.reset(np.random.default_rng([seed, 1]))
    mucosa_object, mucosa_start = _mucosa(scene)
    mucosa = MucosaSeen(scene.objects[mucosa_object].mesh)
    polyp = label_id("polyp")
    polyps = PolypsFound([1 + index for index, item in enumerate(scene.objects) if item.label_id == polyp])
    detector = PolypDetector()
    contact = WallContact()
    log = _Log(scene, state)
    taken: list[float] = []
    clock: PerceptionClock[Prediction] = PerceptionClock()
    reason, events = "out of steps", dict[str, int]()
    reached_at: int | None = None
    phases = iter(scenario.phases)
    phase, phase_start = next(phases), 0
    step = 0
    while step < scenario.max_steps:
        frame = scene.observe()
        direction, visible = scene.guide.lumen_direction(state.T_world_camera, scene.guide.arc)
        truth = Truth(frame, direction, visible)
        observation = Observation(
            frame.rgb, frame.camera, _readings(frame, state), truth if driver.needs_truth else None
        )
        if latency != "measured" or not clock.busy(frame.time):
            asked = time.perf_counter()
            said = driver.perceive(observation)
            taken.append(time.perf_counter() - asked)
            late = latency / 1000 if latency != "measured" else 0.0 if driver.needs_truth else taken[-1]
            clock.put(frame.time, late, said)
        prediction = clock.take(frame.time) or nothing_seen(frame.depth.shape, _AHEAD)
        on_mucosa = frame.instance == 1 + mucosa_object
        mucosa.add(frame, np.where(on_mucosa, scene.renderer.seen_triangles() - mucosa_start, -1))
        polyps.add(frame, detector(prediction))
        command = driver.act(prediction, observation.readings, phase.name)
        situation = log.situation(step, step - phase_start, phase.name)
        if recorder is not None and not recorder(Moment(frame, truth, prediction, command, situation)):
            reason = "recorded"
            break
        state = scene.step(command)
        step += 1
        contact.add(state.tip_contact, state.contact_depth, CONTROL_STEP)
        log.add(state, backwards=phase.name == "withdrawal")
        situation = log.situation(step, step - phase_start, phase.name)
        if reached_at is None and scenario.success(situation):
            reached_at = step
        for name, holds in scenario.events.items():
            if name not in events and holds(situation):
                events[name] = step
        stop = state.fault or next((name for name, holds in scenario.aborts.items() if holds(situation)), "")
        if stop:
            reason = f"{stop} in {phase.name} at {situation.arc * 1000:.0f} mm"
            break
        if phase.done(situation):
            following = next(phases, None)
            if following is None:
                reason = "done"
                break
            phase, phase_start = following, step
            log.begin_phase()
    wall_time = time.perf_counter() - started
    summary = EpisodeSummary(
        scenario=scenario.name,
        driver=driver.name,
        patient=scene.patient.name,
        seed=seed,
        success=reached_at is not None,
        reason=reason,
        steps=step,
        insertion_steps=reached_at if reached_at is not None else step,
        simulated_time=step * CONTROL_STEP,
        wall_time=wall_time,
        path_length=log.insertion_path if log.insertion_path is not None else log.path_length,
        centreline_length=scene.guide.length,
        reached_arc=log.farthest,
        contact_time=contact.time,
        contact_depth_max=contact.deepest,
        mucosa_seen=mucosa.share,
        polyps_present=polyps.present,
        polyps_found=polyps.found,
        false_alarms=polyps.false_alarms,
        latency_p50_ms=float(np.quantile(taken, 0.5)) * 1000,
        latency_p99_ms=float(np.quantile(taken, 0.99)) * 1000,
        minimum_distance_to_caecum=log.nearest_to_caecum,
    )
    return Episode(summary, np.array(log.path), events)


def _mucosa(scene: ColonoscopyScene) -> tuple[int, int]:
    """Return the index of the colon's lumen among the objects, and of its first triangle among all triangles."""
    start = 0
    for index, item in enumerate(scene.objects):
        if item.kind == "lumen" and item.label_id == label_id("colon_wall"):
            return index, start
        start += len(item.mesh.triangles)
    raise AssertionError("a colonoscopy scene without a colon lumen")


def _readings(frame: Frame, state: ScopeState) -> Readings:
    return Readings(
        time=frame.time,
        exposure=frame.exposure,
        insertion=state.insertion,
        bend_up=state.bend_up,
        bend_right=state.bend_right,
        roll=state.roll,
        push_force=state.push_force,
        blocked=state.blocked,
    )


class _Log:
    """Where the tip went, and when it last made way."""

    def __init__(self, scene: ColonoscopyScene, state: ScopeState) -> None:
        self._scene = scene
        self._state = state
        self._arc = scene.guide.arc
        self.farthest = self._arc
        self.path = [state.T_world_camera[:3, 3].copy()]
        self.path_length = 0.0
        self.insertion_path: float | None = None
        self.nearest_to_caecum = float("inf")
        self._mark, self._idle = self._arc, 0

    def begin_phase(self) -> None:
        """Count progress from here; the first phase, the insertion, is over."""
        self.insertion_path = self.path_length if self.insertion_path is None else self.insertion_path
        self._mark, self._idle = self._arc, 0

    def add(self, state: ScopeState, *, backwards: bool) -> None:
        """Note a step; progress is forwards, or backwards in the withdrawal."""
        position = state.T_world_camera[:3, 3].copy()
        self.path_length += float(np.linalg.norm(position - self.path[-1]))
        self.path.append(position)
        self._state = state
        self._arc = self._scene.guide.arc
        self.farthest = max(self.farthest, self._arc)
        made_way = self._mark - self._arc if backwards else self._arc - self._mark
        if made_way >= PROGRESS:
            self._mark, self._idle = self._arc, 0
        else:
            self._idle += 1
        self.nearest_to_caecum = min(self.nearest_to_caecum, self._distances().get("caecum", float("inf")))

    def situation(self, step: int, phase_step: int, phase: str) -> Situation:
        """Say where the episode stands."""
        return Situation(
            step=step,
            phase_step=phase_step,
            phase=phase,
            state=self._state,
            arc=self._arc,
            farthest_arc=self.farthest,
            steps_since_progress=self._idle,
            centreline_length=self._scene.guide.length,
            landmark_distance=self._distances(),
        )

    def _distances(self) -> dict[str, float]:
        tip = self.path[-1]
        return {name: float(np.linalg.norm(tip - place)) for name, place in self._scene.patient.landmarks.items()}

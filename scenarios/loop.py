"""The one loop: observe, perceive, act, step; and what is noted of it. It knows no task."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float64

from perception.prediction import Prediction
from scenarios.clock import Latency, PerceptionClock
from scenarios.episode import EpisodeSummary
from scenarios.interface import (
    Command,
    Driver,
    Observation,
    Scenario,
    Scene,
    Situation,
    Truth,
)
from scenarios.planted import Planted
from scenarios.truth import nothing_seen
from sim.control_step import CONTROL_STEP
from sim.degradations.settings import Degradations
from sim.frame import Frame
from sim.render.appearance import Appearance

_AHEAD = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Moment:
    """One control step as it is shown to a recorder."""

    frame: Frame
    truth: Truth
    prediction: Prediction
    """What the controller acted on; with a latency, of an earlier frame."""
    command: Command
    situation: Situation


Recorder = Callable[[Moment], bool]
"""Called with every control step; False ends the episode."""


@dataclass(frozen=True)
class Episode:
    """What happened in one run."""

    summary: EpisodeSummary
    path: Float64[np.ndarray, "n 3"]
    """Positions of the camera [m], one a control step."""
    events: dict[str, int] = field(default_factory=dict)
    """The first control step at which each event held."""


def run_episode(
    scene: Scene,
    scenario: Scenario,
    driver: Driver,
    seed: int,
    *,
    appearance: Appearance | None = None,
    degradations: Degradations | None = None,
    latency: Latency = 0.0,
    planted: Planted | None = None,
    recorder: Recorder | None = None,
    measuring: bool = True,
) -> Episode:
    """Run one procedure on a scene from its start.

    Args:
        scene: Of the scenario's task; reset to its start here.
        scenario: Task, phases, events and the success test.
        driver: Gets the ground truth only if it says that it needs it.
        seed: The episode's randomness: the start, the sensor's noise, the driver.
        appearance: The look of tissue and sensor; None for the standard one.
        degradations: What goes wrong with the picture; None for nothing.
        latency: Of perception [ms]: how late the driver acts on what it saw (`scenarios.clock`). "measured" takes the
            time that each perception took, so that results depend on the machine, and lets no frame be looked at while
            another is; what the ground truth tells is known at once.
        planted: A failure of the picture that begins in the middle of the episode; None for none.
        recorder: Called with every control step; may end the episode.
        measuring: False for who wants frames alone: what is counted for the measures alone is left out of them.

    Returns:
        The episode; it does not depend on what ran on the scene before.
    """
    started = time.perf_counter()
    task = scenario.task
    environment = task.start(scene, seed, scenario.friction, appearance, degradations)
    environment.measuring = measuring
    driver.reset(np.random.default_rng([seed, 1]))
    taken: list[float] = []
    clock: PerceptionClock[Prediction] = PerceptionClock()
    reason, events = "out of steps", dict[str, int]()
    reached_at: int | None = None
    phases = iter(scenario.phases)
    phase, phase_start = next(phases), 0
    step = 0
    while step < scenario.max_steps:
        frame, truth, readings = environment.observe()
        if planted is not None:
            frame = planted.spoil(frame)
            truth = replace(truth, frame=frame)
        observation = Observation(frame.rgb, frame.camera, readings, truth if driver.needs_truth else None)
        if latency != "measured" or not clock.busy(frame.time):
            asked = time.perf_counter()
            said = driver.perceive(observation)
            taken.append(time.perf_counter() - asked)
            if said.time is None:
                said = replace(said, time=frame.time)
            late = latency / 1000 if latency != "measured" else 0.0 if driver.needs_truth else taken[-1]
            clock.put(frame.time, late, said)
        known = clock.take(frame.time)
        prediction = nothing_seen(frame.depth.shape, _AHEAD, class_count=len(task.classes)) if known is None else known
        environment.count(frame, prediction)
        command = driver.act(prediction, readings, phase.name)
        situation = environment.situation(step, step - phase_start, phase.name)
        if recorder is not None and not recorder(Moment(frame, truth, prediction, command, situation)):
            reason = "recorded"
            break
        environment.step(command, phase.name)
        step += 1
        situation = environment.situation(step, step - phase_start, phase.name)
        if reached_at is None and scenario.success(situation):
            reached_at = step
        for name, holds in scenario.events.items():
            if name not in events and holds(situation):
                events[name] = step
        stop = situation.fault or next((name for name, holds in scenario.aborts.items() if holds(situation)), "")
        if stop:
            reason = f"{stop} in {phase.name} at {situation.place}"
            break
        if phase.done(situation):
            following = next(phases, None)
            if following is None:
                reason = "done"
                break
            phase, phase_start = following, step
            environment.begin_phase()
    summary = EpisodeSummary(
        scenario=scenario.name,
        driver=driver.name,
        patient=scene.patient.name,
        seed=seed,
        success=reached_at is not None,
        reason=reason,
        steps=step,
        success_steps=reached_at if reached_at is not None else step,
        simulated_time=step * CONTROL_STEP,
        wall_time=time.perf_counter() - started,
        latency_p50_ms=float(np.quantile(taken, 0.5)) * 1000,
        latency_p99_ms=float(np.quantile(taken, 0.99)) * 1000,
        measures=environment.measures(),
    )
    return Episode(summary, np.array(environment.path), events)

"""Ten minutes of colonoscopy in one go: in and out again and again, without a fault, and the memory that it takes."""

import os
from dataclasses import replace
from pathlib import Path

from assets.colon.synthesis import synthetic_colon
from scenarios.colonoscopy import COLONOSCOPY, caecum_reached, endoscope_camera, stuck, withdrawn
from scenarios.colonoscopy_episode import ScopeSituation
from scenarios.drivers.oracle import Oracle
from scenarios.figures import Figure
from scenarios.interface import Phase
from scenarios.loop import run_episode
from sim.control_step import CONTROL_STEP
from sim.scene import ColonoscopyScene

_MEGABYTE = 1e6
_WARM_UP = 20  # resets before memory is counted: caches and arenas fill


def bench_endurance(*, seed: int = 0, steps: int = 6000, resets: int = 1000) -> list[Figure]:
    """Run one long colonoscopy with the oracle, and reset a scope often.

    Args:
        seed: Of the colon.
        steps: Control steps of 0.1 s.
        resets: Of the scope.

    Raises:
        RuntimeError: The physics found a fault; it says which, where and when.
    """
    patient = synthetic_colon(seed)
    turns = {"in": 0, "out": 0}

    def arrived(situation: ScopeSituation) -> bool:
        there = caecum_reached(situation)
        turns["in"] += there
        return there or stuck(situation)

    def left(situation: ScopeSituation) -> bool:
        out = withdrawn(situation)
        turns["out"] += out
        return out or stuck(situation)

    rounds = steps // 100 + 1  # nobody gets in and out in 10 s
    long_one = replace(
        COLONOSCOPY,
        phases=(Phase("insertion", arrived), Phase("withdrawal", left)) * rounds,
        aborts={},
        max_steps=steps,
    )
    with ColonoscopyScene(patient, camera=endoscope_camera(64, 64), threads=1) as scene:
        run_episode(scene, replace(long_one, max_steps=50), Oracle(), seed)
        turns.update({"in": 0, "out": 0})
        before = resident_bytes()
        episode = run_episode(scene, long_one, Oracle(), seed)
        grown = resident_bytes() - before
        summary = episode.summary
        if summary.steps < steps:
            raise RuntimeError(f"expected {steps} control steps without a fault, found {summary.reason}")
        per_thousand = growth_of_resets(scene, resets) * 1000 / resets
        speed = summary.simulated_time / summary.wall_time
    subset = f"synth:colon:{seed}, friction {long_one.friction}"
    minutes = steps * CONTROL_STEP / 60
    deepest = 1e3 * summary.measures["contact_depth_max"]
    how = f"oracle, {minutes:.3g} simulated minutes in one episode, 64 x 64 px"
    return [
        Figure("physics.endurance.steps", subset, summary.steps, "control steps", how=f"without a fault; {how}"),
        Figure("physics.endurance.caecum_reached", subset, turns["in"], "times", how=how),
        Figure("physics.endurance.withdrawn", subset, turns["out"], "times", how=how),
        Figure("physics.endurance.deepest_contact.mm", subset, deepest, "mm", how=how),
        Figure(
            "physics.endurance.memory.mb", subset, grown / _MEGABYTE, "MB", how=f"growth of the resident set; {how}"
        ),
        Figure("physics.endurance.vs_real_time", subset, speed, "1", how=f"simulated over spent time; {how}"),
        Figure(
            "physics.scope.reset_memory.mb",
            subset,
            per_thousand / _MEGABYTE,
            "MB",
            n=resets,
            how="growth of the resident set per 1,000 resets of the scene with a new scope each",
        ),
    ]


def growth_of_resets(scene: ColonoscopyScene, resets: int) -> int:
    """Return by how many bytes the resident set grows over resets of a scene, after some to warm up."""
    for index in range(_WARM_UP):
        scene.reset(seed=index, friction=0.02)
    before = resident_bytes()
    for index in range(resets):
        scene.reset(seed=index, friction=0.02)
    return resident_bytes() - before


def resident_bytes() -> int:
    """Return the size of this process's resident set, as Linux tells it."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

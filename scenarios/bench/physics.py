"""How fast the scope's physics run: a control step at deep insertion, and the wall distance beside PyBullet's."""

import time
from itertools import cycle

import numpy as np

from assets.colon.synthesis import synthetic_colon
from assets.transforms import look_along
from scenarios.bench.stopwatch import Timing, stopwatch
from scenarios.figures import Figure
from sim.flexible_scope import FlexibleScope
from sim.geometry import CentrelineGuide
from sim.passage import colon_passage
from sim.scope_state import CONTROL_STEP, ScopeCommand
from sim.wall_building import drop_orifices
from sim.wall_distance import colon_lumen, patient_wall_distance
from sim.world import BulletWorld

_INSERTION = 1.0  # [m] of scope in the colon
_POINTS = 60  # nodes of a scope that ask for the wall at a time
_REACH = 0.01  # [m] within which PyBullet looks for the wall; its cost grows with it


def bench_physics(*, seed: int = 0, seconds: float = 2.0, threads: int = 2) -> list[Figure]:
    """Measure the parts of the physics on a synthetic colon.

    Args:
        seed: Of the colon.
        seconds: Time for each single measurement.
        threads: To build the wall distance with; everything else is single-threaded.
    """
    patient = synthetic_colon(seed)
    surface, orifice, line = colon_lumen(patient)[1], colon_passage(patient).orifice, colon_passage(patient).line
    start = time.perf_counter()
    wall = patient_wall_distance(patient, threads=threads)
    build = time.perf_counter() - start
    subset = f"synth:colon:{seed}, {len(surface.triangles)} triangles"
    figures = [Figure("physics.wall.build.s", subset, build, "s", n=1, how=f"2 mm grid, {threads} threads, not cached")]

    scope = FlexibleScope(wall, orifice, line.points, insertion=_INSERTION, friction=0.02)
    to_and_fro = cycle([ScopeCommand(0.008, 0.1)] * 10 + [ScopeCommand(-0.008, -0.1)] * 10)
    step = stopwatch(lambda: scope.step(next(to_and_fro)), seconds=seconds, least=20)
    figures.append(
        _milliseconds("physics.scope.step.ms", subset, step, f"to and fro at {_INSERTION} m insertion, 1 core")
    )
    speed = CONTROL_STEP / step.median
    figures.append(Figure("physics.scope.vs_real_time", subset, speed, "1", n=step.n, how="simulated over spent time"))

    guide = CentrelineGuide(line, wall)
    middle = len(line.points) // 2
    ahead = line.points[middle + 5] - line.points[middle]
    pose = look_along(ahead, np.cross(ahead, np.eye(3)[np.argmin(np.abs(ahead))]), line.points[middle])
    arc = guide.length / 2
    looked = stopwatch(lambda: guide.lumen_direction(pose, arc), seconds=seconds, least=20)
    figures.append(_milliseconds("physics.guide.direction.ms", subset, looked, "lumen direction from the ground truth"))

    points = line.points[np.linspace(50, len(line.points) - 50, _POINTS).astype(int)]
    queried = stopwatch(lambda: wall.query(points), seconds=seconds, least=20)
    with BulletWorld() as world:
        body = world.add_anatomy(drop_orifices(surface, (orifice,)))
        spheres = world.add_spheres([scope.device.tube_radius] * _POINTS)
        world.place(spheres, points)
        bullet = stopwatch(lambda: [world.nearest(sphere, body, _REACH) for sphere in spheres], seconds=seconds)
    figures += [
        _milliseconds("physics.wall.query60.ms", subset, queried, f"{_POINTS} distances and gradients, NumPy"),
        _milliseconds("physics.wall.pybullet60.ms", subset, bullet, f"{_POINTS} getClosestPoints within {_REACH} m"),
        Figure(
            "physics.wall.query60.vs_pybullet",
            subset,
            bullet.median / queried.median,
            "1",
            n=min(bullet.n, queried.n),
            how="times as fast, in one run",
        ),
    ]
    return figures


def _milliseconds(name: str, subset: str, timing: Timing, how: str) -> Figure:
    return Figure(
        name, subset, 1e3 * timing.median, "ms", 1e3 * timing.low, 1e3 * timing.high, timing.n, f"{how}; quartiles"
    )

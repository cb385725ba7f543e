"""How fast the scope's physics run: a control step at deep insertion, and the wall distance beside PyBullet's."""

import time
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from assets.colon.synthesis import synthetic_colon
from assets.mesh import Mesh
from assets.patient import Orifice
from assets.transforms import look_along
from scenarios.bench.joint_chain import JOINTS, STEP, JointChain
from scenarios.bench.stopwatch import Timing, stopwatch
from scenarios.figures import Figure
from sim.control_step import CONTROL_STEP
from sim.flexible_scope import FlexibleScope
from sim.geometry import CentrelineGuide
from sim.passage import colon_passage
from sim.scope_state import ScopeCommand
from sim.wall_building import BAND, drop_orifices
from sim.wall_distance import WallDistance, colon_lumen, patient_wall_distance
from sim.world import BulletWorld

_INSERTION = 1.0  # [m] of scope in the colon
FRAMES = 60
"""[Hz]; the rod takes as many implicit steps a second."""
_POINTS = 60  # nodes of a scope that ask for the wall at a time
_REACH = 0.01  # [m] within which PyBullet looks for the wall; its cost grows with it
_BATCH, _ASKED = 20_000, 300  # points of one query of ours, and those that PyBullet is asked for one by one
_WAY = 0.008  # [m] that the rod and the joint chain are moved to and fro in a control step


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
    to_and_fro = cycle([ScopeCommand(_WAY, 0.1)] * 10 + [ScopeCommand(-_WAY, -0.1)] * 10)
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
    return (
        figures
        + _queries_in_one_batch(subset, wall, surface, line.points, seed, seconds)
        + _joint_chain(subset, scope, step.median, surface, orifice, line.points, seconds)
    )


def _queries_in_one_batch(
    subset: str,
    wall: WallDistance,
    surface: Mesh,
    line: NDArray[np.float64],
    seed: int,
    seconds: float,
) -> list[Figure]:
    """Measure distances of points within 10 mm of the wall, in one batch, beside PyBullet's of the same points.

    Those on the wall's far side are known to 6 mm, so all of them have a distance.
    """
    rng = np.random.default_rng(seed)
    near = line[rng.integers(60, len(line) - 40, 4 * _BATCH)] + rng.normal(scale=0.012, size=(4 * _BATCH, 3))
    found = wall.distance(near)
    points = near[(found > -BAND + 0.001) & (found < _REACH - 0.001)][:_BATCH]
    ours = stopwatch(lambda: wall.query(points), seconds=seconds)
    grid = stopwatch(lambda: wall.interpolate(points), seconds=seconds)
    asked = points[:_ASKED]
    with BulletWorld() as world:
        body = world.add_anatomy(surface)
        (ball,) = world.add_spheres([1e-4])

        def ask() -> list[float]:
            distances = []
            for point in asked:
                world.place([ball], point[None])
                contact = world.nearest(ball, body, _REACH)
                distances.append(np.nan if contact is None else contact.distance + 1e-4)
            return distances

        theirs = stopwatch(ask, seconds=seconds, least=2)
        apart = np.abs(np.array(ask()) - np.abs(wall.distance(asked)))
    each, bullet_each = ours.median / len(points), theirs.median / len(asked)
    how = f"{len(points)} points on both sides within {1e3 * _REACH:.0f} mm of the wall, distance, sign and gradient"
    return [
        Figure("physics.wall.query.us", subset, 1e6 * each, "us", n=ours.n, how=f"a point; {how}"),
        Figure(
            "physics.wall.grid.us",
            subset,
            1e6 * grid.median / len(points),
            "us",
            n=grid.n,
            how="a point; the same interpolated, whose sign is wrong in folds thinner than a cell",
        ),
        Figure("physics.wall.getclosestpoints.us", subset, 1e6 * bullet_each, "us", n=theirs.n, how="a point, no sign"),
        Figure(
            "physics.wall.vs_getclosestpoints",
            subset,
            bullet_each / each,
            "1",
            n=min(ours.n, theirs.n),
            how=f"times as fast a point, in one run; the same points, {_ASKED} of them by PyBullet",
        ),
        Figure(
            "physics.wall.apart.mm",
            subset,
            1e3 * float(np.nanquantile(apart, 0.9)),
            "mm",
            n=len(asked),
            how="ninth decile of the difference between both",
        ),
    ]


def _joint_chain(
    subset: str,
    scope: FlexibleScope,
    ours: float,
    surface: Mesh,
    orifice: Orifice,
    line: NDArray[np.float64],
    seconds: float,
) -> list[Figure]:
    """Measure a control step of a joint chain in PyBullet, pushed to and fro as the rod was."""
    to_and_fro = cycle([_WAY] * 10 + [-_WAY] * 10)
    with BulletWorld() as world:
        chain = JointChain(world, surface, orifice, line, scope.device, _INSERTION)
        theirs = stopwatch(lambda: chain.advance(next(to_and_fro)), seconds=seconds)
        if not np.isfinite(chain.places()).all():
            raise RuntimeError("expected PyBullet's joint chain to hold, found it lost")
    frames = CONTROL_STEP * FRAMES
    how = f"{JOINTS} hinges over {_INSERTION} m, steps of 1/{round(1 / STEP)} s, to and fro as the rod"
    return [
        _milliseconds("physics.joint_chain.step.ms", subset, theirs, f"a control step; {how}"),
        Figure(
            "physics.rod.vs_joint_chain",
            subset,
            theirs.median / ours,
            "1",
            n=theirs.n,
            how="times as fast over the same simulated time, in one run, one core each",
        ),
        Figure(
            "physics.rod.real_time_factor",
            subset,
            CONTROL_STEP / ours,
            "1",
            how=f"simulated over spent time at {FRAMES} Hz ({frames:.0f} implicit steps a control step), 1 core",
        ),
    ]


def _milliseconds(name: str, subset: str, timing: Timing, how: str) -> Figure:
    return Figure(
        name, subset, 1e3 * timing.median, "ms", 1e3 * timing.low, 1e3 * timing.high, timing.n, f"{how}; quartiles"
    )

"""How fast soft tissue runs, beside PyBullet's soft body on the same mesh, and how far it is from linear elements.

Times are those that the processor spent (both run in one thread of this process), so that other work on the machine
does not count.
"""

import time
from collections.abc import Callable

import numpy as np

from assets.labels import label_id
from assets.materials import Mechanical, load_materials
from assets.mesh import Mesh
from assets.transforms import look_along
from scenarios.bench.linear_fem import static_displacement
from scenarios.figures import Figure
from sim.bullet_soft import SoftBulletWorld
from sim.camera import Camera
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject
from sim.soft.body import SoftBody
from sim.soft.contact import Capsule
from sim.soft.embedding import EmbeddedSurface
from sim.soft.newton import SoftOptions
from sim.soft.sweep import Sweep
from sim.soft.tet_mesh import TetMesh, tet_mesh
from sim.soft.tet_shapes import box

FRAME = 1 / 60
"""[s]"""
_SIZE = (0.16, 0.10, 0.10)  # of the block [m]: about that of the right lobe of a liver
_CELLS = {"soft2k": (9, 6, 6), "soft10k": (16, 10, 10)}  # 1,944 and 9,600 tetrahedra
_RADIUS = 0.02  # of the sphere [m]
_BULLET_STEP = 0.001  # [s]; the explicit steps of PyBullet's soft body blow up at longer ones
_SETTLING = 150  # frames, after which implicit Euler has damped the block's slowest swing to 1e-3
_CUTS = 3
_PICTURE = 256  # [px]
_SKIN = (30, 20, 20)  # cells of the skin that is drawn: 6,400 triangles
_OPTIONS = SoftOptions(tolerance=3e-3)
_TISSUE = Mechanical(density=1060.0, youngs_modulus=5000.0, poisson_ratio=0.45, friction=0.1)


def bench_soft(*, frames: int = 20) -> list[Figure]:
    """Measure frames of a block under its weight that a sphere presses, at two sizes.

    Args:
        frames: Of 1/60 s each, the same for both.
    """
    figures = []
    for name, cells in _CELLS.items():
        mesh = tet_mesh(*box(_SIZE, cells), _TISSUE)
        subset = f"block, {len(mesh.tets)} tetrahedra, nu = {_TISSUE.poisson_ratio}, residual <= {_OPTIONS.tolerance:g}"
        ours = pressed_frames(mesh, frames)
        how = "processor time of one frame of 1/60 s, a sphere pressing and sliding; quartiles"
        low, median, high = (1e3 * float(value) for value in np.quantile(ours, (0.25, 0.5, 0.75)))
        figures.append(Figure(f"physics.{name}.ms", subset, median, "ms", low, high, len(ours), how))
        speed = 1e3 * FRAME / median
        figures.append(
            Figure(
                f"physics.{name}.vs_real_time", subset, speed, "1", n=len(ours), how="simulated over spent time, 1 core"
            )
        )
        figures.append(
            Figure(
                f"physics.{name}.error",
                subset,
                error_against_linear_elements(mesh),
                "1",
                how="greatest error of a node over greatest displacement, settled, against SciPy on the same mesh",
            )
        )
        cut, pattern = (1e3 * value for value in cut_times(mesh))
        how = "processor time of a leaning cut through the middle; the median of three"
        figures.append(Figure(f"physics.{name}.cut.ms", subset, cut, "ms", n=_CUTS, how=how))
        how = "the part of it that the matrix's new pattern and the arrays take"
        figures.append(Figure(f"physics.{name}.cut.pattern.ms", subset, pattern, "ms", n=_CUTS, how=how))
        if name == "soft2k":
            drawn = rendered_frames(mesh, frames)
            how = f"simulated over spent time, 1 core: a frame's step, the skin's motion, a picture of {_PICTURE} px"
            factor = FRAME / float(np.median(drawn))
            figures.append(Figure(f"physics.{name}.rendered.real_time_factor", subset, factor, "1", n=frames, how=how))
        if name == "soft10k":
            bullet = bullet_frames(mesh, frames)
            low, theirs, high = (1e3 * float(value) for value in np.quantile(bullet, (0.25, 0.5, 0.75)))
            how = f"processor time of the same frames in steps of {_BULLET_STEP * 1e3:g} ms, bottom anchored; quartiles"
            figures.append(Figure(f"physics.{name}.pybullet.ms", subset, theirs, "ms", low, high, frames, how))
            how = "times as fast, medians of one run; ours stopped on the residual"
            figures.append(Figure(f"physics.{name}.vs_pybullet", subset, theirs / median, "1", n=frames, how=how))
    return figures


def sphere_centre(frame: int) -> tuple[float, float, float]:
    """Return where the pressing sphere is [m]: 1 mm deeper into the top each frame, then aside."""
    return 0.07 + 0.001 * max(0, frame - 10), _SIZE[1] + _RADIUS - 0.001 * min(frame, 10), 0.05


def pressed_frames(mesh: TetMesh, frames: int) -> list[float]:
    """Return the processor time [s] of each frame in which a sphere goes into a block's top and aside."""
    body = SoftBody(mesh, _OPTIONS)
    body.fix(mesh.nodes[:, 1] < 1e-9)
    body.step(FRAME)  # the kernels are loaded in it
    body.place(mesh.nodes)
    times = []
    for frame in range(frames):
        centre = sphere_centre(frame)
        body.set_tools([Capsule(centre, centre, _RADIUS, 0.1)])
        times.append(_spent(lambda: body.step(FRAME)))
    return times


def cut_times(mesh: TetMesh) -> tuple[float, float]:
    """Return the processor time [s] of a cut in two, and of building a body of what comes of it."""
    x, lean = _SIZE[0] / 2, 0.2 * _SIZE[1]
    low, high = -0.1 * _SIZE[1], 1.1 * _SIZE[1]
    sweep = Sweep((x - lean, low, -0.01), (x - lean, low, 0.11), (x + lean, high, -0.01), (x + lean, high, 0.11))
    whole, pattern = [], []
    for _ in range(_CUTS):
        body = SoftBody(mesh, _OPTIONS)
        whole.append(_spent(lambda body=body: body.cut(sweep)))  # type: ignore[misc]
        pattern.append(_spent(lambda body=body: SoftBody(body.mesh, _OPTIONS)))  # type: ignore[misc]
    return float(np.median(whole)), float(np.median(pattern))


def rendered_frames(mesh: TetMesh, frames: int) -> list[float]:
    """Return the processor time [s] of the same frames with a picture of each, all channels, in one thread."""
    body = SoftBody(mesh, _OPTIONS)
    body.fix(mesh.nodes[:, 1] < 1e-9)
    fine = tet_mesh(*box(_SIZE, _SKIN), _TISSUE)
    used, triangles = np.unique(fine.surface, return_inverse=True)
    skin = Mesh(fine.nodes[used].astype(np.float32), triangles.reshape(-1, 3).astype(np.int32))
    surface = EmbeddedSurface(skin, body)
    organ = SceneObject("block", skin, label_id("liver"), load_materials()["liver"], "solid")
    eye = np.array([0.08, 0.22, -0.10])
    pose = look_along(np.array([0.08, 0.08, 0.05]) - eye, np.array([0.0, 1.0, 0.0]), eye)
    times = []
    with Renderer([organ], Camera.with_fov(_PICTURE, _PICTURE, 60.0, model="pinhole"), threads=1) as renderer:
        body.step(FRAME)
        renderer.render(pose)  # the kernels are loaded in it
        body.place(mesh.nodes)

        def frame(centre: tuple[float, float, float]) -> None:
            body.set_tools([Capsule(centre, centre, _RADIUS, 0.1)])
            body.step(FRAME)
            renderer.scene.deform("block", surface.update()[0])
            renderer.render(pose)

        for index in range(frames):
            centre = sphere_centre(index)
            times.append(_spent(lambda centre=centre: frame(centre)))  # type: ignore[misc]
    return times


def bullet_frames(mesh: TetMesh, frames: int) -> list[float]:
    """Return the processor time [s] that PyBullet takes for each of the same frames.

    Raises:
        RuntimeError: It did not load the mesh, or did not press it; it fails without a word.
    """
    steps = round(FRAME / _BULLET_STEP)
    with SoftBulletWorld(_BULLET_STEP) as world:
        body = world.add_soft(mesh)
        if body < 0:
            raise RuntimeError("expected PyBullet to load a soft body, found that it did not")
        before = world.nodes(body)
        world.anchor(body, np.flatnonzero(mesh.nodes[:, 1] < 1e-9))
        sphere = world.add_spheres([_RADIUS])
        times = []
        for frame in range(frames):
            world.place(sphere, np.array([sphere_centre(frame)]))
            times.append(_spent(lambda: world.simulate(steps)) * FRAME / _BULLET_STEP / steps)
        moved = world.nodes(body) - before
    sunk = -float(moved[:, 1].min())
    if len(before) != len(mesh.nodes) or not 1e-4 < sunk < _SIZE[1]:
        raise RuntimeError(
            f"expected {len(mesh.nodes)} nodes to be pressed, found {len(before)} that sank {sunk:.2g} m"
        )
    return times


def error_against_linear_elements(mesh: TetMesh) -> float:
    """Return the greatest error of a node over the greatest displacement under a small weight, bottom held.

    The body comes to rest in frames as those that are timed.
    """
    weight = 1e-3 * 9.81
    body = SoftBody(mesh, _OPTIONS, gravity=(0.0, -weight, 0.0))
    bottom = mesh.nodes[:, 1] < 1e-9
    body.fix(bottom)
    for _ in range(_SETTLING):
        body.step(FRAME)
    mu, lam = (float(value[0]) for value in mesh.lame)
    load = np.zeros_like(mesh.nodes)
    load[:, 1] = -weight * mesh.masses
    held = np.repeat(bottom[:, None], 3, axis=1)
    expected = static_displacement(mesh.nodes, mesh.tets, (mu, lam), held, load, volumetric="nodal")
    return float(np.abs(body.positions - mesh.nodes - expected).max() / np.abs(expected).max())


def _spent(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start

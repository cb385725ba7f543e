"""How fast a synthetic colon is rendered with all ground truth, beside PyBullet's TinyRenderer on the same meshes."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pybullet
from jaxtyping import Float
from numpy.typing import NDArray

from assets.colon.synthesis import synthetic_colon
from assets.transforms import look_along
from scenarios.figures import Figure
from sim.camera import Camera
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject, objects_of
from sim.world import BulletWorld

_FOV_DEG = 100.0
"""Of the pinhole, the only lens that TinyRenderer has."""
_WIDE_FOV_DEG = 140.0
"""Of the fisheye."""


class _VisibleWorld(BulletWorld):
    """The world with bodies that PyBullet's own renderer draws."""

    def show(self, objects: tuple[SceneObject, ...], folder: Path) -> None:
        for item in objects:
            # It draws the side from which triangles run counter-clockwise; a lumen is seen from the other one.
            corners = item.mesh.triangles[:, ::-1] if item.kind == "lumen" else item.mesh.triangles
            lines = [f"v {x:.8g} {y:.8g} {z:.8g}" for x, y, z in item.mesh.vertices]
            lines += [f"f {a} {b} {c}" for a, b, c in corners + 1]
            path = folder / f"{item.name}.obj"
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            shape = pybullet.createVisualShape(pybullet.GEOM_MESH, fileName=str(path), physicsClientId=self._client)
            pybullet.createMultiBody(0.0, -1, shape, physicsClientId=self._client)

    def picture(self, size: int, T_world_camera: Float[np.ndarray, "4 4"]) -> NDArray[np.int32]:
        """Draw colour, depth and ids, and return the ids (-1 where nothing), shape (size, size)."""
        eye = T_world_camera[:3, 3]
        view = pybullet.computeViewMatrix(eye, eye + T_world_camera[:3, 2], -T_world_camera[:3, 1])
        projection = pybullet.computeProjectionMatrixFOV(_FOV_DEG, 1.0, 1e-3, 1.0)
        answer = pybullet.getCameraImage(
            size,
            size,
            view,
            projection,
            shadow=0,
            renderer=pybullet.ER_TINY_RENDERER,
            physicsClientId=self._client,
        )
        return np.asarray(answer[4], dtype=np.int32).reshape(size, size)


def bench_render(
    folder: Path, *, seed: int = 0, rounds: int = 15, threads: int = 2, device: str = "cpu"
) -> list[dict[str, Any]]:
    """Measure frames from poses along a colon; each round times every renderer once, on the same pose.

    Args:
        folder: Takes the meshes that PyBullet reads; exists.
        seed: Of the colon.
        rounds: Measurements of each; the figures are their medians.
        threads: Of the renderer, on the CPU.
        device: Warp's name for the device.

    Returns:
        Figures as in `report.json`.
    """
    patient = synthetic_colon(seed)
    objects = objects_of(patient)
    points = patient.centrelines[0].points
    poses = []
    for index in np.linspace(0.1 * len(points), 0.85 * len(points), rounds).astype(int):
        forward = points[index + 10] - points[index]
        up = np.cross(forward, np.eye(3)[np.argmin(np.abs(forward))])
        poses.append(look_along(forward, up, points[index]))

    pinholes = {size: Camera.with_fov(size, size, _FOV_DEG, model="pinhole") for size in (128, 256, 512)}
    cameras = {f"{size}": camera for size, camera in pinholes.items()}
    cameras |= {f"{size}.fisheye": Camera.with_fov(size, size, _WIDE_FOV_DEG) for size in (128, 512)}
    renderers = {name: Renderer(objects, camera, device=device, threads=threads) for name, camera in cameras.items()}
    try:
        world = _VisibleWorld()
        with world:
            world.show(objects, folder)
            agreement = float(
                np.mean([world.picture(512, pose) + 1 == renderers["512"].render(pose).instance for pose in poses[:3]])
            )
            tasks: dict[str, Callable[[NDArray[np.float64]], Any]] = {
                name: renderer.render for name, renderer in renderers.items()
            }
            tasks |= {f"tinyrenderer.{size}": partial(world.picture, size) for size in pinholes}
            took: dict[str, list[float]] = {name: [] for name in tasks}
            for pose in poses:
                for name, task in tasks.items():
                    start = time.perf_counter()
                    task(pose)
                    took[name].append(time.perf_counter() - start)
    finally:
        for renderer in renderers.values():
            renderer.close()

    subset = f"synth:colon:{seed}, {sum(len(item.mesh.triangles) for item in objects)} triangles"
    how = f"median of {rounds} interleaved rounds, {device}, {threads} threads"
    channels = "rgb, semantic, instance, depth and normal"
    figures = []
    for name, times in took.items():
        what = "rgb, depth and ids" if name.startswith("tiny") else channels
        median = statistics.median(times)
        figures.append(Figure(f"render.colon.{name}.ms", subset, 1e3 * median, "ms", n=rounds, how=f"{what}; {how}"))
    for size in pinholes:
        ratio = statistics.median(took[f"tinyrenderer.{size}"]) / statistics.median(took[f"{size}"])
        figures.append(
            Figure(f"render.colon.{size}.vs_tinyrenderer", subset, ratio, "1", n=rounds, how=f"times as fast; {how}")
        )
    figures.append(
        Figure(
            "render.colon.512.mask_agreement", subset, agreement, "1", n=3, how="share of pixels with TinyRenderer's id"
        )
    )
    return [asdict(figure) for figure in figures]

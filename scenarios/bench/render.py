"""How fast a synthetic colon is rendered with all ground truth, beside PyBullet's TinyRenderer on the same meshes."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.colon.synthesis import synthetic_colon
from assets.transforms import look_along
from scenarios.figures import Figure
from sim.camera import Camera
from sim.render.renderer import Renderer
from sim.scene_objects import objects_of
from sim.tiny_renderer import DrawnWorld

_FOV_DEG = 100.0
"""Of the pinhole, the only lens that TinyRenderer has."""
_WIDE_FOV_DEG = 140.0
"""Of the fisheye."""


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
        world = DrawnWorld()
        with world:
            world.show(objects, folder)
            same = [
                world.picture(512, _FOV_DEG, pose) + 1 == renderers["512"].render(pose).instance for pose in poses[:3]
            ]
            agreement = float(np.mean(same))
            tasks: dict[str, Callable[[NDArray[np.float64]], Any]] = {
                name: renderer.render for name, renderer in renderers.items()
            }
            tasks |= {f"tinyrenderer.{size}": partial(world.picture, size, _FOV_DEG) for size in pinholes}
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

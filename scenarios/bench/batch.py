"""How many frames a second a device renders for many environments at once, and how long one camera waits for one."""

import time
from typing import Any

import numpy as np
import torch
import warp as wp

from assets.colon.synthesis import synthetic_colon
from assets.errors import InputError
from assets.patient import Patient
from scenarios.bench.render import poses_along
from scenarios.figures import Figure
from sim.camera import Camera
from sim.render.batch import BatchRenderer
from sim.render.channels import EXTRAS
from sim.render.devices import check_device
from sim.render.scene import RenderScene
from sim.scene_objects import objects_of

_FOV_DEG = 100.0
_USUAL = "rgb with texture, semantic, instance, depth and normal"
_WARM_UP = 2
_ON_GPU = ((256, (256, 256)), (64, (640, 480)))
"""Environments and sizes whose throughput the project aims at (docs/performance.md)."""
_ON_CPU = ((4, (64, 64)),)


def bench_batch(
    patient: Patient | None = None,
    *,
    seed: int = 0,
    environments: int | None = None,
    size: tuple[int, int] | None = None,
    rounds: int = 15,
    device: str = "cpu",
) -> list[Figure]:
    """Measure environments that share a colon, each with a camera at another place, by usual channels and by all.

    Args:
        patient: The colon; None takes the synthetic one of the seed.
        seed: Of the colon.
        environments: How many are rendered at once.
        size: Width and height [px]. With neither, a GPU renders 256 of 256 x 256 px and 64 of 640 x 480 px, and the CPU
            4 of 64 x 64 px; with one alone the other is that of the first of these.
        rounds: Measurements; the figures are their medians. In each the cameras change places.
        device: Warp's name for the device.

    Raises:
        InputError: The device is not there or has too little memory, or a number is out of range.
    """
    choices = _ON_CPU if check_device(device).is_cpu else _ON_GPU
    if environments is not None or size is not None:
        first_count, first_size = choices[0]
        choices = ((first_count if environments is None else environments, first_size if size is None else size),)
    if rounds < 1 or any(count < 1 for count, _ in choices):
        raise InputError(f"bench batch: expected at least 1 environment and round, found {choices[0][0]} and {rounds}")
    patient = patient or synthetic_colon(seed)
    scene = RenderScene(objects_of(patient), device)
    figures: list[Figure] = []
    for count, (width, height) in choices:
        camera = Camera.with_fov(width, height, _FOV_DEG, model="pinhole")
        for name, more in (("render.batch", {}), ("render.batch.all", {"flow": True, "channels": EXTRAS})):
            figures += _figures(name, patient, scene, camera, count, rounds, more)
    return figures


def _figures(
    name: str,
    patient: Patient,
    scene: RenderScene,
    camera: Camera,
    count: int,
    rounds: int,
    more: dict[str, Any],
) -> list[Figure]:
    """Measure `count` environments, and one by itself."""
    poses = np.stack(poses_along(patient, count))
    many = _median(BatchRenderer(scene, camera, count, **more), poses, rounds)
    one = _median(BatchRenderer(scene, camera, 1, **more), poses, rounds)
    where = torch.cuda.get_device_name(wp.device_to_torch(scene.device)) if scene.device.is_cuda else "cpu, one thread"
    added = ", part, distance, object coordinates, light distance, and flow both ways" if more else ""
    how = f"{_USUAL}{added}, left on the device; pinhole, one shared scene; median of {rounds} rounds, each waited for"
    size = f"{patient.name}, {len(scene.geometry.triangles)} triangles, {camera.width} x {camera.height} px"
    rate, pixels = count / many, camera.width * camera.height
    given = [
        (f"{name}.frames_per_s", f"{size}, {count} environments", rate, "1/s"),
        (
            f"{name}.gpixel_per_s",
            f"{size}, {count} environments",
            rate * pixels / 1e9,
            "Gpixel/s",
        ),
        (f"{name}.latency_ms", f"{size}, one camera", 1e3 * one, "ms"),
    ]
    return [Figure(title, subset, value, unit, n=rounds, how=f"{how}; {where}") for title, subset, value, unit in given]


def _median(renderer: BatchRenderer, poses: np.ndarray, rounds: int) -> float:
    """Return the seconds that a rendering takes until the device is done."""
    times = []
    for turn in range(_WARM_UP + rounds):
        turned = np.roll(poses, turn, axis=0)[: renderer.count]
        wp.synchronize_device(renderer.device)
        start = time.perf_counter()
        renderer.render(turned, seed=turn)
        wp.synchronize_device(renderer.device)
        times.append(time.perf_counter() - start)
    return float(np.median(times[_WARM_UP:]))

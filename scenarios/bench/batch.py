"""How many frames a second a device renders for many environments at once, and how long one camera waits for one."""

import time

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
from sim.render.scene import RenderScene
from sim.scene_objects import objects_of

_FOV_DEG = 100.0
_CHANNELS = "rgb with texture, semantic, instance, depth and normal, left on the device"
_WARM_UP = 2


def bench_batch(
    patient: Patient | None = None,
    *,
    seed: int = 0,
    environments: int = 4,
    size: tuple[int, int] = (64, 64),
    rounds: int = 15,
    device: str = "cpu",
) -> list[Figure]:
    """Measure environments that share a colon, each with a camera at another place.

    Args:
        patient: The colon; None takes the synthetic one of the seed.
        seed: Of the colon.
        environments: How many are rendered at once.
        size: Width and height [px].
        rounds: Measurements; the figures are their medians. In each the cameras change places.
        device: Warp's name for the device.

    Raises:
        InputError: The device is not there or has too little memory, or a number is out of range.
    """
    if environments < 1 or rounds < 1:
        raise InputError(f"bench batch: expected at least 1 environment and round, found {environments} and {rounds}")
    camera = Camera.with_fov(*size, _FOV_DEG, model="pinhole")
    patient = patient or synthetic_colon(seed)
    scene = RenderScene(objects_of(patient), device)
    poses = np.stack(poses_along(patient, environments))
    triangles = len(scene.geometry.triangles)
    subset = f"{patient.name}, {triangles} triangles, {size[0]} x {size[1]} px, {environments} environments"
    where = torch.cuda.get_device_name(wp.device_to_torch(scene.device)) if scene.device.is_cuda else "cpu, one thread"
    many = _median(BatchRenderer(scene, camera, environments), poses, rounds)
    one = _median(BatchRenderer(scene, camera, 1), poses, rounds)
    how = f"{_CHANNELS}; pinhole, one shared scene; median of {rounds} rounds, each waited for; {where}"
    alone = f"{patient.name}, {triangles} triangles, {size[0]} x {size[1]} px, one camera"
    return [
        Figure("render.batch.frames_per_s", subset, environments / many, "1/s", n=rounds, how=how),
        Figure(
            "render.batch.gpixel_per_s",
            subset,
            environments * size[0] * size[1] / many / 1e9,
            "Gpixel/s",
            n=rounds,
            how=how,
        ),
        Figure("render.batch.latency_ms", alone, 1e3 * one, "ms", n=rounds, how=how),
    ]


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

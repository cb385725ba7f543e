"""How fast a synthetic colon is rendered with all ground truth, beside other renderers on the same meshes."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from assets.colon.synthesis import synthetic_colon
from assets.errors import InputError
from assets.patient import Patient
from assets.transforms import look_along
from scenarios.bench.race import Picture, take_turns
from scenarios.bench.render_memory import MEMORY_TRIANGLES, bench_memory
from scenarios.bench.render_rivals import (
    SARAMIS_SAMPLES,
    SARAMIS_SIZE,
    embree_picture,
    mitsuba_picture,
    vtk_picture,
)
from scenarios.bench.render_scene import FlowTask, bench_scene
from scenarios.figures import Figure
from sim.camera import Camera
from sim.render.renderer import Renderer
from sim.scene_objects import objects_of
from sim.tiny_renderer import DrawnWorld

_FOV_DEG = 100.0
"""Of the pinhole, the only lens that TinyRenderer and VTK have."""
_WIDE_FOV_DEG = 140.0
"""Of the fisheye."""
_SARAMIS_FOV_DEG = 80.0
_SIZES = (128, 256, 512)
_RIVAL_SIZE = 256
_CHANNELS = "rgb with texture, semantic, instance, depth and normal"


def bench_render(
    folder: Path,
    *,
    seed: int = 0,
    rounds: int = 15,
    threads: int = 2,
    device: str = "cpu",
    sizes: Sequence[int] = _SIZES,
    memory_triangles: int = MEMORY_TRIANGLES,
    organ_subdivisions: int = 5,
) -> list[dict[str, Any]]:
    """Measure frames from poses along a colon; each round times every renderer once, on the same pose.

    Args:
        folder: Takes the meshes that other renderers read; exists.
        seed: Of the colon.
        rounds: Measurements of each; the figures are their medians.
        threads: Of the renderer, on the CPU.
        device: Warp's name for the device.
        sizes: Edges of the square pictures [px].
        memory_triangles: Triangles of the scene whose memory is measured.
        organ_subdivisions: Of the organ that deforms: 20 x 4^n triangles.

    Returns:
        Figures as in `report.json`; those of a rival that is not installed are missing, and a line on stderr says so.

    Raises:
        InputError: The device is not there.
    """
    patient = synthetic_colon(seed)
    objects = objects_of(patient)
    poses = poses_along(patient, rounds)
    largest = max(sizes)
    rival_size = _RIVAL_SIZE if _RIVAL_SIZE in sizes else largest
    pinholes = {size: Camera.with_fov(size, size, _FOV_DEG, model="pinhole") for size in sizes}
    cameras = {f"{size}": camera for size, camera in pinholes.items()}
    cameras |= {f"{size}.fisheye": Camera.with_fov(size, size, _WIDE_FOV_DEG) for size in {min(sizes), largest}}
    small = Camera.with_fov(*SARAMIS_SIZE, _SARAMIS_FOV_DEG, model="pinhole")
    subset = f"synth:colon:{seed}, {sum(len(item.mesh.triangles) for item in objects)} triangles"
    machine = f"{device}, {threads} threads of {os.cpu_count()} cores"
    with ExitStack() as stack:
        renderers = {
            name: stack.enter_context(Renderer(objects, camera, device=device, threads=threads))
            for name, camera in (cameras | {"200x100": small}).items()
        }
        world = DrawnWorld()
        stack.enter_context(world)
        world.show(objects, folder)
        same = [
            world.picture(largest, _FOV_DEG, pose) + 1 == renderers[f"{largest}"].render(pose).instance
            for pose in poses[:3]
        ]
        tasks: dict[str, Picture] = {name: renderer.render for name, renderer in renderers.items()}
        flows = {f"{size}.with_flow": FlowTask(renderers[f"{size}"]) for size in (rival_size, largest)}
        tasks |= flows
        tasks |= {f"tinyrenderer.{size}": partial(world.picture, size, _FOV_DEG) for size in pinholes}
        rivals = _there(
            {
                f"vtk.{rival_size}": partial(vtk_picture, objects, pinholes[rival_size]),
                f"embree.{rival_size}": partial(embree_picture, objects, pinholes[rival_size]),
            }
        )
        mitsuba = _there({"mitsuba": partial(mitsuba_picture, objects, _SARAMIS_FOV_DEG, folder)})
        race = take_turns(tasks | rivals, poses, prepare={name: task.prepare for name, task in flows.items()})
        slow = take_turns(mitsuba, poses[:1])

    figures = []
    for name, median in race.median.items():
        how = f"{_what(name)}; median of {race.n} interleaved rounds, {machine}"
        figures.append(Figure(f"render.colon.{name}.ms", subset, 1e3 * median, "ms", n=race.n, how=how))
        worked = 1e3 * race.processor[name]
        how = f"processor time of all threads, {how}"
        figures.append(Figure(f"render.colon.{name}.processor_ms", subset, worked, "ms", n=race.n, how=how))

    def compare(name: str, rival: float, ours: str, what: str, n: int = race.n) -> None:
        how = f"times as fast as {what}, ours with {_what(ours)}; medians of interleaved rounds, {machine}"
        figures.append(Figure(f"render.colon.{name}", subset, rival / race.median[ours], "1", n=n, how=how))

    for size in sizes:
        compare(f"{size}.vs_tinyrenderer", race.median[f"tinyrenderer.{size}"], f"{size}", _what("tinyrenderer"))
    for size in {rival_size, largest}:
        tiny = race.median[f"tinyrenderer.{size}"]
        compare(f"{size}.with_flow.vs_tinyrenderer", tiny, f"{size}.with_flow", _what("tinyrenderer"))
    if rivals:
        best = min(rivals, key=lambda name: race.median[name])
        compare(f"{rival_size}.vs_best_rival", race.median[best], f"{rival_size}", f"{best}: {_what(best)}")
        compare(f"{rival_size}.with_flow.vs_best_rival", race.median[best], f"{rival_size}.with_flow", best)
    if mitsuba:
        took = slow.median["mitsuba"]
        how = f"{_what('mitsuba')}; one frame, {machine}"
        figures.append(Figure("render.colon.200x100.mitsuba.ms", subset, 1e3 * took, "ms", how=how))
        compare("200x100.vs_saramis_recipe", took, "200x100", _what("mitsuba"), 1)
    how = f"share of pixels with TinyRenderer's id, {largest} x {largest} px"
    agreement = float(np.mean(same))
    figures.append(Figure(f"render.colon.{largest}.mask_agreement", subset, agreement, "1", n=len(same), how=how))
    same_scene: dict[str, Any] = {"threads": threads, "device": device, "subset": subset, "machine": machine}
    figures += bench_scene(objects, pinholes[largest], poses, subdivisions=organ_subdivisions, **same_scene)
    figures += bench_memory(triangles=memory_triangles, threads=threads, device=device)
    return [asdict(figure) for figure in figures]


def poses_along(patient: Patient, count: int) -> list[Float[np.ndarray, "4 4"]]:
    """Look along a colon's centreline from places spread over most of it."""
    points = patient.centrelines[0].points
    poses = []
    for index in np.linspace(0.1 * len(points), 0.85 * len(points), count).astype(int):
        forward = points[index + 10] - points[index]
        up = np.cross(forward, np.eye(3)[np.argmin(np.abs(forward))])
        poses.append(look_along(forward, up, points[index]))
    return poses


def _there(wanted: dict[str, Callable[[], Picture]]) -> dict[str, Picture]:
    """Prepare the rivals that are installed, and say which are not."""
    found = {}
    for name, prepare in wanted.items():
        try:
            found[name] = prepare()
        except InputError as error:
            print(error, file=sys.stderr)
    return found


def _what(name: str) -> str:
    """Say what a task draws."""
    for start, what in {
        "tinyrenderer": "TinyRenderer's flat rgb, depth and ids",
        "vtk": "VTK's rgb, ids and depth by software OpenGL",
        "embree": "one thread of Embree's rays and NumPy: rgb, semantic, instance, depth and flat normal",
        "mitsuba": f"Mitsuba scalar_rgb, {SARAMIS_SAMPLES} samples, 12 bounces, rgb alone",
    }.items():
        if name.startswith(start):
            return what
    return f"{_CHANNELS}{', and flow from a frame 1 mm before' if name.endswith('with_flow') else ''}"

"""How fast, how lean and how true label volumes become meshes: 200 x 200 x 200 voxels with ten labels that touch."""

import multiprocessing
import resource
import time

import numpy as np
from numpy.typing import NDArray

from assets.mesh_check import check_mesh
from assets.surface_nets.mesh_labels import mesh_labels
from scenarios.figures import Figure

SIDE = 200
VOXEL = 1.5e-3  # [m], so that the volume is 30 cm wide
VESSEL = 10


def phantom(side: int = SIDE) -> NDArray[np.uint16]:
    """Return nine ellipsoids, cut where they meet, and a curved vessel two voxels thick, as labels 1 to 10."""
    rng = np.random.default_rng(0)
    unit = np.linspace(-1.0, 1.0, side, dtype=np.float32)
    x, y, z = unit[:, None, None], unit[None, :, None], unit[None, None, :]
    nearest = np.full((side,) * 3, 1.0, np.float32)
    labels = np.zeros((side,) * 3, np.uint16)
    for label in range(1, VESSEL):
        centre, half = rng.uniform(-0.5, 0.5, 3), rng.uniform(0.25, 0.45, 3)
        level = ((x - centre[0]) / half[0]) ** 2 + ((y - centre[1]) / half[1]) ** 2 + ((z - centre[2]) / half[2]) ** 2
        closer = level < nearest
        labels[closer] = label
        nearest[closer] = level[closer]
    turn = np.linspace(0.0, 4 * np.pi, 4000)
    line = np.stack([0.8 * np.cos(turn), 0.8 * np.sin(turn), np.linspace(-0.9, 0.9, len(turn))], axis=1)
    at = np.rint((line + 1.0) / 2.0 * (side - 1)).astype(int)
    for shift in np.ndindex(2, 2, 2):
        labels[tuple((np.minimum(at + shift, side - 1)).T)] = VESSEL
    return labels


def measure(side: int = SIDE) -> dict[str, float]:
    """Mesh the phantom; return seconds on the clock and of processors, peak memory [GiB], errors [%] and triangles."""
    labels = phantom(side)
    T_world_index = np.diag([VOXEL, VOXEL, VOXEL, 1.0])
    start, worked = time.perf_counter(), time.process_time()
    meshes = mesh_labels(labels, T_world_index, edge=4e-3)
    seconds, processor = time.perf_counter() - start, time.process_time() - worked
    reports = {label: check_mesh(mesh.surface) for label, mesh in meshes.items()}
    error = {label: abs(reports[label].volume / mesh.volume - 1) * 100 for label, mesh in meshes.items()}
    return {
        "seconds": seconds,
        "processor": processor,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20),
        "error": max(value for label, value in error.items() if label != VESSEL),
        "vessel": error[VESSEL],
        "triangles": float(sum(report.triangle_count for report in reports.values())),
        "faults": float(sum(bool(report.problems) for report in reports.values())),
    }


def bench_volumes(*, side: int = SIDE) -> list[Figure]:
    """Measure in a process of its own, so that the peak of the memory is that of this work and its imports."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(measure, (side,))
    subset = f"label volume {side}^3, 10 labels"
    return [
        Figure(
            "anatomy.volume.mesh.s", subset, found["seconds"], "s", how="all surfaces, smoothed and reduced, 1 process"
        ),
        Figure(
            "anatomy.volume.mesh_cpu.s",
            subset,
            found["processor"],
            "s",
            how="processor time of the same, whoever else uses the cores",
        ),
        Figure(
            "anatomy.volume.peak", subset, found["peak"], "GiB", how="resident memory of the process, imports included"
        ),
        Figure("anatomy.volume.error", subset, found["error"], "%", n=9, how="largest error of an organ's volume"),
        Figure("anatomy.volume.vessel_error", subset, found["vessel"], "%", how="of a vessel 2 voxels thick"),
        Figure("anatomy.volume.triangles", subset, found["triangles"], "triangles", how="of all surfaces"),
        Figure(
            "anatomy.volume.faults", subset, found["faults"], "surfaces", n=10, how="not closed, manifold and outward"
        ),
    ]

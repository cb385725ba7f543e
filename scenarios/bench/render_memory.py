"""How much memory a large scene takes: the growth of a process that does nothing else."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.transforms import look_along
from scenarios.figures import Figure
from sim.camera import Camera
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject

MEMORY_TRIANGLES = 500_000
_SIZE = 512


def bench_memory(
    *, triangles: int = MEMORY_TRIANGLES, threads: int = 2, device: str = "cpu", timeout: float = 600.0
) -> list[Figure]:
    """Measure by how much a process grows that builds a scene and renders a frame; Linux only.

    Args:
        triangles: About how many the scene has.
        threads: Of the renderer.
        device: Warp's name for the device; the host's memory is what is measured.
        timeout: Of the process [s].

    Returns:
        Resident growth with the renderer ready, and its peak while it was built [MB]; none where the system does not
        tell a process's memory.
    """
    if not Path("/proc/self/status").exists():
        return []
    command = [sys.executable, "-m", "scenarios.bench.render_memory", str(triangles), str(threads), device]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    subset = f"tube, {found['triangles']} triangles, {_SIZE} x {_SIZE} px"
    how = f"a process of its own, its meshes and imports there before, {device}, {threads} threads"
    return [
        Figure("render.memory_mb", subset, found["grown"], "MB", how=f"resident growth after a frame; {how}"),
        Figure("render.memory_peak_mb", subset, found["peak"], "MB", how=f"at most while it was built; {how}"),
    ]


def tube(triangles: int) -> SceneObject:
    """Make a closed, folded tube along z, 0.5 m long, of about so many triangles, seen from inside."""
    around = max(int(np.sqrt(triangles / 8)), 3)
    along = max(triangles // (2 * around), 2)
    angle, place = np.meshgrid(np.arange(around) / around * 2 * np.pi, np.linspace(0, 0.5, along))
    radius = 0.02 * (1 - 0.3 * np.maximum(0, np.cos(np.pi * place / 0.03)) ** 8)
    rings = np.stack([radius * np.cos(angle), radius * np.sin(angle), place], axis=-1).reshape(-1, 3)
    vertices = np.concatenate([rings, [[0, 0, 0], [0, 0, 0.5]]])
    ring, column = np.meshgrid(np.arange(along - 1), np.arange(around), indexing="ij")
    a, b = ring * around + column, ring * around + (column + 1) % around
    sides = np.concatenate([np.stack([a, b, b + around], -1), np.stack([a, b + around, a + around], -1)])
    first, following = np.arange(around), np.roll(np.arange(around), -1)
    last = around * (along - 1)
    caps = [np.stack([following, first, np.full(around, len(rings))], -1)]
    caps.append(np.stack([last + first, last + following, np.full(around, len(rings) + 1)], -1))
    corners = np.concatenate([sides.reshape(-1, 3), *caps]).astype(np.int32)
    mesh = Mesh(vertices.astype(np.float32), corners)
    return SceneObject("tube", mesh, label_id("colon_wall"), load_materials()["colon_mucosa"], "lumen")


def _resident(field: str) -> float:
    """Return what the system says of this process's memory [MB]."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
    return kibibytes * 1024 / 1e6


def _measure(triangles: int, threads: int, device: str) -> dict[str, float]:
    item = tube(triangles)
    camera = Camera.with_fov(_SIZE, _SIZE, 140.0)
    gc.collect()
    before = _resident("VmRSS")
    with Renderer([item], camera, device=device, threads=threads) as renderer:
        frame = renderer.render(look_along(np.array([0, 0, 1.0]), np.array([0, 1.0, 0]), np.array([0, 0, 0.1])))
        assert frame.instance.any()
        gc.collect()
        grown = _resident("VmRSS") - before
    return {"triangles": len(item.mesh.triangles), "grown": grown, "peak": _resident("VmHWM") - before}


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))

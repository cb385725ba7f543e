"""Resets do not eat memory."""

import gc
from pathlib import Path

import pytest

from sim.soft.body import SoftBody
from sim.soft.sweep import Sweep
from sim.soft.tet_mesh import tet_mesh
from sim.soft.tet_shapes import box

STATM = Path("/proc/self/statm")


def resident():
    """[MB]"""
    return int(STATM.read_text().split()[1]) * 4096 / 1e6


@pytest.mark.skipif(not STATM.exists(), reason="the resident memory is read from Linux's /proc")
def test_less_than_a_megabyte_in_a_thousand_resets_and_cuts():
    mesh = tet_mesh(*box((0.08, 0.04, 0.06), (4, 2, 3)), "liver")
    body = SoftBody(mesh)
    body.fix(mesh.nodes[:, 1] < 1e-9)
    start = body.save_state()

    def reset(times):
        for k in range(times):
            body.restore_state(start)
            body.step(1 / 60)
            if k % 10 == 0:
                body.cut(Sweep((0.043, -0.01, -0.01), (0.043, -0.01, 0.07), (0.043, 0.05, -0.01), (0.043, 0.05, 0.07)))
                body.step(1 / 60)

    reset(100)
    grown = []
    for _ in range(5):
        gc.collect()
        before = resident()
        reset(50)
        gc.collect()
        grown.append(resident() - before)
    # The allocator takes memory in lumps; what leaks grows in most parts of the run.
    assert sorted(grown)[2] < 0.05

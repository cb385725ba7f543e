"""Shared by all tests: array annotations are checked while they run, and Warp keeps quiet."""

import os

from jaxtyping import install_import_hook

# Modules with Warp kernels are left out: Warp reads the kernels' source, which the hook's decorators would change.
CHECKED = (
    "assets",
    "perception",
    "scenarios",
    "sim.camera",
    "sim.codec",
    "sim.dataset_index",
    "sim.flow",
    "sim.key_points",
    "sim.stereo",
    "sim.frame",
    "sim.instruments",
    "sim.laparoscopy",
    "sim.robots",
    "sim.shards",
)

os.environ.setdefault("OMP_NUM_THREADS", "1")
install_import_hook(list(CHECKED), "beartype.beartype")

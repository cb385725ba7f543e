import os
from pathlib import Path

import numpy as np
import pytest

from assets.mesh import Mesh
from assets.patient import Centreline, Organ, Orifice, Patient
from assets.patient_io import save_patient
from scenarios.colonoscopy import endoscope_camera
from sim.scene import ColonoscopyScene

RADIUS, LENGTH, AROUND = 0.020, 0.30, 48


def tube() -> Mesh:
    """A straight closed tube along +z from the origin; its triangles seen from outside run counter-clockwise."""
    levels = np.linspace(0.0, LENGTH, 76)
    angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) * RADIUS
    side = np.concatenate([np.column_stack([ring, np.full(AROUND, z)]) for z in levels])
    vertices = np.concatenate([side, [[0, 0, 0], [0, 0, LENGTH]]]).astype(np.float32)
    i = np.arange(AROUND)
    j = (i + 1) % AROUND
    quads = [
        np.concatenate(
            [
                np.stack([k * AROUND + i, k * AROUND + j, (k + 1) * AROUND + j], axis=1),
                np.stack([k * AROUND + i, (k + 1) * AROUND + j, (k + 1) * AROUND + i], axis=1),
            ]
        )
        for k in range(len(levels) - 1)
    ]
    last = (len(levels) - 1) * AROUND
    caps = [
        np.stack([j, i, np.full(AROUND, len(side))], axis=1),
        np.stack([last + i, last + j, np.full(AROUND, len(side) + 1)], axis=1),
    ]
    return Mesh(vertices, np.concatenate([*quads, *caps]).astype(np.int32))


@pytest.fixture(scope="session")
def tube_patient() -> Patient:
    """A straight piece of bowel, 4 cm wide and 30 cm long, whose caecum is its far end."""
    z = np.linspace(0.0, LENGTH - 0.01, 146)
    points = np.column_stack([np.zeros_like(z), np.zeros_like(z), z])
    return Patient(
        name="tube",
        source="synth:tube",
        licence="Apache-2.0",
        organs=(Organ("colon_lumen", "colon_wall", "lumen", "colon_mucosa", tube()),),
        centrelines=(Centreline("colon", points, np.full(len(z), RADIUS)),),
        landmarks={"anus": np.zeros(3), "caecum": points[-1]},
        orifices=(Orifice("anus", "colon_lumen", np.zeros(3), np.array([0.0, 0.0, 1.0]), RADIUS),),
    )


@pytest.fixture(scope="session")
def tube_scene(tube_patient):
    with ColonoscopyScene(tube_patient, camera=endoscope_camera(48, 48), threads=1) as scene:
        yield scene


@pytest.fixture(scope="session")
def tube_folder(tube_patient, tmp_path_factory):
    """The tube as a patient folder."""
    folder = tmp_path_factory.mktemp("patients") / "tube"
    save_patient(tube_patient, folder)
    return folder


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Keep the tests' cache apart from the user's; not Warp's, or each session compiles its kernels for 30 s."""
    user = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    with pytest.MonkeyPatch.context() as patch:
        if "WARP_CACHE_PATH" not in os.environ:
            patch.setenv("WARP_CACHE_PATH", str(user / "warp"))  # Warp adds its version
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield

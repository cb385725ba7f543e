import os
import shutil
from dataclasses import dataclass
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


@dataclass(frozen=True)
class DamagedPatients:
    """Three patients, of whom two cannot be recorded."""

    folders: tuple[Path, ...]
    """The tube under three names; a mesh of the second and of the third is cut short."""

    @property
    def meshes(self) -> tuple[Path, ...]:
        """The damaged files."""
        return tuple(next((folder / "meshes").iterdir()) for folder in self.folders[1:])

    def mend(self) -> None:
        """Make all of them whole."""
        whole = next((self.folders[0] / "meshes").iterdir()).read_bytes()
        for mesh in self.meshes:
            mesh.write_bytes(whole)

    def said_by(self, last: str) -> bool:
        """Tell whether a run's last line names both, each with what is wrong."""
        damaged = zip(self.folders[1:], self.meshes, strict=True)
        return (
            "2 of 3 patients could not be recorded, so the data set is not complete; all others are there" in last
            and all(f"{folder}: " in last and f"changed or damaged: {mesh}" in last for folder, mesh in damaged)
        )


@pytest.fixture
def damaged_patients(tube_folder, tmp_path):
    """Three patients of whom two are damaged, to be mended."""
    folders = tuple(Path(shutil.copytree(tube_folder, tmp_path / name)) for name in ("ann", "bob", "eve"))
    damaged = DamagedPatients(folders)
    for mesh in damaged.meshes:
        data = mesh.read_bytes()
        mesh.write_bytes(data[: len(data) // 2])
    return damaged


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Keep the tests' cache apart from the user's; not Warp's, or each session compiles its kernels for 30 s."""
    user = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    with pytest.MonkeyPatch.context() as patch:
        if "WARP_CACHE_PATH" not in os.environ:
            patch.setenv("WARP_CACHE_PATH", str(user / "warp"))  # Warp adds its version
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield

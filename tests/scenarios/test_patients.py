from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assets.errors import InputError
from assets.mesh import Mesh
from assets.patient import Centreline, Organ, Orifice, Patient
from assets.patient_check import check_patient
from assets.patient_io import load_patient, save_patient
from assets.sources import ANATOMIES
from scenarios import patients
from scenarios.figures import CheckFailedError
from scenarios.patients import CheckOptions, SynthOptions, check, synth


def cylinder(radius: float = 0.02, length: float = 0.1, sides: int = 24) -> Mesh:
    around = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = radius * np.stack([np.cos(around), np.sin(around)], axis=-1)
    low, high = (np.column_stack([ring, np.full(sides, z)]) for z in (0.0, length))
    ends = np.array([[0, 0, 0], [0, 0, length]])
    first, second = 2 * sides, 2 * sides + 1
    triangles = []
    for i in range(sides):
        j = (i + 1) % sides
        triangles += [(i, j, sides + j), (i, sides + j, sides + i), (first, j, i), (second, sides + i, sides + j)]
    return Mesh(np.concatenate([low, high, ends]).astype(np.float32), np.array(triangles, np.int32))


def a_patient() -> Patient:
    line = np.linspace((0, 0, 0.0), (0, 0, 0.08), 30)
    return Patient(
        "tube",
        "test",
        "none",
        (Organ("colon_lumen", "colon_wall", "lumen", "colon_mucosa", cylinder()),),
        (Centreline("colon", line, np.full(30, 0.015)),),
        {"caecum": np.array([0, 0, 0.08])},
        (Orifice("anus", "colon_lumen", np.array([0.0, 0, 0]), np.array([0.0, 0, 1]), 0.02),),
    )


def test_a_sound_patient_is_well(tmp_path: Path, capsys) -> None:
    save_patient(a_patient(), tmp_path / "p")
    figures = {one.name: one.value for one in check(CheckOptions(tmp_path / "p"))}
    assert figures == {"patient.organs": 1, "patient.faults": 0}
    said = capsys.readouterr().out
    # the prism's own volume: half a turn's sine times the sides
    volume = 12 * np.sin(np.pi / 12) * 0.02**2 * 0.1 * 1e6
    assert f"{volume:.1f} ml" in said
    assert said.count("yes") == 2  # closed and manifold


def test_an_open_surface_is_said_to_be_open() -> None:
    patient = a_patient()
    mesh = patient.organs[0].surface
    torn = replace(patient.organs[0], surface=Mesh(mesh.vertices, mesh.triangles[1:]))
    patient = replace(patient, organs=(torn,))
    cells = {
        str(column.header): list(column.cells) for column in patients._table(patient, check_patient(patient)).columns
    }
    assert (cells["closed"][0], cells["manifold"][0], cells["triangles"][0]) == ("no", "yes", "95")


def test_what_is_wrong_is_said_by_part(tmp_path: Path) -> None:
    patient = a_patient()
    outside = replace(patient.centrelines[0], points=patient.centrelines[0].points + np.array([0.05, 0, 0]))
    save_patient(replace(patient, centrelines=(outside,)), tmp_path / "p")
    with pytest.raises(CheckFailedError) as caught:
        check(CheckOptions(tmp_path / "p"))
    assert any(line.startswith("centreline colon: expected every point inside") for line in caught.value.faults)
    assert {one.name: one.value for one in caught.value.figures}["patient.faults"] == len(caught.value.faults)


def test_a_changed_file_is_a_fault_and_no_folder_is_bad_input(tmp_path: Path) -> None:
    save_patient(a_patient(), tmp_path / "p")
    mesh = tmp_path / "p" / "meshes" / "colon_lumen.ply"
    mesh.write_bytes(mesh.read_bytes()[:-3])
    with pytest.raises(CheckFailedError, match=r"colon_lumen\.ply"):
        check(CheckOptions(tmp_path / "p"))
    with pytest.raises(InputError, match="found none"):
        check(CheckOptions(tmp_path))


def test_a_synthetic_patient_comes_with_its_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANATOMIES, "colon", lambda seed: replace(a_patient(), source=f"of seed {seed}"))
    synth(SynthOptions(tmp_path / "p", seed=2))
    assert load_patient(tmp_path / "p").source == "of seed 2"
    assert (tmp_path / "p" / "overview.png").read_bytes().startswith(b"\x89PNG")


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="found something else"):
        synth(SynthOptions(tmp_path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_only_an_abdomen_has_a_tumour(tmp_path, monkeypatch):
    grown = replace(a_patient(), source="with a tumour")
    monkeypatch.setattr(patients, "synthetic_abdomen", lambda seed, tumour: grown if tumour else a_patient())
    synth(SynthOptions(tmp_path / "p", anatomy="abdomen", tumour=True))
    assert load_patient(tmp_path / "p").source == "with a tumour"
    with pytest.raises(InputError, match="expected the anatomy abdomen for a tumour of the liver, found colon"):
        SynthOptions(tmp_path / "q", tumour=True)

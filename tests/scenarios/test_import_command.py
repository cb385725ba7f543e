"""`trocar patient import` with meshes: what is written, what is said, and nothing outside of --out."""

from pathlib import Path

import pytest
import trimesh

from assets.patient_io import load_patient
from scenarios.cli import BAD_INPUT, DONE, main


def ball(path: Path, radius: float) -> None:
    trimesh.creation.icosphere(2, radius).export(path)


def test_meshes_become_a_patient_and_what_is_left_out_is_said(tmp_path: Path, capsys) -> None:
    source = tmp_path / "set"
    source.mkdir()
    ball(source / "Liver.stl", 80.0)
    ball(source / "Unknown.ply", 80.0)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    options = ["--out", str(tmp_path / "out"), "--units", "mm", "--axes", "LPS"]
    assert main(["patient", "import", str(source), *options]) == DONE
    said = capsys.readouterr()
    assert "left out: Unknown.ply: no structure of assets/labels.csv has this name; give --names" in said.err
    patient = load_patient(tmp_path / "out")
    assert [organ.name for organ in patient.organs] == ["liver"]
    assert (patient.provenance["unit_from"], patient.provenance["axes"]) == ("option", "LPS")
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if (tmp_path / "out") not in path.parents}
    after.pop(tmp_path / "out")
    assert after == before


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.stl", b"solid", "expected"),
        ("liver.stl", b"\0" * 80 + (4_000_000_000).to_bytes(4, "little"), "200000000084 bytes"),
        ("liver.gltf", b'{"asset": {"version": "2.0"}, "nodes": [{"mesh": 0}]}', "an entry of meshes"),
    ],
)
def test_bad_meshes_are_bad_input_in_one_line(tmp_path: Path, capsys, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert main(["patient", "import", str(tmp_path / name), "--out", str(tmp_path / "out")]) == BAD_INPUT
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("trocar patient import:")]
    assert len(said) == 1
    assert message in said[0]
    assert not (tmp_path / "out").exists()

"""Lumen and wall: a stomach with a labelled wall, a bladder that encloses its cavity, meshes within meshes."""

import numpy as np
import pytest
import trimesh

from assets.importers.detect import Request, import_source
from assets.importers.hollow import OPENINGS
from assets.importers.label_map import ImportOptions
from assets.labels import load_labels
from assets.mesh_check import check_mesh
from assets.patient_check import check_patient
from tests.assets.volume_files import write_nifti

MM = 2.0
SHAPE = (60, 50, 70)


def ball(centre, radius) -> np.ndarray:
    points = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1) * MM
    return np.linalg.norm((points - centre) / np.asarray(radius, float), axis=-1) < 1


def imported(folder, labels: dict[str, np.ndarray]):
    data = np.zeros(SHAPE, np.uint8)
    for number, mask in enumerate(labels.values(), start=1):
        data[mask] = number
    path = write_nifti(folder / "labels.nii.gz", data, np.diag([MM, MM, MM, 1.0]))
    table = folder / "names.csv"
    table.write_text("id,name\n" + "".join(f"{n},{name}\n" for n, name in enumerate(labels, start=1)))
    return import_source(path, Request(scheme=table, options=ImportOptions(organ_edge_mm=6.0)))


def test_a_labelled_wall_and_its_neighbours_make_a_lumen_with_openings(tmp_path):
    whole, inside = ball((60, 50, 70), (32, 26, 32)), ball((60, 50, 70), (26, 20, 26))
    patient = imported(
        tmp_path,
        {
            "stomach_wall": whole & ~inside,
            "stomach": inside,
            "esophagus": ball((60, 50, 112), (8, 8, 14)) & ~whole,
            "duodenum": ball((104, 50, 60), (14, 9, 9)) & ~whole,
        },
    )
    organs = {organ.name: organ for organ in patient.organs}
    assert set(organs) == {"stomach_lumen", "stomach_wall", "esophagus", "duodenum"}
    assert (organs["stomach_lumen"].kind, organs["stomach_wall"].kind) == ("lumen", "wall")
    assert organs["esophagus"].kind == "solid"  # nothing tells its lumen from its wall
    assert check_mesh(organs["stomach_lumen"].surface).volume == pytest.approx(inside.sum() * MM**3 * 1e-9, rel=0.01)
    assert check_mesh(organs["stomach_wall"].surface).volume == pytest.approx(whole.sum() * MM**3 * 1e-9, rel=0.01)
    assert organs["stomach_wall"].attributes["thickness_mm"] == pytest.approx(6.0, abs=1.0)
    doors = {orifice.name: orifice for orifice in patient.orifices}
    assert set(doors) == {"cardia", "pylorus"}
    np.testing.assert_allclose(doors["cardia"].centre * 1e3, [60, 50, 96], atol=4.0)
    np.testing.assert_allclose(doors["pylorus"].centre * 1e3, [86, 50, 66], atol=6.0)
    assert doors["cardia"].normal[2] < -0.8  # into the stomach
    assert doors["pylorus"].normal[0] < -0.8
    assert [report.problems for report in check_patient(patient) if report.problems] == []


def test_a_cavity_that_voxels_enclose_is_the_lumen(tmp_path):
    shell = ball((60, 50, 70), (30, 25, 28)) & ~ball((60, 50, 70), (24, 19, 22))
    patient = imported(tmp_path, {"urinary_bladder": shell})
    lumen, wall = patient.organs
    assert (lumen.name, lumen.kind, wall.name, wall.kind) == (
        "urinary_bladder_lumen", "lumen", "urinary_bladder_wall", "wall",
    )  # fmt: skip
    truth = 4 / 3 * np.pi * 24 * 19 * 22
    assert check_mesh(lumen.surface).volume * 1e9 == pytest.approx(truth, rel=0.03)
    (neck,) = patient.orifices
    assert (neck.name, neck.organ) == ("bladder_neck", "urinary_bladder_lumen")
    np.testing.assert_allclose(neck.centre * 1e3, [60, 50, 48], atol=3.0)
    assert neck.normal[2] > 0.9
    assert [report.problems for report in check_patient(patient) if report.problems] == []


def test_a_full_label_and_a_gap_in_a_label_stay_solid(tmp_path):
    full = ball((60, 50, 70), (30, 25, 28))
    full[30, 25, 35] = False  # a voxel
    patient = imported(tmp_path, {"urinary_bladder": full})
    assert [(organ.name, organ.kind) for organ in patient.organs] == [("urinary_bladder", "solid")]
    assert patient.orifices == ()


def test_a_trachea_opens_at_its_upper_end(tmp_path):
    patient = imported(tmp_path, {"trachea": ball((60, 50, 70), (9, 9, 400))})
    (trachea,) = patient.organs
    assert (trachea.kind, trachea.label) == ("lumen", "trachea")
    (larynx,) = patient.orifices
    assert larynx.centre[2] * 1e3 > 130
    assert larynx.normal[2] < -0.9
    assert larynx.radius == pytest.approx(0.009, abs=0.003)
    assert [line.name for line in patient.centrelines] == ["trachea"]
    assert [report.problems for report in check_patient(patient) if report.problems] == []


def test_a_mesh_within_a_mesh_is_the_lumen(tmp_path):
    outer, inner = trimesh.creation.icosphere(3, 40.0), trimesh.creation.icosphere(3, 36.0)
    inner.invert()
    trimesh.util.concatenate([outer, inner]).export(tmp_path / "bladder.stl")
    patient = import_source(tmp_path / "bladder.stl")
    organs = {organ.name: organ for organ in patient.organs}
    assert {name: organ.kind for name, organ in organs.items()} == {
        "urinary_bladder_lumen": "lumen", "urinary_bladder_wall": "wall",
    }  # fmt: skip
    assert organs["urinary_bladder_wall"].attributes["thickness_mm"] == pytest.approx(4.0, abs=0.3)
    assert [orifice.name for orifice in patient.orifices] == ["bladder_neck"]
    assert [report.problems for report in check_patient(patient) if report.problems] == []


def test_every_rule_names_a_label():
    table = load_labels()
    for base, rules in OPENINGS.items():
        assert base in table
        for rule in rules:
            assert rule.at in ("top", "bottom") or rule.at in table

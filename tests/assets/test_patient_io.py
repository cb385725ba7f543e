import json

import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.mesh import Mesh
from assets.patient import Centreline, Organ, Orifice, Patient
from assets.patient_check import check_patient
from assets.patient_io import load_patient, save_patient


def tube(radius=0.02, height=0.2):
    shape = trimesh.creation.cylinder(radius, height, sections=48)
    shape = shape.subdivide().subdivide()
    return Mesh(np.asarray(shape.vertices, np.float32), np.asarray(shape.faces, np.int32))


def patient(**changes):
    line = np.column_stack([np.zeros(50), np.zeros(50), np.linspace(-0.1, 0.07, 50)])
    parts = {
        "name": "tube",
        "source": "a test",
        "licence": "none",
        "organs": (
            Organ("colon_lumen", "colon_wall", "lumen", "colon_mucosa", tube(), {"made": True}),
            Organ("polyp_01", "polyp", "solid", "polyp", tube(0.003, 0.004), {"paris": "Is", "size_mm": 6.0}),
        ),
        "centrelines": (Centreline("colon", line, np.full(50, 0.0199)),),
        "landmarks": {"anus": line[0], "caecum": line[-1]},
        "orifices": (Orifice("anus", "colon_lumen", line[0], np.array([0.0, 0.0, 1.0]), 0.02),),
        "provenance": {"options": {"spacing": 0.1}, "altered": [1, 2]},
    }
    return Patient(**(parts | changes))


@pytest.fixture
def folder(tmp_path):
    save_patient(patient(), tmp_path / "tube")
    return tmp_path / "tube"


def edit(folder, change):
    file = folder / "patient.json"
    table = json.loads(file.read_text())
    change(table)
    file.write_text(json.dumps(table))


def test_what_is_saved_is_loaded(folder):
    read, made = load_patient(folder), patient()
    for name in ("name", "source", "licence", "provenance"):
        assert getattr(read, name) == getattr(made, name)
    for a, b in zip(read.organs, made.organs, strict=True):
        assert (a.name, a.label, a.kind, a.material, a.attributes) == (
            b.name,
            b.label,
            b.kind,
            b.material,
            b.attributes,
        )
        np.testing.assert_array_equal(a.surface.vertices, b.surface.vertices)
        np.testing.assert_array_equal(a.surface.triangles, b.surface.triangles)
    np.testing.assert_array_equal(read.centrelines[0].points, made.centrelines[0].points)
    np.testing.assert_array_equal(read.centrelines[0].radius, made.centrelines[0].radius)
    assert list(read.landmarks) == list(made.landmarks)
    np.testing.assert_array_equal(read.landmarks["caecum"], made.landmarks["caecum"])
    np.testing.assert_array_equal(read.orifices[0].centre, made.orifices[0].centre)


def test_saving_twice_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_patient(patient(), tmp_path / name)
    first = {p.relative_to(tmp_path / "a"): p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    second = {p.relative_to(tmp_path / "b"): p.read_bytes() for p in (tmp_path / "b").rglob("*") if p.is_file()}
    assert first == second
    assert len(first) == 4


def test_a_patient_is_replaced_as_a_whole(folder):
    (folder / "meshes" / "old.ply").write_bytes(b"left over")
    save_patient(patient(name="other"), folder)
    assert load_patient(folder).name == "other"
    assert not (folder / "meshes" / "old.ply").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["tube"]


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="found something else"):
        save_patient(patient(), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "x" * 65, "a b", "a\x00"])
def test_names_that_could_be_paths_are_refused(tmp_path, name):
    organs = patient().organs
    bad = (Organ(name, "polyp", "solid", "polyp", organs[1].surface), *organs)
    with pytest.raises(InputError, match="letters, digits"):
        save_patient(patient(organs=bad), tmp_path / "p")
    assert list(tmp_path.iterdir()) == []


def test_a_fault_in_the_middle_leaves_nothing_and_keeps_what_was_there(folder):
    before = (folder / "patient.json").read_bytes()
    with pytest.raises(InputError, match="finite JSON values"):
        save_patient(patient(provenance={"x": float("nan")}), folder)
    assert (folder / "patient.json").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["tube"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="expected to write a patient"):
        save_patient(patient(), tmp_path / "file" / "p")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(schema=2), "expected schema 1, found 2"),
        (lambda t: t.update(schema="1"), "'schema' to be of type int, found str"),
        (lambda t: t.update(schema=True), "'schema' to be of type int, found bool"),
        (lambda t: t.update(units="mm"), "expected units 'm', found 'mm'"),
        (lambda t: t.update(frame="LPS"), "expected frame 'RAS'"),
        (lambda t: t.pop("organs"), "expected 'organs', found nothing"),
        (lambda t: t["organs"][0].update(name="../../etc/passwd"), "letters, digits"),
        (lambda t: t["organs"][0].update(name="missing"), "No such file"),
        (lambda t: t["organs"][0].update(triangles=3), "expected 3 triangles"),
        (lambda t: t["organs"][0].update(sha256="0" * 64), "changed or damaged"),
        (lambda t: t["organs"][0].update(sha256="zz"), "SHA-256 of 64 hex digits"),
        (lambda t: t["organs"][0].update(label="colonn"), "found 'colonn'"),
        (lambda t: t["organs"][0].update(kind="tube"), "found kind 'tube'"),
        (lambda t: t["organs"][0].update(material="cheese"), "found material 'cheese'"),
        (lambda t: t["organs"].append(t["organs"][0]), "'colon_lumen' twice"),
        (lambda t: t["organs"].extend([7]), "expected 'name', found nothing"),
        (lambda t: t["centrelines"][0].update(points=49), "expected 49 points, found 50"),
        (lambda t: t["landmarks"].update(anus=[0, 0]), "expected three finite numbers"),
        (lambda t: t["landmarks"].update(anus=[0, 0, float("nan")]), "expected three finite numbers"),
        (lambda t: t["orifices"][0].update(normal=[0, 0, 2]), "unit normal"),
        (lambda t: t["orifices"][0].update(organ="stomach"), "found 'stomach'"),
        (lambda t: t["orifices"][0].update(radius=-1), "radius between 0 and 1"),
    ],
)
def test_what_is_wrong_in_the_table_is_named(folder, change, message):
    edit(folder, change)
    with pytest.raises(InputError, match=message) as caught:
        load_patient(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", '{"schema": 1e999}', "[" * 100_000])
def test_damaged_json_is_refused(folder, text):
    (folder / "patient.json").write_text(text)
    with pytest.raises(InputError):
        load_patient(folder)


def test_a_truncated_mesh_is_refused(folder):
    path = folder / "meshes" / "polyp_01.ply"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"changed or damaged: .*polyp_01\.ply"):
        load_patient(folder)


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path):
    path = folder / "meshes" / "polyp_01.ply"
    path.rename(tmp_path / "elsewhere.ply")
    path.symlink_to(tmp_path / "elsewhere.ply")
    with pytest.raises(InputError, match="link out of it"):
        load_patient(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("x_m,y_m", "x,y", "expected the header"),
        ("0.0,0.0,-0.1,", "0.0,-0.1,", "expected four numbers"),
        ("0.0,0.0,-0.1,", "nan,0.0,-0.1,", "finite positions"),
        ("0.0,0.0,-0.1,", "one,0.0,-0.1,", "expected numbers"),
    ],
)
def test_damaged_centrelines_are_named(folder, old, new, message):
    import hashlib

    path = folder / "centrelines" / "colon.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(folder, lambda table: table["centrelines"][0].update(sha256=digest))
    with pytest.raises(InputError, match=message):
        load_patient(folder)


def test_an_open_surface_is_refused_unless_asked_for(tmp_path):
    whole = tube()
    organs = (Organ("colon_lumen", "colon_wall", "lumen", "colon_mucosa", Mesh(whole.vertices, whole.triangles[1:])),)
    save_patient(patient(organs=organs, orifices=()), tmp_path / "open")
    with pytest.raises(InputError, match=r"expected a closed surface.*colon_lumen\.ply"):
        load_patient(tmp_path / "open")
    loaded = load_patient(tmp_path / "open", surfaces=False)
    assert any("closed surface" in problem for problem in check_patient(loaded)[0].problems)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_patient(tmp_path / "nobody")


def test_a_sound_patient_has_no_problems():
    assert [report.problems for report in check_patient(patient())] == [()] * 4


def test_problems_are_told_where_they_are():
    good = patient()
    inside_out = Mesh(good.organs[0].surface.vertices, good.organs[0].surface.triangles[:, ::-1].copy())
    reports = check_patient(patient(organs=(Organ("a", "colon_wall", "lumen", "colon_mucosa", inside_out),)))
    assert "normals that point outwards" in reports[0].problems[0]
    line = good.centrelines[0]
    astray = Centreline("colon", line.points + np.array([0.05, 0.0, 0.0]), line.radius)
    reports = check_patient(patient(centrelines=(astray,)))
    assert any("outside" in problem for problem in reports[2].problems)
    wide = Centreline("colon", line.points, line.radius + 0.005)
    assert any("too large" in problem for problem in check_patient(patient(centrelines=(wide,)))[2].problems)
    orifice = good.orifices[0]
    out = Orifice("anus", "colon_lumen", orifice.centre, -orifice.normal, 0.02)
    assert any("pointing out" in problem for problem in check_patient(patient(orifices=(out,)))[3].problems)


def test_millimetres_taken_for_metres_are_told():
    mesh = good = patient().organs[0].surface
    large = Organ("a", "colon_wall", "lumen", "colon_mucosa", Mesh(1000 * good.vertices, mesh.triangles))
    assert "size between" in check_patient(patient(organs=(large,)))[0].problems[0]

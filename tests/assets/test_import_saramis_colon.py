"""Colons of SARAMIS' navigation task, made of a synthetic one."""

import struct
from pathlib import Path

import fast_simplification
import numpy as np
import pytest
from scipy.spatial import cKDTree

from assets.colon.synthesis import synthetic_colon
from assets.errors import InputError
from assets.importers.mesh_source import import_mesh_source
from assets.labels import label_id
from assets.mesh import Mesh
from assets.mesh_check import check_mesh
from assets.patient_check import check_patient
from assets.patient_io import load_patient, save_patient


@pytest.fixture(scope="session")
def bowel():
    """A synthetic colon with fewer triangles: the same shape, its anus' disc, and what the release says of it."""
    patient = synthetic_colon(3)
    lumen = patient.organs[0].surface
    points, faces = fast_simplification.simplify(lumen.vertices * 1e3, lumen.triangles, target_count=12_000)
    mesh = Mesh(points.astype(np.float32), faces.astype(np.int32))
    assert check_mesh(Mesh(mesh.vertices * np.float32(1e-3), mesh.triangles)).problems == ()
    return patient, mesh


def textured_ply(mesh):
    head = "ply\nformat binary_little_endian 1.0\ncomment TextureFile bake_map_diffuse.png\n"
    head += f"element vertex {len(mesh.vertices)}\n" + "".join(f"property float {name}\n" for name in "xyz")
    head += f"element face {len(mesh.triangles)}\nproperty list uchar int vertex_indices\n"
    head += "property list uchar float texcoord\nend_header\n"
    rows = np.empty(len(mesh.triangles), [("n", "u1"), ("c", "<i4", 3), ("m", "u1"), ("uv", "<f4", 6)])
    rows["n"], rows["c"], rows["m"], rows["uv"] = 3, mesh.triangles, 6, 0.5
    return head.encode() + mesh.vertices.astype("<f4").tobytes() + rows.tobytes()


def make_colon(root, bowel, *, mesh=None, line="final", turn=None, reverse=True):
    patient, own = bowel
    turn = np.eye(3) if turn is None else turn
    mesh = own if mesh is None else mesh
    folder = root / "case_7" / "colon" / "colon"
    folder.mkdir(parents=True)
    mesh = Mesh((mesh.vertices @ turn.T).astype(np.float32), mesh.triangles)
    (folder / "interp_curve.ply").write_bytes(textured_ply(mesh))
    points = patient.centrelines[0].points[:: -1 if reverse else 1] * 1e3 @ turn.T
    if line in ("final", "both"):
        np.savetxt(folder / "interp_curve_transformed_centerline_final_space.txt", points, delimiter=",")
    if line in ("plain", "both"):
        np.savetxt(folder / "interp_curve.txt", points, delimiter=",")
    if line == "vertices":
        np.savetxt(folder / "interp_curve.txt", mesh.vertices, delimiter=",")
    tree = cKDTree(mesh.vertices)
    rectum = patient.centrelines[0].points[30]
    places = {"cecum": "caecum", "hepatic": "hepatic_flexure", "splenic": "splenic_flexure"}
    targets = {name: patient.landmarks[ours] for name, ours in places.items()} | {"rectum": rectum}
    for name, place in targets.items():
        near = tree.query(place * 1e3 @ turn.T, k=12)[1]
        np.savetxt(folder / f"indices_final_mesh_int_{name}.txt", near.astype(np.float64))  # 1.234000e+03
    return root / "case_7"


def check_colon(patient, truth):
    (lumen,) = patient.organs
    assert (lumen.name, lumen.kind, lumen.label) == ("colon_lumen", "lumen", "colon_wall")
    assert all(report.problems == () for report in check_patient(patient))
    (line,) = patient.centrelines
    (anus,) = patient.orifices
    np.testing.assert_array_equal(line.points[0], anus.centre)
    assert anus.organ == "colon_lumen"
    assert np.linalg.norm(line.points[0] - truth.landmarks["anus"]) < 0.05  # the canal that was added
    assert np.linalg.norm(line.points[-1] - truth.landmarks["caecum"]) < 0.01
    length = np.linalg.norm(np.diff(line.points, axis=0), axis=1).sum()
    expected = np.linalg.norm(np.diff(truth.centrelines[0].points, axis=0), axis=1).sum()
    assert length == pytest.approx(expected, abs=0.06)
    for name in ("splenic_flexure", "hepatic_flexure", "caecum"):
        assert np.linalg.norm(patient.landmarks[name] - truth.landmarks[name]) < 0.03
    assert {"anus", "rectum"} <= set(patient.landmarks)


@pytest.fixture(scope="session")
def imported(bowel, tmp_path_factory):
    return import_mesh_source(make_colon(tmp_path_factory.mktemp("rl"), bowel))


def test_a_colon_becomes_a_patient_for_colonoscopy(imported, bowel, tmp_path):
    check_colon(imported, bowel[0])
    assert imported.provenance["centreline"]["turned"] is True
    assert imported.provenance["unit"] == "mm"
    assert imported.provenance["axes_from"] == "places of 5 organs"
    assert imported.provenance["notes"] == ["texture coordinates are ignored"]
    volume = check_mesh(bowel[0].organs[0].surface).volume
    assert check_mesh(imported.organs[0].surface).volume == pytest.approx(volume, rel=0.02)
    save_patient(imported, tmp_path / "out")
    again = load_patient(tmp_path / "out")
    np.testing.assert_array_equal(again.centrelines[0].points, imported.centrelines[0].points)


def test_axes_are_told_by_the_landmarks_and_the_line_is_turned_only_if_needed(bowel, tmp_path):
    turn = np.array([[-1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])  # LSA
    patient = import_mesh_source(make_colon(tmp_path, bowel, turn=turn, reverse=False, line="both"))
    assert patient.provenance["axes"] == "LSA"
    assert patient.provenance["centreline"]["turned"] is False
    check_colon(patient, bowel[0])


def test_an_open_inside_out_colon_is_mended(bowel, tmp_path):
    truth, mesh = bowel
    anus = truth.landmarks["anus"] * 1e3
    inward = truth.orifices[0].normal
    flat = np.abs((mesh.vertices[mesh.triangles] - anus) @ inward).max(axis=1) < 0.5
    near = np.linalg.norm(mesh.vertices[mesh.triangles].mean(axis=1) - anus, axis=1) < 15
    opened = mesh.triangles[~(flat & near)]
    assert 0 < len(mesh.triangles) - len(opened) < 400
    patient = import_mesh_source(make_colon(tmp_path, bowel, mesh=Mesh(mesh.vertices, opened[:, ::-1])))
    check_colon(patient, truth)
    assert patient.organs[0].attributes["mended"] == {"bodies_turned_outwards": 1, "holes_closed": 1}


def test_a_centreline_file_of_vertices_is_told_by_its_rows(bowel, tmp_path):
    with pytest.raises(InputError, match="rows, as many as the mesh has vertices: it holds those"):
        import_mesh_source(make_colon(tmp_path, bowel, line="vertices"))
    case = tmp_path / "case_7" / "colon" / "colon"
    np.savetxt(case / "interp_curve.txt", bowel[0].centrelines[0].points * 1e3, delimiter=",")
    patient = import_mesh_source(tmp_path / "case_7")
    assert patient.provenance["centreline"]["file"] == "interp_curve.txt"
    check_colon(patient, bowel[0])


def damage(folder, what):
    index = folder / "indices_final_mesh_int_cecum.txt"
    line = folder / "interp_curve_transformed_centerline_final_space.txt"
    numbers = np.loadtxt(line, delimiter=",")
    match what:
        case "beyond":
            np.savetxt(index, [1e6])
        case "fraction":
            index.write_text("3.5\n")
        case "negative":
            index.write_text("-1.0\n")
        case "nan":
            index.write_text("nan\n")
        case "missing":
            index.unlink()
        case "columns":
            np.savetxt(line, numbers[:, :2], delimiter=",")
        case "words":
            line.write_text("x,y,z\n")
        case "elsewhere":
            np.savetxt(line, numbers + 500.0, delimiter=",")
        case "leaves":
            numbers[200:260] += 60.0
            np.savetxt(line, numbers, delimiter=",")
        case "order":
            other = folder / "indices_final_mesh_int_hepatic.txt"
            first = index.read_text()
            index.write_text(other.read_text())
            other.write_text(first)
        case "mesh":
            (folder / "interp_curve.ply").write_bytes(struct.pack("<I", 7))


DAMAGES = {
    "beyond": "expected whole numbers from 0 to",
    "fraction": "expected whole numbers from 0 to",
    "negative": "expected whole numbers from 0 to",
    "nan": "finite numbers",
    "missing": "No such file",
    "columns": "expected rows of 3",
    "words": "expected numbers",
    "elsewhere": "expected the centreline inside of the lumen, found 0 %",
    "leaves": "a way out at RAS",
    "order": "along the centreline, found",
    "mesh": "PLY header",
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_colons_are_refused(bowel, tmp_path, what):
    case = make_colon(tmp_path, bowel)
    damage(Path(case) / "colon" / "colon", what)
    with pytest.raises(InputError, match=DAMAGES[what]) as caught:
        import_mesh_source(case)
    assert "\n" not in str(caught.value)


def test_the_colonoscopy_scene_takes_the_colon(imported):
    from scenarios.colonoscopy import endoscope_camera
    from sim.scene import ColonoscopyScene
    from sim.scope_state import ScopeCommand

    with ColonoscopyScene(imported, camera=endoscope_camera(64, 64)) as scene:
        scene.reset(seed=0, friction=0.02)
        before = scene.guide.arc
        for _ in range(20):
            state = scene.step(ScopeCommand(advance=0.003))
        frame = scene.observe()
        tip = state.T_world_camera[:3, 3]
        assert scene.wall.distance(tip[None])[0] > 0.0
        assert scene.guide.arc > before + 0.02
    seen = frame.depth > 0
    assert seen.mean() > 0.5
    assert set(np.unique(frame.semantic[seen])) == {label_id("colon_wall")}

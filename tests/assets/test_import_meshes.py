"""Sets of mesh files: what a name means, unit and axes, and organs with what was done to them."""

import csv
import json
import os

import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.importers import mesh_set
from assets.importers.mesh_frame import axes_matrix, find_axes, find_unit
from assets.importers.mesh_names import read_mesh_names, structure_of
from assets.importers.mesh_set import MeshOptions, import_mesh_set
from assets.importers.mesh_source import import_mesh_source, is_mesh_source
from assets.labels import load_labels
from assets.mesh_check import check_mesh
from assets.patient_check import check_patient
from assets.patient_io import load_patient, save_patient

NAMES = {
    "Kidney_left": ("kidney_left", "kidney_left", "solid"),
    "Left Kidney": ("kidney_left", "kidney_left", "solid"),
    "kidneyL": ("kidney_left", "kidney_left", "solid"),
    "LKidney": None,
    "kidney_L": ("kidney_left", "kidney_left", "solid"),
    "KidneyRight": ("kidney_right", "kidney_right", "solid"),
    "kidneys": ("kidney_{side}", "kidney_{side}", "solid"),
    "Rectum_Lumen": ("rectum_lumen", "colon_wall", "lumen"),
    "rectum": ("rectum", "colon", "solid"),
    "colon-lumen": ("colon_lumen", "colon_wall", "lumen"),
    "stomach wall": ("stomach_wall", "stomach_wall", "wall"),
    "duodenum_wall": ("duodenum_wall", "duodenum", "wall"),
    "Abdominal_wall": ("abdominal_wall", "abdominal_wall", "solid"),
    "Gall-Bladder": ("gallbladder", "gallbladder", "solid"),
    "Bladder": ("urinary_bladder", "urinary_bladder", "solid"),
    "Bladder_half": None,
    "IVC": ("inferior_vena_cava", "inferior_vena_cava", "solid"),
    "vertebrae_L5": ("vertebrae_L5", "vertebrae_L5", "solid"),
    "rib_left_1": ("rib_left_1", "rib_left_1", "solid"),
    "polyp_03": ("polyp_03", "polyp", "solid"),
    "Tumor 2": ("tumour_2", "tumour", "solid"),
    "liver_segment_4": ("liver_segment_4", "liver_segment_4", "solid"),
    "liver_visual": ("liver", "liver", "solid"),
    "gallbladder_volumetric": ("gallbladder", "gallbladder", "solid"),
    "Pelvis_Muscles": None,
    "lumen": None,
    "grasper": None,
    "../../etc/passwd": None,
    "": None,
}


@pytest.mark.parametrize("text", NAMES)
def test_names_are_those_of_the_table(text):
    found = structure_of(text)
    assert (None if found is None else (found.name, found.label, found.kind)) == NAMES[text]


def test_every_label_is_found_by_its_own_name():
    for name, row in load_labels().items():
        if row.group != "instrument":
            found = structure_of(name)
            assert found is not None
            assert found.label == name, name


def test_units_are_told_by_organs_then_by_the_extent():
    assert find_unit({"liver": 210.0, "spleen": 120.0}, 500.0, None) == ("mm", "sizes of 2 organs")
    assert find_unit({"liver": 0.21, "kidney_left": 0.11}, 0.5, None) == ("m", "sizes of 2 organs")
    assert find_unit({"liver": 21.0, "kidney_left": 11.0}, 50.0, None) == ("cm", "sizes of 2 organs")
    assert find_unit({"polyp": 8.0}, 8.0, None) == ("mm", "extent of the set")
    assert find_unit({"polyp": 0.008}, 0.008, None) == ("m", "extent of the set")
    assert find_unit({"liver": 210.0}, 210.0, "m") == ("m", "option")
    for extents, whole in (({"polyp": 3.0}, 3.0), ({"liver": 2000.0}, 2000.0), ({"polyp": 9000.0}, 9000.0)):
        with pytest.raises(InputError, match="give --units"):
            find_unit(extents, whole, None)


CENTRES = {
    "liver": (0.07, 0.19, 0.39),
    "spleen": (-0.11, 0.12, 0.40),
    "kidney_left": (-0.08, 0.13, 0.36),
    "urinary_bladder": (0.0, 0.17, 0.15),
    "stomach": (-0.04, 0.21, 0.39),
    "sacrum": (0.0, 0.08, 0.2),
}
"""Rounded middles of a supine adult's organs, RAS [m]."""


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LSA", "SAL", "PIR", "IPL"])
def test_axes_are_told_by_the_places_of_organs(axes):
    centres = {name: np.array(place) @ axes_matrix(axes) * 1e3 for name, place in CENTRES.items()}
    assert find_axes(centres, None, None, unit=1e-3) == (axes, "places of 6 organs")
    few = {name: centres[name] for name in ("liver", "spleen")}
    assert find_axes(few, None, None, unit=1e-3) == ("RAS", "assumed")
    assert find_axes(few, "LPS", None, unit=1e-3) == ("LPS", "file")
    assert find_axes(centres, None, "lps", unit=1e-3) == ("LPS", "option")
    if axes != "LPS":
        with pytest.raises(InputError, match=f"LPS that the files state, found organs placed as in {axes}"):
            find_axes(centres, "LPS", None, unit=1e-3)


@pytest.mark.parametrize("axes", ["RA", "RLS", "XYZ", "LAS", "RASS", ""])
def test_mirrored_and_other_axes_are_refused(axes):
    with pytest.raises(InputError, match="expected"):
        MeshOptions(axes=axes)


def ball(path, radius, at=(0, 0, 0), scale=1e3, subdivisions=2):
    shape = trimesh.creation.icosphere(subdivisions, radius)
    shape.apply_translation(at)
    shape.apply_scale(scale)
    shape.export(path)
    return trimesh.creation.icosphere(subdivisions, radius).volume


def test_a_folder_becomes_one_patient(tmp_path):
    folder = tmp_path / "abdomen"
    folder.mkdir()
    volumes = {
        "liver": ball(folder / "Liver.stl", 0.08, (0.07, 0.19, 0.39)),
        "spleen": ball(folder / "spleen.ply", 0.05, (-0.11, 0.12, 0.4)),
        "kidney_left": ball(folder / "Left kidney.obj", 0.045, (-0.08, 0.13, 0.36)),
    }
    ball(folder / "Thing.stl", 0.05)
    (folder / "notes.txt").write_text("no mesh")
    (folder / "sub").mkdir()
    ball(folder / "sub" / "heart.stl", 0.05)
    patient = import_mesh_set(folder)
    assert patient.name == "abdomen"
    found = {organ.name: check_mesh(organ.surface).volume for organ in patient.organs}
    assert found == {name: pytest.approx(volume, rel=1e-4) for name, volume in volumes.items()}
    assert {organ.name: organ.material for organ in patient.organs}["liver"] == "liver"
    assert patient.provenance["unit"] == "mm"
    assert patient.provenance["unit_from"] == "sizes of 3 organs"
    assert patient.provenance["axes_from"] == "assumed"
    (left_out,) = patient.provenance["left_out"]
    assert left_out["what"] == "Thing.stl"
    assert set(patient.provenance["sha256"]) == {"Liver.stl", "spleen.ply", "Left kidney.obj", "Thing.stl"}
    save_patient(patient, tmp_path / "out")
    assert load_patient(tmp_path / "out").provenance == patient.provenance
    save_patient(import_mesh_set(folder), tmp_path / "again")
    for file in sorted(item for item in (tmp_path / "out").rglob("*") if item.is_file()):
        assert file.read_bytes() == (tmp_path / "again" / file.relative_to(tmp_path / "out")).read_bytes()


def test_unit_and_axes_of_a_scene(tmp_path):
    scene = trimesh.Scene()
    for name, place in CENTRES.items():
        shape = trimesh.creation.icosphere(2, {"liver": 0.08, "stomach": 0.09, "sacrum": 0.05}.get(name, 0.045))
        scene.add_geometry(
            shape,
            node_name=name,
            transform=trimesh.transformations.translation_matrix(np.array(place) @ axes_matrix("LSA")),
        )
    scene.export(tmp_path / "abdomen.glb")
    patient = import_mesh_set(tmp_path / "abdomen.glb")
    assert patient.provenance["unit"] == "m"
    assert patient.provenance["axes"] == "LSA"
    for organ in patient.organs:
        np.testing.assert_allclose(organ.surface.vertices.mean(axis=0), CENTRES[organ.name], atol=1e-6)
    assert len(patient.organs) == len(CENTRES)


def test_a_table_of_names_says_the_rest(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("obj_1.stl", "obj_2.stl", "obj_3.stl", "liver.stl"):
        ball(folder / name, 0.06, (0.01 * len(name), 0.2 * int(name[4]) if name[4].isdigit() else 0, 0))
    with (tmp_path / "names.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ("file", "label", "kind"),
                ("obj_1.stl", "spleen", ""),
                ("OBJ_2", "colon_wall", "lumen"),
                ("liver", "-", ""),
            ]
        )
    patient = import_mesh_set(folder, MeshOptions(names=tmp_path / "names.csv", units="mm"))
    assert {(organ.name, organ.label, organ.kind) for organ in patient.organs} == {
        ("obj_1", "spleen", "solid"),
        ("OBJ_2", "colon_wall", "lumen"),
    }
    reasons = {row["what"]: row["reason"] for row in patient.provenance["left_out"]}
    assert reasons["liver.stl"] == "left out by --names"
    assert "give --names" in reasons["obj_3.stl"]


def test_a_scheme_says_what_numbers_mean(tmp_path):
    ball(tmp_path / "label_5.stl", 0.08)
    patient = import_mesh_set(tmp_path / "label_5.stl", MeshOptions(scheme="totalsegmentator-v2"))
    assert [organ.name for organ in patient.organs] == ["liver"]
    with pytest.raises(InputError, match="give --names"):
        import_mesh_set(tmp_path / "label_5.stl")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.stl,livr\n", "expected a label of"),
        ("file,label,kind\na.stl,liver,hollow\n", "found kind 'hollow'"),
        ("file,label\na.stl,liver\nA.STL,liver\n", "each file once"),
        ("name,id\nliver,5\n", "columns file,label"),
        ("file,label\n", "found no row"),
        ("", "found no row"),
    ],
)
def test_bad_tables_of_names_are_refused(tmp_path, text, message):
    (tmp_path / "names.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_mesh_names(tmp_path / "names.csv")


def test_names_of_a_table_become_no_paths(tmp_path):
    (tmp_path / "names.csv").write_text("file,label\n../../../x/../liver.stl,liver\n/etc/passwd,spleen\n")
    assert [structure.name for structure in read_mesh_names(tmp_path / "names.csv").values()] == [
        "x_liver",
        "etc_passwd",
    ]


def test_a_pair_in_one_file_is_split_by_side(tmp_path):
    right = trimesh.creation.icosphere(2, 0.05)
    right.apply_translation((0.07, 0, 0))
    left = trimesh.creation.icosphere(2, 0.045)
    left.apply_translation((-0.07, 0, 0))
    both = trimesh.util.concatenate([left, right])
    both.export(tmp_path / "kidneys.stl")
    patient = import_mesh_set(tmp_path / "kidneys.stl", MeshOptions(units="m"))
    middles = {organ.name: organ.surface.vertices[:, 0].mean() for organ in patient.organs}
    assert middles == {"kidney_right": pytest.approx(0.07), "kidney_left": pytest.approx(-0.07)}
    right.export(tmp_path / "kidneys.stl")
    with pytest.raises(InputError, match="a left and a right body, found 1"):
        import_mesh_set(tmp_path / "kidneys.stl", MeshOptions(units="m"))


def test_patches_of_one_organ_are_joined(tmp_path):
    shape = trimesh.creation.icosphere(2, 80.0)
    upper = shape.triangles_center[:, 2] > 0
    lines = ["v " + " ".join(map(repr, row)) for row in np.asarray(shape.vertices).tolist()]
    for name, part in (("patch_a", upper), ("patch_b", ~upper)):
        lines += [f"o {name}", *("f " + " ".join(str(c + 1) for c in face) for face in shape.faces[part].tolist())]
    (tmp_path / "liver.obj").write_text("\n".join(lines))
    (organ,) = import_mesh_set(tmp_path / "liver.obj").organs
    assert organ.attributes["notes"] == ["2 objects were joined"]
    assert check_mesh(organ.surface).volume == pytest.approx(shape.volume * 1e-9, rel=1e-4)


def test_doubles_are_told(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    ball(folder / "liver.stl", 0.08)
    ball(folder / "liver_final.ply", 0.07)
    ball(folder / "spleen.obj", 0.08)
    patient = import_mesh_set(folder)
    assert [organ.name for organ in patient.organs] == ["liver"]
    reasons = {row["what"]: row["reason"] for row in patient.provenance["left_out"]}
    assert reasons == {
        "liver_final.ply": "shows liver as liver.stl does",
        "spleen.obj": "has the surface of liver",
    }


def test_a_lumen_is_its_largest_body(tmp_path):
    tube = trimesh.creation.capsule(0.3, 0.02)
    other = trimesh.creation.icosphere(2, 0.03)
    other.apply_translation((0.2, 0, 0))
    trimesh.util.concatenate([tube, other]).export(tmp_path / "colon_lumen.stl")
    patient = import_mesh_set(tmp_path / "colon_lumen.stl", MeshOptions(units="m"))
    (organ,) = patient.organs
    assert organ.kind == "lumen"
    assert organ.attributes["mended"]["other_bodies_dropped"] == 1
    assert check_mesh(organ.surface).volume == pytest.approx(tube.volume, rel=1e-4)
    assert check_patient(patient)[0].problems == ()


def test_damage_is_left_out_of_a_set_and_refused_alone(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    ball(folder / "liver.stl", 0.08)
    (folder / "spleen.stl").write_bytes((folder / "liver.stl").read_bytes()[:-7])
    half = trimesh.creation.icosphere(2, 0.05)
    half.update_faces(half.triangles_center[:, 0] > 0.0)
    half.apply_scale(1e3)
    half.export(folder / "stomach.stl")
    os.symlink("/etc/hostname", folder / "heart.stl")
    patient = import_mesh_set(folder)
    assert [organ.name for organ in patient.organs] == ["liver"]
    reasons = {row["what"]: row["reason"] for row in patient.provenance["left_out"]}
    assert "for the 320 triangles that a binary STL declares" in reasons["spleen.stl"]
    assert "too large to close" in reasons["stomach.stl"]
    assert "out of its folder" in reasons["heart.stl"]
    with pytest.raises(InputError, match="binary STL declares"):
        import_mesh_set(folder / "spleen.stl")
    with pytest.raises(InputError, match="too large to close"):
        import_mesh_set(folder / "stomach.stl")


def test_sets_that_are_too_large_are_not_read(tmp_path, monkeypatch):
    ball(tmp_path / "liver.stl", 0.08)
    monkeypatch.setattr(mesh_set, "MAX_SET_BYTES", 100)
    with pytest.raises(InputError, match="and 100 bytes at most"):
        import_mesh_set(tmp_path)


def test_files_that_state_different_axes_are_refused(tmp_path):
    for name, axes in (("liver", "LPS"), ("spleen", "RAS")):
        ball(tmp_path / f"{name}.stl", 0.06, subdivisions=2 + (axes == "RAS"))
        data = bytearray((tmp_path / f"{name}.stl").read_bytes())
        data[:80] = f"3D Slicer output. SPACE={axes}".encode().ljust(80)
        (tmp_path / f"{name}.stl").write_bytes(data)
    with pytest.raises(InputError, match="files that state LPS, RAS"):
        import_mesh_set(tmp_path)
    assert import_mesh_set(tmp_path, MeshOptions(axes="LPS")).provenance["axes_from"] == "option"
    (tmp_path / "spleen.stl").unlink()
    patient = import_mesh_set(tmp_path)
    assert (patient.provenance["axes"], patient.provenance["axes_from"]) == ("LPS", "file")


def test_landmarks_are_kept(tmp_path):
    ball(tmp_path / "liver.stl", 0.08)
    (tmp_path / "marks.json").write_text(json.dumps({"hilum": [10, 20, 30]}))
    patient = import_mesh_set(tmp_path / "liver.stl", MeshOptions(landmarks=tmp_path / "marks.json"))
    np.testing.assert_allclose(patient.landmarks["hilum"], [0.01, 0.02, 0.03])


def test_tetrahedra_are_made_on_demand(tmp_path):
    pytest.importorskip("pytetwild")
    ball(tmp_path / "gallbladder.stl", 0.03)
    options = MeshOptions(tetrahedra=("gallbladder",), tetrahedra_edge_mm=20.0, cache=tmp_path / "cache")
    (organ,) = import_mesh_set(tmp_path / "gallbladder.stl", options).organs
    assert organ.tetrahedra is not None
    assert len(list((tmp_path / "cache").iterdir())) == 1
    save_patient(import_mesh_set(tmp_path / "gallbladder.stl", options), tmp_path / "out")
    loaded = load_patient(tmp_path / "out").organs[0].tetrahedra
    np.testing.assert_array_equal(loaded.tetrahedra, organ.tetrahedra.tetrahedra)
    with pytest.raises(InputError, match="expected organs of gallbladder to fill"):
        import_mesh_set(tmp_path / "gallbladder.stl", MeshOptions(tetrahedra=("liver",)))


def test_what_is_a_source_of_meshes(tmp_path):
    ball(tmp_path / "liver.STL", 0.08)
    (tmp_path / "empty").mkdir()
    (tmp_path / "volumes").mkdir()
    (tmp_path / "volumes" / "liver.nii.gz").touch()
    (tmp_path / "volumes" / "liver.stl").touch()
    (tmp_path / "case" / "Orig" / "full_meshes").mkdir(parents=True)
    (tmp_path / "case" / "ct.nii.gz").touch()
    assert is_mesh_source(tmp_path / "liver.STL")
    assert is_mesh_source(tmp_path)
    assert is_mesh_source(tmp_path / "case")
    for name in ("empty", "volumes", "missing", "volumes/liver.nii.gz"):
        assert not is_mesh_source(tmp_path / name)
    with pytest.raises(InputError, match="found none at"):
        import_mesh_source(tmp_path / "empty")
    with pytest.raises(InputError, match="folders of organs, found 0"):
        import_mesh_source(tmp_path / "case")

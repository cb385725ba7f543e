"""SARAMIS case folders and colons, built here in the released layout with the traps of the released data."""

import nibabel as nib
import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.importers.mesh_set import MeshOptions
from assets.importers.mesh_source import import_mesh_source, is_mesh_source
from assets.importers.saramis_frame import read_volume_frame
from assets.mesh_check import check_mesh
from assets.patient_check import check_patient
from assets.patient_io import load_patient, save_patient
from tests.assets.saramis_files import (
    ORGANS,
    SHAPE,
    SMOOTH,
    check_places,
    directions,
    make_case,
    nrrd,
    ras_from_index,
    surface,
    write,
)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("diagonal", [(4.0, 3.5, 5.0), (-4.0, 3.5, 5.0), (-4.0, -3.5, 5.0), (-4.0, -3.5, -5.0)])
@pytest.mark.parametrize("tilt", [0.0, 0.2])
def test_meshes_are_put_back_into_the_scanner(tmp_path, diagonal, tilt, signed):
    matrix = directions(diagonal, tilt)
    case, _ = make_case(tmp_path, matrix, signed=signed, variants=("",), organs=("liver", "spleen", "aorta"))
    patient = import_mesh_source(case)
    assert [organ.name for organ in patient.organs] == ["spleen", "liver", "aorta"]
    assert patient.provenance["aligned_to"] == "auto_seg.seg.nrrd"
    assert patient.provenance["axes_from"] == "header of auto_seg.seg.nrrd"
    check_places(patient, matrix)


@pytest.mark.parametrize("orig", [True, False])
def test_a_case_becomes_a_patient(tmp_path, orig):
    case, offset = make_case(tmp_path, orig=orig)
    assert is_mesh_source(case)
    patient = import_mesh_source(case)
    assert {organ.name for organ in patient.organs} == set(ORGANS)
    assert all(organ.label == organ.name for organ in patient.organs)
    assert patient.licence.startswith("CC-BY-NC-SA")
    assert patient.provenance["left_out"] == []
    assert patient.provenance["unit"] == "mm"
    np.testing.assert_allclose(patient.provenance["shared_offset_mm"], offset, atol=0.01)
    assert any("v -> 1 - v" in line for line in patient.provenance["saramis"])
    check_places(patient, directions())
    for organ in patient.organs:
        assert organ.attributes["variant"] == "decimation"
    thin = next(organ for organ in patient.organs if organ.name == "aorta")
    assert thin.attributes["volume_change_by_smoothing"] < -0.05  # and yet the volume above is right
    assert all(report.problems == () for report in check_patient(patient))
    save_patient(patient, tmp_path / "out")
    assert load_patient(tmp_path / "out").provenance == patient.provenance


def test_the_nifti_tells_the_frame_too(tmp_path):
    matrix = directions(tilt=0.1)
    case, _ = make_case(tmp_path, matrix, organs=("liver", "spleen"))
    (case / "Orig" / "auto_seg.seg.nrrd").unlink()
    affine = np.diag([1e3, 1e3, 1e3, 1]) @ ras_from_index(matrix)
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.uint8), affine), case / "Orig" / "label_amos_0001.nii.gz")
    patient = import_mesh_source(case)
    assert patient.provenance["aligned_to"] == "label_amos_0001.nii.gz"
    check_places(patient, matrix)


def test_without_a_header_the_frame_is_said_to_be_assumed(tmp_path):
    case, _ = make_case(tmp_path)
    (case / "Orig" / "auto_seg.seg.nrrd").write_bytes(b"NRRD0004\ntype: float\n\n")
    patient = import_mesh_source(case)
    assert patient.provenance["aligned_to"] is None
    assert patient.provenance["axes_from"] == "assumed"
    reasons = {row["what"]: row["reason"] for row in patient.provenance["left_out"]}
    assert "space directions" in reasons["auto_seg.seg.nrrd"]
    assert "found none" in reasons["the scanner's frame"]
    turned = import_mesh_source(case, MeshOptions(axes="LPS"))
    assert turned.provenance["axes_from"] == "option"


def test_meshes_beyond_the_volume_are_not_aligned(tmp_path):
    case, _ = make_case(tmp_path)
    (case / "Orig" / "auto_seg.seg.nrrd").write_bytes(nrrd(directions((-2.0, 3.5, 5.0))))
    patient = import_mesh_source(case)
    assert patient.provenance["aligned_to"] is None
    assert "within the 60 voxels of axis 0" in str(patient.provenance["left_out"])


def test_permuted_axes_cannot_be_put_back(tmp_path):
    case, _ = make_case(tmp_path)
    (case / "Orig" / "auto_seg.seg.nrrd").write_bytes(nrrd(directions()[:, [1, 0, 2]]))
    patient = import_mesh_source(case)
    assert patient.provenance["aligned_to"] is None
    assert "cannot be put back" in str(patient.provenance["left_out"])


def test_an_organ_that_is_only_centred_gets_its_place_by_the_others(tmp_path):
    case, _ = make_case(tmp_path)
    folder = case / "Orig" / "full_meshes" / "spleen"
    (folder / "spleen.ply").unlink()
    (folder / f"spleen{SMOOTH}.ply").unlink()
    (case / "Orig" / "full_meshes" / "liver" / f"liver{SMOOTH}.ply").unlink()
    patient = import_mesh_source(case)
    variants = {organ.name: organ.attributes["variant"] for organ in patient.organs}
    assert variants["spleen"] == "centered_global"
    assert variants["liver"] == "marching_cubes"
    spleen = next(organ for organ in patient.organs if organ.name == "spleen")
    truth = (ras_from_index(directions()) @ [*ORGANS["spleen"][0], 1.0])[:3]
    middle = (spleen.surface.vertices.min(axis=0) + spleen.surface.vertices.max(axis=0)) / 2
    np.testing.assert_allclose(middle, truth, atol=1.3e-3)


def test_lost_offsets_are_refused(tmp_path):
    case, _ = make_case(tmp_path)
    for organ in ORGANS:
        (case / "Orig" / "full_meshes" / organ / f"{organ}{SMOOTH}.ply").unlink()
    meshes = case / "Orig" / "full_meshes"
    (meshes / "spleen" / "spleen.ply").unlink()
    (meshes / "aorta" / "aorta.ply").unlink()
    (meshes / "aorta" / f"aorta{SMOOTH}_centered_global.ply").unlink()
    patient = import_mesh_source(case)
    reasons = {row["what"]: row["reason"] for row in patient.provenance["left_out"]}
    assert "both centred and not" in reasons["spleen"]
    assert "whose offset is lost" in reasons["aorta"]
    assert patient.provenance["shared_offset_mm"] is None
    # where all are centred by the same offset, they fit together
    other, _ = make_case(tmp_path / "b", variants=("global",))
    patient = import_mesh_source(other)
    assert patient.provenance["aligned_to"] is None
    assert len(patient.organs) == len(ORGANS)


def test_organs_that_disagree_about_the_offset_are_refused(tmp_path):
    case, _ = make_case(tmp_path)
    folder = case / "Orig" / "full_meshes" / "spleen"
    vertices, faces = surface("spleen", directions())
    write(folder / f"spleen{SMOOTH}_centered_global.ply", vertices + 99.0, faces)
    with pytest.raises(InputError, match="one shared offset in all organs"):
        import_mesh_source(case)


def msh(points, cells, kind=4):
    lines = ["$MeshFormat", "2.2 0 8", "$EndMeshFormat", "$Nodes", str(len(points))]
    lines += [f"{n} {x!r} {y!r} {z!r}" for n, (x, y, z) in enumerate(points.tolist(), 1)]
    lines += ["$EndNodes", "$Elements", str(len(cells))]
    lines += [f"{n} {kind} 0 " + " ".join(str(c + 1) for c in cell) for n, cell in enumerate(cells.tolist(), 1)]
    return "\n".join([*lines, "$EndElements", ""]).encode()


def test_tetrahedra_are_found_by_every_name_and_checked(tmp_path):
    case, offset = make_case(tmp_path, organs=("liver", "spleen"))
    folder = case / "Orig" / "full_meshes" / "spleen"
    # a ball of tetrahedra about its middle, whose skin is the smoothed surface
    smooth = trimesh.load(folder / f"spleen{SMOOTH}.ply", process=False)
    points = np.concatenate([smooth.vertices, smooth.vertices.mean(axis=0)[None]])
    cells = np.column_stack([smooth.faces, np.full(len(smooth.faces), len(smooth.vertices))])
    (folder / f"spleen{SMOOTH}_centered_global_.msh").write_bytes(msh(points - offset, cells))
    (folder / f"spleen{SMOOTH}_centered_global_.msh__tracked_surface.stl").write_bytes(b"by-product")
    (folder / f"spleen{SMOOTH}.vtk").write_bytes(
        b"# vtk DataFile Version 3.0\nx\nASCII\nDATASET POLYDATA\nPOINTS 3 float\n0 0 0\n1 0 0\n0 1 0\nPOLYGONS 1 4\n"
        b"3 0 1 2\n"
    )
    patient = import_mesh_source(case)
    reasons = {row["what"]: row["reason"] for row in patient.provenance["left_out"]}
    assert "expected tetrahedra only, found 0 and 1 triangles" in reasons[f"spleen{SMOOTH}.vtk"]
    # from the middle to a wall of many small triangles they are needles, and said to be
    assert "radius ratio" in reasons[f"tetrahedra of spleen{SMOOTH}_centered_global_.msh"]
    assert all(organ.tetrahedra is None for organ in patient.organs)


def block_case(root):
    """A case whose organ is a block of 4 x 4 x 4 voxels, filled with good tetrahedra."""
    case = root / "s0001"
    folder = case / "full_meshes" / "liver"
    folder.mkdir(parents=True)
    (case / "auto_seg.seg.nrrd").write_bytes(nrrd(directions((4.0, 4.0, 4.0))))
    grid = np.stack(np.meshgrid(*[np.arange(5) * 4.0 + 40.0] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    number = np.arange(125).reshape(5, 5, 5)
    five = ((0, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1)), ((1, 0, 0), (0, 0, 0), (1, 1, 0), (1, 0, 1))
    five += ((0, 1, 0), (0, 0, 0), (1, 1, 0), (0, 1, 1)), ((0, 0, 1), (0, 0, 0), (1, 0, 1), (0, 1, 1))
    five += (((1, 1, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)),)
    cells = []
    for corner in np.ndindex(4, 4, 4):
        odd = sum(corner) % 2  # neighbours are mirrored, so that their diagonals meet
        for tet in five:
            cells.append([number[tuple(np.add(corner, (x ^ odd, y, z)))] for x, y, z in tet])
    return case, folder, grid, np.array(cells)


@pytest.mark.parametrize(
    "name", [f"{SMOOTH}_centered_global_.msh", f"{SMOOTH}_centered_global.vtk", f"{SMOOTH}.vtk", ".msh"]
)
def test_good_tetrahedra_are_kept_under_every_name(tmp_path, name):
    case, folder, grid, cells = block_case(tmp_path)
    hull = trimesh.convex.convex_hull(grid)
    offset = np.array([11.0, -7.0, 5.0])
    write(folder / f"liver{SMOOTH}.ply", np.asarray(hull.vertices), np.asarray(hull.faces))
    write(folder / f"liver{SMOOTH}_centered_global.ply", np.asarray(hull.vertices) - offset, np.asarray(hull.faces))
    places = grid - offset if "centered_global" in name else grid
    if name.endswith(".msh"):
        data = msh(places, cells)
    else:
        head = "# vtk DataFile Version 3.0\nx\nBINARY\nDATASET UNSTRUCTURED_GRID\nPOINTS 125 float\n"
        flat = np.column_stack([np.full(len(cells), 4), cells]).astype(">i4").tobytes()
        data = head.encode() + places.astype(">f4").tobytes() + b"\nCELLS %d %d\n" % (len(cells), 5 * len(cells)) + flat
        data += b"\nCELL_TYPES %d\n" % len(cells) + np.full(len(cells), 10, ">i4").tobytes() + b"\n"
    (folder / f"liver{name}").write_bytes(data)
    patient = import_mesh_source(case)
    assert patient.provenance["left_out"] == []
    (organ,) = patient.organs
    assert len(organ.tetrahedra.tetrahedra) == 320
    assert organ.attributes["tetrahedra"]["volume_ml"] == pytest.approx(16**3 * 1e-3, rel=1e-5)
    # voxel 9 is at 40 mm: one is the border
    low = (ras_from_index(directions((4.0, 4.0, 4.0))) @ [9, 9, 9, 1])[:3]
    np.testing.assert_allclose(organ.tetrahedra.vertices.max(axis=0)[0], low[0], atol=1e-6)
    assert check_patient(patient)[0].problems == ()


def write_shell(case, organ, offset=0.0, thin=0.9, pieces=1):
    """Write an organ's smoothed surface, and inside-out copies of it, smaller, within: as SARAMIS's script does."""
    folder = case / "Orig" / "full_meshes" / organ
    outer = trimesh.load(folder / f"{organ}{SMOOTH}.ply", process=False)
    shells = [outer]
    for number in range(pieces):
        inner = outer.copy()
        middle = inner.vertices.mean(axis=0)
        size = thin if pieces == 1 else 0.4
        half = inner.vertices.max(axis=0) - middle
        shift = (number - (pieces - 1) / 2) * np.array([1.0, 0.0, 0.0]) * half
        inner.vertices = middle + size * (inner.vertices - middle) + shift
        inner.invert()
        shells.append(inner)
    both = trimesh.util.concatenate(shells)
    write(folder / f"{organ}_hollow.ply", np.asarray(both.vertices) - offset, np.asarray(both.faces))


HOLLOW = {"urinary_bladder": ((30, 25, 12), (9, 8, 7)), "aorta": ORGANS["aorta"]}


@pytest.mark.parametrize("centred", [False, True])
def test_a_shell_parts_an_organ_into_lumen_and_wall(tmp_path, monkeypatch, centred):
    for name, shape in HOLLOW.items():
        monkeypatch.setitem(ORGANS, name, shape)
    case, offset = make_case(tmp_path, organs=("urinary_bladder", "liver", "aorta"))
    solid = next(o for o in import_mesh_source(case).organs if o.name == "urinary_bladder")
    for organ in HOLLOW:
        write_shell(case, organ, offset if centred else 0.0)
    patient = import_mesh_source(case)
    organs = {organ.name: organ for organ in patient.organs}
    assert {name: organ.kind for name, organ in organs.items()} == {
        "urinary_bladder_lumen": "lumen", "urinary_bladder_wall": "wall", "liver": "solid", "aorta": "solid",
    }  # fmt: skip
    assert patient.provenance["hollow_used"] == ["urinary_bladder"]
    assert patient.provenance["hollow_not_used"] == ["aorta"]
    # the wall is the surface that the organ would have been; the lumen lies in its middle, nine tenths as wide
    np.testing.assert_array_equal(organs["urinary_bladder_wall"].surface.vertices, solid.surface.vertices)
    folder = case / "Orig" / "full_meshes" / "urinary_bladder"
    smooth = trimesh.load(folder / f"urinary_bladder{SMOOTH}.ply", process=False)
    lumen = organs["urinary_bladder_lumen"]
    assert check_mesh(lumen.surface).volume * 1e9 == pytest.approx(0.9**3 * abs(smooth.volume), rel=1e-3)
    truth = (ras_from_index(directions()) @ [*HOLLOW["urinary_bladder"][0], 1.0])[:3]
    box = lumen.surface.vertices.min(axis=0), lumen.surface.vertices.max(axis=0)
    np.testing.assert_allclose(np.mean(box, axis=0), truth, atol=1.3e-3)
    assert lumen.attributes["from"] == "urinary_bladder_hollow.ply"
    assert "script" in lumen.attributes["wall_thickness_from"]
    assert [(orifice.name, orifice.organ) for orifice in patient.orifices] == [
        ("bladder_neck", "urinary_bladder_lumen")
    ]
    assert all(report.problems == () for report in check_patient(patient))


@pytest.mark.parametrize(
    ("shell", "reason"),
    [
        ({"pieces": 0}, "found 0 within"),
        ({"pieces": 2}, "found 2 within"),
        ({"offset": 77.0}, "mm off its box"),
    ],
)
def test_shells_that_are_none_are_told_and_the_organ_stays_solid(tmp_path, monkeypatch, shell, reason):
    monkeypatch.setitem(ORGANS, "urinary_bladder", HOLLOW["urinary_bladder"])
    case, _ = make_case(tmp_path, organs=("urinary_bladder", "liver"))
    write_shell(case, "urinary_bladder", **shell)
    patient = import_mesh_source(case)
    assert {organ.name: organ.kind for organ in patient.organs} == {"urinary_bladder": "solid", "liver": "solid"}
    (row,) = patient.provenance["left_out"]
    assert row["what"] == "urinary_bladder_hollow.ply"
    assert reason in row["reason"]
    assert patient.provenance["hollow_used"] == []


def test_folders_of_no_structure_and_damaged_files_are_reported(tmp_path):
    case, _ = make_case(tmp_path, organs=("liver", "spleen"))
    meshes = case / "Orig" / "full_meshes"
    (meshes / "mystery").mkdir()
    (meshes / "spleen" / f"spleen{SMOOTH}.ply").write_bytes(b"ply\n")
    (meshes / "empty").mkdir()
    patient = import_mesh_source(case)
    reasons = {row["what"]: row["reason"] for row in patient.provenance["left_out"]}
    assert set(reasons) == {"mystery", "empty", "spleen"}
    assert "PLY header" in reasons["spleen"]


NRRD_ERRORS = {
    "no end": b"NRRD0004\nspace: RAS\n",
    "text": b"hello\n\n",
    "no origin": nrrd(directions()).replace(b"space origin", b"space orange"),
    "words": nrrd(directions()).replace(b"(90.0,", b"(nan,"),
    "flat": nrrd(np.zeros((3, 3))),
    "sizes": nrrd(directions(), sizes=(4, 4)),
    "space": nrrd(directions(), space="scanner-xyz"),
    "order": nrrd(directions(), space="SAL"),
}


@pytest.mark.parametrize("what", NRRD_ERRORS)
def test_damaged_headers_are_refused(tmp_path, what):
    (tmp_path / "a.seg.nrrd").write_bytes(NRRD_ERRORS[what])
    with pytest.raises(InputError, match=r"a\.seg\.nrrd"):
        read_volume_frame(tmp_path / "a.seg.nrrd")


def test_marching_cubes_are_taken_where_the_decimated_surface_is_damaged(tmp_path):
    case, _ = make_case(tmp_path, organs=("liver", "spleen"))
    folder = case / "Orig" / "full_meshes" / "liver"
    smooth = trimesh.load(folder / f"liver{SMOOTH}.ply", process=False)
    half = smooth.faces[smooth.triangles_center[:, 0] < smooth.triangles_center[:, 0].mean()]
    write(folder / f"liver{SMOOTH}.ply", np.asarray(smooth.vertices), np.asarray(half))
    patient = import_mesh_source(case)
    assert {organ.name: organ.attributes["variant"] for organ in patient.organs} == {
        "liver": "marching_cubes",
        "spleen": "decimation",
    }
    (left_out,) = patient.provenance["left_out"]
    assert left_out["what"] == "liver (decimation)"
    assert "too large to close" in left_out["reason"]

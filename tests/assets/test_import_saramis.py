"""SARAMIS case folders and colons, built here in the released layout with the traps of the released data."""

import struct
from pathlib import Path

import fast_simplification
import nibabel as nib
import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from assets.colon.synthesis import synthetic_colon
from assets.errors import InputError
from assets.importers.mesh_set import MeshOptions
from assets.importers.mesh_source import import_mesh_source, is_mesh_source
from assets.importers.saramis_frame import read_volume_frame
from assets.labels import label_id
from assets.mesh import Mesh
from assets.mesh_check import check_mesh
from assets.mesh_io import ply_bytes
from assets.patient_check import check_patient
from assets.patient_io import load_patient, save_patient

SHAPE = (60, 50, 40)
SMOOTH = "_laplace_smooth_mesh_decimation"
ORGANS = {
    "liver": ((18, 20, 24), (12, 9, 9)),
    "spleen": ((46, 30, 27), (6, 6, 7)),
    "vertebrae_L6": ((30, 40, 6), (5, 5, 4)),
    "vertebrae_T13": ((30, 40, 17), (5, 5, 4)),
    "aorta": ((32, 30, 20), (2.2, 2.2, 16)),
}
"""Middle and half-axes of ellipsoids [voxels]; the two vertebrae are of the table of 106 only."""


def directions(diagonal=(-4.0, 3.5, 5.0), tilt=0.0):
    """Voxel axes in LPS [mm]; tilted about the superior axis."""
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    return turn @ np.diag(diagonal)


ORIGIN = np.array([90.0, -70.0, -300.0])


def nrrd(matrix, sizes=SHAPE, layers=None, space="left-posterior-superior"):
    vectors = " ".join("(" + ",".join(map(repr, column)) + ")" for column in matrix.T.tolist())
    head = ["NRRD0004", "# made here", "type: unsigned char", f"dimension: {4 if layers else 3}", f"space: {space}"]
    head += ["sizes: " + " ".join(map(str, ([layers] if layers else []) + list(sizes)))]
    head += ["space directions: " + ("none " if layers else "") + vectors, "encoding: gzip"]
    head += ["space origin: (" + ",".join(map(repr, ORIGIN.tolist())) + ")", "Segment0_Name:=liver", "", ""]
    return "\n".join(head).encode() + b"\x1f\x8bnot read"


def ras_from_index(matrix):
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = matrix, ORIGIN
    return np.diag([-1e-3, -1e-3, 1e-3, 1]) @ T


def mask(middle, half):
    index = np.stack(np.indices(SHAPE), axis=-1)
    return (((index - middle) / half) ** 2).sum(axis=-1) <= 1


def surface(organ, matrix, *, signed=True):
    """What the released scripts make: marching cubes of the padded mask, times the diagonal."""
    vertices, faces, _, _ = marching_cubes(np.pad(mask(*ORGANS[organ]), 1).astype(np.float32), 0.5)
    diagonal = np.diag(matrix)
    return vertices * (diagonal if signed else np.abs(diagonal)), faces


def write(path, vertices, faces):
    path.write_bytes(ply_bytes(Mesh(vertices.astype(np.float32), faces.astype(np.int32))))


def make_case(root, matrix=None, *, signed=True, variants=("", "smooth", "local", "global"), organs=ORGANS, orig=True):
    matrix = directions() if matrix is None else matrix
    case = root / "amos_0001" / "Orig" if orig else root / "case_00001"
    case.mkdir(parents=True)
    (case / "auto_seg.seg.nrrd").write_bytes(nrrd(matrix, layers=2))
    meshes = {organ: surface(organ, matrix, signed=signed) for organ in organs}
    boxes = np.array([[v.min(axis=0), v.max(axis=0)] for v, _ in meshes.values()])
    offset = boxes.mean(axis=(0, 1))
    for organ, (vertices, faces) in meshes.items():
        folder = case / "full_meshes" / organ
        folder.mkdir(parents=True)
        soft = trimesh.Trimesh(vertices, faces, process=False)
        trimesh.smoothing.filter_laplacian(soft, iterations=6, volume_constraint=False)
        smooth = np.asarray(soft.vertices)
        if "" in variants:
            write(folder / f"{organ}.ply", vertices, faces)
        if "smooth" in variants:
            write(folder / f"{organ}{SMOOTH}.ply", smooth, faces)
        if "global" in variants:
            write(folder / f"{organ}{SMOOTH}_centered_global.ply", smooth - offset, faces)
        if "local" in variants:
            own = (smooth.min(axis=0) + smooth.max(axis=0)) / 2
            write(folder / f"{organ}{SMOOTH}_centered_local.ply", smooth - own, faces)
        (folder / "bake_map_diffuse_1000.png").write_bytes(b"\x89PNG")
    return case.parent if orig else case, offset


def check_places(patient, matrix):
    for organ in patient.organs:
        middle, half = ORGANS[organ.name]
        truth = (ras_from_index(matrix) @ [*middle, 1.0])[:3]
        box = organ.surface.vertices.min(axis=0), organ.surface.vertices.max(axis=0)
        np.testing.assert_allclose(np.mean(box, axis=0), truth, atol=0.25 * 5e-3)  # a quarter of a voxel
        voxels = mask(middle, half).sum() * abs(np.linalg.det(matrix)) * 1e-9
        report = check_mesh(organ.surface)
        assert report.problems == ()
        assert report.volume == pytest.approx(voxels, rel=0.08 if organ.name == "aorta" else 0.03)


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


# Colons of the navigation release.


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

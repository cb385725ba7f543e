"""Case folders as SARAMIS releases them, of made-up organs; shared by the tests of their import."""

import numpy as np
import pytest
import trimesh
from skimage.measure import marching_cubes

from assets.mesh import Mesh
from assets.mesh_check import check_mesh
from assets.mesh_io import ply_bytes

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

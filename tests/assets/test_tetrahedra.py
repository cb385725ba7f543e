"""Tetrahedra: quality and fit by closed forms, files, filling on demand, and their place in a patient."""

import json
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from itertools import permutations

import numpy as np
import pytest
import trimesh

from assets import tetrahedralise as module
from assets.errors import InputError
from assets.mesh import Mesh
from assets.mesh_check import check_mesh
from assets.patient import Organ, Patient
from assets.patient_check import check_patient
from assets.patient_io import load_patient, save_patient
from assets.tetrahedra import (
    LEAST_QUALITY,
    Tetrahedra,
    boundary,
    check_tetrahedra,
    distances,
    radius_ratios,
    volumes,
)
from assets.tetrahedra_io import parse_vtu, vtu_bytes
from assets.tetrahedralise import tetrahedralise


def mesh_of(shape):
    return Mesh(np.asarray(shape.vertices, np.float32), np.asarray(shape.faces, np.int32))


def tets(points, cells=((0, 1, 2, 3),)):
    return Tetrahedra(np.array(points, np.float32), np.array(cells, np.int32))


REGULAR = [(1, 1, 1), (-1, 1, -1), (1, -1, -1), (-1, -1, 1)]
CORNER = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]


def block(n=3, size=0.03):
    """A cube of n^3 cells, each cut into six tetrahedra about its diagonal (Kuhn)."""
    grid = np.stack(np.meshgrid(*[np.linspace(0, size, n + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    number = np.arange((n + 1) ** 3).reshape(n + 1, n + 1, n + 1)
    cells = []
    for corner in np.ndindex(n, n, n):
        for order in permutations(range(3)):
            path, at = [number[corner]], list(corner)
            for axis in order:
                at[axis] += 1
                path.append(number[tuple(at)])
            even = np.linalg.det(np.eye(3)[list(order)]) > 0
            cells.append(path if even else [path[0], path[2], path[1], path[3]])
    return Tetrahedra(grid.astype(np.float32), np.array(cells, np.int32))


def test_radius_ratios_are_those_of_the_closed_forms():
    assert radius_ratios(tets(REGULAR))[0] == pytest.approx(1.0, abs=1e-6)
    # the corner of a cube: r = 1 / (3 + sqrt 3), R = sqrt(3) / 2
    assert radius_ratios(tets(CORNER))[0] == pytest.approx(3 / (3 + np.sqrt(3)) / (np.sqrt(3) / 2), abs=1e-6)
    assert radius_ratios(tets([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)]))[0] == 0.0
    assert volumes(tets(CORNER))[0] == pytest.approx(1 / 6)
    assert volumes(tets(CORNER, [(0, 2, 1, 3)]))[0] == pytest.approx(-1 / 6)


def test_radius_ratios_are_those_of_the_spheres():
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = rng.normal(size=(4, 3))
        mesh = tets(points)
        points = mesh.vertices.astype(np.float64)
        centre = np.linalg.solve(2 * (points[1:] - points[0]), (points[1:] ** 2).sum(1) - (points[0] ** 2).sum())
        outer = np.linalg.norm(centre - points[0])
        normals, offsets = [], []
        for n in range(4):
            a, b, c = np.delete(points, n, axis=0)
            normal = np.cross(b - a, c - a)
            normal /= np.linalg.norm(normal) * np.sign(normal @ (points[n] - a))
            normals.append([*normal, -1.0])
            offsets.append(normal @ a)
        inner = np.linalg.solve(np.array(normals), np.array(offsets))[3]
        assert radius_ratios(mesh)[0] == pytest.approx(3 * inner / outer, rel=1e-5)


def test_the_boundary_of_a_block_is_its_surface():
    mesh = block()
    report = check_mesh(boundary(mesh))
    assert report.problems == ()
    assert report.genus == 0
    assert report.volume == pytest.approx(0.03**3, rel=1e-5)
    assert report.area == pytest.approx(6 * 0.03**2, rel=1e-5)
    assert volumes(mesh).sum() == pytest.approx(0.03**3, rel=1e-5)


def test_distances_are_those_of_a_sphere_and_a_box():
    rng = np.random.default_rng(0)
    box = mesh_of(trimesh.creation.box((0.02, 0.04, 0.06)))
    points = rng.uniform(-0.05, 0.05, (300, 3))
    half = np.array([0.01, 0.02, 0.03])
    outside = np.abs(points) - half
    expected = np.where((outside < 0).all(axis=1), -outside.max(axis=1), np.linalg.norm(np.maximum(outside, 0), axis=1))
    np.testing.assert_allclose(distances(points, box), expected, atol=1e-8)
    long = mesh_of(trimesh.creation.cylinder(0.01, 0.5, sections=6))  # triangles of 500 mm by 10
    found = distances(np.array([[0.0, 0.0, 0.1], [0.0, 0.0, 0.3]]), long)
    np.testing.assert_allclose(found, [0.01 * np.cos(np.pi / 6), 0.05], atol=1e-6)


def test_a_report_says_what_is_wrong():
    mesh = block()
    surface = boundary(mesh)
    assert check_tetrahedra(mesh, surface).problems == ()
    assert check_tetrahedra(mesh, surface).gap == pytest.approx(0.0, abs=1e-9)
    turned = mesh.tetrahedra.copy()
    turned[4] = turned[4][[1, 0, 2, 3]]
    (first, *_) = check_tetrahedra(replace(mesh, tetrahedra=turned), surface).problems
    assert first == "expected tetrahedra of positive volume, found 1 others"
    moved = replace(surface, vertices=surface.vertices + np.float32(0.001))
    assert check_tetrahedra(mesh, moved).gap == pytest.approx(0.001 * np.sqrt(3), rel=1e-4)
    assert "expected a boundary within 0.26 mm of the surface, found 1.73 mm" in check_tetrahedra(mesh, moved).problems
    flat = mesh.vertices * np.array([1, 1, 0.01], np.float32)
    flattened = replace(mesh, vertices=flat)
    assert "radius ratio" in check_tetrahedra(flattened, boundary(flattened)).problems[0]
    hole = replace(mesh, tetrahedra=mesh.tetrahedra[6:])  # a cell less: the surface has no tetrahedra there
    assert check_tetrahedra(hole, surface).gap == pytest.approx(0.01, rel=1e-4)


def test_files_keep_every_bit():
    mesh = block()
    data = vtu_bytes(mesh)
    read = parse_vtu(data, "here")
    np.testing.assert_array_equal(read.vertices, mesh.vertices)
    np.testing.assert_array_equal(read.tetrahedra, mesh.tetrahedra)
    assert vtu_bytes(read) == data
    with pytest.raises(InputError, match="expected"):
        parse_vtu(data[:-40], "here")


SOLIDS = {
    "sphere": (trimesh.creation.icosphere(3, 0.03), 4 / 3 * np.pi * 0.03**3),
    "cylinder": (trimesh.creation.cylinder(0.015, 0.06, sections=48), np.pi * 0.015**2 * 0.06),
}


@pytest.fixture(scope="module", params=SOLIDS)
def filled(request, tmp_path_factory):
    pytest.importorskip("pytetwild")
    shape, truth = SOLIDS[request.param]
    here = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        mesh = tetrahedralise(mesh_of(shape), edge=0.01)
    assert list(here.iterdir()) == []  # fTetWild writes a by-product where it runs
    return mesh_of(shape), truth, mesh


def test_a_solid_is_filled(filled):
    surface, truth, mesh = filled
    report = check_tetrahedra(mesh, surface)
    assert report.problems == ()
    assert report.least_quality >= LEAST_QUALITY
    assert (volumes(mesh) > 0).all()
    assert report.volume == pytest.approx(check_mesh(surface).volume, rel=3e-3)
    assert report.volume == pytest.approx(truth, rel=0.012)  # the surfaces' facets take up to 1 %
    skin = check_mesh(boundary(mesh))
    assert skin.problems == ()
    assert skin.genus == 0


def test_what_was_made_is_kept_by_its_content(filled, tmp_path, monkeypatch):
    surface, _, mesh = filled
    monkeypatch.setattr(module, "_filled", lambda *_: mesh)
    cache = tmp_path / "cache"
    first = tetrahedralise(surface, edge=0.01, cache=cache)
    (file,) = cache.iterdir()

    def never(*_):
        raise AssertionError("made anew")

    monkeypatch.setattr(module, "_filled", never)
    second = tetrahedralise(surface, edge=0.01, cache=cache)
    assert vtu_bytes(first) == vtu_bytes(second) == file.read_bytes()
    with pytest.raises(AssertionError, match="made anew"):
        tetrahedralise(surface, edge=0.011, cache=cache)
    moved = replace(surface, vertices=surface.vertices + np.float32(0.01))
    with pytest.raises(AssertionError, match="made anew"):
        tetrahedralise(moved, edge=0.01, cache=cache)
    file.write_bytes(vtu_bytes(block()))  # sound, but of another surface
    with pytest.raises(InputError, match="mm of the surface"):
        tetrahedralise(surface, edge=0.01, cache=cache)


def test_what_cannot_be_filled_is_refused(monkeypatch):
    sphere = mesh_of(trimesh.creation.icosphere(2, 0.03))
    with pytest.raises(InputError, match="expected a closed surface"):
        tetrahedralise(replace(sphere, triangles=sphere.triangles[1:]))
    for edge in (0.0, -1.0, 1e-5, 1.0, float("nan")):
        with pytest.raises(InputError, match="expected an edge of up to"):
            tetrahedralise(sphere, edge=edge)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_PROGRAM", "import time; time.sleep(60)")
        patch.setattr(module, "TIME_LIMIT", 0.1)
        with pytest.raises(InputError, match="still at work"):
            tetrahedralise(sphere, edge=0.01)
        patch.setattr(module, "TIME_LIMIT", 60)
        for program, message in (
            ("raise ValueError('no')", "ValueError: no"),
            ("import os; os.abort()", "exit code -6"),
        ):
            patch.setattr(module, "_PROGRAM", program)
            with pytest.raises(InputError, match=message):
                tetrahedralise(sphere, edge=0.01)

    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", absent)
    with pytest.raises(InputError, match=r"pip install 'trocar\[tet\]'"):
        tetrahedralise(sphere, edge=0.01)


def patient(mesh=None):
    mesh = mesh or block()
    organ = Organ("liver", "liver", "solid", "liver", boundary(mesh), {}, mesh)
    return Patient("block", "a test", "none", (organ,))


def test_a_patient_keeps_its_tetrahedra(tmp_path):
    save_patient(patient(), tmp_path / "p")
    assert (tmp_path / "p" / "tets" / "liver.vtu").is_file()
    (organ,) = load_patient(tmp_path / "p").organs
    np.testing.assert_array_equal(organ.tetrahedra.tetrahedra, block().tetrahedra)
    save_patient(load_patient(tmp_path / "p"), tmp_path / "q")
    for name in ("patient.json", "tets/liver.vtu", "meshes/liver.ply"):
        assert (tmp_path / "p" / name).read_bytes() == (tmp_path / "q" / name).read_bytes()
    assert all(not report.problems for report in check_patient(load_patient(tmp_path / "p")))


def test_bad_tetrahedra_of_a_patient_are_refused(tmp_path):
    mesh = block()
    save_patient(patient(), tmp_path / "p")
    file = tmp_path / "p" / "tets" / "liver.vtu"
    good = file.read_bytes()
    file.write_bytes(good.replace(b"AAAA", b"AAAB", 1))
    with pytest.raises(InputError, match="changed or damaged"):
        load_patient(tmp_path / "p")
    flat = replace(mesh, vertices=mesh.vertices * np.array([1, 1, 0.01], np.float32))
    save_patient(replace(patient(), organs=(replace(patient().organs[0], tetrahedra=flat),)), tmp_path / "q")
    with pytest.raises(InputError, match=r"expected a radius ratio of at least 0\.1"):
        load_patient(tmp_path / "q")
    loose = load_patient(tmp_path / "q", surfaces=False)
    assert any("tetrahedra: expected" in problem for report in check_patient(loose) for problem in report.problems)


def test_what_patient_json_says_of_tetrahedra_is_checked(tmp_path):
    save_patient(patient(), tmp_path / "p")
    file = tmp_path / "p" / "patient.json"
    table = json.loads(file.read_text())
    count = table["organs"][0]["tetrahedra"]["count"]
    for change, message in (
        ({"count": count + 1}, f"expected {count + 1} tetrahedra"),
        ({"sha256": "../../etc"}, "64 hex digits"),
        ({"count": "many"}, "of type int"),
    ):
        changed = json.loads(file.read_text())
        changed["organs"][0]["tetrahedra"] |= change
        (tmp_path / "p" / "patient.json").write_text(json.dumps(changed))
        with pytest.raises(InputError, match=message):
            load_patient(tmp_path / "p")
        file.write_text(json.dumps(table))
    (tmp_path / "p" / "tets" / "liver.vtu").unlink()
    with pytest.raises(InputError, match="No such file"):
        load_patient(tmp_path / "p")

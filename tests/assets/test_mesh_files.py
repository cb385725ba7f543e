"""Readers of mesh files: against files written by the formats' own rules, and against trimesh's writers."""

import os

import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.mesh_files.read import ENDINGS, read_mesh_file
from tests.assets.mesh_file_bytes import (
    FACES,
    FILES,
    POINTS,
    SOLIDS,
    SURFACES,
    TETS,
    corners,
    gltf,
    obj,
    ply,
    read,
    stl_ascii,
    stl_binary,
    vtk_poly,
)


@pytest.mark.parametrize("name", SURFACES)
def test_a_surface_is_read_as_it_was_written(tmp_path, name):
    (mesh,) = read(tmp_path, name, SURFACES[name])
    np.testing.assert_allclose(corners(mesh, mesh.triangles), POINTS[FACES], atol=1e-6)
    assert len(mesh.tetrahedra) == 0


@pytest.mark.parametrize("name", SOLIDS)
def test_tetrahedra_are_read_as_they_were_written(tmp_path, name):
    (mesh,) = read(tmp_path, name, SOLIDS[name])
    np.testing.assert_allclose(corners(mesh, mesh.tetrahedra), POINTS[TETS], atol=1e-12)
    expected = len(FACES) if name.startswith("two") else 0
    assert len(mesh.triangles) == expected


def test_all_endings_are_covered():
    assert {"." + name.split(".")[1] for name in FILES} == set(ENDINGS)


@pytest.mark.parametrize("ending", ["stl", "ply", "obj", "glb"])
def test_what_trimesh_writes_is_read(tmp_path, ending):
    shape = trimesh.creation.icosphere(2, 40.0)
    path = tmp_path / f"sphere.{ending}"
    shape.export(path)
    (mesh,) = read_mesh_file(path)
    made = np.sort(shape.triangles.reshape(-1, 9), axis=0)
    np.testing.assert_allclose(np.sort(corners(mesh, mesh.triangles).reshape(-1, 9), axis=0), made, atol=1e-4)


def test_polygons_and_strips_become_triangles(tmp_path):
    (mesh,) = read(tmp_path, "poly.vtk", vtk_poly())
    assert mesh.triangles.tolist() == [[0, 1, 4], [0, 4, 2], [0, 1, 3], [0, 1, 2], [4, 2, 1]]
    assert mesh.axes == "LPS"
    assert "points are left out" in mesh.notes
    (mixed,) = read(tmp_path, "mixed.ply", ply(faces=[[0, 1, 2], [0, 1, 4, 2]]))
    assert mixed.triangles.tolist() == [[0, 1, 2], [0, 1, 4], [0, 4, 2]]
    assert mixed.notes == ("polygons were cut into triangles",)


def test_several_solids_and_objects_keep_their_names(tmp_path):
    found = read(tmp_path, "two.stl", stl_ascii() + stl_ascii(POINTS + 5, name="spleen"))
    assert [mesh.name for mesh in found] == ["liver", "spleen"]
    np.testing.assert_allclose(corners(found[1], found[1].triangles), POINTS[FACES] + 5)
    text = obj() + b"o spleen\nf -1 -2 -3\n"
    found = read(tmp_path, "two.obj", text)
    assert [mesh.name for mesh in found] == ["liver", "spleen"]
    np.testing.assert_allclose(corners(found[1], found[1].triangles)[0], POINTS[[4, 3, 2]])


def test_a_binary_stl_may_begin_with_solid(tmp_path):
    (mesh,) = read(tmp_path, "a.stl", stl_binary(header=b"solid of a CAD, SPACE=LPS"))
    assert len(mesh.triangles) == len(FACES)
    assert mesh.axes == "LPS"


def test_the_transforms_of_a_scene_are_applied(tmp_path):
    nodes = [
        {"children": [1, 2], "translation": [1, 2, 3], "scale": [2, 2, 2]},
        {"mesh": 0, "name": "liver", "rotation": [0, 0, np.sin(np.pi / 4), np.cos(np.pi / 4)]},
        {"mesh": 0, "name": "mirrored", "scale": [-1, 1, 1]},
    ]
    first, second = read(tmp_path, "a.gltf", gltf(nodes=nodes))
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(first.vertices, 2 * POINTS @ turn.T + [1, 2, 3], atol=1e-6)
    np.testing.assert_allclose(second.vertices, 2 * POINTS * [-1, 1, 1] + [1, 2, 3], atol=1e-6)
    np.testing.assert_array_equal(second.triangles, FACES[:, ::-1])  # a mirror turns the triangles over
    assert first.axes == "LSA"


def test_a_scene_of_trimesh_keeps_its_instances(tmp_path):
    scene = trimesh.Scene()
    sphere = trimesh.creation.icosphere(1, 0.05)
    for index, x in enumerate((0.0, 0.3)):
        scene.add_geometry(
            sphere, node_name=f"n{index}", transform=trimesh.transformations.translation_matrix([x, 0, 0])
        )
    path = tmp_path / "scene.glb"
    scene.export(path)
    middles = sorted(float(mesh.vertices.mean(axis=0)[0]) for mesh in read_mesh_file(path))
    np.testing.assert_allclose(middles, [0.0, 0.3], atol=1e-6)


def test_a_buffer_beside_the_file_is_read_and_no_other(tmp_path):
    body = POINTS.astype("<f4").tobytes() + FACES.astype("<u2").tobytes()
    (tmp_path / "scene").mkdir()
    (tmp_path / "scene" / "a.bin").write_bytes(body)
    (tmp_path / "secret.bin").write_bytes(body)
    (mesh,) = read(tmp_path, "scene/a.gltf", gltf(uri="a.bin"))
    assert len(mesh.triangles) == len(FACES)
    for uri in ("../secret.bin", "/etc/passwd", "file:///etc/passwd", "..\\secret.bin", "%2e%2e/secret.bin", "a\0b"):
        with pytest.raises(InputError, match="plain name beside it"):
            read(tmp_path, "scene/a.gltf", gltf(uri=uri))
    os.symlink(tmp_path / "secret.bin", tmp_path / "scene" / "link.bin")
    with pytest.raises(InputError, match="found a link"):
        read(tmp_path, "scene/a.gltf", gltf(uri="link.bin"))

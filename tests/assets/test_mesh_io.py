import struct

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.errors import InputError
from assets.mesh import Mesh
from assets.mesh_io import load_ply, parse_ply, ply_bytes, save_ply


def tetrahedron():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    return Mesh(vertices, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], dtype=np.int32))


def same(first, second):
    return np.array_equal(first.vertices, second.vertices) and np.array_equal(first.triangles, second.triangles)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "a.ply"
    save_ply(tetrahedron(), path)
    mesh = load_ply(path)
    assert same(mesh, tetrahedron())
    assert mesh.vertices.dtype == np.float32
    assert mesh.triangles.dtype == np.int32


def test_trimesh_reads_our_files(tmp_path):
    path = tmp_path / "a.ply"
    save_ply(tetrahedron(), path)
    other = trimesh.load(path, process=False)
    assert same(Mesh(np.asarray(other.vertices, np.float32), np.asarray(other.faces, np.int32)), tetrahedron())
    assert other.volume == pytest.approx(1 / 6)


def test_we_read_files_of_trimesh_with_normals_and_colours(tmp_path):
    box = trimesh.creation.icosphere(subdivisions=2)
    box.visual.vertex_colors = np.full((len(box.vertices), 4), 128, dtype=np.uint8)
    path = tmp_path / "b.ply"
    path.write_bytes(box.export(file_type="ply", vertex_normal=True))
    mesh = load_ply(path)
    np.testing.assert_allclose(mesh.vertices, box.vertices, atol=1e-6)
    np.testing.assert_array_equal(mesh.triangles, box.faces)


def test_the_same_mesh_gives_the_same_bytes():
    assert ply_bytes(tetrahedron()) == ply_bytes(tetrahedron())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(ply_bytes(tetrahedron())) - 1))
def test_every_truncation_is_refused(length):
    with pytest.raises(InputError, match="in cut"):
        parse_ply(ply_bytes(tetrahedron())[:length], "cut")


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(ply_bytes(tetrahedron())) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_harmless(place, value):
    data = bytearray(ply_bytes(tetrahedron()))
    data[place] = value
    try:
        mesh = parse_ply(bytes(data), "changed")
    except InputError:
        return
    assert np.isfinite(mesh.vertices).all()
    assert mesh.triangles.min() >= 0
    assert mesh.triangles.max() < len(mesh.vertices)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"element vertex 4", b"element vertex 99999999999", "expected .* bytes for 99999999999 vertices"),
        (b"element vertex 4", b"element vertex -4", "found 'element vertex -4'"),
        (b"element vertex 4", b"element vertex 4e9", "found 'element vertex 4e9'"),
        (b"binary_little_endian", b"ascii", "expected format binary_little_endian"),
        (b"property float z\n", b"", "expected properties x, y, z of vertex"),
        (b"property float x", b"property list uchar float x", "expected a PLY header for triangles"),
        (b"element face", b"element edge", "expected"),
        (b"ply\n", b"plx\n", "expected a PLY header"),
    ],
)
def test_damaged_headers_are_named(old, new, message):
    data = ply_bytes(tetrahedron())
    assert old in data
    with pytest.raises(InputError, match=message):
        parse_ply(data.replace(old, new, 1), "damaged")


def test_quads_nans_and_wild_indices_are_refused():
    data = ply_bytes(tetrahedron())
    start = data.index(b"end_header\n") + len(b"end_header\n")
    faces = start + 4 * 12
    with pytest.raises(InputError, match="triangles only"):
        parse_ply(data[:faces] + b"\x04" + data[faces + 1 :], "quad")
    with pytest.raises(InputError, match="NaN"):
        parse_ply(data[:start] + struct.pack("<f", np.nan) + data[start + 4 :], "nan")
    with pytest.raises(InputError, match="corners from 0 to 3, found 7"):
        parse_ply(data[: faces + 1] + struct.pack("<i", 7) + data[faces + 5 :], "wild")


def test_a_missing_file_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_ply(tmp_path / "no.ply")
    with pytest.raises(InputError, match="No such file"):
        save_ply(tetrahedron(), tmp_path / "no" / "no.ply")

"""Damaged, huge and foreign mesh files: one clear error each, no hang, no memory taken on trust."""

import base64
import json
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.errors import InputError
from assets.mesh_files import raw
from assets.mesh_files.read import ENDINGS, read_mesh_file
from tests.assets.mesh_file_bytes import (
    FACES,
    FILES,
    POINTS,
    glb,
    gltf,
    msh2,
    msh4,
    obj,
    one_line,
    ply,
    read,
    stl_binary,
    vtk,
    vtu,
)

QUIET = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True, database=None
)

HUGE = {
    "a.stl": (stl_binary(count=4_000_000_000), "expected 200000000084 bytes"),
    "a.ply": (ply(vertex_count=1_000_000_000_000), "a count of vertex from 0 to"),
    "b.ply": (ply(vertex_count=4_000_000), "for each of 4000000 vertex"),
    "c.ply": (ply(order="", vertex_count=4_000_000), "expected 4000000 vertex"),
    "a.vtk": (vtk(point_count=4_000_000), "expected 12000000 coordinates"),
    "b.vtk": (vtk(binary=False, point_count=4_000_000), "expected 12000000 coordinates"),
    "c.vtk": (vtk(point_count=10**15), "points from 0 to"),
    "a.vtu": (vtu(declared=4_000_000), "expected 12000000 values of points"),
    "b.vtu": (vtu(declared=10**15), "NumberOfPoints from 0 to"),
    "c.vtu": (vtu("ascii", declared=4_000_000), "expected 12000000 values of points"),
    "d.vtu": (vtu(compressed=True, lie=1 << 31), "inflate to at most"),
    "a.msh": (msh2(count=4_000_000), "expected 16000000 numbers of nodes"),
    "b.msh": (msh2(binary=True, count=4_000_000), "expected 4000000 nodes"),
    "c.msh": (msh4(count=4_000_000), "expected 4000000 node tags"),
    "d.msh": (msh4(binary=True, count=4_000_000), "expected 4000000 node tags"),
    "e.msh": (msh4(binary=True, count=10**17), "expected nodes from 0 to"),
    "a.gltf": (
        gltf(accessors=[{"bufferView": 0, "componentType": 5126, "count": 10**9, "type": "VEC3"}]),
        "vertices and corners in all",
    ),
    "b.gltf": (
        gltf(accessors=[{"bufferView": 0, "componentType": 5126, "count": 4 * 10**6, "type": "VEC3"}]),
        "expected 4000000 items",
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_declared_sizes_are_refused_before_memory_is_taken(tmp_path, name):
    data, message = HUGE[name]
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=message):
            read(tmp_path, name, data)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_zlib_bomb_is_refused(tmp_path):
    zeros = zlib.compress(bytes(50_000_000), 9)
    for size, count in ((1 << 20, 1), (50_000_000, 100)):
        head = struct.pack(f"<{3 + count}I", count, size, 0, *[len(zeros)] * count)
        text = base64.b64encode(head) + base64.b64encode(zeros * count)
        bomb = (
            b'<VTKFile type="PolyData" compressor="vtkZLibDataCompressor"><PolyData><Piece NumberOfPoints="2000000" '
            b'NumberOfPolys="0"><Points><DataArray type="Float64" format="binary">' + text
            + b"</DataArray></Points></Piece></PolyData></VTKFile>"
        )  # fmt: skip
        tracemalloc.start()
        try:
            with pytest.raises(InputError, match="inflate to"):
                read(tmp_path, "bomb.vtp", bomb)
            assert tracemalloc.get_traced_memory()[1] < 60_000_000  # mostly the file itself, 100 x 49 kB, as text
        finally:
            tracemalloc.stop()


def test_swarms_of_small_things_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected at most 131072 tags"):
        read(tmp_path, "a.vtu", b'<VTKFile type="UnstructuredGrid">' + b"<a/>" * 140_000 + b"</VTKFile>")
    with pytest.raises(InputError, match="expected at most 1048576 values"):
        read(tmp_path, "a.gltf", b'{"asset": {"version": "2.0"}, "x": [' + b"{}," * 600_000 + b"{}]}")


def test_names_of_objects_show_no_control_characters(tmp_path):
    (mesh,) = read(tmp_path, "a.gltf", gltf(nodes=[{"mesh": 0, "name": "liver\x1b[31m\n\u202e"}]))
    assert mesh.name == "liver?[31m??"


def test_entities_are_refused(tmp_path):
    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><VTKFile type="PolyData">&b;</VTKFile>'
    with pytest.raises(InputError, match="without a document type"):
        read(tmp_path, "a.vtp", laughs.encode())
    with pytest.raises(InputError, match="without a document type"):
        read(tmp_path, "a.vtp", b" " * 10_000 + laughs.encode())


SIGNALLING = b"\x01\x00\xa0\x7f"
"""A float whose conversion makes the processor complain."""

REFUSED = {
    "signalling.stl": (stl_binary()[:96] + SIGNALLING + stl_binary()[100:], "NaN"),
    "signalling.ply": (ply().replace(POINTS[1].astype("<f4").tobytes(), SIGNALLING * 3), "coordinates"),
    "signalling.glb": (glb().replace(POINTS[1].astype("<f4").tobytes(), SIGNALLING * 3), "coordinates"),
    "nan.stl": (stl_binary(POINTS * [1, np.nan, 1]), "NaN"),
    "inf.ply": (ply(POINTS + np.array([0, 0, np.inf])), "coordinates"),
    "nan.obj": (obj(POINTS * [1, 1, np.nan]), "coordinates"),
    "nan.vtu": (vtu(points=POINTS * [np.nan, 1, 1]), "coordinates"),
    "far.gltf": (gltf(POINTS * 1e30), "coordinates"),
    "cut.ply": (ply()[:-3], "bytes"),
    "more.ply": (ply() + b"more", "as declared"),
    "out.ply": (ply(faces=[[0, 1, 5]]), "corners from 0 to 4"),
    "minus.ply": (ply(faces=[[0, 1, -1]]), "corners from 0 to 4"),
    "out.obj": (obj(faces=FACES + 3), "corners from 1 to 5"),
    "zero.obj": (b"v 0 0 0\nf 0 0 0\n", "from 1 on"),
    "out.gltf": (gltf(faces=FACES + 3), "corners from 0 to 4"),
    "loop.gltf": (gltf(nodes=[{"children": [0]}]), "a tree"),
    "draco.gltf": (gltf(extensionsRequired=["KHR_draco_mesh_compression"]), "KHR_draco"),
    "old.gltf": (gltf(asset={"version": "1.0"}), "glTF 2.0"),
    "no.gltf": (gltf(nodes=[{}]), "found none"),
    "hexa.vtk": (vtk(tets=[]) + b"", "found none"),
    "cut.vtk": (vtk()[:150], "coordinates"),
    "image.vtk": (vtk().replace(b"UNSTRUCTURED_GRID", b"STRUCTURED_POINTS"), "POLYDATA or UNSTRUCTURED_GRID"),
    "lz4.vtu": (vtu(compressed=True).replace(b"ZLib", b"LZ4"), "vtkZLibDataCompressor"),
    "old.msh": (msh2(version="2.1"), "2.2 or 4.1, found 2.1"),
    "older.msh": (b"$NOD\n1\n1 0 0 0\n$ENDNOD\n", "version 1"),
    "newer.msh": (msh4().replace(b"4.1 0 8", b"4.0 0 8"), "2.2 or 4.1, found 4.0"),
    "node.msh": (msh2().replace(b"9 1.0 1.0 1.0", b"3 1.0 1.0 1.0"), "every node once"),
    "missing.msh": (msh2().replace(b"9 1.0 1.0 1.0", b"8 1.0 1.0 1.0"), "expected nodes of the file, found 9"),
    "hexa.msh": (msh4().replace(b"3 1 4 2", b"3 1 5 1").replace(b"1 2 1 2", b"1 1 1 2"), "elements"),
    "empty.stl": (b"", "an empty file"),
    "text.stl": (b"solid x\nfacet normal 0 0 0\nouter loop\nvertex 0 0 0\n", "truncated"),
    "a.blend": (b"BLENDER", "expected a mesh file of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_said_in_one_line(tmp_path, name):
    data, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, name, data)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


def test_hexahedra_are_refused(tmp_path):
    text = b"# vtk DataFile Version 3.0\nx\nASCII\nDATASET UNSTRUCTURED_GRID\nPOINTS 8 float\n" + b"0 0 0\n" * 8
    with pytest.raises(InputError, match="found 1 cells of type 12"):
        read(tmp_path, "a.vtk", text + b"CELLS 1 9\n8 0 1 2 3 4 5 6 7\nCELL_TYPES 1\n12\n")


def test_pipes_devices_and_folders_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.stl")  # opening it would wait for ever
    os.symlink("/dev/zero", tmp_path / "zero.stl")
    (tmp_path / "folder.stl").mkdir()
    for name in ("pipe.stl", "zero.stl", "folder.stl", "missing.stl"):
        with pytest.raises(InputError, match="expected a mesh file"):
            read_mesh_file(tmp_path / name)


def test_files_that_are_too_large_are_not_opened(tmp_path):
    path = tmp_path / "a.stl"
    with path.open("wb") as file:
        file.truncate(raw.MAX_BYTES + 1)  # no bytes on the disk
    with pytest.raises(InputError, match="expected at most"):
        read_mesh_file(path)


@pytest.mark.parametrize("name", FILES)
def test_truncated_files_are_refused_or_whole(tmp_path, name):
    data = FILES[name]
    for end in sorted({*range(0, len(data), max(1, len(data) // 40)), len(data) - 1}):
        try:
            found = read(tmp_path, name, data[:end])
        except InputError as error:
            one_line(error)
        else:
            # An end that holds nothing more: ASCII faces, or a newline.
            assert all(len(mesh.vertices) <= len(POINTS) for mesh in found)


@pytest.mark.parametrize("name", FILES)
@settings(QUIET, max_examples=40)
@given(edits=st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_damaged_files_give_one_clear_error_or_a_sound_mesh(tmp_path, name, edits):
    data = bytearray(FILES[name])
    for place, change in edits:
        place %= len(data)
        data[place : place + len(change)] = change
    try:
        found = read(tmp_path, name, bytes(data))
    except InputError as error:
        one_line(error)
        return
    for mesh in found:
        assert np.isfinite(mesh.vertices).all()
        for cells in (mesh.triangles, mesh.tetrahedra):
            assert len(cells) == 0 or (cells.min() >= 0 and cells.max() < len(mesh.vertices))


JUNK = st.sampled_from([None, True, -1, 10**12, 1.5, "x", "../x", [], [-1], {}, {"a": 1}, [[0]], 1e999])


@settings(QUIET, max_examples=150)
@given(place=st.integers(0, 10**6), junk=JUNK)
def test_any_entry_of_a_scene_may_be_junk(tmp_path, place, junk):
    table = json.loads(gltf(nodes=[{"mesh": 0, "matrix": np.eye(4).ravel().tolist(), "children": [1]}, {}]))
    entries = []

    def collect(part):
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            entries.append((part, key))
            if isinstance(value, dict | list):
                collect(value)

    collect(table)
    part, key = entries[place % len(entries)]
    part[key] = junk
    try:
        found = read(tmp_path, "a.gltf", json.dumps(table).encode())
    except InputError as error:
        one_line(error)
    else:
        assert len(found) == 1


@pytest.mark.parametrize("ending", ENDINGS)
@settings(QUIET, max_examples=25)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused(tmp_path, ending, data):
    with pytest.raises(InputError):
        read(tmp_path, f"a{ending}", data)

"""Readers of mesh files: against files written here by the formats' own rules, and against trimesh's writers."""

import base64
import json
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.errors import InputError
from assets.mesh_files import raw
from assets.mesh_files.read import ENDINGS, read_mesh_file

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], dtype=np.float64)
TETS = np.array([[0, 1, 2, 3], [1, 2, 3, 4]], dtype=np.int64)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], dtype=np.int64)


def stl_binary(points=POINTS, faces=FACES, count=None, header=b"made here"):
    rows = b"".join(struct.pack("<12fH", 0, 0, 0, *points[face].ravel(), 0) for face in faces)
    return header.ljust(80, b"\0") + struct.pack("<I", len(faces) if count is None else count) + rows


def stl_ascii(points=POINTS, faces=FACES, name="liver"):
    lines = [f"solid {name}"]
    for face in faces:
        lines += ["facet normal 0 0 0", " outer loop"]
        lines += ["  vertex " + " ".join(map(repr, row)) for row in points[face].tolist()]
        lines += [" endloop", "endfacet"]
    return "\n".join([*lines, f"endsolid {name}", ""]).encode()


def ply(points=POINTS, faces=FACES, order="<", vertex_count=None, textured=False):
    word = {"<": "binary_little_endian", ">": "binary_big_endian", "": "ascii"}[order]
    header = ["ply", f"format {word} 1.0", "comment made here"]
    header += [f"element vertex {len(points) if vertex_count is None else vertex_count}"]
    header += [f"property float {name}" for name in ("x", "y", "z")]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    header += ["property list uchar float texcoord"] * textured + ["end_header", ""]
    uv = [0.0, 0.25, 0.5, 0.75, 1.0, 0.5]
    if order:
        body = np.asarray(points).astype(order + "f4").tobytes()
        for face in faces:
            body += bytes([len(face)]) + np.asarray(face).astype(order + "i4").tobytes()
            body += (b"\6" + np.array(uv, order + "f4").tobytes()) if textured else b""
    else:
        lines = [" ".join(map(repr, row)) for row in np.asarray(points).tolist()]
        lines += [" ".join(map(str, [len(face), *face, *([6, *uv] if textured else [])])) for face in faces]
        body = ("\n".join(lines) + "\n").encode()
    return "\n".join(header).encode() + body


def obj(points=POINTS, faces=FACES):
    lines = ["mtllib ../../../etc/passwd", "o liver", *("v " + " ".join(map(repr, row)) for row in points.tolist())]
    return "\n".join([*lines, "vt 0 0", *(f"f {a + 1}/1 {b + 1}/1 {c + 1}/1" for a, b, c in faces), ""]).encode()


def gltf(points=POINTS, faces=FACES, uri=None, nodes=None, **changes):
    body = points.astype("<f4").tobytes() + faces.astype("<u2").tobytes()
    table = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": nodes or [{"mesh": 0, "name": "liver"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(points), "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 3 * len(faces), "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 12 * len(points)},
            {"buffer": 0, "byteOffset": 12 * len(points), "byteLength": 6 * len(faces)},
        ],
        "buffers": [{"byteLength": len(body), "uri": uri or "data:;base64," + base64.b64encode(body).decode()}],
    }
    return json.dumps(table | changes).encode()


def glb(points=POINTS, faces=FACES):
    table = json.loads(gltf(points, faces))
    body = base64.b64decode(table["buffers"][0].pop("uri").split(",")[1])
    body += b"\0" * (-len(body) % 4)
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(body), b"BIN\0") + body
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def vtk(binary=True, version="3.0", tets=TETS, faces=(), point_count=None):
    cells = [*np.asarray(faces).tolist(), *np.asarray(tets).tolist()]
    flat = np.array([value for cell in cells for value in (len(cell), *cell)])
    types = np.array([{3: 5, 4: 10}[len(cell)] for cell in cells])

    def write(values, kind):
        return values.astype(kind).tobytes() if binary else " ".join(map(str, values.ravel().tolist())).encode()

    count = len(POINTS) if point_count is None else point_count
    parts = [f"# vtk DataFile Version {version}\nmade here\n{'BINARY' if binary else 'ASCII'}\n".encode()]
    parts += [f"DATASET UNSTRUCTURED_GRID\nPOINTS {count} double\n".encode(), write(POINTS, ">f8")]
    if version.startswith("5"):
        offsets = np.cumsum([0, *(len(cell) for cell in cells)])
        corners = np.array([corner for cell in cells for corner in cell])
        parts += [f"\nCELLS {len(offsets)} {len(corners)}\nOFFSETS vtktypeint64\n".encode(), write(offsets, ">i8")]
        parts += [b"\nCONNECTIVITY vtktypeint64\n", write(corners, ">i8")]
    else:
        parts += [f"\nCELLS {len(cells)} {len(flat)}\n".encode(), write(flat, ">i4")]
    parts += [f"\nCELL_TYPES {len(cells)}\n".encode(), write(types, ">i4"), b"\n"]
    return b"".join(parts)


def vtk_poly():
    rows = "\n".join(" ".join(map(str, row)) for row in POINTS.tolist())
    return (
        f"# vtk DataFile Version 2.0\nSPACE=LPS\nASCII\nDATASET POLYDATA\nPOINTS 5 float\n{rows}\n"
        "VERTICES 1 2\n1 0\nPOLYGONS 2 9\n4 0 1 4 2\n3 0 1 3\nTRIANGLE_STRIPS 1 5\n4 0 1 2 4\n"
        "POINT_DATA 5\nSCALARS x float\n"
    ).encode()


def vtu(way="binary", compressed=False, block=32, points=POINTS, declared=None, kind="UnstructuredGrid", lie=None):
    appended = b""

    def packed(values):
        data = values.tobytes()
        if not compressed:
            return struct.pack("<I", len(data)) + data, None
        blocks = [data[n : n + block] for n in range(0, len(data), block)]
        small = [zlib.compress(part) for part in blocks]
        size = block if lie is None else lie
        head = struct.pack(f"<{3 + len(small)}I", len(small), size, len(data) % block, *map(len, small))
        return b"".join(small), head

    def array(name, kind_of, values):
        nonlocal appended
        body, head = packed(values)
        if way == "ascii":
            text = " ".join(map(str, values.ravel().tolist()))
            return f'<DataArray type="{kind_of}" Name="{name}" format="ascii">{text}</DataArray>'
        encoded = (base64.b64encode(head) if head else b"") + base64.b64encode(body)
        if way == "binary":
            return f'<DataArray type="{kind_of}" Name="{name}" format="binary">{encoded.decode()}</DataArray>'
        offset = len(appended)
        appended += encoded if way == "appended64" else (head or b"") + body
        return f'<DataArray type="{kind_of}" Name="{name}" format="appended" offset="{offset}"/>'

    compressor = ' compressor="vtkZLibDataCompressor"' if compressed else ""
    grid = kind == "UnstructuredGrid"
    cells = TETS if grid else FACES
    arrays = array("connectivity", "Int64", cells.astype("<i8"))
    arrays += array("offsets", "Int64", np.arange(1, len(cells) + 1, dtype="<i8") * cells.shape[1])
    if grid:
        arrays += array("types", "UInt8", np.full(len(cells), 10, "u1"))
    count = f'NumberOfCells="{len(cells)}"' if grid else f'NumberOfPolys="{len(cells)}"'
    text = f'<VTKFile type="{kind}" version="0.1" byte_order="LittleEndian"{compressor}><{kind}>'
    text += f'<Piece NumberOfPoints="{declared or len(POINTS)}" {count}><Points>'
    text += array("Points", "Float64", np.asarray(points, "<f8")) + "</Points>"
    text += f"<Cells>{arrays}</Cells>" if grid else f"<Polys>{arrays}</Polys>"
    text += f"</Piece></{kind}>"
    end = b""
    if way.startswith("appended"):
        encoding = "base64" if way == "appended64" else "raw"
        end = f'<AppendedData encoding="{encoding}">_'.encode() + appended + b"</AppendedData>"
    return text.encode() + end + b"</VTKFile>"


def msh2(binary=False, version="2.2", count=None):
    tags = np.array([3, 1, 7, 4, 9])  # nodes may have any numbers
    nodes = len(POINTS) if count is None else count
    head = f"$MeshFormat\n{version} {int(binary)} 8\n".encode() + (struct.pack("<i", 1) + b"\n") * binary
    if binary:
        rows = b"".join(struct.pack("<i3d", tag, *point) for tag, point in zip(tags, POINTS, strict=True)) + b"\n"
        body = struct.pack("<3i", 2, len(FACES), 2)
        body += b"".join(struct.pack("<6i", n, 0, 1, *tags[face]) for n, face in enumerate(FACES))
        body += struct.pack("<3i", 4, len(TETS), 2)
        body += b"".join(struct.pack("<7i", n, 0, 1, *tags[tet]) for n, tet in enumerate(TETS)) + b"\n"
    else:
        rows = "".join(f"{t} {x!r} {y!r} {z!r}\n" for t, (x, y, z) in zip(tags, POINTS.tolist(), strict=True)).encode()
        lines = [f"{n} 2 2 0 1 " + " ".join(map(str, tags[face])) for n, face in enumerate(FACES)]
        lines += [f"{n} 4 2 0 1 " + " ".join(map(str, tags[tet])) for n, tet in enumerate(TETS)]
        body = ("\n".join(lines) + "\n").encode()
    total = len(FACES) + len(TETS)
    return (
        head + b"$EndMeshFormat\n$Nodes\n%d\n" % nodes + rows + b"$EndNodes\n$Elements\n%d\n" % total + body
        + b"$EndElements\n"
    )  # fmt: skip


def msh4(binary=False, count=None):
    tags = np.array([3, 1, 7, 4, 9])
    nodes = len(POINTS) if count is None else count
    if binary:
        head = b"$MeshFormat\n4.1 1 8\n" + struct.pack("<i", 1) + b"\n$EndMeshFormat\n$Nodes\n"
        head += struct.pack("<4Q", 1, nodes, 1, 9) + struct.pack("<3iQ", 3, 1, 0, nodes)
        head += tags.astype("<u8").tobytes() + POINTS.tobytes() + b"\n$EndNodes\n$Elements\n"
        head += struct.pack("<4Q", 1, len(TETS), 1, 2) + struct.pack("<3iQ", 3, 1, 4, len(TETS))
        return head + b"".join(struct.pack("<5Q", n, *tags[t]) for n, t in enumerate(TETS)) + b"\n$EndElements\n"
    lines = ["$MeshFormat", "4.1 0 8", "$EndMeshFormat", "$PhysicalNames", "1", '3 1 "liver"', "$EndPhysicalNames"]
    lines += ["$Nodes", f"1 {nodes} 1 9", f"3 1 0 {nodes}", *map(str, tags)]
    lines += [" ".join(map(repr, row)) for row in POINTS.tolist()]
    lines += ["$EndNodes", "$Elements", f"1 {len(TETS)} 1 2", f"3 1 4 {len(TETS)}"]
    lines += [f"{n} " + " ".join(map(str, tags[tet])) for n, tet in enumerate(TETS)] + ["$EndElements", ""]
    return "\n".join(lines).encode()


QUIET = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True, database=None
)

SURFACES = {
    "binary.stl": stl_binary(),
    "ascii.stl": stl_ascii(),
    "little.ply": ply(),
    "big.ply": ply(order=">"),
    "ascii.ply": ply(order=""),
    "textured.ply": ply(textured=True),
    "textured_ascii.ply": ply(order="", textured=True),
    "a.obj": obj(),
    "a.gltf": gltf(),
    "a.glb": glb(),
    "ascii.vtp": vtu("ascii", kind="PolyData"),
    "zlib.vtp": vtu("appended", compressed=True, kind="PolyData"),
}
SOLIDS = {
    "binary.vtk": vtk(),
    "ascii.vtk": vtk(binary=False),
    "five.vtk": vtk(version="5.1"),
    "five_ascii.vtk": vtk(binary=False, version="5.1"),
    "ascii.vtu": vtu("ascii"),
    "binary.vtu": vtu(),
    "raw.vtu": vtu("appended"),
    "appended64.vtu": vtu("appended64"),
    "zlib.vtu": vtu(compressed=True),
    "zlib_raw.vtu": vtu("appended", compressed=True),
    "two.msh": msh2(),
    "two_binary.msh": msh2(binary=True),
    "four.msh": msh4(),
    "four_binary.msh": msh4(binary=True),
}
FILES = SURFACES | SOLIDS | {"poly.vtk": vtk_poly()}


def read(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    return read_mesh_file(path)


def one_line(error):
    assert "\n" not in str(error)


def corners(mesh, cells):
    """Places of the corners, which do not depend on the numbers of the vertices."""
    return mesh.vertices[cells]


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

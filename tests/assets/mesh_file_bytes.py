"""Mesh files written by the formats' own rules; shared by the tests of the readers."""

import base64
import json
import struct
import zlib

import numpy as np

from assets.mesh_files.read import read_mesh_file

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

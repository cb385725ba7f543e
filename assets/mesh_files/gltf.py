"""glTF 2.0 scenes, GLB or JSON: the triangles of every node, with the nodes' transforms applied.

Khronos glTF 2.0 specification, ISO/IEC 12113:2022: metres, +Y up, +Z forward, -X right; so the axes run to the left,
superior and anterior of a patient who is modelled as the specification has it.
"""

import base64
import binascii
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from assets.errors import InputError
from assets.mesh_files.raw import MAX_ITEMS, RawMesh, floats, indices, items, raw_mesh, read_bytes, strips

AXES = "LSA"
_MAX_JSON = 1 << 26
_MAX_VALUES = 1 << 20
"""Of the JSON; an empty object takes twenty times the memory that it takes in the file."""
_MAX_DEPTH = 256
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,200}")
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_HARMLESS = ("KHR_materials_", "KHR_texture_", "KHR_lights_", "KHR_mesh_quantization", "EXT_texture_webp")
"""Required extensions that leave where the triangles are as it is."""


def parse_gltf(data: bytes, where: str, folder: Path) -> tuple[RawMesh, ...]:
    """Read a GLB's or glTF's bytes: one object of each node that has a mesh.

    Args:
        data: The whole file.
        where: What to call it in errors.
        folder: Where buffers with plain names lie; nothing else is opened.

    Raises:
        InputError: The file is damaged, needs an extension, names a buffer outside its folder, or is too large.
    """
    text, binary = _chunks(data, where) if data[:4] == b"glTF" else (data, None)
    if len(text) > _MAX_JSON:
        raise InputError(f"expected at most {_MAX_JSON} bytes of JSON, found {len(text)} in {where}")
    values = sum(text.count(sign) for sign in (b",", b"{", b"["))
    if values > _MAX_VALUES:
        raise InputError(f"expected at most {_MAX_VALUES} values in the JSON, found {values} in {where}")
    try:
        table = json.loads(text)
        version = table["asset"]["version"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise InputError(f"expected glTF as JSON, found {type(error).__name__} ({error!s:.60}) in {where}") from None
    if version != "2.0":
        raise InputError(f"expected glTF 2.0, found {version!r:.20} in {where}")
    scene = _Scene(table, binary, folder, where)
    needed = [name for name in scene.rows(table, "extensionsRequired") if not str(name).startswith(_HARMLESS)]
    if needed:
        raise InputError(f"expected glTF without extensions, found {', '.join(map(str, needed))[:80]} in {where}")
    return scene.objects()


def _chunks(data: bytes, where: str) -> tuple[bytes, bytes | None]:
    """Split a GLB into its JSON and its binary chunk."""
    version, length = (int(n) for n in items(data, "<u4", 2, 4, "header words", where))
    if version != 2 or length != len(data):
        raise InputError(f"expected GLB version 2 of {len(data)} bytes, found version {version} of {length} in {where}")
    found: dict[bytes, bytes] = {}
    start = 12
    while start < len(data):
        size = int(items(data, "<u4", 1, start, "chunk length", where)[0])
        kind = data[start + 4 : start + 8]
        items(data, "<u1", size, start + 8, "bytes of a chunk", where)
        found.setdefault(kind, data[start + 8 : start + 8 + size])
        start += 8 + size
    if b"JSON" not in found:
        raise InputError(f"expected a JSON chunk, found none in {where}")
    return found[b"JSON"], found.get(b"BIN\0")


class _Scene:
    """One file while it is read: its tables, and the buffers that have been opened."""

    def __init__(self, table: dict[str, Any], binary: bytes | None, folder: Path, where: str) -> None:
        self.table, self.binary, self.folder, self.where = table, binary, folder, where
        self.buffers: dict[int, bytes] = {}
        self.room = MAX_ITEMS
        self.skipped: set[str] = set()

    def entry(self, kind: str, index: Any) -> dict[str, Any]:
        rows = self.table.get(kind, [])
        good = isinstance(rows, list) and type(index) is int and 0 <= index < len(rows)
        if not good or not isinstance(rows[index], dict):
            raise InputError(f"expected an entry of {kind}, found {str(index)[:40]!r} in {self.where}")
        row: dict[str, Any] = rows[index]
        return row

    def number(self, row: dict[str, Any], key: str, default: int | None = None) -> int:
        value = row.get(key, default)
        if type(value) is not int or not 0 <= value < 1 << 40:
            raise InputError(f"expected a whole number as {key}, found {str(value)[:40]!r} in {self.where}")
        return value

    def rows(self, row: dict[str, Any], key: str) -> list[Any]:
        value = row.get(key, [])
        if not isinstance(value, list):
            raise InputError(f"expected a list of {key}, found {str(value)[:40]!r} in {self.where}")
        return value

    def objects(self) -> tuple[RawMesh, ...]:
        nodes = self.rows(self.table, "nodes")
        if self.rows(self.table, "scenes"):
            roots = self.rows(self.entry("scenes", self.table.get("scene", 0)), "nodes")
        else:
            children = {
                child for node in nodes if isinstance(node, dict) for child in map(str, self.rows(node, "children"))
            }
            roots = [index for index in range(len(nodes)) if str(index) not in children]
        found: list[RawMesh] = []
        visited: set[int] = set()
        stack = [(root, np.eye(4), 0) for root in reversed(roots)]
        while stack:
            index, T_scene_parent, depth = stack.pop()
            node = self.entry("nodes", index)
            if index in visited or depth > _MAX_DEPTH:
                raise InputError(f"expected nodes to be a tree, found node {index} again in {self.where}")
            visited.add(index)
            T_scene_node = T_scene_parent @ self.transform(node)
            if "mesh" in node:
                found += self.mesh(node, T_scene_node)
            stack += [(child, T_scene_node, depth + 1) for child in reversed(self.rows(node, "children"))]
        return tuple(found)

    def transform(self, node: dict[str, Any]) -> NDArray[np.float64]:
        def values(key: str, default: tuple[float, ...]) -> NDArray[np.float64]:
            try:
                found = np.array(node.get(key, default), dtype=np.float64)
            except (TypeError, ValueError):
                found = np.zeros(0)
            if found.shape != (len(default),) or not np.isfinite(found).all():
                raise InputError(f"expected {len(default)} finite numbers as {key} of a node in {self.where}")
            return found

        if "matrix" in node:
            matrix = values("matrix", tuple(np.eye(4).ravel())).reshape(4, 4).T  # stored column by column
            if not np.allclose(matrix[3], (0, 0, 0, 1)):
                raise InputError(f"expected an affine matrix of a node, found {matrix[3].tolist()} in {self.where}")
            return matrix
        T = np.eye(4)
        turn = values("rotation", (0.0, 0.0, 0.0, 1.0))
        if np.linalg.norm(turn) < 1e-6:
            raise InputError(f"expected a quaternion as rotation of a node, found zeros in {self.where}")
        T[:3, :3] = Rotation.from_quat(turn).as_matrix() * values("scale", (1.0, 1.0, 1.0))
        T[:3, 3] = values("translation", (0.0, 0.0, 0.0))
        return T

    def mesh(self, node: dict[str, Any], T_scene_node: NDArray[np.float64]) -> list[RawMesh]:
        mesh = self.entry("meshes", node["mesh"])
        points, corners, offset = [], [], 0
        for part in self.rows(mesh, "primitives"):
            if not isinstance(part, dict) or not isinstance(part.get("attributes"), dict):
                raise InputError(f"expected primitives with attributes, found {str(part)[:40]!r} in {self.where}")
            if part.get("mode", 4) not in (4, 5, 6) or "POSITION" not in part["attributes"]:
                self.skipped.add("points and lines are left out")
                continue
            place = self.accessor(part["attributes"]["POSITION"], "VEC3")
            own = self.corners(part, len(place))
            points.append(place)
            corners.append(own + offset)
            offset += len(place)
        if not points:
            return []
        vertices = np.concatenate(points) @ T_scene_node[:3, :3].T + T_scene_node[:3, 3]
        triangles = np.concatenate(corners)
        if np.linalg.det(T_scene_node[:3, :3]) < 0:  # a mirror turns the triangles over
            triangles = triangles[:, ::-1]
        if "skin" in node or "weights" in mesh:
            self.skipped.add("skins and morph targets are left out")
        if self.rows(self.table, "textures"):
            self.skipped.add("materials and texture coordinates are ignored")
        name = str(node.get("name") or mesh.get("name") or "")[:64]
        return [raw_mesh(self.where, vertices, triangles, name=name, axes=AXES, notes=tuple(sorted(self.skipped)))]

    def corners(self, part: dict[str, Any], count: int) -> NDArray[np.int64]:
        if "indices" in part:
            flat = indices(self.accessor(part["indices"], "SCALAR").reshape(-1), "corners", self.where)
        else:
            flat = np.arange(count)
        mode = part.get("mode", 4)
        if mode == 4:
            if len(flat) % 3:
                raise InputError(f"expected three corners a triangle, found {len(flat)} in {self.where}")
            return flat.reshape(-1, 3)
        if mode == 5:
            return strips(flat, self.where)
        return np.stack([np.full(max(len(flat) - 2, 0), flat[0] if len(flat) else 0), flat[1:-1], flat[2:]], axis=1)

    def accessor(self, index: Any, kind: str) -> NDArray[np.float64]:
        """Return the values of an accessor, shape (n, 3) or (n, 1)."""
        row = self.entry("accessors", index)
        if "sparse" in row or "bufferView" not in row:
            raise InputError(f"expected accessors with a buffer view, found a sparse or empty one in {self.where}")
        component = row.get("componentType")
        if type(component) is not int or component not in _COMPONENTS or row.get("type") != kind:
            raise InputError(
                f"expected an accessor {kind} of a known component type, found {str(row.get('type'))[:20]!r} of "
                f"{str(component)[:20]!r} in {self.where}"
            )
        width = 3 if kind == "VEC3" else 1
        dtype = np.dtype(_COMPONENTS[component])
        count = self.number(row, "count")
        self.room -= count
        if self.room < 0:
            raise InputError(f"expected at most {MAX_ITEMS} vertices and corners in all, found more in {self.where}")
        view = self.entry("bufferViews", row["bufferView"])
        buffer = self.buffer(view.get("buffer"))
        start, length = self.number(view, "byteOffset", 0), self.number(view, "byteLength")
        own = items(buffer, "<u1", length, start, "bytes of a buffer view", self.where).tobytes()
        stride = self.number(view, "byteStride", width * dtype.itemsize)
        first = self.number(row, "byteOffset", 0)
        if count == 0:
            return np.zeros((0, width))
        if not width * dtype.itemsize <= stride <= 252:
            raise InputError(f"expected a stride from {width * dtype.itemsize} to 252, found {stride} in {self.where}")
        if first + (count - 1) * stride + width * dtype.itemsize > len(own):
            raise InputError(f"expected {count} items of {stride} bytes, found {len(own)} bytes in {self.where}")
        values = floats(np.ndarray((count, width), dtype, own, first, (stride, dtype.itemsize)))
        if row.get("normalized") and dtype.kind in "iu":
            values = np.maximum(values / np.iinfo(dtype).max, -1.0)
        return values

    def buffer(self, index: Any) -> bytes:
        row = self.entry("buffers", index)
        if index not in self.buffers:
            self.buffers[index] = self.opened(row, index)
        return self.buffers[index]

    def opened(self, row: dict[str, Any], index: int) -> bytes:
        uri = row.get("uri")
        if uri is None:
            if self.binary is None or index != 0:
                raise InputError(f"expected a binary chunk for buffer {index}, found none in {self.where}")
            return self.binary
        if isinstance(uri, str) and uri.startswith("data:"):
            head, _, body = uri.partition(",")
            if not head.endswith(";base64"):
                raise InputError(f"expected base64 in a data URI, found {head[:40]!r} in {self.where}")
            try:
                return base64.b64decode(body, validate=True)
            except (binascii.Error, ValueError):
                raise InputError(f"expected base64 in a data URI, found something else in {self.where}") from None
        if not isinstance(uri, str) or not _PLAIN_NAME.fullmatch(uri):
            raise InputError(
                f"expected a buffer inside the file or a plain name beside it, found {str(uri)[:60]!r} in {self.where}"
            )
        path = self.folder / uri
        if path.is_symlink():
            raise InputError(f"expected a buffer beside the file, found a link at {path}")
        return read_bytes(path)

"""The geometry of a scene on the device: static, posed and deforming objects, shared by all cameras that look at it."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import warp as wp
from jaxtyping import Float, Float32
from numpy.typing import NDArray

from assets.errors import InputError
from assets.mesh import Mesh
from sim.render import moving
from sim.render.devices import check_device, on_device
from sim.render.geometry import FARTHEST, Geometry, build_part, grain_of, join
from sim.render.poses import rigid
from sim.render.scene_lock import SceneLock
from sim.scene_objects import SceneObject, things_of


@dataclass(frozen=True)
class _Changing:
    """What the kernels need of an object that moves: made when it first does."""

    areas: Any
    around_start: Any
    around: Any
    """The triangles around each vertex, counted from the object's first."""


class RenderScene:
    """Objects on a device; `Renderer` makes one, and `Renderer.view` looks at it through another camera.

    What never moves costs nothing from frame to frame. Many cameras render at once, each in a thread of its own; a
    change waits until none does (`lock`).
    """

    def __init__(self, objects: Sequence[SceneObject], device: str = "cpu") -> None:
        """Put the objects on the device.

        Args:
            objects: The scene; an object's mesh is in its own frame, which is the world's until it is moved.
            device: A Warp device, such as `cpu` or `cuda:0`.

        Raises:
            InputError: A mesh is damaged, there are too many objects, or the device is not there or has too little
                memory.
        """
        self.device = check_device(device)
        if len(objects) > 65535:
            raise InputError(f"renderer: expected at most 65535 objects, found {len(objects)}")
        self.lock = SceneLock()
        self._making = threading.Lock()  # of what is made when it is first asked for
        self.objects = tuple(objects)
        self.version = 0
        """Goes up when a mesh is replaced: triangles have other numbers then."""
        self.changes = 0
        """Goes up with every change of a vertex."""
        self._tables: dict[str, Any] = {}
        self.mesh_versions = [0] * len(objects)
        """For each object how often its mesh was replaced."""
        self.object_changes = [0] * len(objects)
        """For each object how often its vertices changed."""
        self.things = np.array(things_of(objects), np.uint16)
        """Instance id of each object."""
        self._grain = grain_of(objects)
        self._parts = [build_part(item, index, self._grain) for index, item in enumerate(objects)]
        self._mesh: Any = None
        self._stale = False
        self._frozen: tuple[int, Any] | None = None
        self._upload()

    def move(self, name: str, T_world_object: Float[np.ndarray, "4 4"]) -> None:
        """Pose an object rigidly: its mesh as given is in its own frame. Undoes what `deform` did.

        Raises:
            InputError: There is no such object, or the pose is no finite rigid motion.
        """
        index = self._index(name)
        T = rigid(T_world_object, f"scene object {name}")
        first, last = self._range(self.geometry.object_vertex, index)
        with self.lock.changing():
            rotation, translation = wp.mat33d(*T[:3, :3].ravel()), wp.vec3d(*T[:3, 3])
            inputs = [first, self.surface.rest, rotation, translation, self.surface.vertices]
            wp.launch(moving.pose, dim=last - first, inputs=inputs, device=self.device)
            self._changed(index)

    def deform(self, name: str, vertices: Float32[np.ndarray, "n 3"] | Any) -> None:
        """Give an object new vertices; its triangles, and the texture on them, stay.

        Args:
            name: The object's.
            vertices: World frame [m], shape (n, 3), one for each vertex of its mesh; a NumPy array, or a Warp array of
                `vec3` on the scene's device, which is copied there and never passes through the host.

        Raises:
            InputError: There is no such object, the shape or the device is another, or a number is not finite or
                beyond 100 km.
        """
        index = self._index(name)
        first, last = self._range(self.geometry.object_vertex, index)
        found = self._checked(name, vertices, last - first)
        with self.lock.changing():
            wp.copy(self.surface.vertices, found, dest_offset=first, count=last - first)
            self._changed(index)

    def replace_mesh(self, name: str, mesh: Mesh, *, rest: Float32[np.ndarray, "n 3"] | None = None) -> None:
        """Give an object another mesh, as when tissue is cut; slow, since all arrays are made anew.

        Args:
            name: The object's.
            mesh: Where it is now, world frame [m].
            rest: Its vertices in the object's own frame [m], shape (n, 3), which hold the texture and are what `move`
                poses; None takes the mesh's.

        Raises:
            InputError: There is no such object, or the mesh is damaged.
        """
        index = self._index(name)
        own = mesh.vertices if rest is None else np.asarray(rest, np.float32)
        if own.shape != mesh.vertices.shape:
            raise InputError(
                f"scene object {name}: expected rest vertices of shape {mesh.vertices.shape}, found {own.shape}"
            )
        item = replace(self.objects[index], mesh=Mesh(own, mesh.triangles))
        part = build_part(item, index, self._grain)
        posed = build_part(replace(item, mesh=mesh), index, self._grain) if rest is not None else part
        with self.lock.changing():
            now = {i: self.vertices(one.name, index=i) for i, one in enumerate(self.objects) if self._was_moved(i)}
            now.pop(index, None)
            if rest is not None:
                now[index] = posed.vertices
            self.objects = (*self.objects[:index], item, *self.objects[index + 1 :])
            self._parts[index] = part
            self.mesh_versions[index] += 1
            self.version += 1
            self.changes += 1
            self._upload()
            for i, vertices in now.items():
                first, last = self._range(self.geometry.object_vertex, i)
                source = wp.array(vertices, dtype=wp.vec3, device=self.device)
                wp.copy(self.surface.vertices, source, dest_offset=first, count=last - first)
                self._changed(i)

    def vertices(self, name: str, *, index: int | None = None) -> NDArray[np.float32]:
        """Return where an object's vertices are now [m], shape (n, 3), world frame; a copy.

        Raises:
            InputError: There is no such object.
        """
        first, last = self._range(self.geometry.object_vertex, self._index(name) if index is None else index)
        with self.lock.looking():
            wp.synchronize_device(self.device)
            return np.array(self.surface.vertices[first:last].numpy()) if last > first else np.zeros((0, 3), np.float32)

    def frozen_vertices(self) -> Any:
        """Return a copy of all vertices as they are now, on the device; the same one until something changes."""
        with self._making:
            if self._frozen is None or self._frozen[0] != self.changes:
                self._frozen = (self.changes, wp.clone(self.surface.vertices))
            return self._frozen[1]

    def ray_mesh(self) -> Any:
        """Return Warp's mesh of all triangles with its bounding volume hierarchy, for rays; None without triangles."""
        if not len(self.geometry.triangles):
            return None
        with self._making:
            if self._mesh is None:
                indices = wp.array(self.geometry.triangles.ravel(), dtype=wp.int32, device=self.device)
                self._mesh = wp.Mesh(self.surface.vertices, indices)
            elif self._stale:
                self._mesh.refit()
            self._stale = False
            return self._mesh

    def tables(self, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the textures and tables that all cameras share; the first one makes them."""
        with self._making:
            self._tables = self._tables or make()
            return self._tables

    def put(self, values: NDArray[Any], kind: Any) -> Any:
        """Copy an array to the device.

        Raises:
            InputError: The device has too little memory.
        """
        return on_device(lambda: wp.array(values, dtype=kind, device=self.device), "fewer triangles")

    def _upload(self) -> None:
        geometry: Geometry = join(self._parts)
        self.geometry = geometry
        self.surface = moving.Surface()
        self.surface.vertices = self.put(geometry.vertices, wp.vec3)
        self.surface.rest = self.put(geometry.vertices, wp.vec3)
        self.surface.moved = self.put(np.zeros(len(self.objects), np.int32), wp.int32)
        self.vertex_shape = self.put(np.column_stack([geometry.normals, geometry.cavity]), wp.vec4)
        owned = np.column_stack([geometry.triangles, geometry.triangle_object])
        self.corners = self.put(owned.astype(np.int32), wp.vec4i)
        """Each triangle's vertices and its object."""
        self.flat_normals = self.put(geometry.flat_normals, wp.vec3)
        self.facing = self.put(geometry.facing, wp.float32)
        self.cluster_start = self.put(geometry.cluster_start, wp.int32)
        self.cluster_sphere = self.put(geometry.cluster_sphere, wp.vec4)
        self.cluster_vertex_start = self.put(geometry.cluster_vertex_start, wp.int32)
        self.cluster_vertices = self.put(geometry.cluster_vertices, wp.int32)
        self.cluster_corners = self.put(geometry.corners, wp.int32)
        self._moved = np.zeros(len(self.objects), np.bool_)
        self._changing: dict[int, _Changing] = {}
        self._mesh = None

    def _changed(self, index: int) -> None:
        """Renew what depends on an object's vertices."""
        if not self._moved[index]:
            self._moved[index] = True
            self.surface.moved.assign(self._moved.astype(np.int32))
        self.changes += 1
        self.object_changes[index] += 1
        self._stale = True
        geometry = self.geometry
        vertex, last_vertex = self._range(geometry.object_vertex, index)
        triangle, last_triangle = self._range(geometry.object_triangle, index)
        cluster, last_cluster = self._range(geometry.object_cluster, index)
        if index not in self._changing:
            self._changing[index] = self._prepare(vertex, last_vertex, triangle, last_triangle)
        own = self._changing[index]
        faces = [
            triangle,
            float(geometry.facing[index]),
            self.surface.vertices,
            self.corners,
            own.areas,
            self.flat_normals,
        ]
        wp.launch(moving.face, dim=last_triangle - triangle, inputs=faces, device=self.device)
        corners = [vertex, own.around_start, own.around, own.areas, self.vertex_shape]
        wp.launch(moving.smooth, dim=last_vertex - vertex, inputs=corners, device=self.device)
        spheres = [
            cluster,
            self.cluster_vertex_start,
            self.cluster_vertices,
            self.surface.vertices,
            self.cluster_sphere,
        ]
        wp.launch(moving.enclose, dim=last_cluster - cluster, inputs=spheres, device=self.device)

    def _prepare(self, vertex: int, last_vertex: int, triangle: int, last_triangle: int) -> _Changing:
        owned = (self.geometry.triangles[triangle:last_triangle] - vertex).ravel()
        counts = np.bincount(owned, minlength=last_vertex - vertex)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        around = (np.argsort(owned, kind="stable") // 3).astype(np.int32)
        areas = np.zeros((last_triangle - triangle, 3), np.float32)
        return _Changing(self.put(areas, wp.vec3), self.put(starts, wp.int32), self.put(around, wp.int32))

    def _checked(self, name: str, vertices: Any, count: int) -> Any:
        """Return the vertices as an array on the device that can be copied from."""
        if isinstance(vertices, wp.array):
            if vertices.dtype is not wp.vec3 or vertices.shape != (count,) or vertices.device != self.device:
                raise InputError(
                    f"scene object {name}: expected {count} vec3 on {self.device}, "
                    f"found {vertices.shape} {wp.types.type_repr(vertices.dtype)} on {vertices.device}"
                )
            found = vertices if vertices.is_contiguous else vertices.contiguous()
        else:
            try:
                array = np.ascontiguousarray(vertices, dtype=np.float32)
            except (TypeError, ValueError) as error:
                raise InputError(f"scene object {name}: expected vertices, found {error}") from None
            if array.shape != (count, 3):
                raise InputError(f"scene object {name}: expected vertices of shape {(count, 3)}, found {array.shape}")
            found = self.put(array, wp.vec3)
        if self.device.is_cpu:
            damaged = int(count - np.count_nonzero((np.abs(found.numpy()) <= FARTHEST).all(axis=-1))) if count else 0
        else:
            counted = wp.zeros(1, dtype=wp.int32, device=self.device)
            wp.launch(moving.count_damaged, dim=count, inputs=[found, FARTHEST, counted], device=self.device)
            damaged = int(counted.numpy()[0])
        if damaged:
            raise InputError(
                f"scene object {name}: expected vertices within {FARTHEST:g} m, found {damaged} others of {count}"
            )
        return found

    def _index(self, name: str) -> int:
        places = [index for index, item in enumerate(self.objects) if item.name == name]
        if len(places) == 1:
            return places[0]
        if places:
            raise InputError(f"scene: expected one object named {name}, found {len(places)}")
        known = ", ".join(sorted({item.name for item in self.objects})) or "none"
        raise InputError(f"scene: expected an object of {known}, found {name!r}")

    def _was_moved(self, index: int) -> bool:
        return bool(self._moved[index])

    @staticmethod
    def _range(starts: NDArray[np.int32], index: int) -> tuple[int, int]:
        return int(starts[index]), int(starts[index + 1])

"""Other ways to render the same meshes: VTK, Embree's rays with NumPy shading, Mitsuba as the SARAMIS project uses it.

Each is an optional package (the extra `bench`); what is missing is told in one line and left out.
"""

import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.errors import InputError
from assets.mesh_io import save_ply
from assets.transforms import compose
from scenarios.bench.race import Picture
from sim.camera import Camera
from sim.scene_objects import SceneObject

SARAMIS_SIZE = (200, 100)
"""Width and height of the pictures of the SARAMIS environment [px]."""
SARAMIS_SAMPLES = 64
"""Samples of each of its pixels."""

_NEAR, _FAR = 1e-3, 1.0  # m, planes of VTK's view
_EMBREE_UNIT = 0.01  # m; Embree's tolerances suit coordinates around 1
_PROBE = """
from vtkmodules import all as vtk
vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.AddRenderer(vtk.vtkRenderer())
window.Render()
"""


def need(package: str, purpose: str) -> Any:
    """Import an optional package.

    Raises:
        InputError: It is not installed.
    """
    try:
        return import_module(package)
    except ImportError:
        name = package.partition(".")[0].removesuffix("modules")
        raise InputError(
            f"{purpose}: expected the package {name}, found it not installed: pip install 'trocar[bench]'"
        ) from None


def vtk_picture(objects: Sequence[SceneObject], camera: Camera) -> Picture:
    """Prepare VTK: colour under a headlight with smooth normals, ids by a second pass of flat colours, and depth.

    Args:
        objects: In world coordinates [m].
        camera: A pinhole with square pixels and a centred axis.

    Returns:
        Draws colours, ids (-1 where nothing) and the depth buffer, top row first.

    Raises:
        InputError: VTK is not installed, or it cannot open a window off screen (it ends the process that tries).
    """
    vtk = need("vtkmodules.all", "render against VTK")
    if subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, timeout=120, check=False).returncode:
        raise InputError("render against VTK: expected EGL or OSMesa for a window off screen, found neither")
    numpy_support = import_module("vtkmodules.util.numpy_support")
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(camera.width, camera.height)
    passes = [vtk.vtkRenderer() for _ in range(2)]
    view = passes[0].GetActiveCamera()
    passes[1].SetActiveCamera(view)
    for one in passes:
        one.SetBackground(0, 0, 0)
        window.AddRenderer(one)
    for index, item in enumerate(objects):
        points, cells, data = vtk.vtkPoints(), vtk.vtkCellArray(), vtk.vtkPolyData()
        points.SetData(numpy_support.numpy_to_vtk(item.mesh.vertices, deep=True))
        corners = np.ascontiguousarray(item.mesh.triangles.ravel(), np.int64)
        offsets = np.arange(0, len(corners) + 1, 3, dtype=np.int64)
        cells.SetData(*(numpy_support.numpy_to_vtkIdTypeArray(part, deep=True) for part in (offsets, corners)))
        data.SetPoints(points)
        data.SetPolys(cells)
        smooth = vtk.vtkPolyDataNormals()
        smooth.SetInputData(data)
        smooth.SplittingOff()
        smooth.ConsistencyOff()
        smooth.Update()
        mapper = vtk.vtkPolyDataMapper()
        mapper.SetInputData(smooth.GetOutput())
        for place, one in enumerate(passes):
            actor = vtk.vtkActor()
            actor.SetMapper(mapper)
            look = actor.GetProperty()
            look.SetFrontfaceCulling(item.kind == "lumen")
            look.SetBackfaceCulling(item.kind != "lumen")
            number = index + 1
            code = (number & 255, number >> 8 & 255, number >> 16)
            look.SetColor(*(item.material.optical.base_colour if place == 0 else np.array(code) / 255))
            look.SetSpecular(0.3 if place == 0 else 0.0)
            look.SetLighting(place == 0)
            one.AddActor(actor)
    fov_deg = float(np.degrees(2 * np.arctan(camera.height / 2 / camera.fy)))
    shape = (camera.height, camera.width)
    whole = (0, 0, camera.width - 1, camera.height - 1)
    colours = [vtk.vtkUnsignedCharArray() for _ in passes]
    nearness = vtk.vtkFloatArray()

    def draw(T_world_camera: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        eye = T_world_camera[:3, 3]
        view.SetPosition(*eye)
        view.SetFocalPoint(*(eye + T_world_camera[:3, 2]))
        view.SetViewUp(*-T_world_camera[:3, 1])
        view.SetViewAngle(fov_deg)
        view.SetClippingRange(_NEAR, _FAR)
        pictures = []
        for place, array in enumerate(colours):
            for other, one in enumerate(passes):
                one.SetDraw(other == place)
            window.Render()
            window.GetPixelData(*whole, 0, array, 0)
            pictures.append(numpy_support.vtk_to_numpy(array).reshape(*shape, 3)[::-1])
        window.GetZbufferData(*whole, nearness)
        code = pictures[1].astype(np.int32)
        ids = code[..., 0] + (code[..., 1] << 8) + (code[..., 2] << 16) - 1
        return pictures[0], ids, numpy_support.vtk_to_numpy(nearness).reshape(shape)[::-1]

    return draw


def embree_picture(objects: Sequence[SceneObject], camera: Camera) -> Picture:
    """Prepare Embree: a ray for every pixel, then colour, labels, ids, depth and flat normals in NumPy.

    Args:
        objects: In world coordinates [m].
        camera: Any lens.

    Returns:
        Draws colours, labels, ids (-1 where nothing), depth [m] and normals (camera axes).

    Raises:
        InputError: embreex is not installed.
    """
    construction = need("embreex.mesh_construction", "render against Embree")
    embree_scene = need("embreex.rtcore_scene", "render against Embree")
    scene = embree_scene.EmbreeScene()
    vertices = np.concatenate([item.mesh.vertices for item in objects]) / _EMBREE_UNIT
    offsets = np.cumsum([0, *(len(item.mesh.vertices) for item in objects)])
    triangles = np.concatenate([item.mesh.triangles + first for item, first in zip(objects, offsets, strict=False)])
    construction.TriangleMesh(scene=scene, vertices=vertices.astype(np.float32), indices=triangles.astype(np.int32))
    owner = np.repeat(np.arange(len(objects)), [len(item.mesh.triangles) for item in objects])
    owner = np.append(owner, -1)
    label = np.array([*(item.label_id for item in objects), 0], np.uint8)
    base = np.array([*(item.material.optical.base_colour for item in objects), (0, 0, 0)], np.float32)
    rays, shown = camera.rays()
    rays = np.where(shown[..., None], rays, (0, 0, 1)).reshape(-1, 3).astype(np.float32)
    shape = (camera.height, camera.width)
    codes = (255 * np.linspace(0, 1, 4096) ** (1 / 2.2)).astype(np.uint8)

    def draw(T_world_camera: NDArray[np.float64]) -> tuple[NDArray[Any], ...]:
        rotation = T_world_camera[:3, :3].astype(np.float32)
        origins = np.broadcast_to((T_world_camera[:3, 3] / _EMBREE_UNIT).astype(np.float32), rays.shape)
        hit = scene.run(np.ascontiguousarray(origins), rays @ rotation.T, output=True)
        instance = owner[hit["primID"]]
        distance = np.where(instance >= 0, hit["tfar"] * np.float32(_EMBREE_UNIT), np.float32(1))
        normal = hit["Ng"] @ rotation
        normal /= np.sqrt(np.einsum("ij,ij->i", normal, normal))[:, None]
        facing = np.einsum("ij,ij->i", normal, rays)
        normal *= -np.sign(facing)[:, None]
        light = np.abs(facing) * (0.03 / distance) ** 2
        rgb = codes[np.minimum(4095 * base[instance] * light[:, None], 4095).astype(np.int32)]
        depth = np.where(instance >= 0, distance * rays[:, 2], 0)
        rgb, normal = rgb.reshape(*shape, 3), normal.reshape(*shape, 3)
        return rgb, label[instance].reshape(shape), instance.reshape(shape), depth.reshape(shape), normal

    return draw


def mitsuba_picture(objects: Sequence[SceneObject], fov_deg: float, folder: Path) -> Picture:
    """Prepare Mitsuba as the SARAMIS environment's step uses it, less its two textures, which would cost more time.

    scalar_rgb, 64 samples, paths of up to 12 bounces, a principled surface, a light at the camera (the scene file of
    github.com/NMontanaBrown/saramis, saramis/nav_rl).

    Args:
        objects: In world coordinates [m].
        fov_deg: Horizontal field of view.
        folder: Takes the meshes that Mitsuba reads; exists.

    Returns:
        Draws linear colours alone.

    Raises:
        InputError: Mitsuba is not installed.
    """
    mitsuba = need("mitsuba", "render against Mitsuba")
    mitsuba.set_variant("scalar_rgb")
    width, height = SARAMIS_SIZE
    meshes: dict[str, Any] = {}
    for item in objects:
        path = folder / f"{item.name}.ply"
        save_ply(item.mesh, path)
        colour = {"type": "rgb", "value": [float(value) for value in item.material.optical.base_colour]}
        look = {"type": "principled", "base_color": colour, "specular": 0.1, "roughness": 0.0}
        shape = {"type": "ply", "filename": str(path), "bsdf": {"type": "twosided", "bsdf": look}}
        meshes[item.name] = mitsuba.load_dict(shape)
    sensor: dict[str, Any] = {
        "type": "perspective",
        "fov": fov_deg,
        "fov_axis": "x",
        "near_clip": _NEAR,
        "film": {"type": "hdrfilm", "width": width, "height": height},
        "sampler": {"type": "independent", "sample_count": SARAMIS_SAMPLES},
    }
    base: dict[str, Any] = {"type": "scene", "integrator": {"type": "path", "max_depth": 12}}
    # Mitsuba's camera has x to the left and y up.
    turn = compose(np.diag([-1.0, -1.0, 1.0]), np.zeros(3))

    def draw(T_world_camera: Float[np.ndarray, "4 4"]) -> NDArray[np.float32]:
        eye = [float(value) for value in T_world_camera[:3, 3]]
        moved = sensor | {"to_world": mitsuba.ScalarTransform4f((T_world_camera @ turn).tolist())}
        lamp = {"type": "point", "position": eye, "intensity": {"type": "rgb", "value": 1e-3}}
        return np.array(mitsuba.render(mitsuba.load_dict(base | meshes | {"sensor": moved, "lamp": lamp})))

    return draw

"""The scene as Mitsuba 3 reads it, for path-traced reference pictures: the same meshes, camera, lamps and albedos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float, Float32

from assets.errors import InputError
from assets.mesh_io import save_ply
from sim.camera import Camera
from sim.render.appearance import Appearance, LightSettings
from sim.render.look import NOMINAL_DISTANCE, guides_of, lamp_of, tissue_of
from sim.scene_objects import SceneObject

_TO_MITSUBA = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Mitsuba's cameras look along z too, but with x to the left and y up."""


def write_scene(
    folder: Path,
    objects: Sequence[SceneObject],
    camera: Camera,
    T_world_camera: Float[np.ndarray, "4 4"],
    *,
    exposure: float = 1.0,
    light: LightSettings | None = None,
    appearance: Appearance | None = None,
    samples: int = 64,
    bounces: int = 16,
    wet: bool = True,
) -> Path:
    """Write `scene.xml` and a PLY file an object.

    A picture of it is linear: light of 1 is the sensor's full scale, before the tone curve. Textures, the beam's
    profile and the spreading of light below the surface are left out: with `Appearance(spot=0, mottling=0, bump=0,
    vessel_strength=0, vignette=0)` and tissues of no translucency the renderer's direct light is the same as Mitsuba's.

    Args:
        folder: Exists.
        objects: The scene.
        camera: A pinhole whose principal point is the picture's centre; no other lens is in Mitsuba.
        T_world_camera: Pose, OpenCV axes.
        exposure: Gain from scene radiance to the image.
        light: The light guides, which become point lights.
        appearance: Gives the tissues' colours and the lamp's temperature.
        samples: Paths a pixel.
        bounces: Longest path, in surfaces that it meets; 1 is direct light alone.
        wet: Put a rough film of water over the matte tissue; else it is matte.

    Returns:
        The path of scene.xml.

    Raises:
        InputError: The camera is none that Mitsuba has, or a number is out of range.
        OSError: A file cannot be written.
    """
    centred = abs(camera.cx - (camera.width - 1) / 2) < 1e-6 and abs(camera.cy - (camera.height - 1) / 2) < 1e-6
    if camera.model != "pinhole" or not centred or abs(camera.fx - camera.fy) > 1e-6:
        raise InputError(f"mitsuba: expected a centred pinhole with square pixels, found {camera}")
    if samples < 1 or bounces < 1:
        raise InputError(f"mitsuba: expected at least 1 sample and 1 bounce, found {samples} and {bounces}")
    light, appearance = light or LightSettings(), appearance or Appearance()
    scene = ElementTree.Element("scene", version="3.0.0")
    path = _child(scene, "integrator", "path")
    _value(path, "integer", "max_depth", bounces + 1)
    sensor = _child(scene, "sensor", "perspective")
    _value(sensor, "float", "fov", float(np.degrees(2 * np.arctan(camera.width / 2 / camera.fx))))
    _value(sensor, "string", "fov_axis", "x")
    _value(sensor, "float", "near_clip", 1e-5)
    transform = ElementTree.SubElement(sensor, "transform", name="to_world")
    matrix = np.asarray(T_world_camera, np.float64) @ _TO_MITSUBA
    ElementTree.SubElement(transform, "matrix", value=" ".join(f"{value:.9g}" for value in matrix.ravel()))
    sampler = _child(sensor, "sampler", "independent")
    _value(sampler, "integer", "sample_count", samples)
    film = _child(sensor, "film", "hdrfilm")
    _value(film, "integer", "width", camera.width)
    _value(film, "integer", "height", camera.height)
    _child(film, "rfilter", "box")
    guides = guides_of(light, appearance)
    for place in guides:
        # The guides share the lamp. A matte surface sends back albedo / pi of what falls on it.
        strength = np.pi * NOMINAL_DISTANCE**2 * light.power * exposure / len(guides) * lamp_of(appearance)
        _lamp(scene, matrix, place, strength)
    for index, item in enumerate(objects):
        name = f"object_{index:03d}.ply"
        save_ply(item.mesh, folder / name)
        shape = _child(scene, "shape", "ply")
        _value(shape, "string", "filename", name)
        _surface(_child(shape, "bsdf", "twosided"), item, appearance, wet=wet)
    ElementTree.indent(scene)
    target = folder / "scene.xml"
    target.write_bytes(ElementTree.tostring(scene, encoding="utf-8", xml_declaration=True))
    return target


def path_trace(scene: Path, *, seed: int = 0) -> Float32[np.ndarray, "h w 3"]:
    """Let Mitsuba render a scene that `write_scene` wrote; linear, 1 is full scale.

    Raises:
        InputError: Mitsuba is not installed.
    """
    try:
        import mitsuba
    except ImportError:
        raise InputError(
            "mitsuba: expected the extra mitsuba (pip install trocar[mitsuba]), found it not installed"
        ) from None
    # Of its variants this one needs no LLVM: with one of another version than its own drjit ends the process.
    mitsuba.set_variant("scalar_rgb")
    loaded: Any = mitsuba.load_file(str(scene))
    return np.asarray(mitsuba.render(loaded, seed=seed), dtype=np.float32)[..., :3]


def _lamp(
    scene: ElementTree.Element,
    camera_to_world: Float[np.ndarray, "4 4"],
    guide: Float[np.ndarray, "3"],
    strength: Float[np.ndarray, "3"],
) -> None:
    """Put a point light at a guide [m], camera axes; all together make a white surface 1 at the nominal distance."""
    place = camera_to_world @ np.array([-guide[0], -guide[1], guide[2], 1.0])
    lamp = _child(scene, "emitter", "point")
    where = {axis: f"{value:.9g}" for axis, value in zip("xyz", place, strict=False)}
    ElementTree.SubElement(lamp, "point", {"name": "position", **where})
    _colour(lamp, "intensity", strength)


def _surface(parent: ElementTree.Element, item: SceneObject, appearance: Appearance, *, wet: bool) -> None:
    tissue = tissue_of(item, 0, appearance)
    bsdf = _child(parent, "bsdf", "roughplastic" if wet else "diffuse")
    _colour(bsdf, "diffuse_reflectance" if wet else "reflectance", np.clip(tissue["colour"], 0, 1))
    if wet:
        _value(bsdf, "string", "distribution", "ggx")
        _value(bsdf, "float", "int_ior", 1.333)
        _value(bsdf, "float", "alpha", float(np.sqrt(tissue["alpha2"])))


def _child(parent: ElementTree.Element, tag: str, kind: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, type=kind)


def _value(parent: ElementTree.Element, tag: str, name: str, value: Any) -> None:
    ElementTree.SubElement(parent, tag, name=name, value=f"{value:.9g}" if isinstance(value, float) else str(value))


def _colour(parent: ElementTree.Element, name: str, values: Any) -> None:
    ElementTree.SubElement(parent, "rgb", name=name, value=" ".join(f"{float(value):.9g}" for value in values))

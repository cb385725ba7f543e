"""Cameras by name, by angle, or from a file: the `--camera` of every command that records."""

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from assets.errors import InputError
from scenarios.bronchoscopy import bronchoscope_camera
from scenarios.colonoscopy import endoscope_camera
from scenarios.export.omnidirectional import CF_HQ190L
from sim.camera import Camera
from sim.instruments.laparoscope import laparoscope_camera

_LENSES = ("fisheye", "pinhole")
_MAX_BYTES = 1 << 16
_ASPECT = 1e-3  # by which the shape of a camera's picture may differ from that of the frames


def _cf_hq190l(width: int, height: int) -> Camera:
    """Make C3VD's camera, an Olympus CF-HQ190L (doi:10.1016/j.media.2023.102956), of another size."""
    return scaled(CF_HQ190L, width, height, "camera cf-hq190l")


NAMED = {
    "colonoscope": endoscope_camera,
    "bronchoscope": bronchoscope_camera,
    "laparoscope": laparoscope_camera,
    "cf-hq190l": _cf_hq190l,
}
"""Makes a camera of a width and a height [px]."""


def camera_named(name: str, width: int, height: int) -> Camera:
    """Make a camera of a size.

    Args:
        name: colonoscope, bronchoscope, laparoscope or cf-hq190l; LENS:DEGREES, such as fisheye:170 or pinhole:70, with
            square pixels and that angle across the width; or a JSON file with the fields of `sim.camera.Camera`, as a
            frame's meta.json has them under `camera`.
        width: [px]
        height: [px]

    Raises:
        InputError: There is no such camera, or its picture has another shape.
    """
    if name in NAMED:
        return NAMED[name](width, height)
    lens, _, angle = name.partition(":")
    if lens in _LENSES and angle:
        try:
            degrees = float(angle)
        except ValueError:
            degrees = math.nan
        return Camera.with_fov(width, height, degrees, model="fisheye" if lens == "fisheye" else "pinhole")
    path = Path(name)
    if path.suffix != ".json":
        raise InputError(
            f"camera: expected one of {', '.join(NAMED)}, fisheye:DEGREES, pinhole:DEGREES or a .json file, "
            f"found {name!r}"
        )
    return scaled(_read(path), width, height, str(path))


def scaled(camera: Camera, width: int, height: int, where: str) -> Camera:
    """Return the camera with the same view in a picture of another size.

    Raises:
        InputError: The picture has another shape.
    """
    share = width / camera.width
    if abs(height / camera.height / share - 1) > _ASPECT:
        raise InputError(
            f"{where}: expected a picture of the shape of {camera.width} x {camera.height} px, "
            f"found {width} x {height}; choose another --size"
        )
    # The left edge of the first pixel is at -0.5, whatever its size.
    centre = ((camera.cx + 0.5) * share - 0.5, (camera.cy + 0.5) * share - 0.5)
    radius = None if camera.content_radius is None else camera.content_radius * share
    if camera.model == "omnidirectional":
        a0, a2, a3, a4, *affine = camera.distortion
        grown = (a0 * share, a2 / share, a3 / share**2, a4 / share**3, *affine)
        return replace(Camera.omnidirectional(width, height, centre, grown), content_radius=radius)
    return replace(
        camera,
        width=width,
        height=height,
        fx=camera.fx * share,
        fy=camera.fy * share,
        cx=centre[0],
        cy=centre[1],
        content_radius=radius,
    )


def _read(path: Path) -> Camera:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: expected a camera of at most {_MAX_BYTES} bytes, found {path.stat().st_size}")
        stored: Any = json.loads(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise InputError(f"{path}: expected the JSON file of a camera, found none") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON, found {error}") from None
    names = [one.name for one in fields(Camera)]
    try:
        if not isinstance(stored, dict):
            raise TypeError(f"{type(stored).__name__}")
        return Camera(**{**stored, "distortion": tuple(map(float, stored.get("distortion", (0.0,) * 4)))})
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: expected a camera with {', '.join(names)}, found {error}") from None

"""`overview.png` of a patient: the organs from three sides and a view from inside, drawn with our renderer."""

from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from assets.labels import label_id
from assets.materials import load_materials
from assets.patient import Patient
from assets.transforms import look_along
from scenarios.colonoscopy import endoscope_camera
from scenarios.lumen_line import lumen_line
from scenarios.pictures import film_strip
from sim.camera import Camera
from sim.render.appearance import Appearance, LightSettings
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject, objects_of

_SIZE = 480  # px a side of each view
_FOV_DEG = 24.0
_HIDDEN = ("abdominal_wall", "body", "skin", "omentum", "falciform_ligament")
"""What would hide the rest from outside."""
_VIEWS: tuple[tuple[str, tuple[float, float, float], tuple[float, float, float]], ...] = (
    ("from the front", (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),
    ("from the left", (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    ("from above", (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)),
)
"""Name, direction of view and image up, RAS."""
_INSIDE = 0.3
"""How far along its first centreline the view from inside stands, as a share."""
_CLOSE = 0.85
"""Of the distance at which the ball about all organs would fill a view; they never fill their ball."""
_TARGET = 0.30
"""Mean linear luminance of what is seen."""
_ROUNDS = 4
"""Pictures taken to find the exposure; the last is kept."""


def overview(patient: Patient) -> bytes:
    """Draw a patient as a PNG, two views by two.

    Organs that hide the rest (the abdominal wall, the skin) are left out of the views from outside, unless there is
    nothing else. Without a centreline the view from inside is left out.
    """
    outside = _outside(patient)
    views = []
    if outside:
        corners = np.array([corner for item in outside for corner in _box(item)])
        centre = (corners.min(axis=0) + corners.max(axis=0)) / 2
        radius = float(np.linalg.norm(corners.max(axis=0) - corners.min(axis=0))) / 2
        away = _CLOSE * radius / np.sin(np.radians(_FOV_DEG / 2))
        camera = Camera.with_fov(_SIZE, _SIZE, _FOV_DEG, model="pinhole")
        # Lamps far apart beside the camera, or a small lamp far away lights everything from the front.
        light = LightSettings(positions=((-0.3 * away, -0.5 * away, 0.0), (-0.3 * away, -0.5 * away, 0.0)))
        with Renderer(outside, camera) as renderer:
            for name, forward, up in _VIEWS:
                pose = look_along(np.array(forward), np.array(up), centre - away * np.array(forward))
                views.append(_named(_exposed(renderer, pose, light), name))
    inside = _inside(patient)
    if inside is not None:
        views.append(_named(inside, "from inside"))
    sheet = film_strip(views, columns=2) if views else np.full((_SIZE, _SIZE, 3), 255, np.uint8)
    return cv2.imencode(".png", np.ascontiguousarray(sheet[..., ::-1]))[1].tobytes()


def _outside(patient: Patient) -> list[SceneObject]:
    """Return the organs as seen from outside: a hollow organ by its wall, or by its lumen where it has no other."""
    materials = load_materials()
    walls = {organ.label for organ in patient.organs if organ.kind == "wall"}
    shown = [organ for organ in patient.organs if organ.kind != "lumen" or organ.label not in walls]
    some = [organ for organ in shown if organ.label not in _HIDDEN] or shown
    return [
        SceneObject(organ.name, organ.surface, label_id(organ.label), materials[organ.material], "solid")
        for organ in some
        if len(organ.surface.triangles)
    ]


def _box(item: SceneObject) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return item.mesh.vertices.min(axis=0), item.mesh.vertices.max(axis=0)


def _inside(patient: Patient) -> UInt8[np.ndarray, "h w 3"] | None:
    """Return what an endoscope sees some way along the first centreline that runs through a lumen."""
    line = lumen_line(patient)
    if line is None:
        return None
    points = line.points
    index = min(int(_INSIDE * len(points)), len(points) - 2)
    forward = points[min(index + 12, len(points) - 1)] - points[index]
    up = np.cross(forward, np.eye(3)[np.argmin(np.abs(forward))])
    camera = endoscope_camera(_SIZE, _SIZE)
    with Renderer(objects_of(patient), camera) as renderer:
        return _exposed(renderer, look_along(forward, up, points[index]), LightSettings())


def _exposed(renderer: Renderer, pose: NDArray[np.float64], light: LightSettings) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture of which what is seen is well exposed."""
    look = replace(Appearance(), shot_noise=0.0, read_noise=0.0)
    gain = 1.0
    for _ in range(_ROUNDS):
        frame = renderer.render(pose, exposure=gain, light=light, appearance=look)
        seen = float((frame.depth > 0).mean())
        if seen == 0:
            return frame.rgb
        gain *= _TARGET / max(renderer.metered / seen, 1e-9)
    return renderer.render(pose, exposure=gain, light=light, appearance=look).rgb


def _named(picture: UInt8[np.ndarray, "h w 3"], name: str) -> UInt8[np.ndarray, "h w 3"]:
    named = np.ascontiguousarray(picture)
    cv2.putText(named, name, (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
    return named

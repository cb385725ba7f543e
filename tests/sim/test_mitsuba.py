"""The exporter to Mitsuba: its pictures against closed forms and against ours, and clear words where it cannot."""

import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.mesh_io import load_ply
from assets.transforms import look_along
from sim.camera import Camera
from sim.degradations.tone import to_linear
from sim.render.appearance import Appearance, LightSettings
from sim.render.mitsuba import path_trace, write_scene
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject

RADIUS = 0.03
CAMERA = Camera.with_fov(24, 24, 60.0, model="pinhole")
MIDDLE = LightSettings(positions=((0.0, 0.0, 0.0),))
BARE = Appearance(
    mottling=0, vessel_strength=0, wetness=0, bump=0, spot=0, vignette=0, shot_noise=0, read_noise=0, gain=1, ambient=0
)


def matte(name):
    material = load_materials()[name]
    return replace(material, optical=replace(material.optical, translucency=0.0))


@pytest.fixture(scope="module")
def bag():
    ball = trimesh.creation.icosphere(4, RADIUS)
    mesh = Mesh(ball.vertices.astype(np.float32), ball.faces.astype(np.int32))
    return [SceneObject("bag", mesh, label_id("colon_wall"), matte("colon_mucosa"), "lumen")]


def test_a_bag_is_an_integrating_sphere(tmp_path, bag):
    """From its middle each bounce adds the albedo's next power: direct light over 1 - albedo, in every channel."""
    pytest.importorskip("mitsuba", reason="the extra mitsuba is not installed")
    albedo = np.array(bag[0].material.optical.base_colour)
    direct = albedo * 0.5  # exposure 0.5, at the nominal distance
    for bounces, expected in ((1, direct), (64, direct / (1 - albedo))):
        options = {"light": MIDDLE, "exposure": 0.5, "appearance": BARE, "wet": False}
        scene = write_scene(tmp_path, bag, CAMERA, np.eye(4), samples=64, bounces=bounces, **options)
        np.testing.assert_allclose(path_trace(scene).mean(axis=(0, 1)), expected, rtol=0.02)


def test_direct_light_is_as_ours(tmp_path, bag):
    """Off the middle, turned, with two guides: position, axes, falloff and cosine all agree, pixel by pixel."""
    pytest.importorskip("mitsuba", reason="the extra mitsuba is not installed")
    pose = look_along(np.array([0.3, -0.5, 0.8]), np.array([0.1, 1.0, 0.0]), np.array([0.006, -0.004, 0.003]))
    scene = write_scene(tmp_path, bag, CAMERA, pose, exposure=0.2, appearance=BARE, wet=False, bounces=1)
    theirs = path_trace(scene)
    with Renderer(bag, CAMERA) as renderer:
        frame = renderer.render(pose, exposure=0.2, appearance=BARE)
    off = np.abs(to_linear(frame.rgb) - theirs)[..., 0] / theirs[..., 0].mean()
    assert theirs[..., 0].std() > 0.1 * theirs[..., 0].mean()
    assert np.median(off) < 0.02
    assert off.max() < 0.06  # ours takes both guides for one between them when it comes to the matte share


def test_files_hold_the_scene(tmp_path, bag):
    scene = write_scene(tmp_path, bag, CAMERA, np.eye(4), samples=7)
    root = ElementTree.parse(scene).getroot()
    assert [shape.find("string").get("value") for shape in root.findall("shape")] == ["object_000.ply"]
    np.testing.assert_array_equal(load_ply(tmp_path / "object_000.ply").vertices, bag[0].mesh.vertices)
    assert len(root.findall("emitter")) == 2
    assert root.find("sensor/sampler/integer").get("value") == "7"


def test_what_cannot_be_is_said(tmp_path, bag, monkeypatch):
    with pytest.raises(InputError, match="centred pinhole"):
        write_scene(tmp_path, bag, Camera.with_fov(24, 24, 100.0), np.eye(4))
    with pytest.raises(InputError, match="at least 1 sample"):
        write_scene(tmp_path, bag, CAMERA, np.eye(4), samples=0)
    monkeypatch.setitem(sys.modules, "mitsuba", None)
    with pytest.raises(InputError, match=r"trocar\[mitsuba\]"):
        path_trace(tmp_path / "scene.xml")

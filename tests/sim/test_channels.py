"""The channels on request, against closed forms, for the rasteriser and the rays alike."""

from dataclasses import fields, replace

import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.transforms import apply, compose, inverse
from sim.camera import Camera
from sim.render.appearance import Appearance, LightSettings
from sim.render.channels import EXTRAS
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject

SIZE = 80
CAMERAS = {
    "pinhole": Camera.with_fov(SIZE, SIZE, 80.0, model="pinhole"),
    "fisheye": replace(Camera.with_fov(SIZE, SIZE, 150.0), content_radius=36.0),
}
METHODS = ("raster", "raycast")


def item(name, mesh, thing=None):
    triangles = Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32))
    return SceneObject(name, triangles, label_id("polyp"), load_materials()["polyp"], "solid", thing)


def scene():
    wall = trimesh.Trimesh([[-1, 1, 0], [1, 1, 0], [0, -1, 0]], [[0, 1, 2]], process=False)
    shaft = trimesh.creation.icosphere(4, 0.004)
    jaw = trimesh.creation.icosphere(4, 0.003)
    return [item("wall", wall), item("shaft", shaft, "grasper"), item("jaw", jaw, "grasper")]


TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
POSES = {
    "wall": compose(np.eye(3), np.array([0, 0, 0.06])),
    "shaft": compose(TURN, np.array([-0.008, 0.002, 0.03])),
    "jaw": compose(TURN.T, np.array([0.002, 0.0, 0.028])),
}


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("visibility", METHODS)
def test_channels_on_request(name, visibility):
    camera = CAMERAS[name]
    light = LightSettings(positions=((0.004, 0.001, 0.0), (-0.002, 0.003, 0.0)))
    appearance = replace(Appearance(), light_shift=(0.0, 0.0))
    T_world_camera = compose(TURN, np.array([0.001, -0.002, 0.003]))
    with Renderer(scene(), camera, visibility=visibility) as renderer:
        for one, T in POSES.items():
            renderer.scene.move(one, T)
        frame = renderer.render(T_world_camera, channels=EXTRAS, light=light, appearance=appearance)
    rays, _ = camera.rays()
    seen = frame.depth > 0
    points = rays.astype(np.float64) * (frame.depth / np.where(seen, rays[..., 2], 1))[..., None]
    assert set(np.unique(frame.part[seen])) == {1, 2, 3}
    np.testing.assert_array_equal(np.array([0, 1, 2, 2])[frame.part], frame.instance)
    np.testing.assert_allclose(frame.distance, np.linalg.norm(points, axis=-1), rtol=1e-5)
    middle = np.array([0.001, 0.002, 0.0])
    np.testing.assert_allclose(frame.light_distance[seen], np.linalg.norm(points - middle, axis=-1)[seen], rtol=1e-4)
    for number, one in enumerate(POSES, 1):
        where = frame.part == number
        expected = apply(inverse(POSES[one]) @ T_world_camera, points[where])
        np.testing.assert_allclose(frame.object_point[where], expected, atol=2e-6)
    for channel in (frame.part, frame.distance, frame.object_point, frame.light_distance):
        assert not channel[~seen].any()
    # The wall's z is the plane's; the distance is that over the cosine.
    wall = frame.part == 1
    np.testing.assert_allclose(frame.depth[wall], 0.057, rtol=1e-5)
    np.testing.assert_allclose(frame.distance[wall], 0.057 / rays[..., 2][wall], rtol=1e-5)


@pytest.mark.parametrize("visibility", METHODS)
def test_object_points_stay_with_deformed_tissue(visibility):
    """A sheet stretched to twice its width: the middle of its half is still at a quarter of its own width."""
    plate = trimesh.Trimesh([[-1, 1, 0.05], [1, 1, 0.05], [1, -1, 0.05], [-1, -1, 0.05]], [[0, 1, 2], [0, 2, 3]])
    camera = CAMERAS["pinhole"]
    with Renderer([item("plate", plate)], camera, visibility=visibility) as renderer:
        renderer.scene.deform("plate", (plate.vertices * [2, 1, 1]).astype(np.float32))
        frame = renderer.render(np.eye(4), channels=("object_point",))
    rays, _ = camera.rays()
    world = rays / rays[..., 2:] * 0.05
    assert (frame.instance == 1).all()
    np.testing.assert_allclose(frame.object_point, world * [0.5, 1, 1], atol=1e-6)


def test_both_ways_of_seeing_agree_channel_by_channel():
    camera = CAMERAS["fisheye"]
    frames = []
    for visibility in METHODS:
        with Renderer(scene(), camera, visibility=visibility) as renderer:
            for one, T in POSES.items():
                renderer.scene.move(one, T)
            ball = renderer.scene.objects[1].mesh.vertices
            renderer.scene.deform("shaft", apply(POSES["shaft"], ball * [1, 2, 1]).astype(np.float32))
            frames.append((renderer.render(np.eye(4), channels=EXTRAS), renderer.seen_triangles()))
    (one, first), (other, second) = frames
    same = first == second
    assert same.mean() >= 0.999
    for field in fields(one):
        value, expected = getattr(one, field.name), getattr(other, field.name)
        if isinstance(value, np.ndarray) and field.name not in ("rgb", "T_world_camera"):
            np.testing.assert_allclose(value[same], expected[same], atol=2e-5, err_msg=field.name)
    assert (np.abs(one.rgb[same].astype(int) - other.rgb[same]) <= 3).mean() > 0.999


def test_nobody_gets_what_he_did_not_ask_for():
    with Renderer(scene(), CAMERAS["pinhole"]) as renderer:
        plain = renderer.render(np.eye(4))
        frame = renderer.render(np.eye(4), channels=("part",))
        assert plain.part is None
        assert frame.part is not None
        assert frame.distance is None
        np.testing.assert_array_equal(plain.rgb, frame.rgb)
        with pytest.raises(InputError, match="channels: expected some of part, distance"):
            renderer.render(np.eye(4), channels=("uv",))


def test_more_threads_than_rows():
    camera = Camera(7, 1, 5.0, 5.0, 3.0, 0.0, "pinhole")
    with Renderer(scene(), camera, threads=4) as renderer, renderer.view(camera) as other:
        renderer.scene.move("wall", POSES["wall"])
        frame = renderer.render(np.eye(4), channels=EXTRAS, light=LightSettings(shadows=True))
        assert frame.part.all()
        assert frame.part.shape == (1, 7)
        flow, valid = renderer.flow(renderer.snapshot(), renderer.snapshot())
        np.testing.assert_array_equal(valid, frame.instance > 0)
        np.testing.assert_allclose(flow, 0, atol=1e-3)
        np.testing.assert_array_equal(other.render(np.eye(4)).depth, frame.depth)

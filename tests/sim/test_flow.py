"""Flow against closed forms and against Embree's answer to what is seen in the next frame."""

import numpy as np
import pytest
import trimesh
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.transforms import apply, compose, inverse, look_along
from sim.camera import Camera
from sim.flow import with_flow
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject

SIZE = 96
PINHOLE = Camera.with_fov(SIZE, SIZE, 90.0, model="pinhole")
FISHEYE = Camera.with_fov(SIZE, SIZE, 140.0)


def solid(name, vertices, triangles):
    mesh = Mesh(np.asarray(vertices, np.float32), np.asarray(triangles, np.int32))
    return SceneObject(name, mesh, label_id("polyp"), load_materials()["polyp"], "solid")


def plane(z):
    return solid("plane", [[-9, 9, z], [9, 9, z], [9, -9, z], [-9, -9, z]], [[0, 1, 2], [0, 2, 3]])


def ball(centre, radius):
    mesh = trimesh.creation.icosphere(3, radius)
    return solid("ball", mesh.vertices + centre, mesh.faces)


def at(x=0.0, y=0.0, z=0.0):
    return compose(np.eye(3), np.array([x, y, z]))


def test_sideways_past_a_plane():
    with Renderer([plane(0.05)], PINHOLE) as renderer:
        frame = with_flow(renderer.render(at()), renderer.render(at(x=0.002, y=-0.001)))
    du, dv = -PINHOLE.fx * 0.002 / 0.05, PINHOLE.fy * 0.001 / 0.05
    column, row = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    stays = (column + du >= -0.5) & (row + dv <= SIZE - 0.5)
    np.testing.assert_array_equal(frame.flow_valid, stays)
    np.testing.assert_allclose(frame.flow[stays], np.tile([du, dv], (stays.sum(), 1)), atol=1e-3)
    assert not frame.flow[~stays].any()


def test_turning_shifts_a_fisheye_along_its_meridian():
    angle = 0.05
    turned = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    with Renderer([ball(np.zeros(3), 0.05)], FISHEYE) as renderer:
        outside = at(z=-0.1)
        after = compose(turned, np.array([0, 0, -0.1]))
        frame = with_flow(renderer.render(outside), renderer.render(after))
    # On the row through the centre the radius is the focal length times the angle.
    row = SIZE // 2
    valid = frame.flow_valid[row]
    assert valid.sum() > 20
    np.testing.assert_allclose(frame.flow[row, valid, 0], -FISHEYE.fx * angle, atol=0.02)


@pytest.mark.parametrize("camera", [PINHOLE, FISHEYE], ids=["pinhole", "fisheye"])
def test_standing_still_is_no_flow(camera):
    with Renderer([plane(0.05), ball(np.array([0.005, 0, 0.03]), 0.006)], camera) as renderer:
        frame = renderer.render(at())
        still = with_flow(frame, renderer.render(at()))
    np.testing.assert_array_equal(still.flow_valid, frame.instance > 0)
    np.testing.assert_allclose(still.flow, 0, atol=1e-3)
    np.testing.assert_array_equal(still.rgb, frame.rgb)


@pytest.mark.parametrize("camera", [PINHOLE, FISHEYE], ids=["pinhole", "fisheye"])
def test_valid_is_what_embree_sees_in_the_next_frame(camera):
    objects = [plane(0.06), ball(np.array([0.008, 0, 0.03]), 0.008), ball(np.array([-0.01, 0.01, 0.04]), 0.006)]
    after = look_along(np.array([-0.15, 0.1, 1.0]), np.array([0.0, -1.0, 0.0]), np.array([0.009, -0.004, 0.004]))
    with Renderer(objects, camera) as renderer:
        before, following = renderer.render(at()), renderer.render(after)
    frame = with_flow(before, following)

    scene = EmbreeScene(robust=True)
    for item in objects:
        TriangleMesh(scene=scene, vertices=item.mesh.vertices * 100, indices=item.mesh.triangles)
    rays, _ = camera.rays()
    seen = before.depth > 0
    points = rays[seen].astype(np.float64) * (before.depth[seen] / rays[seen][:, 2])[:, None]
    local = apply(inverse(after), points)
    pixels, front = camera.project(local)
    inside = front & (pixels >= -0.5).all(axis=1) & (pixels <= SIZE - 0.5).all(axis=1)
    offset = ((points - after[:3, 3]) * 100).astype(np.float32)
    hit = scene.run(np.tile((after[:3, 3] * 100).astype(np.float32), (len(points), 1)), offset, output=True)
    expected = np.zeros_like(frame.flow_valid)
    # The direction is the whole way to the point, so nothing in between means that the ray reaches 1.
    expected[seen] = inside & (hit["tfar"] > 0.998)
    hidden = seen & ~expected
    assert hidden.sum() > 100
    assert (frame.flow_valid == expected).mean() >= 0.98
    assert frame.flow_valid[hidden].mean() < 0.1
    column, row = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    target = np.stack([column, row], -1)[seen] + frame.flow[seen]
    valid = frame.flow_valid[seen]
    np.testing.assert_allclose(target[valid], pixels[valid], atol=1e-2)

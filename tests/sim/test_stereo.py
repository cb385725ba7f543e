"""Stereo pairs and key points against closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.instruments.robot_held import psm_grasper
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.transforms import compose
from sim.camera import Camera
from sim.instruments.posed import device_links, device_objects, key_points, part_poses
from sim.key_points import locate_key_points, shown_points
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject
from sim.stereo import StereoRenderer, StereoRig

SIZE = 90
PINHOLE = Camera.with_fov(SIZE, SIZE, 60.0, model="pinhole")
BASELINE = 0.005


def item(name, vertices, triangles):
    mesh = Mesh(np.asarray(vertices, np.float32), np.asarray(triangles, np.int32))
    return SceneObject(name, mesh, label_id("polyp"), load_materials()["polyp"], "solid")


def plane(z):
    return item("plane", [[-9, 9, z], [9, 9, z], [9, -9, z], [-9, -9, z]], [[0, 1, 2], [0, 2, 3]])


def ball(centre, radius):
    mesh = trimesh.creation.icosphere(4, radius)
    return item("ball", mesh.vertices + centre, mesh.faces)


def test_disparity_of_a_plane():
    """f b / z, plus how far the principal points are apart."""
    with StereoRenderer([plane(0.08)], StereoRig.parallel(PINHOLE, BASELINE)) as renderer:
        pair = renderer.render(np.eye(4))
        expected = PINHOLE.fx * BASELINE / 0.08
        np.testing.assert_allclose(pair.disparity, expected, rtol=1e-5)
        inside = np.arange(SIZE)[None, :] - expected >= -0.5
        np.testing.assert_array_equal(pair.visible_right, np.broadcast_to(inside, (SIZE, SIZE)))
        np.testing.assert_allclose(-pair.flow_right[pair.visible_right][:, 0], expected, atol=1e-3)
        np.testing.assert_allclose(pair.flow_right[..., 1], 0, atol=1e-3)
    shifted = StereoRig(
        PINHOLE, replace(PINHOLE, cx=PINHOLE.cx + 3), StereoRig.parallel(PINHOLE, BASELINE).T_left_right
    )
    assert shifted.rectified
    with StereoRenderer([plane(0.08)], shifted) as renderer:
        pair = renderer.render(np.eye(4))
        np.testing.assert_allclose(pair.disparity, expected - 3, rtol=1e-5)
        np.testing.assert_allclose(-pair.flow_right[pair.visible_right][:, 0], expected - 3, atol=1e-3)


def test_the_right_camera_does_not_see_the_wall_beside_a_ball():
    """The ball covers a strip of the wall, as wide as the difference of the disparities, to the left of itself."""
    near, far = 0.05, 0.1
    centre, radius = np.array([0.002, 0.0, near]), 0.008
    with StereoRenderer([plane(far), ball(centre, radius)], StereoRig.parallel(PINHOLE, BASELINE)) as renderer:
        pair = renderer.render(np.eye(4))
    rays, _ = PINHOLE.rays()
    wall = pair.left.instance == 1
    points = rays / rays[..., 2:] * far - np.array([BASELINE, 0, 0])
    directions = points / np.linalg.norm(points, axis=-1, keepdims=True)
    apart = np.linalg.norm(np.cross(directions, centre - np.array([BASELINE, 0, 0])), axis=-1)
    u, _ = PINHOLE.project(points)
    beside = wall & (u[..., 0] > 0)
    hidden, free = beside & (apart < 0.0072), beside & (apart > 0.0088)
    assert hidden.sum() > 40
    assert pair.visible_right[hidden].mean() < 0.02
    assert pair.visible_right[free].mean() > 0.995
    # Where the right camera sees the point, its own depth there is the same.
    both = pair.visible_right & (pair.left.instance == 2)
    row, column = np.nonzero(both)
    other = np.round(column - pair.disparity[both]).astype(int)
    np.testing.assert_allclose(pair.right.depth[row, other], pair.left.depth[both], rtol=0.03)


def test_other_rigs_have_no_disparity():
    fisheye = Camera.with_fov(SIZE, SIZE, 120.0)
    with StereoRenderer([plane(0.08)], StereoRig.parallel(fisheye, BASELINE)) as renderer:
        pair = renderer.render(np.eye(4))
        assert pair.disparity is None
        assert pair.visible_right.any()
    turned = StereoRig(
        PINHOLE, PINHOLE, compose(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([0.005, 0, 0]))
    )
    assert not turned.rectified
    for baseline in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="positive baseline"):
            StereoRig.parallel(PINHOLE, baseline)
    with pytest.raises(InputError, match="stereo rig"):
        StereoRig(PINHOLE, PINHOLE, 2 * np.eye(4))


def test_key_points_behind_beside_and_before():
    points = {
        "before": np.array([0.02, 0.0, 0.06]),
        "behind the ball": np.array([0.0, 0.0, 0.06]),
        "behind the wall": np.array([0.03, 0.0, 0.11]),
        "beside": np.array([1.0, 0.0, 0.06]),
        "behind the lens": np.array([0.0, 0.0, -0.06]),
        "in the ball": np.array([0.0, 0.0, 0.045]),
    }
    with Renderer([plane(0.1), ball(np.array([0, 0, 0.05]), 0.008)], PINHOLE) as renderer:
        frame = renderer.render(np.eye(4))
    found = {one.name: one for one in locate_key_points(points, frame, instance=2)}
    assert {name: one.sight for name, one in found.items()} == {
        "before": "visible",
        "behind the ball": "occluded",  # 18 mm under its own surface
        "behind the wall": "occluded",
        "beside": "outside",
        "behind the lens": "outside",
        "in the ball": "visible",
    }
    u = PINHOLE.cx + PINHOLE.fx * 0.02 / 0.06
    assert found["before"].pixel == pytest.approx((u, PINHOLE.cy))
    assert found["before"].meta()["visible"]
    assert {one.name: one.sight for one in locate_key_points(points, frame, instance=7)}["in the ball"] == "occluded"
    assert locate_key_points({}, frame, instance=1) == []
    shown = np.ones(frame.depth.shape, np.bool_)
    inside = [one for one in found.values() if one.sight != "outside"]
    assert shown_points(list(found.values()), shown) == inside
    shown[:, : round(inside[0].pixel[0]) + 1] = False
    assert inside[0] not in shown_points(list(found.values()), shown)
    assert not shown_points(inside, np.zeros_like(shown))
    with pytest.raises(InputError, match="finite points"):
        locate_key_points({"tip": np.full(3, np.nan)}, frame, instance=1)


def test_key_points_of_an_instrument_that_moves():
    """Its tip is seen until a ball comes before it; all its parts are one thing."""
    device = psm_grasper()
    objects = [*device_objects(device, name="psm"), ball(np.zeros(3), 0.006)]
    T_world_port = compose(np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, -0.02]))
    links = device_links(device, T_world_port, np.array([0.0, 0.0, 0.09, 0.0, 0.0, 0.0, 0.3, -0.3]))
    points = key_points(device, links)
    camera = Camera.with_fov(200, 200, 60.0, model="pinhole")
    # Looking across the shaft at the tip.
    view = compose(np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]), points["tip"] + np.array([0.06, 0, 0]))
    sights = []
    with Renderer(objects, camera) as renderer:
        for name, pose in part_poses(device, links, name="psm").items():
            renderer.scene.move(name, pose)
        number = int(renderer.scene.things[0])
        assert len(set(renderer.scene.things[:-1])) == 1
        for away in (0.5, 0.03):
            renderer.scene.move("ball", compose(np.eye(3), points["tip"] + np.array([away, 0, 0])))
            frame = renderer.render(view)
            found = locate_key_points(points, frame, instance=number)
            sights.append({one.name: one.sight for one in found})
        assert (frame.instance == number).any()
    tips = ("jaw_left_tip", "jaw_right_tip")
    assert all(sights[0][name] == "visible" for name in tips)
    assert all(sights[1][name] == "occluded" for name in tips)

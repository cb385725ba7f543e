"""Flow against closed forms, the projected surface, and Embree's answer to what is seen in the next frame."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import trimesh
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.transforms import apply, compose, inverse, look_along
from scenarios.export.reprojection import with_static_flow
from sim.camera import Camera
from sim.flow import FlowRecorder
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject

SIZE = 96
PINHOLE = Camera.with_fov(SIZE, SIZE, 90.0, model="pinhole")
FISHEYE = Camera.with_fov(SIZE, SIZE, 170.0)
BROWN = Camera(SIZE, SIZE - 6, 62.0, 60.0, 48.3, 44.8, "brown", (-0.28, 0.07, 0.004, -0.006, -0.008))
C3VD = tuple(np.array([769.2, -8.13e-4, -6.26e-7, -1.2e-9]) * (SIZE / 1350) ** np.array([1, -1, -2, -3]))
OMNI = Camera.omnidirectional(SIZE, SIZE - 6, (48.3, 44.8), (*map(float, C3VD), 0.997, 0.004, -0.003))
CAMERAS = {"pinhole": PINHOLE, "fisheye": FISHEYE, "brown": BROWN, "omnidirectional": OMNI}


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


def flow_of(renderer, first, second):
    """Render two poses of a still scene; the first frame with its flow."""
    recorder = FlowRecorder(renderer)
    recorder.add(renderer.render(first))
    return recorder.add(renderer.render(second))


def test_sideways_past_a_plane():
    with Renderer([plane(0.05)], PINHOLE) as renderer:
        frame = flow_of(renderer, at(), at(x=0.002, y=-0.001))
    du, dv = -PINHOLE.fx * 0.002 / 0.05, PINHOLE.fy * 0.001 / 0.05
    column, row = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    stays = (column + du >= -0.5) & (row + dv <= SIZE - 0.5)
    np.testing.assert_array_equal(frame.flow_valid, stays)
    np.testing.assert_allclose(frame.flow[stays], np.tile([du, dv], (stays.sum(), 1)), atol=1e-3)
    assert not frame.flow[~stays].any()


def test_flow_from_or_to_where_it_does_not_hold_is_not_valid():
    holds = np.zeros((SIZE, SIZE), np.bool_)
    holds[:, 20:70] = True
    with Renderer([plane(0.05)], PINHOLE) as renderer:
        recorder = FlowRecorder(renderer, back=True, holds=holds)
        recorder.add(renderer.render(at()))
        frame = recorder.add(renderer.render(at(x=0.01)))
        after = recorder.finish()
    shift = 0.01 / 0.05 * PINHOLE.fx  # 9.6 px to the left
    column = np.broadcast_to(np.arange(SIZE), (SIZE, SIZE))
    np.testing.assert_array_equal(frame.flow_valid, holds & (column - shift >= 19.5))
    np.testing.assert_array_equal(after.flow_back_valid, holds & (column + shift <= 69.5))
    assert not frame.flow[~frame.flow_valid].any()


def test_turning_shifts_a_fisheye_along_its_meridian():
    angle = 0.05
    turned = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    with Renderer([ball(np.zeros(3), 0.05)], FISHEYE) as renderer:
        outside = at(z=-0.1)
        after = compose(turned, np.array([0, 0, -0.1]))
        frame = flow_of(renderer, outside, after)
    # On the row through the centre the radius is the focal length times the angle.
    row = SIZE // 2
    valid = frame.flow_valid[row]
    assert valid.sum() > 20
    np.testing.assert_allclose(frame.flow[row, valid, 0], -FISHEYE.fx * angle, atol=0.02)


@pytest.mark.parametrize("camera", [PINHOLE, FISHEYE], ids=["pinhole", "fisheye"])
def test_standing_still_is_no_flow(camera):
    with Renderer([plane(0.05), ball(np.array([0.005, 0, 0.03]), 0.006)], camera) as renderer:
        frame = renderer.render(at())
        still = flow_of(renderer, at(), at())
    np.testing.assert_array_equal(still.flow_valid, frame.instance > 0)
    np.testing.assert_allclose(still.flow, 0, atol=1e-3)
    np.testing.assert_array_equal(still.rgb, frame.rgb)


@pytest.mark.parametrize("camera", [PINHOLE, FISHEYE], ids=["pinhole", "fisheye"])
def test_valid_is_what_embree_sees_in_the_next_frame(camera):
    objects = [plane(0.06), ball(np.array([0.008, 0, 0.03]), 0.008), ball(np.array([-0.01, 0.01, 0.04]), 0.006)]
    after = look_along(np.array([-0.15, 0.1, 1.0]), np.array([0.0, -1.0, 0.0]), np.array([0.009, -0.004, 0.004]))
    with Renderer(objects, camera) as renderer:
        before = renderer.render(at())
        frame = flow_of(renderer, at(), after)

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


def sheet(z, side=0.04, cells=24):
    """A square of many triangles across the axis."""
    places = np.linspace(-side / 2, side / 2, cells + 1)
    x, y = np.meshgrid(places, places)
    corner = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    triangles = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    return solid("sheet", np.stack([x, y, np.full_like(x, z)], -1).reshape(-1, 3), triangles)


def pair(renderer, change):
    """Render, change the scene, render: the first frame with its flow, and the second with its flow back."""
    recorder = FlowRecorder(renderer, back=True)
    recorder.add(renderer.render(np.eye(4)))
    change(renderer.scene)
    first = recorder.add(renderer.render(np.eye(4)))
    return first, recorder.finish()


def pixels(camera):
    column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return np.stack([column, row], -1)


def test_stretched_sheet():
    """Twice as wide: each point moves as far as it is off the middle; back, half as far the other way."""
    item = sheet(0.05)
    wide = (item.mesh.vertices * np.array([2, 1, 1])).astype(np.float32)
    with Renderer([item], PINHOLE) as renderer:
        first, second = pair(renderer, lambda scene: scene.deform("sheet", wide))
    off = pixels(PINHOLE)[..., 0] - PINHOLE.cx
    valid = first.flow_valid
    inside = (first.instance > 0) & (np.abs(2 * off) <= SIZE / 2)
    assert inside.sum() > 1000
    np.testing.assert_array_equal(valid, inside)
    np.testing.assert_allclose(first.flow[valid][:, 0], off[valid], atol=2e-4)
    np.testing.assert_allclose(first.flow[valid][:, 1], 0, atol=2e-4)
    back = second.flow_back_valid
    np.testing.assert_array_equal(back, second.instance > 0)
    np.testing.assert_allclose(second.flow_back[back][:, 0], -off[back] / 2, atol=2e-4)
    assert not second.flow_valid.any()


@pytest.mark.parametrize("visibility", ["raster", "raycast"])
@pytest.mark.parametrize("name", CAMERAS)
def test_rigid_motion_of_one_object(name, visibility):
    """Its points go with it, the wall behind stays; what the ball covers or uncovers is known from its two outlines."""
    camera = CAMERAS[name]
    start, end = np.array([-0.006, 0.0, 0.04]), np.array([0.007, 0.003, 0.036])
    mover = replace(ball(np.zeros(3), 0.008), name="mover")
    turn = look_along(np.array([0.1, 0.2, 1.0]), np.array([0.1, 1.0, 0.0]), np.zeros(3))[:3, :3]
    T = compose(turn, end)
    with Renderer([plane(0.07), mover], camera, visibility=visibility) as renderer:
        renderer.scene.move("mover", compose(np.eye(3), start))
        first, second = pair(renderer, lambda scene: scene.move("mover", T))
    rays, shown = camera.rays()
    seen = first.depth > 0
    points = rays.astype(np.float64) * (first.depth / np.where(seen, rays[..., 2], 1))[..., None]
    moved = np.where((first.instance == 2)[..., None], apply(T @ inverse(compose(np.eye(3), start)), points), points)
    expected = camera.project(moved)[0] - pixels(camera)
    valid = first.flow_valid
    assert (valid & (first.instance == 2)).sum() > 80
    np.testing.assert_allclose(first.flow[valid], expected[valid], atol=5e-3)
    # The wall stays, and is not seen where the ball is now; a pixel of doubt about its outline.
    wall = first.instance == 1
    directions = np.where(shown[..., None], rays, [0, 0, -1])
    apart = np.linalg.norm(np.cross(directions, end), axis=-1)
    doubt = 1.1 * 0.04 / camera.fx
    hidden, free = wall & (apart < 0.008 - doubt), wall & (apart > 0.008 + doubt)
    assert hidden.sum() > 50
    assert not valid[hidden].any()
    assert valid[free].all()
    # Back: the wall where the ball was has come into view.
    wall = second.instance == 1
    apart = np.linalg.norm(np.cross(directions, start), axis=-1)
    uncovered = wall & (apart < 0.008 - doubt)
    assert uncovered.sum() > 50
    assert not second.flow_back_valid[uncovered].any()
    assert second.flow_back_valid[wall & (apart > 0.008 + doubt)].all()


@pytest.mark.parametrize("name", CAMERAS)
def test_flow_of_a_deformation_is_the_projected_surface(name):
    """Against the path of each seen point in small steps: its place on the triangle, projected at each time."""
    camera = CAMERAS[name]
    item = ball(np.array([0.004, -0.003, 0.04]), 0.012)
    rest = item.mesh.vertices.astype(np.float64)

    def at_time(t):
        bent = np.stack([np.sin(rest[:, 1] / 0.005), rest[:, 2] - 0.04, 0 * rest[:, 0]], -1)
        return (rest + t * 0.003 * bent).astype(np.float32)

    with Renderer([item], camera) as renderer:
        seen = renderer.visibility(np.eye(4))
        first, _ = pair(renderer, lambda scene: scene.deform("ball", at_time(1.0)))
    where = first.flow_valid
    assert where.sum() > 150
    corners = item.mesh.triangles[seen.triangle[where]]
    weights = np.concatenate([seen.weights[where], 1 - seen.weights[where].sum(-1, keepdims=True)], -1)
    path = np.zeros((where.sum(), 2))
    times = np.linspace(0, 1, 11)
    for before, after in pairwise(times):
        places = [
            camera.project(np.einsum("nk,nkc->nc", weights, at_time(t)[corners].astype(np.float64)))[0]
            for t in (before, after)
        ]
        path += places[1] - places[0]
    np.testing.assert_allclose(first.flow[where], path, atol=3e-3)


@pytest.mark.parametrize("name", CAMERAS)
def test_agrees_with_reprojected_depth_where_nothing_moves(name):
    objects = [plane(0.06), ball(np.array([0.008, 0, 0.03]), 0.008)]
    after = look_along(np.array([-0.15, 0.1, 1.0]), np.array([0.0, -1.0, 0.0]), np.array([0.009, -0.004, 0.004]))
    with Renderer(objects, CAMERAS[name]) as renderer:
        frame = flow_of(renderer, at(), after)
        expected = with_static_flow(frame, renderer.render(after))
    # The reprojection counts a point as seen if any pixel around it shows it, so it differs along outlines.
    assert (frame.flow_valid == expected.flow_valid).mean() > 0.99
    assert (frame.flow_valid & ~expected.flow_valid).mean() < 1e-3
    both = frame.flow_valid & expected.flow_valid
    np.testing.assert_allclose(frame.flow[both], expected.flow[both], atol=2e-3)


def test_cut_tissue_is_not_followed_but_the_rest_is():
    item = sheet(0.05)
    half = Mesh(item.mesh.vertices, item.mesh.triangles[::2])
    with Renderer([item, plane(0.07)], PINHOLE) as renderer:
        first, second = pair(renderer, lambda scene: scene.replace_mesh("sheet", half))
    assert not first.flow_valid[first.instance == 1].any()
    plain = first.instance == 2
    assert first.flow_valid[plain].all()
    np.testing.assert_allclose(first.flow[plain], 0, atol=1e-3)
    assert not second.flow_back_valid[second.instance == 1].any()


@pytest.mark.parametrize("name", CAMERAS)
def test_runs_follow_as_single_pixels_do(name):
    """The CPU's runs against the kernel for CUDA, past things that stand still, that move, and that are cut."""
    after = look_along(np.array([-0.15, 0.1, 1.0]), np.array([0.0, -1.0, 0.0]), np.array([0.009, -0.004, 0.004]))
    objects = [plane(0.06), replace(ball(np.array([0.01, 0, 0.03]), 0.008), name="mover"), sheet(0.04, 0.01)]
    for change in ("move", "cut"):
        with Renderer(objects, CAMERAS[name], threads=3) as renderer:
            renderer.render(at())
            one = renderer.snapshot()
            if change == "move":
                renderer.scene.move("mover", at(x=-0.004))
            else:
                renderer.scene.replace_mesh("mover", ball(np.array([0.008, 0.003, 0.03]), 0.008).mesh)
            renderer.render(after)
            other = renderer.snapshot()
            by_runs = [renderer.flow(*pair) for pair in ((one, other), (other, one))]
            one, other = replace(one, ray_rows=None), replace(other, ray_rows=None)
            by_pixels = [renderer.flow(*pair) for pair in ((one, other), (other, one))]
        for (flow, valid), (expected, expected_valid) in zip(by_runs, by_pixels, strict=True):
            assert 0.1 < valid.mean() < 0.95
            # On the border of two pixels the last digit decides which is asked.
            assert (valid == expected_valid).mean() > 0.999
            both = valid & expected_valid
            np.testing.assert_allclose(flow[both], expected[both], atol=2e-4)


def test_snapshots_are_taken_of_pictures():
    with Renderer([plane(0.05)], PINHOLE) as renderer:
        with pytest.raises(InputError, match="right after a picture"):
            renderer.snapshot()
        renderer.render(at())
        renderer.scene.move("plane", at(z=0.001))
        with pytest.raises(InputError, match="right after a picture"):
            renderer.snapshot()

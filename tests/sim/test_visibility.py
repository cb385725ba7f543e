"""Visibility against Embree, the ray cast, TinyRenderer and closed forms."""

from dataclasses import replace

import numpy as np
import pybullet
import pytest
import trimesh
import warp as wp
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.transforms import compose, look_along
from sim.camera import Camera
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject

SIZE = 120
PINHOLE = Camera.with_fov(SIZE, SIZE, 100.0, model="pinhole")
WIDE = Camera(SIZE, SIZE - 20, 42.0, 42.0, 60.3, 48.8, "fisheye", (-0.03, 0.004, 0.001, -0.0005))
ROUND = replace(Camera.with_fov(SIZE, SIZE, 170.0), content_radius=58.0)
# 170 degrees from left edge to right edge, and on to where a ray is at a right angle to the axis.
WIDEST = Camera(SIZE, SIZE, 47.69, 47.69, 59.5, 59.5, "fisheye", (-0.08, 0.005, 0.0, 0.0))
BARREL = Camera(SIZE, SIZE - 20, 62.0, 60.0, 60.3, 48.8, "brown", (-0.28, 0.07, 0.004, -0.006, -0.008))
# The published form of C3VD's colonoscope, scaled from 1350 px of width.
C3VD = tuple(np.array([769.2, -8.13e-4, -6.26e-7, -1.2e-9]) * (SIZE / 1350) ** np.array([1, -1, -2, -3]))
OMNI = Camera.omnidirectional(SIZE, SIZE - 20, (60.3, 48.8), (*map(float, C3VD), 0.997, 0.004, -0.003))
CAMERAS = {
    "pinhole": PINHOLE,
    "fisheye": WIDE,
    "round fisheye 170": ROUND,
    "fisheye 170": WIDEST,
    "brown": BARREL,
    "omnidirectional": OMNI,
}


def scene_object(name, vertices, triangles, kind="solid"):
    label = "colon_wall" if kind == "lumen" else "polyp"
    material = load_materials()["colon_mucosa" if kind == "lumen" else "polyp"]
    mesh = Mesh(np.asarray(vertices, np.float32), np.asarray(triangles, np.int32))
    return SceneObject(name, mesh, label_id(label), material, kind)


def ball(name, centre, radius, subdivisions=3, kind="solid"):
    mesh = trimesh.creation.icosphere(subdivisions, radius)
    return scene_object(name, mesh.vertices + centre, mesh.faces, kind)


def tube():
    """A closed, bent, haustrated tube."""
    around, along = 60, 160
    angle, s = np.meshgrid(np.arange(around) / around * 2 * np.pi, np.linspace(0, 0.3, along))
    fold = np.maximum(0, np.cos(np.pi * s / 0.03 + 0.4 * np.sin(3 * angle))) ** 8
    radius = 0.022 * (1 - 0.2 * np.abs(np.cos(1.5 * angle))) - 0.009 * fold
    x, y = 0.03 * np.sin(9 * s) + radius * np.cos(angle), 0.02 * np.sin(8 * s) + radius * np.sin(angle)
    ring, column = np.meshgrid(np.arange(along - 1), np.arange(around), indexing="ij")
    following = (column + 1) % around
    a, b = ring * around + column, ring * around + following
    sides = np.concatenate([np.stack([a, b, b + around], -1), np.stack([a, b + around, a + around], -1)])
    vertices = np.concatenate([np.stack([x, y, s], -1).reshape(-1, 3), [[0, 0, 0], [x[-1].mean(), y[-1].mean(), 0.3]]])
    first, last = around * along, around * along + 1
    column, following = np.arange(around), np.roll(np.arange(around), -1)
    top = around * (along - 1)
    caps = [np.stack([following, column, np.full(around, first)], -1)]
    caps.append(np.stack([top + column, top + following, np.full(around, last)], -1))
    return scene_object("colon", vertices, np.concatenate([sides.reshape(-1, 3), *caps]), "lumen")


@pytest.fixture(scope="module")
def colon():
    mesh = tube()
    assert trimesh.Trimesh(mesh.mesh.vertices, mesh.mesh.triangles).volume > 0
    return [mesh, ball("polyp_01", [0.02, 0.012, 0.06], 0.006), ball("polyp_02", [0.005, -0.01, 0.08], 0.004)]


POSES = [
    look_along(np.array([0.3, 0.1, 1.0]), np.array([0.1, 1.0, 0]), np.array([0.008, 0.004, 0.035])),
    look_along(np.array([-0.5, 0.4, -1.0]), np.array([0.3, 1.0, 0]), np.array([0.024, 0.01, 0.1])),
    look_along(np.array([1.0, 0.3, 0.3]), np.array([0, 0.2, 1.0]), np.array([0.0225, 0.0, 0.045])),  # at the wall
]


def embree(objects, camera, T_world_camera):
    """Cast each pixel's ray: scene triangle (-1 where nothing), z-depth, and the facing flat normal, camera axes."""
    vertices = np.concatenate([item.mesh.vertices for item in objects]).astype(np.float64)
    offsets = np.cumsum([0, *(len(item.mesh.vertices) for item in objects)])
    triangles = np.concatenate([item.mesh.triangles + first for item, first in zip(objects, offsets, strict=False)])
    scene = EmbreeScene(robust=True)
    # Embree's epsilons suit coordinates around 1, so lengths are in units of 10 mm about the camera.
    points = ((vertices - T_world_camera[:3, 3]) @ T_world_camera[:3, :3] * 100).astype(np.float32)
    TriangleMesh(scene=scene, vertices=points, indices=triangles.astype(np.int32))
    rays, shown = camera.rays()
    directions = rays[shown]
    hit = scene.run(np.zeros_like(directions), directions, output=True)
    triangle, depth = np.full(shown.shape, -1), np.zeros(shown.shape)
    seen = hit["primID"] >= 0
    triangle[shown] = hit["primID"]
    depth[shown] = np.where(seen, hit["tfar"] * directions[:, 2] / 100, 0)
    corner = points[triangles[triangle]].astype(np.float64)
    flat = np.cross(corner[..., 1, :] - corner[..., 0, :], corner[..., 2, :] - corner[..., 0, :])
    flat /= np.linalg.norm(flat, axis=-1, keepdims=True)
    flat *= -np.sign(np.einsum("hwc,hwc->hw", flat, rays.astype(np.float64)))[..., None]
    return triangle, depth, np.where(triangle[..., None] >= 0, flat, 0)


def test_the_widest_lenses_span_170_degrees():
    for camera in (ROUND, WIDEST):
        edge, _ = camera.project(np.array([[-np.sin(np.radians(85)), 0, np.cos(np.radians(85))]]))
        assert edge[0] == pytest.approx([-0.5, 59.5], abs=0.01)
    rays, shown = WIDEST.rays()
    assert np.degrees(np.arccos(rays[shown][:, 2].min())) > 89.5


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("visibility", ["raster", "raycast"])
def test_agrees_with_embree(colon, name, visibility):
    camera = CAMERAS[name]
    owner = np.append(np.repeat([1, 2, 3], [len(item.mesh.triangles) for item in colon]), 0)
    label = np.array([0, *(item.label_id for item in colon)])
    seen_polyp = 0
    with Renderer(colon, camera, visibility=visibility) as renderer:
        for pose in POSES:
            triangle, depth, normal = embree(colon, camera, pose)
            frame = renderer.render(pose)
            visible = renderer.visibility(pose)
            assert (triangle >= 0).mean() > 0.6
            assert (frame.instance == owner[triangle]).mean() >= 0.999
            assert (frame.semantic == label[owner[triangle]]).mean() >= 0.999
            assert (visible.triangle == triangle).mean() >= 0.999
            same = (visible.triangle == triangle) & (triangle >= 0)
            np.testing.assert_allclose(frame.depth[same], depth[same], rtol=1e-3)
            np.testing.assert_allclose(frame.normal[same], normal[same], atol=2e-3)
            np.testing.assert_array_equal(frame.depth, visible.depth)
            # The weights put the point of the triangle back onto the pixel's ray.
            rays, _ = camera.rays()
            vertices = np.concatenate([item.mesh.vertices for item in colon])
            counts = np.cumsum([0, *(len(item.mesh.vertices) for item in colon)])
            corners = np.concatenate([item.mesh.triangles + first for item, first in zip(colon, counts, strict=False)])[
                visible.triangle
            ]
            u, v = visible.weights[..., 0:1], visible.weights[..., 1:2]
            point = u * vertices[corners[..., 0]] + v * vertices[corners[..., 1]]
            point = point + (1 - u - v) * vertices[corners[..., 2]]
            local = (point - pose[:3, 3]) @ pose[:3, :3]
            expected = rays * (frame.depth / np.where(rays[..., 2] > 0, rays[..., 2], 1))[..., None]
            np.testing.assert_allclose(local[same], expected[same], atol=2e-6)
            seen_polyp += int((frame.instance > 1).sum())
    assert seen_polyp > 100


@pytest.mark.parametrize("name", CAMERAS)
def test_raster_and_raycast_give_one_picture(colon, name):
    with Renderer(colon, CAMERAS[name]) as raster, Renderer(colon, CAMERAS[name], visibility="raycast") as raycast:
        for pose in POSES:
            one, other = raster.render(pose, seed=3), raycast.render(pose, seed=3)
            same = one.instance == other.instance
            assert same.mean() >= 0.999
            np.testing.assert_array_equal(one.semantic[same], other.semantic[same])
            np.testing.assert_allclose(one.depth[same], other.depth[same], rtol=1e-3, atol=1e-6)
            # Where both see one triangle; at an edge either neighbour may win.
            match = raster.visibility(pose).triangle == raycast.visibility(pose).triangle
            assert match.mean() >= 0.999
            np.testing.assert_allclose(one.normal[match], other.normal[match], atol=1e-5)
            assert (np.abs(one.rgb[match].astype(int) - other.rgb[match]) <= 3).mean() > 0.999


def test_agrees_with_tinyrenderer(colon, tmp_path):
    """TinyRenderer samples the corners of pixels, so its edges lie half a pixel off."""
    camera = Camera.with_fov(SIZE, SIZE, 90.0, model="pinhole")
    pose = POSES[0]
    client = pybullet.connect(pybullet.DIRECT)
    try:
        for index, item in enumerate(colon):
            # It draws triangles that run counter-clockwise; a lumen is seen from the other side.
            triangles = item.mesh.triangles[:, ::-1] if item.kind == "lumen" else item.mesh.triangles
            path = tmp_path / f"{index}.obj"
            lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in item.mesh.vertices]
            lines += [f"f {a} {b} {c}" for a, b, c in triangles + 1]
            path.write_text("\n".join(lines) + "\n")
            shape = pybullet.createVisualShape(pybullet.GEOM_MESH, fileName=str(path), physicsClientId=client)
            pybullet.createMultiBody(0, -1, shape, physicsClientId=client)
        eye = pose[:3, 3]
        view = pybullet.computeViewMatrix(eye, eye + pose[:3, 2], -pose[:3, 1])
        projection = pybullet.computeProjectionMatrixFOV(90, 1, 1e-3, 1)
        picture = pybullet.getCameraImage(
            SIZE, SIZE, view, projection, renderer=pybullet.ER_TINY_RENDERER, physicsClientId=client
        )
    finally:
        pybullet.disconnect(client)
    mask = np.asarray(picture[4]).reshape(SIZE, SIZE) + 1
    with Renderer(colon, camera) as renderer:
        instance = renderer.render(pose).instance
    assert (instance == 2).sum() > 50
    assert (mask == instance).mean() >= 0.98


@pytest.mark.parametrize("name", CAMERAS)
def test_plane(name):
    """A wall across the axis: z is its distance everywhere, and its normal looks back."""
    camera = CAMERAS[name]
    wide = 1e3
    plane = scene_object("plane", [[-wide, wide, 0.05], [wide, wide, 0.05], [0, -wide, 0.05]], [[0, 1, 2]])
    with Renderer([plane], camera) as renderer:
        frame = renderer.render(np.eye(4))
    _, shown = camera.rays()
    seen = frame.instance == 1
    # Where the plane is closer than its own edge, so up to 89.9 degrees off the axis.
    np.testing.assert_array_equal(seen, shown)
    np.testing.assert_allclose(frame.depth[seen], 0.05, rtol=1e-5)
    np.testing.assert_allclose(frame.normal[seen], np.tile([0, 0, -1.0], (seen.sum(), 1)), atol=1e-6)
    assert not frame.depth[~shown].any()
    assert not frame.rgb[~shown].any()
    assert not frame.normal[~shown].any()


@pytest.mark.parametrize("name", CAMERAS)
def test_outline_of_a_sphere(name):
    camera = CAMERAS[name]
    centre, radius = np.array([0.012, -0.01, 0.03]), 0.008
    with Renderer([ball("ball", centre, radius, 5)], camera) as renderer:
        frame = renderer.render(np.eye(4))
    rays, shown = camera.rays()
    along = rays @ centre
    apart = np.sqrt(np.maximum(centre @ centre - along**2, 0))
    inside = shown & (apart < 0.995 * radius)
    outside = ~shown | (apart > 1.001 * radius)
    assert inside.sum() > 80
    assert frame.instance[inside].all()
    assert not frame.instance[outside].any()
    chord = along - np.sqrt(np.maximum(radius**2 - apart**2, 0))
    middle = apart < 0.9 * radius
    np.testing.assert_allclose(frame.depth[inside & middle], (chord * rays[..., 2])[inside & middle], rtol=2e-3)
    facing = np.einsum("hwc,hwc->hw", frame.normal, rays)
    assert (facing[frame.instance > 0] < 0).all()
    np.testing.assert_allclose(np.linalg.norm(frame.normal[frame.instance > 0], axis=-1), 1, atol=1e-5)


def test_each_kind_is_seen_from_its_own_side():
    outside = compose(np.eye(3), np.array([0, 0, -0.05]))
    for kind, seen_inside in (("lumen", True), ("solid", False)):
        with Renderer([ball("ball", np.zeros(3), 0.02, kind=kind)], PINHOLE) as renderer:
            assert renderer.render(np.eye(4)).instance.any() == seen_inside
            frame = renderer.render(outside)
        # From outside a lumen shows its far wall.
        assert frame.depth[SIZE // 2, SIZE // 2] == pytest.approx(0.07 if seen_inside else 0.03, rel=5e-3)


@pytest.mark.parametrize("visibility", ["raster", "raycast"])
def test_empty_scene_is_dark(visibility):
    with Renderer([], WIDE, visibility=visibility) as renderer:
        frame = renderer.render(np.eye(4))
        assert renderer.metered == 0
    for channel in (frame.rgb, frame.semantic, frame.instance, frame.depth, frame.normal, frame.flow, frame.flow_valid):
        assert not channel.any()


def test_damaged_triangles_leave_the_rest_alone(colon):
    wall = colon[0].mesh
    broken = np.array([[np.nan, 0, 0], [np.inf, 0, 0.1], [0, 0, 0.05], [0, 0, 0.05]], np.float32)
    count = len(wall.vertices)
    more = [[count, 0, 1], [count + 1, 5, 6], [count + 2, count + 3, 7], [9, 9, 9]]
    damaged = scene_object("colon", np.concatenate([wall.vertices, broken]), [*wall.triangles, *more], "lumen")
    with Renderer(colon, ROUND) as whole, Renderer([damaged, *colon[1:]], ROUND) as other:
        for pose in POSES:
            one, two = whole.render(pose), other.render(pose)
            np.testing.assert_array_equal(one.rgb, two.rgb)
            np.testing.assert_array_equal(one.depth, two.depth)
            assert np.isfinite(two.normal).all()
    with pytest.raises(InputError, match="vertex indices"):
        Renderer([scene_object("bad", np.zeros((3, 3)), [[0, 1, 3]])], PINHOLE)


def test_camera_in_the_wall_gives_a_defined_picture(colon):
    wall = colon[0].mesh
    with Renderer(colon, ROUND) as renderer:
        corner = wall.triangles[5000]
        for position in (wall.vertices[corner[0]], wall.vertices[corner].mean(axis=0), np.array([1.0, 1.0, 1.0])):
            pose = look_along(np.array([0.2, 0.1, 1]), np.array([0, 1.0, 0]), position.astype(np.float64))
            frame = renderer.render(pose)
            assert np.isfinite(frame.depth).all()
            assert (frame.depth >= 0).all()
            assert np.isfinite(frame.normal).all()
            assert ((frame.instance > 0) == (frame.depth > 0)).all()
        with pytest.raises(InputError, match="finite pose"):
            renderer.render(np.full((4, 4), np.nan))


def test_wide_triangle_through_a_fisheye():
    """Boxes stay around their triangles where these are large against the curvature of the lens."""
    rng = np.random.default_rng(0)
    for trial in range(60):
        corners = rng.normal(size=(3, 3)) * 10 ** rng.uniform(-2.5, 0)
        triangle = scene_object("one", corners, [[0, 1, 2]], "lumen" if trial % 2 else "solid")
        camera = (WIDE, ROUND, WIDEST, PINHOLE)[trial % 4]
        with Renderer([triangle], camera, threads=1) as renderer:
            mask = renderer.visibility(np.eye(4)).triangle == 0
        rays, shown = camera.rays()
        sides = rays.astype(np.float64) @ np.linalg.inv(corners)
        facing = np.linalg.det(corners) > 0
        expected = shown & (sides > 0).all(axis=-1) & (facing == (triangle.kind == "lumen"))
        sure = np.abs(sides).min(axis=-1) > 1e-4 * np.abs(sides).max()
        np.testing.assert_array_equal(mask[sure], expected[sure])


@pytest.mark.gpu
def test_cuda_gives_the_picture_of_the_cpu(colon):
    devices = [str(device) for device in wp.get_devices()]
    if "cuda:0" not in devices:
        pytest.skip(f"needs a CUDA device; there are {', '.join(devices)}")
    for camera in CAMERAS.values():
        with Renderer(colon, camera) as cpu, Renderer(colon, camera, device="cuda:0") as cuda:
            for pose in POSES:
                one, other = cpu.render(pose), cuda.render(pose)
                assert (one.instance == other.instance).mean() >= 0.999
                match = cpu.visibility(pose).triangle == cuda.visibility(pose).triangle
                assert match.mean() >= 0.999
                np.testing.assert_allclose(one.depth[match], other.depth[match], rtol=1e-3)
                np.testing.assert_allclose(one.normal[match], other.normal[match], atol=1e-4)
                assert (np.abs(one.rgb[match].astype(int) - other.rgb[match]) <= 3).mean() > 0.99


def test_refuses_a_device_that_is_not_there(colon):
    with pytest.raises(InputError, match="device"):
        Renderer(colon, PINHOLE, device="cuda:77")

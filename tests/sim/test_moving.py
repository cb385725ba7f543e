"""Posed, deformed and cut objects against renderers that are built anew from the moved meshes, and against Embree."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
import warp as wp
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.transforms import apply, compose
from sim.camera import Camera
from sim.render.appearance import Appearance
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject

SIZE = 96
PINHOLE = Camera.with_fov(SIZE, SIZE, 80.0, model="pinhole")
WIDE = Camera(SIZE, SIZE - 10, 42.0, 42.0, 48.3, 42.8, "fisheye", (-0.03, 0.004, 0.001, -0.0005))
METHODS = ("raster", "raycast")


def item(name, mesh, kind="solid", thing=None):
    label, material = ("colon_wall", "colon_mucosa") if kind == "lumen" else ("polyp", "polyp")
    triangles = Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32))
    return SceneObject(name, triangles, label_id(label), load_materials()[material], kind, thing)


def turned(x, y, z, angle=0.4):
    axis = np.array([0.6, 0.0, 0.8])
    cross = np.cross(np.eye(3), axis)
    rotation = np.eye(3) - np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return compose(rotation, np.array([x, y, z]))


@pytest.fixture(scope="module")
def objects():
    """A bag around the camera, an organ in it, and an instrument of two parts in frames of their own."""
    organ = trimesh.creation.icosphere(4, 0.01)
    organ.vertices += [0.006, 0.002, 0.035]
    return [
        item("bag", trimesh.creation.icosphere(4, 0.06), "lumen"),
        item("organ", organ),
        item("shaft", trimesh.creation.cylinder(0.002, 0.03), thing="grasper"),
        item("jaw", trimesh.creation.box((0.003, 0.008, 0.002)), thing="grasper"),
    ]


POSES = {"shaft": turned(-0.01, 0.004, 0.03), "jaw": turned(-0.012, -0.006, 0.025, -1.1)}


def squeezed(vertices, share):
    """A dent and a stretch."""
    moved = vertices.astype(np.float64) * [1.0, 1.0 + share, 1.0]
    moved[:, 2] += 0.4 * share * 0.01 * np.sin(vertices[:, 0] / 0.004)
    return moved.astype(np.float32)


def change(scene):
    for name, pose in POSES.items():
        scene.move(name, pose)
    scene.deform("organ", squeezed(scene.objects[1].mesh.vertices, 0.3))


def changed(objects):
    """The same in meshes."""
    result = [objects[0]]
    for one in objects[1:]:
        vertices = one.mesh.vertices
        moved = apply(POSES[one.name], vertices).astype(np.float32) if one.name in POSES else squeezed(vertices, 0.3)
        result.append(replace(one, mesh=Mesh(moved, one.mesh.triangles)))
    return result


@pytest.mark.parametrize("visibility", METHODS)
@pytest.mark.parametrize("camera", [PINHOLE, WIDE], ids=["pinhole", "fisheye"])
def test_moved_scene_is_a_scene_of_moved_meshes(objects, camera, visibility):
    with (
        Renderer(objects, camera, visibility=visibility) as renderer,
        Renderer(changed(objects), camera, visibility=visibility) as anew,
    ):
        renderer.render(np.eye(4))
        change(renderer.scene)
        one, other = renderer.render(np.eye(4)), anew.render(np.eye(4))
        assert set(np.unique(one.instance)) - {0} == {1, 2, 3}
        # Triangles lie in another order, so that where two share an edge either may win.
        same = renderer.seen_triangles() == anew.seen_triangles()
        assert same.mean() > 0.999
        np.testing.assert_array_equal(one.instance, other.instance)
        np.testing.assert_array_equal(one.semantic, other.semantic)
        np.testing.assert_allclose(one.depth, other.depth, rtol=1e-5)
        np.testing.assert_allclose(one.normal[same], other.normal[same], atol=1e-6)


@pytest.mark.parametrize("visibility", METHODS)
def test_agrees_with_embree_after_each_change(objects, visibility):
    for camera in (PINHOLE, WIDE):
        with Renderer(objects, camera, visibility=visibility) as renderer:
            for share in (0.1, -0.2, 0.5):
                change(renderer.scene)
                renderer.scene.deform("organ", squeezed(objects[1].mesh.vertices, share))
                renderer.scene.move("jaw", turned(-0.01 * share, 0.0, 0.02, share))
                frame = renderer.render(np.eye(4))
                scene = EmbreeScene(robust=True)
                vertices = [renderer.scene.vertices(one.name) * np.float32(100) for one in objects]
                starts = np.cumsum([0, *map(len, vertices)])
                faces = np.concatenate(
                    [one.mesh.triangles + start for one, start in zip(objects, starts, strict=False)]
                )
                TriangleMesh(scene=scene, vertices=np.concatenate(vertices), indices=faces.astype(np.int32))
                rays, shown = camera.rays()
                hit = scene.run(np.zeros((shown.sum(), 3), np.float32), rays[shown], output=True)
                triangle = np.full(shown.shape, -1)
                triangle[shown] = hit["primID"]
                depth = np.zeros(shown.shape)
                depth[shown] = np.where(hit["primID"] >= 0, hit["tfar"] * rays[shown][:, 2] / 100, 0)
                match = renderer.seen_triangles() == triangle
                assert match.mean() >= 0.999
                assert set(np.unique(frame.instance)) - {0} == {1, 2, 3}
                np.testing.assert_allclose(frame.depth[match], depth[match], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("visibility", METHODS)
def test_texture_sticks_to_the_tissue(objects, visibility):
    """Where camera, light and all objects move as one, the picture stays; without that it would not."""
    quiet = replace(Appearance(), read_noise=0.0, shot_noise=0.0)
    T = turned(0.013, -0.02, 0.017, 0.9)
    with Renderer(objects, PINHOLE, visibility=visibility) as renderer:
        before = renderer.render(np.eye(4), appearance=quiet)
        for one in objects:
            renderer.scene.move(one.name, T)
        after = renderer.render(T, appearance=quiet)
    moved = [
        replace(one, mesh=Mesh(apply(T, one.mesh.vertices).astype(np.float32), one.mesh.triangles)) for one in objects
    ]
    with Renderer(moved, PINHOLE, visibility=visibility) as anew:
        elsewhere = anew.render(T, appearance=quiet)
    same = before.instance == after.instance
    assert same.mean() > 0.999
    apart = np.abs(before.rgb.astype(int) - after.rgb).max(axis=-1)
    assert (apart[same] <= 2).mean() > 0.99
    assert (np.abs(before.rgb.astype(int) - elsewhere.rgb).max(axis=-1)[same] <= 2).mean() < 0.7


def test_going_back_gives_the_first_picture(objects):
    with Renderer(objects, WIDE) as renderer:
        first = renderer.render(np.eye(4), seed=2)
        change(renderer.scene)
        assert renderer.render(np.eye(4), seed=2).depth.tobytes() != first.depth.tobytes()
        for one in objects[1:]:
            renderer.scene.move(one.name, np.eye(4))
        again = renderer.render(np.eye(4), seed=2)
    np.testing.assert_array_equal(again.depth, first.depth)
    np.testing.assert_array_equal(again.instance, first.instance)
    assert (np.abs(again.rgb.astype(int) - first.rgb) <= 1).mean() > 0.999


@pytest.mark.parametrize("visibility", METHODS)
def test_cut_organ_is_a_new_mesh(objects, visibility):
    """Half of it is left; what else has moved stays where it is."""
    organ = objects[1].mesh
    kept = organ.vertices[organ.triangles].mean(axis=1)[:, 0] > 0.006
    cut = Mesh(squeezed(organ.vertices, 0.3), organ.triangles[kept])
    expected = changed(objects)
    expected[1] = replace(expected[1], mesh=cut)
    with (
        Renderer(objects, PINHOLE, visibility=visibility) as renderer,
        renderer.view(WIDE) as wide,
        Renderer(expected, PINHOLE, visibility=visibility) as anew,
        anew.view(WIDE) as anew_wide,
    ):
        change(renderer.scene)
        whole = renderer.render(np.eye(4))
        renderer.scene.replace_mesh("organ", cut, rest=organ.vertices)
        for one, other in ((renderer, anew), (wide, anew_wide)):
            frame, truth = one.render(np.eye(4)), other.render(np.eye(4))
            np.testing.assert_array_equal(frame.instance, truth.instance)
            np.testing.assert_allclose(frame.depth, truth.depth, rtol=1e-5)
        assert 0 < (renderer.render(np.eye(4)).instance == 2).sum() < (whole.instance == 2).sum()
        # The mesh can be deformed on, and is posed from its vertices at rest.
        renderer.scene.deform("organ", squeezed(organ.vertices, 0.1))
        renderer.scene.move("organ", np.eye(4))
        np.testing.assert_allclose(renderer.scene.vertices("organ"), organ.vertices, atol=1e-8)


def test_cut_faces_keep_the_texture_of_the_rest(objects):
    quiet = replace(Appearance(), read_noise=0.0, shot_noise=0.0)
    organ = objects[1].mesh
    with Renderer(objects, PINHOLE) as renderer:
        renderer.scene.deform("organ", squeezed(organ.vertices, 0.3))
        before = renderer.render(np.eye(4), appearance=quiet)
        renderer.scene.replace_mesh("organ", Mesh(squeezed(organ.vertices, 0.3), organ.triangles), rest=organ.vertices)
        after = renderer.render(np.eye(4), appearance=quiet)
    np.testing.assert_array_equal(before.rgb, after.rgb)


def test_views_share_one_scene(objects):
    with Renderer(objects, PINHOLE) as renderer, renderer.view(WIDE) as wide, Renderer(objects, WIDE) as alone:
        assert wide.scene is renderer.scene
        for scene in (renderer.scene, alone.scene):
            change(scene)
        one, other = wide.render(np.eye(4), seed=1), alone.render(np.eye(4), seed=1)
        np.testing.assert_array_equal(one.rgb, other.rgb)
        np.testing.assert_array_equal(one.depth, other.depth)


def test_takes_vertices_from_the_device(objects):
    moved = squeezed(objects[1].mesh.vertices, 0.2)
    with Renderer(objects, PINHOLE) as renderer:
        renderer.scene.deform("organ", moved)
        one = renderer.render(np.eye(4))
        renderer.scene.move("organ", np.eye(4))
        renderer.scene.deform("organ", wp.array(moved, dtype=wp.vec3, device="cpu"))
        other = renderer.render(np.eye(4))
    np.testing.assert_array_equal(one.rgb, other.rgb)


def test_parts_of_a_thing_have_one_instance_id(objects):
    with Renderer([*objects, item("ball", trimesh.creation.icosphere(2, 0.003))], PINHOLE) as renderer:
        assert renderer.scene.things.tolist() == [1, 2, 3, 3, 4]


def test_refuses_what_no_scene_can_show(objects):
    organ = objects[1].mesh.vertices
    with Renderer(objects, PINHOLE) as renderer:
        first = renderer.render(np.eye(4))
        scene = renderer.scene
        bad = organ.copy()
        bad[7, 1] = np.nan
        far = organ.copy()
        far[7, 1] = 1e20
        half = wp.zeros(len(organ), dtype=wp.vec3d, device="cpu")
        for vertices in (bad, far, organ[:-1], organ[:, :2], "none", half, wp.array(bad, dtype=wp.vec3, device="cpu")):
            with pytest.raises(InputError, match="scene object organ: expected"):
                scene.deform("organ", vertices)
        with pytest.raises(InputError, match="expected an object of bag, jaw, organ, shaft, found 'liver'"):
            scene.deform("liver", organ)
        for pose in (
            np.eye(3),
            np.full((4, 4), np.nan),
            2 * np.eye(4),
            np.diag([1.0, 1, -1, 1]),
            turned(1e9, 0, 0),
            None,
        ):
            with pytest.raises(InputError, match="scene object organ: expected"):
                scene.move("organ", pose)
        with pytest.raises(InputError, match="vertex indices"):
            scene.replace_mesh("organ", Mesh(organ, np.array([[0, 1, len(organ)]], np.int32)))
        with pytest.raises(InputError, match="rest vertices"):
            scene.replace_mesh("organ", objects[1].mesh, rest=organ[:-1])
        # None of this has changed anything.
        np.testing.assert_array_equal(renderer.render(np.eye(4)).depth, first.depth)
    with Renderer([objects[1], objects[1]], PINHOLE) as twice, pytest.raises(InputError, match="found 2"):
        twice.scene.move("organ", np.eye(4))

"""The CPU's shading in runs against the kernel that shades pixel by pixel on CUDA: one picture."""

import numpy as np
import pytest
import trimesh
import warp as wp

from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from sim.camera import Camera
from sim.render import shading
from sim.render.appearance import LightSettings
from sim.render.renderer import Renderer
from sim.render.shading_rows import RUN
from sim.scene_objects import SceneObject


def ball(name, centre, radius, kind, label, material):
    mesh = trimesh.creation.icosphere(4, radius)
    surface = Mesh(np.asarray(mesh.vertices + centre, np.float32), np.asarray(mesh.faces, np.int32))
    return SceneObject(name, surface, label_id(label), load_materials()[material], kind)


@pytest.fixture(scope="module")
def scene():
    return [
        ball("colon", np.zeros(3), 0.03, "lumen", "colon_wall", "colon_mucosa"),
        ball("polyp", np.array([0.004, 0.002, 0.02]), 0.005, "solid", "polyp", "polyp"),
    ]


@pytest.mark.parametrize("shadows", [False, True])
@pytest.mark.parametrize(("width", "height", "threads"), [(66, 50, 1), (97, 61, 2), (5, 3, 2)])
def test_runs_give_the_picture_of_single_pixels(scene, width, height, threads, shadows) -> None:
    assert width * height % RUN
    camera = Camera.with_fov(width, height, 140.0)
    with Renderer(scene, camera, threads=threads) as renderer:
        moved = np.eye(4)
        moved[:3, 3] = 0.003, 0, 0.001
        renderer.scene.move("polyp", moved)
        frame = renderer.render(np.eye(4), light=LightSettings(shadows=shadows), seed=4)
        names = ("luminance", "rgb", "semantic", "instance", "normal")
        inputs = [
            0,
            renderer._pose_array,
            renderer._look_array,
            renderer._rays,
            renderer._vignette,
            *renderer._buffers.values(),
            renderer.scene.surface,
            renderer.scene.flat_normals,
            renderer.scene.vertex_shape,
            renderer._vertex_stain,
            renderer.scene.corners,
            *renderer._tables.values(),
            *renderer._channels.values(),
        ]
        by_runs = {name: renderer._channels[name].numpy().copy() for name in names}
        for name in names:
            renderer._channels[name].zero_()
        wp.launch(shading.shade, dim=width * height, inputs=inputs, device="cpu")
        by_pixels = {name: renderer._channels[name].numpy() for name in names}
    if width > 10:
        assert set(np.unique(frame.instance)) == {1, 2}
    for name in ("semantic", "instance", "normal"):
        np.testing.assert_array_equal(by_runs[name], by_pixels[name])
    # The order of additions differs, so now and then a value falls to the other side of a step.
    apart = np.abs(by_runs["rgb"].astype(int) - by_pixels["rgb"])
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.005
    np.testing.assert_allclose(by_runs["luminance"], by_pixels["luminance"], rtol=2e-4, atol=1e-6)
    assert by_pixels["luminance"].max() > 0

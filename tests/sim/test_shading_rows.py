"""The CPU's shading in runs against the kernel that shades pixel by pixel on CUDA: one picture."""

import numpy as np
import pytest
import trimesh

from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from sim.camera import Camera
from sim.render.appearance import Appearance, LightSettings
from sim.render.renderer import Renderer
from sim.render.row_plan import RUN
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


@pytest.mark.parametrize(("shadows", "look"), [(False, None), (True, None), (False, Appearance(narrow_band=True))])
@pytest.mark.parametrize(("width", "height", "threads"), [(66, 50, 1), (97, 61, 2), (5, 3, 2)])
def test_runs_give_the_picture_of_single_pixels(scene, width, height, threads, shadows, look) -> None:
    assert width * height % RUN
    camera = Camera.with_fov(width, height, 140.0)
    names = ("semantic", "instance", "normal")
    moved = np.eye(4)
    moved[:3, 3] = 0.003, 0, 0.001
    light = LightSettings(shadows=shadows)
    with (
        Renderer(scene, camera, threads=threads) as renderer,
        Renderer(renderer.scene, camera, threads=threads, shading="pixels") as other,
    ):
        renderer.scene.move("polyp", moved)
        by_runs, by_pixels = (
            one.render(np.eye(4), light=light, appearance=look, exposure=2.0, seed=4) for one in (renderer, other)
        )
        assert renderer.metered == pytest.approx(other.metered, rel=2e-4)
    frame = by_runs
    if width > 10:
        assert set(np.unique(frame.instance)) == {1, 2}
    for name in names:
        np.testing.assert_array_equal(getattr(by_runs, name), getattr(by_pixels, name))
    # The order of additions differs, so now and then a value falls to the other side of a step.
    apart = np.abs(by_runs.rgb.astype(int) - by_pixels.rgb)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.005
    assert by_pixels.rgb.max() > 100

"""The shadows' benchmark: exact rays against a sphere's shadow in closed form, and the march against the rays."""

import numpy as np
import pytest

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from scenarios.bench import shadows
from scenarios.bench.run import BenchOptions, bench
from sim.camera import Camera
from sim.render.appearance import LightSettings
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject

pytest.importorskip("embreex")
trimesh = pytest.importorskip("trimesh")
CAMERA = Camera.with_fov(96, 96, 80.0, model="pinhole")
CENTRE, RADIUS, WALL = np.array([0.004, -0.002, 0.03]), 0.006, 0.06


@pytest.fixture(scope="module")
def objects() -> list[SceneObject]:
    """A ball before a wall."""
    ball = trimesh.creation.icosphere(5, RADIUS)
    polyp = load_materials()["polyp"]
    wall = Mesh(
        np.float32([[-9, 9, WALL], [9, 9, WALL], [9, -9, WALL], [-9, -9, WALL]]), np.int32([[0, 1, 2], [0, 2, 3]])
    )
    mesh = Mesh(np.asarray(ball.vertices + CENTRE, np.float32), np.asarray(ball.faces, np.int32))
    return [SceneObject(name, one, label_id("polyp"), polyp, "solid") for name, one in (("b", mesh), ("w", wall))]


def test_rays_find_the_exact_shadow_of_a_ball_and_the_march_comes_near(objects: list[SceneObject]) -> None:
    light = LightSettings(shadows=True)
    with Renderer(objects, CAMERA) as renderer:
        with pytest.raises(InputError, match="a picture with shadows"):
            renderer.lit()
        frame = renderer.render(np.eye(4), light=light)
        marched = renderer.lit()
        renderer.render(np.eye(4))
        with pytest.raises(InputError, match="a picture with shadows"):
            renderer.lit()
    exact = shadows.GuideRays(objects).lit(frame, light)
    wall = frame.instance == 2
    rays, _ = CAMERA.rays()
    points = rays[wall] * (frame.depth[wall] / rays[wall][:, 2])[:, None]
    free = []
    doubt = np.zeros(len(points), bool)
    for guide in np.array(light.positions):
        way = points - guide
        apart = np.linalg.norm(np.cross(way, CENTRE - guide), axis=-1) / np.linalg.norm(way, axis=-1)
        free.append(apart > RADIUS)
        doubt |= np.abs(apart - RADIUS) < 0.01 * RADIUS
    expected = np.mean(free, axis=0)
    assert set(np.unique(expected)) == {0.0, 0.5, 1.0}
    np.testing.assert_array_equal(exact[wall][~doubt], expected[~doubt])
    share, overlap, error = shadows.compare(marched, exact, frame.depth > 0)
    assert share > 0.01
    assert overlap > 0.6
    assert error < 0.02


def test_comparing_by_hand() -> None:
    exact, marched = np.float32([[1, 0.5], [0.5, 0]]), np.float32([[1, 1], [0.5, 0.5]])
    seen = np.array([[True, True], [True, False]])
    assert shadows.compare(marched, exact, seen) == pytest.approx((2 / 3, 1 / 2, 0.5 / 3))
    assert shadows.compare(exact * 0 + 1, exact * 0 + 1, seen) == (0.0, 1.0, 0.0)


def test_the_command_gives_its_figures(objects: list[SceneObject], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadows, "synthetic_colon", lambda seed: seed)
    monkeypatch.setattr(shadows, "objects_of", lambda patient: objects)
    monkeypatch.setattr(shadows, "poses_along", lambda patient, count: [np.eye(4)] * count)
    figures = {one.name: one for one in bench(BenchOptions("shadows"))}
    assert list(figures) == ["render.shadows.share", "render.shadows.overlap", "render.shadows.light_error"]
    assert 0.6 < figures["render.shadows.overlap"].value <= 1
    assert all("256 x 256 px" in one.subset and one.n == shadows.VIEWS for one in figures.values())

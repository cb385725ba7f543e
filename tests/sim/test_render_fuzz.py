"""Bad input to the renderer: a clear error or a defined picture, never a crash."""

import numpy as np
import pytest
import warp as wp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.transforms import compose
from sim.camera import Camera
from sim.lens_models import PARAMETERS
from sim.render.channels import EXTRAS
from sim.render.devices import on_device
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject

CAMERAS = (
    Camera.with_fov(24, 20, 100.0, model="pinhole"),
    Camera.with_fov(24, 20, 170.0),
    Camera(24, 20, 15.0, 14.0, 11.0, 9.0, "brown", (-0.28, 0.07, 0.004, -0.006, -0.008)),
)
ODD = st.sampled_from(
    [0.0, 1e-30, 1e-9, 1e-4, 0.01, 1.0, 1e4, 1e6, 1e30, float("nan"), float("inf"), -0.01, -1.0, -1e38]
)
PLACE = st.one_of(ODD, st.floats(-0.125, 0.125, width=32))
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@st.composite
def meshes(draw):
    count = draw(st.integers(0, 7))
    vertices = np.array(draw(st.lists(PLACE, min_size=3 * count, max_size=3 * count)), np.float32).reshape(-1, 3)
    faces = draw(st.lists(st.tuples(*[st.integers(0, max(count - 1, 0))] * 3), max_size=8 if count else 0))
    return Mesh(vertices, np.array(faces, np.int32).reshape(-1, 3))


def item(mesh, kind="solid", name="thing"):
    return SceneObject(name, mesh, label_id("polyp"), load_materials()["polyp"], kind)


def check(frame):
    """The channels are finite and agree on what is nothing."""
    seen = frame.instance > 0
    for channel in (frame.depth, frame.distance, frame.light_distance, frame.normal, frame.object_point):
        assert np.isfinite(channel).all()
    assert (frame.depth >= 0).all()
    np.testing.assert_array_equal(frame.depth > 0, seen)
    np.testing.assert_array_equal(frame.part > 0, seen)
    np.testing.assert_array_equal(frame.semantic > 0, seen)
    assert not frame.rgb[~seen].any()
    assert not frame.normal[~seen].any()


@FEW
@given(meshes(), st.sampled_from(["solid", "lumen"]), st.sampled_from(CAMERAS), st.sampled_from(["raster", "raycast"]))
def test_any_mesh_gives_a_defined_picture(mesh, kind, camera, visibility):
    with np.errstate(all="raise"), Renderer([item(mesh, kind)], camera, threads=1, visibility=visibility) as renderer:
        check(renderer.render(np.eye(4), channels=EXTRAS))
        first = renderer.snapshot()
        # Around any vertex, so that the camera sits in a wall.
        for vertex in mesh.vertices[:3]:
            if np.isfinite(vertex).all() and np.abs(vertex).max() < 1e5:
                check(renderer.render(compose(np.eye(3), vertex.astype(np.float64)), channels=EXTRAS))
        renderer.render(np.eye(4))
        flow, valid = renderer.flow(first, renderer.snapshot())
        assert np.isfinite(flow).all()
        assert not flow[~valid].any()


@FEW
@given(st.lists(PLACE, min_size=12, max_size=12), st.sampled_from(CAMERAS), st.sampled_from(["raster", "raycast"]))
def test_any_deformation_is_refused_or_shown(numbers, camera, visibility):
    plate = Mesh(
        np.array([[-1, 1, 0.05], [1, 1, 0.05], [1, -1, 0.05], [-1, -1, 0.05]], np.float32),
        np.array([[0, 1, 2], [0, 2, 3]], np.int32),
    )
    vertices = np.array(numbers, np.float32).reshape(4, 3)
    with Renderer([item(plate)], camera, threads=1, visibility=visibility) as renderer:
        check(renderer.render(np.eye(4), channels=EXTRAS))
        before = renderer.snapshot()
        try:
            renderer.scene.deform("thing", vertices)
        except InputError:
            assert not (np.abs(vertices) <= 1e5).all()
            return
        check(renderer.render(np.eye(4), channels=EXTRAS))
        flow, valid = renderer.flow(before, renderer.snapshot())
        assert np.isfinite(flow).all()
        assert not flow[~valid].any()
        renderer.scene.replace_mesh("thing", Mesh(vertices, plate.triangles), rest=plate.vertices)
        check(renderer.render(np.eye(4), channels=EXTRAS))


@FEW
@given(
    st.integers(-3, 40),
    st.integers(-3, 40),
    st.tuples(ODD, ODD, ODD, ODD),
    st.sampled_from(sorted(PARAMETERS)),
    st.lists(st.one_of(ODD, st.floats(-0.5, 0.5)), min_size=7, max_size=7),
    st.one_of(st.none(), ODD),
)
def test_any_intrinsics_are_refused_or_give_a_defined_picture(width, height, numbers, model, distortion, radius):
    distortion = tuple(distortion[: len(PARAMETERS[model])]) if model != "pinhole" else (0.0, 0.0, 0.0, 0.0)
    if model == "omnidirectional":
        numbers = (distortion[0], distortion[0], *numbers[2:])
    ball = Mesh(
        np.array([[0.03, 0, 0.05], [-0.03, 0.02, 0.05], [-0.03, -0.02, 0.05], [0, 0, 0.02]], np.float32),
        np.array([[0, 2, 3], [2, 1, 3], [1, 0, 3], [0, 1, 2]], np.int32),
    )
    for one in ("raster", "raycast"):
        try:
            camera = Camera(width, height, *numbers, model, distortion, radius)
            with Renderer([item(ball)], camera, threads=1, visibility=one) as renderer:
                check(renderer.render(np.eye(4), channels=EXTRAS))
        except InputError:
            continue


@pytest.mark.parametrize("size", [(0, 10), (10, -1), (8193, 10), (10, 1 << 40)])
def test_sizes_are_bounded_before_anything_is_allocated(size):
    with pytest.raises(InputError, match="expected a size of 1 to 8192"):
        Camera(*size, 10.0, 10.0, 5.0, 5.0)


def test_too_little_memory_says_what_to_lower(monkeypatch):
    def none_left(*arguments, **options):
        raise RuntimeError("Failed to allocate 1099511627776 bytes on device 'cuda:0'")

    with pytest.raises(InputError, match="use fewer triangles"):
        on_device(none_left, "fewer triangles")
    with pytest.raises(RuntimeError, match="another fault"):
        on_device(lambda: (_ for _ in ()).throw(RuntimeError("another fault")), "fewer triangles")
    plate = Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))
    monkeypatch.setattr(wp, "array", none_left)
    with pytest.raises(InputError, match="expected memory for the scene on the device, found none; use"):
        Renderer([item(plate)], CAMERAS[0])


def test_views_of_another_device_are_refused():
    with Renderer([], CAMERAS[0]) as renderer, pytest.raises(InputError, match="expected the scene's device cpu"):
        Renderer(renderer.scene, CAMERAS[0], device="cuda:0")

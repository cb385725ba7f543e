"""Many environments in one launch: the bytes of single renderings, on the device, in tensors that share its memory."""

import re
import sys
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
import warp as wp

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.transforms import look_along
from sim.camera import Camera
from sim.flow import FlowRecorder
from sim.render import batch as batch_module
from sim.render import batch_flow, batch_kernels
from sim.render.appearance import Appearance, LightSettings
from sim.render.batch import BYTES, BatchRenderer
from sim.render.channels import EXTRAS
from sim.render.randomiser import draw_appearance
from sim.render.renderer import Renderer
from sim.render.scene import RenderScene
from sim.scene_objects import SceneObject

SIZE = 32
CAMERA = Camera.with_fov(SIZE, SIZE, 140.0)
NAMES = ("rgb", "semantic", "instance", "depth", "normal")


def ball(name, centre, radius, kind, label, material):
    mesh = trimesh.creation.icosphere(3, radius)
    surface = Mesh(np.asarray(mesh.vertices + centre, np.float32), np.asarray(mesh.faces, np.int32))
    return SceneObject(name, surface, label_id(label), load_materials()[material], kind)


OBJECTS = [
    ball("colon", np.zeros(3), 0.03, "lumen", "colon_wall", "colon_mucosa"),
    ball("polyp", np.array([0.004, 0.002, 0.015]), 0.005, "solid", "polyp", "polyp"),
]


def poses(count):
    rng = np.random.default_rng(3)
    forward = np.array([0, 0, 1]) + rng.uniform(-0.2, 0.2, (count, 3))
    return np.stack([look_along(one, rng.normal(size=3), rng.uniform(-0.005, 0.005, 3)) for one in forward])


def moved(place):
    T = np.eye(4)
    T[:3, 3] = place
    return T


def assert_same(frames, singles):
    for index, frame in enumerate(singles):
        for name in NAMES:
            np.testing.assert_array_equal(
                getattr(frames, name)[index].numpy(), getattr(frame, name), err_msg=f"{name} of environment {index}"
            )


def test_a_shared_scene_gives_the_bytes_of_single_renderings():
    looks = [
        Appearance(),
        draw_appearance(np.random.default_rng(0)),
        Appearance(gamma=1.2),
        Appearance(narrow_band=True),
    ]
    exposures = np.array([1.0, 0.5, 1.7, 0.9])
    scene = RenderScene(OBJECTS)
    batch = BatchRenderer(scene, CAMERA, 4, appearance=looks)
    with Renderer(scene, CAMERA, visibility="raycast", shading="pixels") as single:
        for place in ([0, 0, 0], [0.003, -0.002, 0.001]):
            scene.move("polyp", moved(place))
            frames = batch.render(poses(4), exposure=exposures, seed=7)
            singles, metered = [], []
            for index, pose in enumerate(poses(4)):
                look = {"exposure": exposures[index], "appearance": looks[index], "seed": 7 + index}
                singles.append(single.render(pose, **look))
                metered.append(single.metered)
            assert_same(frames, singles)
            np.testing.assert_allclose(batch.metered().numpy(), metered, rtol=1e-5)
            assert {1, 2} <= set(np.unique(frames.instance.numpy()))
            assert len(np.unique(frames.rgb.numpy())) > 50


def test_the_usual_renderer_on_the_cpu_sees_the_same_and_its_colours_differ_by_a_step_at_most():
    batch = BatchRenderer(OBJECTS, CAMERA, 3)
    frames = batch.render(poses(3))
    with Renderer(OBJECTS, CAMERA, visibility="raycast") as single:
        singles = [single.render(pose, seed=index) for index, pose in enumerate(poses(3))]
    assert_same(replace(frames, rgb=torch.from_numpy(np.stack([one.rgb for one in singles]))), singles)
    apart = np.abs(frames.rgb.numpy().astype(int) - np.stack([one.rgb for one in singles]))
    # Its runs add in another order (see test_shading_rows).
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.005


def test_each_environment_can_have_its_own_geometry():
    scenes = [RenderScene(OBJECTS) for _ in range(3)]
    batch = BatchRenderer(scenes, CAMERA)
    pose = np.stack([np.eye(4)] * 3)
    places = [[0, 0, 0], [0.006, 0, 0], [-0.008, 0.003, -0.002]]
    for scene, place in zip(scenes, places, strict=True):
        scene.move("polyp", moved(place))
    bag = OBJECTS[0].mesh.vertices
    scenes[2].deform("colon", bag * np.float32([0.8, 1, 1]))
    frames = batch.render(pose)
    singles = []
    for index, scene in enumerate(scenes):
        with Renderer(scene, CAMERA, visibility="raycast", shading="pixels") as single:
            singles.append(single.render(np.eye(4), seed=index))
    assert_same(frames, singles)
    masks = [frame.instance == 2 for frame in singles]
    assert all(mask.any() for mask in masks)
    assert (masks[0] != masks[1]).any()
    assert (singles[0].depth != singles[2].depth).mean() > 0.5

    scenes[1].replace_mesh("polyp", Mesh(OBJECTS[1].mesh.vertices, OBJECTS[1].mesh.triangles[:99]))
    again = batch.render(pose)
    with Renderer(scenes[1], CAMERA, visibility="raycast", shading="pixels") as single:
        singles[1] = single.render(np.eye(4), seed=1)
    assert_same(again, singles)


def test_two_environments_of_two_cameras_each():
    scenes = [RenderScene(OBJECTS) for _ in range(2)]
    scenes[1].move("polyp", moved([0.006, 0, 0]))
    frames = BatchRenderer([scenes[0], scenes[0], scenes[1], scenes[1]], CAMERA).render(poses(4))
    singles = []
    for index, pose in enumerate(poses(4)):
        with Renderer(scenes[index // 2], CAMERA, visibility="raycast", shading="pixels") as single:
            singles.append(single.render(pose, seed=index))
    assert_same(frames, singles)


def test_channels_on_request_are_those_of_single_renderings():
    scene = RenderScene(OBJECTS)
    scene.move("polyp", moved([0.003, -0.002, 0.001]))
    batch = BatchRenderer(scene, CAMERA, 3, channels=EXTRAS)
    frames = batch.render(poses(3))
    assert tuple(frames.channels) == EXTRAS
    with Renderer(scene, CAMERA, visibility="raycast", shading="pixels") as single:
        for index, pose in enumerate(poses(3)):
            alone = single.render(pose, seed=index, channels=EXTRAS)
            for name in EXTRAS:
                np.testing.assert_array_equal(frames.channels[name][index].numpy(), getattr(alone, name), name)
            np.testing.assert_array_equal(frames.rgb[index].numpy(), alone.rgb)
    assert {1, 2} <= set(np.unique(frames.channels["part"].numpy()))
    assert frames.channels["distance"].data_ptr() == batch._extras["distance"].ptr
    few = BatchRenderer(scene, CAMERA, 2, channels=["distance"]).render(poses(3)[:2])
    assert torch.equal(few.channels["distance"], frames.channels["distance"][:2])
    assert list(few.channels) == ["distance"]
    with pytest.raises(InputError, match="expected some of part"):
        BatchRenderer(scene, CAMERA, 2, channels=["colour"])


def test_flow_is_that_of_single_renderings():
    """Both ways, past cameras that move, an object that moves in one environment, and one that is cut in another."""
    scenes = [RenderScene(OBJECTS) for _ in range(2)]
    scenes = [scenes[0], scenes[0], scenes[1], RenderScene(OBJECTS)]
    batch = BatchRenderer(scenes, CAMERA, flow=True)
    with ExitStack() as stack:
        singles = [stack.enter_context(Renderer(one, CAMERA, visibility="raycast", shading="pixels")) for one in scenes]
        recorders = [FlowRecorder(single, back=True) for single in singles]
        for turn in range(3):
            T = np.stack([pose @ moved([0.0004 * turn, 0, 0.0005 * turn]) for pose in poses(4)])
            if turn:
                scenes[2].move("polyp", moved([0.001 * turn, 0.0005, 0]))
            if turn == 2:
                scenes[3].replace_mesh("polyp", OBJECTS[1].mesh)
            frames = batch.render(T)
            before = [
                recorder.add(single.render(pose)) for recorder, single, pose in zip(recorders, singles, T, strict=True)
            ]
            for index, recorder in enumerate(recorders):
                now = recorder._last[0]
                if turn == 2 and index == 3:
                    assert not frames.flow_back_valid[index].any()
                    assert not frames.last_flow[index].any()
                    continue
                pairs = [(frames.flow_back[index], frames.flow_back_valid[index], now.flow_back, now.flow_back_valid)]
                if turn:
                    one = before[index]
                    pairs += [(frames.last_flow[index], frames.last_flow_valid[index], one.flow, one.flow_valid)]
                for flow, valid, expected, expected_valid in pairs:
                    assert (valid.numpy() == expected_valid).mean() > 0.998
                    both = valid.numpy() & expected_valid
                    np.testing.assert_allclose(flow.numpy()[both], expected[both], atol=2e-4)
                    assert both.mean() > 0.3 or not turn
                    assert not flow.numpy()[~valid.numpy()].any()
    assert BatchRenderer(OBJECTS, CAMERA, 1).render(poses(1)).flow_back is None


def test_the_tensors_are_the_kernels_own_memory_and_nothing_comes_to_the_host(monkeypatch):
    batch = BatchRenderer(OBJECTS, CAMERA, 2)

    def refused(*args, **options):
        raise AssertionError("a copy to the host")

    with monkeypatch.context() as patch:
        patch.setattr(wp.array, "numpy", refused)
        patch.setattr(wp.array, "list", refused)
        patch.setattr(wp, "clone", refused)
        frames = batch.render(poses(2))
        before = frames.depth.clone()
        other = batch.render(poses(4)[2:])
    for name in (*NAMES, "luminance"):
        tensor = getattr(frames, name)
        assert tensor.is_contiguous()
        assert tensor.data_ptr() == batch._buffers[name].ptr == getattr(other, name).data_ptr()
        assert tensor.shape[:3] == (2, SIZE, SIZE)
    assert not torch.equal(before, frames.depth)  # the second rendering wrote over the first
    assert torch.equal(frames.depth, other.depth)
    assert frames.rgb.dtype == torch.uint8
    assert frames.instance.dtype == torch.uint16


def test_nothing_to_see_is_zero_everywhere():
    frames = BatchRenderer([], Camera.with_fov(5, 3, 90.0), 2).render(np.stack([np.eye(4)] * 2))
    assert frames.normal.shape == (2, 3, 5, 3)
    assert not any(getattr(frames, name).numpy().any() for name in NAMES)


def test_what_does_not_fit_says_what_to_lower(monkeypatch):
    with pytest.raises(InputError, match=r"at most \d+ environments of 8192 x 8192 px .* use fewer environments"):
        BatchRenderer([], Camera.with_fov(8192, 8192, 90.0), 60_000)
    assert BYTES == 38

    def none_left(*args, **options):
        raise RuntimeError("Failed to allocate 1024 bytes on device 'cuda:0'")

    scene = RenderScene(OBJECTS)
    monkeypatch.setattr(batch_module.wp, "zeros", none_left)
    with pytest.raises(InputError, match="use fewer environments, a smaller picture or fewer triangles"):
        BatchRenderer(scene, CAMERA, 2)


def test_senseless_input_is_refused():
    scene = RenderScene(OBJECTS[1:])
    for count in (0, -1, 2**40):
        with pytest.raises(InputError, match=f"1 to 65536 environments, found {count}"):
            BatchRenderer(scene, CAMERA, count)
    with pytest.raises(InputError, match="a scene for each of 3 environments, found 2"):
        BatchRenderer([scene, scene], CAMERA, 3)
    with pytest.raises(InputError, match="one device, found cpu, cuda:7"):
        BatchRenderer(scene, CAMERA, 2, device="cuda:7")
    with pytest.raises(InputError, match="without shadows"):
        BatchRenderer(scene, CAMERA, 2, light=LightSettings(shadows=True))
    with pytest.raises(InputError, match="each of 2 environments, found 1"):
        BatchRenderer(scene, CAMERA, 2, appearance=[Appearance()])
    batch = BatchRenderer(scene, CAMERA, 2)
    good = np.stack([np.eye(4)] * 2)
    with pytest.raises(InputError, match="a pose for each of 2 environments, found 3"):
        batch.render(poses(3))
    with pytest.raises(InputError, match=r"poses of shape \(n, 4, 4\), found \(4, 4\)"):
        batch.render(np.eye(4))
    for value in (np.nan, np.inf, 3e300):
        bad = good.copy()
        bad[1, 0, 0] = value
        with pytest.raises(InputError, match="batch: pose 1: expected a"):
            batch.render(bad)
        bad = good.copy()
        bad[1, 0, 3] = value
        with pytest.raises(InputError, match="batch: pose 1: expected a"):
            batch.render(bad)
    with pytest.raises(InputError, match="batch: pose 0: expected a rigid pose"):
        batch.render(good * [[[-1], [1], [1], [1]]])
    for exposure in (0.0, np.nan, [1.0, -1.0]):
        with pytest.raises(InputError, match="positive exposures"):
            batch.render(good, exposure=exposure)
    with pytest.raises(InputError, match="an exposure or 2 of them"):
        batch.render(good, exposure=np.ones(3))


@pytest.mark.skipif(sys.platform == "darwin", reason="Warp has no CUDA compiler there")
def test_the_kernels_compile_for_cuda(tmp_path):
    """For compute capability 9.0; needs no GPU."""
    wp.compile_aot_module(batch_kernels, arch=90, module_dir=tmp_path, use_ptx=True)
    (code,) = tmp_path.glob("*.ptx")
    text = code.read_text()
    assert all(
        re.search(rf"\.entry {name}_\w*cuda_kernel_forward", text) for name in ("cast_all", "shade_all", "add_all")
    )


@pytest.mark.skipif(sys.platform == "darwin", reason="Warp has no CUDA compiler there")
def test_the_flow_compiles_for_cuda(tmp_path):
    wp.compile_aot_module(batch_flow, arch=90, module_dir=tmp_path, use_ptx=True)
    (code,) = tmp_path.glob("*.ptx")
    assert re.search(r"\.entry follow_all_\w*cuda_kernel_forward", code.read_text())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_the_frames_stay_on_the_device():
    batch = BatchRenderer(OBJECTS, CAMERA, 4, device="cuda:0")
    frames = batch.render(poses(4))
    alike = BatchRenderer(OBJECTS, CAMERA, 4).render(poses(4))
    for name in NAMES:
        tensor = getattr(frames, name)
        assert tensor.device == torch.device("cuda:0")
        assert tensor.data_ptr() == batch._buffers[name].ptr
    assert (frames.instance.cpu().int() == alike.instance.int()).float().mean() > 0.999
    assert torch.allclose(frames.depth.cpu(), alike.depth, rtol=1e-3, atol=1e-5)

"""Many cameras in one scene: the bytes of single renderings, and nobody changes what others look at."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.transforms import compose, look_along
from sim.camera import Camera
from sim.render.appearance import Appearance
from sim.render.randomiser import draw_appearance
from sim.render.renderer import Renderer
from sim.render.rig import CameraRig
from sim.render.scene import RenderScene
from sim.render.scene_lock import SceneLock
from sim.scene_objects import SceneObject

PINHOLE = Camera.with_fov(48, 40, 90.0, model="pinhole")
WIDE = Camera.with_fov(36, 36, 140.0)
CAMERAS = [PINHOLE, WIDE, PINHOLE, PINHOLE, WIDE]
NAMES = ("rgb", "semantic", "instance", "depth", "normal", "distance")
SOON = 10.0  # s, after which a thread that should have gone on has not


def ball(name, centre, radius, kind, label, material):
    mesh = trimesh.creation.icosphere(3, radius)
    surface = Mesh(np.asarray(mesh.vertices + centre, np.float32), np.asarray(mesh.faces, np.int32))
    return SceneObject(name, surface, label_id(label), load_materials()[material], kind)


@pytest.fixture(scope="module")
def scene():
    return RenderScene(
        [
            ball("colon", np.zeros(3), 0.03, "lumen", "colon_wall", "colon_mucosa"),
            ball("polyp", np.array([0.004, 0.002, 0.015]), 0.005, "solid", "polyp", "polyp"),
        ]
    )


@pytest.fixture(scope="module")
def poses():
    rng = np.random.default_rng(3)
    forward = np.array([0, 0, 1]) + rng.uniform(-0.3, 0.3, (len(CAMERAS), 3))
    return np.stack([look_along(one, rng.normal(size=3), rng.uniform(-0.005, 0.005, 3)) for one in forward])


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_a_rig_gives_the_bytes_of_single_renderings(scene, poses, threads):
    rng = np.random.default_rng(0)
    looks = [Appearance(), *(draw_appearance(rng) for _ in CAMERAS[1:])]
    exposures = [1.0, 0.5, 2.0, 1.5, 0.7]
    with CameraRig(scene, CAMERAS, threads=threads) as rig:
        scene.move("polyp", np.eye(4))
        for place in (0.0, 0.003):
            scene.move("polyp", compose(np.eye(3), np.array([place, 0.0, 0.0])))
            frames = rig.render(poses, exposure=exposures, appearance=looks, time=2.0, seed=5, channels=["distance"])
            for index, frame in enumerate(frames):
                with Renderer(scene, CAMERAS[index]) as single:
                    alone = single.render(
                        poses[index],
                        exposure=exposures[index],
                        appearance=looks[index],
                        time=2.0,
                        seed=5 + index,
                        channels=["distance"],
                    )
                    assert rig.metered[index] == single.metered
                for name in NAMES:
                    np.testing.assert_array_equal(getattr(frame, name), getattr(alone, name))
                np.testing.assert_array_equal(frame.T_world_camera, poses[index])
                assert (frame.camera, frame.time, frame.exposure) == (CAMERAS[index], 2.0, exposures[index])
    assert {1, 2} <= set(np.unique(frames[0].instance))


def test_a_fault_of_one_camera_reaches_the_caller_when_all_are_done(scene, poses):
    with CameraRig(scene, CAMERAS) as rig:
        bad = poses.copy()
        bad[1, 0, 0] = np.nan
        with pytest.raises(InputError, match="finite pose"):
            rig.render(bad)
        scene.move("polyp", np.eye(4))  # nobody holds the scene any more
        assert len(rig.render(poses)) == len(CAMERAS)
        with pytest.raises(InputError, match="expected poses for 5 cameras, found 4"):
            rig.render(poses[:4])
        with pytest.raises(InputError, match="expected looks for 5 cameras, found 1"):
            rig.render(poses, appearance=[Appearance()])
        with pytest.raises(InputError, match="expected exposures for 5 cameras, found 2"):
            rig.render(poses, exposure=[1.0, 2.0])
    with pytest.raises(InputError, match="at least one camera"):
        CameraRig(scene, [])
    with pytest.raises(InputError, match="at least 1 thread"):
        CameraRig(scene, CAMERAS, threads=0)


def test_renderings_beside_changes_show_one_state_of_the_scene(scene):
    """Threads render while another moves the polyp to and fro: each picture is one of the two, never a mixture."""
    places = [np.eye(4), compose(np.eye(3), np.array([0.006, 0.0, 0.0]))]
    expected = []
    with Renderer(scene, PINHOLE, threads=1) as single:
        for place in places:
            scene.move("polyp", place)
            expected.append(single.render(np.eye(4)).depth)
    assert (expected[0] != expected[1]).any()
    done = threading.Event()

    def watch(_: int) -> list[int]:
        with Renderer(scene, PINHOLE, threads=1) as renderer:
            seen = []
            while not done.is_set() or not seen:
                depth = renderer.render(np.eye(4)).depth
                seen.append([np.array_equal(depth, one) for one in expected].index(True))
            return seen

    with ThreadPoolExecutor(3) as pool:
        watching = [pool.submit(watch, index) for index in range(3)]
        for turn in range(40):
            scene.move("polyp", places[turn % 2])
        done.set()
        assert all(set(one.result(SOON)) <= {0, 1} for one in watching)


def test_many_look_at_once_and_who_changes_waits_for_them_and_before_later_ones():
    lock, order = SceneLock(), []
    both = threading.Barrier(2, timeout=SOON)
    changing_asked, later_asked = threading.Event(), threading.Event()

    def look(name: str) -> None:
        with lock.looking():
            both.wait()  # both are in at once, or this breaks
            changing_asked.wait(SOON)
            with lock.looking():  # again, though a change waits
                order.append(name)

    def change() -> None:
        with lock.changing(), lock.looking():
            order.append("change")

    def look_later() -> None:
        later_asked.set()
        with lock.looking():
            order.append("later")

    with ThreadPoolExecutor(4) as pool:
        looking = [pool.submit(look, name) for name in "ab"]
        with lock.looking():
            changing = pool.submit(change)
            while not lock._waiting:
                threading.Event().wait(0.001)
            later = pool.submit(look_later)
            later_asked.wait(SOON)
            changing_asked.set()
            for one in looking:
                one.result(SOON)
            assert sorted(order) == ["a", "b"]
        for one in (changing, later):
            one.result(SOON)
    assert order[2:] == ["change", "later"]


def test_a_thread_that_works_for_one_that_looks_is_let_in_though_a_change_waits():
    lock = SceneLock()

    def help_out() -> bool:
        with lock.joining(), lock.looking():
            return True

    def change() -> None:
        with lock.changing():
            pass

    with ThreadPoolExecutor(2) as pool:
        with lock.looking():
            changing = pool.submit(change)
            while not lock._waiting:
                threading.Event().wait(0.001)
            assert pool.submit(help_out).result(SOON)
            assert not changing.done()
        changing.result(SOON)


def test_a_change_that_fails_lets_go():
    lock = SceneLock()
    with pytest.raises(KeyError), lock.changing():
        raise KeyError
    with lock.looking():
        pass

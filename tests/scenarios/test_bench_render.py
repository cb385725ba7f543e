"""The benchmark of the renderer, on tiny pictures; the rivals draw the same picture as the renderer."""

import sys
from types import ModuleType

import numpy as np
import pytest

from assets.errors import InputError
from assets.transforms import look_along
from scenarios.bench import render, render_rivals
from scenarios.bench.race import Picture, take_turns
from scenarios.bench.render_memory import bench_memory, tube
from sim.camera import Camera
from sim.render.renderer import Renderer

CAMERA = Camera.with_fov(64, 64, 100.0, model="pinhole")
POSE = look_along(np.array([0.1, 0.05, 1.0]), np.array([0, 1.0, 0]), np.array([0.003, 0, 0.1]))


def test_the_tube_has_about_the_triangles_asked_for_and_is_closed() -> None:
    for wanted in (100, 20_000):
        mesh = tube(wanted).mesh
        assert len(mesh.triangles) == pytest.approx(wanted, rel=0.1)
        edges = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]])
        pairs = {(int(a), int(b)) for a, b in edges}
        assert len(pairs) == len(edges)
        assert pairs == {(b, a) for a, b in pairs}
        a, b, c = (mesh.vertices[mesh.triangles[:, corner]].astype(float) for corner in range(3))
        assert np.einsum("ij,ij->i", a, np.cross(b, c)).sum() > 0  # its normals point out of it


def test_embree_draws_what_the_renderer_draws() -> None:
    pytest.importorskip("embreex")
    objects = [tube(4_000)]
    draw = render_rivals.embree_picture(objects, CAMERA)
    _, semantic, instance, depth, normal = draw(POSE)
    with Renderer(objects, CAMERA) as renderer:
        frame = renderer.render(POSE)
    np.testing.assert_array_equal(instance + 1, frame.instance)
    np.testing.assert_array_equal(semantic, frame.semantic)
    np.testing.assert_allclose(depth, frame.depth, rtol=1e-3)
    assert (np.abs(normal - frame.normal).max(axis=-1) < 2e-3).mean() > 0.999


def test_vtk_draws_what_the_renderer_draws() -> None:
    pytest.importorskip("vtkmodules")
    objects = [tube(4_000)]
    try:
        draw = render_rivals.vtk_picture(objects, CAMERA)
    except InputError as error:
        pytest.skip(str(error))
    colours, instance, nearness = draw(POSE)
    with Renderer(objects, CAMERA) as renderer:
        frame = renderer.render(POSE)
    assert (instance + 1 == frame.instance).mean() > 0.999
    assert colours.any()
    near, far = 1e-3, 1.0
    depth = far * near / (far - (far - near) * nearness)
    assert (np.abs(depth / frame.depth - 1) < 1e-2).mean() > 0.999


def test_a_rival_that_is_missing_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "vtkmodules.all", None)
    objects = [tube(100)]
    with pytest.raises(InputError, match=r"expected the package vtk, found .*trocar\[bench\]"):
        render_rivals.vtk_picture(objects, CAMERA)
    found = render._there(
        {"vtk": lambda: render_rivals.vtk_picture(objects, CAMERA), "other": lambda: lambda pose: pose.sum()}
    )
    assert list(found) == ["other"]
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_vtk_without_a_window_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """VTK ends the process that cannot open a window, so another one tries first."""
    monkeypatch.setitem(sys.modules, "vtkmodules.all", ModuleType("vtkmodules.all"))
    monkeypatch.setattr(render_rivals, "_PROBE", "import os; os.kill(os.getpid(), 11)")
    with pytest.raises(InputError, match="window off screen"):
        render_rivals.vtk_picture([tube(100)], CAMERA)


def test_taking_turns_times_each_task_on_each_pose() -> None:
    calls: list[tuple[str, float]] = []
    tasks = {name: (lambda pose, name=name: calls.append((name, float(pose[0, 3])))) for name in "ab"}
    poses = [np.eye(4), np.eye(4)]
    poses[1][0, 3] = 5
    race = take_turns(tasks, poses, prepare={"b": lambda pose: calls.append(("before b", float(pose[0, 3])))})
    assert calls == [(name, x) for x in (0.0, 5.0) for name in ("a", "before b", "b")]
    assert race.n == 2
    assert set(race.median) == set(race.processor) == {"a", "b"}


def test_the_memory_of_a_scene_grows_with_it() -> None:
    grown = {
        triangles: {one.name: one.value for one in bench_memory(triangles=triangles, threads=1)}
        for triangles in (2_000, 200_000)
    }
    if not grown[2_000]:
        pytest.skip("this system does not tell a process's memory")
    assert 5 < grown[200_000]["render.memory_mb"] - grown[2_000]["render.memory_mb"] < 250
    assert grown[200_000]["render.memory_peak_mb"] >= grown[200_000]["render.memory_mb"]


def test_all_figures_come(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_rival(*_: object) -> Picture:
        return lambda pose: pose

    for name in ("vtk_picture", "embree_picture", "mitsuba_picture"):
        monkeypatch.setattr(render, name, no_rival)
    figures = {
        one["name"]: one
        for one in render.bench_render(tmp_path, rounds=3, sizes=(32, 64), memory_triangles=1_000, organ_subdivisions=2)
    }
    assert {
        "render.colon.32.ms",
        "render.colon.64.fisheye.ms",
        "render.colon.64.with_flow.ms",
        "render.colon.64.vs_tinyrenderer",
        "render.colon.64.with_flow.vs_tinyrenderer",
        "render.colon.64.vs_best_rival",
        "render.colon.200x100.vs_saramis_recipe",
        "render.deforming.added",
        "render.ten_cameras.vs_one",
        "render.memory_mb",
    } <= set(figures)
    assert figures["render.colon.64.mask_agreement"]["value"] > 0.99
    ratio = figures["render.colon.64.vs_tinyrenderer"]["value"]
    assert ratio == pytest.approx(
        figures["render.colon.tinyrenderer.64.ms"]["value"] / figures["render.colon.64.ms"]["value"]
    )
    assert all(
        "threads of" in one["how"] or one["name"].startswith("render.mem") or "share" in one["how"]
        for one in figures.values()
    )

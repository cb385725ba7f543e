import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assets.errors import InputError
from scenarios.dataset_import.recording import normals_from_depth
from scenarios.export.command import ExportOptions, export
from scenarios.export.resample import through_lens
from scenarios.shard_check import disagreements
from sim.camera import Camera

spec = importlib.util.spec_from_file_location("export_readers", Path(__file__).with_name("readers.py"))
readers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(readers)

spec = importlib.util.spec_from_file_location("export_scene", Path(__file__).with_name("conftest.py"))
scene = importlib.util.module_from_spec(spec)
spec.loader.exec_module(scene)


def plane(camera: Camera, normal: np.ndarray, distance: float) -> np.ndarray:
    rays, shown = camera.rays()
    along = rays.astype(np.float64) @ normal
    return np.where(shown & (along < 0), -distance / along * rays[..., 2], 0).astype(np.float32)


TILTED = np.array([0.3, -0.2, -1.0]) / np.linalg.norm([0.3, -0.2, -1.0])


def test_a_frame_through_another_lens_is_what_that_lens_sees() -> None:
    fisheye = replace(Camera.with_fov(160, 128, 140.0), distortion=(-0.02, 0.004, 0.0, 0.0), content_radius=76.0)
    pinhole = Camera.with_fov(64, 64, 80.0, model="pinhole")
    pose = scene.pose(3, 7)
    truth = scene.render(pinhole, pose, 0.0)
    seen = through_lens(scene.render(fisheye, pose, 0.0), pinhole)
    assert seen.camera == pinhole
    assert (seen.instance == truth.instance).mean() > 0.985  # all but the balls' rims, half a pixel off
    same = seen.instance == truth.instance
    off = np.abs(seen.depth / truth.depth - 1)[same]
    assert np.percentile(off, 98) < 0.003
    assert np.median(off) < 3e-4
    cosine = (seen.normal * truth.normal).sum(-1)[same]
    assert np.median(cosine) > 0.999
    assert not list(disagreements(seen))


def test_the_depth_of_a_plane_is_exact_between_pixels() -> None:
    wide, narrow = Camera(80, 60, 50.0, 50.0, 39.5, 29.5), Camera(70, 50, 90.0, 80.0, 30.2, 26.1)
    frame = replace(
        scene.render(wide, scene.pose(0, 0), 0.0),
        depth=plane(wide, TILTED, 0.05),
        instance=np.ones((60, 80), np.uint16),
    )
    assert np.abs(through_lens(frame, narrow).depth - plane(narrow, TILTED, 0.05)).max() < 1e-7


def test_the_same_lens_gives_the_same_frame() -> None:
    frame = scene.render(scene.FISHEYE, scene.pose(1, 1), 0.0)
    same = through_lens(frame, scene.FISHEYE)
    assert (same.semantic == frame.semantic).all()
    assert np.abs(same.rgb.astype(int) - frame.rgb).max() <= 1
    assert np.abs(same.depth - frame.depth).max() < 1e-6


def test_normals_of_a_plane_are_worked_out_from_its_depth() -> None:
    camera = Camera(40, 30, 25.0, 26.0, 18.0, 15.0)
    depth = plane(camera, TILTED, 0.05)
    normal = normals_from_depth(depth, camera)
    assert np.abs(normal - TILTED).max() < 1e-4
    depth[:, 20:] = plane(camera, np.array([0.0, 0.0, -1.0]), 0.5)[:, 20:]
    split = normals_from_depth(depth, camera)
    assert np.abs(split[:, :20] - TILTED).max() < 1e-4
    assert np.abs(split[:, 20:] - (0, 0, -1)).max() < 1e-4


def test_normals_of_nothing_and_of_a_lone_pixel() -> None:
    camera = Camera(5, 5, 4.0, 4.0, 2.0, 2.0)
    depth = np.zeros((5, 5), np.float32)
    depth[1, 3] = 0.05
    normal = normals_from_depth(depth, camera)
    assert np.count_nonzero(normal.any(axis=-1)) == 1
    assert np.allclose(normal[1, 3], -camera.rays()[0][1, 3])


def test_an_export_through_a_pinhole_says_so(fisheye_set: Path, tmp_path: Path) -> None:
    left_out = export(ExportOptions(fisheye_set, "tum", tmp_path / "out", pinhole=(48, 40, 90.0)))
    assert any("resampled to a pinhole" in line for line in left_out)
    assert readers.image(next((tmp_path / "out").glob("*/rgb/*.png"))).shape == (40, 48, 3)
    with pytest.raises(InputError, match="pinhole"):
        export(ExportOptions(fisheye_set, "tum", tmp_path / "out"))
    with pytest.raises(InputError, match="field of view"):
        ExportOptions(fisheye_set, "tum", tmp_path / "out", pinhole=(48, 40, 190.0))

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assets.errors import InputError
from assets.patient import Centreline, Patient
from scenarios.colonoscopy import endoscope_camera
from scenarios.render_command import RenderOptions, find_centreline, poses_along, read_frame, render, write_frame
from sim.frame import Frame


def arc_of_a_circle(radius: float = 0.1) -> Centreline:
    angle = np.linspace(0, np.pi, 200)
    points = radius * np.stack([np.cos(angle), np.zeros(200), np.sin(angle)], axis=-1)
    return Centreline("colon", points, np.full(200, 0.02))


def test_cameras_lie_on_the_centreline_and_look_ahead() -> None:
    poses = poses_along(arc_of_a_circle(), 7)
    assert poses.shape == (7, 4, 4)
    positions, forward = poses[:, :3, 3], poses[:, :3, 2]
    np.testing.assert_allclose(np.linalg.norm(positions, axis=1), 0.1, atol=1e-6)
    np.testing.assert_allclose(
        poses[:, :3, :3] @ poses[:, :3, :3].transpose(0, 2, 1), np.tile(np.eye(3), (7, 1, 1)), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(poses[:, :3, :3]), 1, atol=1e-9)
    # evenly spaced, 3 % off both ends
    angles = np.arctan2(positions[:, 2], positions[:, 0])
    np.testing.assert_allclose(angles, np.linspace(0.03 * np.pi, 0.97 * np.pi, 7), atol=1e-3)
    # the chord to a point 20 mm ahead on a circle leans inwards by half the angle between them
    tangents = np.stack([-np.sin(angles), np.zeros(7), np.cos(angles)], axis=-1)
    lean = np.arccos(np.clip((forward * tangents).sum(axis=-1), -1, 1))
    np.testing.assert_allclose(lean[:-1], 0.1, atol=1e-3)
    # in a plane nothing twists: image x stays across it
    np.testing.assert_allclose(np.abs(poses[:, 1, :3]).max(axis=1), 1, atol=1e-6)


def test_a_centreline_is_found_by_name_or_in_a_lumen(tube_patient: Patient) -> None:
    (inner,) = tube_patient.centrelines
    solid = replace(inner, name="aorta", points=inner.points + np.array([0.5, 0, 0]))
    patient = replace(tube_patient, centrelines=(solid, inner))
    assert find_centreline(patient, None) is inner
    assert find_centreline(patient, "aorta") is solid
    with pytest.raises(InputError, match=f"expected a centreline of aorta, {inner.name}, found 'airway'"):
        find_centreline(patient, "airway")
    with pytest.raises(InputError, match="in a lumen, found none; name one of aorta"):
        find_centreline(replace(patient, centrelines=(solid,)), None)
    with pytest.raises(InputError, match="with a centreline, found none"):
        find_centreline(replace(patient, centrelines=()), None)


def test_a_frame_is_kept_exactly_in_npz_and_as_png(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = Frame(
        rgb=rng.integers(0, 256, (6, 8, 3), np.uint8),
        semantic=rng.integers(1, 9, (6, 8), np.uint8),
        instance=rng.integers(1, 9, (6, 8), np.uint16),
        depth=rng.uniform(0.01, 0.2, (6, 8)).astype(np.float32),
        normal=np.tile(np.array([0, 0, -1], np.float32), (6, 8, 1)),
        flow=np.zeros((6, 8, 2), np.float32),
        flow_valid=np.zeros((6, 8), np.bool_),
        T_world_camera=np.eye(4),
        camera=endoscope_camera(8, 6),
        time=0.0,
        exposure=2.0,
    )
    write_frame(tmp_path / "0000", frame, Patient("p", "s", "l", ()))
    with np.load(tmp_path / "0000.npz") as stored:
        np.testing.assert_array_equal(stored["depth"], frame.depth)
        np.testing.assert_array_equal(stored["T_world_camera"], np.eye(4))
    back = read_frame(tmp_path / "0000")
    np.testing.assert_array_equal(back.rgb, frame.rgb)
    assert back.camera == frame.camera
    (tmp_path / "0000.rgb.png").unlink()
    with pytest.raises(InputError, match=r"0000: expected a member rgb\.png"):
        read_frame(tmp_path / "0000")


def test_channels_on_request_are_written_and_read_back(tube_folder, tmp_path: Path) -> None:
    wanted = ("part", "distance", "object_point", "light_distance", "flow", "flow_back")
    options = RenderOptions(str(tube_folder), tmp_path / "out", size=(40, 40), frames=3, threads=1, channels=wanted)
    render(options)
    frames = [read_frame(tmp_path / "out" / f"{index:04d}") for index in range(3)]
    for frame in frames:
        assert frame.part is not None
        np.testing.assert_array_equal(frame.part > 0, frame.depth > 0)
        assert frame.light_distance is not None
        assert frame.light_distance.any()
    assert frames[0].flow_valid.any()
    assert not frames[2].flow_valid.any()
    assert frames[0].flow_back_valid is not None
    assert not frames[0].flow_back_valid.any()
    with np.load(tmp_path / "out" / "0001.npz") as stored:
        assert {*wanted, "flow_valid", "flow_back_valid"} <= set(stored)
        np.testing.assert_allclose(stored["distance"], frames[1].distance, atol=0.51e-5)


def test_senseless_options_are_refused() -> None:
    with pytest.raises(InputError, match="frames and threads of at least 1, found 0"):
        RenderOptions("synth:colon:0", Path("x"), frames=0)

import importlib.util
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from assets.errors import InputError
from perception.simcol3d_protocol import depth_scores, pose_scores, steps
from scenarios.cli import main
from scenarios.dataset_check import CheckOptions, check
from scenarios.dataset_import.command import ImportOptions, import_dataset
from scenarios.dataset_import.simcol3d import read_poses
from scenarios.export.command import ExportOptions, export
from sim.camera import Camera
from sim.dataset_index import read_dataset

spec = importlib.util.spec_from_file_location("export_readers", Path(__file__).with_name("readers.py"))
readers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(readers)


@pytest.fixture(scope="module")
def exported(pinhole_set, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("simcol") / "out"
    export(ExportOptions(pinhole_set, "simcol3d", out))
    return out


def challenge_poses(scene: Path, name: str) -> np.ndarray:
    """Camera to world [cm], as the challenge's definition has it: T P T with T = diag(1, -1, 1, 1)."""
    positions = np.loadtxt(scene / f"SavedPosition_{name}.txt", ndmin=2)
    quaternions = np.loadtxt(scene / f"SavedRotationQuaternion_{name}.txt", ndmin=2)
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(quaternions).as_matrix()
    poses[:, :3, 3] = positions
    mirror = np.diag([1, -1, 1, 1])
    return mirror @ poses @ mirror


def test_the_layout_is_that_of_the_challenge_and_the_protocol_finds_no_error(pinhole_set: Path, exported: Path) -> None:
    by_sequence: dict[str, list] = {}
    for view in readers.views(pinhole_set):
        by_sequence.setdefault(view.sequence, []).append(view)
    assert len(by_sequence) == 4
    for sequence, views in by_sequence.items():
        scene = exported / f"SyntheticColon_{views[0].shard}"
        camera = views[0].frame.camera
        K = np.loadtxt(scene / "cam.txt").reshape(3, 3)
        assert K.tolist() == [[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]]
        poses_cm = challenge_poses(scene, sequence)
        depths = []
        for view in views:
            folder = scene / f"Frames_{sequence}"
            assert (readers.image(folder / f"FrameBuffer_{view.number:04d}.png") == view.frame.rgb).all()
            stored = readers.image(folder / f"Depth_{view.number:04d}.png")
            assert stored.dtype == np.uint16
            depth_cm = stored / 255 / 256 * 20
            assert np.abs(depth_cm / 100 - view.frame.depth).max() <= 0.5 * 0.2 / 255 / 256 + 1e-8
            pose = poses_cm[view.number].copy()
            pose[:3, 3] /= 100
            assert np.abs(pose - view.frame.T_world_camera).max() < 1e-6
            depths.append(depth_cm / 100)
        truth = np.stack([view.frame.depth for view in views]).astype(np.float64)
        found = depth_scores(np.stack(depths), np.stack(depths))
        assert max(found.l1_cm, found.relative_percent, found.rmse_cm) < 1e-10
        rounded = depth_scores(np.stack(depths), truth)
        assert rounded.l1_cm < 1e-4  # what the 16 bits round off, and no more
        poses = np.stack([view.frame.T_world_camera for view in views])
        motion = pose_scores(steps(poses_cm), steps(poses))
        assert motion.scale == pytest.approx(0.01, rel=1e-9)
        assert max(motion.ate_cm, motion.rte_cm) < 1e-9
        assert motion.rot_deg < 1e-6
    lists = {path.name: path.read_text().split() for path in (exported / "misc").iterdir()}
    assert lists["val_file.txt"] == ["SyntheticColon_eve/Frames_eve-00"]
    assert len(lists["train_file.txt"]) == 3


def test_what_does_not_fit_the_challenge_is_said(fisheye_set: Path, make_scene, tmp_path: Path) -> None:
    said = "\n".join(export(ExportOptions(fisheye_set, "simcol3d", tmp_path / "fisheye")))
    assert "the lens's distortion" in said
    assert "these are 40 x 32 px" in said
    assert "the challenge's intrinsics" in said
    assert "masks, normals, flow, times" in said
    folder = make_scene(tmp_path / "data", Camera(475, 475, 227.60416, 237.5, 227.60416, 237.5), frames=1)
    assert export(ExportOptions(folder, "simcol3d", tmp_path / "own")) == ["masks, normals, flow, times"]


def test_depth_beyond_20_cm_is_counted_and_comes_back_as_nothing(tmp_path: Path, pinhole_camera: Camera) -> None:
    from scenarios.export.simcol3d import BEYOND, stored_depth

    depth = np.array([[0.0, 0.2, 0.200004, 0.3]], np.float32)
    assert stored_depth(depth).tolist() == [[0, 65280, BEYOND, BEYOND]]


def test_the_import_of_an_export_is_what_was_exported(pinhole_set: Path, exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "back"
    assert main(["dataset", "import", str(exported), "--format", "simcol3d", "--out", str(out)]) == 0
    check(CheckOptions(out))
    index = read_dataset(out)
    assert index.config["licence"] == "CC BY-NC-SA 4.0"
    assert index.splits == {"train": ("ann-00", "ann-01", "bob-00"), "validation": ("eve-00",), "test": ()}
    back = readers.views(out)
    for view, before in zip(back, readers.views(pinhole_set), strict=True):
        assert (view.frame.rgb == before.frame.rgb).all()
        assert np.abs(view.frame.depth - before.frame.depth).max() < 0.5 * 0.2 / 255 / 256 + 1e-8
        assert np.abs(view.frame.T_world_camera - before.frame.T_world_camera).max() < 1e-6
        assert view.frame.camera == before.frame.camera
        assert ((view.frame.semantic > 0) == (before.frame.depth > 0)).all()
        # worked out from depth: right on the walls, of no use on the edges of the balls
        cosine = (view.frame.normal * before.frame.normal).sum(-1)[before.frame.depth > 0]
        assert np.median(cosine) > 0.99


def hand_made(folder: Path, *, quaternion: str = "0.0 0.0 0.70710678 0.70710678", frames: int = 2) -> Path:
    """Write a scene as the challenge's data have it: RGBA colours, y up, centimetres."""
    scene = folder / "SyntheticColon_I"
    (scene / "Frames_S5").mkdir(parents=True)
    (scene / "cam.txt").write_text("20 0 8 0 21 6 0 0 1\n")
    for number in range(frames):
        colours = np.full((12, 16, 4), (30, 60, 90, 255), np.uint8)  # blue, green, red, opacity
        cv2.imwrite(str(scene / "Frames_S5" / f"FrameBuffer_{number:04d}.png"), colours)
        depth = np.full((12, 16), 32640, np.uint16)  # 0.5: 10 cm
        depth[0, 0], depth[0, 1] = 65535, 0
        cv2.imwrite(str(scene / "Frames_S5" / f"Depth_{number:04d}.png"), depth)
    (scene / "SavedPosition_S5.txt").write_text("1.0 2.0 3.0\n" * 2)
    (scene / "SavedRotationQuaternion_S5.txt").write_text(f"{quaternion}\n" * 2)
    return folder


def test_a_hand_made_scene_comes_in_with_its_units_and_its_handedness(tmp_path: Path) -> None:
    source = hand_made(tmp_path / "in")
    index = import_dataset(ImportOptions(source, "simcol3d", tmp_path / "out"))
    assert index.splits["test"] == ("S5",)  # one of the challenge's nine
    view = readers.views(tmp_path / "out")[0]
    frame = view.frame
    assert frame.camera == Camera(16, 12, 20.0, 21.0, 8.0, 6.0)
    assert frame.rgb[5, 5].tolist() == [90, 60, 30]
    assert frame.depth[5, 5] == pytest.approx(0.10, abs=1e-7)
    assert frame.depth[0, :2].tolist() == [0, 0]
    assert frame.semantic[0, :2].tolist() == [0, 0]
    # y up becomes y down: (1, 2, 3) cm is (0.01, -0.02, 0.03) m, and a quarter turn about z turns the other way round
    assert np.allclose(frame.T_world_camera[:3, 3], (0.01, -0.02, 0.03))
    assert np.allclose(frame.T_world_camera[:3, :3], [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], atol=1e-7)
    assert np.linalg.det(frame.T_world_camera[:3, :3]) == pytest.approx(1)
    # a plane straight ahead faces the camera, also at its edges
    assert np.abs(frame.normal[2:, 2:] - (0, 0, -1)).max() < 0.01
    assert view.meta["lumen_visible"] is False
    check(CheckOptions(tmp_path / "out"))


def test_a_network_can_be_tested_on_it(tmp_path: Path) -> None:
    from perception.dataset import load_split

    source = hand_made(tmp_path / "in")
    assert main(["dataset", "import", str(source), "--format", "simcol3d", "--out", str(tmp_path / "out"),
                 "--size", "32", "32", "--every", "2"]) == 0  # fmt: skip
    frames = load_split(tmp_path / "out", "test")
    assert len(frames) == 1
    assert (frames.camera.width, frames.camera.fx, frames.camera.fy) == (32, 40.0, pytest.approx(56.0))
    # z-depth is 10 cm everywhere; the straight distance grows to the sides
    assert frames.distance[0, 16, 16] == pytest.approx(0.1, rel=1e-3)
    assert frames.distance[0, 31, 31] > 0.105


def test_sizes_shift_the_centre_with_the_pixels(pinhole_set: Path) -> None:
    from scenarios.export.resample import rescaled

    frame = readers.views(pinhole_set)[0].frame
    half = rescaled(frame, 20, 16)
    assert (half.camera.cx, half.camera.cy) == ((18.6 + 0.5) / 2 - 0.5, (16.2 + 0.5) / 2 - 0.5)
    rays, _ = half.camera.rays()
    big, _ = frame.camera.rays()
    centre = big.reshape(16, 2, 20, 2, 3).astype(np.float64).mean(axis=(1, 3))
    assert np.abs(rays - centre / np.linalg.norm(centre, axis=-1, keepdims=True)).max() < 2e-3
    with pytest.raises(InputError, match="round picture"):
        rescaled(replace(frame, camera=replace(frame.camera, content_radius=10.0)), 20, 20)


def test_the_same_command_resumes_and_another_is_refused(tmp_path: Path) -> None:
    source = hand_made(tmp_path / "in")
    options = ImportOptions(source, "simcol3d", tmp_path / "out")
    import_dataset(options)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (tmp_path / "out" / "dataset.json").unlink()
    import_dataset(options)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    with pytest.raises(InputError, match="every"):
        import_dataset(replace(options, every=2))


def no_poses(scene: Path) -> None:
    (scene / "SavedPosition_S5.txt").unlink()


def too_few_poses(scene: Path) -> None:
    (scene / "SavedPosition_S5.txt").write_text("1 2 3\n")
    (scene / "SavedRotationQuaternion_S5.txt").write_text("0 0 0 1\n")


def unequal(scene: Path) -> None:
    (scene / "SavedPosition_S5.txt").write_text("1 2 3\n1 2 3\n1 2 3\n")


def endless(scene: Path) -> None:
    (scene / "SavedPosition_S5.txt").write_text("1 2 nan\n1 2 3\n")


def no_turn(scene: Path) -> None:
    (scene / "SavedRotationQuaternion_S5.txt").write_text("0 0 0 1\n0 0 0 0\n")


def eight_bits(scene: Path) -> None:
    cv2.imwrite(str(scene / "Frames_S5" / "Depth_0001.png"), np.zeros((12, 16), np.uint8))


def other_size(scene: Path) -> None:
    cv2.imwrite(str(scene / "Frames_S5" / "Depth_0001.png"), np.zeros((12, 12), np.uint16))


def cut_short(scene: Path) -> None:
    path = scene / "Frames_S5" / "Depth_0001.png"
    path.write_bytes(path.read_bytes()[:40])


def bomb(scene: Path) -> None:
    path = scene / "Frames_S5" / "Depth_0001.png"
    data = bytearray(path.read_bytes())
    data[16:24] = b"\x7f\xff\xff\xff" * 2
    path.write_bytes(data)


def no_intrinsics(scene: Path) -> None:
    (scene / "cam.txt").write_text("20 0 8 0 21 6\n")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (no_poses, r"SavedPosition_S5\.txt: expected a text file"),
        (too_few_poses, "expected frames for the 1 poses"),
        (unequal, "expected 3 lines as SavedPosition, found 2"),
        (endless, "line 1: expected 3 finite numbers"),
        (no_turn, "line 2: expected a quaternion of length 1"),
        (eight_bits, "expected 1 channel.* of uint16, found 1 of uint8"),
        (other_size, "expected 16 x 12 px as the camera"),
        (cut_short, r"Depth_0001\.png: expected an image, found a damaged one"),
        (bomb, "expected at most 8192 px a side, found 2147483647 x 2147483647"),
        (no_intrinsics, "expected the nine numbers"),
    ],
)
def test_a_damaged_set_is_refused_by_name(damage, said: str, tmp_path: Path) -> None:
    source = hand_made(tmp_path / "in")
    damage(source / "SyntheticColon_I")
    with pytest.raises(InputError, match=said):
        import_dataset(ImportOptions(source, "simcol3d", tmp_path / "out"))
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_other_folders_are_no_set(tmp_path: Path) -> None:
    for source, said in ((tmp_path, "expected SimCol3D"), (tmp_path / "none", "expected a folder, found none")):
        with pytest.raises(InputError, match=said):
            import_dataset(ImportOptions(source, "simcol3d", tmp_path / "out"))
    with pytest.raises(InputError, match="sum to 1"):
        ImportOptions(tmp_path, "simcol3d", tmp_path / "out", splits=(0.5, 0.0, 0.0))


def test_poses_of_one_frame_are_read(tmp_path: Path) -> None:
    source = hand_made(tmp_path / "in")
    assert read_poses(source / "SyntheticColon_I", "S5").shape == (2, 4, 4)

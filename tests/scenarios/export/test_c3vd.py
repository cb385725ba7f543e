import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from assets.errors import InputError
from scenarios.cli import main
from scenarios.dataset_check import CheckOptions, check
from scenarios.dataset_import.c3vd import read_lens
from scenarios.dataset_import.command import ImportOptions, import_dataset
from scenarios.export.c3vd import stored_flow
from scenarios.export.command import ExportOptions, export
from scenarios.export.omnidirectional import CF_HQ190L, omnidirectional
from scenarios.export.resample import rescaled_camera
from sim.camera import Camera
from sim.dataset_index import read_dataset

spec = importlib.util.spec_from_file_location("export_readers", Path(__file__).with_name("readers.py"))
readers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(readers)


def lens_rays(config: Path) -> np.ndarray:
    """Rays of every pixel, by the toolbox's definition."""
    values = {
        name.strip(): float(value) for name, value in (line.split("=") for line in config.read_text().splitlines())
    }
    u, v = np.meshgrid(np.arange(int(values["width"])), np.arange(int(values["height"])))
    shear = np.array([[values["c"], values["d"]], [values["e"], 1.0]])
    x, y = np.linalg.inv(shear) @ np.stack([u.ravel() - values["cx"], v.ravel() - values["cy"]])
    radius = np.hypot(x, y)
    z = sum(values[f"a{power}"] * radius**power for power in range(5))
    rays = np.stack([x, y, z], axis=-1).reshape(*u.shape, 3)
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def exported(fisheye_set, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("c3vd") / "out"
    left_out = export(ExportOptions(fisheye_set, "c3vd", out))
    assert any(line.startswith("occlusion") for line in left_out)
    return out


def test_the_layout_gives_every_channel_back(fisheye_set: Path, exported: Path) -> None:
    before = None
    for view in readers.views(fisheye_set):
        frame, folder, stem = view.frame, exported / view.sequence, f"{view.number:04d}"
        assert (readers.image(folder / f"{stem}_color.png") == frame.rgb).all()
        depth = readers.image(folder / f"{stem}_depth.tiff")
        assert depth.dtype == np.uint16
        assert np.abs(depth / 65535 * 100 - frame.depth * 1000).max() <= 0.5 * 100 / 65535 + 1e-5
        normal = readers.image(folder / f"{stem}_normals.tiff")
        there = frame.depth > 0
        assert (normal.any(-1) == there).all()
        assert np.abs(normal / 65535 * 2 - 1 - frame.normal)[there].max() <= 1.01 / 65535
        # as the data set's example reads it: points as rows, times the matrix as it stands in the file
        pose = np.loadtxt(folder / "pose.txt", delimiter=",")[view.number].reshape(4, 4)
        assert pose[:3, 3].tolist() == [0, 0, 0]
        assert np.abs(pose[3, :3] / 1000 - frame.T_world_camera[:3, 3]).max() < 1e-9
        assert np.abs(pose[:3, :3].T - frame.T_world_camera[:3, :3]).max() < 1e-9
        rays, shown = frame.camera.rays()
        assert np.abs(lens_rays(folder / "config.ini") - rays)[shown].max() < 1e-4
        flow_path = folder / f"{stem}_flow.tiff"
        assert flow_path.is_file() == (view.number > 0)
        if view.number > 0:
            stored = readers.image(flow_path)
            known = stored[..., :2].any(-1)
            flow = stored[..., :2] / 65535 * 40 - 20
            # the point seen here, through the pose of the frame before, falls where the flow points
            points = rays / np.where(shown, rays[..., 2], 1)[..., None] * frame.depth[..., None]
            world = points @ frame.T_world_camera[:3, :3].T + frame.T_world_camera[:3, 3]
            back = (world - before.T_world_camera[:3, 3]) @ before.T_world_camera[:3, :3]
            pixels, _ = before.camera.project(back)
            row, column = np.indices(known.shape)
            expected = pixels - np.stack([column, row], axis=-1)
            assert np.abs(flow - expected)[known].max() < 0.5 * 40 / 65535 + 1e-4
            assert known[there].mean() > 0.5
            assert not known[~there].any()
        before = frame
    assert len(list(exported.glob("*/pose.txt"))) == 4


def test_going_forwards_the_flow_to_the_frame_before_points_inwards(exported: Path) -> None:
    stored = readers.image(exported / "ann-00" / "0001_flow.tiff")
    known = stored[..., 0] > 0
    flow = stored[..., :2] / 65535 * 40 - 20
    row, column = np.indices(known.shape)
    outward = np.stack([column - 19.5, row - 15.5], axis=-1)
    assert np.median((flow * outward).sum(-1)[known]) < 0


def test_flow_out_of_range_is_unknown_not_cut() -> None:
    flow = np.array([[[25.0, 0.0], [-19.99999, -19.99999], [0.0, 0.0], [3.0, 3.0]]], np.float32)
    valid = np.array([[True, True, True, False]])
    stored = stored_flow(flow, valid)[0]
    assert stored[0].tolist() == [0, 0, 0]
    assert stored[1].tolist() == [1, 1, 0]
    assert stored[2, :2].tolist() == [32768, 32768]
    assert stored[3].tolist() == [0, 0, 0]


def test_the_import_of_an_export_is_what_was_exported(fisheye_set: Path, exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "back"
    assert main(["dataset", "import", str(exported), "--format", "c3vd", "--out", str(out)]) == 0
    check(CheckOptions(out))
    index = read_dataset(out)
    assert index.splits["test"] == ("ann-00", "ann-01", "bob-00", "eve-00")
    for view, before in zip(readers.views(out), readers.views(fisheye_set), strict=True):
        there = before.frame.depth > 0
        assert (view.frame.rgb == before.frame.rgb).all()
        assert np.abs(view.frame.depth - before.frame.depth).max() <= 0.5 * 0.1 / 65535 + 1e-8
        assert np.abs(view.frame.T_world_camera - before.frame.T_world_camera).max() < 1e-6
        off = np.linalg.norm(view.frame.normal - before.frame.normal, axis=-1)[there]
        assert off.max() < np.radians(0.9)  # two roundings to a byte
        ours, shown = before.frame.camera.rays()
        assert np.abs(view.frame.camera.rays()[0] - ours)[shown].max() < 1e-3


def rigid(position_mm: tuple[float, float, float], *, by_rows: bool = False, mirrored: bool = False) -> str:
    pose = np.eye(4)
    pose[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, -1 if mirrored else 1]]
    pose[:3, 3] = position_mm
    return ",".join(map(str, (pose if by_rows else pose.T).ravel()))


def hand_made(folder: Path, poses: list[str], *, padded: bool = True, lens: str | None = None) -> Path:
    """Write a sequence as the data set has it."""
    place = folder / "cecum_t1_a"
    place.mkdir(parents=True)
    for number in range(len(poses)):
        stem = f"{number:04d}"
        cv2.imwrite(str(place / (f"{stem}_color.png" if padded else f"{number}_color.png")),
                    np.full((12, 16, 3), (30, 60, 90), np.uint8))  # fmt: skip
        depth = np.full((12, 16), 13107, np.uint16)  # 20 mm
        depth[0, :2] = 0, 65535
        cv2.imwrite(str(place / f"{stem}_depth.tiff"), depth)
        normals = np.full((12, 16, 3), (0, 32768, 32768), np.uint16)  # blue, green, red: (0, 0, -1)
        cv2.imwrite(str(place / f"{stem}_normals.tiff"), normals)
    (place / "pose.txt").write_text("\n".join(poses) + "\n")
    if lens is None:
        lens = "width=16\nheight=12\ncx=7.5\ncy=5.5\n; a comment\na0=20\na1=0\na2=0\na3=0\na4=0\nc=1\nd=0\ne=0\n"
    (place / "config.ini").write_text(lens)
    return folder


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_a_hand_made_sequence_comes_in_with_its_units_and_the_order_of_its_numbers(
    by_rows: bool, padded: bool, tmp_path: Path
) -> None:
    source = hand_made(tmp_path / "in", [rigid((10, 20, 30), by_rows=by_rows)] * 2, padded=padded)
    import_dataset(ImportOptions(source, "c3vd", tmp_path / "out"))
    frame = readers.views(tmp_path / "out")[1].frame
    assert np.allclose(frame.T_world_camera[:3, 3], (0.010, 0.020, 0.030))
    assert np.allclose(frame.T_world_camera[:3, :3], [[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert frame.depth[5, 5] == pytest.approx(0.02, abs=1e-8)
    assert frame.depth[0, :2].tolist() == [0, 0]  # unknown below and above
    assert frame.rgb[5, 5].tolist() == [90, 60, 30]
    assert np.abs(frame.normal[5, 5] - (0, 0, -1)).max() < 1e-3
    ray = frame.camera.rays()[0][5, 15]
    assert ray[0] / ray[2] == pytest.approx(7.5 / 20, rel=1e-3)
    check(CheckOptions(tmp_path / "out"))


@pytest.mark.parametrize(
    ("poses", "lens", "said"),
    [
        ([rigid((1, 2, 3), mirrored=True)], None, "line 1: expected a rotation, right-handed"),
        (["1,2,3"], None, "expected 16 finite numbers"),
        ([",".join(["1"] * 16)], None, "expected 4 x 4 poses"),
        ([rigid((0, 0, 0))], "width=16\nheight=12\n", "found no cx, cy, a0"),
        (
            [rigid((0, 0, 0))],
            "width=17\nheight=12\ncx=7\ncy=5\na0=20\na2=0\na3=0\na4=0\nc=1\nd=0\ne=0",
            "found 17 x 12",
        ),
        (
            [rigid((0, 0, 0))],
            "width=16\nheight=12\ncx=7\ncy=5\na0=-1\na2=0\na3=0\na4=0\nc=1\nd=0\ne=0",
            "camera: expected",
        ),
        (
            [rigid((0, 0, 0))],
            "width=16\nheight=12\ncx=7\ncy=x\na0=20\na2=0\na3=0\na4=0\nc=1\nd=0\ne=0",
            "expected numbers",
        ),
    ],
)
def test_a_damaged_sequence_is_refused_by_name(poses: list[str], lens: str | None, said: str, tmp_path: Path) -> None:
    source = hand_made(tmp_path / "in", poses, lens=lens)
    with pytest.raises(InputError, match=said):
        import_dataset(ImportOptions(source, "c3vd", tmp_path / "out"))


def test_without_a_lens_only_the_size_of_the_colonoscope_will_do(tmp_path: Path) -> None:
    source = hand_made(tmp_path / "in", [rigid((0, 0, 0))])
    (source / "cecum_t1_a" / "config.ini").unlink()
    with pytest.raises(InputError, match="expected images of 1350 x 1080 px or a"):
        import_dataset(ImportOptions(source, "c3vd", tmp_path / "out"))


def test_sequences_of_one_model_stay_in_one_split(tmp_path: Path) -> None:
    for name in ("cecum_t1_a", "cecum_t2_b", "desc_t4_a", "trans_t1_a"):
        hand_made(tmp_path / "made" / name, [rigid((0, 0, 1))])
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "made" / name / "cecum_t1_a").rename(tmp_path / "in" / name)
    options = ImportOptions(tmp_path / "in", "c3vd", tmp_path / "out", splits=(0.34, 0.33, 0.33))
    assert import_dataset(options).splits == {
        "train": ("cecum_t1_a", "cecum_t2_b"),
        "validation": ("desc_t4_a",),
        "test": ("trans_t1_a",),
    }


def test_a_pinhole_is_an_omnidirectional_lens_exactly(pinhole_camera: Camera) -> None:
    lens, off = omnidirectional(pinhole_camera)
    assert off < 1e-4  # the rays are 32 bit
    assert lens.distortion == (pinhole_camera.fy, 0, 0, 0, pinhole_camera.fx / pinhole_camera.fy, 0, 0)


def test_an_omnidirectional_lens_stays_what_it_is() -> None:
    assert omnidirectional(CF_HQ190L) == (CF_HQ190L, 0.0)


@pytest.mark.parametrize("fov", [90.0, 140.0, 170.0])
def test_a_fisheye_is_one_to_a_small_part_of_a_pixel(fov: float) -> None:
    camera = Camera.with_fov(256, 256, fov)
    lens, off = omnidirectional(camera)
    assert off < (0.6 if fov > 150 else 0.06)
    ours, shown = camera.rays()
    assert np.abs(lens.rays()[0] - ours)[shown].max() < 0.02


def test_the_lens_of_c3vd_in_another_size_sees_the_same() -> None:
    small = rescaled_camera(CF_HQ190L, 270, 135)  # a fifth across, an eighth down
    u, v = np.meshgrid(np.arange(0.0, 270, 30), np.arange(0.0, 135, 15))
    rays, shown = (array[v.astype(int), u.astype(int)] for array in small.rays())
    found, _ = CF_HQ190L.project(rays.astype(np.float64))
    expected = np.stack([(u + 0.5) * 5 - 0.5, (v + 0.5) * 8 - 0.5], axis=-1)
    assert shown.mean() > 0.9
    assert np.abs(found - expected)[shown].max() < 1e-2


def test_without_a_lens_the_colonoscope_s_size_takes_its_lens(tmp_path: Path) -> None:
    (tmp_path / "cecum_t1_a").mkdir()
    assert read_lens(tmp_path / "cecum_t1_a", 1350, 1080) == CF_HQ190L

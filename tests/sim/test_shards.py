import errno
import json
import tarfile
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.errors import InputError
from assets.transforms import unit
from sim import codec
from sim.camera import Camera
from sim.conventions import CONVENTIONS
from sim.frame import Frame
from sim.quantisation import OBJECT_STEP, quantise_normal, restore_normal
from sim.shards import Sample, decode, encode, file_sha256, index_record, read_shard, shard_info, write_shard

HEIGHT, WIDTH = 12, 17


def make_frame(seed: int = 0) -> Frame:
    rng = np.random.default_rng(seed)
    shown = rng.random((HEIGHT, WIDTH)) > 0.2
    valid = rng.random((HEIGHT, WIDTH)) > 0.5
    normal = unit(rng.normal(size=(HEIGHT, WIDTH, 3))) * shown[..., None]
    flow = rng.uniform(-300, 300, (HEIGHT, WIDTH, 2)) * valid[..., None]
    return Frame(
        rgb=rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8),
        semantic=(rng.integers(1, 256, (HEIGHT, WIDTH)) * shown).astype(np.uint8),
        instance=(rng.integers(1, 65536, (HEIGHT, WIDTH)) * shown).astype(np.uint16),
        depth=(rng.uniform(1e-3, 0.6, (HEIGHT, WIDTH)) * shown).astype(np.float32),
        normal=normal.astype(np.float32),
        flow=flow.astype(np.float32),
        flow_valid=valid,
        T_world_camera=np.block([[np.eye(3), rng.normal(size=(3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]]),
        camera=Camera(WIDTH, HEIGHT, 9.0, 8.5, 8.0, 5.5, "fisheye", (0.1, 0.01, 0.0, -0.001), content_radius=8.0),
        time=1.25,
        exposure=0.75,
    )


def samples(seed: int = 0, count: int = 3) -> list[Sample]:
    return [encode(make_frame(seed + i), {"patient": "a", "step": i}, key=f"{i:06d}") for i in range(count)]


def test_every_channel_comes_back_within_its_stated_quantisation() -> None:
    frame = make_frame()
    back = decode(encode(frame, {}, key="a", with_flow=True))
    for exact in ("rgb", "semantic", "instance", "flow_valid", "T_world_camera"):
        np.testing.assert_array_equal(getattr(back, exact), getattr(frame, exact))
    assert (back.camera, back.time, back.exposure) == (frame.camera, frame.time, frame.exposure)
    assert np.abs(back.depth - frame.depth).max() <= 0.5e-5 * 1.001
    assert np.abs(back.flow - frame.flow).max() <= 0.5 / 64 * 1.001
    np.testing.assert_array_equal(back.depth == 0, frame.depth == 0)
    np.testing.assert_array_equal(back.normal.any(axis=-1), frame.normal.any(axis=-1))
    assert back.depth.dtype == back.normal.dtype == back.flow.dtype == np.float32


def test_channels_on_request_come_back_and_are_missing_where_not_asked_for() -> None:
    frame, rng = make_frame(), np.random.default_rng(3)
    seen = frame.instance > 0
    full = replace(
        frame,
        part=(rng.integers(1, 65536, (HEIGHT, WIDTH)) * seen).astype(np.uint16),
        distance=(rng.uniform(1e-3, 0.65, (HEIGHT, WIDTH)) * seen).astype(np.float32),
        light_distance=(rng.uniform(1e-3, 0.65, (HEIGHT, WIDTH)) * seen).astype(np.float32),
        object_point=(rng.uniform(-1.6, 1.6, (HEIGHT, WIDTH, 3)) * seen[..., None]).astype(np.float32),
        flow_back=-frame.flow,
        flow_back_valid=frame.flow_valid,
    )
    back = decode(encode(full, {}, key="a"))
    assert back.part is not None
    np.testing.assert_array_equal(back.part, full.part)
    np.testing.assert_array_equal(back.flow_back_valid, full.flow_back_valid)
    assert np.abs(back.distance - full.distance).max() <= 0.5e-5 * 1.01
    assert np.abs(back.light_distance - full.light_distance).max() <= 0.5e-5 * 1.01
    assert np.abs(back.object_point - full.object_point).max() <= 0.5 * OBJECT_STEP * 1.01
    assert np.abs(back.flow_back - full.flow_back).max() <= 0.5 / 64 * 1.001
    assert not back.object_point[~seen].any()
    plain = decode(encode(frame, {}, key="a"))
    assert all(
        getattr(plain, name) is None for name in ("part", "distance", "light_distance", "object_point", "flow_back")
    )
    assert all(f"{name}.png" in CONVENTIONS for name in codec.OPTIONAL)
    far = replace(full, object_point=np.full((HEIGHT, WIDTH, 3), 1.7, np.float32))
    with pytest.raises(ValueError, match=r"object_point: expected at most 1\.638 m"):
        encode(far, {}, key="a")
    deep = replace(full, distance=np.full((HEIGHT, WIDTH), 0.7, np.float32))
    with pytest.raises(ValueError, match=r"distance: expected at most 0\.65535 m"):
        encode(deep, {}, key="a")


def test_normals_stay_within_their_angle_in_all_directions() -> None:
    # A Fibonacci sphere: directions spread evenly, and the axes, where a component is exactly 0 or 1.
    index = np.arange(20000) + 0.5
    polar, around = np.arccos(1 - 2 * index / 20000), np.pi * (1 + 5**0.5) * index
    sphere = np.stack([np.cos(around) * np.sin(polar), np.sin(around) * np.sin(polar), np.cos(polar)], axis=-1)
    normals = np.concatenate([sphere, np.eye(3), -np.eye(3)])[None].astype(np.float32)
    back = restore_normal(quantise_normal(normals)).astype(np.float64)
    sine = np.linalg.norm(np.cross(back, normals.astype(np.float64)), axis=-1)
    assert np.degrees(np.arcsin(sine)).max() < 0.4
    np.testing.assert_allclose(np.linalg.norm(back, axis=-1), 1, atol=1e-6)
    assert (np.einsum("ijk,ijk->ij", back, normals) > 0).all()


def test_no_flow_is_flow_that_is_invalid_everywhere() -> None:
    back = decode(encode(make_frame(), {}, key="a"))
    assert not back.flow_valid.any()
    assert not back.flow.any()


@pytest.mark.parametrize("depth", [0.66, -0.01, np.nan, np.inf, 1e-7])
def test_depth_that_does_not_fit_is_a_fault_that_names_its_pixel(depth: float) -> None:
    frame = make_frame()
    frame.depth[3, 4] = depth
    with pytest.raises(ValueError, match=r"sample k: depth: expected .* at row 3, column 4 \(1 such pixels\)"):
        encode(frame, {}, key="k")


def test_a_larger_stated_step_reaches_farther() -> None:
    frame = make_frame()
    frame.depth[3, 4] = 1.2
    back = decode(encode(frame, {}, key="k", depth_step=2e-5))
    assert back.depth[3, 4] == pytest.approx(1.2, abs=1e-5)


def test_flow_and_normals_that_do_not_fit_are_faults() -> None:
    frame = make_frame()
    frame.flow[2, 1], frame.flow_valid[2, 1] = 600, True
    with pytest.raises(ValueError, match=r"flow: .* row 2, column 1"):
        encode(frame, {}, key="k", with_flow=True)
    frame.normal[5, 6] = (0.5, 0, 0)
    with pytest.raises(ValueError, match=r"normal: .* row 5, column 6"):
        encode(frame, {}, key="k")


def test_bad_keys_and_reserved_meta_are_refused() -> None:
    with pytest.raises(ValueError, match="key of letters"):
        encode(make_frame(), {}, key="../a")
    with pytest.raises(ValueError, match="exposure"):
        encode(make_frame(), {"exposure": 2}, key="a")


def test_same_samples_give_the_same_bytes_and_others_do_not(tmp_path: Path) -> None:
    first = write_shard(tmp_path / "one" / "a.tar", samples())
    second = write_shard(tmp_path / "two" / "a.tar", samples())
    other = write_shard(tmp_path / "b.tar", samples(seed=9))
    assert first == second == shard_info(tmp_path / "one" / "a.tar")
    assert first.sha256 == file_sha256(tmp_path / "two" / "a.tar") != other.sha256
    assert (first.count, first.bytes) == (3, (tmp_path / "one" / "a.tar").stat().st_size)


def test_samples_come_back_in_order_with_their_meta(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", samples())
    back = list(read_shard(tmp_path / "a.tar"))
    assert [sample.key for sample in back] == ["000000", "000001", "000002"]
    assert [sample.meta()["step"] for sample in back] == [0, 1, 2]
    assert [dict(sample.members) for sample in back] == [dict(sample.members) for sample in samples()]


def test_members_are_standard_files_that_other_tools_read(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", samples(count=1))
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert {(m.mtime, m.uid, m.gid, m.mode, m.uname) for m in tar} == {(0, 0, 0, 0o644, "")}
        depth = tar.extractfile("000000.depth.png").read()
    stored = cv2.imdecode(np.frombuffer(depth, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(stored * 1e-5, make_frame().depth, atol=0.6e-5)


def test_an_interrupted_shard_leaves_nothing(tmp_path: Path) -> None:
    def interrupted():
        yield from samples(count=1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path / "a.tar", interrupted())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_names_the_shard_and_leaves_nothing(tmp_path: Path) -> None:
    def until_the_disk_is_full():
        yield from samples(count=1)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: '.*/a\.tar'"):
        write_shard(tmp_path / "a.tar", until_the_disk_is_full())
    assert list(tmp_path.iterdir()) == []


def test_a_shard_cut_anywhere_or_damaged_in_a_header_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", samples(count=1))
    data = (tmp_path / "a.tar").read_bytes()
    content = len(data.rstrip(b"\0"))
    for cut in range(0, content, 512):
        (tmp_path / "cut.tar").write_bytes(data[:cut])
        with pytest.raises(InputError, match=r"cut\.tar"):
            list(read_shard(tmp_path / "cut.tar"))
    second = 512 + -(-len(samples(count=1)[0].members["depth.png"]) // 512) * 512
    assert data[second : second + 6] == b"000000"
    (tmp_path / "cut.tar").write_bytes(data[: second + 100] + b"x" + data[second + 101 :])
    with pytest.raises(InputError, match=f"byte {second}"):
        list(read_shard(tmp_path / "cut.tar"))


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 6000), value=st.integers(0, 255))
def test_a_damaged_byte_is_an_input_error_or_harmless(tmp_path_factory, place: int, value: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    if not folder.exists():
        write_shard(folder / "a.tar", samples(count=1))
    data = bytearray((folder / "a.tar").read_bytes())
    data[place] = value
    (folder / "b.tar").write_bytes(data)
    with suppress(InputError):
        for sample in read_shard(folder / "b.tar"):
            sample.frame()


@pytest.mark.parametrize("name", ["../a.rgb.png", "/etc/a.rgb.png", "a/b.rgb.png", "plain"])
def test_a_path_that_escapes_is_refused(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(name), BytesIO())
    with pytest.raises(InputError, match=r"expected plain files named KEY\.NAME"):
        list(read_shard(tmp_path / "a.tar"))


def test_links_and_repeated_samples_are_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("a.rgb.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(link)
    with pytest.raises(InputError, match="plain files"):
        list(read_shard(tmp_path / "a.tar"))
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("a.x", "b.x", "a.x"):
            tar.addfile(tarfile.TarInfo(name), BytesIO())
    with pytest.raises(InputError, match="a second time"):
        list(read_shard(tmp_path / "a.tar"))


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(read_shard(tmp_path / "a.tar"))
    (tmp_path / "a.tar").write_bytes(b"not a tar" * 200)
    with pytest.raises(InputError, match=r"a\.tar: expected a whole tar"):
        list(read_shard(tmp_path / "a.tar"))


def with_members(**changed: bytes) -> Sample:
    sample = samples(count=1)[0]
    return Sample(
        "a", {**sample.members, **{name.replace("_", "."): data for name, data in changed.items()}}, "x.tar: a"
    )


def test_damaged_members_name_the_place() -> None:
    wrong_type = cv2.imencode(".png", np.zeros((HEIGHT, WIDTH), np.uint16))[1].tobytes()
    wrong_size = cv2.imencode(".png", np.zeros((3, WIDTH), np.uint8))[1].tobytes()
    meta = samples(count=1)[0].meta()
    for sample, message in (
        (with_members(semantic_png=b"junk"), r"x\.tar: a\.semantic\.png: expected a PNG"),
        (with_members(semantic_png=wrong_type), r"semantic\.png: expected 1 channel\(s\) of uint8, found 1 of uint16"),
        (with_members(semantic_png=wrong_size), r"semantic\.png: expected 17 x 12 px as its camera, found 17 x 3"),
        (with_members(semantic_png=wrong_size[:-20]), r"semantic\.png: expected a whole PNG"),
        (with_members(meta_json=b"["), r"meta\.json: expected JSON"),
        (with_members(meta_json=b"[]"), "expected a JSON object"),
        (with_members(meta_json=json.dumps({**meta, "depth_step": 0}).encode()), "positive depth_step"),
        (with_members(meta_json=json.dumps({**meta, "camera": {"width": 3}}).encode()), "expected a camera"),
        (with_members(meta_json=json.dumps({**meta, "T_world_camera": [[1]]}).encode()), "4 x 4"),
        (with_members(meta_json=json.dumps({**meta, "time": "soon"}).encode()), "finite number as time"),
        (Sample("a", {}, "x.tar: a"), r"x\.tar: a: expected a member meta\.json"),
    ):
        with pytest.raises(InputError, match=message):
            sample.frame()


def test_the_index_counts_pixels_by_label() -> None:
    frame = make_frame()
    record = index_record(encode(frame, {"patient": "p", "split": "train", "other": 1}, key="k"), "s.tar")
    assert record["pixels"][str(int(frame.semantic[0, 0]))] == np.count_nonzero(frame.semantic == frame.semantic[0, 0])
    assert sum(record["pixels"].values()) == HEIGHT * WIDTH
    assert {key: record[key] for key in ("key", "shard", "patient", "split", "time")} == {
        "key": "k",
        "shard": "s.tar",
        "patient": "p",
        "split": "train",
        "time": 1.25,
    }
    assert "other" not in record

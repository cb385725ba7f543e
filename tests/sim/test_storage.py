"""PNG files written here, JPEG and NPY members: what comes back, and what of damaged or hostile ones is refused."""

import struct
import zlib
from dataclasses import replace
from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from assets.errors import InputError
from assets.transforms import unit
from sim import png
from sim.camera import Camera
from sim.codec import Storage, storage_of
from sim.frame import Frame
from sim.jpeg import decode_jpeg, encode_jpeg
from sim.npy import decode_npy, encode_npy
from sim.png import decode_png, encode_png
from sim.shards import Sample, encode

HEIGHT, WIDTH = 24, 17
EXACT = ("depth", "normal", "flow", "flow_back", "distance", "object_point", "light_distance")


def full_frame() -> Frame:
    rng = np.random.default_rng(5)
    seen = rng.random((HEIGHT, WIDTH)) > 0.2
    valid = rng.random((HEIGHT, WIDTH)) > 0.5

    def lengths() -> np.ndarray:
        return (rng.uniform(1e-3, 3.0, (HEIGHT, WIDTH)) * seen).astype(np.float32)  # farther than 16 bit reach

    smooth = cv2.resize(rng.integers(0, 256, (4, 4, 3), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return Frame(
        rgb=smooth,
        semantic=seen.astype(np.uint8),
        instance=seen.astype(np.uint16),
        depth=lengths(),
        normal=(unit(rng.normal(size=(HEIGHT, WIDTH, 3))) * seen[..., None]).astype(np.float32),
        flow=(rng.uniform(-900, 900, (HEIGHT, WIDTH, 2)) * valid[..., None]).astype(np.float32),
        flow_valid=valid,
        T_world_camera=np.eye(4),
        camera=Camera.with_fov(WIDTH, HEIGHT, 120.0),
        time=1.0,
        exposure=1.0,
        distance=lengths(),
        light_distance=lengths(),
        object_point=(rng.uniform(-3, 3, (HEIGHT, WIDTH, 3)) * seen[..., None]).astype(np.float32),
        flow_back=(rng.uniform(-900, 900, (HEIGHT, WIDTH, 2)) * valid[..., None]).astype(np.float32),
        flow_back_valid=valid,
    )


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
    wide=st.booleans(),
    how=st.sampled_from(["none", "up", "average"]),
    seed=st.integers(0, 1000),
    by_isal=st.booleans(),
)
def test_others_read_a_png_as_it_was(height, width, channels, wide, how, seed, by_isal) -> None:
    rng = np.random.default_rng(seed)
    dtype = np.uint16 if wide else np.uint8
    image = rng.integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype)
    image = image if channels == 3 else image[..., 0]
    with pytest.MonkeyPatch.context() as patch:
        if not by_isal:
            patch.setattr(png, "isal_zlib", None)
        data = encode_png(image, how)
        assert data == encode_png(image, how)
    np.testing.assert_array_equal(decode_png(data, dtype, channels, "here"), image)
    if not (wide and channels == 3):  # Pillow has no such mode
        np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(data))).reshape(image.shape), image)
    chunks = chunks_of(data)
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    assert len(zlib.decompress(chunks[1][1])) == height * (1 + width * channels * image.itemsize)


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Take a PNG apart by hand, checksums looked at."""
    found, place = [], 8
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length])[0] == zlib.crc32(kind + body)
        found.append((kind, body))
        place += 12 + length
    return found


def test_colours_as_jpeg_are_near_and_small_and_all_else_is_as_before() -> None:
    frame = replace(full_frame(), depth=full_frame().depth / 10, distance=None, light_distance=None, object_point=None)
    frame = replace(frame, flow_back=None, flow_back_valid=None)
    exact, lossy = encode(frame, {}, key="a"), encode(frame, {}, key="a", storage=Storage(rgb="jpg"))
    assert set(lossy.members) == {*exact.members, "rgb.jpg"} - {"rgb.png"}
    assert all(lossy.members[name] == exact.members[name] for name in exact.members if name != "rgb.png")
    off = lossy.channel("rgb").astype(int) - frame.rgb
    assert 0 < np.abs(off).mean() < 2
    by_pillow = np.asarray(Image.open(BytesIO(lossy.members["rgb.jpg"])).convert("RGB")).astype(int)
    assert np.abs(by_pillow - lossy.channel("rgb")).max() <= 2  # red is red; the inverse transforms differ by rounding
    assert lossy.stored("rgb")[0] == "rgb.jpg"
    assert storage_of(lossy.members) == Storage("jpg")


def test_exact_channels_come_back_bit_by_bit_beyond_what_16_bit_reach() -> None:
    frame = full_frame()
    sample = encode(frame, {}, key="a", with_flow=True, storage=Storage(exact=EXACT))
    assert storage_of(sample.members) == Storage(exact=EXACT)
    back = sample.frame()
    for name in (*EXACT, "flow_valid", "flow_back_valid"):
        found, expected = getattr(back, name), getattr(frame, name)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected, err_msg=name)
        plain = np.load(BytesIO(sample.members[f"{name}.npy"]), allow_pickle=False) if name in EXACT else expected
        np.testing.assert_array_equal(plain[..., :2] if "flow" in name and plain.ndim == 3 else plain, expected)
    with pytest.raises(ValueError, match=r"sample a: depth: expected at most 0\.65535 m"):
        encode(frame, {}, key="a")


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.01])
def test_an_exact_depth_that_is_none_is_a_fault_that_names_its_pixel(wrong: float) -> None:
    frame = full_frame()
    frame.depth[3, 4] = wrong
    with pytest.raises(ValueError, match=r"sample k: depth: expected a finite depth of 0 m or more.* row 3, column 4"):
        encode(frame, {}, key="k", storage=Storage(exact=EXACT))


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    stream = BytesIO()
    np.lib.format.write_array(stream, array, version=version, allow_pickle=True)
    return stream.getvalue()


def with_shape(shape: str) -> bytes:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected an NPY file"),
        (b"\x93NUMPY", "expected an NPY file"),
        (npy(np.array([[{}]], object)), r"expected numbers <f4 in C order, found '\|O'"),
        (npy(np.zeros((3, 4))), r"expected numbers <f4 in C order, found '<f8'"),
        (npy(np.zeros((3, 4, 3), np.float32)), r"expected 1 channel\(s\), found an array of \(3, 4, 3\)"),
        (npy(np.zeros((3, 4), np.float32, order="F")), "with fortran_order True"),
        (npy(np.zeros((3, 4), np.float32), (2, 0)), r"expected an NPY file of version 1\.0"),
        (npy(np.full((3, 4), np.nan, np.float32)), "expected finite numbers"),
        (npy(np.zeros((3, 4), np.float32))[:-4], r"expected \(3, 4\) numbers, found 44 bytes"),
        (npy(np.zeros((3, 4), np.float32)) + b"more", "found 52 bytes"),
        (with_shape("(9000000, 9000000)"), "expected 1 to 8192 px a side"),
        (with_shape("(-1, 4)"), "expected 1 to 8192 px a side"),
        (with_shape("(8192, 8192)"), "numbers, found 0 bytes"),
        (with_shape("(" * 300), "expected an NPY file"),
    ],
)
def test_a_damaged_or_hostile_npy_is_refused_before_it_takes_memory(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=f"here: .*{said}"):
        decode_npy(data, 1, "here")


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 200), value=st.integers(0, 255), cut=st.integers(0, 300))
def test_an_npy_with_any_byte_changed_is_read_or_refused(place: int, value: int, cut: int) -> None:
    data = bytearray(encode_npy(np.arange(12, dtype=np.float32).reshape(3, 4)))
    data[place % len(data)] = value
    try:
        found = decode_npy(bytes(data[: len(data) - cut]), 1, "here").size
    except InputError:
        found = 12  # refused in one line, and by no other error
    assert found == 12


def test_damaged_jpegs_are_refused() -> None:
    whole = encode_jpeg(full_frame().rgb)
    grey = cv2.imencode(".jpg", full_frame().semantic)[1].tobytes()
    place = whole.index(b"\xff\xc0")
    huge = whole[: place + 5] + b"\xff\xff\xff\xff" + whole[place + 9 :]
    for data, said in (
        (b"junk", "expected a JPEG, found"),
        (b"\xff\xd8\xff", "expected a JPEG, found"),
        (whole[:-2], "expected a whole JPEG"),
        (grey, "expected a JPEG of 3 channels, found 1"),
        (huge, "expected 1 to 8192 px a side, found 65535 x 65535"),
    ):
        with pytest.raises(InputError, match=f"here: {said}"):
            decode_jpeg(data, "here")


def test_a_sample_with_a_channel_twice_is_refused() -> None:
    frame = full_frame()
    sample = encode(frame, {}, key="a", storage=Storage("jpg", exact=EXACT))
    png_too = Sample("a", {**sample.members, "rgb.png": encode_png(frame.rgb, "average")}, "x.tar: a")
    with pytest.raises(InputError, match=r"x\.tar: a: expected one member of rgb, found rgb\.png and rgb\.jpg"):
        png_too.frame()
    negative = Sample("a", {**sample.members, "depth.npy": encode_npy(-frame.depth)}, "x.tar: a")
    with pytest.raises(InputError, match=r"x\.tar: a\.depth\.npy: expected lengths of 0 m or more"):
        negative.frame()

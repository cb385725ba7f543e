"""Our shards, read by others: with the package webdataset, and with nothing but the standard library's tarfile."""

import importlib.util
import json
import struct
import tarfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from sim.dataset_index import read_dataset

spec = importlib.util.spec_from_file_location("export_readers", Path(__file__).with_name("readers.py"))
readers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(readers)

# webdataset leaves it to the garbage collector to close a shard
LEAVES_FILES_OPEN = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@LEAVES_FILES_OPEN
def test_webdataset_gives_every_frame(fisheye_set: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    names = [info.name for info in read_dataset(fisheye_set).shards["train"]]
    urls = [str(fisheye_set / name) for name in names]
    expected = {view.key: view for view in readers.views(fisheye_set) if view.split == "train"}
    seen = set()
    for sample in webdataset.WebDataset(urls, shardshuffle=False, empty_check=False):
        view = expected[sample["__key__"]]
        assert {name for name in sample if name[0] != "_"} == set(view.sample.members)
        assert all(sample[name] == data for name, data in view.sample.members.items())
        assert json.loads(sample["meta.json"])["patient"] == view.patient
        mask = cv2.imdecode(np.frombuffer(sample["semantic.png"], np.uint8), cv2.IMREAD_UNCHANGED)
        assert (mask == view.frame.semantic).all()
        seen.add(view.key)
    assert seen == set(expected)


@LEAVES_FILES_OPEN
def test_webdataset_gives_them_in_a_loader_of_two_workers(fisheye_set: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    torch = pytest.importorskip("torch")
    urls = [str(path) for path in read_dataset(fisheye_set).paths(fisheye_set, "train")]
    data = webdataset.WebDataset(urls, shardshuffle=False).to_tuple("rgb.png", "__key__")
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=2)
    frames = {view.key: view.frame for view in readers.views(fisheye_set)}
    keys = []
    for colours, key in loader:
        decoded = cv2.imdecode(np.frombuffer(colours, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
        assert (decoded == frames[key].rgb).all()
        keys.append(key)
    assert sorted(keys) == sorted(view.key for view in readers.views(fisheye_set) if view.split == "train")


def unpacked_png(data: bytes) -> np.ndarray:
    """Decode a PNG by hand: 8 or 16 bit, one or three channels, not interlaced."""
    place, compressed = 8, b""
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, bits, colour = struct.unpack(">IIBB", body[:10])
        elif kind == b"IDAT":
            compressed += body
        place += length + 12
    channels, size = {0: 1, 2: 3}[colour], bits // 8
    step = channels * size
    raw = np.frombuffer(zlib.decompress(compressed), np.uint8).reshape(height, 1 + width * step)
    lines = np.zeros((height + 1, width * step + step), np.int64)
    for row in range(height):
        kind, coded, above, line = raw[row, 0], raw[row, 1:], lines[row], lines[row + 1]
        for index in range(width * step):
            here = index + step
            left, up, corner = line[here - step], above[here], above[here - step]
            distance = [abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)]
            paeth = (left, up, corner)[distance.index(min(distance))]
            line[here] = (int(coded[index]) + (0, left, up, (left + up) // 2, paeth)[kind]) % 256
    pixels = lines[1:, step:].astype(np.uint8).reshape(height, width, channels, size)
    values = pixels.view(">u2")[..., 0] if size == 2 else pixels[..., 0]
    return values if channels == 3 else values[..., 0]


def test_tarfile_and_the_conventions_in_dataset_json_are_enough(fisheye_set: Path) -> None:
    about = json.loads((fisheye_set / "dataset.json").read_text())
    assert "steps of depth_step metres" in about["conventions"]["depth.png"]
    frames = {view.key: view.frame for view in readers.views(fisheye_set)}
    with tarfile.open(fisheye_set / about["shards"]["validation"][0]["name"]) as tar:
        members = {name: tar.extractfile(name).read() for name in tar.getnames()}
    keys = sorted({name.split(".")[0] for name in members})
    assert len(keys) == about["shards"]["validation"][0]["count"] == 4
    key = keys[0]
    frame, meta = frames[key], json.loads(members[f"{key}.meta.json"])
    assert (unpacked_png(members[f"{key}.rgb.png"]) == frame.rgb).all()
    assert (unpacked_png(members[f"{key}.semantic.png"]) == frame.semantic).all()
    assert (unpacked_png(members[f"{key}.instance.png"]) == frame.instance).all()
    depth = unpacked_png(members[f"{key}.depth.png"]) * meta["depth_step"]
    assert np.abs(depth - frame.depth).max() < 1e-8
    normal = unpacked_png(members[f"{key}.normal.png"]).astype(float) - 128
    there = frame.depth > 0
    assert np.abs(normal / 127 - frame.normal)[there].max() < 0.01
    flow = unpacked_png(members[f"{key}.flow.png"]).astype(float)
    assert np.abs((flow[..., :2] - 32768) / 64 - frame.flow)[flow[..., 2] == 1].max() == 0
    assert meta["T_world_camera"] == frame.T_world_camera.tolist()
    polyp = about["labels"]["polyp"]
    assert (frame.semantic == polyp).any()


def test_nothing_of_this_machine_is_in_a_shard(fisheye_set: Path) -> None:
    with tarfile.open(fisheye_set / "ann.tar") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")

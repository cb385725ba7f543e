"""Files from outside that lie: each is one clear line, without a hang, a blow-up, or a way out of its folder."""

import bz2
import gzip
import io
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.errors import InputError
from assets.importers import dicom_files
from assets.importers.detect import Request, import_source
from assets.importers.volume_file import read_volume
from tests.assets.volume_files import (
    metaimage_header,
    nrrd_bytes,
    segment,
    write_mha,
    write_nifti,
    write_seg,
    write_series,
)

AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])
DATA = np.random.default_rng(0).integers(0, 6, (8, 7, 6)).astype(np.uint8)
FORMATS = ("nii", "nii.gz", "nrrd", "raw.nrrd", "mha", "raw.mha", "dcm", "seg.dcm")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """One good file of each format, as bytes."""
    folder = tmp_path_factory.mktemp("good")
    series = write_series(folder / "ct", DATA.astype(np.int16) * 100, AFFINE)
    write_seg(folder / "seg.dcm", {"liver": DATA == 5, "spleen": DATA == 4}, AFFINE)
    return {
        "nii": write_nifti(folder / "v.nii", DATA, AFFINE).read_bytes(),
        "nii.gz": write_nifti(folder / "v.nii.gz", DATA, AFFINE).read_bytes(),
        "nrrd": nrrd_bytes(DATA, AFFINE, extra=segment(0, "liver", 5, 0)),
        "raw.nrrd": nrrd_bytes(DATA, AFFINE, encoding="raw"),
        "mha": write_mha(folder / "v.mha", DATA, AFFINE).read_bytes(),
        "raw.mha": write_mha(folder / "v.mha", DATA, AFFINE, compressed=False).read_bytes(),
        "dcm": (series / "0000.dcm").read_bytes(),
        "seg.dcm": (folder / "seg.dcm").read_bytes(),
    }


def refused(path: Path, match: str | None = None) -> str:
    with pytest.raises(InputError, match=match or None) as error:
        read_volume(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1500
    return str(error.value)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9, 0.995])
def test_a_truncated_file_is_one_line(tmp_path, whole, kind, share):
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(whole[kind][: int(share * len(whole[kind]))])
    refused(path)


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_refused_or_read_but_never_a_traceback(tmp_path_factory, whole, kind, data):
    content = bytearray(whole[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 1500) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage") / f"v.{kind}"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said = ""
        try:
            volume = read_volume(path)
            assert np.isfinite(volume.T_world_index).all()
        except InputError as error:
            said = str(error)
        assert "\n" not in said


def bombed(kind: str, count: int) -> bytes:
    """A small file whose header is honest about 8 x 7 x 6 voxels, and whose packed data go on and on."""
    zeros = b"\0" * count
    if kind == "nrrd":
        head = nrrd_bytes(DATA, AFFINE, encoding="raw").split(b"\n\n")[0].replace(b"encoding: raw", b"encoding: gzip")
        return head + b"\n\n" + gzip.compress(zeros)
    if kind == "bz2.nrrd":
        head = nrrd_bytes(DATA, AFFINE, encoding="raw").split(b"\n\n")[0].replace(b"encoding: raw", b"encoding: bzip2")
        return head + b"\n\n" + bz2.compress(zeros)
    return metaimage_header(DATA, AFFINE, CompressedData="True").encode() + zlib.compress(zeros)


@pytest.mark.parametrize("kind", ["nrrd", "bz2.nrrd", "mha"])
def test_a_bomb_is_not_inflated(tmp_path, kind):
    path = tmp_path / f"bomb.{kind}"
    path.write_bytes(bombed(kind, 24 << 20))
    tracemalloc.start()
    refused(path, "found more than 336")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_a_nifti_extension_is_no_bomb_either(tmp_path, whole):
    content = bytearray(whole["nii"])
    content[108:112] = struct.pack("<f", 1e9)
    with gzip.open(tmp_path / "bomb.nii.gz", "wb", compresslevel=1) as file:
        file.write(bytes(content) + b"\0" * (8 << 20))
    refused(tmp_path / "bomb.nii.gz", "expected the voxels within")


def test_a_deflated_dicom_bomb_is_counted_not_kept(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(dicom_files, "LARGEST_INFLATED", 1 << 23)
    dataset = pydicom.dcmread(io.BytesIO(whole["dcm"]))
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    path = tmp_path / "d.dcm"
    dataset.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    length = struct.unpack("<I", content[140:144])[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = b"\0" * (1 << 22)
    packed = b"".join(packer.compress(block) for _ in range(8)) + packer.flush()
    path.write_bytes(content[: 144 + length] + packed)
    tracemalloc.start()
    refused(path, "after inflating")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 << 20


@pytest.mark.parametrize("kind", FORMATS)
def test_huge_declared_sizes_are_refused_before_anything_is_allocated(tmp_path, whole, kind):
    content = bytearray(whole[kind])
    for size in ((1500, 1500, 100), (30000, 30000, 30000)):
        match kind:
            case "nii" | "nii.gz":
                content = bytearray(gzip.decompress(whole[kind]) if kind == "nii.gz" else whole[kind])
                content[42:48] = struct.pack("<3h", *size)
                content = bytearray(gzip.compress(content) if kind == "nii.gz" else content)
            case "nrrd" | "raw.nrrd":
                content = bytearray(
                    whole[kind].replace(b"sizes: 8 7 6", f"sizes: {size[0]} {size[1]} {size[2]}".encode())
                )
            case "mha" | "raw.mha":
                content = bytearray(
                    whole[kind].replace(b"DimSize = 8 7 6", f"DimSize = {size[0]} {size[1]} {size[2]}".encode())
                )
            case _:
                dataset = pydicom.dcmread(io.BytesIO(whole[kind]))
                dataset.Rows = dataset.Columns = size[0]
                dataset.save_as(tmp_path / "v.dcm", enforce_file_format=True)
                content = bytearray((tmp_path / "v.dcm").read_bytes())
        path = tmp_path / f"huge.{kind}"
        path.write_bytes(content)
        tracemalloc.start()
        refused(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 32 << 20


@pytest.mark.parametrize(
    "name", ["../secret.raw", "/etc/hostname", "sub/secret.raw", "..", "C:secret.raw", "a%03d.raw", "LIST"]
)
def test_data_files_lie_beside_their_header_or_are_refused(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.raw").write_bytes(DATA.tobytes())
    (tmp_path / "in" / "v.mhd").write_text(metaimage_header(DATA, AFFINE, name))
    refused(tmp_path / "in" / "v.mhd")
    header = nrrd_bytes(DATA, AFFINE, encoding="raw", data_file=name).split(b"\n\n")[0]
    (tmp_path / "in" / "v.nhdr").write_bytes(header + b"\n")
    refused(tmp_path / "in" / "v.nhdr")


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.raw").write_bytes(DATA.tobytes())
    (tmp_path / "in" / "v.raw").symlink_to(tmp_path / "secret.raw")
    (tmp_path / "in" / "v.mhd").write_text(metaimage_header(DATA, AFFINE, "v.raw"))
    refused(tmp_path / "in" / "v.mhd", "beside it")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ((b"space: left-posterior-superior\n", b""), "left and right cannot be told"),
        ((b"encoding: gzip", b"encoding: hex"), "encoding"),
        ((b"type: uint8", b"type: block"), "type"),
        ((b"sizes: 8 7 6", b"sizes: 8 7 -6"), "whole numbers for sizes"),
        ((b"sizes: 8 7 6", b"sizes: 8 7 6\nsizes: 8 7 6"), "once"),
        ((b"dimension: 3", b"dimension: 4"), "3 axes"),
        ((b"(-2.0,", b"(nan,"), "singular"),
        ((b"endian: little", b"endian: middle"), "endian"),
        ((b"Segment0_LabelValue:=5", b"Segment0_LabelValue:=99999999"), "label value of Segment0"),
        ((b"Segment0_Layer:=0", b"Segment0_Layer:=7"), "layers below 1"),
        ((b"kinds: domain", b"byte skip: 4\nkinds: domain"), "byte skip"),
        ((b"kinds: domain domain domain", b"just words"), "field: value"),
    ],
)
def test_odd_nrrd_headers_are_refused_with_the_reason(tmp_path, whole, change, match):
    affine_text = whole["nrrd"].replace(b"(2.0,", b"(-2.0,") if change[0] == b"(-2.0," else whole["nrrd"]
    path = tmp_path / "v.nrrd"
    path.write_bytes(affine_text.replace(*change))
    refused(path, match)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ((b"NDims = 3", b"NDims = 2"), "NDims"),
        ((b"NDims = 3", b"Ndims = 3"), "MetaImage key"),
        ((b"NDims = 3", b"NDims = 3\nNDims = 3"), "once"),
        ((b"ElementType = MET_UCHAR", b"ElementType = MET_OTHER"), "ElementType"),
        ((b"ElementSpacing = 2.0", b"ElementSpacing = nan"), "ElementSpacing"),
        ((b"ElementSpacing = 2.0", b"ElementSpacing = 0.0"), "singular"),
        ((b"DimSize = 8 7 6", b"DimSize = 8 7"), "DimSize"),
        ((b"BinaryData = True", b"BinaryData = False"), "BinaryData"),
        ((b"ElementDataFile = LOCAL", b"Comment = none"), ""),
    ],
)
def test_odd_metaimage_headers_are_refused_with_the_reason(tmp_path, whole, change, match):
    path = tmp_path / "v.mha"
    path.write_bytes(whole["mha"].replace(*change))
    refused(path, match)


def series_with(folder: Path, index: int, **values) -> Path:
    write_series(folder, DATA.astype(np.int16) * 100, AFFINE)
    file = sorted(folder.iterdir())[index]
    dataset = pydicom.dcmread(file)
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.save_as(file, enforce_file_format=True)
    return folder


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"SeriesInstanceUID": "1.2.9"}, "expected one series, found 2"),
        ({"PixelSpacing": [1.0, 1.0]}, "one size, spacing and direction"),
        ({"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}, "one size, spacing and direction"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "perpendicular unit vectors"),
        ({"RescaleSlope": None}, ""),
        ({"PixelData": b"\0\0"}, "bytes of pixels"),
        ({"SamplesPerPixel": 3}, "one channel"),
    ],
)
def test_odd_series_are_refused_with_the_reason(tmp_path, values, match):
    folder = series_with(tmp_path / "ct", 1, **values)
    if values == {"RescaleSlope": None}:
        assert read_volume(folder).layers[0].shape == DATA.shape  # an empty element counts as none
    else:
        refused(folder, match)


def test_missing_and_double_slices_are_refused_with_the_place(tmp_path):
    folder = write_series(tmp_path / "ct", DATA.astype(np.int16), AFFINE)
    places = {float(pydicom.dcmread(file).ImagePositionPatient[2]): file for file in folder.iterdir()}
    places[9.0].rename(tmp_path / "kept.dcm")
    refused(folder, "slices are missing")
    (tmp_path / "kept.dcm").rename(places[9.0])
    (folder / "again.dcm").write_bytes(places[6.0].read_bytes())
    refused(folder, "one slice at each place")


def test_a_compressed_frame_that_claims_another_size_is_refused(tmp_path):
    large = np.kron(DATA, np.ones((6, 6, 1), np.int16))
    folder = write_series(tmp_path / "ct", large.astype(np.int16), AFFINE, syntax="1.2.840.10008.1.2.4.90")
    for file in folder.iterdir():
        content = file.read_bytes()
        at = content.index(b"\xff\x4f\xff\x51") + 8
        file.write_bytes(content[:at] + struct.pack(">2I", 60000, 60000) + content[at + 8 :])
    refused(folder, "found one of 60000 x 60000")


def test_a_decoder_that_crashes_does_so_alone(tmp_path):
    # Random bytes in a frame's header abort some decoders' processes; here each is one line, or reads as noise.
    large = np.kron(DATA[:, :, :2], np.ones((6, 6, 1), np.int16))
    folder = write_series(tmp_path / "ct", large.astype(np.int16), AFFINE, syntax="1.2.840.10008.1.2.4.90")
    file = folder / "0000.dcm"
    good, rng = file.read_bytes(), np.random.default_rng(0)
    at = good.index(b"\xff\x4f\xff\x51")
    refusals = 0
    for _ in range(8):
        content = bytearray(good)
        for place in rng.integers(at + 40, at + 120, 5):
            content[place] = rng.integers(0, 256)
        file.write_bytes(content)
        try:
            read_volume(folder)
        except InputError as error:
            refusals += "\n" not in str(error)
    assert refusals >= 4


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"SegmentationType": "OTHER"}, "SegmentationType"),
        ({"NumberOfFrames": 10**6}, "per-frame functional groups"),
        ({"SegmentSequence": []}, "segments, found 0"),
        ({"PerFrameFunctionalGroupsSequence": []}, "per-frame functional groups, found"),
    ],
)
def test_odd_segmentations_are_refused_with_the_reason(tmp_path, values, match):
    path = write_seg(tmp_path / "s.dcm", {"liver": DATA == 5}, AFFINE)
    dataset = pydicom.dcmread(path)
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    refused(path, match)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.txt", b"hello", "found something else"),
        ("a.ctbl", b"1 liver 1 1 1 1\n", "give the volume, and this with --scheme"),
        ("a.nrrd", b"", "found something else"),
    ],
)
def test_other_files_are_refused_with_the_kinds_that_are_known(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=match):
        import_source(tmp_path / name, Request())


def test_an_empty_folder_and_nothing_at_all_are_refused(tmp_path):
    with pytest.raises(InputError, match="found something else"):
        import_source(tmp_path)
    with pytest.raises(InputError, match="found nothing at"):
        import_source(tmp_path / "none")

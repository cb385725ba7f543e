"""Every format gives the same voxels at the same place in the patient, whatever the order of its axes."""

import itertools
from pathlib import Path

import nrrd
import numpy as np
import pytest

from assets.errors import InputError
from assets.importers.label_map import ImportOptions, import_label_map
from assets.importers.label_volume import read_label_volume
from assets.importers.names import known_name
from assets.importers.volume import canonical
from assets.importers.volume_file import read_volume
from tests.assets.volume_files import (
    metaimage_header,
    nrrd_bytes,
    segment,
    write_enhanced,
    write_mha,
    write_nifti,
    write_seg,
    write_series,
)

V2 = "totalsegmentator-v2"
SPACING = np.array([2.0, 2.5, 3.0])


def organ_pair() -> np.ndarray:
    """Liver (5) and spleen (1) that touch, without any symmetry, in RAS order."""
    data = np.zeros((14, 12, 11), np.uint8)
    data[2:8, 3:9, 2:8] = 5
    data[8:12, 4:7, 3:9] = 1
    data[3, 9, 4] = 5
    return data


def oblique() -> np.ndarray:
    """Map indices to RAS mm: turned by 0.3 rad about an odd axis, and shifted."""
    axis = np.array([0.2, -0.5, 0.84])
    axis /= np.linalg.norm(axis)
    cross = np.cross(np.eye(3), axis)
    turn = np.eye(3) + np.sin(0.3) * cross + (1 - np.cos(0.3)) * cross @ cross
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * SPACING, [-31.0, 12.5, 140.0]
    return affine


def reordered(data: np.ndarray, affine: np.ndarray, order: tuple[int, ...], flips: tuple[bool, ...]):
    """Return the same volume with its axes in another order and direction."""
    turned, columns, origin = data.transpose(order), affine[:3, list(order)].copy(), affine[:3, 3].copy()
    for axis, flip in enumerate(flips):
        if flip:
            turned = np.flip(turned, axis)
            origin += columns[:, axis] * (turned.shape[axis] - 1)
            columns[:, axis] *= -1
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = columns, origin
    return np.ascontiguousarray(turned), result


def write(kind: str, folder: Path, data: np.ndarray, affine: np.ndarray) -> Path:
    match kind:
        case "nifti":
            return write_nifti(folder / "v.nii.gz", data, affine)
        case "nrrd":
            (folder / "v.nrrd").write_bytes(nrrd_bytes(data, affine))
            return folder / "v.nrrd"
        case "raw nrrd":
            (folder / "v.nrrd").write_bytes(nrrd_bytes(data, affine, encoding="raw"))
            return folder / "v.nrrd"
        case "mha":
            return write_mha(folder / "v.mha", data, affine)
        case _:
            (folder / "v.mhd").write_text(metaimage_header(data, affine, "v.raw"))
            (folder / "v.raw").write_bytes(data.tobytes(order="F"))
            return folder / "v.mhd"


@pytest.mark.parametrize("kind", ["nifti", "nrrd", "raw nrrd", "mha", "mhd"])
def test_all_orders_of_the_axes_are_the_same_volume(tmp_path, kind):
    data, affine = organ_pair(), oblique()
    truth = affine.copy()
    truth[:3] *= 1e-3
    for flips, order in itertools.product(itertools.product([False, True], repeat=3), [(0, 1, 2), (2, 0, 1)]):
        turned, transform = reordered(data, affine, order, flips)
        volume = canonical(read_volume(write(kind, tmp_path, turned, transform)))
        np.testing.assert_array_equal(volume.layers[0], data)
        np.testing.assert_allclose(volume.T_world_index, truth, atol=2e-7)


def test_eight_orientations_give_the_same_surfaces_in_ras(tmp_path):
    data, affine = organ_pair(), oblique()
    surfaces = []
    for flips in itertools.product([False, True], repeat=3):
        path = write("nrrd", tmp_path, *reordered(data, affine, (1, 2, 0), flips))
        organs = import_label_map(path, scheme=V2, options=ImportOptions(organ_edge_mm=30.0)).organs
        surfaces.append(np.concatenate([organ.surface.vertices for organ in organs]))
    for other in surfaces[1:]:
        np.testing.assert_allclose(other, surfaces[0], atol=1e-6)
    # And they lie where the voxels are.
    inside = np.argwhere(data == 5) @ affine[:3, :3].T + affine[:3, 3]
    liver = import_label_map(path, scheme=V2).organs[1]
    assert liver.name == "liver"
    np.testing.assert_allclose(liver.surface.vertices.mean(axis=0) * 1e3, inside.mean(axis=0), atol=1.5)


def test_nrrd_agrees_with_pynrrd(tmp_path):
    data = np.random.default_rng(0).integers(-900, 900, (5, 6, 7)).astype(np.int16)
    nrrd.write(
        str(tmp_path / "a.nrrd"), data,
        {"space": "left-posterior-superior", "space directions": np.diag([1.0, 2, 3]), "space origin": [4.0, 5, 6]},
    )  # fmt: skip
    volume = read_volume(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(volume.layers[0], data)
    np.testing.assert_allclose(volume.T_world_index @ [1, 1, 1, 1], [-0.005, -0.007, 0.009, 1])


def test_overlapping_layers_of_slicer(tmp_path):
    base, other = np.zeros((2, 8, 8, 8), np.uint8)
    base[1:5, 1:5, 1:5], base[5:7, 1:5, 1:5], other[2:6, 2:6, 2:6] = 1, 2, 1
    names = segment(0, "Liver", 1, 0) + segment(1, "left kidney", 2, 0) + segment(2, "Tumour", 1, 1)
    (tmp_path / "s.seg.nrrd").write_bytes(nrrd_bytes(np.stack([base, other]), np.diag([2.0, 2, 2, 1]), extra=names))
    volume = read_label_volume(tmp_path / "s.seg.nrrd")
    assert sorted(volume.names.values()) == ["kidney_left", "liver", "tumour"]
    assert (volume.origin_of_names, len(volume.layers)) == ("segments", 2)
    assert [int(volume.mask(name).sum()) for name in ("liver", "kidney_left", "tumour")] == [64, 32, 64]
    patient = import_label_map(tmp_path / "s.seg.nrrd")
    shared = {organ.name: organ.attributes["shares_boundary_with"] for organ in patient.organs}
    assert shared == {"liver": ["kidney_left"], "kidney_left": ["liver"], "tumour": []}


def test_segments_of_older_slicer_versions(tmp_path):
    layers = np.zeros((2, 6, 6, 6), np.uint8)
    layers[0, 1:4, 1:4, 1:4] = layers[1, 2:5, 2:5, 2:5] = 1
    names = "Segment0_Name:=liver\nSegment1_Name:=spleen\n"
    (tmp_path / "s.seg.nrrd").write_bytes(nrrd_bytes(layers, np.diag([2.0, 2, 2, 1]), extra=names))
    volume = read_label_volume(tmp_path / "s.seg.nrrd")
    assert [int(volume.mask(name).sum()) for name in ("liver", "spleen")] == [27, 27]


def test_a_scheme_may_name_what_the_file_names_oddly_and_nothing_else(tmp_path):
    data = np.zeros((6, 6, 6), np.uint8)
    data[1:3, 1:5, 1:5], data[3:5, 1:5, 1:5] = 1, 2
    names = segment(0, "hepar", 1, 0) + segment(1, "spleen", 2, 0)
    (tmp_path / "s.seg.nrrd").write_bytes(nrrd_bytes(data, np.diag([2.0, 2, 2, 1]), extra=names))
    (tmp_path / "names.csv").write_text("id,name\n1,Liver\n")
    assert set(read_label_volume(tmp_path / "s.seg.nrrd", scheme=tmp_path / "names.csv").names.values()) == {
        "liver",
        "spleen",
    }
    (tmp_path / "names.csv").write_text("id,name\n2,Liver\n")
    with pytest.raises(InputError, match="spleen for id 2, found liver"):
        read_label_volume(tmp_path / "s.seg.nrrd", scheme=tmp_path / "names.csv")


@pytest.mark.parametrize("syntax", ["", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"])
def test_a_ct_series_in_any_order_of_files_and_compression(tmp_path, syntax):
    hounsfield = np.random.default_rng(1).integers(-1000, 1500, (40, 36, 4)).astype(np.int16)
    affine = oblique()
    affine[:3, 1:3] *= -1  # along rows to the left, down columns to the back: right-handed
    volume = read_volume(write_series(tmp_path / "ct", hounsfield, affine, syntax=syntax, shuffle=3))
    assert (volume.content, volume.format) == ("ct", "DICOM series")
    np.testing.assert_array_equal(volume.layers[0], hounsfield)
    np.testing.assert_allclose(volume.T_world_index[:3], affine[:3] * 1e-3, atol=1e-8)
    same = read_volume(tmp_path / "ct" / "0002.dcm")  # one file stands for its series
    np.testing.assert_array_equal(same.layers[0], hounsfield)


def test_jpeg_lossless_which_most_scanners_archive(tmp_path):
    gdcm = pytest.importorskip("gdcm")
    hounsfield = np.random.default_rng(2).integers(-1000, 1500, (9, 8, 3)).astype(np.int16)
    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    folder = write_series(tmp_path / "ct", hounsfield, affine)
    for file in sorted(folder.iterdir()):
        reader, change = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax()
        reader.SetFileName(str(file))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(file))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    np.testing.assert_array_equal(read_volume(folder).layers[0], hounsfield)


@pytest.mark.parametrize(
    ("kind", "syntax"), [("BINARY", ""), ("FRACTIONAL", ""), ("FRACTIONAL", "1.2.840.10008.1.2.5")]
)
def test_a_dicom_segmentation_with_overlap_and_missing_slices(tmp_path, kind, syntax):
    data = organ_pair()[:, :, :9]
    masks = {"Liver": data == 5, "Spleen": data == 1, "tumour": np.roll(data == 5, 1, axis=0)}
    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    volume = read_label_volume(write_seg(tmp_path / "s.dcm", masks, affine, kind=kind, syntax=syntax))
    assert volume.format == "DICOM-SEG"
    for name, mask in masks.items():
        assert volume.mask(known_name(name)).sum() == mask.sum()
    # Slices 2 to 8 are there; the grid begins with the first of them, and the body's right is at larger indices.
    where = np.argwhere(volume.mask("liver")) @ volume.T_world_index[:3, :3].T + volume.T_world_index[:3, 3]
    truth = np.argwhere(data == 5) * [-2.0, -2.0, 3.0] * 1e-3
    np.testing.assert_allclose(where.mean(axis=0), truth.mean(axis=0), atol=1e-7)


def test_a_label_map_in_dicom(tmp_path):
    data = organ_pair()
    masks = {"Liver": data == 5, "Spleen": data == 1}
    volume = read_label_volume(write_seg(tmp_path / "s.dcm", masks, np.diag([-2.0, -2.0, 3.0, 1.0]), kind="LABELMAP"))
    np.testing.assert_array_equal(volume.mask("liver"), (data == 5)[::-1, ::-1])
    np.testing.assert_array_equal(volume.mask("spleen"), (data == 1)[::-1, ::-1])


def test_a_ct_of_many_frames_in_one_file(tmp_path):
    hounsfield = np.random.default_rng(4).integers(-1000, 1500, (9, 8, 5)).astype(np.int16)
    affine = oblique()
    affine[:3, 1:3] *= -1
    volume = read_volume(write_enhanced(tmp_path / "ct.dcm", hounsfield, affine))
    # Slices are sorted along the normal, whatever the order of the frames.
    np.testing.assert_array_equal(volume.layers[0], hounsfield)
    np.testing.assert_allclose(volume.T_world_index[:3], affine[:3] * 1e-3, atol=1e-8)
    assert volume.content == "ct"


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("Right Kidney", "kidney_right"), ("kidney-left", "kidney_left"), ("LIVER", "liver"),
        ("Lumbar4", "vertebrae_L4"),

        ("left gluteus minimus muscle", "gluteus_minimus_left"), ("rib 4 left", "rib_left_4"),
        ("vertebra T12", "vertebrae_T12"),
        ("colon_and_ileum", None), ("stomach and duodenum", None), ("right common iliac artery", None),
        ("", None),
    ],
)  # fmt: skip
def test_names_are_only_tidied(written, known):
    assert known_name(written) == known

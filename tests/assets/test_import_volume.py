"""Reading label maps: orientation, names, and everything that can be wrong with a file."""

import gzip
import json
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.errors import InputError
from assets.importers.detect import Request, import_source
from assets.importers.label_map import ImportOptions, import_label_map
from assets.importers.label_volume import read_label_volume
from assets.importers.landmark_file import read_landmarks
from assets.importers.mesh_set import MeshOptions
from assets.importers.schemes import header_names, scheme_names
from assets.mesh_check import check_mesh
from assets.tetrahedra import check_tetrahedra

V2 = "totalsegmentator-v2"
ORGANS = ImportOptions(lumen=False)


def save(path: Path, data: np.ndarray, affine: np.ndarray | None = None, names: str = "") -> Path:
    image = nib.Nifti1Image(data, np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine)
    if names:
        image.header.extensions.append(nib.nifti1.Nifti1Extension(0, names.encode()))
    nib.save(image, path)
    return path


def blob() -> np.ndarray:
    data = np.zeros((12, 12, 12), np.uint8)
    data[4:8, 4:8, 4:8] = 5
    return data


def xml(**names: int) -> str:
    rows = "".join(f'<Label Key="{label}"><![CDATA[{name}]]></Label>' for name, label in names.items())
    return f'<?xml version="1.0" encoding="UTF-8"?> <CaretExtension><LabelTable>{rows}</LabelTable></CaretExtension>'


def rotation(angles) -> np.ndarray:
    a, b, c = angles
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return z @ y @ x


def ellipsoid(directions: np.ndarray, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An ellipsoid of half axes 30, 20, 25 mm along x, y, z about (10, -20, 30) mm, in a grid of any orientation."""
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    shape = np.ceil(90 / spacing).astype(int)
    affine[:3, 3] = np.array([10, -20, 30]) - affine[:3, :3] @ ((shape - 1) / 2)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    inside = (((world - [10, -20, 30]) / [30, 20, 25]) ** 2).sum(axis=-1) <= 1
    return np.where(inside, 5, 0).astype(np.uint8), affine


@settings(max_examples=6, deadline=None)
@given(
    order=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    angles=st.tuples(*[st.floats(-0.3, 0.3)] * 3),
    spacing=st.tuples(st.floats(1.6, 3.0), st.floats(1.6, 3.0), st.floats(2.0, 5.0)),
)
def test_any_orientation_gives_the_same_organ(tmp_path_factory, order, signs, angles, spacing):
    directions = rotation(angles)[:, order] * signs
    data, affine = ellipsoid(directions, np.array(spacing))
    path = save(tmp_path_factory.mktemp("turned") / "liver.nii.gz", data, affine)
    (organ,) = import_label_map(path, scheme=V2, options=ORGANS).organs
    report = check_mesh(organ.surface)
    assert (organ.name, report.problems, report.genus) == ("liver", (), 0)
    voxels = (data == 5).sum() * np.prod(spacing) * 1e-9
    assert report.volume == pytest.approx(voxels, rel=0.01)
    assert report.volume == pytest.approx(4 / 3 * np.pi * 0.030 * 0.020 * 0.025, rel=0.05)
    low, high = organ.surface.vertices.min(axis=0), organ.surface.vertices.max(axis=0)
    np.testing.assert_allclose((low + high) / 2, [0.010, -0.020, 0.030], atol=0.002)
    np.testing.assert_allclose((high - low) / 2, [0.030, 0.020, 0.025], atol=0.0035)


def test_fine_voxels_are_merged_without_moving_the_organ(tmp_path):
    data, affine = ellipsoid(np.eye(3), np.array([0.7, 0.7, 1.0]))
    (organ,) = import_label_map(save(tmp_path / "fine.nii.gz", data, affine), scheme=V2, options=ORGANS).organs
    points = organ.surface.vertices
    np.testing.assert_allclose((points.min(0) + points.max(0)) / 2, [0.010, -0.020, 0.030], atol=0.001)
    assert check_mesh(organ.surface).volume == pytest.approx((data == 5).sum() * 0.49e-9, rel=0.01)


def test_units_of_the_file_are_honoured(tmp_path):
    image = nib.Nifti1Image(blob(), np.diag([0.002, 0.002, 0.002, 1.0]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "metres.nii.gz")
    assert read_label_volume(tmp_path / "metres.nii.gz", scheme=V2).spacing == pytest.approx([0.002] * 3)


def test_an_organ_at_the_border_of_the_scan_is_closed(tmp_path):
    data = np.zeros((12, 12, 12), np.uint8)
    data[0:6, 0:6, 0:6] = 5
    (organ,) = import_label_map(save(tmp_path / "border.nii.gz", data), scheme=V2, options=ORGANS).organs
    assert check_mesh(organ.surface).problems == ()


def test_names_of_the_header_win_over_nothing(tmp_path):
    path = save(tmp_path / "named.nii.gz", blob(), names=xml(liver=5))
    volume = read_label_volume(path)
    assert (volume.names, volume.origin_of_names) == ({5: "liver"}, "header")


def test_ids_shift_between_versions():
    # 57 and 20 are the colon, 7 is aorta in version 1 and pancreas in version 2.
    one, two = scheme_names("totalsegmentator-v1"), scheme_names(V2)
    assert (one[57], two[20], one[7], two[7]) == ("colon", "colon", "aorta", "pancreas")
    assert (len(one), len(two)) == (104, 117)
    assert scheme_names("saramis") == one


def test_without_names_the_choices_are_named(tmp_path):
    with pytest.raises(InputError, match="totalsegmentator-v2, totalsegmentator-v1, saramis"):
        read_label_volume(save(tmp_path / "nameless.nii.gz", blob()))


def test_a_scheme_against_the_header_is_refused(tmp_path):
    data = blob()
    data[data == 5] = 7
    path = save(tmp_path / "named.nii.gz", data, names=xml(pancreas=7))
    with pytest.raises(InputError, match=r"pancreas for id 7, found aorta in the scheme totalsegmentator-v1"):
        read_label_volume(path, scheme="totalsegmentator-v1")


def test_ids_beyond_the_scheme_are_refused(tmp_path):
    data = blob()
    data[data == 5] = 110  # a rib in version 2; version 1 ends at 104
    with pytest.raises(InputError, match="found 110"):
        read_label_volume(save(tmp_path / "ribs.nii.gz", data), scheme="totalsegmentator-v1")


def test_a_table_of_names(tmp_path):
    (tmp_path / "names.csv").write_text("id,name\n5,liver\n")
    volume = read_label_volume(save(tmp_path / "l.nii.gz", blob()), scheme=str(tmp_path / "names.csv"))
    assert volume.names == {5: "liver"}


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "id,name\nfive,liver\n", "id,name\n5,liver\n5,colon\n", "id,name\n5\n"]
)
def test_a_damaged_table_of_names_is_refused(tmp_path, text):
    (tmp_path / "names.csv").write_text(text)
    with pytest.raises(InputError, match=r"names\.csv"):
        scheme_names(tmp_path / "names.csv")


def test_an_unknown_scheme_is_refused():
    with pytest.raises(InputError, match="found 'v3'"):
        scheme_names("v3")


def test_an_empty_mask_is_refused(tmp_path):
    with pytest.raises(InputError, match="empty mask"):
        import_label_map(save(tmp_path / "empty.nii.gz", np.zeros((8, 8, 8), np.uint8)), scheme=V2)


def test_a_map_without_colon_gives_the_organs_that_are_there(tmp_path):
    patient = import_label_map(save(tmp_path / "liver.nii.gz", blob()), scheme=V2)
    assert [organ.name for organ in patient.organs] == ["liver"]
    assert (patient.centrelines, patient.orifices, patient.landmarks) == ((), (), {})


def test_landmarks_without_a_colon_are_refused(tmp_path):
    (tmp_path / "marks.csv").write_text("name,x,y,z\nanus,1,2,3\n")
    with pytest.raises(InputError, match="expected a colon for the landmarks"):
        import_label_map(save(tmp_path / "liver.nii.gz", blob()), scheme=V2, landmarks=tmp_path / "marks.csv")


def test_landmarks_of_a_map_without_a_colon_are_kept(tmp_path):
    path = save(tmp_path / "liver.nii.gz", blob())
    found = import_label_map(path, scheme=V2).organs[0].surface.vertices.mean(axis=0) * 1e3
    (tmp_path / "marks.json").write_text(json.dumps({"lesion": found.round().tolist()}))
    patient = import_label_map(path, scheme=V2, landmarks=tmp_path / "marks.json")
    np.testing.assert_allclose(patient.landmarks["lesion"] * 1e3, found.round())
    (tmp_path / "marks.json").write_text(json.dumps({"lesion": [5000.0, 0.0, 0.0]}))
    with pytest.raises(InputError, match=r"near the organs, .*found lesion at \[5000.0, 0.0, 0.0\] in .*marks.json"):
        import_label_map(path, scheme=V2, landmarks=tmp_path / "marks.json")


def test_organs_of_a_label_map_are_filled_with_tetrahedra_on_demand(tmp_path):
    pytest.importorskip("pytetwild")
    path = save(tmp_path / "liver.nii.gz", blob())
    wanted = MeshOptions(tetrahedra=("liver",), tetrahedra_edge_mm=5.0, cache=tmp_path / "cache")
    (organ,) = import_source(path, Request(scheme=V2, meshes=wanted)).organs
    report = check_tetrahedra(organ.tetrahedra, organ.surface)
    assert report.problems == ()
    assert report.least_quality >= 0.1
    assert len(list((tmp_path / "cache").iterdir())) == 1
    with pytest.raises(InputError, match="expected organs of liver to fill with tetrahedra, found 'spleen'"):
        import_source(path, Request(scheme=V2, meshes=MeshOptions(tetrahedra=("spleen",))))


def test_what_is_not_known_is_left_out_and_told(tmp_path):
    data = blob()
    data[0, 0, :3] = 9
    said: list[str] = []
    path = save(tmp_path / "named.nii.gz", data, names=xml(**{"Liver": 5, "left sock": 9}))
    patient = import_label_map(path, report=said.append)
    assert [organ.name for organ in patient.organs] == ["liver"]
    assert patient.provenance["left_out_voxels"] == {"left sock": 3}
    assert any("left sock" in line for line in said)


def test_nothing_known_is_refused(tmp_path):
    with pytest.raises(InputError, match="none of them known"):
        import_label_map(save(tmp_path / "odd.nii.gz", blob(), names=xml(sock=5)))


def test_overlapping_files_of_a_folder_keep_all_their_voxels(tmp_path):
    save(tmp_path / "liver.nii.gz", blob())
    save(tmp_path / "tumour.nii.gz", np.where(np.roll(blob(), 2, axis=0) > 0, 1, 0).astype(np.uint8))
    volume = read_label_volume(tmp_path)
    assert (len(volume.layers), sorted(volume.voxels.values())) == (2, [64, 64])
    assert volume.mask("liver").sum() == volume.mask("tumour").sum() == 64


def test_a_folder_of_classes(tmp_path):
    save(tmp_path / "liver.nii.gz", blob())
    save(tmp_path / "spleen.nii.gz", np.roll(blob(), 4, axis=0))
    save(tmp_path / "colon.nii.gz", np.zeros((12, 12, 12), np.uint8))
    assert {organ.name for organ in import_label_map(tmp_path, options=ORGANS).organs} == {"liver", "spleen"}
    save(tmp_path / "stomach.nii.gz", np.zeros((5, 5, 5), np.uint8))
    with pytest.raises(InputError, match=r"stomach\.nii\.gz"):
        read_label_volume(tmp_path)


@pytest.mark.parametrize("kept", [0, 3, 100, 400, 0.5, 0.97])
def test_a_truncated_file_is_one_line(tmp_path, kept):
    rng = np.random.default_rng(0)
    path = save(tmp_path / "cut.nii.gz", rng.integers(0, 6, (20, 20, 20)).astype(np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(InputError, match=r"cut\.nii\.gz") as error:
        read_label_volume(path, scheme=V2)
    assert "\n" not in str(error.value)


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, 700), value=st.integers(0, 255))
@example(at=123, value=4)  # a unit that there is not
def test_a_damaged_byte_is_refused_or_read_but_never_a_traceback(tmp_path_factory, at, value):
    path = tmp_path_factory.mktemp("damage") / "map.nii"
    save(path, blob())
    content = bytearray(path.read_bytes())
    content[at] = value
    path.write_bytes(content)
    found = ""
    try:
        read_label_volume(path, scheme=V2)
    except InputError as error:
        found = str(error)
    assert "\n" not in found


def test_a_huge_volume_is_refused_by_its_header(tmp_path):
    content = bytearray(save(tmp_path / "small.nii", blob()).read_bytes())
    content[40:56] = struct.pack("<8h", 3, 30000, 30000, 30000, 1, 1, 1, 1)
    with gzip.open(tmp_path / "huge.nii.gz", "wb") as file:
        file.write(bytes(content))
    with pytest.raises(InputError, match="expected at most 268435456 voxels"):
        read_label_volume(tmp_path / "huge.nii.gz", scheme=V2)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="found nothing at"):
        read_label_volume(tmp_path / "none.nii.gz")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (np.full((6, 6, 6), -1000, np.int16), "is this a CT"),
        (np.full((6, 6, 6), 0.5, np.float32), "fractions"),
        (np.full((6, 6, 6), np.nan, np.float32), "is this a CT"),
        (np.zeros((6, 6, 6, 3), np.uint8), "3 axes"),
        (np.zeros((6, 6, 1), np.uint8), "3 axes"),
    ],
)
def test_what_is_no_label_map_is_refused(tmp_path, data, match):
    with pytest.raises(InputError, match=match):
        read_label_volume(save(tmp_path / "odd.nii.gz", data), scheme=V2)


def test_sheared_axes_are_refused(tmp_path):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[0, 1] = 0.5
    with pytest.raises(InputError, match="perpendicular"):
        read_label_volume(save(tmp_path / "sheared.nii.gz", blob(), affine), scheme=V2)


def test_headers_that_could_grow_are_not_parsed():
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x><Label Key="1">&a;</Label></x>'
    assert header_names([bomb, b"<Label Key='1'>broken", b"\x00" * 20]) == {}
    assert header_names([xml(liver=5, colon=20).encode() + b"\x00\x00"]) == {5: "liver", 20: "colon"}


def test_landmarks_from_both_formats(tmp_path):
    (tmp_path / "a.csv").write_text("name,x,y,z\nanus,1,2,3\nvia_1,4,5,6.5\n")
    (tmp_path / "a.json").write_text('{"anus": [1, 2, 3], "via_1": [4, 5, 6.5]}')
    for file in ("a.csv", "a.json"):
        points = read_landmarks(tmp_path / file)
        assert list(points) == ["anus", "via_1"]
        np.testing.assert_allclose(points["via_1"], [0.004, 0.005, 0.0065])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", ""),
        ("a.csv", "name,x,y\nanus,1,2\n"),
        ("a.csv", "name,x,y,z\nanus,1,2,three\n"),
        ("a.csv", "name,x,y,z\nanus,1,2\n"),
        ("a.csv", "name,x,y,z\nanus,1,2,nan\n"),
        ("a.csv", "name,x,y,z\nanus,1,2,3\nanus,1,2,3\n"),
        ("a.json", "["),
        ("a.json", '{"anus": [1, 2]}'),
        ("a.json", "[1, 2]"),
    ],
)
def test_damaged_landmarks_are_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="landmark"):
        read_landmarks(tmp_path / name)

"""The real volumes beside the project: what each gives, and against which reference (skipped where they are absent)."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from assets.errors import InputError
from assets.importers.detect import Request, import_source
from assets.importers.label_map import ImportOptions
from assets.importers.label_volume import read_label_volume
from assets.patient_check import check_patient
from assets.transforms import apply

DATA = Path(__file__).parents[2].parent / "shared" / "realdata" / "ct"
SPL = DATA / "spl_abdominal_atlas"
SOLID = ImportOptions(lumen=False)

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="real data are absent: no shared/realdata/ct beside the project"
)


@pytest.fixture(scope="module")
def torso():
    return import_source(DATA / "totalseg_example" / "example_seg_full.nii.gz", Request(options=SOLID))


@pytest.mark.slow
def test_organs_of_the_torso_have_the_known_volumes(torso):
    # Counted from the voxels, independent of the project.
    known = {
        "liver": 1126,
        "spleen": 261,
        "kidney_right": 193,
        "kidney_left": 137,
        "urinary_bladder": 479,
        "colon": 1619,
    }
    found = {organ.name: organ.attributes["volume_ml"] for organ in torso.organs}
    assert {name: round(found[name]) for name in known} == pytest.approx(known, abs=1)
    assert len(torso.organs) == 61
    assert max(abs(organ.attributes["volume_error_percent"]) for organ in torso.organs) < 1.0
    assert [report for report in check_patient(torso) if report.problems] == []


def distances(volume, name: str, surface) -> tuple[float, float]:
    """Mean distance of a surface's vertices from scikit-image's marching cubes of the voxels, and back [m]."""
    corners, faces = marching_cubes(np.pad(volume.mask(name), 1).astype(np.float32), 0.5)[:2]
    # Corners, middles of edges and of faces, for the nearest point is sought among them.
    edges = (corners[faces] + corners[np.roll(faces, 1, axis=1)]).reshape(-1, 3) / 2
    blocks = np.concatenate([corners, edges, corners[faces].mean(axis=1)]) - 1
    truth = apply(volume.T_world_index, blocks.astype(np.float64))
    away = cKDTree(truth).query(surface.vertices)[0]
    back = cKDTree(surface.vertices[surface.triangles].mean(axis=1)).query(truth)[0]
    return float(away.mean()), float(back.mean())


@pytest.mark.slow
def test_the_torso_s_surfaces_keep_to_the_voxels_boundary(torso):
    volume = read_label_volume(DATA / "totalseg_example" / "example_seg_full.nii.gz")
    for name in ("liver", "aorta", "iliac_artery_left", "rib_left_9"):
        away, back = distances(volume, name, next(organ.surface for organ in torso.organs if organ.name == name))
        assert away < 0.001, name  # a third of a voxel
        assert back < 0.003, name


@pytest.mark.slow
def test_the_spl_atlas_s_surfaces_keep_to_the_voxels_boundary():
    # Its published surfaces are not among the files; these are what scikit-image makes of the same labels.
    table = SPL / "AbdominalAtlasColors.ctbl"
    volume = read_label_volume(SPL / "seg.nrrd", scheme=table)
    patient = import_source(SPL / "seg.nrrd", Request(scheme=table, options=SOLID))
    for name in ("liver", "spleen", "kidney_right", "vertebrae_L4"):
        away, back = distances(volume, name, next(organ.surface for organ in patient.organs if organ.name == name))
        assert max(away, back) <= min(volume.spacing), name


def test_part_of_a_colon_is_refused_with_the_way_out():
    source = DATA / "totalseg_example" / "example_seg_sm.nii.gz"
    with pytest.raises(InputError, match="--no-lumen"):
        import_source(source)
    names = {organ.name for organ in import_source(source, Request(options=SOLID)).organs}
    assert {"colon", "liver", "spleen"} <= names
    assert len(names) == 41


def test_vertebrae_alone_make_a_patient():
    patient = import_source(DATA / "totalseg_example" / "example_spine_seg.nii.gz")
    assert len(patient.organs) == 8
    assert all(organ.label.startswith("vertebrae_") for organ in patient.organs)


@pytest.mark.parametrize("name", ["Segmentation.seg.nrrd", "SegmentationOverlapping.seg.nrrd"])
def test_the_chest_s_segments_are_taken_or_told(name):
    patient = import_source(DATA / "slicerio_chest" / name)
    assert [organ.name for organ in patient.organs] == ["lung_right", "lung_left"]
    left_out = patient.provenance["left_out_voxels"]
    assert left_out["ribs"] == 8487
    assert ("overlapping sphere" in left_out) == ("Overlapping" in name)
    assert patient.provenance["layers"] == (2 if "Overlapping" in name else 1)


def test_the_chest_ct_gives_the_lungs_of_its_segmentation():
    patient = import_source(DATA / "slicerio_chest" / "CTChest4.nrrd", Request(options=SOLID))
    found = {organ.name: organ.attributes["volume_ml"] for organ in patient.organs}
    assert {"body", "bone", "airways", "lung_right", "lung_left"} <= set(found)
    labelled = read_label_volume(DATA / "slicerio_chest" / "Segmentation.seg.nrrd")
    for side in ("lung_right", "lung_left"):
        millilitres = labelled.mask(side).sum() * np.prod(labelled.spacing) * 1e6
        assert found[side] == pytest.approx(millilitres, rel=0.05)


@pytest.mark.parametrize("name", ["example_ct.nii.gz", "example_ct_sm.nii.gz"])
def test_the_torso_s_ct_gives_what_intensity_can_tell(name):
    patient = import_source(DATA / "totalseg_example" / name, Request(options=SOLID))
    assert {"body", "bone", "lung_right", "lung_left", "bowel_gas"} <= {organ.name for organ in patient.organs}
    assert any(
        line.startswith("airways") for line in patient.provenance["not_told"]
    )  # the scan begins below the trachea
    assert [report for report in check_patient(patient) if report.problems] == []


def test_the_spl_atlas_needs_its_names():
    with pytest.raises(InputError, match="give --scheme"):
        import_source(SPL / "seg.nrrd")
    for table in ("AbdominalAtlasColors.ctbl", "atlasStructure.json"):
        volume = read_label_volume(SPL / "seg.nrrd", scheme=SPL / table)
        assert {"liver", "kidney_right", "vertebrae_L4", "gluteus_minimus_left"} <= set(volume.names.values())
        # The liver lies on the right, the spleen on the left: the file's own directions are honoured.
        middle = {name: np.argwhere(volume.mask(name)).mean(axis=0) for name in ("liver", "spleen")}
        places = {name: apply(volume.T_world_index, index)[0] for name, index in middle.items()}
        assert places["liver"] > 0 > places["spleen"]
        with pytest.raises(InputError, match="--scheme"):
            import_source(SPL / table)

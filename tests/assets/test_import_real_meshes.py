"""Every real mesh: it imports, with the volume that trimesh finds, or is refused for the right reason."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.importers.mesh_set import MeshOptions, import_mesh_set
from assets.mesh_check import check_mesh
from assets.patient_check import check_patient

DATA = Path(__file__).parents[3] / "shared" / "realdata" / "meshes"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the real meshes in {DATA}")

NAMES = "file,label\nPelvis_Muscles,gluteus_minimus_left\nOpenHELP_low_resolution,face\ntissue_volume,omentum\n"
NAMES += "Bladder_half,urinary_bladder\n"
"""What their names do not say; for two of them no label is right, and any does for the test."""

MENDED = {
    "OpenHELP_low_resolution.stl": {"double_triangles_dropped": 2, "small_bodies_dropped": 2},
    "Pancreas.stl": {"small_bodies_dropped": 1},
    "Pelvis_Muscles.stl": {"small_bodies_dropped": 2},
    "liver_visual.stl": {"degenerate_triangles_dropped": 112, "holes_closed": 1, "small_bodies_dropped": 19},
}
"""What is done to each; nothing to the others."""

FILES = (
    "openhelp/Abdominal_wall.stl",
    "openhelp/Bladder_half.stl",
    "openhelp/Duodenum.stl",
    "openhelp/Heart.stl",
    "openhelp/Kidney_left.stl",
    "openhelp/Kidney_right.stl",
    "openhelp/Liver.stl",
    "openhelp/OpenHELP_low_resolution.stl",
    "openhelp/Pancreas.stl",
    "openhelp/Pelvis_Muscles.stl",
    "openhelp/Rectum_Lumen.stl",
    "openhelp/Spleen.stl",
    "openhelp/Stomach.stl",
    "openhelp/Trachea.stl",
    "sofa_env_tets/gallbladder_visual.stl",
    "sofa_env_tets/gallbladder_volumetric.vtk",
    "sofa_env_tets/liver_visual.stl",
    "sofa_env_tets/tissue_volume.msh",
)


def test_every_file_is_named_here():
    assert {str(file.relative_to(DATA)) for file in DATA.glob("*/*") if file.is_file()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports(tmp_path, name):
    (tmp_path / "names.csv").write_text(NAMES)
    patient = import_mesh_set(
        DATA / name, MeshOptions(names=tmp_path / "names.csv", units=None if "low" not in name else "mm")
    )
    (organ,) = patient.organs
    report = check_mesh(organ.surface)
    assert report.problems == ()
    assert organ.attributes["mended"] == MENDED.get(Path(name).name, {})
    assert patient.provenance["unit"] == ("m" if name.endswith(".msh") else "mm")
    if name.endswith(".stl"):
        shape = trimesh.load(DATA / name, merge_norm=True)
        whole = sum(abs(body.volume) for body in shape.split(only_watertight=True)) if "low" in name else shape.volume
        assert report.volume * 1e9 == pytest.approx(whole, rel=0.03 if "low" in name else 1e-3)
    assert check_patient(patient)[0].problems == ()


def test_slivers_among_tetrahedra_are_refused_and_good_ones_kept(tmp_path):
    (tmp_path / "names.csv").write_text(NAMES)
    options = MeshOptions(names=tmp_path / "names.csv")
    patient = import_mesh_set(DATA / "sofa_env_tets" / "gallbladder_volumetric.vtk", options)
    assert patient.organs[0].tetrahedra is None
    assert patient.provenance["left_out"] == [
        {
            "what": "tetrahedra of gallbladder_volumetric.vtk",
            "reason": "expected a radius ratio of at least 0.1, found 0.00517",
        }
    ]
    (organ,) = import_mesh_set(DATA / "sofa_env_tets" / "tissue_volume.msh", options).organs
    assert len(organ.tetrahedra.tetrahedra) == 1432
    assert organ.attributes["tetrahedra"]["least_radius_ratio"] == pytest.approx(0.3302, abs=1e-4)


def test_what_no_name_tells_is_refused():
    for name in ("Bladder_half", "OpenHELP_low_resolution", "Pelvis_Muscles"):
        with pytest.raises(InputError, match=r"no structure of assets/labels\.csv has this name; give --names"):
            import_mesh_set(DATA / "openhelp" / f"{name}.stl")


def test_openhelp_is_one_abdomen():
    patient = import_mesh_set(DATA / "openhelp")
    assert len(patient.organs) == 11
    assert (patient.provenance["axes"], patient.provenance["axes_from"]) == ("LSA", "places of 11 organs")
    assert {row["what"] for row in patient.provenance["left_out"]} == {
        "Bladder_half.stl",
        "OpenHELP_low_resolution.stl",
        "Pelvis_Muscles.stl",
    }
    middle = {organ.name: np.mean(organ.surface.vertices, axis=0) for organ in patient.organs}
    assert middle["liver"][0] > middle["spleen"][0]
    assert middle["heart"][2] > middle["liver"][2] > middle["rectum_lumen"][2]
    assert middle["abdominal_wall"][1] > middle["kidney_left"][1]

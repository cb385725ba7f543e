from pathlib import Path

import nibabel
import numpy as np
import pytest

from assets.errors import InputError
from scenarios.cli import BAD_INPUT, DONE, main
from scenarios.volumes import FILES, SynthOptions, nifti_bytes, synth


def test_a_volume_is_written_and_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert main(["volume", "synth", "--seed", "3", "--size", "32", "--out", str(tmp_path / name)]) == DONE
    assert sorted(entry.name for entry in (tmp_path / "a").iterdir()) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    labels = nibabel.load(tmp_path / "a" / "labels.nii.gz")
    image = nibabel.load(tmp_path / "a" / "image_a.nii.gz")
    assert labels.get_data_dtype() == np.uint8
    assert image.get_data_dtype() == np.float32
    np.testing.assert_allclose(labels.header.get_zooms(), 1.5)
    np.testing.assert_array_equal(labels.affine, image.affine)
    assert nibabel.aff2axcodes(labels.affine) == ("R", "A", "S")
    assert len(np.unique(np.asarray(labels.dataobj))) > 5
    assert (tmp_path / "a" / "overview.png").read_bytes().startswith(b"\x89PNG")


def test_the_middle_of_the_volume_is_the_origin(tmp_path: Path) -> None:
    (tmp_path / "v.nii.gz").write_bytes(nifti_bytes(np.zeros((4, 6, 8), np.uint8), 2.0))
    image = nibabel.load(tmp_path / "v.nii.gz")
    np.testing.assert_allclose(image.affine @ [1.5, 2.5, 3.5, 1.0], [0, 0, 0, 1])


def test_what_cannot_be_is_refused(tmp_path: Path, capsys) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="found something else"):
        synth(SynthOptions(tmp_path, size=16))
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]
    for arguments in (["--size", "5"], ["--seed", "-1"], ["--spacing-mm", "nan"]):
        assert main(["volume", "synth", "--out", str(tmp_path / "v"), *arguments]) == BAD_INPUT
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "v").exists()

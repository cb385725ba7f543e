"""A folder of volumes and what is none becomes a table that says of each what came."""

import nibabel as nib
import numpy as np
import pytest

from assets.errors import InputError
from scenarios.import_table import TableOptions, main, rows_of


@pytest.fixture
def folder(tmp_path):
    data = np.zeros((20, 20, 20), np.uint8)
    data[4:16, 4:16, 4:16] = 1
    inner = tmp_path / "scans" / "one"
    inner.mkdir(parents=True)
    nib.save(nib.Nifti1Image(data, np.diag([3.0, 3.0, 3.0, 1.0])), inner / "seg.nii.gz")
    (inner / "names.csv").write_text("id,name\n1,liver\n")
    (inner / "notes.txt").write_text("none of ours")
    return tmp_path / "scans"


def test_each_file_has_its_rows_and_the_way_out_is_taken(folder):
    rows = rows_of(folder)
    table = [(row.file.rsplit("/", 1)[1], row.imported, row.how) for row in rows]
    assert table == [
        ("names.csv", False, ""),
        ("notes.txt", False, ""),
        ("seg.nii.gz", False, ""),
        ("seg.nii.gz", True, "--scheme names.csv"),
    ]
    assert rows[-1].what == "liver"
    assert "--scheme" in rows[2].what
    assert not any(str(folder) in row.what for row in rows)


def test_the_table_is_written_in_markdown(folder, tmp_path):
    main(TableOptions((folder,), tmp_path / "table.md"))
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[1] == "|---|---|---|---|"
    assert "| `scans/one/seg.nii.gz` | `--scheme names.csv` | imported | liver |" in lines
    assert all(line.count("|") == 5 for line in lines)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="expected a folder, found none"):
        rows_of(tmp_path / "nowhere")

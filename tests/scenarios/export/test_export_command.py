import errno
import hashlib
import json
import weakref
from pathlib import Path

import pytest

from assets.errors import InputError
from scenarios.cli import main
from scenarios.export import command
from scenarios.export.command import ExportOptions, export
from scenarios.export.formats import FORMATS, exporter_named
from scenarios.export.source import View
from sim.atomic_folder import atomic_folder


def tree(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_format_of_the_table_has_an_exporter_and_is_told_by_the_help(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["dataset", "export", "--help"])
    assert "|".join(FORMATS) in "".join(capsys.readouterr().out.replace("│", "").split())
    for name in FORMATS:
        assert callable(exporter_named(name))


@pytest.mark.parametrize("name", list(FORMATS))
def test_only_a_few_frames_are_in_memory_at_once(
    name: str, fisheye_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[View]] = []
    most, make = 0, View.__init__

    def watched(view: View, *values: object) -> None:
        nonlocal most
        make(view, *values)
        made.append(weakref.ref(view))
        most = max(most, sum(one() is not None for one in made))

    monkeypatch.setattr(View, "__init__", watched)
    export(ExportOptions(fisheye_set, name, tmp_path / "out"))
    assert 1 <= most <= 3  # this one, the one before, the one that was read ahead


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"expected one of folders, coco.*found 'kitti'"):
        exporter_named("kitti")


def test_a_missing_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenarios.export.formats.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pyarrow.*pip install 'trocar\[export\]'"):
        exporter_named("lerobot")


def test_the_same_data_give_the_same_bytes_and_what_is_there_is_kept(fisheye_set: Path, tmp_path: Path, capsys) -> None:
    for name in ("one", "two"):
        assert main(["dataset", "export", str(fisheye_set), "--format", "coco", "--out", str(tmp_path / name)]) == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert "left out: depth, normals" in capsys.readouterr().err
    before = (tmp_path / "one" / "export.json").stat().st_mtime_ns
    assert main(["dataset", "export", str(fisheye_set), "--format", "coco", "--out", str(tmp_path / "one")]) == 0
    said = capsys.readouterr().err
    assert "is there already" in said
    assert "left out: depth, normals" in said
    assert (tmp_path / "one" / "export.json").stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_another_export_or_other_files_are_not_overwritten(fisheye_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(ExportOptions(fisheye_set, "tum", out))
    kept = tree(out)
    with pytest.raises(InputError, match="format 'tum' there and 'coco' here"):
        export(ExportOptions(fisheye_set, "coco", out))
    with pytest.raises(InputError, match="splits"):
        export(ExportOptions(fisheye_set, "tum", out, ("train",)))
    assert tree(out) == kept
    (out / "export.json").unlink()
    with pytest.raises(InputError, match="found other files"):
        export(ExportOptions(fisheye_set, "tum", out))
    with pytest.raises(InputError, match="found a file"):
        export(ExportOptions(fisheye_set, "tum", out / "ann-00" / "rgb.txt"))


def test_a_data_set_is_not_exported_into_itself(fisheye_set: Path) -> None:
    with pytest.raises(InputError, match="outside of the data set"):
        export(ExportOptions(fisheye_set, "tum", fisheye_set / "tum"))


def test_only_the_splits_asked_for_are_written(fisheye_set: Path, tmp_path: Path) -> None:
    export(ExportOptions(fisheye_set, "coco", tmp_path / "out", ("validation",)))
    assert [path.name for path in (tmp_path / "out" / "images").iterdir()] == ["validation"]
    note = json.loads((tmp_path / "out" / "export.json").read_text())
    assert note["frames"] == 4
    assert note["patients"] == {"validation": ["eve"]}
    with pytest.raises(InputError, match="expected a split of train, validation, found 'test'"):
        export(ExportOptions(fisheye_set, "coco", tmp_path / "other", ("test",)))


@pytest.mark.parametrize(
    ("failure", "code"),
    [(KeyboardInterrupt(), 130), (OSError(errno.ENOSPC, "No space left on device"), 2), (RuntimeError("a bug"), 3)],
)
def test_what_stops_half_way_leaves_nothing_behind(
    failure: BaseException, code: int, fisheye_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def failing(source, out, advance):
        (out / "rgb").mkdir()
        (out / "rgb" / "a.png").write_bytes(b"half")
        raise failure

    monkeypatch.setattr(command, "exporter_named", lambda name: failing)
    out = tmp_path / "deep" / "out"
    assert main(["dataset", "export", str(fisheye_set), "--format", "coco", "--out", str(out)]) == code
    assert list((tmp_path / "deep").iterdir()) == []
    assert code != 2 or capsys.readouterr().err.strip().endswith("found: No space left on device")


def test_what_a_killed_export_left_is_made_anew(fisheye_set: Path, tmp_path: Path) -> None:
    left = tmp_path / ".out.part"
    (left / "images").mkdir(parents=True)
    (left / "images" / "half.png").write_bytes(b"half")
    (left / ".lock").touch()
    export(ExportOptions(fisheye_set, "coco", tmp_path / "out"))
    assert not left.exists()
    assert not (tmp_path / "out" / "images" / "half.png").exists()
    assert not list((tmp_path / "out").glob(".*"))


def test_a_second_export_to_the_same_place_is_refused_while_the_first_works(fisheye_set: Path, tmp_path: Path) -> None:
    with (
        atomic_folder(tmp_path / "out"),
        pytest.raises(InputError, match="expected to be the only run in this folder"),
    ):
        export(ExportOptions(fisheye_set, "coco", tmp_path / "out"))
    assert (tmp_path / "out").is_dir()


def test_a_shard_cut_short_is_named_and_nothing_is_left(make_scene, tmp_path: Path, capsys) -> None:
    folder = make_scene(tmp_path / "data")
    shard = folder / "bob.tar"
    shard.write_bytes(shard.read_bytes()[:20000])
    assert main(["dataset", "export", str(folder), "--format", "coco", "--out", str(tmp_path / "out")]) == 2
    assert "bob.tar" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]

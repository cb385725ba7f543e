"""What a run says while it goes and when it is done, and what becomes of a patient that cannot be recorded."""

import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assets.errors import InputError
from scenarios.cli import BAD_INPUT, DONE, main
from scenarios.generate import GenerateOptions, generate
from scenarios.generate_summary import Refused, refusal, summary_lines
from sim.shards import ShardInfo, file_sha256, read_shard


@pytest.fixture(scope="module")
def folders(tube_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three patients, the tube under three names."""
    folder = tmp_path_factory.mktemp("patients")
    return [Path(shutil.copytree(tube_folder, folder / name)) for name in ("ann", "bob", "eve")]


def arguments(folders: list[Path], out: Path) -> list[str]:
    patients = ["--patients", *map(str, folders)]
    return [
        *("dataset", "generate", *patients, "--out", str(out)),
        *("--frames", "2", "--every", "2", "--size", "32", "32", "--splits", "0.67", "0.33", "0", "--workers", "1"),
    ]


def content(folder: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.name != "config.json"}


def test_a_patient_that_cannot_be_recorded_does_not_stop_the_others(
    folders: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenarios.progress._LINE_EVERY", 0.0)
    assert main(arguments(folders, tmp_path / "whole")) == DONE
    said = capfd.readouterr().err
    assert re.search(r"recording patients: 2 of 3, \d+ s left, \d+\.\d\d frames/s", said)
    sizes: Counter[str] = Counter()
    for path in sorted((tmp_path / "whole").glob("*.tar")):
        for sample in read_shard(path):
            sizes.update({name: len(data) for name, data in sample.members.items()})
    total = sum(path.stat().st_size for path in (tmp_path / "whole").glob("*.tar"))
    assert f"6 frames of 3 patients (train 4, validation 2), {total / 1e6:.1f} MB" in said
    assert f"kB a frame: {total / 6000:.1f} in a shard; " in said
    assert all(f"{name} {count / 6000:.1f}" in said for name, count in sizes.items())
    assert re.search(r"recorded 6 frames in \d+\.\d s, \d+\.\d\d frames/s\n", said)

    mesh = next((folders[1] / "meshes").iterdir())
    whole = mesh.read_bytes()
    mesh.write_bytes(whole[: len(whole) // 2])
    try:
        assert main(arguments(folders, tmp_path / "broken")) == BAD_INPUT
    finally:
        mesh.write_bytes(whole)
    last = capfd.readouterr().err.splitlines()[-1]
    assert "1 of 3 patients could not be recorded, so the data set is not complete; all others are there" in last
    assert str(folders[1]) in last
    assert mesh.name in last
    found = {path.name for path in (tmp_path / "broken").iterdir() if path.name[0] != "."}
    assert found == {"ann.tar", "eve.tar", "config.json"}
    kept = (tmp_path / "broken" / "eve.tar").stat().st_mtime_ns

    assert main(arguments(folders, tmp_path / "broken")) == DONE
    assert "4 were there already" in capfd.readouterr().err
    assert content(tmp_path / "broken") == content(tmp_path / "whole")
    assert (tmp_path / "broken" / "eve.tar").stat().st_mtime_ns == kept


def test_colours_as_jpeg_and_exact_depth_are_recorded_on_request(folders: list[Path], tmp_path: Path) -> None:
    options = GenerateOptions(
        patients=(str(folders[0]),),
        out=tmp_path / "plain",
        frames=2,
        every=2,
        size=(32, 32),
        splits=(1.0, 0.0, 0.0),
        workers=1,
        channels=("flow",),
    )
    index = generate(options)
    other = generate(replace(options, out=tmp_path / "mixed", rgb="jpg", exact=("depth", "normal", "flow")))
    assert (index.config["rgb"], index.config["exact"]) == ("png", ())
    assert (other.config["rgb"], other.config["exact"]) == ("jpg", ("depth", "normal", "flow"))
    pairs = zip(read_shard(tmp_path / "plain" / "ann.tar"), read_shard(tmp_path / "mixed" / "ann.tar"), strict=True)
    for plain, mixed in pairs:
        names = {"rgb.jpg", "depth.npy", "normal.npy", "flow.npy", "semantic.png", "instance.png", "meta.json"}
        assert set(mixed.members) == names
        assert mixed.members["meta.json"] == plain.members["meta.json"]
        one, exact = plain.frame(), mixed.frame()
        assert np.abs(one.depth - exact.depth).max() <= 0.501e-5
        assert np.abs(one.flow - exact.flow).max() <= 1 / 128 + 1e-6
        assert np.degrees(np.arccos(np.clip((one.normal * exact.normal).sum(-1)[one.depth > 0], -1, 1))).max() < 0.5
        assert np.abs(one.rgb.astype(int) - exact.rgb).mean() < 3
    with pytest.raises(InputError, match="exact channels of those that are recorded, depth, normal; found flow"):
        replace(options, channels=(), exact=("flow",))


def test_the_summary_adds_up() -> None:
    shards = {"train": (ShardInfo("a.tar", "", 30, 6_000_000), ShardInfo("b.tar", "", 10, 2_000_000)), "test": ()}
    lines = summary_lines(shards, {"meta.json": 40_000, "rgb.png": 4_000_000}, recorded=10, seconds=4.0)
    assert lines == [
        "40 frames of 2 patients (train 40), 8.0 MB",
        "kB a frame: 200.0 in a shard; rgb.png 100.0, meta.json 1.0",
        "recorded 10 frames in 4.0 s, 2.50 frames/s; 30 were there already",
    ]


def test_a_long_list_of_refused_patients_is_cut() -> None:
    line = refusal([Refused(f"p{number}", "bad") for number in range(7)], 100)
    assert line.startswith("7 of 100 patients could not be recorded")
    assert line.endswith("p4: bad; and 2 more")

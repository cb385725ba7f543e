"""What may happen to a run that takes hours: kill -9, a full disk, a second run in the same folder."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assets.errors import InputError
from scenarios.cli import main
from scenarios.generate import GenerateOptions, generate
from sim.dataset_index import read_dataset
from sim.folder_lock import LOCK, exclusive
from sim.shards import file_sha256, shard_info

KILLS = 50


class Runs:
    """Starts runs one at a time in a process of their own, and kills them."""

    def __init__(self, warm: dict | None) -> None:
        script = str(Path(__file__).with_name("killed_runs.py"))
        # a file, not a pipe that nobody reads: a full one would stop the runs
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by close
        self._server = subprocess.Popen(
            [sys.executable, script, json.dumps(warm)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,  # so that whether a line is there can be seen from outside
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        self.steps = 0
        """Of the last run."""
        while (line := self._said()) != "ready":  # Warp and PyBullet say hello
            assert self._server.poll() is None, line

    def run(self, work: str, arguments: dict, *, kill_at: int | None = None, pause: float = 0.0) -> int:
        """Do a run, and return its status: 0 done, 9 killed.

        Args:
            work: Which.
            arguments: Of it.
            kill_at: So many steps of it are begun before it is killed, if it has as many; None lets it end.
            pause: It is killed so long after that [s], or before its next step if that comes first.
        """
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps({"work": work, "arguments": arguments}).encode() + b"\n")
        while not (line := self._said()).isdigit():
            assert self._server.poll() is None, line
        child, self.steps = int(line), 0
        while True:
            if self.steps == kill_at:
                select.select([self._server.stdout], [], [], pause)
                with contextlib.suppress(ProcessLookupError):  # done in this very moment
                    os.kill(child, signal.SIGKILL)
            line = self._said()
            if line.isdigit():
                return int(line)
            if line == "step":
                self.steps += 1
                self._server.stdin.write(b"\n")

    def close(self) -> None:
        self._server.communicate()
        self._errors.close()

    def _said(self) -> str:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise AssertionError(self._errors.read())
        return line.decode().strip()


@contextmanager
def runs(warm: dict | None = None) -> Iterator[Runs]:
    started = Runs(warm)
    try:
        yield started
    finally:
        started.close()


def content(folder: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.name != "config.json"}


def require_whole(folder: Path, expected: dict[str, str]) -> None:
    """Whatever has its final name is what an unbroken run writes; dataset.json is there only if all else is."""
    found = {path.name for path in folder.iterdir() if path.name[0] != "." and path.name != "config.json"}
    for name in found:
        assert file_sha256(folder / name) == expected[name], name
    assert "dataset.json" not in found or found == set(expected)


@pytest.fixture(scope="module")
def options(tube_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> GenerateOptions:
    folder = tmp_path_factory.mktemp("data")
    shutil.copytree(tube_folder, folder / "other")
    return GenerateOptions(
        patients=(str(tube_folder), str(folder / "other")),
        out=folder / "unbroken",
        frames=3,
        every=2,
        size=(32, 32),
        splits=(0.5, 0.5, 0.0),
        workers=1,
    )


@pytest.fixture(scope="module")
def expected(options: GenerateOptions) -> dict[str, str]:
    generate(options)
    return content(options.out)


def as_json(options: GenerateOptions) -> dict:
    names = ("patients", "frames", "every", "size", "splits", "workers")
    return {"out": str(options.out), **{name: getattr(options, name) for name in names}}


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bytes(
    options: GenerateOptions, expected: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "broken"
    arguments = as_json(replace(options, out=out))
    with runs({"work": "generate", "arguments": as_json(replace(options, out=tmp_path / "warm"))}) as server:
        kill_again_and_again(server, "generate", arguments, expected, np.random.default_rng(0))


def test_a_writer_that_is_killed_leaves_only_whole_files(tmp_path: Path) -> None:
    arguments = {"out": str(tmp_path / "unbroken"), "shards": 3}
    with runs({"work": "write", "arguments": {**arguments, "out": str(tmp_path / "warm")}}) as server:
        assert server.run("write", arguments) == 0
        expected = content(tmp_path / "unbroken")
        broken = {**arguments, "out": str(tmp_path / "broken")}
        kill_again_and_again(server, "write", broken, expected, np.random.default_rng(1))


def kill_again_and_again(
    server: Runs, work: str, arguments: dict, expected: dict[str, str], rng: np.random.Generator
) -> None:
    """Kill a run anywhere, do it again on what it left, and so on; at the end let it be done."""
    out = Path(arguments["out"])
    assert server.run(work, arguments) == 0
    steps = server.steps
    shutil.rmtree(out)
    killed, parts, unfinished = 0, 0, 0
    while killed < KILLS:
        # a pause of any order of magnitude: some are killed at a step, some in the midst of what comes after it
        status = server.run(work, arguments, kill_at=int(rng.integers(steps + 1)), pause=10.0 ** rng.uniform(-5, 0))
        if out.is_dir():  # it may have been killed before it made that
            require_whole(out, expected)
        if status == 0:
            assert content(out) == expected
        else:
            assert status == signal.SIGKILL
            killed += 1
            parts += any(out.glob(".*.part"))
            unfinished += any(out.glob("*.tar")) and not (out / "dataset.json").exists()
        if status == 0 or rng.random() < 0.1:
            shutil.rmtree(out, ignore_errors=True)
    assert server.run(work, arguments) == 0
    assert content(out) == expected
    assert not list(out.glob(".*"))
    assert parts >= KILLS / 10
    assert unfinished >= KILLS / 10


def test_a_second_run_in_the_same_folder_is_refused(options: GenerateOptions, tmp_path: Path, capsys) -> None:
    out = tmp_path / "data"
    arguments = ["--patients", *options.patients, "--out", str(out), "--frames", "3", "--workers", "1"]
    with exclusive(out):
        assert main(["dataset", "generate", *arguments]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "expected to be the only run in this folder, found another one at work" in said[0]
    assert list(out.iterdir()) == []


def test_the_lock_of_a_killed_process_holds_nobody_up(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom sim.folder_lock import exclusive\n"
        "with exclusive(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InputError, match="found another one at work"), exclusive(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    assert (tmp_path / LOCK).exists()
    with exclusive(tmp_path):
        pass
    assert not (tmp_path / LOCK).exists()


def test_a_folder_s_name_taken_by_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="expected a folder, found a file"), exclusive(tmp_path / "file"):
        pass


def test_leftovers_of_killed_runs_are_swept_up(options: GenerateOptions, expected: dict[str, str]) -> None:
    (options.out / ".tube.tar.12345.part").write_bytes(b"half a shard")
    generate(options)
    assert content(options.out) == expected


def test_a_clock_that_jumps_changes_nothing(
    options: GenerateOptions, expected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    monkeypatch.setattr(time, "time", lambda: float(rng.uniform(0, 4e9)))
    monkeypatch.setattr(time, "time_ns", lambda: int(rng.integers(0, 1 << 61)))
    generate(replace(options, out=tmp_path / "data"))
    assert content(tmp_path / "data") == expected


@contextmanager
def mounted(folder: Path, *how: str) -> Iterator[Path]:
    """Mount a small file system, or skip the test where this user may not."""
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system to fill")
    done = subprocess.run(["mount", *how, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_what_was_finished_stays(
    options: GenerateOptions, expected: dict[str, str], tmp_path: Path, capsys
) -> None:
    shards = [path.stat().st_size for path in options.out.glob("*.tar")]
    room = (shards[0] * 3 // 2) // 4096 * 4096  # for one shard, not for two
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", f"size={room}", "tmpfs") as disk:
        arguments = [
            *("--patients", *options.patients, "--out", str(disk / "data"), "--frames", "3", "--every", "2"),
            *("--size", "32", "32", "--splits", "0.5", "0.5", "0", "--workers", "1"),
        ]
        assert main(["dataset", "generate", *arguments]) == 2
        said = [line for line in capsys.readouterr().err.splitlines() if "trocar dataset generate" in line]
        assert len(said) == 1
        assert "No space left on device" in said[0]
        assert "other.tar" in said[0]
        assert sorted(path.name for path in (disk / "data").glob("[!.]*")) == ["config.json", "tube.tar"]
        assert shard_info(disk / "data" / "tube.tar").sha256 == expected["tube.tar"]
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        assert main(["dataset", "generate", *arguments]) == 0
        assert content(disk / "data") == expected
        assert read_dataset(disk / "data").shards["train"][0].name == "tube.tar"


def test_a_full_disk_stops_an_export_with_one_line_and_nothing_half_written(
    options: GenerateOptions, expected: dict[str, str], tmp_path: Path, capsys
) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=16k", "tmpfs") as disk:
        arguments = [str(options.out), "--format", "folders", "--out", str(disk / "out")]
        assert main(["dataset", "export", *arguments]) == 2
        said = [line for line in capsys.readouterr().err.splitlines() if "trocar dataset export" in line]
        assert len(said) == 1
        assert "No space left on device" in said[0]
        assert list(disk.iterdir()) == []


@pytest.mark.parametrize("command", ["generate", "export"])
def test_a_target_that_may_not_be_written_is_one_line(
    command: str, options: GenerateOptions, expected: dict[str, str], tmp_path: Path, capsys
) -> None:
    words = {
        "generate": ["--patients", *options.patients, "--frames", "3"],
        "export": [str(options.out), "--format", "coco"],
    }
    with mounted(tmp_path / "locked", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs") as disk:
        assert main(["dataset", command, *words[command], "--out", str(disk / "out")]) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1
        assert said[0].endswith("expected to read or write here, found: Read-only file system")
        assert str(disk / "out") in said[0] or str(disk / ".out.part") in said[0]


def test_a_shard_cut_short_is_refused_by_name_and_made_anew_once_it_is_gone(
    options: GenerateOptions, expected: dict[str, str], tmp_path: Path, capsys
) -> None:
    out = tmp_path / "data"
    shutil.copytree(options.out, out)
    shard = out / "tube.tar"
    shard.write_bytes(shard.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"tube\.tar: .*; remove the file, and the same command records it anew"):
        generate(replace(options, out=out))
    shard.unlink()
    generate(replace(options, out=out))
    assert content(out) == expected

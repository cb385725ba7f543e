import errno
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from assets.errors import InputError
from scenarios import cli
from scenarios.cli import Command, main
from scenarios.figures import CheckFailedError, Figure


@dataclass(frozen=True)
class Options:
    """Do as one is told."""

    out: Path
    """Where to."""
    what: str = "nothing"
    """What happens."""
    size: tuple[int, int] = (4, 4)
    """Width and height [px]."""


FIGURES = [Figure("model.success", "colonoscopy/synthetic", 0.8, "1", 0.7, 0.9, 40)]


def work(options: Options) -> list[Figure]:
    happens = {
        "input": InputError("expected a colon,\nfound a bronchus in a.nii"),
        "fault": RuntimeError("a bug"),
        "disk": OSError(errno.ENOSPC, "No space left on device", "/data/out.tar"),
        "rights": PermissionError(errno.EACCES, "Permission denied", "/root/x"),
        "odd": OSError(errno.EBADF, "Bad file descriptor"),
        "stop": KeyboardInterrupt(),
        "no": CheckFailedError(["organ a: expected a closed surface"], FIGURES),
    }
    if options.what in happens:
        raise happens[options.what]
    return FIGURES


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("commands_of_the_test")
    module.Options, module.work = Options, work
    monkeypatch.setitem(sys.modules, module.__name__, module)
    words = ("group do", "act")
    made = tuple(Command(one, "does", module.__name__, "Options", "work", measures=one == "act") for one in words)
    monkeypatch.setattr(cli, "COMMANDS", made)


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("nothing", 0, ""),
        ("input", 2, "trocar act: expected a colon, found a bronchus in a.nii\n"),
        ("disk", 2, "trocar act: /data/out.tar: expected to read or write here, found: No space left on device\n"),
        ("rights", 2, "trocar act: /root/x: expected to read or write here, found: Permission denied\n"),
        ("stop", 130, "trocar act: interrupted; what was finished is kept, and the same command resumes\n"),
        ("no", 1, "trocar act: organ a: expected a closed surface\n"),
    ],
)
def test_the_exit_code_says_how_it_went_and_one_line_why(what: str, code: int, said: str, capsys) -> None:
    assert main(["act", "--out", "a", "--what", what]) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("what", ["fault", "odd"])
def test_a_fault_of_ours_comes_with_its_traceback(what: str, capsys) -> None:
    assert main(["group", "do", "--out", "a", "--what", what]) == 3
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "in work" in said
    assert said.endswith("trocar group do: a fault of trocar, not of the input; the lines above say where\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["act"], "--out PATH"),
        (["act", "--out", "a", "--size", "x", "2"], "--size"),
        (["act", "--out", "a", "--colour", "red"], "--colour"),
        (["act", "--out"], "--out"),
        (["group", "do", "--out", "a", "--json", "f"], "--json"),
        ([], "expected a command of group do, act; found none"),
        (["atc"], "found 'atc'; did you mean 'act'?"),
        (["group", "od"], "expected a command of group do; found 'group od'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], said: str, capsys) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not set("╭│─╰") & set(printed.err)


def test_figures_are_written_and_gates_decide(tmp_path: Path, capsys) -> None:
    file = tmp_path / "figures.json"
    base = ["act", "--out", "a", "--json", str(file)]
    assert main([*base, "--at-least", "model.success", "0.8", "--at-most", "model.success", "0.8"]) == 0
    assert json.loads(file.read_text())["figures"][0]["value"] == 0.8
    assert main([*base, "--at-least", "model.success", "0.5", "--at-least", "model.success", "0.9"]) == 1
    assert "model.success (colonoscopy/synthetic): expected at least 0.9, found 0.8" in capsys.readouterr().err


def test_figures_of_a_failed_check_are_written_too(tmp_path: Path) -> None:
    assert main(["act", "--out", "a", "--what", "no", "--json", str(tmp_path / "f.json")]) == 1
    assert (tmp_path / "f.json").exists()


def test_help_tells_the_commands_and_their_options(capsys) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert "group do" in said
    assert "not a medical device" in said
    assert main(["group", "--help"]) == 0
    assert "act" not in capsys.readouterr().out.split("commands:")[1]
    with pytest.raises(SystemExit) as left:
        main(["act", "--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    for expected in ("Do as one is told.", "What happens.", "--at-least", "--json FILE"):
        assert expected in said


def test_the_version_is_told(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("trocar ")


def test_asking_for_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom scenarios.cli import main\nassert main(['--help']) == 0\n"
        "print(sorted({'numpy', 'torch', 'warp', 'pybullet', 'cv2', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "datasets.md").read_text()


def block(language: str, holding: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    return next(one for one in found if holding in one)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Run the page's shell lines after the installation, word by word but for fewer and smaller frames."""
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    pytest.importorskip("pycocotools")
    lines = block("sh", "--format coco")
    assert len([line for line in lines.splitlines() if line]) <= 20
    script = lines.split('".[export,test]"')[1]
    assert "--frames 20 --size 128 128" in script
    script = script.replace("--frames 20 --size 128 128", "--frames 2 --size 64 64 --workers 1")
    script = script.replace("synth:colon:0-2", "synth:colon:0").replace("0.67 0.33 0", "1 0 0")
    folder = tmp_path_factory.mktemp("docs")
    shims = folder / "bin"
    shims.mkdir()
    (shims / "trocar").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m scenarios.cli "$@"\n')
    (shims / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for shim in shims.iterdir():
        shim.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{shims}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (folder / "said.txt").write_text(done.stdout)
    return folder


@pytest.mark.slow
def test_the_shell_of_the_page_ends_in_a_coco_set(folder: Path) -> None:
    said = (folder / "said.txt").read_text()
    assert re.search(r"^train/synth-colon-0-00-\d+\.png colon_wall \d+ pixels$", said, flags=re.MULTILINE)
    assert '"left_out"' in said
    assert len(list((folder / "coco" / "images" / "train").iterdir())) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_python_of_the_page_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(folder)
    pytest.importorskip("webdataset")
    exec(compile(block("python", "import webdataset"), "datasets.md", "exec"), {})
    code = block("python", "FrameStream(").replace("data[7]", "data[1]").replace("range(10)", "range(2)")
    exec(compile(code.replace("taken=10", "taken=2"), "datasets.md", "exec"), {})
    said = capsys.readouterr().out
    assert "synth-colon-0-00-00000" in said
    assert "2 (64, 64) synth:colon:0" in said


def test_the_table_of_the_page_has_every_format() -> None:
    from scenarios.export.formats import FORMATS

    assert re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE) == list(FORMATS)

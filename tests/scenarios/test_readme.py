import re
import shlex
from pathlib import Path

import pytest

from scenarios.cli import COMMANDS

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_the_python_of_the_readme_runs(capsys) -> None:
    code = next(block for block in blocks("python") if "load_source" in block)
    exec(compile(code, "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert "(320, 320, 3) (320, 320)" in said
    assert "colon_lumen" in said


@pytest.mark.parametrize(
    "line", [line for block in blocks("sh") for line in block.splitlines() if line.startswith("trocar")]
)
def test_the_commands_of_the_readme_exist_with_their_options(line: str, capsys) -> None:
    from scenarios.cli import main

    words = shlex.split(line, comments=True)[1:]
    command = next(one for one in COMMANDS if words[: len(one.words.split())] == one.words.split())
    with pytest.raises(SystemExit):
        main([*command.words.split(), "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert {word for word in words if word.startswith("--")} <= known


def test_the_pictures_of_the_readme_are_there() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (Path(__file__).parents[2] / path).is_file(), path

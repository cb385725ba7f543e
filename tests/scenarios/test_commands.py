import pytest

from scenarios.cli import COMMANDS, Command, main

NAMES = [
    "demo",
    "patient synth",
    "patient import",
    "patient check",
    "volume synth",
    "render",
    "play",
    "export-scene",
    "gallery",
    "dataset generate",
    "dataset check",
    "dataset export",
    "dataset import",
    "train",
    "ablation",
    "model export",
    "model calibrate",
    "model card",
    "evaluate",
    "evaluate-real",
    "bench",
]


def test_the_commands_have_the_names_of_the_contract() -> None:
    assert [command.words for command in COMMANDS] == NAMES
    measuring = {command.words for command in COMMANDS if command.measures}
    checks = {"patient check", "dataset check"}
    others = {"demo", "export-scene", "train", "ablation", "evaluate", "evaluate-real", "bench"}
    assert measuring == checks | others | {"model export", "model calibrate"}


@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
def test_each_command_s_help_explains_each_option(command: Command, capsys) -> None:
    with pytest.raises(SystemExit) as left:
        main([*command.words.split(), "--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: trocar {command.words}")
    assert "Options" not in said.splitlines()[2]  # a sentence of ours, not the name of a class
    assert ("--at-least" in said) == command.measures

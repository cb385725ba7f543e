"""The command `trocar`: find the command, parse its options, run it, say how it went by the exit code."""

import difflib
import errno
import importlib
import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, make_dataclass
from typing import Annotated, Any

from assets.errors import InputError

DONE, NO, BAD_INPUT, FAULT, INTERRUPTED = 0, 1, 2, 3, 130

_ABOUT = """Simulated endoscopy: anatomy from a seed or a CT, exact ground truth, and a trained network in control.

Research software, not a medical device."""

# A full disk and a folder that may not be written are no faults of ours.
_INPUT_ERRNOS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.EFBIG,
}


@dataclass(frozen=True)
class Command:
    """A command: a function of one frozen dataclass of options. Its module is imported when the command is called."""

    words: str
    """What one types after `trocar`."""
    help: str
    """What it does, in a line."""
    module: str
    options: str
    """The dataclass of its options in the module."""
    function: str
    """The function in the module; if it measures it returns figures."""
    measures: bool = False
    """It takes --json, --at-least and --at-most."""


COMMANDS = (
    Command(
        "demo", "the main job end to end, on synthetic patients", "scenarios.demo", "DemoOptions", "demo", measures=True
    ),
    Command("patient synth", "make up a patient from a seed", "scenarios.patients", "SynthOptions", "synth"),
    Command(
        "patient import",
        "build a patient from a label map, a CT or meshes",
        "scenarios.patients",
        "ImportOptions",
        "import_source",
    ),
    Command(
        "patient check",
        "check a patient folder; exit 1 if anything is wrong",
        "scenarios.patients",
        "CheckOptions",
        "check",
        measures=True,
    ),
    Command(
        "volume synth",
        "make up a label volume of random solids and two CT-like images of it",
        "scenarios.volumes",
        "SynthOptions",
        "synth",
    ),
    Command("render", "render frames with all ground truth", "scenarios.render_command", "RenderOptions", "render"),
    Command("play", "play a scripted scene with soft organs as a video", "scenarios.play", "PlayOptions", "play"),
    Command(
        "export-scene",
        "write a view as a Mitsuba 3 scene, and compare its path-traced picture",
        "scenarios.mitsuba_command",
        "ExportSceneOptions",
        "export_scene",
        measures=True,
    ),
    Command("gallery", "draw frames and degradations in one picture", "scenarios.gallery", "GalleryOptions", "gallery"),
    Command("dataset generate", "record a data set of frames", "scenarios.generate", "GenerateOptions", "generate"),
    Command(
        "dataset check",
        "check counts, class balance, splits and checksums; exit 1 if anything is wrong",
        "scenarios.dataset_check",
        "CheckOptions",
        "check",
        measures=True,
    ),
    Command(
        "dataset export",
        "write a data set as COCO, YOLO, TUM, BOP, SimCol3D, C3VD, LeRobot or plain folders",
        "scenarios.export.command",
        "ExportOptions",
        "export",
    ),
    Command(
        "dataset import",
        "turn a SimCol3D or C3VD folder into a data set",
        "scenarios.dataset_import.command",
        "ImportOptions",
        "import_dataset",
    ),
    Command(
        "train",
        "train the network on a data set",
        "scenarios.train_command",
        "TrainOptions",
        "run_training",
        measures=True,
    ),
    Command(
        "ablation",
        "train again without one axis of the randomisation at a time, and compare",
        "scenarios.ablation",
        "AblationOptions",
        "ablation",
        measures=True,
    ),
    Command(
        "model export",
        "write a trained network as an ONNX file, and compare both",
        "scenarios.model_command",
        "ExportOptions",
        "export",
        measures=True,
    ),
    Command(
        "model calibrate",
        "fit anew how sure a trained network must be of a polyp for an alarm",
        "scenarios.model_command",
        "CalibrateOptions",
        "recalibrate",
        measures=True,
    ),
    Command(
        "model card",
        "write what there is to know about a trained network",
        "scenarios.model_command",
        "CardOptions",
        "card",
    ),
    Command(
        "evaluate",
        "put drivers in control on the same seeds and compare them",
        "scenarios.evaluate",
        "EvaluateOptions",
        "evaluate",
        measures=True,
    ),
    Command(
        "evaluate-real",
        "measure a model on real frames with masks",
        "scenarios.evaluate_real",
        "EvaluateRealOptions",
        "evaluate_real",
        measures=True,
    ),
    Command("bench", "measure speed", "scenarios.bench.run", "BenchOptions", "bench", measures=True),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 done, 1 the answer is no, 2 bad input, 3 a fault of ours, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = "trocar"
    try:
        command, rest = _find(words)
        if command is None:
            return DONE
        name = f"trocar {command.words}"
        return _run(command, name, rest)
    except InputError as error:
        return _say(BAD_INPUT, f"{name}: {error}")
    except KeyboardInterrupt:
        return _say(INTERRUPTED, f"{name}: interrupted; what was finished is kept, and the same command resumes")
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`); keep the interpreter from writing to it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO
    except OSError as error:
        if error.errno in _INPUT_ERRNOS:
            place = f"{error.filename}: " if error.filename else ""
            return _say(BAD_INPUT, f"{name}: {place}expected to read or write here, found: {error.strerror}")
        return _fault(name)
    except Exception:
        return _fault(name)


def _find(words: Sequence[str]) -> tuple[Command | None, list[str]]:
    """Split the arguments into the command and its own; None where only help or the version was asked for."""
    if words and words[0] in ("-h", "--help"):
        print(_help(COMMANDS))
        return None, []
    if words and words[0] == "--version":
        from scenarios.runs import versions

        print(f"trocar {versions()['trocar'] or '(not installed)'}")
        return None, []
    for command in COMMANDS:
        parts = command.words.split()
        if list(words[: len(parts)]) == parts:
            return command, list(words[len(parts) :])
    group = [command for command in COMMANDS if words and command.words.split()[0] == words[0]]
    if group and len(words) > 1 and words[1] in ("-h", "--help"):
        print(_help(group))
        return None, []
    known = [command.words for command in group or COMMANDS]
    typed = " ".join(words[: 2 if group else 1])
    near = difflib.get_close_matches(typed, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"expected a command of {', '.join(known)}; found {repr(typed) if typed else 'none'}{hint}")


def _help(commands: Sequence[Command]) -> str:
    width = max(len(command.words) for command in commands)
    lines = [f"  {command.words:<{width}}  {command.help}" for command in commands]
    usage = "usage: trocar COMMAND [OPTIONS]        (trocar COMMAND --help tells its options)"
    return "\n".join([usage, "", _ABOUT, "", "commands:", *lines, "", "  --version  print the version and leave"])


def _run(command: Command, name: str, arguments: list[str]) -> int:
    from scenarios.figures import (
        CheckFailedError,
        FigureOptions,
        LeftOutError,
        asked_gates,
        figure_table,
        show,
        write_figures,
        write_junit,
    )

    module = importlib.import_module(command.module)
    kind = getattr(module, command.options)
    function: Callable[[Any], Any] = getattr(module, command.function)
    options, gates = _parse(kind, FigureOptions if command.measures else None, name, arguments)
    if not command.measures:
        function(options)
        return DONE
    code = DONE
    faults: tuple[str, ...] = ()
    try:
        figures = tuple(function(options))
    except (CheckFailedError, LeftOutError) as error:
        code, figures, faults = (NO if isinstance(error, CheckFailedError) else BAD_INPUT), error.figures, error.faults
    if gates.json is not None:
        write_figures(gates.json, figures)
    if figures:
        show(figure_table(figures))
    asked = asked_gates(figures, gates)
    if gates.junit is not None:
        write_junit(gates.junit, asked)
    missed = tuple(one.fault for one in asked if one.fault)
    for line in (*faults, *missed):
        _say(NO, f"{name}: {line}")
    return NO if missed and code == DONE else code


def _parse(kind: type, figures: type | None, name: str, arguments: list[str]) -> tuple[Any, Any]:
    """Let tyro fill the dataclasses; its usage errors become one line.

    Raises:
        InputError: The arguments do not fit.
        SystemExit: Help was asked for.
    """
    import tyro

    bare = tyro.conf.arg(name="")
    fields = [("options", Annotated[kind, bare])] + ([("figures", Annotated[figures, bare])] if figures else [])
    both = make_dataclass("Options", fields)
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            parsed: Any = tyro.cli(both, prog=name, description=kind.__doc__, args=arguments)
    except SystemExit as leaving:
        if not leaving.code:
            raise
        raise InputError(f"{_one_line(said.getvalue())} (see {name} --help)") from None
    return parsed.options, getattr(parsed, "figures", None)


def _one_line(box: str) -> str:
    """Flatten what tyro says in a box; its pointers to the help are left out."""
    text = " ".join(re.sub(r"[╭╮╰╯│─]|-{3,}", " ", box).split())
    return re.split(r" ?(?:Argument helptext:|For full helptext)", text)[0]


def _say(code: int, line: str) -> int:
    print(" ".join(line.split()), file=sys.stderr)
    return code


def _fault(name: str) -> int:
    traceback.print_exc()
    return _say(FAULT, f"{name}: a fault of trocar, not of the input; the lines above say where")


if __name__ == "__main__":
    sys.exit(main())

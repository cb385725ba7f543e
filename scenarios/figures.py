"""Figures: what a command measured, as JSON, as a table, and against gates."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from xml.etree import ElementTree

import tyro
from rich.console import Console
from rich.table import Table

from assets.errors import InputError
from scenarios.runs import write_json
from sim.atomic import atomic_file


@dataclass(frozen=True)
class Figure:
    """One measured number. Names are SUBJECT.WHAT, such as `model.success`, and stay once they are there."""

    name: str
    subset: str
    """What it was measured on: scenario, patients, degradation, such as `colonoscopy/synthetic`."""
    value: float | int
    """NaN where nothing could be measured."""
    unit: str
    """Such as m, ms, steps; 1 for a ratio."""
    low: float | None = None
    """Lower end of the 95 % interval, bootstrapped by patient; None where there is none."""
    high: float | None = None
    """Upper end of the interval."""
    n: int = 1
    """How many (episodes, frames, repetitions) it stands on."""
    how: str = ""
    """How it was measured, in a few words."""


class CheckFailedError(Exception):
    """The answer is no: the command did its work, and found something wrong. The exit code is 1."""

    def __init__(self, faults: Sequence[str], figures: Iterable[Figure] = ()) -> None:
        """Hold one line a fault, and what was measured all the same."""
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)
        self.figures = tuple(figures)


class LeftOutError(InputError):
    """Some of the input cannot be used, and the rest was measured all the same. The exit code is 2."""

    def __init__(self, left_out: Sequence[str], figures: Iterable[Figure]) -> None:
        """Hold a line for each thing that cannot be used, and what was measured of the others."""
        self.faults = tuple(f"left out: {line}" for line in left_out)
        super().__init__("; ".join(self.faults))
        self.figures = tuple(figures)


@dataclass(frozen=True)
class FigureOptions:
    """What is done with the figures of a command that measures."""

    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write every figure to this file."""
    at_least: Annotated[tyro.conf.UseAppendAction[tuple[tuple[str, float], ...]], tyro.conf.arg(metavar="NAME X")] = ()
    """Exit with 1 unless this figure is X or more on every subset (NAME@SUBSET: on that one); may be repeated."""
    at_most: Annotated[tyro.conf.UseAppendAction[tuple[tuple[str, float], ...]], tyro.conf.arg(metavar="NAME X")] = ()
    """Exit with 1 unless this figure is X or less."""
    junit: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the gates to this file as JUnit has them, for a CI server to show."""


def write_figures(path: Path, figures: Iterable[Figure]) -> None:
    """Write `{"figures": [...]}`; a number that is not finite becomes null.

    Raises:
        OSError: The file cannot be written.
    """
    write_json(path, {"figures": [{key: _finite(value) for key, value in asdict(one).items()} for one in figures]})


def read_figures(path: Path) -> list[Figure]:
    """Undo `write_figures`.

    Raises:
        InputError: The file is missing, no JSON, or holds something else.
    """
    try:
        stored = json.loads(path.read_bytes())["figures"]
        figures = [Figure(**{**one, "value": math.nan if one["value"] is None else one["value"]}) for one in stored]
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: expected a file of figures, found none") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected figures, found {type(error).__name__}: {error}") from None
    return figures


@dataclass(frozen=True)
class GateResult:
    """A gate, asked about one figure."""

    gate: str
    """Such as `model.success at least 0.9`."""
    subset: str
    """Of the figure; empty if there is none."""
    fault: str = ""
    """What is wrong, in a line; empty where the gate holds."""


def asked_gates(figures: Sequence[Figure], options: FigureOptions) -> list[GateResult]:
    """Ask every gate about every figure that it names; a figure that is not there, or NaN, holds no gate."""
    gates = [(name, bound, True) for name, bound in options.at_least]
    gates += [(name, bound, False) for name, bound in options.at_most]
    results = []
    for gate, bound, at_least in gates:
        name, _, subset = gate.partition("@")
        found = [one for one in figures if one.name == name and subset in ("", one.subset)]
        wanted = f"at {'least' if at_least else 'most'} {bound:g}"
        if not found:
            there = ", ".join(sorted({one.name for one in figures})) or "none"
            fault = f"{gate}: expected {wanted}, found no such figure; there are: {there}"
            results.append(GateResult(f"{gate} {wanted}", "", fault))
        for one in found:
            holds = one.value >= bound if at_least else one.value <= bound
            fault = "" if holds else f"{one.name} ({one.subset}): expected {wanted}, found {one.value:.4g}"
            results.append(GateResult(f"{one.name} {wanted}", one.subset, fault))
    return results


def write_junit(path: Path, results: Sequence[GateResult]) -> None:
    """Write gates as a JUnit test suite.

    Raises:
        OSError: The file cannot be written.
    """
    suite = ElementTree.Element(
        "testsuite",
        name="trocar",
        tests=str(len(results)),
        failures=str(sum(bool(one.fault) for one in results)),
    )
    for one in results:
        case = ElementTree.SubElement(suite, "testcase", classname=one.subset or "trocar", name=one.gate)
        if one.fault:
            ElementTree.SubElement(case, "failure", message=one.fault)
    with atomic_file(path) as stream:
        stream.write(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True))


def figure_table(figures: Iterable[Figure]) -> Table:
    """Lay figures out for a terminal."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("figure", "subset"):
        table.add_column(column)
    for column in ("value", "95 % interval"):
        table.add_column(column, justify="right")
    table.add_column("unit")
    table.add_column("n", justify="right")
    for one in figures:
        table.add_row(one.name, one.subset, *formatted(one), one.unit, str(one.n))
    return table


def show(table: Table) -> None:
    """Print a table to stdout; where that is no terminal, as wide as it needs."""
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)


def formatted(figure: Figure) -> tuple[str, str]:
    """Return value and interval as text; empty where there is no interval."""
    interval = "" if figure.low is None or figure.high is None else f"{figure.low:.3g} to {figure.high:.3g}"
    return ("none" if math.isnan(figure.value) else f"{figure.value:.4g}"), interval


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value

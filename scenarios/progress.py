"""Progress bars that say what is being done and how long it will take; plain lines where there is no terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY = 15.0  # s between lines where there is no terminal


class Advance(Protocol):
    """Says that `count` more are done; `note` replaces what stands behind the bar."""

    def __call__(self, count: int | float = 1, *, note: str | None = None) -> None:
        """Show it."""


@contextmanager
def progress(description: str, total: int | float | None) -> Iterator[Advance]:
    """Show a bar for one stage of the work, on stderr; it stays with its time when the stage is done.

    Args:
        description: What is being done, such as `recording patients`.
        total: How many there are; None if nobody knows.
    """
    console = Console(file=sys.stderr)
    with _bar(console, description, total) if console.is_terminal else _lines(description, total) as advance:
        yield advance


@contextmanager
def _bar(console: Console, description: str, total: int | float | None) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("in"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(description, total=total, note="")

        def advance(count: int | float = 1, *, note: str | None = None) -> None:
            if note is not None:
                bar.update(task, note=note)
            bar.advance(task, count)

        yield advance


@contextmanager
def _lines(description: str, total: int | float | None) -> Iterator[Advance]:
    started = said = time.monotonic()
    done: int | float = 0

    def advance(count: int | float = 1, *, note: str | None = None) -> None:
        nonlocal done, said
        done += count
        now = time.monotonic()
        if now - said >= _LINE_EVERY:
            said = now
            left = f", {(now - started) * (total - done) / done:.0f} s left" if total and done else ""
            of_total = f" of {total:g}" if total else ""
            print(f"{description}: {done:g}{of_total}{left}{f', {note}' if note else ''}", file=sys.stderr, flush=True)

    print(f"{description} ...", file=sys.stderr, flush=True)
    yield advance
    print(f"{description}: done in {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)

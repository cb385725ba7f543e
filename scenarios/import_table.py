"""What each file under some folders becomes: `python -m scenarios.import_table DIR ... --out FILE`.

Every file is imported by itself, as `trocar patient import` does; where it is refused with a way out (`--no-lumen`, or
`--scheme` with a table of names that lies beside it), it is tried again that way. The table, in Markdown, says of each
what came, or the reason.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from assets.errors import InputError
from assets.importers.detect import Request, import_source
from assets.patient import Patient
from sim.atomic import atomic_file

TABLES = (".ctbl", ".json", ".csv")
"""Endings of tables of names."""
MOST_NAMES = 8
"""Organs that a row names; of more it gives the number."""


@dataclass(frozen=True)
class TableOptions:
    """List what each file of some folders becomes."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Folders with volumes and meshes; those within them are entered."""
    out: Path
    """Markdown file to write."""


@dataclass(frozen=True)
class Row:
    """What came of a file."""

    file: str
    """Its path below the folder."""
    imported: bool
    how: str
    """Options that it took besides its name."""
    what: str
    """The organs, or the reason."""


def rows_of(folder: Path) -> list[Row]:
    """Import every file under a folder.

    Raises:
        InputError: It is no folder.
    """
    if not folder.is_dir():
        raise InputError(f"expected a folder, found none at {folder}")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [row for path in files for row in _rows(path, path.relative_to(folder.parent))]


def _rows(path: Path, name: Path) -> list[Row]:
    """Import one file, and again by the way out that a refusal names."""
    attempts: list[tuple[str, Request]] = [("", Request())]
    rows: list[Row] = []
    while attempts:
        how, request = attempts.pop(0)
        try:
            patient = import_source(path, request)
        except InputError as error:
            reason = str(error).replace(f"{path.parent}/", "")
            rows.append(Row(str(name), False, how, reason))
            if "--no-lumen" in reason and request.options.lumen:
                options = replace(request.options, lumen=False)
                attempts.append((f"{how} --no-lumen".strip(), replace(request, options=options)))
            elif "give --scheme" in reason and request.scheme is None:
                for table in sorted(other for other in path.parent.iterdir() if other.suffix.lower() in TABLES):
                    attempts.append((f"--scheme {table.name}", replace(request, scheme=table)))
        else:
            rows.append(Row(str(name), True, how, _told(patient)))
    return rows


def _told(patient: Patient) -> str:
    names = [organ.name for organ in patient.organs]
    text = f"{len(names)} organs" if len(names) > MOST_NAMES else ", ".join(names)
    found: dict[str, Any] = patient.provenance
    if found.get("importer") == "bare_ct":
        text += "; derived"
    for key, words in (("not_told", "not told"), ("left_out_names", "left out, no such labels")):
        some = [str(name).split(":")[0] for name in found.get(key, ())]
        if some:
            text += f"; {words}: {', '.join(some[:MOST_NAMES])}" + (
                f" and {len(some) - MOST_NAMES} more" if len(some) > MOST_NAMES else ""
            )
    if patient.centrelines:
        text += f"; {len(patient.centrelines)} centreline{'s' if len(patient.centrelines) > 1 else ''}"
    if patient.orifices:
        text += f"; orifices: {', '.join(orifice.name for orifice in patient.orifices)}"
    return text


def markdown(rows: list[Row]) -> str:
    """Write rows as a table."""
    lines = ["| file | options | | what came, or the reason |", "|---|---|---|---|"]
    for row in rows:
        what = " ".join(row.what.split()).replace("|", "/")
        how = f"`{row.how}`" if row.how else ""
        lines.append(f"| `{row.file}` | {how} | {'imported' if row.imported else 'refused'} | {what} |")
    return "\n".join(lines) + "\n"


def main(options: TableOptions) -> None:
    """Import, and write the table."""
    rows = [row for folder in options.folders for row in rows_of(folder)]
    with atomic_file(options.out) as stream:
        stream.write(markdown(rows).encode())


if __name__ == "__main__":
    main(tyro.cli(TableOptions))

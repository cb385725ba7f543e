"""`trocar dataset export`: a data set in the form that other tools read."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from assets.errors import InputError
from scenarios.export.formats import FORMATS, exporter_named
from scenarios.export.source import Source, open_source
from scenarios.progress import progress
from scenarios.runs import read_json, versions, write_json
from sim.atomic_folder import atomic_folder
from sim.camera import Camera

VERSION = 1
_NOTE = "export.json"


@dataclass(frozen=True)
class ExportOptions:
    """Write a data set in the form that other tools read; what a form cannot hold is said, and noted in export.json."""

    folder: tyro.conf.Positional[Path]
    """The data set, with its dataset.json."""
    format: Annotated[str, tyro.conf.arg(metavar="|".join(FORMATS))]
    """The form."""
    out: Path
    """Folder of the export; it appears when all of it is written."""
    splits: tuple[str, ...] = ()
    """Splits to export, such as train; all if none is named."""
    pinhole: tuple[int, int, float] | None = None
    """First resample to a pinhole of this width, height [px] and horizontal field of view [deg], for tools that know no
    fisheye."""

    def __post_init__(self) -> None:
        self.lens  # noqa: B018  # refuse a wrong one before any work

    @property
    def lens(self) -> Camera | None:
        """The pinhole asked for.

        Raises:
            InputError: There is no such camera.
        """
        return None if self.pinhole is None else Camera.with_fov(*self.pinhole, model="pinhole")


def export(options: ExportOptions) -> list[str]:
    """Write the export, or find that it is there already.

    Returns:
        What the format could not hold, a line each; they are printed too.

    Raises:
        InputError: The data set is missing or damaged, a package is not installed, or `out` holds something else.
        OSError: The folder cannot be written, or the disk is full.
    """
    write = exporter_named(options.format)
    source = open_source(options.folder, options.splits, lens=options.lens)
    if options.out.resolve().is_relative_to(options.folder.resolve()):
        raise InputError(f"{options.out}: expected a folder outside of the data set {options.folder}")
    identity = {
        "format": options.format,
        "dataset_sha256": source.identity,
        "splits": list(source.splits),
        "pinhole": list(options.pinhole) if options.pinhole else None,
    }
    if _is_there(options.out, identity):
        print(f"{options.out}: this export is there already", file=sys.stderr)
        return _say(read_json(options.out / _NOTE)["left_out"])
    with atomic_folder(options.out, check=lambda: _require_free(options.out)) as folder:
        with progress(f"exporting as {options.format}", source.count) as advance:
            left_out = write(source, folder, advance) + source.left_out
        write_json(folder / _NOTE, _note(identity, source, left_out))
    return _say(left_out)


def _note(identity: dict[str, Any], source: Source, left_out: Sequence[str]) -> dict[str, Any]:
    """Say what the export is: nothing of the machine or the time, so that the same data give the same bytes."""
    cameras = [{**asdict(camera), "frames": count} for camera, count in source.cameras.items()]
    return {
        "version": VERSION,
        **identity,
        "holds": FORMATS[identity["format"]].holds,
        "left_out": list(left_out),
        "frames": source.count,
        "cameras": cameras,
        "labels": source.index.labels,
        "patients": {split: list(source.index.splits.get(split, ())) for split in source.splits},
        "config": source.index.config,
        "versions": {"trocar": versions()["trocar"]},
    }


def _is_there(out: Path, identity: dict[str, Any]) -> bool:
    if not (out / _NOTE).is_file():
        return False
    stored = read_json(out / _NOTE)
    for name, value in identity.items():
        if stored.get(name) != value:
            raise InputError(
                f"{out}: expected nothing or the same export, found one with {name} {stored.get(name)!r} there and "
                f"{value!r} here; choose another --out or remove the folder"
            )
    return True


def _require_free(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: expected a folder, found a file")
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: expected no or an empty folder, found other files; choose another --out")


def _say(left_out: Sequence[str]) -> list[str]:
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    return list(left_out)

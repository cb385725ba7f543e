"""The export formats: the one place where a new one is entered."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from assets.errors import InputError
from scenarios.export.source import Advance, Source

Exporter = Callable[[Source, Path, Advance], list[str]]
"""Writes a data set into an empty folder, calls back after each frame, and returns what the format could not hold."""


@dataclass(frozen=True)
class Format:
    """One export format."""

    module: str
    """Module whose `export` is an `Exporter`; imported when it is asked for."""
    holds: str
    """What of a frame it holds, in a line."""
    needs: str = ""
    """Package beyond the required ones; it comes with the extra `export`."""


FORMATS: dict[str, Format] = {
    "folders": Format(
        "scenarios.export.folders", "every channel as PNG, poses and cameras as CSV, all metadata as JSON"
    ),
    "coco": Format("scenarios.export.coco", "images, instance masks as RLE and as polygons, boxes, key points"),
    "yolo": Format("scenarios.export.yolo", "images, masks as polygons by class"),
    "tum": Format("scenarios.export.tum", "images, depth in steps of 0.2 mm, poses, times"),
    "bop": Format("scenarios.export.bop", "images, depth, instance masks, poses of camera and objects, intrinsics"),
    "simcol3d": Format("scenarios.export.simcol3d", "images, depth to 20 cm, poses, intrinsics"),
    "c3vd": Format("scenarios.export.c3vd", "images, depth to 10 cm, normals, flow, poses, lens"),
    "lerobot": Format("scenarios.export.lerobot", "images as video, poses, times", "pyarrow"),
}


def exporter_named(name: str) -> Exporter:
    """Return the function that writes a format.

    Raises:
        InputError: There is no such format, or a package that it needs is not installed.
    """
    if name not in FORMATS:
        raise InputError(f"format: expected one of {', '.join(FORMATS)}, found {name!r}")
    needs = FORMATS[name].needs
    if needs and find_spec(needs) is None:
        raise InputError(
            f"format {name}: expected the package {needs}, found it not installed: pip install 'trocar[export]'"
        )
    exporter: Exporter = importlib.import_module(FORMATS[name].module).export
    return exporter

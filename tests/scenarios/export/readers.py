"""Readers of the exports, written from the formats' definitions; none uses the exporters."""

from pathlib import Path

import cv2
import numpy as np

from scenarios.export.source import View, open_source


def views(folder: Path) -> list[View]:
    return list(open_source(folder, ()).views())


def image(path: Path) -> np.ndarray:
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert stored is not None, path
    return stored[..., ::-1] if stored.ndim == 3 else stored


def table(path: Path) -> list[list[str]]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [line.split() for line in lines]

"""Files of an export: images as PNG or TIFF, numbers as text."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, its folder made first.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_image(path: Path, image: NDArray[Any]) -> None:
    """Write an image of one channel, or three in the order red, green, blue, 8 or 16 bit; the suffix says how.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    options = _PNG if path.suffix == ".png" else ()
    stored = image[..., ::-1] if image.ndim == 3 else image
    done, data = cv2.imencode(path.suffix, np.ascontiguousarray(stored), options)
    assert done
    write_bytes(path, data.tobytes())


def number(value: float) -> str:
    """Write a number so that it reads back as the same double."""
    return repr(float(value))


def numbers(values: Any) -> str:
    """Write numbers, apart by a space, so that they read back the same."""
    return " ".join(number(value) for value in np.asarray(values, dtype=np.float64).ravel())


@contextmanager
def text_file(path: Path) -> Iterator[TextIO]:
    """Open a text file for writing, its folder made first.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        yield stream


@contextmanager
def csv_table(path: Path, columns: list[str]) -> Iterator[Any]:
    """Open a CSV table with its head written; gives the writer of rows.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    with text_file(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        yield writer

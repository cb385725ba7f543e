"""A picture of a data set: frames evenly spread over it, each above its labels in colour."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from scenarios.pictures import film_strip, id_colours, image_bytes
from sim.atomic import atomic_file
from sim.frame import Frame

_COLUMNS, _ROWS = 10, 5
_WIDTH = 128  # px, of a frame


class ContactSheet:
    """Keeps thumbnails while frames go by."""

    def __init__(self, count: int, first: int = 0) -> None:
        """Prepare for so many frames, of which those from the number `first` on are shown here."""
        self._every = max(1, -(-count // (_COLUMNS * _ROWS)))
        self._seen = first
        self._tiles: list[UInt8[np.ndarray, "_h _w 3"]] = []

    def add(self, frame: Frame) -> None:
        """Show a frame; it is kept if its turn has come."""
        if self._seen % self._every == 0:
            height, width = frame.semantic.shape
            size = (_WIDTH, max(1, round(_WIDTH * height / width)))
            rgb = cv2.resize(frame.rgb, size, interpolation=cv2.INTER_AREA)
            labels = cv2.resize(frame.semantic, size, interpolation=cv2.INTER_NEAREST)
            self._tiles.append(np.concatenate([rgb, id_colours(labels)]))
        self._seen += 1

    def joined(self, later: "ContactSheet") -> "ContactSheet":
        """Return a sheet with what this one and a later one have kept."""
        both = ContactSheet(0)
        both._tiles = self._tiles + later._tiles
        return both

    def write(self, path: Path) -> None:
        """Write the sheet as a JPEG; nothing if no frame was shown.

        Raises:
            OSError: The file cannot be written.
        """
        if self._tiles:
            with atomic_file(path) as stream:
                stream.write(image_bytes(film_strip(self._tiles, columns=_COLUMNS), "jpg"))

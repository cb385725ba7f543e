"""What a laparoscopic scene tells after a step, and how it is written down to the byte."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from assets.errors import InputError
from sim.instruments.instrument import InstrumentState

_LARGEST = 1 << 30  # bytes of all arrays of a saved state
_PLAIN = "plain"


@dataclass(frozen=True)
class OrganContact:
    """An instrument that presses on an organ at the end of a step."""

    instrument: str
    organ: str
    link: str
    """Of the instrument."""
    force: float
    """[N]"""
    depth: float
    """[m]; NaN where the organ is soft."""
    point: tuple[float, float, float]
    """[m], world frame."""


@dataclass(frozen=True)
class Hold:
    """Tissue in the jaws of an instrument."""

    organ: str
    nodes: int
    """Of the tissue that are held."""
    force: tuple[float, float, float]
    """What the tissue does to the jaws [N], world frame."""
    limit: float
    """Most that the jaws hold [N]."""


@dataclass(frozen=True, eq=False)
class LaparoscopyState:
    """A scene after a step."""

    time: float
    """[s]"""
    instruments: dict[str, InstrumentState]
    T_world_camera: Float64[np.ndarray, "4 4"]
    contacts: tuple[OrganContact, ...]
    holds: dict[str, Hold]
    """By instrument."""
    fault: str
    """Why the episode should end, with place and time; empty if all is well."""


def pack(plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Write JSON values and arrays as one NPZ; the same state, the same bytes."""
    stream = io.BytesIO()
    text = np.frombuffer(json.dumps(plain, sort_keys=True).encode(), np.uint8)
    np.savez(stream, allow_pickle=False, **{_PLAIN: text, **arrays})
    return stream.getvalue()


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `pack` wrote.

    Raises:
        InputError: The data is damaged, or too large.
    """
    where = "saved state of a laparoscopy"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _LARGEST:
            raise InputError(f"{where}: expected at most {_LARGEST} bytes, found {size}")
        with np.load(io.BytesIO(data), allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
        plain = json.loads(arrays.pop(_PLAIN).tobytes())
    except (OSError, ValueError, KeyError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        raise InputError(f"{where}: expected an NPZ of a scene, found {str(error)[:100]}") from error
    if not isinstance(plain, dict):
        raise InputError(f"{where}: expected an object, found {str(plain)[:60]!r}")
    return plain, arrays

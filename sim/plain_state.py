"""Saved states as plain data: JSON with a kind and a version; the same state, the same bytes; every entry checked."""

import json
import math
from collections.abc import Collection
from dataclasses import asdict, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError

LARGEST = 1 << 23
"""Bytes of a saved state; a scope of 200 nodes takes some 40,000, a soft wall of 50,000 vertices 1.2 million."""

Settings = TypeVar("Settings")


def to_bytes(kind: str, version: int, entries: dict[str, Any]) -> bytes:
    """Write entries as JSON; numbers come back to the last bit.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    return json.dumps({"kind": kind, "version": version, **entries}, sort_keys=True, allow_nan=False).encode()


def from_bytes(data: bytes, kind: str, version: int, names: Collection[str]) -> dict[str, Any]:
    """Read what `to_bytes` wrote.

    Raises:
        InputError: It is too large, no JSON, of another kind or version, or has other entries.
    """
    where = f"saved state of {kind}"
    if len(data) > LARGEST:
        raise InputError(f"{where}: expected at most {LARGEST} bytes, found {len(data)}")
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: expected JSON, found {str(error)[:80]}") from None
    if not isinstance(plain, dict) or (plain.get("kind"), plain.get("version")) != (kind, version):
        raise InputError(f"{where}: expected kind {kind!r}, version {version}, found {str(plain)[:60]!r}")
    return entries_of({name: plain[name] for name in plain if name not in ("kind", "version")}, names, where)


def entries_of(data: Any, names: Collection[str], where: str) -> dict[str, Any]:
    """Return an object with exactly these entries.

    Raises:
        InputError: It is none.
    """
    if not isinstance(data, dict) or set(data) != set(names):
        found = ", ".join(sorted(map(str, data))) if isinstance(data, dict) else str(data)
        raise InputError(f"{where}: expected the entries {', '.join(sorted(names))}, found {found[:120]}")
    return data


def array_of(data: Any, shape: tuple[int, ...], where: str) -> NDArray[np.float64]:
    """Return finite numbers of a shape.

    Raises:
        InputError: They are not.
    """
    # A string or a boolean would pass for a number, so the entries are asked one by one.
    flat = data
    for axis in shape[1:]:
        if not isinstance(flat, list) or not all(isinstance(row, list) and len(row) == axis for row in flat):
            raise InputError(f"{where}: expected numbers of shape {shape}, found {str(data)[:60]}")
        flat = [entry for row in flat for entry in row]
    count = math.prod(shape)
    if not isinstance(flat, list) or len(flat) != count or not all(map(_is_number, flat)):
        raise InputError(f"{where}: expected finite numbers of shape {shape}, found {str(data)[:60]}")
    return np.array(flat, dtype=np.float64).reshape(shape)


def number_of(data: Any, where: str) -> float:
    """Return a finite number.

    Raises:
        InputError: It is none.
    """
    if not _is_number(data):
        raise InputError(f"{where}: expected a finite number, found {str(data)[:60]!r}")
    return float(data)


def text_of(data: Any, where: str) -> str:
    """Return a text.

    Raises:
        InputError: It is none.
    """
    if not isinstance(data, str):
        raise InputError(f"{where}: expected a text, found {str(data)[:60]!r}")
    return data


def flag_of(data: Any, where: str) -> bool:
    """Return a truth value.

    Raises:
        InputError: It is none.
    """
    if not isinstance(data, bool):
        raise InputError(f"{where}: expected true or false, found {str(data)[:60]!r}")
    return data


def settings_to_plain(settings: Any) -> dict[str, Any]:
    """Return a frozen dataclass of numbers and tuples of numbers as plain data."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}


def settings_of(kind: type[Settings], data: Any, where: str) -> Settings:
    """Return what `settings_to_plain` wrote; each entry must be as the class's default is.

    Raises:
        InputError: An entry is missing, unknown, of another type, or refused by the class.
    """
    plain = entries_of(data, [entry.name for entry in fields(kind)], where)  # type: ignore[arg-type]
    default, values = kind(), dict[str, Any]()
    for name, value in plain.items():
        standard = getattr(default, name)
        if isinstance(standard, tuple):
            values[name] = tuple(array_of(value, (len(standard),), f"{where}: {name}").tolist())
        elif isinstance(standard, bool):
            values[name] = flag_of(value, f"{where}: {name}")
        elif isinstance(standard, str):
            values[name] = text_of(value, f"{where}: {name}")
        elif isinstance(standard, int):
            if not isinstance(value, int) or isinstance(value, bool):
                raise InputError(f"{where}: {name}: expected a whole number, found {str(value)[:60]!r}")
            values[name] = value
        else:
            values[name] = number_of(value, f"{where}: {name}")
    return kind(**values)


def generator_to_plain(generator: np.random.Generator) -> dict[str, Any]:
    """Return the state of a generator made by `numpy.random.default_rng`."""
    state = generator.bit_generator.state
    return {
        "state": str(state["state"]["state"]),
        "increment": str(state["state"]["inc"]),
        "spare": int(state["uinteger"]) if state["has_uint32"] else -1,
    }


def generator_of(data: Any, where: str) -> np.random.Generator:
    """Return the generator that `generator_to_plain` wrote.

    Raises:
        InputError: It is none.
    """
    plain = entries_of(data, ("state", "increment", "spare"), where)
    words = []
    for name in ("state", "increment"):
        text = text_of(plain[name], f"{where}: {name}")
        if not (text.isascii() and text.isdigit() and len(text) <= 39 and int(text) < 1 << 128):
            raise InputError(f"{where}: {name}: expected a number of 128 bits, found {text[:60]!r}")
        words.append(int(text))
    spare = plain["spare"]
    if not isinstance(spare, int) or isinstance(spare, bool) or not -1 <= spare < 1 << 32:
        raise InputError(f"{where}: spare: expected a number of 32 bits or -1, found {str(spare)[:60]!r}")
    generator = np.random.default_rng(0)
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": words[0], "inc": words[1]},
        "has_uint32": int(spare >= 0),
        "uinteger": max(spare, 0),
    }
    return generator


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1e308

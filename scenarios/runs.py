"""Run folders: what was asked for, with which versions; and JSON files that appear whole or not at all."""

import json
import os
import platform
import subprocess
import zlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from typing import Any

from assets.errors import InputError
from sim.atomic import atomic_file

PACKAGES = ("trocar", "numpy", "scipy", "opencv-python-headless", "pybullet", "torch", "warp-lang", "trimesh")
"""Distributions whose versions may change a result."""
FREE = ("out", "json", "at_least", "at_most", "workers", "executor", "address", "threads", "device")
"""Options that do not change what is computed; a run may resume with others."""


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, under a temporary name, then rename.

    Raises:
        OSError: The file cannot be written.
        ValueError: A number is not finite.
    """
    text = json.dumps(json_value(value), sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False)
    with atomic_file(path) as stream:
        stream.write(text.encode() + b"\n")


def json_value(value: Any) -> Any:
    """Turn dataclasses, tuples, paths and NumPy numbers into what JSON has.

    Raises:
        TypeError: A value has no JSON form.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return json_value(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars
        return json_value(value.tolist())
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"expected a value with a JSON form, found {type(value).__name__}: {value!r}")


def run_config(command: str, options: Any) -> dict[str, Any]:
    """Say what a run was: its command, all options (the seed is one), versions, commit, interpreter and machine."""
    return {
        "command": command,
        "options": json_value(options),
        "versions": versions(),
        "commit": commit(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def start_run(out: Path, command: str, options: Any, *, free: Collection[str] = FREE) -> bool:
    """Make `out` the folder of this run: write config.json, or find that the run was begun there with the same options.

    Args:
        out: The run's folder; made if it is not there.
        command: Such as `trocar train`.
        options: A frozen dataclass, or a mapping.
        free: Names of options that may differ when a run resumes.

    Returns:
        True if the run resumes; what is there already is of the same options, versions and commit.

    Raises:
        InputError: The folder holds something else; nothing in it was touched.
        OSError: The folder cannot be made or written.
    """
    path = out / "config.json"
    config = run_config(command, options)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: expected a folder, found a file")
    if path.exists():
        _require_same(path, read_json(path), config, free)
        return True
    if out.is_dir() and any(entry.name[0] != "." for entry in out.iterdir()):
        raise InputError(
            f"{out}: expected an empty folder or a run of {command}, found other files; choose another --out"
        )
    write_json(path, config)
    return False


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: The file is missing or no JSON object.
    """
    try:
        stored = json.loads(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise InputError(f"{path}: expected a JSON file, found none") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON, found {error}") from None
    if not isinstance(stored, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(stored).__name__}")
    return stored


def versions() -> dict[str, str | None]:
    """Return the installed versions of what may change a result; None for what is not installed."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def commit() -> str | None:
    """Return the commit of the source tree, with `+changes` if files differ from it; None outside a checkout."""
    tree = Path(__file__).resolve().parent.parent
    if not (tree / ".git").exists():
        return None
    try:
        head = _git(tree, "rev-parse", "HEAD")
        changed = _git(tree, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+changes" if changed else "")


def _git(tree: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(tree), *words], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _require_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any], free: Collection[str]) -> None:
    for key in ("command", "versions", "commit"):
        if before.get(key) != now[key]:
            raise InputError(
                f"{path}: expected a run with the same {key} to resume, "
                f"found {_differing(before.get(key), now[key])}; choose another --out or remove the folder"
            )
    old, new = dict(before.get("options") or {}), dict(now["options"])
    for name in sorted(set(old) | set(new)):
        if name not in free and old.get(name) != new.get(name):
            raise InputError(
                f"{path}: expected a run with the same options to resume, found {name} {old.get(name)!r} there and "
                f"{new.get(name)!r} here; choose another --out or remove the folder"
            )


def _differing(old: Any, new: Any) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        name = next(key for key in sorted(set(old) | set(new)) if old.get(key) != new.get(key))
        return f"{name} {old.get(name)} there and {new.get(name)} here"
    return f"{old} there and {new} here"


def source_name(source: str) -> str:
    """Make a file name of a patient's or a driver's source, such as synth-colon-7 of synth:colon:7."""
    return "".join(letter if letter.isalnum() else "-" for letter in source.rstrip("/").split("/")[-1])


def source_seed(seed: int, source: str, *numbers: int) -> int:
    """Return a patient's own seed, of the run's: no other patient and no place of its folder changes it.

    Args:
        seed: Of the run.
        source: The patient: synth:colon:7, or a folder, of which the name counts.
        numbers: Tell apart what is done on it, such as episodes.
    """
    return zlib.crc32("/".join(str(part) for part in (seed, PurePath(source).name, *numbers)).encode())


def cache_folder() -> Path:
    """Return the folder in which what is dear to make is kept from run to run, by content; it may be deleted."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "trocar"

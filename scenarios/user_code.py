"""Objects that a user brings as `file.py:Name`."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from assets.errors import InputError


def load_object(text: str, what: str) -> Any:
    """Import a user's file and return the object it names.

    Args:
        text: `file.py:Name`.
        what: What is expected, for the error's line, such as `scenario`.

    Raises:
        InputError: The text has another form, the file is missing or fails, or it has no such name.
    """
    file, _, name = text.rpartition(":")
    path = Path(file)
    if not file.endswith(".py") or not name.isidentifier():
        raise InputError(f"{what}: expected a known name or file.py:Name, found {text!r}")
    if not path.is_file():
        raise InputError(f"{what}: expected a file, found none at {path}")
    module_name = f"trocar_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses in the file look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{what}: expected {path} to import, found {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        raise InputError(f"{what}: expected {path} to define {name}, found no such name")
    return getattr(module, name)

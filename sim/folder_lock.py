"""One process at a time in a folder; the kernel lets go when the process ends, whatever ended it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assets.errors import InputError

LOCK = ".lock"
"""The file that is held; it goes with the run that made it."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a folder, made if it is not there, against every other process that asks for it in this way.

    An advisory lock (flock) of the file `.lock` in it: a process that is killed leaves at most that empty file behind,
    which holds nobody up.

    Raises:
        InputError: Another process holds the folder, or `folder` is a file.
        OSError: The folder cannot be made or written.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: expected a folder, found a file")
    descriptor = _acquire(folder)
    try:
        yield
    finally:
        # While it is still held: whoever waits for this very file sees that it is gone, and takes a new one.
        (folder / LOCK).unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(folder: Path) -> int:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise InputError(
                f"{folder}: expected to be the only run in this folder, found another one at work; "
                f"wait for it, or choose another --out"
            ) from None
        if _is_still(folder / LOCK, descriptor):
            return descriptor
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Say whether the open file is the one at the path: its last holder may have removed it in between."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False

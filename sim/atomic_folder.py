"""Folders that appear whole or not at all."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sim.folder_lock import LOCK, exclusive


@contextmanager
def atomic_folder(path: Path, *, check: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Give an empty folder under a temporary name beside `path`; on success flush all to the disk and rename it.

    If the block raises (a full disk, Ctrl-C) the temporary folder is removed; if the process is killed it stays, and
    the next run for the same path starts it anew. Two runs at once: the second is refused.

    Args:
        path: The final name; nothing or an empty folder is there.
        check: Called when no other run can be at work, before anything is written.

    Raises:
        InputError: Another process makes the same folder; or whatever `check` raises.
        OSError: The folder cannot be made or written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.part")
    with exclusive(temporary):
        try:
            check()
            for left in temporary.iterdir():
                if left.name != LOCK:
                    shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
            yield temporary
            os.sync()  # thousands of small files: one flush of all is quicker than one of each
            if path.is_dir():
                path.rmdir()  # an empty one, or `check` would not have let it pass
            (temporary / LOCK).unlink(missing_ok=True)
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(parent)  # the rename itself must survive a power cut
    finally:
        os.close(parent)

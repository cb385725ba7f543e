"""Files that lie elsewhere: any URL that fsspec knows, such as `s3://bucket/folder` (extra `fsspec`).

An object store has no rename and needs none: an object is there whole or not at all. Elsewhere (ftp, sftp, smb) a file
is written under a temporary name and renamed.
"""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from assets.errors import InputError

_OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "tos", "obs", "memory")
"""Protocols whose uploads appear at once, under their final name."""
_BLOCK = 4 << 20  # bytes that are fetched at once


@dataclass(frozen=True)
class RemotePath:
    """A file or a folder at a URL; what of `pathlib.Path` the readers of data sets need. Holds no connection."""

    url: str
    """Such as s3://bucket/data/tube.tar."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url.rstrip("/"))

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "RemotePath":
        return RemotePath(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.url.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return Path(self.name).stem

    @property
    def parent(self) -> "RemotePath":
        """The folder it is in."""
        return RemotePath(self.url.rpartition("/")[0])

    def is_file(self) -> bool:
        """Tell whether there is a file.

        Raises:
            InputError: The server cannot be asked.
        """
        with self._asked("look") as (system, path):
            return bool(system.isfile(path))

    def size(self) -> int:
        """Return the bytes of the file.

        Raises:
            FileNotFoundError: There is none.
            InputError: The server cannot be asked.
        """
        with self._asked("look") as (system, path):
            return int(system.size(path) or 0)

    def files(self) -> dict[str, int]:
        """Return the sizes [bytes] of the files in this folder, by name; nothing where there is no folder.

        Raises:
            InputError: The server cannot be asked.
        """
        try:
            with self._asked("list what is there") as (system, path):
                found = system.ls(path, detail=True)
        except FileNotFoundError:
            return {}
        return {
            str(one["name"]).rstrip("/").rpartition("/")[2]: int(one["size"] or 0)
            for one in found
            if one["type"] == "file"
        }

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """Open the file for reading; what is needed is fetched as it is read.

        Raises:
            FileNotFoundError: There is none.
            InputError: The server cannot be asked, now or while it is read.
        """
        assert mode == "rb"
        with self._asked("read") as (system, path):
            return io.BufferedReader(_Reader(system.open(path, "rb", block_size=_BLOCK), self))

    def read_bytes(self) -> bytes:
        """Return the content.

        Raises:
            FileNotFoundError: There is no such file.
            InputError: The server cannot be asked.
        """
        with self.open() as stream:
            return stream.read()

    def download(self, target: Path) -> None:
        """Fetch the file.

        Raises:
            FileNotFoundError: There is none.
            InputError: The server cannot be asked, or the file came in part.
            OSError: The target cannot be written.
        """
        with target.open("wb") as stream, self.open() as source:
            while data := source.read(_BLOCK):
                stream.write(data)
        if target.stat().st_size != self.size():
            raise InputError(f"{self}: expected {self.size()} bytes, found the end after {target.stat().st_size}")

    def upload(self, source: Path) -> None:
        """Store a file, so that it appears whole or not at all; what was there under the name is replaced.

        Raises:
            InputError: The server cannot be reached, denies it, or has stored another number of bytes.
        """
        try:
            with self._asked("write") as (system, path):
                if self.url.partition(":")[0] in _OBJECT_STORES:
                    system.put_file(str(source), path)
                else:
                    folder, _, name = path.rpartition("/")
                    system.makedirs(folder, exist_ok=True)
                    system.put_file(str(source), f"{folder}/.{name}.part")
                    system.mv(f"{folder}/.{name}.part", path)
                system.invalidate_cache()
                size = system.size(path)
        except FileNotFoundError as error:
            raise InputError(f"{self}: expected to write there, found: {_line(error)}") from None
        if size != source.stat().st_size:
            raise InputError(f"{self}: expected {source.stat().st_size} bytes to be stored, found {size}")

    def unlink(self) -> None:
        """Remove the file, if it is there.

        Raises:
            InputError: The server cannot be reached or denies it.
        """
        try:
            with self._asked("remove it") as (system, path):
                system.rm_file(path)
        except FileNotFoundError:
            pass

    @contextmanager
    def _asked(self, doing: str) -> Iterator[tuple[Any, str]]:
        """Give the file system and the path in it, and turn what its driver raises into one line."""
        protocol = self.url.partition(":")[0]
        if find_spec("fsspec") is None:
            raise InputError(f"{self}: expected the package fsspec, found none; pip install 'trocar[fsspec]' has it")
        import fsspec

        try:
            system, path = fsspec.core.url_to_fs(self.url, use_listings_cache=False)  # others write there too
            yield system, path
        except (InputError, FileNotFoundError):
            raise
        except ImportError as error:
            raise InputError(
                f"{self}: expected the driver of {protocol}://, found: {_line(error)}; "
                "pip install 'trocar[fsspec]' has that of s3://"
            ) from None
        except PermissionError as error:
            raise InputError(f"{self}: expected to be allowed to {doing}, found: {_line(error)}") from None
        except Exception as error:  # every driver has its own kinds, and none can be imported here
            raise InputError(f"{self}: expected to {doing}, found {type(error).__name__}: {_line(error)}") from None


Place = Path | RemotePath
"""Where a data set or a file of it lies."""


def place_of(where: str | Path | RemotePath) -> Place:
    """Return the place that is meant: a URL (anything with ://) or a path; file:// is a path too."""
    if not isinstance(where, str):
        return where
    if "://" in where and not where.startswith("file://"):
        return RemotePath(where)
    return Path(where.removeprefix("file://"))


def size_of(place: Place) -> int:
    """Return the bytes of a file.

    Raises:
        FileNotFoundError: There is none.
        InputError: A server cannot be asked.
    """
    return place.size() if isinstance(place, RemotePath) else place.stat().st_size


@contextmanager
def fetched(place: Place) -> Iterator[Path]:
    """Give a file as one on this disk: itself, or a copy that goes when the block ends.

    Raises:
        FileNotFoundError: There is none.
        InputError: A server cannot be asked.
        OSError: The copy cannot be written.
    """
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="trocar-") as folder:
        copy = Path(folder) / place.name
        place.download(copy)
        yield copy


class _Reader(io.RawIOBase):
    """A driver's open file, whose errors are of ours."""

    def __init__(self, stream: Any, path: RemotePath) -> None:
        self._stream, self._path = stream, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._path._asked("read"):
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def _line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__

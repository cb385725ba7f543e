"""A process that decodes compressed frames, started when it is first needed."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError

WORKER = Path(__file__).with_name("dicom_worker.py")

CRASHED = b'{"error": "a frame that brings the decoder down"}'

PATIENCE = 300.0
"""Longest time for one file [s]."""

PLUGINS = {
    **dict.fromkeys(("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"), "gdcm"),  # JPEG baseline and extended
    **dict.fromkeys(("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"), "gdcm"),  # JPEG lossless
    **dict.fromkeys(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"), "gdcm"),  # JPEG-LS
    **dict.fromkeys(("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"), "pylibjpeg"),  # JPEG 2000
    **dict.fromkeys((f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203)), "pylibjpeg"),  # HTJ2K
}
"""Who decodes which transfer syntax; the others pydicom decodes by itself."""


class FrameDecoder:
    """Owns the process; a context manager."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "FrameDecoder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def decode(self, path: Path, syntax: str, shape: tuple[int, int]) -> Iterator[NDArray[Any]]:
        """Return the frames of a file, each of this shape.

        Raises:
            InputError: They cannot be decoded, or bring the decoder down.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(PATIENCE, process.kill)
        timer.start()
        try:
            request = {"path": str(path.resolve()), "plugin": PLUGINS[syntax]}
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            while True:
                answer = json.loads(
                    process.stdout.readline(1 << 16) or b'{"error": "a frame that brings the decoder down"}'
                )
                if "end" in answer:
                    return
                if "error" in answer:
                    raise InputError(f"expected frames that can be decoded, found {answer['error']} in {path}")
                kind = np.dtype(answer["dtype"])
                if tuple(answer["shape"]) != shape or kind.kind not in "iu":
                    raise InputError(f"expected frames of {shape[0]} x {shape[1]}, found {answer['shape']} in {path}")
                block = process.stdout.read(shape[0] * shape[1] * kind.itemsize)
                yield np.frombuffer(block, kind).reshape(shape)
        except (OSError, ValueError):
            raise InputError(f"expected frames that can be decoded, found damaged ones in {path}") from None
        finally:
            timer.cancel()
            if process.poll() is not None:
                self.__exit__(None, None, None)  # a new one for the next file

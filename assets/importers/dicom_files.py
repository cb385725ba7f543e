"""DICOM files and folders: which files belong together, and reading them with bounds."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.importers.dicom_decoder import PLUGINS, FrameDecoder
from assets.importers.raw_bytes import one_line, read_head
from assets.importers.volume import Volume

MOST_FILES = 20_000
"""Most files of a folder that are looked at."""

LARGEST_FILE = 1 << 31
"""Most bytes of one file."""

LARGEST_INFLATED = 1 << 29
"""Most bytes of a data set that comes deflated."""

READ_ERRORS = (
    OSError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError, NotImplementedError, RuntimeError,
    OverflowError, MemoryError, RecursionError, ArithmeticError, struct.error, zlib.error,
)  # fmt: skip
"""What pydicom and the decoders raise for damaged files."""

DEFLATED = "1.2.840.10008.1.2.1.99"
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Storage of segmentations, and of label maps (DICOM PS3.4, table B.5-1)."""
CT_IMAGES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
"""Storage of CT images: one frame a file, enhanced, and converted from the first."""


def is_dicom(path: Path, head: bytes) -> bool:
    """Say whether a file is DICOM by its preamble, or a folder holds such files."""
    if path.is_dir():
        return next(_dicom_files(path), None) is not None
    return head[128:132] == b"DICM"


def read_dicom(path: Path) -> Volume:
    """Read a CT series or a segmentation.

    Args:
        path: A folder with one series, or one file: of a segmentation, or of the series that is meant, whose other
            files lie beside it.

    Raises:
        InputError: The files are damaged, several series, no volume, or pydicom is not installed.
    """
    pydicom()
    try:
        return _read(path)
    except READ_ERRORS as error:  # pydicom parses most of a data set when it is asked for it
        raise InputError(f"expected a DICOM file, found it damaged ({one_line(error)}): {path}") from None


def _read(path: Path) -> Volume:
    from assets.importers.dicom_seg import read_segmentation
    from assets.importers.dicom_series import read_enhanced, read_series

    wanted: str | None = None
    if not path.is_dir():
        header = read_dataset(path, pixels=False)
        kind = text(header, "SOPClassUID")
        if kind in SEGMENTATIONS:
            return read_segmentation(path)
        if kind in CT_IMAGES[1:]:
            return read_enhanced(path)
        wanted = text(header, "SeriesInstanceUID")
    series: dict[str, list[tuple[Path, Any]]] = {}
    for file in _dicom_files(path if path.is_dir() else path.parent):
        header = read_dataset(file, pixels=False)
        if text(header, "SOPClassUID") != "1.2.840.10008.1.3.10":  # a DICOMDIR lists files and is none of them
            series.setdefault(text(header, "SeriesInstanceUID"), []).append((file, header))
    if wanted is None and len(series) != 1:
        choices = "; ".join(
            f"{rows[0][0].name} ({text(rows[0][1], 'Modality')} {text(rows[0][1], 'SeriesDescription')[:30]}, "
            f"{len(rows)} files)"
            for rows in list(series.values())[:8]
        )
        raise InputError(f"expected one series, found {len(series)}; give a file of the one meant: {choices} in {path}")
    files = series[wanted] if wanted is not None else next(iter(series.values()))
    kinds = {text(header, "SOPClassUID") for _, header in files}
    if len(files) == 1 and kinds <= set(SEGMENTATIONS):
        return read_segmentation(files[0][0])
    if len(files) == 1 and kinds <= set(CT_IMAGES[1:]):
        return read_enhanced(files[0][0])
    if kinds != {CT_IMAGES[0]}:
        raise InputError(
            f"expected CT images or one segmentation, found {text(files[0][1], 'Modality') or 'no modality'} "
            f"({', '.join(sorted(kinds))[:80]}) in {path}"
        )
    return read_series(files, path)


def pydicom() -> ModuleType:
    """Return pydicom, which comes with an extra.

    Raises:
        InputError: It is not installed.
    """
    try:
        import pydicom as module
    except ImportError:
        raise InputError("expected pydicom for DICOM files, found none: pip install 'trocar[dicom]'") from None
    return module


def _dicom_files(folder: Path) -> Iterator[Path]:
    count = 0
    for file in sorted(folder.iterdir()):
        if not file.is_file():
            continue
        count += 1
        if count > MOST_FILES:
            raise InputError(f"expected at most {MOST_FILES} files, found more in {folder}")
        if read_head(file, 132)[128:] == b"DICM":
            yield file


def read_dataset(path: Path, *, pixels: bool) -> Any:
    """Read a data set.

    Raises:
        InputError: It is damaged or too large.
    """
    dicom = pydicom()
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise InputError(f"expected at most {LARGEST_FILE} bytes, found {size} in {path}")
        data = path.read_bytes()  # so that no declared length makes a read larger than the file
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if _transfer_syntax(data) == DEFLATED:
                _check_deflated(data, path)
            return dicom.dcmread(io.BytesIO(data), stop_before_pixels=not pixels)
    except READ_ERRORS as error:
        raise InputError(f"expected a DICOM file, found {one_line(error)} in {path}") from None


def _transfer_syntax(data: bytes) -> str:
    """Return the UID of element (0002,0010), which comes before what may be deflated; empty where there is none."""
    at = data.find(b"\x02\x00\x10\x00UI", 132, 132 + (1 << 14))
    if at < 0 or len(data) < at + 8:
        return ""
    length = struct.unpack("<H", data[at + 6 : at + 8])[0]
    return data[at + 8 : at + 8 + length].decode("ascii", errors="replace").strip("\0 ")


def _check_deflated(data: bytes, path: Path) -> None:
    """Refuse a deflated data set that would fill the memory: inflate it piece by piece and count."""
    length = struct.unpack("<I", data[140:144])[0] if data[132:136] == b"\x02\x00\x00\x00" else 0
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    rest, total = data[144 + length :], 0
    while rest and not unpacker.eof:
        total += len(unpacker.decompress(rest, 1 << 20))
        rest = unpacker.unconsumed_tail
        if total > LARGEST_INFLATED:
            raise InputError(f"expected at most {LARGEST_INFLATED} bytes after inflating, found more in {path}")


def text(dataset: Any, name: str) -> str:
    """Return a text of a data set, empty where it has none."""
    try:
        value = dataset.get(name, "")
    except READ_ERRORS:
        return ""
    return "" if value is None else str(value).strip()


def number(dataset: Any, name: str, path: Path, default: float | None = None) -> float:
    """Return a finite number of a data set.

    Raises:
        InputError: There is none, and no default.
    """
    try:
        value = dataset.get(name, None)
        found = default if value is None else float(value)
    except READ_ERRORS:
        found = None
    if found is None or not np.isfinite(found):
        raise InputError(f"expected a number for {name}, found {text(dataset, name)[:40] or 'none'} in {path}")
    return found


def vector(dataset: Any, name: str, count: int, path: Path) -> NDArray[np.float64]:
    """Return so many finite numbers of a data set.

    Raises:
        InputError: They are not there.
    """
    try:
        found = np.array([float(value) for value in dataset[name].value], np.float64)
    except READ_ERRORS:
        found = np.empty(0)
    if found.shape != (count,) or not np.isfinite(found).all():
        raise InputError(f"expected {count} numbers for {name}, found {text(dataset, name)[:60] or 'none'} in {path}")
    return found


def plane(orientation: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
    """Return the directions of columns, rows and slices, LPS, shape (3, 3), a column each.

    Args:
        orientation: ImageOrientationPatient: along a row, then along a column, shape (6,).
        path: Named in an error.

    Raises:
        InputError: The two are no unit vectors, or not perpendicular.
    """
    across, down = orientation[:3], orientation[3:]
    products = np.array([across @ across - 1, down @ down - 1, across @ down])
    if np.abs(products).max() > 0.02:
        raise InputError(
            f"expected two perpendicular unit vectors, found ImageOrientationPatient {orientation} in {path}"
        )
    return np.stack([across, down, np.cross(across, down)], axis=1)


def check_frame(frame: bytes, rows: int, columns: int, path: Path) -> None:
    """Refuse a compressed frame whose own header promises another size: a decoder would allocate that.

    Raises:
        InputError: It does.
    """
    size = _codestream_size(frame)
    if size is not None and size != (rows, columns):
        raise InputError(f"expected frames of {rows} x {columns}, found one of {size[0]} x {size[1]} in {path}")


def _codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Return rows and columns of a JPEG, JPEG-LS or JPEG 2000 frame, None where it is none of them."""
    if frame[:4] == b"\xff\x4f\xff\x51" and len(frame) >= 24:  # ISO/IEC 15444-1, annex A.5.1
        right, bottom, left, top = struct.unpack(">4I", frame[8:24])
        return bottom - top, right - left
    if frame[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            rows, columns = struct.unpack(">2H", frame[at + 5 : at + 9])
            return rows, columns
        at += 2 + struct.unpack(">H", frame[at + 2 : at + 4])[0]
    return None


def frames(dataset: Any, count: int, path: Path, decoder: FrameDecoder) -> Iterator[NDArray[Any]]:
    """Decode one frame after the other, shape (rows, columns) each.

    Args:
        dataset: With its pixels.
        count: Frames that it holds.
        path: Its file.
        decoder: Takes what is compressed as JPEG of any kind.

    Raises:
        InputError: The pixels are damaged, of several channels, or compressed in a way that no decoder takes.
    """
    rows, columns = int(number(dataset, "Rows", path)), int(number(dataset, "Columns", path))
    bits = int(number(dataset, "BitsAllocated", path))
    if int(number(dataset, "SamplesPerPixel", path, 1.0)) != 1 or bits not in (1, 8, 16, 32):
        raise InputError(f"expected one channel of 1, 8, 16 or 32 bits, found {bits} bits in {path}")
    dicom = pydicom()
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    try:
        pixels = dataset.PixelData
        if syntax is None:
            raise InputError(f"expected a transfer syntax, found none in {path}")
        if not syntax.is_compressed or str(syntax) == DEFLATED:
            needed = -(-rows * columns * count * bits // 8)
            if len(pixels) < needed:
                raise InputError(f"expected {needed} bytes of pixels, found {len(pixels)} in {path}")
            if bits == 1:
                yield from _bit_frames(pixels, rows * columns, count, (rows, columns))
                return
        else:
            for frame in dicom.encaps.generate_frames(pixels, number_of_frames=count):
                check_frame(frame, rows, columns, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = 0
            if str(syntax) in PLUGINS:
                decoded = decoder.decode(path, str(syntax), (rows, columns))
            else:
                decoded = dicom.pixels.iter_pixels(dataset, raw=True)
            for found, frame in enumerate(decoded, start=1):
                if frame.shape != (rows, columns) or found > count:
                    raise InputError(f"expected {count} frames of {rows} x {columns}, found {frame.shape} in {path}")
                yield frame
            if found != count:
                raise InputError(f"expected {count} frames, found {found} in {path}")
    except READ_ERRORS as error:
        name = getattr(syntax, "name", "unknown")
        raise InputError(f"expected pixels that can be decoded ({name}), found {one_line(error)} in {path}") from None


def _bit_frames(pixels: bytes, size: int, count: int, shape: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Unpack frames of one bit a pixel, which need not begin at a byte (DICOM PS3.5, 8.1.1)."""
    packed = np.frombuffer(pixels, np.uint8)
    for index in range(count):
        first, last = index * size, (index + 1) * size
        bits = np.unpackbits(packed[first // 8 : -(-last // 8)], bitorder="little")
        yield bits[first % 8 : first % 8 + size].reshape(shape)

"""Arrays in VTK XML files: written out, base64, appended raw, and compressed, each within a bound."""

import base64
import binascii
import zlib
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.mesh_files.raw import numbers

MAX_INFLATED = 1 << 27
"""Most bytes that the arrays of one file inflate to: 128 MiB."""

_TYPES = {
    "Int8": "i1",
    "UInt8": "u1",
    "Int16": "i2",
    "UInt16": "u2",
    "Int32": "i4",
    "UInt32": "u4",
    "Int64": "i8",
    "UInt64": "u8",
    "Float32": "f4",
    "Float64": "f8",
}


class ArrayReader:
    """Reads the arrays of one file; counts what they inflate to."""

    def __init__(self, root: Element, appended: bytes | None, encoded: bool, where: str) -> None:
        """Learn how the file is written.

        Args:
            root: The element `VTKFile`.
            appended: What stands behind the underscore of `AppendedData`.
            encoded: Whether that is base64.
            where: What to call the file in errors.

        Raises:
            InputError: The byte order, the header's type or the compressor is not known.
        """
        orders = {"LittleEndian": "<", "BigEndian": ">"}
        headers = {"UInt32": "u4", "UInt64": "u8"}
        order, header = root.get("byte_order", "LittleEndian"), root.get("header_type", "UInt32")
        if order not in orders or header not in headers:
            raise InputError(
                f"expected byte_order LittleEndian or BigEndian and header_type UInt32 or UInt64, "
                f"found {order[:20]!r} and {header[:20]!r} in {where}"
            )
        compressor = root.get("compressor")
        if compressor not in (None, "", "vtkZLibDataCompressor"):
            raise InputError(f"expected no compressor or vtkZLibDataCompressor, found {compressor[:40]!r} in {where}")
        self.order, self.header = orders[order], np.dtype(orders[order] + headers[header])
        self.compressed, self.appended, self.encoded, self.where = bool(compressor), appended, encoded, where
        self.room = MAX_INFLATED

    def read(self, element: Element, what: str, count: int | None = None) -> NDArray[np.generic]:
        """Return the values of a `DataArray`, flat.

        Args:
            element: The `DataArray`.
            what: What it holds, in words.
            count: How many values there must be; None where the file alone says it.

        Raises:
            InputError: There are others, or it is damaged.
        """
        kind = element.get("type", "")
        if kind not in _TYPES:
            raise InputError(f"expected a type of {', '.join(_TYPES)}, found {kind[:20]!r} for {what} in {self.where}")
        way = element.get("format", "ascii")
        if way == "ascii":
            values: NDArray[np.generic] = numbers((element.text or "").encode(), what, self.where)
        elif way == "binary":
            values = self._values(self._decoded_start((element.text or "").strip().encode(), what), kind, what, True)
        elif way == "appended":
            offset = element.get("offset", "")
            if self.appended is None or not (offset.isascii() and offset.isdigit() and len(offset) < 16):
                raise InputError(f"expected an offset into appended data, found {offset[:20]!r} in {self.where}")
            values = self._values(self.appended[int(offset) :], kind, what, self.encoded)
        else:
            raise InputError(f"expected format ascii, binary or appended, found {way[:20]!r} in {self.where}")
        if count is not None and len(values) != count:
            raise InputError(f"expected {count} values of {what}, found {len(values)} in {self.where}")
        return values

    def _decoded_start(self, text: bytes, what: str) -> bytes:
        if not text:
            raise InputError(f"expected base64 as {what}, found nothing in {self.where}")
        return text

    def _values(self, data: bytes, kind: str, what: str, encoded: bool) -> NDArray[np.generic]:
        body = self._inflated(data, encoded, what) if self.compressed else self._plain(data, encoded, what)
        dtype = np.dtype(self.order + _TYPES[kind])
        if len(body) % dtype.itemsize:
            raise InputError(f"expected whole values of {dtype.itemsize} bytes as {what}, found {len(body)} bytes")
        return np.frombuffer(body, dtype)

    def _head(self, data: bytes, count: int, encoded: bool, what: str) -> tuple[list[int], int]:
        """Return header words, and how many bytes of the file they took."""
        size = count * self.header.itemsize
        taken = -(-size // 3) * 4 if encoded else size
        raw = self._base64(data[:taken], what) if encoded else data[:taken]
        if len(raw) < size:
            raise InputError(f"expected a header of {size} bytes before {what}, found {len(raw)} in {self.where}")
        return [int(word) for word in np.frombuffer(raw, self.header, count)], taken

    def _plain(self, data: bytes, encoded: bool, what: str) -> bytes:
        head = self.header.itemsize
        (size,), _ = self._head(data, 1, encoded, what)
        total = -(-(size + head) // 3) * 4 if encoded else size + head
        if total > len(data) + 2:
            raise InputError(f"expected {size} bytes of {what}, found {len(data)} in {self.where}")
        body = self._base64(data[:total], what) if encoded else data[:total]
        if len(body) < head + size:
            raise InputError(f"expected {size} bytes of {what}, found {len(body) - head} in {self.where}")
        return body[head : head + size]

    def _inflated(self, data: bytes, encoded: bool, what: str) -> bytes:
        """Inflate blocks: their number, their size, the last one's, and the size of each when compressed."""
        (blocks, size, last), _ = self._head(data, 3, encoded, what)
        if blocks == 0:
            return b""
        expected = (blocks - 1) * size + (last or size)
        if blocks * self.header.itemsize > len(data) or expected > self.room or last > size:
            raise InputError(
                f"expected arrays that inflate to at most {MAX_INFLATED} bytes, found {blocks} blocks of {size} as "
                f"{what} in {self.where}"
            )
        words, taken = self._head(data, 3 + blocks, encoded, what)
        body_size = sum(words[3:])
        length = -(-body_size // 3) * 4 if encoded else body_size
        if length > len(data) - taken + 2:
            raise InputError(f"expected {body_size} bytes of {what}, found {len(data) - taken} in {self.where}")
        body = self._base64(data[taken : taken + length], what) if encoded else data[taken : taken + length]
        self.room -= expected
        parts, start = [], 0
        for index, packed in enumerate(words[3:]):
            wanted = (last or size) if index == blocks - 1 else size
            inflater = zlib.decompressobj()
            try:
                part = inflater.decompress(body[start : start + packed], wanted + 1)
            except zlib.error as error:
                raise InputError(f"expected a zlib block of {what}, found {error} in {self.where}") from None
            if len(part) != wanted:
                raise InputError(
                    f"expected block {index} of {what} to inflate to {wanted} bytes, found "
                    f"{'more' if len(part) > wanted else len(part)} in {self.where}"
                )
            parts.append(part)
            start += packed
        return b"".join(parts)

    def _base64(self, text: bytes, what: str) -> bytes:
        try:
            return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise InputError(f"expected base64 as {what}, found something else in {self.where}") from None

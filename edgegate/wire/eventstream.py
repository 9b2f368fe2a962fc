"""AWS event streams (`application/vnd.amazon.eventstream`), fed in arbitrary pieces.

A frame is: total length and length of the headers (4 bytes each), a CRC of those eight, the headers, the payload, a CRC of
all before it. `FrameReader` gives parsed frames, `WholeFrames` passes bytes on unchanged but never half a frame, `frame`
writes one. More data cannot mend a frame that is broken (a wrong CRC, a length out of bounds, a header that is none), so a
reader stops there: `broken` then says why, and the frames before it have been given, wherever the reads were cut.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MAX_HEADERS_BYTES = 128 * 1024
MAX_MESSAGE_BYTES = 24 * 1024 * 1024
"""Limit of one frame. AWS promises 16 MB, its own SDKs take payloads up to 24 MB."""

_PRELUDE = 12
_LEAST = _PRELUDE + 4
_LENGTHS = struct.Struct(">II")
_U32 = struct.Struct(">I")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS: Mapping[int, tuple[str, int]] = {2: (">b", 1), 3: (">h", 2), 4: (">i", 4), 5: (">q", 8)}
_TRUE, _FALSE, _BYTES, _STRING, _TIMESTAMP, _UUID = 0, 1, 6, 7, 8, 9

Value = bool | int | bytes | str | datetime
"""Of a header. A UUID is read as its 16 bytes."""


class FrameError(ValueError):
    """A frame that `WholeFrames` cannot find the end of."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. Names of headers keep their case: `:event-type`, `:message-type`, `:content-type`."""

    headers: Mapping[str, Value]
    payload: bytes

    def text(self, name: str) -> str:
        """A header that is a string, "" if there is none."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class FrameReader:
    """Parses a stream. `broken`: why nothing more can be read from it, "" as long as all is well."""

    __slots__ = ("_held", "_limit", "_wanted", "broken")

    def __init__(self, limit: int = MAX_MESSAGE_BYTES) -> None:
        self._held = bytearray()
        self._limit = limit
        self._wanted = _PRELUDE  # bytes that must be there before the next step is worth trying
        self.broken = ""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by this piece."""
        if self.broken:
            return []
        held = self._held
        if held:
            held += data
            if len(held) < self._wanted:
                return []
            data = bytes(held)
            held.clear()
        frames: list[Frame] = []
        at = 0
        while True:
            rest = len(data) - at
            self._wanted = _PRELUDE
            if rest < _PRELUDE:
                break
            total, headers = _LENGTHS.unpack_from(data, at)
            self.broken = _prelude_fault(data, at, total, headers, self._limit)
            if self.broken:
                return frames
            if rest < total:
                self._wanted = total
                break
            end = at + total
            if zlib.crc32(memoryview(data)[at : end - 4]) != _U32.unpack_from(data, end - 4)[0]:
                self.broken = "a frame whose checksum is wrong"
                return frames
            found = _headers(data[at + _PRELUDE : at + _PRELUDE + headers])
            if found is None:
                self.broken = "a frame whose headers cannot be read"
                return frames
            frames.append(Frame(found, data[at + _PRELUDE + headers : end - 4]))
            at = end
        if at < len(data):
            held += data[at:] if at else data
        return frames

    @property
    def pending(self) -> bool:
        """Whether part of a frame has arrived that is not whole yet."""
        return bool(self._held)


class WholeFrames:
    """Passes a stream on unchanged, in whole frames. Looks at the lengths only: who reads the frames checks the rest."""

    __slots__ = ("_held", "_limit", "_wanted")

    def __init__(self, limit: int = MAX_MESSAGE_BYTES) -> None:
        self._held = bytearray()
        self._limit = limit
        self._wanted = _PRELUDE

    def feed(self, data: bytes) -> bytes:
        """The longest run of whole frames. Raises `FrameError` for lengths that no frame has."""
        held = self._held
        if held:
            held += data
            if len(held) < self._wanted:
                return b""
            data = bytes(held)
            held.clear()
        at = 0
        self._wanted = _PRELUDE
        while len(data) - at >= _PRELUDE:
            total, headers = _LENGTHS.unpack_from(data, at)
            fault = _prelude_fault(data, at, total, headers, self._limit)
            if fault:
                raise FrameError(fault)
            if len(data) - at < total:
                self._wanted = total
                break
            at += total
        if at == len(data):
            return data
        held += data[at:]
        return data[:at]

    def rest(self) -> bytes:
        """Half a frame that the stream ended in."""
        held = bytes(self._held)
        self._held.clear()
        return held


def frame(headers: Mapping[str, Value], payload: bytes = b"") -> bytes:
    """One message as bytes. Integers are written in the smallest type that holds them."""
    written = b"".join([_written(name, value) for name, value in headers.items()])
    lengths = _LENGTHS.pack(_LEAST + len(written) + len(payload), len(written))
    body = b"".join((lengths, _U32.pack(zlib.crc32(lengths)), written, payload))
    return body + _U32.pack(zlib.crc32(body))


def _prelude_fault(data: bytes, at: int, total: int, headers: int, limit: int) -> str:
    if zlib.crc32(data[at : at + 8]) != _U32.unpack_from(data, at + 8)[0]:
        return "bytes that are no frame: the checksum of its lengths is wrong"
    if headers > MAX_HEADERS_BYTES or total < _LEAST + headers:
        return "a frame whose lengths do not fit"
    return f"a frame of more than {limit} bytes" if total > limit else ""


def _headers(data: bytes) -> dict[str, Value] | None:
    """The headers, None if the bytes are none. Of equal names the last counts."""
    found: dict[str, Value] = {}
    at, size = 0, len(data)
    try:
        while at < size:
            start = at + 1 + data[at]
            name = data[at + 1 : start].decode()
            kind = data[start]
            at = start + 1
            if kind in (_STRING, _BYTES):
                length = data[at] << 8 | data[at + 1]
                at += 2 + length
                raw = data[at - length : at]
                found[name] = raw.decode() if kind == _STRING else raw
            elif kind in (_TRUE, _FALSE):
                found[name] = kind == _TRUE
            elif kind in _NUMBERS:
                form, length = _NUMBERS[kind]
                found[name] = struct.unpack_from(form, data, at)[0]
                at += length
            elif kind == _TIMESTAMP:
                found[name] = _EPOCH + timedelta(milliseconds=struct.unpack_from(">q", data, at)[0])
                at += 8
            elif kind == _UUID:
                found[name] = data[at : at + 16]
                at += 16
            else:
                return None
    except (IndexError, struct.error, ValueError, OverflowError):  # ValueError: no UTF-8
        return None
    return found if at == size else None


def _written(name: str, value: Value) -> bytes:
    return bytes((len(name.encode()),)) + name.encode() + _value(value)


def _value(value: Value) -> bytes:
    if isinstance(value, bool):
        return bytes((_TRUE if value else _FALSE,))
    if isinstance(value, int):
        for kind, (form, length) in _NUMBERS.items():
            if -(1 << 8 * length - 1) <= value < 1 << 8 * length - 1:
                return bytes((kind,)) + struct.pack(form, value)
        raise ValueError("an integer header holds 64 bits")
    if isinstance(value, (bytes, str)):
        raw = value.encode() if isinstance(value, str) else value
        return bytes((_STRING if isinstance(value, str) else _BYTES,)) + struct.pack(">H", len(raw)) + raw
    return bytes((_TIMESTAMP,)) + struct.pack(">q", (value - _EPOCH) // timedelta(milliseconds=1))

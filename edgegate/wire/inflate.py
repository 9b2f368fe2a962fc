"""Decompression that cannot be used as a weapon: gzip and deflate bodies, bounded in ratio, in size and in memory at any moment.

`Inflater` is fed compressed pieces and gives what they hold. It raises `InflateError`, after which it is spent, for an encoding
it does not take, for bad data, for an end that comes too early or too late, and for a bomb: more than `max_bytes` in all, or more
than `max_ratio` times what came in. Whatever the input, no more than one bounded piece beyond the limit is ever decompressed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

MAX_RATIO = 200
"""Real JSON and event streams compress 3 to 30 times, long runs of equal messages up to about 100; deflate can reach 1,030."""

FREE_BYTES = 64 * 1024
"""Output that is given out whatever the ratio: a small body of blanks is no bomb."""

MAX_MEMBERS = 1000
"""Members of one gzip body. Compressors write one, or one per flushed part; empty ones would cost CPU and yield nothing."""

_PIECE = 64 * 1024
_SLICE = 16 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_GZIP_MAGIC = 0x1F
_ZLIB_METHOD = 8


class InflateError(ValueError):
    """A compressed body that is not accepted. The message says why and holds nothing of the body."""


class Inflater:
    """See the module. States: between members (before the first, behind any), and inside one (`_zlib`)."""

    __slots__ = ("_encoding", "_in", "_max_bytes", "_max_ratio", "_members", "_out", "_zlib")

    def __init__(self, encoding: str, max_ratio: int = MAX_RATIO, *, max_bytes: int) -> None:
        """encoding: the value of Content-Encoding, in any case. max_bytes: most that may come out in all."""
        encoding = encoding.strip().lower()
        self._encoding = "gzip" if encoding == "x-gzip" else encoding
        if self._encoding not in ("gzip", "deflate"):
            raise InflateError(f"content-encoding {encoding[:40]!r} is not accepted, only gzip and deflate")
        self._max_ratio = max_ratio
        self._max_bytes = max_bytes
        self._zlib: zlib._Decompress | None = None  # the member that is being read
        self._members = 0
        self._in = 0
        self._out = 0

    def feed(self, data: bytes) -> bytes:
        """What `data` decompresses to, as far as it can be told yet."""
        # zlib copies whatever input it has not come to yet at every call: it gets little at a time
        slices = [data[at : at + _SLICE] for at in range(0, len(data), _SLICE)]
        return b"".join([piece for part in slices for piece in self._pieces(part)])

    def end(self) -> bytes:
        """The body is over. Gives the last bytes, which are none: nothing is held back. An empty body is accepted."""
        if self._zlib is not None:
            raise InflateError(f"the {self._encoding} body ends too early")
        return b""

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        waiting = False  # the last piece was as long as it might be: more may come without further input
        while data or waiting:
            member = self._zlib or self._begin(data)
            room = min(_PIECE, self._max_bytes - self._out + 1)
            try:
                piece = member.decompress(data, room)
            except zlib.error:
                raise InflateError(f"the body is not valid {self._encoding}") from None
            ended = member.eof
            rest = member.unused_data if ended else member.unconsumed_tail
            self._in += len(data) - len(rest)
            self._out += len(piece)
            self._check()
            self._zlib = None if ended else member
            data = rest
            waiting = len(piece) == room and not ended
            yield piece

    def _begin(self, data: bytes) -> zlib._Decompress:
        """A new member, of which `data` holds the first bytes."""
        if self._members and (self._encoding == "deflate" or data[0] != _GZIP_MAGIC):
            raise InflateError(f"the {self._encoding} body is followed by other bytes")
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise InflateError(f"the gzip body has more than {MAX_MEMBERS} members")
        if self._encoding == "gzip":
            return zlib.decompressobj(_GZIP)
        # RFC 9110 means zlib's format by "deflate"; some servers send it bare. No encoder begins bare deflate with this method
        return zlib.decompressobj(zlib.MAX_WBITS if data[0] & 0x0F == _ZLIB_METHOD else -zlib.MAX_WBITS)

    def _check(self) -> None:
        if self._out > self._max_bytes:
            raise InflateError(f"the body decompresses to more than {self._max_bytes} bytes")
        if self._out > FREE_BYTES and self._out > self._max_ratio * self._in:
            raise InflateError(f"the body decompresses to more than {self._max_ratio} times its size")

"""One HTTP/1.1 connection to a provider: an asyncio protocol around httptools (llhttp) that pushes what it parses.

States: idle (no call; any byte that arrives closes it), busy (one call), closed. It carries one call at a time and never
pipelines. Framing is judged here and strictly: a reply with both Transfer-Encoding and Content-Length, an unknown transfer
coding, a bad chunk size or an oversized head breaks the call and closes the connection. What the reply means is the call's
business.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import httptools

from edgegate.errors import GatewayError, provider_error

if TYPE_CHECKING:
    from edgegate.dialects.base import HeaderList
    from edgegate.upstream.call import Call
    from edgegate.upstream.pool import Pool

MAX_HEAD_BYTES = 64 * 1024
"""Limit of a reply's head, informational replies before it included. The largest seen at a provider is 3 KB."""

WRITE_AT_ONCE = 64 * 1024
"""Up to this size head and body go out in one write: one segment, one wake-up at the provider."""


class Connection(asyncio.Protocol):
    """Owned by its pool. `reused` tells whether a call was carried before, so that a stale connection can be told from a
    provider that hangs up."""

    __slots__ = (
        "_call",
        "_done",
        "_drained",
        "_head_bytes",
        "_head_seen",
        "_headers",
        "_informational",
        "_keep",
        "_parser",
        "_pool",
        "_surplus",
        "_until_close",
        "closed",
        "idle_since",
        "reused",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._call: Call | None = None
        self._done = False
        self._drained: asyncio.Future[None] | None = None
        self._head_bytes = 0
        self._head_seen = False
        self._headers: HeaderList = []
        self._informational = False
        self._keep = False
        self._surplus = False
        self._until_close = False
        self.closed = False
        self.idle_since = 0.0
        self.reused = False

    # -- called by the call that has the connection

    def send(self, head: bytes, body: bytes, call: Call) -> None:
        """Writes a request; `call` gets the reply. More body may follow with `write` if the head announced it."""
        self._call = call
        self._done = self._head_seen = self._until_close = self._surplus = False
        self._head_bytes = 0
        # A parser per call: llhttp refuses a further message after "Connection: close", and a fresh one costs 0.5 us.
        self._parser = httptools.HttpResponseParser(self)
        if len(body) <= WRITE_AT_ONCE:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    async def drain(self) -> None:
        """Waits until the provider takes more of a streamed request body. The caller sets the time limit."""
        if self._drained is not None:
            await self._drained

    def abort(self) -> None:
        """Closes at once, forgetting the call."""
        self._call = None
        self.closed = True
        self.transport.abort()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def pause_writing(self) -> None:
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def data_received(self, data: bytes) -> None:
        call = self._call
        if call is None:  # an idle connection has nothing to say: a late reply, or an attack on the next caller
            self.abort()
            return
        if not self._head_seen:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._done or self._call is not call:
                self._break(_framing_error(error))
                return
            self._surplus = True
        if self._call is not call:  # broken by a callback
            return
        if not self._head_seen and self._head_bytes > MAX_HEAD_BYTES:
            self._break(provider_error(502, "bad_reply", f"the provider's reply head exceeds {MAX_HEAD_BYTES} bytes"))
        elif self._done:
            self._complete(call)
        elif self._head_seen:
            call.on_read()

    def eof_received(self) -> None:
        """The provider has closed its side. asyncio closes ours; `connection_lost` follows."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.resume_writing()
        self._pool.lost(self)
        call, self._call = self._call, None
        if call is None:
            return
        if self._until_close and exc is None:  # HTTP/1.0 style: the close is the end of the body
            call.on_complete()
        elif self._head_seen:
            call.on_broken(provider_error(502, "upstream_cut", "the provider closed the connection in the middle of its reply"))
        else:
            call.stale = self.reused and self._head_bytes == 0
            call.on_broken(provider_error(502, "upstream_closed", "the provider closed the connection without a reply"))

    # -- httptools callbacks

    def on_message_begin(self) -> None:
        if self._done:  # bytes behind the reply belong to nobody
            self._surplus = True
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._surplus:
            return
        status = self._parser.get_status_code()
        self._informational = 100 <= status < 200
        call = self._call
        if self._informational or call is None:
            return
        self._head_seen = True
        self._keep = self._parser.should_keep_alive()  # only meaningful inside llhttp's callbacks
        length: bytes | None = None
        coding: bytes | None = None
        for name, value in self._headers:
            if name == b"content-length":
                if length is not None and length != value:
                    self._break(_framing("two different Content-Length headers"))
                    return
                length = value
            elif name == b"transfer-encoding":
                if coding is not None or value.lower() != b"chunked":
                    self._break(_framing("a Transfer-Encoding other than chunked"))
                    return
                coding = value
        if coding is not None and length is not None:
            self._break(_framing("both Transfer-Encoding and Content-Length"))
            return
        bodiless = call.head_only or status in (204, 304)
        self._until_close = coding is None and length is None and not bodiless
        call.on_head(status, self._headers, int(length) if length is not None and length.isdigit() else None)
        if bodiless and self._call is call:
            # llhttp does not know that the request was a HEAD and would wait for the announced body
            self._done = True

    def on_body(self, data: bytes) -> None:
        call = self._call
        if call is not None and not self._surplus:
            call.on_body(data)

    def on_message_complete(self) -> None:
        if self._surplus:
            return
        if self._informational:
            self._informational = False
        else:
            self._done = True

    # -- endings

    def _complete(self, call: Call) -> None:
        self._call = None
        call.let_go()  # from here on the connection may be another's
        if self._keep and not self._surplus and not call.head_only and not call.uploading and not self.transport.is_closing():
            self.reused = True
            self._pool.release(self)
        else:
            self.closed = True
            self.transport.close()
        call.on_complete()

    def _break(self, error: GatewayError) -> None:
        call = self._call
        self.abort()
        if call is not None:
            call.on_broken(error)


def _framing(what: str) -> GatewayError:
    return provider_error(502, "bad_reply", f"the provider's reply is not valid HTTP: {what}")


def _framing_error(error: Exception) -> GatewayError:
    if isinstance(error, httptools.HttpParserUpgrade):
        return _framing("it switches protocols")
    cause = error.__context__
    return cause if isinstance(cause, GatewayError) else _framing(str(error) or type(error).__name__)

"""Request bodies: read whole, within limits of size and time, or handed on piece by piece."""

from __future__ import annotations

import asyncio

from aiohttp import StreamReader, web

from edgegate.errors import GatewayError, Source
from edgegate.wire.inflate import InflateError, Inflater


async def read_body(request: web.BaseRequest, limit: int, timeout_s: float) -> bytes:
    """The whole body, decompressed. Raises 413 beyond `limit` bytes, 408 after `timeout_s`, 400 for what is not a body."""
    length = request.content_length
    if length is not None and length > limit:
        raise _too_large(limit)
    content = request._payload
    if content.is_eof():
        body = content.read_nowait()
        if len(body) > limit:
            raise _too_large(limit)
    else:
        _answer_expect(request)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(timeout_s):
                while piece := await content.readany():
                    size += len(piece)
                    if size > limit:
                        raise _too_large(limit)
                    parts.append(piece)
        except TimeoutError:
            message = f"The request body did not arrive within {timeout_s:g} s."
            raise GatewayError(408, "body_timeout", message, source=Source.CLIENT) from None
        except web.RequestPayloadError as error:
            raise GatewayError(400, "bad_body", f"The request body is not valid HTTP: {error}", source=Source.CLIENT) from None
        body = b"".join(parts)
    encoding = request.headers.get("Content-Encoding")
    if encoding and encoding.lower() != "identity":
        body = _inflate(body, encoding, limit)
    return body


class BodyStream:
    """A request body that goes to the provider as it comes."""

    def __init__(self, request: web.BaseRequest, length: int | None) -> None:
        self.length = length
        self._request = request
        self._content: StreamReader = request._payload
        self._asked = False

    async def read(self) -> bytes:
        if not self._asked:
            self._asked = True
            if not self._content.is_eof():
                _answer_expect(self._request)
        try:
            return await self._content.readany()
        except web.RequestPayloadError as error:
            raise GatewayError(400, "bad_body", f"The request body is not valid HTTP: {error}", source=Source.CLIENT) from None


def _answer_expect(request: web.BaseRequest) -> None:
    """aiohttp's low-level server does not answer Expect; a client would wait for it before sending its body."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _inflate(body: bytes, encoding: str, limit: int) -> bytes:
    try:
        inflater = Inflater(encoding, max_bytes=limit)
        return inflater.feed(body) + inflater.end()
    except InflateError as error:
        raise GatewayError(400, "bad_encoding", f"The request body cannot be decompressed: {error}", source=Source.CLIENT) from None


def _too_large(limit: int) -> GatewayError:
    return GatewayError(413, "request_too_large", f"The request body exceeds {limit} bytes.", source=Source.CLIENT)

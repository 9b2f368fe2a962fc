"""Bodies of requests to the admin API: small JSON objects that arrive in time."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from edgegate.admin.query import parameters
from edgegate.errors import GatewayError, Source, bad_request
from edgegate.wire.document import parse_object

MAX_BODY = 64 * 1024
BODY_S = 10.0


async def read_json(request: web.BaseRequest, query: str, *, empty: bool = False) -> dict[str, Any]:
    """The body as a JSON object; nothing is said in the query. `empty`: no body is an empty object."""
    parameters(query, ())
    body = await _read(request)
    return {} if empty and not body.strip() else parse_object(body)


async def _read(request: web.BaseRequest) -> bytes:
    """At most MAX_BODY bytes, within BODY_S."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise bad_request("Content-Encoding: expected a body that is not compressed", "Content-Encoding", status=415)
    too_large = GatewayError(413, "request_too_large", f"The request body exceeds {MAX_BODY} bytes.", source=Source.CLIENT)
    if (request.content_length or 0) > MAX_BODY:
        raise too_large
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # aiohttp's low-level server does not say it
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            while piece := await request.content.readany():
                body += piece
                if len(body) > MAX_BODY:
                    raise too_large
    except TimeoutError:
        message = f"The request body did not arrive within {BODY_S:g} s."
        raise GatewayError(408, "body_timeout", message, source=Source.CLIENT) from None
    except web.RequestPayloadError:
        raise bad_request("The request body is not valid HTTP.", code="bad_body") from None
    return bytes(body)

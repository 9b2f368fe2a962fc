"""What the admin API sends: JSON that nobody may keep or guess at, errors in one shape."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web

from edgegate.errors import GatewayError

WRITE_S = 30.0
"""For a client to take what it asked for, or one piece of it."""

HEADERS = {"Cache-Control": "no-store", "Server": "edgegate", "X-Content-Type-Options": "nosniff"}
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 409: "conflict_error"}


async def send(request: web.BaseRequest, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> web.Response:
    """Sends a JSON document. A client that does not take it in time is dropped."""
    response = web.Response(status=status, body=orjson.dumps(body), content_type="application/json", headers={**HEADERS, **(headers or {})})
    if status in (401, 408, 413):
        response.force_close()
    try:
        async with asyncio.timeout(WRITE_S):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        drop(request)
    return response


async def refuse(request: web.BaseRequest, error: GatewayError, allowed: Sequence[str] = ()) -> web.Response:
    """Sends an error. `allowed`: the methods that a path takes, for a 405."""
    kind = _TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == 405:
        headers["Allow"] = ", ".join(allowed)
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    shown = {"message": error.message, "type": kind, "code": error.code, "param": error.param}
    return await send(request, error.status, {"error": shown}, headers)


def drop(request: web.BaseRequest) -> None:
    """Ends the connection at once. What was sent of an answer is visibly cut."""
    if request.transport is not None:
        request.transport.abort()

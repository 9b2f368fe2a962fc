"""The events that end a stream which cannot go on.

`response.failed` for clients that wait for the response's own end (codex), then `error`, which OpenAI documents flat and sends
with an object under `error`: it has both here. The official SDKs raise on the object. No further events follow.
"""

from __future__ import annotations

import orjson

from edgegate.dialects.base import Json
from edgegate.dialects.openai.errors import render
from edgegate.dialects.responses.events import Events
from edgegate.dialects.responses.shape import skeleton
from edgegate.errors import GatewayError

_RATE_LIMITED = 429


def broken_off(error: GatewayError, request_id: str) -> bytes:
    events = Events()
    tell(events, error, skeleton({}, request_id, 0, ""))
    return events.taken()


def tell(events: Events, error: GatewayError, response: Json) -> None:
    """`response`: as its last event showed it."""
    body = error_object(error)
    code = "rate_limit_exceeded" if error.status == _RATE_LIMITED else body["code"] or "server_error"
    events.say("response.failed", response={**response, "status": "failed", "error": {"code": code, "message": body["message"]}})
    flat = {name: body[name] for name in ("code", "message", "param")}
    events.say("error", **flat, error=body)


def error_object(error: GatewayError) -> Json:
    """`{message, type, param, code, ...}` as in OpenAI's error replies."""
    value = orjson.loads(render(error))
    inner = value.get("error") if isinstance(value, dict) else None
    body: Json = inner if isinstance(inner, dict) else {}
    return {**body, "message": str(body.get("message") or error.message), "param": body.get("param"), "code": body.get("code")}

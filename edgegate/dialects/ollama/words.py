"""Ollama's errors towards its clients, and the times and reasons in its replies."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson

from edgegate.dialects.failure import parsed
from edgegate.errors import GatewayError, bad_request

DIALECT = "ollama"
NDJSON = b"application/x-ndjson"

_KINDS: dict[type, str] = {str: "string", int: "number", float: "number", bool: "bool", list: "array", dict: "object"}
_INDEX = re.compile(r"\[\d+\]")


def error_body(error: GatewayError) -> bytes:
    """`{"error": "text"}`. The format has no key for the field concerned, so the message begins with it unless it names it."""
    if error.wire is not None and error.wire.dialect == DIALECT:
        theirs = parsed(error.wire.body)
        if isinstance(theirs, dict) and isinstance(theirs.get("error"), str):
            return orjson.dumps(theirs) if b"\n" in error.wire.body else error.wire.body
    message, param = error.message, error.param
    if param and param not in message and _INDEX.sub("", param) not in message:
        message = f"{param}: {message}"
    return orjson.dumps({"error": message})


def wrong_type(value: Any, path: str, go_struct: str, go_type: str) -> GatewayError:
    """As Ollama's JSON decoder says it: `json: cannot unmarshal array into Go struct field ChatRequest.messages of type ...`."""
    kind = _KINDS.get(type(value), "null")
    field = f"{go_struct}.{_INDEX.sub('', path)}"
    return bad_request(f"json: cannot unmarshal {kind} into Go struct field {field} of type {go_type}", path)


def timestamp(seconds: Any) -> str:
    """RFC 3339, as `created_at` has it."""
    whole = int(seconds) if type(seconds) in (int, float) and 0 <= seconds < 253402300800 else 0
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def done_reason(finish: str) -> str:
    """Ollama knows `stop`, also after tool calls, and `length`."""
    return "length" if finish == "length" else "stop"


def unbroken(lines: bytes) -> bytes:
    """The same JSON without characters that some readers take for the end of a line, as Go writes it too: the ollama SDK (httpx)
    splits at U+2028, U+2029 and U+0085."""
    if b"\xe2\x80" in lines:
        lines = lines.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return lines.replace(b"\xc2\x85", b"\\u0085") if b"\xc2\x85" in lines else lines

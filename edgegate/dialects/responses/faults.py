"""Errors inside a response: `response.error` of a failed one, and the `error` event of a stream.

Both say `{code, message}` and neither has an HTTP status; the codes do. What is wrong with the request (a prompt, an image)
is a 400: another attempt at the same provider would not help. HTTP errors have OpenAI's usual shape (see `openai/errors.py`).
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Json
from edgegate.dialects.openai.errors import DIALECT, from_payload, type_of, without_secrets
from edgegate.errors import GatewayError, WireError, provider_error

_ASKERS_FAULT = (
    "invalid_prompt",
    "invalid_image",
    "invalid_base64_image",
    "image_",
    "unsupported_image",
    "empty_image",
    "failed_to_download_image",
    "bio_policy",
    "misalignment_policy",
    "data_residency",
)
"""How the codes of `ResponseError` begin that are about what was asked."""

_NOT_ERRORS = ("type", "sequence_number", "event_id", "output_index")
"""Keys of a flat `error` event that are the event's own."""


def failure(payload: Any) -> GatewayError:
    """The error of an error object, or of whatever stands in its place."""
    error: Json = payload if isinstance(payload, dict) else {"message": payload} if isinstance(payload, str) and payload else {}
    if not error.get("message") and not error.get("code"):
        error = {**error, "message": "The provider's answer failed, and it did not say why."}
    code = error.get("code")
    status = 400 if isinstance(code, str) and code.startswith(_ASKERS_FAULT) else None
    found = from_payload(error, status)
    if isinstance(error.get("message"), str) and without_secrets(str(error)) == str(error):
        body = {"type": type_of(found.status), "param": None, "code": None} | error
        found.wire = WireError(DIALECT, orjson.dumps({"error": body}), "application/json")
    return found


def event_failure(event: Json) -> GatewayError:
    """The error of an `error` event: flat as OpenAI documents it, or with an object under `error` as its chat streams have it."""
    inner = event.get("error")
    if inner:
        return failure(inner)
    return failure({name: value for name, value in event.items() if name not in _NOT_ERRORS and value is not None})


def response_failure(response: Json) -> GatewayError | None:
    """The error of a response object that failed or was cancelled; None for any other."""
    status = response.get("status")
    if status == "cancelled":
        return provider_error(502, "incomplete_reply", "The provider cancelled the answer.")
    error = response.get("error")
    if status == "failed" or (error and status not in ("completed", "complete", "incomplete")):
        return failure(error)
    return None


def ended_early() -> GatewayError:
    """`[DONE]`, which this API does not have, in the place of the end."""
    return provider_error(502, "incomplete_reply", "The provider ended its stream without the end of its response.")

"""Bedrock's errors: `{"message"}` with the kind in the header `x-amzn-errortype`, or as a frame inside a stream.

The kind says more than the status does: a fault of the model is a 424, which no client knows, an expired token a 403.
Reading takes any body (HTML from a proxy, nothing, half a JSON document) and never raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edgegate.dialects.failure import code_for, failed, parsed, words_of
from edgegate.dialects.reasons import reason
from edgegate.errors import GatewayError, provider_error
from edgegate.wire.eventstream import Frame

DIALECT = "bedrock"

_STATUS: Mapping[str, int] = {
    "ValidationException": 400,
    "SerializationException": 400,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "UnknownOperationException": 404,
    "ModelTimeoutException": 408,
    "RequestTimeoutException": 408,
    "ConflictException": 409,
    "ModelErrorException": 502,
    "ModelStreamErrorException": 502,
    "ThrottlingException": 429,
    "TooManyRequestsException": 429,
    "ModelNotReadyException": 429,
    "ServiceQuotaExceededException": 429,
    "InternalServerException": 500,
    "InternalFailure": 500,
    "ServiceUnavailableException": 503,
    # the credential itself
    "ExpiredTokenException": 401,
    "IncompleteSignature": 401,
    "IncompleteSignatureException": 401,
    "InvalidClientTokenId": 401,
    "InvalidSignatureException": 401,
    "MissingAuthenticationTokenException": 401,
    "UnrecognizedClientException": 401,
}
_CODES: Mapping[str, str] = {"ModelErrorException": "provider_error", "ModelStreamErrorException": "provider_error"}
_NO_MODEL = re.compile(
    r"model identifier is invalid|could not resolve the foundation model|model not found|end of its life|"
    r"invocation of model id .* (?:isn.t|is not) supported|model id is not found",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(?:ABSK|bedrock-api-key-)[\w+/=-]{8,}")
_KEY_IDS = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}")


def reply_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """The error for a reply that is not 2xx."""
    value = parsed(body)
    kind = _kind(headers.get("x-amzn-errortype", "")) or kind_inside(value)
    said = message_inside(value)
    message = _safe(said or words_of("Bedrock", status, body))
    if status == 424 or not 400 <= status <= 599:
        status = 502
    status = _STATUS.get(kind, status)
    error = failed(DIALECT, status, headers, body, message, code=_code(kind, status, said), details={"type": kind} if kind else None)
    if _BEARER.search(said) or _KEY_IDS.search(said):
        error.wire = None
    return error


def frame_error(frame: Frame) -> GatewayError:
    """The error that a frame of a stream reports: an exception that the operation knows, or an error below it."""
    value = parsed(frame.payload)
    kind = _kind(frame.text(":exception-type") or frame.text(":error-code"))
    said = message_inside(value) or frame.text(":error-message")
    return inner_error(kind or kind_inside(value), said)


def inner_error(kind: str, said: str) -> GatewayError:
    """An error inside a 200: only the kind tells the status."""
    status = _STATUS.get(kind, 502)
    message = _safe(said) or f"Bedrock reported {kind or 'an error'} without a message"
    return provider_error(status, _code(kind, status, said), message[:2000], details={"type": kind} if kind else None)


def message_inside(value: Any) -> str:
    """The message of an error object; a model's own is kept beside it."""
    if not isinstance(value, dict):
        return ""
    for name in ("message", "Message", "originalMessage", "errorMessage"):
        if isinstance(value.get(name), str) and value[name]:
            return str(value[name])
    return ""


def kind_inside(value: Any) -> str:
    """The kind of an error object that carries it itself: `{"__type": "com.amazon.coral.service#ThrottlingException"}`."""
    if isinstance(value, dict):
        for holder in (value, value.get("Output")):
            if isinstance(holder, dict) and isinstance(holder.get("__type"), str):
                return _kind(holder["__type"])
    return ""


def _kind(text: str) -> str:
    """`ValidationException` out of `ValidationException:http://...`, `service#ValidationException`, `validationException`."""
    word = text.partition(":")[0].rpartition("#")[2].strip()
    return word[:1].upper() + word[1:] if word.isascii() and word.isalnum() else ""


def _code(kind: str, status: int, message: str) -> str:
    """OpenAI's code for the faults that apps react to."""
    if status in (400, 404) and _NO_MODEL.search(message):
        return "model_not_found"
    if kind == "ServiceQuotaExceededException":
        return "insufficient_quota"
    return reason(status, message) or _CODES.get(kind) or code_for(status)


def _safe(message: str) -> str:
    return _KEY_IDS.sub("AKIA***", _BEARER.sub("***", message))

"""Azure's errors, in the words that OpenAI's clients and edgegate's routing know.

The body is OpenAI's, but `code` may be an HTTP status as text and `type` missing; a deployment that does not exist is
`DeploymentNotFound`; and what the content filter says stands in `innererror`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegate.dialects.openai.errors import from_reply
from edgegate.errors import GatewayError

_CODES: Mapping[str, str] = {
    "DeploymentNotFound": "model_not_found",
    "ResourceNotFound": "not_found",
    "OperationNotSupported": "unsupported_operation",
    "NoCapacity": "overloaded",
}


def azure_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """Never raises, whatever the body is. Clients of OpenAI's dialect get Azure's body as it came."""
    error = from_reply(status, headers, body)
    details = dict(error.details or {})
    inner = details.get("innererror")
    if isinstance(inner, dict) and inner.get("code") == "ResponsibleAIPolicyViolation":
        error.code = "content_filter"
        found = _found(inner.get("content_filter_result"))
        if found and found not in error.message:
            error.message = f"{error.message} (filtered: {found})"
    elif error.code in _CODES:
        error.details = {**details, "provider_code": error.code}
        error.code = _CODES[error.code]
    return error


def _found(results: Any) -> str:
    """Which filters closed: `hate`, `jailbreak`, ..."""
    if not isinstance(results, dict):
        return ""
    return ", ".join(name for name, result in results.items() if isinstance(result, dict) and result.get("filtered") is True)

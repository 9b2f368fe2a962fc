"""The one family of errors that stages raise and the gate renders.

A `GatewayError` says what went wrong in neutral words: an HTTP status, a short machine-readable code, a sentence for the
person who must act, and the request field concerned. Which JSON it becomes is the business of the client's dialect.
A message never holds a secret or a prompt.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

_STAYS = frozenset({"context_length_exceeded", "content_filter", "content_policy_violation", "insufficient_quota"})
"""Codes of refusals that another attempt at the same place does not change."""


class Source(enum.StrEnum):
    """Whose fault it is; shown to the caller as `x-edgegate-error-source`."""

    CLIENT = "client"
    GATEWAY = "gateway"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class WireError:
    """A provider's own error reply, kept so that a client of the same dialect gets it byte for byte."""

    dialect: str
    body: bytes
    content_type: str


class GatewayError(Exception):
    """An exchange, or one attempt of it, that failed before it had a whole answer.

    status: HTTP status for the client, 400..599.
    code: short snake_case word, e.g. `invalid_api_key`, `model_not_found`, `upstream_timeout`.
    param: the request field concerned, as a path such as `messages[2].content`; None when no single field is.
    retryable: whether another attempt, at this or another target, may succeed.
    retry_after_s: seconds the provider or a limit asked to wait.
    wire: the provider's own body, if the error came from one.
    details: what the provider said beyond the message (its `type`, `innererror`, ...), for dialects that can carry it.
    headers: further header lines for the caller, names in lower case.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retryable: bool = False,
        source: Source = Source.GATEWAY,
        retry_after_s: float | None = None,
        wire: WireError | None = None,
        details: dict[str, Any] | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retryable = retryable
        self.source = source
        self.retry_after_s = retry_after_s
        self.wire = wire
        self.details = details
        self.headers = headers

    def again(self) -> GatewayError:
        """The same error for another exchange: an exception that is raised twice gathers both traces."""
        return GatewayError(
            self.status,
            self.code,
            self.message,
            param=self.param,
            retryable=self.retryable,
            source=self.source,
            retry_after_s=self.retry_after_s,
            wire=self.wire,
            details=self.details,
            headers=self.headers,
        )


def bad_request(message: str, param: str | None = None, *, code: str = "invalid_request", status: int = 400) -> GatewayError:
    """An error in what the client sent. `message` names the field and what was expected."""
    return GatewayError(status, code, message, param=param, source=Source.CLIENT)


def provider_error(
    status: int,
    code: str,
    message: str,
    *,
    retryable: bool | None = None,
    retry_after_s: float | None = None,
    wire: WireError | None = None,
    details: dict[str, Any] | None = None,
    param: str | None = None,
) -> GatewayError:
    """An error that a provider reported, or caused by how it answered.

    Unless told otherwise, timeouts (408), conflicts (409), rate limits (429) and every 5xx are worth another attempt; what is
    refused for a reason that stays, such as a prompt that is too long, is not, whatever its status.
    """
    if retryable is None:
        retryable = (status in (408, 409, 425, 429) or status >= 500) and code not in _STAYS
    return GatewayError(
        status,
        code,
        message,
        param=param,
        retryable=retryable,
        source=Source.PROVIDER,
        retry_after_s=retry_after_s,
        wire=wire,
        details=details,
    )

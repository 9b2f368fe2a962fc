"""What a failed attempt says about trying again, and where.

One reading for everything that reacts to failures: retries, breakers, credentials set aside, a smaller prompt's place. The codes
are edgegate's own, which the dialects give to a provider's words; where a provider's code says nothing, the status does.
"""

from __future__ import annotations

import enum

from edgegate.errors import GatewayError, Source


class Verdict(enum.Enum):
    """RETRY, LIMITED and SILENT are what `GatewayError.retryable` says in one word; the others are not worth the same attempt again."""

    RETRY = "retry"
    """The provider stumbled: the same attempt may succeed."""
    LIMITED = "limited"
    """A rate limit: the same attempt may succeed later, at another credential at once."""
    SILENT = "silent"
    """The provider kept quiet until one of our own time limits."""
    KEY = "key"
    """The credential is refused, or its account is out of money: another one may do."""
    CONTEXT = "context"
    """The request is too large for this model; a target that takes more may do."""
    FILTER = "filter"
    """A content filter refused it."""
    FINAL = "final"
    """Nothing will change the answer."""


_SILENT = frozenset({"connect_timeout", "first_token_timeout", "idle_timeout", "total_timeout"})
_CONTEXT = frozenset({"context_length_exceeded", "request_too_large"})
_FILTER = frozenset({"content_filter", "content_policy_violation"})
_KEY = frozenset({"invalid_api_key", "insufficient_quota", "permission_denied"})


def verdict(error: GatewayError) -> Verdict:
    """What the gateway or the client did wrong is final unless it says otherwise: no other target mends it."""
    if error.source is not Source.PROVIDER:
        return Verdict.RETRY if error.retryable else Verdict.FINAL
    code, status = error.code, error.status
    if code in _SILENT:
        return Verdict.SILENT
    if code in _CONTEXT:
        return Verdict.CONTEXT
    if code in _FILTER:
        return Verdict.FILTER
    if code in _KEY or status in (401, 402, 403):
        return Verdict.KEY
    if status == 429:  # one that it does not help to wait for is the account's
        return Verdict.LIMITED if error.retryable else Verdict.KEY
    return Verdict.RETRY if error.retryable else Verdict.FINAL

"""Credentials that a fixed header line cannot express: tokens that run out, and signatures over each request."""

from __future__ import annotations

from typing import Protocol

from edgegate.dialects.base import HeaderList


class Credential(Protocol):
    """Proves who we are with each request, where a fixed header line is not enough."""

    signs_body: bool
    """Whether `lines` depends on the body, so that a streamed one has to be gathered first."""

    async def refresh(self) -> None:
        """Makes sure that what `lines` needs is valid for the next minutes. Usually returns at once. Raises `GatewayError` (500 or
        502, source gateway, code `credentials_unavailable`) if it cannot."""
        ...

    def lines(self, method: str, host: str, path: str, headers: HeaderList, body: bytes) -> HeaderList:
        """Header lines to add to this request. `path` is origin-form with the query, as it goes out."""
        ...

"""Whether a request that could be parsed may also be believed: what its head says about its length and about our name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgegate.errors import GatewayError, Source
from edgegate.wire.headers import valid_host

if TYPE_CHECKING:
    from aiohttp import web

    from edgegate.exchange import Exchange

MAX_LENGTH_DIGITS = 15
"""A petabyte. llhttp takes 2^64-1 for no length at all."""


def check_framing(request: web.BaseRequest, ex: Exchange) -> None:
    """Raises a 400, after which the connection is closed, for what llhttp lets through although two servers might read it
    differently: an impossible length, any Transfer-Encoding but `chunked` alone, no valid Host or several."""
    length = request.headers.get("Content-Length")
    if length is not None and len(length) > MAX_LENGTH_DIGITS:  # llhttp takes 2^64-1 for no length at all
        raise _refused(ex, "bad_http", "The Content-Length is not a possible one.")
    codings = request.headers.getall("Transfer-Encoding", None)
    if codings is not None and (len(codings) != 1 or codings[0].lower() != "chunked" or "Content-Length" in request.headers):
        ex.close = True
        raise GatewayError(
            400, "bad_http", "Expected one Transfer-Encoding, chunked, and no Content-Length beside it.", source=Source.CLIENT
        )
    hosts = request.headers.getall("Host", ())
    valid = len(hosts) == 1 and valid_host(hosts[0].encode("utf-8", "surrogateescape"))
    if not valid and (hosts or request.version >= (1, 1)):
        raise _refused(ex, "invalid_host", "Expected exactly one valid Host header.")


def _refused(ex: Exchange, code: str, message: str) -> GatewayError:
    ex.close = True
    return GatewayError(400, code, message, source=Source.CLIENT)

"""auth: who is calling.

Keys are looked for in order: `Authorization: Bearer`, `x-api-key`, `api-key`, `x-goog-api-key`, the query (only if switched
on), the `x-budget-key` of a body that is understood here. The first that is present decides. `X-User-ID` is believed from
trusted networks only. Without any configured key the gateway is open: the configuration check allows that on loopback, or
where `anonymous` says so.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Sequence
from urllib.parse import unquote_plus

from edgegate.access.keys import Key, KeyRing
from edgegate.chain import Proceed
from edgegate.config.stages import AuthOptions
from edgegate.dialects.base import Operation
from edgegate.errors import GatewayError, Source
from edgegate.exchange import UNIX, Exchange, Reply

KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
QUERY_KEYS = frozenset({"api_key", "key"})
NOT_READ = frozenset({Operation.RELAY, Operation.MODELS})
"""Operations whose bodies no client side checks."""


class Auth:
    """See the module. `trusted` are the networks whose X-User-ID counts."""

    def __init__(self, options: AuthOptions, keys: KeyRing, trusted: Sequence[str] = ()) -> None:
        self._options = options
        self._keys = keys
        self._open = len(keys) == 0 or options.anonymous
        self._required = len(keys) > 0
        self._trusted = tuple(ipaddress.ip_network(network, strict=False) for network in trusted)

    def __call__(self, ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
        if self._options.query and ex.query:
            self._take_query(ex)
        if self._required:
            secret = self._secret(ex)
            if secret:
                key = self._keys.find(secret)
                if key is None:
                    raise _refused("invalid_api_key", "The API key is not known to this gateway.")
                self._admit(ex, key)
            elif self._options.user_id and self._from_trusted(ex) and ex.headers.get("X-User-ID"):
                ex.user = _user_id(ex)
            elif not self._open:
                raise _refused(
                    "missing_api_key", "No API key was sent. Use 'Authorization: Bearer <key>', 'x-api-key', 'api-key' or 'x-goog-api-key'."
                )
        elif self._options.user_id and self._trusted:
            if not self._from_trusted(ex) or not ex.headers.get("X-User-ID"):
                raise _refused("missing_user_id", "No X-User-ID header was sent from a trusted network.")
            ex.user = _user_id(ex)
        return proceed(ex)

    def _admit(self, ex: Exchange, key: Key) -> None:
        ex.key = key
        ex.user = key.user
        if self._options.user_id and self._trusted and self._from_trusted(ex):
            ex.user = _user_id(ex) or key.user

    def _secret(self, ex: Exchange) -> str | None:
        headers = ex.headers
        value = headers.get("Authorization")
        if value:
            scheme, _, rest = value.partition(" ")
            if scheme.lower() == "bearer" and rest.strip():
                return rest.strip()
        for name in KEY_HEADERS:
            value = headers.get(name)
            if value:
                return value.strip()
        if ex.query_key:
            return ex.query_key
        if b"x-budget-key" in ex.body and ex.operation not in NOT_READ:
            value = ex.request.get("x-budget-key")
            if isinstance(value, str):
                return value
        return None

    def _take_query(self, ex: Exchange) -> None:
        """Moves a key out of the query, which goes on to the provider on relayed paths. The rest stays as it was written."""
        kept = []
        for piece in ex.query.split("&"):
            name, _, value = piece.partition("=")
            if unquote_plus(name) in QUERY_KEYS:
                ex.query_key = ex.query_key or unquote_plus(value)
            else:
                kept.append(piece)
        ex.query = "&".join(kept)

    def _from_trusted(self, ex: Exchange) -> bool:
        try:
            address = ipaddress.ip_address(ex.remote)
        except ValueError:  # whoever can open a Unix socket is trusted by its file mode; an unknown address is not
            return ex.remote == UNIX
        return any(address in network for network in self._trusted)


def _user_id(ex: Exchange) -> str:
    """The caller's user, shortened; bytes that are not UTF-8 are shown as escapes, since it goes into logs and metrics."""
    return ex.headers.get("X-User-ID", "")[:128].encode("utf-8", "backslashreplace").decode()


def _refused(code: str, message: str) -> GatewayError:
    return GatewayError(401, code, message, source=Source.CLIENT)

"""auth: who is calling.

Keys are looked for in order: `Authorization: Bearer`, `x-api-key`, `api-key`, `x-goog-api-key`, the query (only if switched
on), the body's `x-budget-key`. The first that is present decides. `X-User-ID` is believed from trusted networks only. Without
any configured key the gateway is open: the configuration check allows that on loopback, or where `anonymous` says so.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Sequence
from urllib.parse import parse_qsl

from edgegate.access.keys import Key, KeyRing
from edgegate.chain import Proceed
from edgegate.config.model import AuthOptions
from edgegate.errors import GatewayError, Source
from edgegate.exchange import Exchange, Reply

KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")


class Auth:
    """See the module. `trusted` are the networks whose X-User-ID counts."""

    def __init__(self, options: AuthOptions, keys: KeyRing, trusted: Sequence[str] = ()) -> None:
        self._options = options
        self._keys = keys
        self._open = len(keys) == 0 or options.anonymous
        self._required = len(keys) > 0
        self._trusted = tuple(ipaddress.ip_network(network, strict=False) for network in trusted)

    def __call__(self, ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
        if self._required:
            secret = self._secret(ex)
            if secret:
                key = self._keys.find(secret)
                if key is None:
                    raise _refused("invalid_api_key", "The API key is not known to this gateway.")
                self._admit(ex, key)
            elif self._options.user_id and self._from_trusted(ex) and ex.headers.get("X-User-ID"):
                ex.user = ex.headers["X-User-ID"][:128]
            elif not self._open:
                raise _refused(
                    "missing_api_key", "No API key was sent. Use 'Authorization: Bearer <key>', 'x-api-key', 'api-key' or 'x-goog-api-key'."
                )
        elif self._options.user_id and self._trusted:
            if not self._from_trusted(ex) or not ex.headers.get("X-User-ID"):
                raise _refused("missing_user_id", "No X-User-ID header was sent from a trusted network.")
            ex.user = ex.headers["X-User-ID"][:128]
        return proceed(ex)

    def _admit(self, ex: Exchange, key: Key) -> None:
        ex.key = key
        ex.user = key.user
        if self._options.user_id and self._trusted and self._from_trusted(ex):
            ex.user = ex.headers.get("X-User-ID", key.user)[:128]

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
        if self._options.query and ex.query:
            for name, value in parse_qsl(ex.query):
                if name in ("api_key", "key") and value:
                    return value
        if b"x-budget-key" in ex.body:
            value = ex.request.get("x-budget-key")
            if isinstance(value, str):
                return value
        return None

    def _from_trusted(self, ex: Exchange) -> bool:
        try:
            address = ipaddress.ip_address(ex.remote)
        except ValueError:  # a unix socket: whoever can open it is trusted by its file mode
            return not ex.remote
        return any(address in network for network in self._trusted)


def _refused(code: str, message: str) -> GatewayError:
    return GatewayError(401, code, message, source=Source.CLIENT)

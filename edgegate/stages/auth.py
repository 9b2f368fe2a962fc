"""auth: who is calling, from where, and whether with this key it may be asked for at all.

Keys are looked for in order: `Authorization: Bearer`, `x-api-key`, `api-key`, `x-goog-api-key`, the query (only if switched
on), the `x-budget-key` of a body that is understood here. The first that is present decides. What has the form of a JSON Web Token
is one, where tokens are accepted. `X-User-ID` is believed from trusted networks; a caller whose key has no user may name its own.

Without any key, in the configuration or made at run time, and without tokens the gateway is open. The configuration check allows
that on loopback, or where `anonymous` says so: a gateway on loopback with a store starts open, and is closed for good as soon as
the first key is made. While stored keys could not be read yet, a key that is not known is no reason for a 401 but for a 503.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from edgegate.access.address import client_address, is_trusted, networks_of
from edgegate.access.keys import Key, KeyRing
from edgegate.access.naming import clean_name
from edgegate.chain import Proceed
from edgegate.config.stages import AuthOptions
from edgegate.dialects.base import Json, Operation
from edgegate.errors import GatewayError, Source
from edgegate.exchange import UNIX, Exchange, Reply

if TYPE_CHECKING:
    from edgegate.access.jwt import Header
    from edgegate.stages.tokens_jwt import Tokens

KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
QUERY_KEYS = frozenset({"api_key", "key"})
NOT_READ = frozenset({Operation.RELAY, Operation.MODELS})
"""Operations whose bodies no client side checks."""

UNREAD_S = 1.0
"""When to ask again while the stored keys cannot be read."""

NAMING = frozenset({"openai", "anthropic"})
"""Dialects in whose bodies a user may be named."""

ADDRESSES = 4096
LONGEST_KEPT = 256


class Auth:
    """See the module. `trusted` are the networks whose X-User-ID and X-Forwarded-For count. Owns `tokens`. `clock`: Unix seconds."""

    def __init__(
        self,
        options: AuthOptions,
        keys: KeyRing,
        trusted: Sequence[str] = (),
        tokens: Tokens | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._options = options
        self._keys = keys
        self._trusted = networks_of(trusted)
        self._tokens = tokens
        self._clock = clock
        self._addresses: dict[tuple[str, tuple[str, ...]], str] = {}

    async def open(self) -> None:
        if self._tokens is not None:
            await self._tokens.open()

    async def close(self) -> None:
        if self._tokens is not None:
            await self._tokens.close()

    def __call__(self, ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
        remote = ex.remote
        ex.ip = self._address(ex) if self._trusted or remote == UNIX or ":" in remote else remote
        if self._options.query and ex.query:
            self._take_query(ex)
        keys = self._keys
        if keys.required or keys.unread or self._tokens is not None:
            secret = self._secret(ex)
            if not secret:
                self._without_key(ex)
                return proceed(ex)
            if self._tokens is not None and secret.count(".") == 2:
                key = self._tokens.known(secret)
                if key is None:
                    header = self._tokens.header(secret)
                    if header is not None:
                        key = self._tokens.checked(secret, header)
                        if key is None:
                            return self._later(ex, proceed, self._tokens, secret, header)
                if key is not None:
                    self._admit(ex, key)
                    return proceed(ex)
            key = keys.find(secret, self._clock())
            if key is None:
                raise self._unknown(secret)
            self._admit(ex, key)
        elif self._options.user_id and self._trusted:
            if not is_trusted(remote, self._trusted) or not ex.headers.get("X-User-ID"):
                raise _refused(401, "missing_user_id", "No X-User-ID header was sent from a trusted network.")
            ex.user = _user_id(ex)
        return proceed(ex)

    async def _later(self, ex: Exchange, proceed: Proceed, tokens: Tokens, secret: str, header: Header) -> Reply:
        """The rest, for a token that was signed with a key that is not here yet."""
        self._admit(ex, await tokens.fetched(secret, header))
        return await proceed(ex)

    def _address(self, ex: Exchange) -> str:
        """Where the caller is. What the same lines said before is remembered: the same callers come by the same proxies."""
        said = (ex.remote, _forwarded_for(ex) if "X-Forwarded-For" in ex.headers else ())
        found = self._addresses.get(said)
        if found is None:
            found = client_address(*said, self._trusted)
            if len(self._addresses) >= ADDRESSES:
                self._addresses.clear()
            if sum(map(len, said[1])) <= LONGEST_KEPT:
                self._addresses[said] = found
        return found

    # -- admission

    def _admit(self, ex: Exchange, key: Key) -> None:
        if key.networks and not key.allows_address(ex.ip):
            message = f"This API key may not be used from {ex.ip}." if ex.ip else "This API key may not be used from this address."
            raise _refused(403, "network_not_allowed", message)
        if key.endpoints and not key.allows_endpoint(ex.path, _operation(ex)):
            raise _refused(403, "endpoint_not_allowed", f"This API key may not be used for {ex.path[:200]}.")
        ex.key = key
        ex.user = key.user
        options = self._options
        if options.user_id and self._trusted and is_trusted(ex.remote, self._trusted):
            ex.user = _user_id(ex) or key.user
        if options.sub_users and not ex.user:
            ex.user = _user_id(ex) or _named_in_body(ex)

    def _without_key(self, ex: Exchange) -> None:
        if self._options.user_id and is_trusted(ex.remote, self._trusted) and ex.headers.get("X-User-ID"):
            ex.user = _user_id(ex)
        elif not self._options.anonymous:
            if self._keys.unread and not self._keys.required and self._tokens is None:  # it may be open, or not
                raise _unread()
            raise _refused(
                401,
                "missing_api_key",
                "No API key was sent. Use 'Authorization: Bearer <key>', 'x-api-key', 'api-key' or 'x-goog-api-key'.",
            )

    def _unknown(self, secret: str) -> GatewayError:
        if self._keys.knows(secret):
            return _refused(401, "api_key_expired", "The API key has expired.")
        if self._keys.unread:
            return _unread()
        return _refused(401, "invalid_api_key", "The API key is not known to this gateway.")

    # -- where keys stand

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


def _forwarded_for(ex: Exchange) -> tuple[str, ...]:
    return tuple(value.decode("latin-1") for name, value in ex.raw_headers if name.lower() == b"x-forwarded-for")


def _operation(ex: Exchange) -> str:
    """What the caller wants, as keys name it. The operators' own paths, which are no operation, only have their path."""
    return "" if ex.operation is Operation.RELAY and not ex.relay_path else ex.operation.value


def _user_id(ex: Exchange) -> str:
    given = ex.headers.get("X-User-ID")
    return clean_name(given) if given else ""


def _named_in_body(ex: Exchange) -> str:
    """The user that the body names, in the words of its dialect. What is parsed here is parsed once: route needs it too."""
    dialect = ex.client.dialect
    if dialect not in NAMING or ex.operation in NOT_READ:
        return ""
    user = _user_of(dialect, ex.request)
    return clean_name(user) if isinstance(user, str) and user else ""


def _user_of(dialect: str, request: Json) -> Any:
    if dialect == "anthropic":
        metadata = request.get("metadata")
        return metadata.get("user_id") if isinstance(metadata, dict) else None
    return request.get("user") or request.get("safety_identifier")


def _refused(status: int, code: str, message: str) -> GatewayError:
    return GatewayError(status, code, message, source=Source.CLIENT)


def _unread() -> GatewayError:
    message = "The keys of this gateway cannot be read at the moment."
    return GatewayError(503, "keys_unavailable", message, retryable=True, retry_after_s=UNREAD_S)

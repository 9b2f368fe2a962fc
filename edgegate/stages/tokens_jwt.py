"""Callers by JSON Web Token: whose token it is, if it holds.

PyJWT checks the signature, with a key of the issuer's that fits the algorithm; the claims are checked in `access/jwt.py`. Tokens
that were found right are remembered by their digest until they end or the issuer's keys change, so that the next request costs no
signature. While there are no keys to check with, callers are told 503: their tokens may well be right.
"""

from __future__ import annotations

from collections.abc import Callable

from edgegate.access.jwt import Header, TokenRefused, caller_of, ends, read_header
from edgegate.access.keys import Key, digest
from edgegate.config.stages import JwtOptions
from edgegate.errors import GatewayError, Source
from edgegate.upstream.jwks import RETRY_S, KeySet

REMEMBERED = 10_000
MAX_TRIED = 8
"""Keys that a token without a key id is tried with."""


class Tokens:
    """See the module. Owns `keys`. `clock`: Unix seconds."""

    def __init__(self, options: JwtOptions, keys: KeySet, clock: Callable[[], float], remembered: int = REMEMBERED) -> None:
        self._options = options
        self._keys = keys
        self._clock = clock
        self._most = remembered
        self._known: dict[bytes, tuple[Key, float]] = {}
        self._version = 0

    async def open(self) -> None:
        await self._keys.open()

    async def close(self) -> None:
        await self._keys.close()

    def known(self, secret: str) -> Key | None:
        """The caller, if this very token was found right before and still holds."""
        self._forget()
        found = self._known.get(digest(secret))
        return found[0] if found is not None and self._clock() < found[1] else None

    def header(self, secret: str) -> Header | None:
        """The header of what looks like a token; None for all else, which is a key then."""
        return read_header(secret)

    def checked(self, secret: str, header: Header) -> Key | None:
        """The caller; None if no key here has signed the token, though another might have. Raises a 401 for a token that no key
        makes right."""
        if header.alg not in self._options.algorithms or header.critical:
            raise _refused("invalid_token", "The token is not accepted: its header asks for what is not supported here.")
        payload = self._payload(secret, header)
        if payload is None:
            return None
        try:
            claims, until = ends(payload, self._options, self._clock())
            key = caller_of(claims, self._options)
        except TokenRefused as refusal:
            raise _refused("token_expired" if refusal.expired else "invalid_token", refusal.message) from None
        self._remember(secret, key, until)
        return key

    async def fetched(self, secret: str, header: Header) -> Key:
        """As `checked`, with keys that are fetched first. Raises a 503 if they cannot be."""
        await self._keys.renew()
        key = self.checked(secret, header)
        if key is not None:
            return key
        if self._keys.failed or not self._keys.known:
            message = "The keys of the token's issuer cannot be fetched, so the token could not be checked."
            raise GatewayError(503, "issuer_unavailable", message, retryable=True, retry_after_s=RETRY_S)
        raise _refused("invalid_token", "The token is not accepted: it is not signed with a key of its issuer.")

    def _payload(self, secret: str, header: Header) -> bytes | None:
        """What was signed; None if no key fits. Raises a 401 if the key that the token names has not signed it."""
        import jwt

        fitting = self._keys.fitting(header)
        for key in fitting[:MAX_TRIED]:
            try:
                payload: bytes = jwt.PyJWS().decode_complete(secret, key, [header.alg])["payload"]
            except (jwt.PyJWTError, ValueError):
                continue
            return payload
        if fitting and header.kid:
            raise _refused("invalid_token", "The token is not accepted: its signature is wrong.")
        return None

    def _forget(self) -> None:
        """What was found right with other keys than the issuer has now may be wrong."""
        if self._version != self._keys.version:
            self._known.clear()
            self._version = self._keys.version

    def _remember(self, secret: str, key: Key, until: float) -> None:
        self._forget()
        if len(self._known) >= self._most:
            del self._known[next(iter(self._known))]  # the oldest
        self._known[digest(secret)] = (key, until)


def _refused(code: str, message: str) -> GatewayError:
    return GatewayError(401, code, message, source=Source.CLIENT)

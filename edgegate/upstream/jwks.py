"""The public keys of an issuer of tokens: fetched from its address, found by OpenID Connect Discovery, or read from a file.

They are read again every `refresh`, and at once for a key id that is not known, though not more often than every `AGAIN_S`. Whoever
waits for them waits for the same fetch, which has one deadline for all it does. While they cannot be fetched, or are no keys, the
last good ones stay. Addresses are https, or on this machine; redirects are not followed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from edgegate.access.jwt import Header, discovery_url, is_safe_url, public_part, usable
from edgegate.config.stages import JwtOptions
from edgegate.upstream.side import SideError

if TYPE_CHECKING:
    from jwt import PyJWK

FETCH_S = 5.0
MAX_DOCUMENT = 1 << 20
MAX_KEYS = 100
AGAIN_S = 10.0
"""For a key id that is not known: how often the keys are fetched at most."""

RETRY_S = 5.0
"""How soon they are fetched again when they could not be."""


class Getter(Protocol):
    """What is needed of `Side`."""

    async def get(self, url: str, *, limit: int, timeout_s: float) -> bytes: ...

    async def close(self) -> None: ...


class KeySet:
    """See the module. Owns `side`. on_error is told why keys cannot be fetched, once until they can be again.

    version: grows when the keys are others. failed: why the last fetch failed; "" if it did not.
    """

    def __init__(
        self,
        options: JwtOptions,
        side: Getter,
        on_error: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        again_s: float = AGAIN_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._options = options
        self._side = side
        self._on_error = on_error
        self._clock = clock
        self._again_s = again_s
        self._retry_s = retry_s
        self._keys: list[dict[str, Any]] = []
        self._made: dict[tuple[int, str], PyJWK | None] = {}
        self._asked: float | None = None
        self._fetch: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.version = 0
        self.failed = ""

    async def open(self) -> None:
        """Begins to fetch, without waiting for it. Raises `ValueError` where the package for tokens is missing."""
        try:
            import jwt
        except ImportError:
            raise ValueError("auth.jwt: tokens need a further package; install it with `pip install edgegate[jwt]`") from None
        if not jwt.algorithms.has_crypto:
            raise ValueError("auth.jwt: tokens need the package cryptography; install it with `pip install edgegate[jwt]`")
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        tasks = [task for task in (self._keeper, self._fetch) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._side.close()

    @property
    def known(self) -> bool:
        """Whether there are any keys."""
        return bool(self._keys)

    def fitting(self, header: Header) -> list[PyJWK]:
        """The keys that may have signed a token with this header."""
        found = []
        for index, jwk in enumerate(self._keys):
            if usable(jwk, header):
                at = (index, header.alg)
                if at not in self._made:
                    self._made[at] = _made(jwk, header.alg)
                key = self._made[at]
                if key is not None:
                    found.append(key)
        return found

    async def renew(self) -> None:
        """Returns when the keys have been fetched, or could not be; at once if that was tried a moment ago."""
        if self._fetch is None and self._asked is not None and self._clock() - self._asked < self._again_s:
            return
        await self._fetched()

    # -- fetching

    async def _keep(self) -> None:
        while True:
            await self._fetched()
            await asyncio.sleep(min(self._options.refresh, self._retry_s) if self.failed else self._options.refresh)

    async def _fetched(self) -> None:
        """One fetch, for all that wait for it."""
        if self._fetch is None:
            self._fetch = asyncio.get_running_loop().create_task(self._run())
        await asyncio.shield(self._fetch)  # whoever stops waiting stops nobody else

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(FETCH_S):
                keys = _keys(await self._document(), self._options)
        except (SideError, OSError, ValueError) as error:  # TimeoutError is an OSError
            reason = f"no answer within {FETCH_S:g} s" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            if not self.failed:
                self._on_error(reason)
            self.failed = reason
        else:
            self.failed = ""
            if keys != self._keys:
                self._keys, self._made = keys, {}
                self.version += 1
        finally:
            self._asked = self._clock()
            self._fetch = None

    async def _document(self) -> bytes:
        where = self._options.jwks
        if not where:
            where = await self._discovered()
        elif "://" not in where:
            return _file(where)
        return await self._side.get(where, limit=MAX_DOCUMENT, timeout_s=FETCH_S)

    async def _discovered(self) -> str:
        issuer = self._options.issuer
        found = _object(await self._side.get(discovery_url(issuer), limit=MAX_DOCUMENT, timeout_s=FETCH_S), "the issuer's metadata")
        if found.get("issuer") != issuer:
            raise ValueError("the issuer's metadata names another issuer")
        where = found.get("jwks_uri")
        if not isinstance(where, str) or not is_safe_url(where):
            raise ValueError("the issuer's metadata has no `jwks_uri` that is an https URL")
        return where


def _file(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            read = file.read(MAX_DOCUMENT + 1)
    except OSError as error:
        raise ValueError(f"the key set {name} cannot be read: {error.strerror}") from None
    if len(read) > MAX_DOCUMENT:
        raise ValueError(f"the key set {name} has more than {MAX_DOCUMENT} bytes")
    return read


def _keys(document: bytes, options: JwtOptions) -> list[dict[str, Any]]:
    """The keys of a set that can be used here, without anything private. Raises `ValueError` if there are none."""
    listed = _object(document, "the key set").get("keys")
    if not isinstance(listed, list):
        raise ValueError("the key set has no list `keys`")
    headers = [Header(algorithm, "", False) for algorithm in options.algorithms]
    kept = [jwk for jwk in listed[:MAX_KEYS] if any(usable(jwk, header) and _made(jwk, header.alg) is not None for header in headers)]
    if not kept:
        raise ValueError("the key set has no key for the configured algorithms")
    return [public_part(jwk) | {name: jwk[name] for name in ("kid", "alg", "use", "key_ops") if name in jwk} for jwk in kept]


def _object(document: bytes, what: str) -> dict[str, Any]:
    try:
        value = orjson.loads(document)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no JSON object")
    return value


def _made(jwk: dict[str, Any], algorithm: str) -> PyJWK | None:
    """The key, ready for use; None if it is none, or too weak."""
    import jwt

    try:
        made = jwt.PyJWK(public_part(jwk), algorithm)
        weak = made.Algorithm.check_key_length(made.key)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return None if weak else made

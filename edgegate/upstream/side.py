"""Calls beside the traffic: key sets of issuers, webhooks. Few, small and slow ones, so they share one ordinary HTTP client.

Every call has a deadline that holds for all of it, from the look-up of the name to the last byte. Redirects are not followed, and
neither proxies of the environment nor cookies are used. Messages name the scheme and the host of an address and nothing more: its
user part, its query and (of webhooks) its path may be credentials.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

CONNECTIONS = 16
PIECE = 64 * 1024
PLAIN = "identity"  # nothing to inflate: `limit` is what goes over the wire


class SideError(Exception):
    """The call failed: no answer in time, not the answer asked for, or an address that cannot be used."""


class Side:
    """See the module. Its session is made by the first call; after `close` there are no more calls."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def get(self, url: str, *, limit: int, timeout_s: float) -> bytes:
        """The body of a 200 answer, of at most `limit` bytes. Raises `SideError` for everything else."""
        async with self._answer("GET", url, None, {}, timeout_s) as answer:
            if answer.status != 200:
                raise SideError(f"{shown(url)} answered with status {answer.status}")
            body = bytearray()
            async for piece in answer.content.iter_chunked(PIECE):
                body += piece
                if len(body) > limit:
                    raise SideError(f"{shown(url)} answered with more than {limit} bytes")
            return bytes(body)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> int:
        """The status of the answer, whatever it is; its body is not read. Raises `SideError` if there is none."""
        async with self._answer("POST", url, body, headers, timeout_s) as answer:
            return answer.status

    async def close(self) -> None:
        """Ends the calls that run, too."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def _answer(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        sent = {"Accept-Encoding": PLAIN, **headers}
        try:
            async with asyncio.timeout(timeout_s):
                session = self._opened()
                async with session.request(method, url, data=body, headers=sent, allow_redirects=False) as answer:
                    yield answer
        except TimeoutError:
            raise SideError(f"{shown(url)} did not answer within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:  # the last one: closed meanwhile
            raise SideError(f"{shown(url)} cannot be reached: {type(error).__name__}") from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise SideError("the gateway is closing")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


def shown(url: str) -> str:
    """An address as messages may show it: `https://host:port`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "the address"
    if not parts.scheme or not host:
        return "the address"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"

"""Where a Redis or Valkey server is, and connections to it.

A connection is made with what its URL says and nothing more: no retries, no health checks, no names or versions told to the
server, no decoding, no deadline of its own. Whoever uses it sets deadlines, and drops it when one has passed. Nothing here ever
shows the password.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from edgegate.stores.base import StoreError

Word = str | bytes | int

CONNECT_S = 0.5

_SCHEMES = ("redis", "rediss", "unix")
_OPTIONS = frozenset({"db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"})
"""What may stand behind `?` in a URL. Others would change how connections behave here."""


class Answered(StoreError):
    """The server answered, with an error. `code` is its first word: `NOSCRIPT`, `OOM`."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Rejected(StoreError):
    """The server lets nobody in with this user, password or database."""


class Moved(StoreError):
    """A node of a cluster has these keys no longer; `host` and `port` are those of the one that has."""

    def __init__(self, message: str, host: str, port: int) -> None:
        super().__init__(message)
        self.host = host
        self.port = port


class Wire(Protocol):
    """What is used of a connection of redis-py."""

    @property
    def is_connected(self) -> bool: ...

    async def connect(self) -> None: ...

    async def disconnect(self, nowait: bool = False) -> None: ...

    async def can_read(self) -> bool: ...

    async def send_command(self, *words: Word, check_health: bool) -> None: ...

    async def read_response(self, disable_decoding: bool = False, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """With a timeout, None once it has passed; the connection stays usable."""
        ...


class RedisServer:
    """See the module. Raises `ValueError` for a URL that is none, and where redis-py is not installed."""

    def __init__(self, url: str) -> None:
        try:
            from redis.asyncio.connection import Connection, parse_url
            from redis.exceptions import RedisError
        except ImportError:
            raise ValueError("redis-py is not installed: pip install edgegate[redis]") from None
        try:
            parts = urlsplit(url)
            parsed: dict[str, Any] = dict(parse_url(url)) if parts.scheme in _SCHEMES else {}
            wrong = _fault(parts.scheme, parts.path, parsed)
        except ValueError:  # its text may hold parts of the password
            wrong = "it cannot be read; is every special character of the password escaped, as in %2F?"
        if wrong:
            raise ValueError(f"the URL of Redis must look like redis://:password@host:6379/0: {wrong}")
        self._class = cast("type[Any]", parsed.pop("connection_class", Connection))
        self._secret = str(parsed.get("password", ""))
        self._options: Mapping[str, Any] = parsed
        self._elsewhere: dict[str, Any] = {}
        try:
            self._made()
        except (RedisError, TypeError, ValueError):
            raise ValueError("the URL of Redis has options that do not fit; those of TLS are for rediss://") from None

    @property
    def place(self) -> str:
        """For logs."""
        at = {**self._options, **self._elsewhere}
        return str(at.get("path") or f"{at.get('host', 'localhost')}:{at.get('port', 6379)}")

    def move(self, host: str, port: int) -> None:
        """Later connections go to another node of the cluster, until one fails."""
        self._elsewhere = {"host": host, "port": port} if host else {"port": port}

    async def connect(self, within_s: float = CONNECT_S) -> Wire:
        """A connection that has answered once. Raises `StoreError`, or of these `Rejected`."""
        from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

        wire = self._made()
        ready = False
        try:
            async with asyncio.timeout(within_s):
                await wire.connect()
                await wire.send_command("PING", check_health=False)
                await wire.read_response()
            ready = True
        except TimeoutError:
            raise StoreError(f"no connection to {self.place} within {within_s:g} s") from None
        except (AuthenticationError, NoPermissionError) as error:
            raise Rejected(self.reason(error)) from None
        except ResponseError as error:
            raise (StoreError if _passing(error) else Rejected)(self.reason(error)) from None
        except (RedisError, OSError, ValueError, RuntimeError) as error:  # the last two: nonsense read, and uvloop's closed sockets
            raise StoreError(self.reason(error)) from None
        finally:
            if not ready:
                self._elsewhere = {}
                await wire.disconnect(nowait=True)
        return wire

    def _made(self) -> Wire:
        """A connection that is not connected yet."""
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        quiet = {"socket_timeout": None, "health_check_interval": 0, "protocol": 2, "driver_info": None, "retry": Retry(NoBackoff(), 0)}
        return cast("Wire", self._class(**{**self._options, **self._elsewhere, **quiet}))

    async def ask(self, wire: Wire, *words: Word) -> Any:
        """One call, without a deadline. Raises `Answered` or `Moved` where the connection may be used again, else `StoreError`."""
        with self._errors():
            await wire.send_command(*words, check_health=False)
            return await wire.read_response()

    async def say(self, wire: Wire, *words: Word) -> None:
        """A command whose answer comes by `hear`, for connections that have subscribed to something. Without a deadline."""
        with self._errors():
            await wire.send_command(*words, check_health=False)

    async def hear(self, wire: Wire, within_s: float) -> Any:
        """What the server says next; None if it says nothing."""
        with self._errors():
            return await wire.read_response(timeout=within_s)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        from redis.exceptions import MovedError, RedisError, ResponseError

        try:
            yield
        except MovedError as error:
            raise Moved(f"{self.place}: it answered MOVED", str(error.host), int(error.port)) from None
        except ResponseError as error:
            if _passing(error):
                raise StoreError(self.reason(error)) from None
            raise Answered(self.reason(error), error.status_code or str(error).partition(" ")[0]) from None
        except (RedisError, OSError, ValueError, RuntimeError) as error:
            raise StoreError(self.reason(error)) from None

    def reason(self, error: BaseException) -> str:
        """What went wrong, for logs. Some servers repeat what they were told."""
        text = " ".join(str(error).removeprefix(f"{self.place}: ").split()) or type(error).__name__
        if self._secret:
            text = text.replace(self._secret, "***")
        return f"{self.place}: {text[:200]}"


def _fault(scheme: str, path: str, parsed: Mapping[str, Any]) -> str:
    if scheme not in _SCHEMES:
        return f"it begins with one of {', '.join(f'{known}://' for known in _SCHEMES)}"
    if scheme != "unix" and path.strip("/") and not path.strip("/").isdecimal():
        return "what follows the host is the number of a database"
    if scheme == "unix" and not path:
        return "after unix:// comes the path of a socket"
    odd = sorted(set(parsed) - _OPTIONS - {"connection_class", "host", "port", "path", "username", "password"})
    return f"the option {odd[0]} is not known" if odd else ""


def _passing(error: BaseException) -> bool:
    """Whether an error answer says that this server cannot serve now: it was made a replica, or its cluster is not whole."""
    from redis.exceptions import ClusterDownError, ReadOnlyError, TryAgainError

    return isinstance(error, (ReadOnlyError, ClusterDownError, TryAgainError))

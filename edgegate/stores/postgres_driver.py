"""What is used of asyncpg, which is loaded only when a PostgreSQL store is opened, and what its errors mean here.

Nothing here ever shows the URL or the password: of what goes wrong while connecting only the kind is told, in words of our own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, Protocol
from urllib.parse import urlsplit

from edgegate.stores.base import StoreError

APPLICATION = "edgegate"


class Unusable(StoreError):
    """The server does not let this user in or do this, or its schema is not for this version: waiting does not help."""


class Unfit(StoreError):
    """The server refuses these values. It works, and would take others."""


class Record(Protocol):
    """A row of a result, by position or by column."""

    def __getitem__(self, key: int | str) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class Session(Protocol):
    """A connection, as far as it is used here."""

    async def execute(self, query: str, *args: object) -> str: ...

    async def fetch(self, query: str, *args: object) -> list[Record]: ...

    async def fetchrow(self, query: str, *args: object) -> Record | None: ...

    async def fetchval(self, query: str, *args: object) -> Any: ...

    def is_closed(self) -> bool: ...

    def terminate(self) -> None: ...

    async def close(self) -> None: ...


@asynccontextmanager
async def transaction(session: Session) -> AsyncIterator[None]:
    """What fails within is undone by the server when the connection goes, as it does after every failure. A ROLLBACK would be one more
    call to wait for, with nothing that ends it."""
    await session.execute("BEGIN")
    yield
    await session.execute("COMMIT")


class Driver:
    """See the module. Raises `ValueError` for a URL that is none, and where asyncpg is not installed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._place = place_of(url)
        try:
            import asyncpg
        except ImportError:
            raise ValueError("asyncpg is not installed: pip install edgegate[postgres]") from None
        self._module: ModuleType = asyncpg
        self._connect: Callable[..., Any] = asyncpg.connect
        # RuntimeError: uvloop's word for a socket that was closed in between
        self.failures: tuple[type[Exception], ...] = (
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
            OSError,
            RuntimeError,
        )

    async def connect(self) -> Session:
        """A new connection, without a deadline. Raises `StoreError`, of these `Unusable` where it is the URL that is wrong."""
        module = self._module
        try:
            session: Session = await self._connect(self._url, server_settings={"application_name": APPLICATION})
        except module.InvalidPasswordError:
            raise Unusable(f"{self._place} does not accept this user and password") from None
        except (module.InvalidAuthorizationSpecificationError, module.InsufficientPrivilegeError):
            raise Unusable(f"{self._place} does not let this user in") from None
        except module.InvalidCatalogNameError:
            raise Unusable(f"{self._place} has no such database") from None
        except (module.InterfaceError, ValueError):
            raise Unusable(f"{self._place}: the URL of PostgreSQL has an option that cannot be used, or TLS fails") from None
        except (module.PostgresError, module.InternalClientError) as error:
            raise StoreError(f"{self._place} answered with an error: {type(error).__name__}") from None
        except (OSError, RuntimeError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise StoreError(f"{self._place} cannot be reached: {getattr(error, 'strerror', None) or type(error).__name__}") from None
        return session

    def told(self, error: Exception) -> StoreError:
        """What an error of a call means, in one line."""
        text = f"{self._place}: {' '.join(str(error).split())[:300] or type(error).__name__}"
        state = getattr(error, "sqlstate", None) or ""
        if state == "42501":
            return Unusable(text)
        refused = state[:2] in ("22", "23") or (isinstance(error, self._module.InterfaceError) and isinstance(error, ValueError))
        return Unfit(text) if refused else StoreError(text)

    def late(self, limit_s: float) -> StoreError:
        return StoreError(f"{self._place} gave no answer within {limit_s:g} s")


def place_of(url: str) -> str:
    """Host and port, for messages. Raises `ValueError`, which says nothing of the URL: it may hold parts of a password."""
    wanted = "the URL of PostgreSQL must look like postgresql://user:password@host:5432/database"
    try:
        parts = urlsplit(url)
        port = parts.port  # an unescaped `/` in a password makes this fail
        host = parts.hostname if "," not in parts.netloc else "several hosts"
    except ValueError:
        if url.startswith(("postgresql://", "postgres://")) and "," in url.partition("://")[2].rpartition("@")[2].partition("/")[0]:
            return "PostgreSQL at several hosts"
        raise ValueError(f"{wanted}; is every special character of the password escaped, as in %2F?") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError(wanted)
    if parts.fragment or "@" in parts.path + parts.query:
        raise ValueError(f"{wanted}; is every special character of the password escaped, as in %23?")
    return f"PostgreSQL at {host or 'the usual place'}" + (f":{port}" if port else "")

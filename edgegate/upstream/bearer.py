"""Bearer tokens that run out: read from a file that something else renews, or printed by a command such as
`gcloud auth print-access-token`. For Vertex AI, Entra ID and workload identities that are mounted as files.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence

from edgegate.dialects.base import HeaderList
from edgegate.errors import GatewayError

LOOK_AGAIN_S = 10.0
"""A file is looked at again at most so often: mounted tokens are renewed minutes before they run out."""

COMMAND_S = 30.0
"""Time for a command to print a token. Its next caller starts it anew."""

MAX_TOKEN = 64 * 1024


class FileToken:
    """A token in a file, read again when its time stamp or size changes."""

    signs_body = False

    def __init__(self, path: str, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._token = ""
        self._looked = float("-inf")
        self._state: tuple[int, int] | None = None

    async def refresh(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK_AGAIN_S and self._token:
            return
        try:
            self._read()
        except (OSError, UnicodeDecodeError, ValueError) as error:
            if not self._token:  # the last one known may still be good
                raise _unavailable(f"the token file {self._path} cannot be read: {type(error).__name__}") from None
        self._looked = now

    def lines(self, method: str, host: str, path: str, headers: HeaderList, body: bytes) -> HeaderList:
        return [(b"authorization", b"Bearer " + self._token.encode())]

    def _read(self) -> None:
        found = os.stat(self._path)
        state = (found.st_mtime_ns, found.st_size)
        if state == self._state:
            return
        with open(self._path, "rb") as file:
            self._token = _checked(file.read(MAX_TOKEN))
        self._state = state


class CommandToken:
    """A token that a command prints on its standard output. Run without a shell, one run for all callers that wait."""

    signs_body = False

    def __init__(self, command: Sequence[str], lifetime_s: float, clock: Callable[[], float]) -> None:
        self._command = tuple(command)
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._token = ""
        self._expires = float("-inf")
        self._run: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        if self._clock() < self._expires:
            return
        if self._run is None or self._run.done():
            self._run = asyncio.get_running_loop().create_task(self._fetch())
        try:
            await asyncio.shield(self._run)  # a caller that leaves takes nobody else's token along
        except GatewayError:
            if not self._token:
                raise

    def lines(self, method: str, host: str, path: str, headers: HeaderList, body: bytes) -> HeaderList:
        return [(b"authorization", b"Bearer " + self._token.encode())]

    async def _fetch(self) -> None:
        name = self._command[0]
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            raise _unavailable(f"the token command {name} cannot be run: {type(error).__name__}") from None
        try:
            async with asyncio.timeout(COMMAND_S):
                out, _ = await process.communicate()
        except TimeoutError:
            raise _unavailable(f"the token command {name} took longer than {COMMAND_S:g} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        if process.returncode != 0:
            raise _unavailable(f"the token command {name} ended with status {process.returncode}")
        try:
            self._token = _checked(out)
        except ValueError:
            raise _unavailable(f"the token command {name} printed no token") from None
        self._expires = self._clock() + self._lifetime_s


def _checked(raw: bytes) -> str:
    """The token in a file or a command's output. Raises ValueError for what cannot stand in a header line."""
    token = raw.decode().strip()
    if not token or not token.isascii() or any(c.isspace() or not c.isprintable() for c in token):
        raise ValueError("not a token")
    return token


def _unavailable(message: str) -> GatewayError:
    return GatewayError(502, "credentials_unavailable", message)

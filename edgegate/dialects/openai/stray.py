"""What comes instead of an event stream: a JSON error, a whole JSON reply, an HTML page, or nothing.

Providers and the proxies in front of them answer a stream request so, now and then with status 200. The first byte that is
not white space tells: no line of an event stream begins with `{`, `[` or `<`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import orjson

from edgegate.dialects.base import Progress
from edgegate.dialects.failure import bad_reply
from edgegate.dialects.openai.errors import from_event, hidden_error
from edgegate.errors import GatewayError
from edgegate.wire.sse import EventTooLarge

MAX_STRAY_BYTES = 64 * 1024
"""How much of such a body is kept to find an error in it; the rest is read and forgotten."""

_BOM = b"\xef\xbb\xbf"


class StrayBody:
    """Gives the bytes on as soon as they are seen to be events. Otherwise keeps them; `error` is set when it is known."""

    __slots__ = ("_held", "error")

    def __init__(self) -> None:
        self._held = b""
        self.error: GatewayError | None = None

    def feed(self, data: bytes) -> bytes:
        """All bytes so far once they are events, and this object has done its part; b"" until then."""
        held = self._held = self._held + data if self._held else data
        text = held.lstrip(b" \t\r\n")
        if text.startswith(_BOM):
            text = text[3:].lstrip(b" \t\r\n")
        if not text or _BOM.startswith(text):
            return b""
        if text[:1] not in (b"{", b"[", b"<"):
            self._held = b""
            return held
        self._held = held[:MAX_STRAY_BYTES]
        if text[:1] == b"<":
            self.error = bad_reply("The provider answered with an HTML page instead of a stream.")
        elif self.error is None:
            self.error = _in_json(text)
        return b""

    def verdict(self) -> GatewayError | None:
        """What is to be said when the body ends and no event came. None for an empty body: that is just a stream cut early."""
        if self.error is None and self._held.strip():
            return bad_reply("The provider answered with something that is no event stream.")
        return self.error


class EventStream(ABC):
    """What taps of event streams share: not begun (the body may prove to be none); running; over (nothing goes on). To be
    inherited from: `_read` makes of the bytes what goes on."""

    __slots__ = ("_over", "_progress", "_stray")

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stray: StrayBody | None = StrayBody()
        self._over = False

    def feed(self, data: bytes) -> bytes:
        if self._stray is not None:
            data = self._stray.feed(data)
            if not data:
                self._progress.error = self._progress.error or self._stray.error
                return b""
            self._stray = None
        if self._over:
            return b""
        try:
            return self._read(data)
        except EventTooLarge as error:
            self._over = True
            self._progress.error = bad_reply(f"The provider sent {error}.")
            return b""

    def _begun(self) -> bool:
        """Whether there was a stream. Called at the end: if not, what came instead is the answer's error."""
        if self._stray is None:
            return True
        self._progress.error = self._progress.error or self._stray.verdict()
        return False

    @abstractmethod
    def _read(self, data: bytes) -> bytes:
        """Bytes of events -> what goes on. May raise `EventTooLarge`."""


def _in_json(text: bytes) -> GatewayError | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    payload = hidden_error(value)
    if payload is not None:
        return from_event(payload)
    return bad_reply("The provider answered a stream request with a plain reply.")

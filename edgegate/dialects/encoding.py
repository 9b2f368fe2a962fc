"""What the encoders of client formats share: they read the chat's events, and write their own."""

from __future__ import annotations

from abc import ABC, abstractmethod

from edgegate.dialects.base import Json
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from edgegate.wire.sse import EventReader, EventTooLarge


class ChatEncoder(ABC):
    """Tap: chat SSE -> a client's stream. To be inherited from: `_chunk` and `_end` append what is to be written.

    `_ended` is set once nothing more may be written. `_end` is called at `[DONE]`, and at the end of a whole stream that had
    none; it sees to being called again itself. A stream that was cut gets no ending here.
    """

    def __init__(self) -> None:
        self._reader = EventReader()
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        written: list[bytes] = []
        try:
            for event in self._reader.feed(data):
                if event.data == b"[DONE]":
                    self._end(written)
                elif not self._ended:
                    chunk = parsed(event.data)
                    if isinstance(chunk, dict):
                        self._chunk(chunk, written)
        except EventTooLarge as error:
            if not self._ended:
                self._ended = True
                written.append(self._failed(bad_reply(f"the provider's stream holds {error}")))
        return b"".join(written)

    def end(self, outcome: Outcome) -> bytes:
        written: list[bytes] = []
        if outcome is Outcome.OK and not self._ended:
            self._end(written)
        return b"".join(written)

    @abstractmethod
    def _chunk(self, chunk: Json, written: list[bytes]) -> None:
        """One chunk of the chat."""

    @abstractmethod
    def _end(self, written: list[bytes]) -> None:
        """The ending, if the answer is whole."""

    @abstractmethod
    def _failed(self, error: GatewayError) -> bytes:
        """The event that tells the client of a fault."""

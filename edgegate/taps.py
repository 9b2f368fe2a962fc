"""Taps: what sees the bytes of a reply go by on their way to the client.

A tap never awaits and never fails on input: "need more data" is the empty byte string, a broken reply is a state. Taps
run in the order they were added, the one nearest to the provider first.
"""

from __future__ import annotations

import enum
from typing import Protocol


class Outcome(enum.StrEnum):
    """How an exchange, or one attempt of it, ended."""

    OK = "ok"
    REJECTED = "rejected"  # refused by the gateway or by the provider with a 4xx
    FAILED = "failed"  # no answer, or an error, before the first byte to the client
    UPSTREAM_BROKE = "upstream_broke"  # the answer stopped part-way
    TIMEOUT = "timeout"  # one of the configured time limits
    CLIENT_GONE = "client_gone"
    DRAINED = "drained"  # cut by the gateway's own shutdown
    CANCELLED = "cancelled"  # an attempt that another one beside it made superfluous


class Tap(Protocol):
    """Sees a reply's bytes. Both methods return what goes on to the next tap."""

    def feed(self, data: bytes) -> bytes:
        """Bytes in, bytes out: the same object when nothing changed, b"" when more is needed first."""
        ...

    def end(self, outcome: Outcome) -> bytes:
        """The last bytes of this tap. Called exactly once, whatever happened. Anything but `Outcome.OK` must not add a
        terminal event: half an answer is never presented as a whole one."""
        ...

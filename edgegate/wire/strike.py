"""Strikes a secret out of bytes that go by, wherever the pieces are cut."""

from __future__ import annotations

from edgegate.taps import Outcome


class Strike:
    """A tap. Holds back as many bytes as could be the beginning of the secret, never more."""

    __slots__ = ("_held", "_instead", "_secret")

    def __init__(self, secret: bytes, instead: bytes) -> None:
        self._secret = secret
        self._instead = instead
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        data = (self._held + data).replace(self._secret, self._instead)
        keep = 0
        for size in range(min(len(self._secret) - 1, len(data)), 0, -1):
            if self._secret.startswith(data[-size:]):
                keep = size
                break
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def end(self, outcome: Outcome) -> bytes:
        held, self._held = self._held, b""
        return held

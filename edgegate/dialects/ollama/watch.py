"""The tap for native streams of `/api/chat` and `/api/generate`: bytes go on unchanged, in whole lines, and `Progress` is read
out of them.

Once the answer has started, a read whose lines all say `"done":false` and hold neither an error nor a call is only counted. A
line that is no JSON is taken out, or breaks the stream (see `spoilt.py`). A line with an error is not passed on, nor anything
after it, nor what follows the last line.
"""

from __future__ import annotations

import orjson

from edgegate.dialects.amount import size
from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.failure import bad_reply
from edgegate.dialects.ollama.stream import OllamaStream
from edgegate.dialects.spoilt import check_end, sound_lines, sound_size
from edgegate.taps import Outcome
from edgegate.wire.ndjson import LineTooLarge, WholeLines

_GOING_ON = b'"done":false'
_PARSED = (b'"error"', b'"tool_calls"', b'"done":true')
"""Inside a JSON string every quote is escaped, so what stands between bare quotes is a key."""


class Watch:
    """States: reading; over (the last line has gone on, or `progress.error` is set)."""

    __slots__ = ("_over", "_progress", "_reader", "_whole")

    def __init__(self, ask: Ask, progress: Progress) -> None:
        self._progress = progress
        self._whole = WholeLines()
        self._reader = OllamaStream(ask, progress, native=True)
        self._over = False

    def feed(self, data: bytes) -> bytes:
        if self._over:
            return b""
        try:
            data = self._whole.feed(data)
        except LineTooLarge as error:
            self._over = True
            self._progress.error = bad_reply(f"Ollama's stream holds {error}")
            return b""
        if not data:
            return data
        spoilt = self._progress.spoilt
        out = self._read(data)
        return out if self._progress.spoilt == spoilt else sound_lines(out)

    def end(self, outcome: Outcome) -> bytes:
        """A last line without its line end goes on if it is whole."""
        rest = self._whole.rest()
        if self._over or not rest.strip():
            check_end(self._progress)
            return b""
        try:
            orjson.loads(rest)
        except orjson.JSONDecodeError:
            return b""
        if not self._read(rest + b"\n") or outcome is not Outcome.OK:
            return b""
        return rest if self._progress.finished else rest + b"\n"  # an error follows

    def _read(self, data: bytes) -> bytes:
        progress = self._progress
        if progress.started:
            lines = data.count(b"\n")
            if data.count(_GOING_ON) == lines and not any(word in data for word in _PARSED):
                found = sound_size(data.split(b"\n")[:-1], _line_size)
                if found >= 0:
                    progress.events += lines
                    progress.text_bytes += found
                    return data
        at = 0
        while at < len(data):
            end = data.index(b"\n", at) + 1
            self._reader.feed(data[at:end])
            if progress.error is not None:
                self._over = True
                return data[:at]
            at = end
            if progress.finished:
                self._over = True
                return data if at == len(data) else data[:at]
        return data


def _line_size(line: Json) -> int:
    """Of a line of `/api/chat`, or of `/api/generate`, where the texts stand at the top."""
    said = line.get("message") or line
    try:
        text = said.get("content") or said.get("response") or said.get("thinking") or ""
        return len(text) if text.isascii() else size(text)
    except AttributeError:
        return 0

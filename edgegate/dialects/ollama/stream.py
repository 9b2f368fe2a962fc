"""Ollama's stream, one JSON object a line, as a chat stream.

The stream has no id: all chunks carry the exchange's own. Tool calls come whole, several in a line or in several lines, and
are counted through. The line with `done: true` ends the answer; a line with `error` breaks it.
"""

from __future__ import annotations

import orjson

from edgegate.dialects.amount import size
from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import DONE, ChunkWriter
from edgegate.dialects.failure import bad_reply
from edgegate.dialects.ollama.reply import call_of, error_inside, finish_of, images_of, logprobs_of, message_of, only_loaded, read_counts
from edgegate.dialects.spoilt import check_end, document
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from edgegate.wire.ndjson import LineReader, LineTooLarge


class OllamaStream:
    """Tap: Ollama's lines -> chat SSE bytes. On `native` traffic, which is only read along, loading a model is no fault."""

    __slots__ = ("_ask", "_calls", "_done", "_native", "_progress", "_reader", "_writer")

    def __init__(self, ask: Ask, progress: Progress, native: bool = False) -> None:
        self._ask = ask
        self._native = native
        self._progress = progress
        self._reader = LineReader()
        self._writer: ChunkWriter | None = None
        self._calls = 0
        self._done = False

    def feed(self, data: bytes) -> bytes:
        if self._done or self._progress.error is not None:
            return b""
        try:
            lines = self._reader.feed(data)
        except LineTooLarge as error:
            self._progress.error = bad_reply(f"Ollama's stream holds {error}")
            return b""
        if len(lines) == 1:
            return self._line(lines[0])
        return b"".join([self._line(line) for line in lines])

    def end(self, outcome: Outcome) -> bytes:
        if self._done or self._progress.error is not None:
            return b""
        # A last line without its end still counts for `progress`, and is written if the stream is known to be whole.
        out = b"".join([self._line(line) for line in self._reader.end() if _complete(line)])
        check_end(self._progress)
        return out if outcome is Outcome.OK else b""

    def _line(self, line: bytes) -> bytes:
        progress = self._progress
        if self._done or progress.error is not None:
            return b""
        reply = document(line, progress)
        if reply is None:
            return b""
        progress.events += 1
        try:
            # Nearly every line is one piece of text and nothing else.
            message = reply["message"]
            text = message["content"]
            plain = (
                self._writer is not None
                and len(message) == 2
                and "role" in message
                and type(text) is str
                and text
                and reply["done"] is False
                and "logprobs" not in reply
                and "error" not in reply
            )
        except (KeyError, TypeError):
            plain = False
        if plain and self._writer is not None:
            progress.started = True
            progress.text_bytes += size(text)
            return self._writer.text(text)
        error = error_inside(reply)
        return self._fail(error) if error is not None else self._reply(reply)

    def _fail(self, error: GatewayError) -> bytes:
        self._progress.error = error
        return b""

    def _reply(self, reply: Json) -> bytes:
        """Any line but the frequent one."""
        message = message_of(reply)
        done = reply.get("done") is True
        if message is None and not done:
            if "completed" in reply:  # the progress of a picture
                return b""
            return self._fail(bad_reply("Ollama's stream holds a line that is neither an answer nor an error"))
        out: list[bytes] = []
        if self._writer is None:
            model = reply.get("model")
            self._progress.model = model if isinstance(model, str) and model else self._ask.model
            self._writer = ChunkWriter(self._ask.id, self._ask.created, self._progress.model)
            out.append(self._writer.role())
        if message is not None:
            self._message(message, logprobs_of(reply), out, self._writer)
        if done and self._progress.error is None:
            self._finish(reply, out, self._writer)
        return b"".join(out)

    def _message(self, message: Json, logprobs: Json | None, out: list[bytes], writer: ChunkWriter) -> None:
        thinking, text, calls = message.get("thinking"), message.get("content"), message.get("tool_calls")
        if isinstance(thinking, str) and thinking:
            self._progress.started = True
            self._progress.text_bytes += size(thinking)
            out.append(writer.reasoning(thinking))
        if isinstance(text, str) and text:
            self._progress.started = True
            self._progress.text_bytes += size(text)
            out.append(writer.delta({"content": text}, logprobs=logprobs) if logprobs else writer.text(text))
        if images := images_of(message):
            self._progress.started = True
            out.append(writer.delta({"images": images}))
        for call in calls if isinstance(calls, list) else ():
            found = call_of(self._ask, call, self._calls)
            if found is None:
                self._progress.error = bad_reply("Ollama's stream holds a tool call without a name")
                return
            self._progress.started = True
            self._progress.text_bytes += size(found[-1])
            out.append(writer.call(self._calls, *found))
            self._calls += 1

    def _finish(self, reply: Json, out: list[bytes], writer: ChunkWriter) -> None:
        reason = finish_of(reply, self._calls > 0) or ("stop" if self._native else "")
        if not reason:
            self._progress.error = only_loaded()
            return
        progress = self._progress
        read_counts(reply, progress)
        progress.finish_reason = reason
        progress.started = progress.finished = True
        out.append(writer.finish(reason))
        if self._ask.include_usage and progress.usage.reported:
            out.append(writer.usage(progress.usage))
        out.append(DONE)
        self._done = True


def _complete(line: bytes) -> bool:
    """Whether a line that the stream's end cut off is a whole one."""
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True

"""Mistral's stream as a chat stream.

What is made regular on the way: content in chunks becomes `content`, `reasoning_content` and `annotations`; tool calls
come whole in one delta, in older recordings without `index` (chat-stream-tools-toolcall-toolchoice-82bfd357), and get one;
usage rides on the finish chunk and becomes the extra last chunk, or goes; `p`, random padding, goes.

States: running; failed (`progress.error` is set, nothing more is written); done (`[DONE]` was written).
"""

from __future__ import annotations

import orjson

from edgegate.dialects.amount import delta_size, size
from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import DONE, ChunkWriter, arguments_text, read_usage
from edgegate.dialects.failure import bad_reply, ended_early
from edgegate.dialects.mistral.errors import error_inside
from edgegate.dialects.mistral.reply import REASONING, deltas_of, finish_of, gave_up, logprobs_of, made_id, real_id, signed
from edgegate.dialects.spoilt import check_end, document
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from edgegate.wire.sse import EventReader, EventTooLarge


class _Choice:
    """One choice so far. `calls` has, for each tool call, whether any arguments came; `length` counts the characters of text;
    `thought` is the reasoning since the last signature."""

    __slots__ = ("calls", "finished", "ids", "indexes", "length", "thought")

    def __init__(self) -> None:
        self.calls: list[bool] = []
        self.ids: dict[str, int] = {}
        self.indexes: dict[int, int] = {}
        self.finished = False
        self.length = 0
        self.thought: list[str] = []


class MistralStream:
    """Tap: Mistral's events -> chat SSE bytes."""

    __slots__ = ("_ask", "_choices", "_done", "_expected", "_progress", "_reader", "_writer")

    def __init__(self, ask: Ask, progress: Progress) -> None:
        self._ask = ask
        self._progress = progress
        self._reader = EventReader()
        self._writer: ChunkWriter | None = None
        self._choices: dict[int, _Choice] = {}
        count = ask.chat.get("n")
        self._expected = count if isinstance(count, int) else 1
        self._done = False

    def feed(self, data: bytes) -> bytes:
        if self._done or self._progress.error is not None:
            return b""
        try:
            events = self._reader.feed(data)
        except EventTooLarge as error:
            self._progress.error = bad_reply(f"Mistral's stream holds {error}")
            return b""
        if len(events) == 1:
            return self._event(events[0].data)
        return b"".join([self._event(event.data) for event in events])

    def end(self, outcome: Outcome) -> bytes:
        if self._done or self._progress.error is not None:
            return b""
        # A last event without its blank line still counts for `progress`, and is written if the stream is known to be whole.
        out = b"".join([self._event(event.data) for event in self._reader.end() if _complete(event.data)])
        check_end(self._progress)
        return out + self._close() if outcome is Outcome.OK else b""

    def _event(self, data: bytes) -> bytes:
        progress = self._progress
        if self._done or progress.error is not None:
            return b""
        if data == b"[DONE]":
            progress.finished = bool(self._choices) and all(choice.finished for choice in self._choices.values())
            check_end(progress)
            if not progress.finished and progress.error is None:
                progress.error = ended_early("Mistral")
            return self._close()
        chunk = document(data, progress)
        if chunk is None:
            return b""
        progress.events += 1
        try:
            # Nearly every event is one piece of text for choice 0, and nothing else that a client would miss.
            (choice,) = chunk["choices"]
            delta = choice["delta"]
            text = delta["content"]
            plain = (
                len(delta) == 1
                and type(text) is str
                and text
                and choice["finish_reason"] is None
                and choice["index"] == 0
                and choice.get("logprobs") is None
                and "usage" not in chunk
                and 0 in self._choices
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            plain = False
        if plain and self._writer is not None:
            progress.started = True
            progress.text_bytes += size(text)
            self._choices[0].length += len(text)
            return self._writer.text(text)
        return self._chunk(chunk)

    def _fail(self, error: GatewayError) -> bytes:
        self._progress.error = error
        return b""

    def _close(self) -> bytes:
        """The usage chunk, if asked for, and `[DONE]`; nothing if the answer is not whole."""
        if not self._progress.finished or self._writer is None or self._done:
            return b""
        self._done = True
        usage = self._progress.usage
        return self._writer.usage(usage) + DONE if self._ask.include_usage and usage.reported else DONE

    def _chunk(self, chunk: Json) -> bytes:
        """Any event but the frequent one."""
        error = error_inside(chunk)
        kind = chunk.get("type") or chunk.get("object")
        if error is not None and error.code == "bad_reply" and kind and kind != "error":  # of a kind that is not known
            read_usage(chunk.get("usage"), self._progress.usage)
            return b""
        if error is not None:
            return self._fail(error)
        if self._writer is None:
            self._writer = self._begin(chunk)
        read_usage(chunk.get("usage"), self._progress.usage)
        out: list[bytes] = []
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and self._progress.error is None:
                self._choice(choice, out, self._writer)
        known = self._choices.values()
        self._progress.finished = len(known) >= self._expected and all(choice.finished for choice in known)
        return b"".join(out)

    def _begin(self, chunk: Json) -> ChunkWriter:
        id, created, model = chunk.get("id"), chunk.get("created"), chunk.get("model")
        self._progress.model = model if isinstance(model, str) and model else self._ask.model
        return ChunkWriter(
            id if isinstance(id, str) and id else self._ask.id,
            created if isinstance(created, int) and created else self._ask.created,
            self._progress.model,
        )

    def _choice(self, choice: Json, out: list[bytes], writer: ChunkWriter) -> None:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        state = self._choices.get(index)
        if state is None:
            state = self._choices[index] = _Choice()
            out.append(writer.role(index))
        delta = choice.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        more: Json = {}
        logprobs = logprobs_of(choice)
        if logprobs is not None:
            more["logprobs"] = logprobs
        for piece in deltas_of(delta.get("content"), state.length):
            self._progress.started = True
            self._progress.text_bytes += delta_size(piece)
            text = piece.get("content")
            if text:
                state.length += len(text)
            self._sign(piece, state)
            out.append(writer.delta(piece, index, **(more if text else {})))
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict) and isinstance(call.get("function"), dict):
                self._progress.started = True
                out.append(self._call(call, call["function"], state, index, writer))
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason and not state.finished:
            self._finish(reason, state, index, out, writer)

    def _sign(self, piece: Json, state: _Choice) -> None:
        """A signature comes with the last piece of what it signs, and goes back with all of it."""
        if REASONING in piece:
            state.thought.append(piece[REASONING])
        if "reasoning_details" in piece:
            signature = piece["reasoning_details"][0]["signature"]
            piece["reasoning_details"] = [signed("".join(state.thought), signature)]
            state.thought.clear()

    def _finish(self, reason: str, state: _Choice, index: int, out: list[bytes], writer: ChunkWriter) -> None:
        if reason == "error":
            self._progress.error = gave_up()
            return
        out.extend(writer.arguments(at, "{}", index) for at, filled in enumerate(state.calls) if not filled)
        state.finished = True
        reason = finish_of(reason)
        out.append(writer.finish(reason, index))
        self._progress.started = True
        if not self._progress.finish_reason or index == 0:
            self._progress.finish_reason = reason

    def _call(self, call: Json, function: Json, state: _Choice, index: int, writer: ChunkWriter) -> bytes:
        """A whole call, or a further piece of one: what has a new id, or a name, is a new call."""
        id, name, arguments = real_id(call), function.get("name"), arguments_text(function)
        self._progress.text_bytes += size(arguments)
        given = call.get("index")
        known = state.ids.get(id) if id else None
        if known is None and not name and state.calls and (not id or given in state.indexes):
            known = state.indexes.get(given, len(state.calls) - 1) if isinstance(given, int) else len(state.calls) - 1
        if known is not None:
            state.calls[known] = state.calls[known] or bool(arguments)
            return writer.arguments(known, arguments, index)
        at = len(state.calls)
        id = id or made_id(self._ask, index, at)
        state.calls.append(bool(arguments))
        state.ids[id] = at
        if isinstance(given, int):
            state.indexes[given] = at
        return writer.call(at, id, name if isinstance(name, str) else "", arguments, index)


def _complete(data: bytes) -> bool:
    """Whether an event that the stream's end cut off is a whole one."""
    if data == b"[DONE]":
        return True
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True

"""The tap that writes chat chunks as Gemini's stream: a GenerateContentResponse for each piece.

Gemini sends a call whole, so its arguments are gathered until the next call begins and they are a JSON object, or until the
finish. finishReason comes with the usage in one last response, written when the usage arrives, on `[DONE]`, or by `end(OK)`, and
only if every choice that began has its finish reason.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import read_usage
from edgegate.dialects.encoding import ChatEncoder
from edgegate.dialects.gemini.answer import (
    call_part,
    code_parts,
    ending,
    identity,
    keep,
    logprobs_result,
    media_parts,
    told,
    usage_metadata,
)
from edgegate.dialects.gemini.errors import error_line
from edgegate.dialects.gemini.framing import Framing
from edgegate.dialects.gemini.media import google_of
from edgegate.dialects.sealed import Carried, seal
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from edgegate.wire.sse import MAX_EVENT_BYTES, EventTooLarge


class _Call:
    """A call whose arguments are arriving."""

    __slots__ = ("google", "id", "name", "pieces")

    def __init__(self) -> None:
        self.id: Any = None
        self.name = ""
        self.pieces: list[str] = []
        self.google: Json = {}


class _Choice:
    """One choice of the stream."""

    __slots__ = ("annotations", "calls", "carried", "finish", "index", "last", "malformed", "refusal", "text")

    def __init__(self, index: int) -> None:
        self.index = index
        self.calls: dict[Any, _Call] = {}  # those that are not written yet, in order
        self.carried = Carried("google")
        self.text: list[str] = []
        self.annotations: list[Any] = []
        self.refusal = ""
        self.malformed = ""
        self.finish = ""
        self.last: Json = {}  # the choice as the chunk with its finish reason had it


class Encode(ChatEncoder):
    """The tap for one reply."""

    __slots__ = ("_choices", "_framing", "_held", "_id", "_tail", "_usage", "_who")

    def __init__(self, framing: Framing, id: str) -> None:
        super().__init__()
        self._framing = framing
        self._id = id
        self._usage = Usage()
        self._choices: dict[int, _Choice] = {}
        self._who: Json = {}
        self._tail = b""
        self._held = 0  # characters of text and arguments kept

    def end(self, outcome: Outcome) -> bytes:
        return super().end(outcome) + self._framing.end(outcome)

    def _failed(self, error: GatewayError) -> bytes:
        return self._framing.item(error_line(error, ""))

    def _chunk(self, chunk: Json, written: list[bytes]) -> None:
        if not self._tail:
            self._begin(chunk)
        if chunk.get("usage") is not None:
            read_usage(chunk["usage"], self._usage)
        choices = chunk.get("choices")
        if isinstance(choices, list) and choices:
            for choice in choices:
                if isinstance(choice, dict):
                    self._choice(choice, written)
        elif self._usage.reported:
            self._end(written)

    def _begin(self, chunk: Json) -> None:
        self._who = identity({"id": self._id, **{name: value for name, value in chunk.items() if value}})
        self._tail = b'}],"role":"model"},"index":0}],' + orjson.dumps(self._who)[1:]

    def _choice(self, choice: Json, written: list[bytes]) -> None:
        at = choice.get("index")
        index = at if isinstance(at, int) else 0
        state = self._choices.get(index)
        if state is None:
            state = self._choices[index] = _Choice(index)
        delta = choice.get("delta")
        reason = choice.get("finish_reason")
        if isinstance(delta, dict):
            content = delta.get("content")
            if len(delta) == 1 and content and isinstance(content, str) and not index and not reason and not choice.get("logprobs"):
                self._text(state, content)  # nearly every chunk
                written.append(self._framing.item(b'{"candidates":[{"content":{"parts":[{"text":' + orjson.dumps(content) + self._tail))
                return
            self._delta(state, delta, choice, bool(reason), written)
        if reason and not state.finish:
            state.finish = str(reason)
            state.last = choice
            self._flush(state, written)

    def _delta(self, state: _Choice, delta: Json, choice: Json, last: bool, written: list[bytes]) -> None:
        parts: list[Json] = []
        reasoning, content, refusal = delta.get("reasoning_content"), delta.get("content"), delta.get("refusal")
        if isinstance(reasoning, str) and reasoning:
            parts.append({"text": reasoning, "thought": True})
        google = google_of(delta)
        parts += code_parts(google)
        if isinstance(content, str) and content:
            self._text(state, content)
            parts.append({"text": content})
        if isinstance(refusal, str) and refusal:
            state.refusal += refusal
            if not last or choice.get("finish_reason") != "content_filter":  # else it is the filter's explanation, not text
                self._text(state, refusal)
                parts.append({"text": refusal})
        parts += media_parts(delta)
        if isinstance(delta.get("annotations"), list):
            state.annotations += delta["annotations"]
        if delta.keys() & {"thinking_blocks", "reasoning_details", "extra_content", "tool_calls"}:
            state.carried.take(delta)
        calls = delta.get("tool_calls")
        for at, call in enumerate(calls if isinstance(calls, list) else []):
            if isinstance(call, dict):
                self._call(state, call, at, parts)
        if isinstance(delta.get("function_call"), dict):
            self._call(state, {"index": 0, "function": delta["function_call"]}, 0, parts)
        signature = google.get("thought_signature")
        if isinstance(signature, str) and signature:
            target = parts[-1] if parts and "text" in parts[-1] and not parts[-1].get("thought") else {"text": ""}
            target["thoughtSignature"] = signature
            if not parts or target is not parts[-1]:
                parts.append(target)
        logprobs = logprobs_result(choice.get("logprobs"))
        if parts or logprobs:
            written.append(self._candidate(state, parts, {"logprobsResult": logprobs} if logprobs else {}))

    def _call(self, state: _Choice, piece: Json, at: int, parts: list[Json]) -> None:
        """A piece of a call. Its index tells which; where there is none, an id begins a new call."""
        key, id = piece.get("index"), piece.get("id")
        if not isinstance(key, int):
            key = id or next(reversed(state.calls), at)
        call = state.calls.get(key)
        if call is None:
            self._write_whole(state, parts)
            call = state.calls[key] = _Call()
        given = piece.get("function")
        function: Json = given if isinstance(given, dict) else {}
        call.id = call.id or id
        call.name = call.name or str(function.get("name") or "")
        call.google.update(google_of(piece))
        arguments = function.get("arguments")
        if isinstance(arguments, str) and arguments:
            self._hold(len(arguments))
            call.pieces.append(arguments)

    def _write_whole(self, state: _Choice, parts: list[Json]) -> None:
        """The calls that are complete, up to the first that may still get something."""
        for key, call in list(state.calls.items()):
            part = call_part(call.id, call.name, "".join(call.pieces), call.google) if call.pieces else None
            if part is None:
                return
            parts.append(part)
            del state.calls[key]

    def _flush(self, state: _Choice, written: list[bytes]) -> None:
        """All calls, at the finish; the last carries what other vendors want back."""
        parts = []
        for call in state.calls.values():
            part = call_part(call.id, call.name, "".join(call.pieces), call.google)
            if part is None:
                state.malformed = call.name or "a function"
            else:
                parts.append(part)
        state.calls.clear()
        fields = state.carried.fields()
        if fields:
            keep(parts, parts[::-1], seal(fields))
        if parts:
            written.append(self._candidate(state, parts, {}))

    def _candidate(self, state: _Choice, parts: list[Json], more: Json) -> bytes:
        candidate = {"content": {"parts": parts or [{"text": ""}], "role": "model"}, "index": state.index, **more}
        return self._framing.item(orjson.dumps({"candidates": [candidate], **self._who}))

    def _end(self, written: list[bytes]) -> None:
        """The last response."""
        states = self._choices.values()
        if self._ended or not states or not all(state.finish for state in states):
            return
        self._ended = True
        candidates = [
            {
                "content": {"parts": [{"text": ""}], "role": "model"},
                **ending(state.last, state.finish, state.refusal, state.malformed),
                "index": state.index,
                **told(state.last, state.annotations, "".join(state.text)),
            }
            for state in states
        ]
        usage = {"usageMetadata": usage_metadata(self._usage)} if self._usage.reported else {}
        written.append(self._framing.item(orjson.dumps({"candidates": candidates, **usage, **self._who})))

    def _text(self, state: _Choice, piece: str) -> None:
        """Text is kept for citations, whose places are counted in bytes of it."""
        self._hold(len(piece))
        state.text.append(piece)

    def _hold(self, characters: int) -> None:
        self._held += characters
        if self._held > MAX_EVENT_BYTES:
            raise EventTooLarge(f"an answer of more than {MAX_EVENT_BYTES} characters")

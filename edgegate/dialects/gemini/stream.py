"""Gemini's stream -> chat SSE.

States: reading events; reading a bare JSON document (a reply without `alt=sse` is one array, an error may be one object); spent
(the provider reported an error, or sent what is no answer: `progress.error` says which, and nothing more is passed on).
A stream has no terminal event: it is whole when every candidate seen has its finishReason, or the prompt was blocked.

Held back, until the finish: a text's thought signature and citations (both are about the whole text), the text itself where the
request asked for grounding.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.amount import size
from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import DONE, ChunkWriter
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.gemini.bare import BareDocument, Opening, is_bare
from edgegate.dialects.gemini.faults import broken_off, error_in, hidden_fault
from edgegate.dialects.gemini.grounding import annotations_of
from edgegate.dialects.gemini.reading import (
    Tally,
    arguments_in,
    block_of,
    call_id,
    candidates_of,
    code_of,
    data_of,
    finish_of,
    image_of,
    index_of,
    logprobs_of,
    lone_event,
    part_size,
    parts_in,
    reason_of,
    told_besides,
)
from edgegate.dialects.gemini.sound import is_bare as is_bare_sound
from edgegate.dialects.spoilt import check_end, document
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from edgegate.wire.sse import EventReader, EventTooLarge

_TOLD = frozenset(("groundingMetadata", "citationMetadata", "urlContextMetadata", "safetyRatings"))


class _Candidate:
    """One candidate of a stream."""

    __slots__ = ("audio", "calls", "codes", "done", "images", "index", "signature", "text", "told")

    def __init__(self, index: int) -> None:
        self.index = index
        self.calls = 0
        self.images = 0
        self.codes = 0
        self.audio = False
        self.done = False
        self.signature = ""
        self.told: Json = {}  # grounding and the like, of whatever chunks
        self.text: list[str] = []


class ChatStream:
    """The tap for one reply."""

    __slots__ = (
        "_ask",
        "_bare",
        "_calls",
        "_candidates",
        "_clear",
        "_grounded",
        "_opening",
        "_progress",
        "_reader",
        "_spent",
        "_tally",
        "_writer",
    )

    def __init__(self, ask: Ask, progress: Progress) -> None:
        self._ask = ask
        self._progress = progress
        self._reader = EventReader()
        self._bare: BareDocument | None = None
        self._opening: Opening | None = Opening()
        self._clear = False  # events were read and none is half read: the next may take the short way
        self._spent = False
        self._writer: ChunkWriter | None = None
        self._tally = Tally()
        self._candidates: dict[int, _Candidate] = {}
        self._calls = 0
        self._grounded = _asks_for_grounding(ask)

    def feed(self, data: bytes) -> bytes:
        if self._spent:
            return b""
        if self._clear and (lone := lone_event(data)) is not None:
            return self._event(lone)
        if self._opening is not None:
            data = self._opening.feed(data)
            if not data:
                return b""
            self._opening = None
            if is_bare(data):
                self._bare = BareDocument()
        try:
            if self._bare is not None:
                document = self._bare.feed(data)
                return b"" if document is None else self._end_bare(self._bare, document)
            events = self._reader.feed(data)
        except EventTooLarge as error:
            return self._fail(bad_reply(f"Gemini sent {error}"))
        self._clear = data.endswith((b"\n\n", b"\r\n\r\n"))
        if len(events) == 1:
            return self._event(events[0].data)
        return b"".join([self._event(event.data) for event in events])

    def end(self, outcome: Outcome) -> bytes:
        if outcome is not Outcome.OK:
            return b""
        out = b""
        if not self._spent:
            if self._bare is not None:
                document = self._bare.end()
                out = self._end_bare(self._bare, document) if document is not None else self._fail(bad_reply("Gemini's reply is not JSON"))
            else:
                # a last event without its blank line counts if it is whole; half of one leaves the answer as it is, unfinished or not
                out = b"".join([self._event(event.data) for event in self._reader.end() if parsed(event.data) is not None])
        check_end(self._progress)
        if self._progress.error is not None or not self._progress.finished:
            return out
        return out + (self._open(None).usage(self._progress.usage) if self._ask.include_usage else b"") + DONE

    def _end_bare(self, bare: BareDocument, document: Any) -> bytes:
        out = []
        for item in document if isinstance(document, list) else [document]:
            self._progress.events += 1
            out.append(self._document(item, bare.body if error_in(item) is not None else b""))
        self._spent = True
        return b"".join(out)

    def _event(self, data: bytes) -> bytes:
        if self._spent:  # by an earlier event of the same read
            return b""
        if data.strip() == b"[DONE]":  # not Gemini's, but harmless
            return b""
        value = parsed(data) if data[:1] == b"[" else None  # some wrap their errors in a list
        reply = value if error_in(value) is not None else document(data, self._progress)
        if reply is None:
            return b"" if self._progress.error is None else self._fail(self._progress.error)
        self._progress.events += 1
        return self._document(reply, data)

    def _document(self, document: Any, data: bytes) -> bytes:
        """One GenerateContentResponse."""
        if self._spent:
            return b""
        if not isinstance(document, dict) or "error" in document:
            error = error_in(document)
            return self._fail(bad_reply("Gemini sent an event that is no reply") if error is None else hidden_fault(error, data))
        writer = self._writer or self._open(document)
        meta = document.get("usageMetadata")
        if meta:
            self._tally.take(meta, self._progress.usage)
        out: list[bytes] = []
        candidates = candidates_of(document)
        for position, candidate in enumerate(candidates):
            if self._progress.error is not None:
                break
            index = index_of(candidate, position)
            state = self._candidates.get(index)
            if state is None:
                state = self._candidates[index] = _Candidate(index)
                self._progress.finished = False
                out.append(writer.role(index))
            self._candidate(writer, candidate, state, out)
        if not candidates and not self._candidates and block_of(document):
            out.append(writer.role())
            out.append(writer.finish("content_filter"))
            self._progress.finish_reason = "content_filter"
            self._progress.started = self._progress.finished = True
        return out[0] if len(out) == 1 else b"".join(out)

    def _candidate(self, writer: ChunkWriter, candidate: Json, state: _Candidate, out: list[bytes]) -> None:
        written = len(out)
        logprobs = logprobs_of(candidate) if "logprobsResult" in candidate else None
        for part in parts_in(candidate):
            text = part.get("text")
            if isinstance(text, str) and text and "thoughtSignature" not in part and not part.get("thought"):  # nearly every part
                self._progress.text_bytes += size(text)
                if self._grounded:
                    state.text.append(text)
                if logprobs is not None:
                    out.append(writer.delta({"content": text}, state.index, logprobs=logprobs))
                    logprobs = None
                else:
                    out.append(writer.delta({"content": text}, state.index) if state.index else writer.text(text))
            else:
                self._progress.text_bytes += part_size(part)
                self._part(writer, part, text, state, out)
        if logprobs is not None:  # a piece of probabilities without a piece of text
            out.append(writer.delta({}, state.index, logprobs=logprobs))
        if len(out) > written:
            self._progress.started = True
        if not _TOLD.isdisjoint(candidate):
            state.told.update((name, candidate[name]) for name in _TOLD & candidate.keys() if candidate[name])
        reason = reason_of(candidate)
        if reason and not state.done and not self._spent:
            self._finish(writer, candidate, reason, state, out)

    def _part(self, writer: ChunkWriter, part: Json, text: Any, state: _Candidate, out: list[bytes]) -> None:
        """Any part but plain text."""
        call, signature = part.get("functionCall"), part.get("thoughtSignature")
        thought = bool(part.get("thought")) and isinstance(text, str)
        blob = data_of(part)
        picture = blob is not None and not blob[0].startswith("audio/")
        if thought and text:
            out.append(writer.reasoning(text, state.index))
        if isinstance(signature, str) and not isinstance(call, dict) and not picture:
            state.signature = signature
        if isinstance(call, dict):
            extra = {"extra_content": {"google": {"thought_signature": signature}}} if isinstance(signature, str) else None
            id = str(call.get("id") or call_id(self._ask, self._calls))
            try:
                arguments = arguments_in(call)
            except GatewayError as error:
                out.append(self._fail(error))
                return
            out.append(writer.call(state.calls, id, str(call.get("name") or ""), arguments, state.index, extra))
            state.calls += 1
            self._calls += 1
        elif isinstance(text, str):
            if text and not thought:
                if self._grounded:
                    state.text.append(text)
                out.append(writer.delta({"content": text}, state.index))
        elif blob is not None:
            if picture:
                out.append(writer.delta({"images": [image_of(*blob, state.images, signature)]}, state.index))
                state.images += 1
                return
            audio: Json = {"data": blob[1]} if state.audio else {"id": f"audio_{self._ask.id}", "data": blob[1]}
            if not is_bare_sound(blob[0]):
                audio["format"] = blob[0].partition("/")[2]
            out.append(writer.delta({"audio": audio}, state.index))
            state.audio = True
        elif code := code_of(part):
            out.append(writer.delta({"extra_content": {"google": {"parts": [{"index": state.codes, **code}]}}}, state.index))
            state.codes += 1

    def _finish(self, writer: ChunkWriter, candidate: Json, reason: str, state: _Candidate, out: list[bytes]) -> None:
        finish = finish_of(reason, state.calls > 0)
        if finish is None:
            out.append(self._fail(broken_off(reason, candidate.get("finishMessage"))))
            return
        last: Json = {}
        told = {**candidate, **state.told}
        if state.told:
            annotations = annotations_of(told, "".join(state.text)) if self._grounded else []
            if annotations:
                last["annotations"] = annotations
        if state.signature:
            last["extra_content"] = {"google": {"thought_signature": state.signature}}
        if last:
            out.append(writer.delta(last, state.index))
        state.done = True
        out.append(writer.delta({}, state.index, finish, **told_besides(told, reason, finish)))
        progress = self._progress
        progress.started = True
        if state.index == 0 or not progress.finish_reason:
            progress.finish_reason = finish
        progress.finished = all(other.done for other in self._candidates.values())

    def _open(self, document: Json | None) -> ChunkWriter:
        """The writer, made from the first event: it names the model and the reply."""
        if self._writer is None:
            document = document or {}
            id, model = document.get("responseId"), document.get("modelVersion")
            self._progress.model = model if isinstance(model, str) and model else self._ask.model
            self._writer = ChunkWriter(id if isinstance(id, str) and id else self._ask.id, self._ask.created, self._progress.model)
        return self._writer

    def _fail(self, error: GatewayError) -> bytes:
        self._progress.error = error
        self._progress.finished = False
        self._spent = True
        return b""


def _asks_for_grounding(ask: Ask) -> bool:
    """Whether the reply may cite sources: only then is its text kept."""
    if ask.chat.get("web_search_options") is not None:
        return True
    tools = ask.chat.get("tools")
    return isinstance(tools, list) and any(
        isinstance(tool, dict) and tool.get("type", "") != "function" and "function" not in tool for tool in tools
    )

"""Reading along where Gemini's bytes go to the client as they are.

The same facts as the translating side finds, but no judgement: a native client sees for itself that an answer was blocked or
broken off. Only an error object counts as an error; the event that holds it is not passed on, `progress.error.wire` has it.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.amount import size
from edgegate.dialects.base import Json, Progress
from edgegate.dialects.chat import count
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.gemini.bare import BareDocument, Opening, is_bare
from edgegate.dialects.gemini.faults import error_in, hidden_fault
from edgegate.dialects.gemini.reading import (
    Tally,
    block_of,
    candidates_of,
    finish_of,
    index_of,
    lone_event,
    parse,
    part_size,
    parts_in,
    reason_of,
)
from edgegate.dialects.spoilt import check_end, document, sound_events, start_of_event
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from edgegate.wire.sse import EventReader, EventTooLarge, WholeEvents


class Notes:
    """Takes down what replies say, one GenerateContentResponse after the other. `streamed`: how much text they hold, too."""

    __slots__ = ("_called", "_open", "_progress", "_streamed", "_tally")

    def __init__(self, progress: Progress, *, streamed: bool) -> None:
        self._progress = progress
        self._streamed = streamed
        self._tally = Tally()
        self._open: dict[int, bool] = {}  # candidate -> not finished yet
        self._called: set[int] = set()

    def take(self, reply: Json) -> bool:
        """False if the reply holds neither candidates nor a reason why."""
        progress = self._progress
        model = reply.get("modelVersion")
        if isinstance(model, str) and model:
            progress.model = model
        self._tally.take(reply.get("usageMetadata"), progress.usage)
        candidates = candidates_of(reply)
        for position, candidate in enumerate(candidates):
            index = index_of(candidate, position)
            for part in parts_in(candidate):
                if "functionCall" in part:
                    self._called.add(index)
                text = part.get("text")
                if text != "":
                    progress.started = True
                if self._streamed:
                    progress.text_bytes += size(text) if type(text) is str else part_size(part)
            reason = reason_of(candidate)
            self._open[index] = not reason and self._open.get(index, True)
            if reason:
                progress.started = True
                progress.finish_reason = finish_of(reason, index in self._called) or reason.lower()
            progress.finished = not any(self._open.values())
        if not candidates and not self._open and block_of(reply):
            progress.started = progress.finished = True
            progress.finish_reason = "content_filter"
        return bool(candidates) or progress.finished


class Watcher:
    """The tap for a native stream: whole events, unchanged. A bare JSON array goes by as it comes."""

    __slots__ = ("_bare", "_clear", "_notes", "_opening", "_progress", "_reader", "_spent", "_whole")

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._notes = Notes(progress, streamed=True)
        self._whole = WholeEvents()
        self._reader = EventReader()
        self._bare: BareDocument | None = None
        self._opening: Opening | None = Opening()
        self._clear = False  # as in stream.py
        self._spent = False

    def feed(self, data: bytes) -> bytes:
        if self._spent:
            return b""
        if self._clear and (lone := lone_event(data)) is not None:
            spoilt = self._progress.spoilt
            return data if self._event(lone) and self._progress.spoilt == spoilt else b""
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
                return data if document is None or self._bare_document(document) else b""
            whole = self._whole.feed(data)
            events = self._reader.feed(whole)
        except EventTooLarge as error:
            self._fail(bad_reply(f"Gemini sent {error}"))
            return b""
        self._clear = data.endswith((b"\n\n", b"\r\n\r\n"))
        spoilt = self._progress.spoilt
        for number, event in enumerate(events):
            if not self._event(event.data):
                whole = whole[: start_of_event(whole, number)]
                break
        return whole if self._progress.spoilt == spoilt else sound_events(whole, done=False)

    def end(self, outcome: Outcome) -> bytes:
        if outcome is not Outcome.OK or self._spent:
            return b""
        if self._bare is not None:
            document = self._bare.end()
            if document is not None and not self._progress.events:
                self._bare_document(document)
            return b""
        rest = self._whole.rest()
        if not rest.strip():
            check_end(self._progress)
            return rest  # the LF of a last CRLF that was cut in two
        events = self._reader.feed(rest) + self._reader.end()
        if any(parsed(event.data) is None for event in events):
            return b""  # half an event
        whole = bool(events) and all(self._event(event.data) for event in events)
        return rest if whole and self._progress.finished else b""  # of an answer that is not whole: an error follows, on a line of its own

    def _bare_document(self, document: Any) -> bool:
        documents = document if isinstance(document, list) else [document]
        self._progress.events += len(documents)
        return all(self._document(item, b"") for item in documents)

    def _event(self, data: bytes) -> bool:
        if self._spent:
            return False
        value = parsed(data) if data[:1] == b"[" else None
        reply = value if error_in(value) is not None else document(data, self._progress)
        if reply is None:
            return True if self._progress.error is None else self._fail(self._progress.error)
        self._progress.events += 1
        return self._document(reply, data)

    def _document(self, document: Any, data: bytes) -> bool:
        """Whether this one may be passed on."""
        if self._spent:
            return False
        error = error_in(document)
        if error is not None:
            return self._fail(hidden_fault(error, data or (self._bare.body if self._bare is not None else b"")))
        if isinstance(document, dict):
            self._notes.take(document)
        return True

    def _fail(self, error: GatewayError) -> bool:
        self._progress.error = error
        self._progress.finished = False
        self._spent = True
        return False


def glance_at(body: bytes, progress: Progress) -> None:
    """A native plain reply: an object, or the array that a stream without `alt=sse` is."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_reply("Gemini's reply is not JSON") from None
    notes = Notes(progress, streamed=False)
    replies = value if isinstance(value, list) else [value]
    held = False
    for reply in replies:
        error = error_in(reply)
        if error is not None:
            raise hidden_fault(error, body)
        held = (isinstance(reply, dict) and notes.take(reply)) or held
    if not held:
        raise bad_reply("Gemini's reply holds no candidate and no reason why")


def glance_at_embedding(body: bytes, progress: Progress) -> None:
    """A native reply to `:embedContent` or `:batchEmbedContents`."""
    reply = parse(body)
    if "embedding" not in reply and "embeddings" not in reply:
        raise bad_reply("Gemini's reply holds no embedding")
    meta = reply.get("usageMetadata")
    if isinstance(meta, dict):
        progress.usage.input_tokens = count(meta.get("promptTokenCount"))
        progress.usage.reported = True
    progress.started = progress.finished = True

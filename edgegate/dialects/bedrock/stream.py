"""The tap that turns a ConverseStream into chat chunks.

Content blocks have an index each, and may mix. The finish reason comes with `messageStop`; the usage follows in `metadata`,
so `[DONE]` waits for it, or for the end. States: going on; finished (`messageStop` was seen); over (`[DONE]` was written, or
`progress.error` is set). Calls and results of tools that Amazon runs itself are no calls of the client's: nothing is written
for them. Unknown events and deltas are passed over.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

from edgegate.dialects.amount import size
from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.bedrock.citations import annotation_of
from edgegate.dialects.bedrock.errors import frame_error
from edgegate.dialects.bedrock.formats import TOOL
from edgegate.dialects.bedrock.reply import Reading, finish_of, image_entry, is_client_call, kept_reasoning, malformed, stop_sequence_of
from edgegate.dialects.bedrock.usage import read_usage
from edgegate.dialects.chat import DONE, ChunkWriter
from edgegate.dialects.failure import bad_reply
from edgegate.dialects.spoilt import check_end, document
from edgegate.taps import Outcome
from edgegate.wire.eventstream import MAX_MESSAGE_BYTES, Frame, FrameReader

_MAX_KEPT = MAX_MESSAGE_BYTES
"""Characters of one block that are kept until it ends: reasoning until its signature comes, pictures."""


@dataclass(slots=True)
class _Block:
    """A content block that is open. kind: text, call, answer (the forced tool), image, foreign (of Amazon's own tools).
    `call` is its number among the client's calls; `start` the place in the answer's text where it began."""

    kind: str = "text"
    call: int = 0
    start: int = 0
    written: bool = False
    format: Any = None
    pieces: list[str] = field(default_factory=list)
    kept: int = 0
    signature: str = ""
    raw: bytearray = field(default_factory=bytearray)
    citations: list[Json] = field(default_factory=list)


class ConverseStream:
    """Tap: Bedrock's frames -> chat SSE bytes."""

    __slots__ = (
        "_ask",
        "_blocks",
        "_calls",
        "_held_text",
        "_images",
        "_length",
        "_over",
        "_progress",
        "_reader",
        "_reading",
        "_text_key",
        "_text_start",
        "_told_role",
        "_writer",
    )

    def __init__(self, ask: Ask, progress: Progress) -> None:
        self._ask = ask
        self._progress = progress
        self._reading = Reading(ask)
        self._reader = FrameReader()
        self._writer = ChunkWriter(ask.id, ask.created, ask.model)
        self._blocks: dict[int, _Block] = {}
        self._calls = self._images = self._length = 0
        self._text_key, self._text_start = -1, 0  # the block that text came for last, and the place where it began
        self._held_text: list[str] = []  # beside a forced tool: no part of the answer, unless the tool never comes
        self._told_role = self._over = False
        progress.model = ask.model

    def feed(self, data: bytes) -> bytes:
        if self._over:
            return b""
        written: list[bytes] = []
        for frame in self._reader.feed(data):
            self._frame(frame, written)
        if self._reader.broken:
            self._fail(f"Bedrock's stream holds {self._reader.broken}")
        return b"".join(written)

    def end(self, outcome: Outcome) -> bytes:
        check_end(self._progress)
        if self._over or outcome is not Outcome.OK or not self._progress.finished:
            self._over = True
            return b""
        return self._done()

    def _frame(self, frame: Frame, written: list[bytes]) -> None:
        progress = self._progress
        if self._over:
            return None
        if frame.text(":message-type") in ("exception", "error"):
            if progress.finished:  # the answer is whole, only its counts are missing
                written.append(self._done())
            else:
                self._over, progress.error = True, frame_error(frame)
            return None
        name = frame.text(":event-type")
        event = document(frame.payload, progress)
        if event is None:
            if name == "contentBlockStart":
                return self._fail("a contentBlockStart of Bedrock's stream is no JSON object")
            self._over = progress.error is not None
            return None
        progress.events += 1
        if progress.finished:
            if name == "metadata":
                read_usage(event, progress.usage)
                written.append(self._done())
        elif name == "contentBlockDelta":
            delta = event.get("delta")
            if type(delta) is dict:
                self._delta(event.get("contentBlockIndex"), delta, written)
        elif name == "contentBlockStart":
            self._start(event.get("contentBlockIndex"), event.get("start"), written)
        elif name == "contentBlockStop":
            self._close(event.get("contentBlockIndex"), written)
        elif name == "messageStart":
            self._role(written)
        elif name == "messageStop":
            self._stop(event, written)
        elif name == "metadata":
            read_usage(event, progress.usage)
        return None

    def _start(self, index: Any, start: Any, written: list[bytes]) -> None:
        call = start.get("toolUse") if isinstance(start, dict) else None
        block = self._blocks[_key(index)] = _Block(start=self._length)
        if isinstance(call, dict):
            id, name = call.get("toolUseId"), call.get("name")
            if not isinstance(id, str) or not isinstance(name, str):
                return self._fail("a toolUse block of Bedrock's stream has no id or name")
            self._progress.started = True
            if not is_client_call(call):
                block.kind = "foreign"
            elif self._reading.forced and name == TOOL:
                block.kind = "answer"
                self._held_text.clear()
            else:
                block.kind, block.call = "call", self._calls
                self._calls += 1
                self._role(written)
                written.append(self._writer.call(block.call, id, self._reading.names.get(name, name)))
        elif isinstance(start, dict) and "toolResult" in start:
            block.kind = "foreign"
        elif isinstance(start, dict) and isinstance(start.get("image"), dict):
            block.kind, block.format = "image", start["image"].get("format")
        return None

    def _delta(self, index: Any, delta: Json, written: list[bytes]) -> None:
        text = delta.get("text")
        key = _key(index)
        if type(text) is str:
            if text:
                self._text(key, text, written)
            return
        block = self._blocks.get(key)
        if block is None:  # only blocks of tools and pictures have a start
            block = self._blocks[key] = _Block(start=self._length)
        call, reasoning, image, citation = (delta.get(name) for name in ("toolUse", "reasoningContent", "image", "citation"))
        if isinstance(call, dict):
            piece = call.get("input")
            if isinstance(piece, str) and piece:
                self._progress.text_bytes += size(piece)
                self._input(block, piece, written)
        elif isinstance(reasoning, dict):
            self._reasoning(block, reasoning, written)
        elif isinstance(citation, dict):
            self._progress.started = True
            block.citations.append(citation)
        elif isinstance(image, dict) and isinstance(image.get("source"), dict):
            self._keep_raw(block, image["source"].get("bytes"))

    def _text(self, key: int, text: str, written: list[bytes]) -> None:
        self._progress.started = True
        self._progress.text_bytes += size(text)
        if key != self._text_key:
            self._text_key, self._text_start = key, self._length
        self._length += len(text)
        if self._reading.forced:
            self._held_text.append(text)
            if self._length > _MAX_KEPT:
                self._fail("Bedrock's stream holds a text that is too large")
            return
        self._role(written)
        written.append(self._writer.text(text))

    def _input(self, block: _Block, piece: str, written: list[bytes]) -> None:
        block.written = True
        if block.kind == "call":
            written.append(self._writer.arguments(block.call, piece))
        elif block.kind == "answer":
            self._role(written)
            written.append(self._writer.text(piece))

    def _reasoning(self, block: _Block, reasoning: Json, written: list[bytes]) -> None:
        text, signature = reasoning.get("text"), reasoning.get("signature")
        if isinstance(text, str) and text:
            self._progress.started = True
            self._progress.text_bytes += size(text)
            self._keep(block, len(text))
            block.pieces.append(text)
            self._role(written)
            written.append(self._writer.reasoning(text))
        if isinstance(signature, str) and signature:
            self._progress.started = True
            self._keep(block, len(signature))
            block.signature += signature
        if reasoning.get("redactedContent") is not None:
            self._keep_raw(block, reasoning["redactedContent"])

    def _keep(self, block: _Block, size: int) -> None:
        block.kept += size
        if block.kept > _MAX_KEPT:
            self._fail("Bedrock's stream holds a block that is too large")

    def _keep_raw(self, block: _Block, data: Any) -> None:
        """Each piece is encoded by itself."""
        self._progress.started = True
        try:
            raw = base64.b64decode(data) if isinstance(data, str) else b""
        except (binascii.Error, ValueError):
            raw = b""
        self._keep(block, len(raw))
        block.raw += raw

    def _close(self, index: Any, written: list[bytes]) -> None:
        """What can be told of a block only when it is whole."""
        key = _key(index)
        block = self._blocks.pop(key, None)
        if block is None:
            return
        if block.kind in ("call", "answer") and not block.written:
            self._input(block, "{}", written)
        raw = base64.b64encode(block.raw).decode()
        if block.kind == "image":
            if raw:
                self._put({"images": [image_entry(block.format, raw, self._images)]}, written)
                self._images += 1
            return
        kept = kept_reasoning(self._reading.family, "".join(block.pieces), block.signature, raw, key)
        if kept:
            self._put(kept, written)
        if block.citations:
            start = self._text_start if key == self._text_key else block.start
            self._put({"annotations": [annotation_of(item, start, self._length) for item in block.citations]}, written)

    def _stop(self, event: Json, written: list[bytes]) -> None:
        progress = self._progress
        reason = event.get("stopReason")
        if not isinstance(reason, str):
            return self._fail("Bedrock's stream ends without a reason")
        for key in list(self._blocks):
            self._close(key, written)
        if self._held_text:
            self._role(written)
            written.append(self._writer.text("".join(self._held_text)))
        fault = None if progress.started else malformed(reason)
        if fault is not None:
            self._over, progress.error = True, fault
            return None
        progress.finish_reason = (
            "stop" if self._reading.forced and reason == "tool_use" and not self._calls else finish_of(reason, self._calls > 0)
        )
        progress.started = progress.finished = True
        self._role(written)
        written.append(self._writer.delta({}, 0, progress.finish_reason, **stop_sequence_of(event)))
        return None

    def _put(self, delta: Json, written: list[bytes]) -> None:
        self._role(written)
        written.append(self._writer.delta(delta))

    def _role(self, written: list[bytes]) -> None:
        if not self._told_role:
            self._told_role = True
            written.append(self._writer.role())

    def _done(self) -> bytes:
        self._over = True
        usage = self._progress.usage
        return (self._writer.usage(usage) if self._ask.include_usage and usage.reported else b"") + DONE

    def _fail(self, message: str) -> None:
        if not self._over:
            self._over = True
            self._progress.error = bad_reply(message)


def _key(index: Any) -> int:
    return index if isinstance(index, int) else 0

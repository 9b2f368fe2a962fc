"""The tap that writes chat chunks as Anthropic's event stream.

Content blocks come one after the other, each with its own index, while chunks may mix the pieces of several tool calls. One
block is open at a time; what belongs to others waits in order and follows when the open one is closed: at the finish, or
sooner once its arguments are a whole JSON object, which nothing can be added to. `message_delta` and `message_stop` are
written on `[DONE]` or by `end(OK)`, and only if a finish reason has come.

What other vendors want back is gathered and written, sealed, as the signature of a thinking block: of the one that is open, or
of an empty one, before the next block begins. What comes after that has one of its own, at the end if need be.

States: before the first chunk; no block open, or one (`_open`); ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from edgegate.dialects.anthropic.answer import ending, items, message_id, notes_of, picture, spoken, tier_of
from edgegate.dialects.anthropic.citations import citation
from edgegate.dialects.anthropic.errors import error_event
from edgegate.dialects.anthropic.usage import messages_usage
from edgegate.dialects.anthropic.words import DIALECT
from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import read_usage
from edgegate.dialects.encoding import ChatEncoder
from edgegate.dialects.failure import parsed
from edgegate.dialects.sealed import Carried, seal
from edgegate.errors import GatewayError
from edgegate.wire.sse import MAX_EVENT_BYTES, EventTooLarge

_DELTA_HEAD = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_DELTAS: Mapping[str, tuple[bytes, bytes]] = {
    "text": (b',"delta":{"type":"text_delta","text":', b"}}\n\n"),
    "thinking": (b',"delta":{"type":"thinking_delta","thinking":', b"}}\n\n"),
    "signature": (b',"delta":{"type":"signature_delta","signature":', b"}}\n\n"),
    "tool_use": (b',"delta":{"type":"input_json_delta","partial_json":', b"}}\n\n"),
    "citation": (b',"delta":{"type":"citations_delta","citation":', b"}}\n\n"),
}


_EMPTY: Mapping[str, Json] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}


_PLAIN = frozenset(("role", "content", "reasoning_content", "refusal"))
"""Members of deltas that hold nothing to be sent back."""


@dataclass(slots=True)
class _Block:
    """A content block: `kind` text, thinking, redacted_thinking, image or tool_use; `start` as its first event shows it; `key`
    tells tool calls apart; `pieces` are all arguments so far of the open call, or what waits of any block."""

    kind: str
    start: Json
    key: Any = None
    pieces: list[tuple[str, Any]] = field(default_factory=list)


class Encode(ChatEncoder):
    __slots__ = (
        "_called",
        "_carried",
        "_choice",
        "_finish",
        "_held",
        "_id",
        "_index",
        "_model",
        "_open",
        "_refusal",
        "_started",
        "_tier",
        "_usage",
        "_waiting",
    )

    def __init__(self, model: str, id: str) -> None:
        super().__init__()
        self._model = model
        self._id = id
        self._usage = Usage()
        self._open: _Block | None = None
        self._waiting: list[_Block] = []
        self._held = 0  # characters of arguments kept
        self._index = -1  # of the open block, or of the last one
        self._started = self._called = False
        self._finish = self._refusal = ""
        self._choice: Json = {}  # with the finish reason
        self._tier: Json = {}
        self._carried = Carried(DIALECT)

    def _failed(self, error: GatewayError) -> bytes:
        return error_event(error, "")

    def _chunk(self, chunk: Json, written: list[bytes]) -> None:
        if not self._started:
            self._started = True
            written.append(self._message_start(chunk))
        if chunk.get("usage") is not None:
            read_usage(chunk["usage"], self._usage)
        if chunk.get("service_tier"):
            self._tier = tier_of(chunk)
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or choice.get("index"):  # one choice is all that a Message can hold
            return
        delta = choice.get("delta")
        reason = choice.get("finish_reason")
        if isinstance(delta, dict):
            self._delta(delta, bool(reason), written)
        if reason and not self._finish:
            self._finish = str(reason)
            self._choice = choice

    def _delta(self, delta: Json, last: bool, written: list[bytes]) -> None:
        if not _PLAIN.issuperset(delta):
            self._carried.take(delta)
            if self._carried.size > MAX_EVENT_BYTES:
                raise EventTooLarge(f"state to be sent back of more than {MAX_EVENT_BYTES} characters")
        reasoning = delta.get("reasoning_content")
        if isinstance(reasoning, str) and reasoning:
            self._piece("thinking", reasoning, written)
        for block in items(delta.get("thinking_blocks")):
            if isinstance(block, dict):
                self._thinking(block, bool(reasoning), written)
        content, refusal = delta.get("content") or spoken(delta), delta.get("refusal")
        if isinstance(content, str) and content:
            self._piece("text", content, written)
        if isinstance(refusal, str) and refusal:
            self._refusal = refusal
            if not last:  # beside the finish reason it is the filter's explanation, not text
                self._piece("text", refusal, written)
        for note in items(delta.get("annotations")):
            cited = citation(note)
            if cited is not None:
                self._piece("text", cited, written, "citation")
        for image in items(delta.get("images")):
            block = picture(image)
            if block is not None:
                self._seal(written)
                if self._start("image", block, written) is self._open:
                    self._close(written)
        for call in items(delta.get("tool_calls")):
            if isinstance(call, dict):
                self._call(call, written)

    def _seal(self, written: list[bytes]) -> None:
        """Writes what has been gathered for other vendors, before a new block begins."""
        if self._carried:
            self._thinking({"type": "thinking", "signature": seal(self._carried.out())}, True, written)

    def _thinking(self, block: Json, streamed: bool, written: list[bytes]) -> None:
        """A whole block of Anthropic's. Its text has gone by as reasoning if a block of thinking is open; what is left to
        say is the signature, which ends the block."""
        if block.get("type") == "redacted_thinking":
            target = self._start("redacted_thinking", {"type": "redacted_thinking", "data": block.get("data", "")}, written)
        else:
            signature, text = block.get("signature"), block.get("thinking")
            begun = self._last("thinking")
            if begun is not None and begun.key != "signed":
                target = begun
            else:
                if not signature and (streamed or not text):
                    return
                target = self._start("thinking", dict(_EMPTY["thinking"]), written)
                if text:
                    self._add(target, "thinking", text, written)
            if not signature:
                return
            self._add(target, "signature", signature, written)
            target.key = "signed"
        if target is self._open:
            self._close(written)

    def _call(self, call: Json, written: list[bytes]) -> None:
        """A piece of a tool call. Its index tells which; where there is none, an id begins a new call."""
        self._called = True
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        key, id = call.get("index"), call.get("id")
        target = self._last("tool_use") if key is None and not id else self._find(id if key is None else key)
        if target is None:
            self._seal(written)
            start: Json = {"type": "tool_use", "id": id or f"toolu_{self._id}_{key or 0}", "name": function.get("name") or "", "input": {}}
            extra = call.get("extra_content")
            ours = extra.get("anthropic") if isinstance(extra, dict) else None
            if isinstance(ours, dict) and "caller" in ours:
                start["caller"] = ours["caller"]
            target = self._start("tool_use", start, written, id if key is None else key)
        piece = function.get("arguments")
        if isinstance(piece, str) and piece:
            self._add(target, "tool_use", piece, written)

    def _find(self, key: Any) -> _Block | None:
        blocks = [self._open, *self._waiting] if self._open is not None else self._waiting
        return next((block for block in blocks if block.kind == "tool_use" and block.key == key), None)

    def _last(self, kind: str) -> _Block | None:
        """The block written to last, if it is of this kind."""
        last = self._waiting[-1] if self._waiting else self._open
        return last if last is not None and last.kind == kind else None

    def _piece(self, kind: str, piece: Any, written: list[bytes], delta: str = "") -> None:
        """Text, thinking or a citation: part of the last block if that is of the kind, else the beginning of a new one."""
        target = self._last(kind)
        if target is None or target.key == "signed":
            if kind != "thinking":
                self._seal(written)
            target = self._start(kind, dict(_EMPTY[kind]), written)
        self._add(target, delta or kind, piece, written)

    def _start(self, kind: str, start: Json, written: list[bytes], key: Any = None) -> _Block:
        """A new block, open if the one that is can be closed, waiting otherwise."""
        block = _Block(kind, start, key)
        if self._open is not None and not self._waiting and (self._open.kind != "tool_use" or _is_whole(self._open)):
            self._close(written)
        if self._open is None:
            self._show(block, written)
        else:
            self._waiting.append(block)
        return block

    def _add(self, block: _Block, kind: str, piece: Any, written: list[bytes]) -> None:
        if block is self._open:
            written.append(self._piece_event(kind, piece))
            if kind != "tool_use":
                return
        block.pieces.append((kind, piece))
        self._held += len(piece)
        if self._held > MAX_EVENT_BYTES:
            raise EventTooLarge(f"tool calls of more than {MAX_EVENT_BYTES} characters")

    def _show(self, block: _Block, written: list[bytes]) -> None:
        self._open = block
        self._index += 1
        start = {"type": "content_block_start", "index": self._index, "content_block": block.start}
        written.append(b"event: content_block_start\ndata: " + orjson.dumps(start) + b"\n\n")
        written.extend(self._piece_event(kind, piece) for kind, piece in block.pieces)

    def _close(self, written: list[bytes]) -> None:
        if self._open is not None:
            written.append(b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index)
            self._open = None

    def _piece_event(self, kind: str, piece: Any) -> bytes:
        head, tail = _DELTAS[kind]
        return b"%b%d%b%b%b" % (_DELTA_HEAD, self._index, head, orjson.dumps(piece), tail)

    def _message_start(self, chunk: Json) -> bytes:
        self._id = message_id(chunk.get("id") or self._id)
        message: Json = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": chunk.get("model") or self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": messages_usage(Usage()),  # known at the end; message_delta repeats all of it
        }
        return b"event: message_start\ndata: " + orjson.dumps({"type": "message_start", "message": message}) + b"\n\n"

    def _end(self, written: list[bytes]) -> None:
        if self._ended or not self._finish:
            return
        self._ended = True
        self._seal(written)
        self._close(written)
        for block in self._waiting:
            self._show(block, written)
            self._close(written)
        delta = ending(self._finish, self._choice, self._called, self._refusal)
        notes = notes_of(self._choice)
        if "container" in notes:
            delta["container"] = notes.pop("container")
        value = {"type": "message_delta", "delta": delta, "usage": {**messages_usage(self._usage), **self._tier}, **notes}
        written.append(b"event: message_delta\ndata: " + orjson.dumps(value) + b"\n\n" + _STOP)


def _is_whole(block: _Block) -> bool:
    """Whether a call's arguments are complete. A call that has none yet may still get some."""
    return isinstance(parsed("".join(str(piece) for _, piece in block.pieces).encode()), dict)

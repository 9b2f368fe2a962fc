"""Events of a stream that are no JSON objects: one that got damaged, a keep-alive of some server's own, rubbish.

One in which no piece of the answer can be seen is left out, and the answer goes on: whoever reads it could only fail at it. Each is
counted in `Progress.spoilt`. One that visibly held such a piece breaks the stream at its place: `Progress.error` is set, nothing of
it nor behind it goes on, for what is left would look whole and is not. So do more than `MAX_ROW` in a row, and an event too large to
be looked at. A stream that holds nothing else is an error, and one whose finish reason was in such an event has none. Where the
bytes go on as they are, the spoilt ones are cut out of a run of whole events; that is looked for only once one has been counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from edgegate.dialects.base import Json, Progress
from edgegate.dialects.failure import bad_reply
from edgegate.wire.sse import EventReader

MAX_ROW = 100
"""Spoilt events that may follow each other: more, and the stream is rubbish with an answer somewhere in it."""

_LOOKED_AT = 64 * 1024
"""Bytes of a spoilt event that are searched. What is larger is taken for a piece of the answer."""

_TEXTS = (
    "content|text|thinking|reasoning|reasoning_content|refusal|tool_plan|response"  # what is said and thought; `response`: Ollama
    "|delta"  # Responses has its pieces in it
    "|partial_json|arguments|args|input"  # of calls
    "|data|transcript|bytes"  # sound, pictures, thinking that is hidden
    "|signature|thoughtSignature|thought_signature|redactedContent|encrypted_content"  # without it thinking cannot be sent back
)
_THINGS = (
    "tool_calls|function_call|functionCall|toolUse|content_block"  # a call's name, the beginning of a block
    "|arguments|args|partialArgs|input"
    "|citation|citations|citationsContent|annotation|annotations|reasoning_details|thinking_blocks"
    "|image|images|inlineData|fileData|executableCode|codeExecutionResult|toolResult"
)
_ANSWER = re.compile(rf'"(?:(?:{_TEXTS})"\s*+:\s*+"[^"]|(?:{_THINGS})"\s*+:\s*+[\[{{]\s*+["{{])'.encode())
"""A string that is not empty under a key of an answer's content, or a list or an object that is not empty. A quote inside of a JSON
string has a backslash before it, so what is between bare quotes and has a colon behind it is a key."""

_LONE = re.compile("[\ud800-\udfff]")
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")


def document(data: bytes, progress: Progress) -> Json | None:
    """The JSON object of an event; None for a spoilt one, which `leave_out` has then judged: see there."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = readable(data)
    if type(value) is dict:
        return value
    leave_out(data, progress)
    return None


def readable(data: bytes) -> Any:
    """An event's JSON; None if it is none. What every client's parser reads is no damage although orjson refuses it: half of a
    surrogate pair, where a provider cut a text in the middle of an emoji, and `NaN`. Translated, the one becomes U+FFFD, the other null."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    if not is_odd(data):
        return None
    try:
        return _encodable(json.loads(data, parse_constant=lambda name: None))
    except (ValueError, RecursionError):
        return None


def is_odd(data: bytes) -> bool:
    """Whether JSON may be such as orjson refuses."""
    return b"\\u" in data or b"NaN" in data or b"Infinity" in data


def _encodable(value: Any) -> Any:
    """The same without lone surrogates."""
    if isinstance(value, str):
        return _LONE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(name): _encodable(item) for name, item in value.items()}
    return value


def leave_out(data: bytes, progress: Progress, *, repeats: bool = False) -> None:
    """Counts a spoilt event; or sets `progress.error`, after which the caller must let nothing more go on. `repeats`: it only says
    again what other events say. Blanks are a keep-alive and not counted."""
    if not data.strip():
        return
    if not repeats and holds_answer(data):
        progress.error = bad_reply("the provider's stream holds a damaged piece of the answer")
        return
    row = progress.spoilt_row + 1 if progress.events == progress.spoilt_at else 1
    progress.spoilt += 1
    progress.spoilt_row, progress.spoilt_at = row, progress.events
    if row > MAX_ROW and not progress.finished:
        progress.error = bad_reply(f"the provider's stream holds more than {MAX_ROW} events in a row that are no JSON")


def holds_answer(data: bytes) -> bool:
    """Whether a piece of an answer can be seen in the data of a spoilt event. JSON inside of a JSON string counts as well: an event
    that was encoded twice."""
    if len(data) > _LOOKED_AT or _ANSWER.search(data) is not None:
        return True
    return b'\\"' in data and _ANSWER.search(data.replace(b'\\"', b'"')) is not None


def sound_size(documents: Sequence[bytes], size: Callable[[Json], int]) -> int:
    """How much of the answer is in these, by `size` of one; -1 unless each is a JSON object."""
    found = 0
    for text in documents:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            value = readable(text)
        if type(value) is not dict:
            return -1
        found += size(value)
    return found


def check_end(progress: Progress) -> None:
    """Called where a stream ends: if all that came was spoilt, that is its error."""
    if progress.spoilt and not progress.started and progress.error is None:
        progress.error = bad_reply("the provider's stream holds nothing but events that are no JSON")


def events_of(run: bytes) -> Iterator[bytes]:
    """A run of whole events, each with its blank line; last what is behind the last of these, if anything."""
    start = 0
    if b"\r" in run:
        for blank in _BLANK_LINE.finditer(run):
            yield run[start : blank.end()]
            start = blank.end()
    else:
        while (end := run.find(b"\n\n", start)) >= 0:
            yield run[start : end + 2]
            start = end + 2
    if start < len(run):
        yield run[start:]


def frames_of(run: bytes) -> Iterator[bytes]:
    """A run of whole AWS frames, one by one."""
    at = 0
    while at < len(run):
        end = at + max(int.from_bytes(run[at : at + 4], "big"), 1)
        yield run[at:end]
        at = end


def start_of_event(run: bytes, number: int) -> int:
    """Where event `number` of a run of whole events begins, counted as `EventReader` gives them."""
    start = 0
    reader = EventReader()
    for block in events_of(run):
        if number == 0:
            break
        number -= len(reader.feed(block))
        start += len(block)
    return start


def sound_events(run: bytes, *, done: bool = True) -> bytes:
    """The server-sent events of a run that can be read; comments and events without data stay. `done`: so does `[DONE]`."""

    def reads(data: bytes) -> bool:
        return type(readable(data)) is dict or (done and data.startswith(b"[DONE]"))

    return b"".join([block for block in events_of(run) if all(reads(event.data) for event in EventReader().feed(block))])


def sound_lines(run: bytes) -> bytes:
    """The lines of a run that can be read; blank ones stay."""
    return b"".join([line for line in run.splitlines(keepends=True) if not line.strip() or type(readable(line)) is dict])

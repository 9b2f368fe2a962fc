"""The stream of the Responses API -> chat SSE.

Its events come in pairs: deltas, then the same once more as a whole (`*.done`, `output_item.done`, and all of the output in
`response.completed`). Not every vendor writes them all, so each thing is taken from the first event that has it (see
`telling.py`). The stream is over with `response.completed` or `response.incomplete`: without one of them an answer is not
whole, whatever else came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import DONE
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.openai.stray import EventStream
from edgegate.dialects.responses.faults import ended_early, event_failure
from edgegate.dialects.responses.output import CALLS, finish_of, id_of, kind_of
from edgegate.dialects.responses.signs import ENDS, PINGS, document, ended, kind_of_event, means_something, note_response, output_of
from edgegate.dialects.responses.telling import Part, Telling
from edgegate.dialects.spoilt import check_end
from edgegate.taps import Outcome
from edgegate.wire.sse import Event, EventReader


class ResponsesStream(EventStream):
    """States: not begun (the body may prove to be no event stream, see `openai/stray.py`); running; over (the response has
    ended or failed: nothing goes on). `_part` is the one of the last piece of text, whose place is `_part_key`."""

    __slots__ = ("_ask", "_part", "_part_key", "_reader", "_telling")

    def __init__(self, ask: Ask, progress: Progress) -> None:
        self._ask = ask
        super().__init__(progress)
        self._reader = EventReader()
        self._telling = Telling(ask)
        self._part: Part | None = None
        self._part_key: tuple[Any, ...] = ()

    def _read(self, data: bytes) -> bytes:
        return b"".join([self._event(event) for event in self._reader.feed(data)])

    def end(self, outcome: Outcome) -> bytes:
        if not self._begun():
            return b""
        if outcome is not Outcome.OK:
            return b""
        out = b"".join(
            [self._event(event) for event in self._reader.end() if event.data[:6] == b"[DONE]" or parsed(event.data) is not None]
        )
        check_end(self._progress)
        return out

    def _event(self, event: Event) -> bytes:
        if self._over:
            return b""
        progress = self._progress
        if event.data.startswith(b"[DONE]"):  # imitators write it behind the end, never in its place
            self._over = True
            check_end(progress)
            progress.error = progress.error or ended_early()
            return b""
        value = document(event, progress)
        if value is None:
            self._over = progress.error is not None
            return b""
        kind = kind_of_event(value, event)
        if kind in PINGS:
            return b""
        progress.events += 1
        if not progress.started and means_something(kind, value):
            progress.started = True
        handler = HANDLERS.get(kind)
        if handler is None:
            return b""
        out = handler(self, value)
        progress.text_bytes = self._telling.size
        return out

    def _response(self, value: Json) -> bytes:
        response = note_response(value.get("response"), self._progress)
        self._telling.name(response, self._progress.model)
        return b""

    def _end(self, value: Json) -> bytes:
        """Whatever the events before have not said, then the end of the answer."""
        self._response(value)
        self._over = True
        progress, telling = self._progress, self._telling
        response, error = ended(value)
        if error is not None:
            progress.error = error
            return b""
        items = output_of(response)
        if not items and not progress.started and response.get("status") != "incomplete":
            progress.error = bad_reply("The provider's answer has no output.")
            return b""
        out = b"".join([self._missed(item, index) for index, item in enumerate(items)])
        progress.started = progress.finished = True
        progress.finish_reason = finish_of(response, telling.calls > 0)
        out += telling.lead() if telling.places else telling.role()
        out += telling.places_told() + telling.writer.finish(progress.finish_reason)
        if self._ask.include_usage and progress.usage.reported:
            out += telling.writer.usage(progress.usage)
        return out + DONE

    def _missed(self, raw: Json, index: int) -> bytes:
        """An item of the finished response. If nothing like it was said it is now. Ids and places are not trusted to tell an
        item from one that was told: to say a thing twice is worse than to leave out one that only came at the end."""
        telling = self._telling
        kind = kind_of(raw)
        item = telling.found(raw, index)
        if item is not None and item.kind == kind:
            return telling.finish(item, raw)
        if kind == "message":
            new = not telling.length and not telling.refused
        elif kind in CALLS:
            new = id_of(raw.get("call_id")) not in telling.call_ids
        elif kind == "reasoning":
            new = not telling.thought and not telling.detailed
        else:
            new = kind not in ("", "other message") and not any(known.kind == kind and known.done for known in telling.items())
        return telling.finish(telling.begin(raw, index), raw) if new else b""

    def _error(self, value: Json) -> bytes:
        self._over = True
        self._progress.error = event_failure(value)
        return b""

    def _added(self, value: Json) -> bytes:
        raw = value.get("item")
        if not isinstance(raw, dict) or not kind_of(raw):
            return b""
        item = self._telling.found({**raw, "type": kind_of(raw)}, None) or self._telling.begin(raw, value.get("output_index"))
        if item.kind in CALLS and item.number < 0 and id_of(raw.get("name")):
            return self._telling.call(item, raw)
        return b""

    def _item_done(self, value: Json) -> bytes:
        raw = value.get("item")
        if not isinstance(raw, dict) or kind_of(raw) in ("", "other message"):
            return b""
        index = value.get("output_index")
        return self._telling.finish(self._telling.found(raw, index) or self._telling.begin(raw, index), raw)

    def _text(self, value: Json) -> bytes:
        piece = value.get("delta")
        if type(piece) is not str or not piece:
            return b""
        key = (value.get("item_id"), value.get("output_index"), value.get("content_index"))
        part = self._part
        if part is None or key != self._part_key:
            part = self._part = self._part_of(value)
            self._part_key = key
        return self._telling.text(part, piece, value.get("logprobs"))

    def _part_of(self, value: Json) -> Part:
        return self._telling.concerned(value, "message").part("text", value.get("content_index"), self._telling.length)

    def _refusal(self, value: Json) -> bytes:
        piece = value.get("delta")
        return self._telling.refusal(self._part_of(value), piece) if type(piece) is str and piece else b""

    def _text_done(self, value: Json) -> bytes:
        kind = "refusal" if "refusal" in value else "output_text"
        return self._whole_part(value, {**value, "type": kind})

    def _part_done(self, value: Json) -> bytes:
        part = value.get("part")
        if not isinstance(part, dict) or part.get("type") not in ("output_text", "text", "refusal"):
            return b""  # a reasoning item's text: it comes with the item
        return self._whole_part(value, part)

    def _whole_part(self, value: Json, part: Json) -> bytes:
        return self._telling.whole_part(self._telling.concerned(value, "message"), value.get("content_index"), part)

    def _annotation(self, value: Json) -> bytes:
        note = value.get("annotation")
        return self._telling.annotation(self._part_of(value), note) if isinstance(note, dict) else b""

    def _summary(self, value: Json) -> bytes:
        return self._think(value, "summary", value.get("summary_index"), value.get("delta"), whole=False)

    def _summary_done(self, value: Json) -> bytes:
        return self._think(value, "summary", value.get("summary_index"), value.get("text"), whole=True)

    def _reasoning(self, value: Json) -> bytes:
        return self._think(value, "content", value.get("content_index"), value.get("delta"), whole=False)

    def _reasoning_done(self, value: Json) -> bytes:
        return self._think(value, "content", value.get("content_index"), value.get("text"), whole=True)

    def _think(self, value: Json, kind: str, at: Any, text: Any, *, whole: bool) -> bytes:
        if type(text) is not str or not text:
            return b""
        return self._telling.thinking(self._telling.concerned(value, "reasoning"), kind, at, text, whole=whole)

    def _arguments(self, value: Json) -> bytes:
        return self._argument(value, "function_call")

    def _input(self, value: Json) -> bytes:
        return self._argument(value, "custom_tool_call")

    def _argument(self, value: Json, kind: str) -> bytes:
        piece = value.get("delta")
        item = self._telling.concerned(value, kind)
        if type(piece) is not str or not piece or item.number < 0:
            return b""  # without a name it is no call yet: the finished item will have both
        return self._telling.argument(item, piece)

    def _arguments_done(self, value: Json) -> bytes:
        return self._argument_done(value, "function_call")

    def _input_done(self, value: Json) -> bytes:
        return self._argument_done(value, "custom_tool_call")

    def _argument_done(self, value: Json, kind: str) -> bytes:
        item = self._telling.concerned(value, kind)
        text = value.get(CALLS[kind])
        return self._telling.whole_argument(item, text) if isinstance(text, str) and item.number >= 0 else b""


HANDLERS: Mapping[str, Callable[[ResponsesStream, Json], bytes]] = {
    "response.output_text.delta": ResponsesStream._text,
    "response.function_call_arguments.delta": ResponsesStream._arguments,
    "response.created": ResponsesStream._response,
    "response.queued": ResponsesStream._response,
    "response.in_progress": ResponsesStream._response,
    **dict.fromkeys(ENDS, ResponsesStream._end),
    "error": ResponsesStream._error,
    "response.error": ResponsesStream._error,
    "response.output_item.added": ResponsesStream._added,
    "response.output_item.done": ResponsesStream._item_done,
    "response.content_part.done": ResponsesStream._part_done,
    "response.output_text.done": ResponsesStream._text_done,
    "response.output_text.annotation.added": ResponsesStream._annotation,
    "response.refusal.delta": ResponsesStream._refusal,
    "response.refusal.done": ResponsesStream._text_done,
    "response.function_call_arguments.done": ResponsesStream._arguments_done,
    "response.custom_tool_call_input.delta": ResponsesStream._input,
    "response.custom_tool_call_input.done": ResponsesStream._input_done,
    "response.reasoning_summary_text.delta": ResponsesStream._summary,
    "response.reasoning_summary_text.done": ResponsesStream._summary_done,
    "response.reasoning_text.delta": ResponsesStream._reasoning,
    "response.reasoning_text.done": ResponsesStream._reasoning_done,
}
"""What is done with the events that say something. The others only accompany an item that comes whole at its end: parts that
begin (`content_part.added`, `reasoning_summary_part.*`), the vendor's tools at work (`web_search_call.*`, `mcp_*`, ...),
pictures on their way (`image_generation_call.partial_image`), audio, which is never asked for."""

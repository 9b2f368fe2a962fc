"""The tap that writes chat chunks as a Responses event stream.

`response.completed` or `response.incomplete` is written on `[DONE]` or by `end(OK)`, and only if a finish reason has come.

States: before the first chunk (`_response` is empty); running; ended.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import dicts, read_usage
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.responses.answer import custom_names, logprobs_of
from edgegate.dialects.responses.assembly import Assembly, ours_of
from edgegate.dialects.responses.breaking import tell
from edgegate.dialects.responses.events import Events
from edgegate.dialects.responses.shape import core_of, ended, skeleton
from edgegate.taps import Outcome
from edgegate.wire.sse import EventReader, EventTooLarge


class Encode:
    __slots__ = ("_assembly", "_ended", "_events", "_finish", "_id", "_reader", "_request", "_response", "_tier", "_usage")

    def __init__(self, request: Json, id: str) -> None:
        self._request = request
        self._id = id
        self._reader = EventReader()
        self._events = Events()
        self._assembly = Assembly(self._events, core_of(id), custom_names(request))
        self._response: Json = {}
        self._usage = Usage()
        self._finish = ""
        self._tier: Any = None
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        try:
            for event in self._reader.feed(data):
                if event.data == b"[DONE]":
                    self._end()
                elif not self._ended:
                    chunk = parsed(event.data)
                    if isinstance(chunk, dict):
                        self._chunk(chunk)
        except EventTooLarge as error:
            if not self._ended:
                self._ended = True
                response = self._response or skeleton(self._request, self._id, 0, "")
                tell(self._events, bad_reply(f"the provider's stream holds {error}"), response)
        return self._events.taken()

    def end(self, outcome: Outcome) -> bytes:
        if outcome is Outcome.OK:
            self._end()
        return self._events.taken()

    def _chunk(self, chunk: Json) -> None:
        if not self._response:
            self._begin(chunk)
        if chunk.get("usage") is not None:
            read_usage(chunk["usage"], self._usage)
        if chunk.get("service_tier") is not None:
            self._tier = chunk["service_tier"]
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or choice.get("index"):  # one choice is all that a response can hold
            return
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._delta(delta, choice.get("logprobs"))
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason and not self._finish:
            self._finish = reason

    def _begin(self, chunk: Json) -> None:
        id = chunk.get("id") or self._id
        self._response = skeleton(self._request, id, chunk.get("created"), chunk.get("model"))
        self._assembly = Assembly(self._events, core_of(id), custom_names(self._request))
        for name in ("response.created", "response.in_progress"):
            self._events.say(name, response=self._response)

    def _delta(self, delta: Json, logprobs: Any) -> None:
        assembly = self._assembly
        content = delta.get("content")
        if len(delta) > 1 or not isinstance(content, str):  # nearly always it is a piece of text and nothing else
            self._before(delta)
        if isinstance(content, str) and content:
            assembly.text(content, logprobs_of(logprobs) if logprobs else None)
        if len(delta) > 1 or content is None:
            self._behind(delta)

    def _before(self, delta: Json) -> None:
        """What stands in front of the text that comes with it."""
        assembly = self._assembly
        reasoning = delta.get("reasoning_content")
        if isinstance(reasoning, str) and reasoning:
            assembly.think(reasoning)
        if delta.get("thinking_blocks") or delta.get("reasoning_details"):
            assembly.carry({name: delta.get(name) for name in ("thinking_blocks", "reasoning_details")})
        ours = ours_of(delta)
        if ours:
            assembly.note(ours)

    def _behind(self, delta: Json) -> None:
        assembly = self._assembly
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            assembly.refuse(refusal)
        for note in dicts(delta.get("annotations")):
            assembly.annotate(note)
        items = dicts(delta.get("provider_items"))
        for item in items:
            assembly.other(item)
        for image in [] if items else dicts(delta.get("images")):  # the items hold the pictures already
            assembly.picture(image)
        for at, call in enumerate(dicts(delta.get("tool_calls"))):
            assembly.call(call, at)
        if isinstance(delta.get("extra_content"), dict):
            assembly.carry({"extra_content": delta["extra_content"]})

    def _end(self) -> None:
        if self._ended or not self._finish:
            return
        self._ended = True
        self._assembly.finish(incomplete=self._finish in ("length", "content_filter"))
        response = ended(self._response, self._finish, self._assembly.output, self._usage, self._tier)
        self._events.say(f"response.{response['status']}", response=response)

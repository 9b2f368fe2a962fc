"""The tap that writes chat chunks as Ollama's stream: one JSON object a line.

Text and thinking go out as they come. Tool calls come in pieces and go out whole, in a line of their own before the last one.
The last line, `done: true` with the counts, is written on `[DONE]` or by `end(OK)`, and only if a finish reason has come. A call
whose arguments turn out to be no object ends the stream with an error line: an app would run the tool with something else.

States: before the first chunk (`_head` is empty); running; ended.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import read_usage
from edgegate.dialects.encoding import ChatEncoder
from edgegate.dialects.ollama.answer import call_of, ending, inline, markdown, numbered, pictures, tokens_of
from edgegate.dialects.ollama.words import error_body, timestamp, unbroken
from edgegate.errors import GatewayError
from edgegate.taps import Outcome

_GOING_ON = b',"done":false}\n'


class Encode(ChatEncoder):
    """`generate`: in the words of `/api/generate`, which has the message's fields at the top, the text as `response`."""

    __slots__ = ("_calls", "_finish", "_generate", "_head", "_model", "_text", "_text_end", "_usage")

    def __init__(self, model: str, *, generate: bool = False) -> None:
        super().__init__()
        self._model = model
        self._generate = generate
        self._usage = Usage()
        self._calls: dict[Any, Json] = {}
        self._head = self._text = b""
        self._text_end = _GOING_ON if generate else b"}" + _GOING_ON
        self._finish = ""

    def feed(self, data: bytes) -> bytes:
        return unbroken(super().feed(data))

    def end(self, outcome: Outcome) -> bytes:
        return unbroken(super().end(outcome))

    def _failed(self, error: GatewayError) -> bytes:
        return error_body(error) + b"\n"

    def _chunk(self, chunk: Json, written: list[bytes]) -> None:
        if not self._head:
            model = chunk.get("model")
            names = {"model": model if isinstance(model, str) and model else self._model, "created_at": timestamp(chunk.get("created"))}
            self._head = orjson.dumps(names)[:-1] + b","
            self._text = self._head + (b'"response":' if self._generate else b'"message":{"role":"assistant","content":')
        if chunk.get("usage") is not None:
            read_usage(chunk["usage"], self._usage)
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or choice.get("index"):  # one choice is all that a reply can hold
            return
        delta, reason = choice.get("delta"), choice.get("finish_reason")
        if isinstance(delta, dict):
            self._delta(delta, choice, written)
        if reason and not self._finish:
            self._finish = str(reason)

    def _delta(self, delta: Json, choice: Json, written: list[bytes]) -> None:
        reasoning, content, refusal = delta.get("reasoning_content"), delta.get("content"), delta.get("refusal")
        tokens = tokens_of(choice) if choice.get("logprobs") else []
        if isinstance(reasoning, str) and reasoning:
            written.append(self._line({"thinking": reasoning}))
        for text in (content, refusal):
            if isinstance(text, str) and text:
                if tokens:
                    written.append(self._line({}, text, {"logprobs": tokens}))
                    tokens = []
                else:
                    written.append(self._text + orjson.dumps(text) + self._text_end)
        if tokens:
            written.append(self._line({}, "", {"logprobs": tokens}))
        if delta.get("images"):
            self._images(pictures(delta), written)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._call(call)

    def _images(self, urls: list[str], written: list[bytes]) -> None:
        if not self._generate:
            written += [self._line({}, markdown(url)) for url in urls]
        elif image := inline(urls):
            written.append(self._line({"image": image}))

    def _line(self, beside: Json, text: str = "", more: Json | None = None) -> bytes:
        said: Json = {"response": text, **beside} if self._generate else {"message": {"role": "assistant", "content": text, **beside}}
        return self._head + orjson.dumps({**said, **(more or {}), "done": False})[1:] + b"\n"

    def _call(self, call: Json) -> None:
        """A piece of a call. Its index tells which; where there is none, an id begins a new one."""
        key, id = call.get("index"), call.get("id")
        if key is None:
            key = id or next(reversed(self._calls), 0)
        elif not isinstance(key, int):
            key = str(key)
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        target = self._calls.setdefault(key, {"id": id, "function": {"name": None, "arguments": []}})
        target["id"] = target["id"] or id
        target["function"]["name"] = target["function"]["name"] or function.get("name")
        if isinstance(function.get("arguments"), str):
            target["function"]["arguments"].append(function["arguments"])

    def _end(self, written: list[bytes]) -> None:
        if self._ended or not self._finish:
            return
        calls: list[Json] = []
        for given in self._calls.values():
            arguments = "".join(given["function"]["arguments"])
            try:
                call = call_of({**given, "function": {"name": given["function"]["name"], "arguments": arguments}}, self._finish)
            except GatewayError as error:
                self._fail(error, written)
                return
            if call is not None:
                calls.append(call)
        if calls:
            written.append(self._line({"tool_calls": numbered(calls)}))
        self._ended = True
        said: Json = {"response": ""} if self._generate else {"message": {"role": "assistant", "content": ""}}
        written.append(self._head + orjson.dumps({**said, **ending(self._finish, self._usage)})[1:] + b"\n")

    def _fail(self, error: GatewayError, written: list[bytes]) -> None:
        self._ended = True
        written.append(error_body(error) + b"\n")

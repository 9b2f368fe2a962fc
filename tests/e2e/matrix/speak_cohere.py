"""The cohere SDK: v2 chat."""

from __future__ import annotations

import base64
from typing import Any

import cohere
import httpx
from cohere.core.api_error import ApiError

from tests.e2e.matrix.speaking import Heard, Last, Said, parsed

FINISH = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "TOOL_CALL": "tool_calls", "MAX_TOKENS": "length"}


class CohereSpeaker:
    name = "Cohere v2"

    def __init__(self, url: str) -> None:
        self.last = Last()
        self.sdk = cohere.ClientV2(api_key="unused", base_url=url, httpx_client=self.last.client(httpx), max_retries=0)

    def status(self, error: Exception) -> int | None:
        return error.status_code if isinstance(error, ApiError) else None

    def user(self, text: str, png: bytes = b"") -> Any:
        if not png:
            return {"role": "user", "content": text}
        url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        return {"role": "user", "content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]}

    def results(self, heard: Heard, results: list[str]) -> list[Any]:
        return [{"role": "tool", "tool_call_id": id, "content": text} for id, text in zip(heard.call_ids, results, strict=True)]

    def ask(self, model: str, messages: list[Any], said: Said, stream: bool) -> Heard:
        request: dict[str, Any] = {"model": model, "messages": messages}
        if said.system:
            request["messages"] = [{"role": "system", "content": said.system}, *messages]
        if said.tools:
            request["tools"] = [
                {"type": "function", "function": {"name": tool.name, "description": "A tool.", "parameters": tool.schema}}
                for tool in said.tools
            ]
        if said.schema is not None:
            request["response_format"] = {"type": "json_object", "json_schema": said.schema}
        if said.think:
            request["thinking"] = {"type": "enabled", "token_budget": 1024}
        if said.stop:
            request["stop_sequences"] = [said.stop]
        if said.max_tokens is not None:
            request["max_tokens"] = said.max_tokens
        return self._streamed(request) if stream else _plain(self.sdk.chat(**request))

    def _streamed(self, request: dict[str, Any]) -> Heard:
        heard = Heard()
        calls: dict[int, list[str]] = {}
        plan = ""
        event: Any
        for event in self.sdk.chat_stream(**request):
            if event.type == "content-delta":
                content = event.delta.message.content
                heard.text += content.text or ""
                heard.thinking += content.thinking or ""
            elif event.type == "tool-plan-delta":
                plan += event.delta.message.tool_plan or ""
            elif event.type == "tool-call-start":
                call = event.delta.message.tool_calls
                calls[event.index] = [call.id, call.function.name, call.function.arguments or ""]
            elif event.type == "tool-call-delta":
                calls[event.index][2] += event.delta.message.tool_calls.function.arguments
            elif event.type == "message-end":
                heard.finish = FINISH[event.delta.finish_reason]
                _usage(heard, event.delta.usage)
        for id, name, arguments in calls.values():
            heard.calls.append((name, parsed(arguments)))
            heard.call_ids.append(id)
        made = [{"id": id, "type": "function", "function": {"name": name, "arguments": text}} for id, name, text in calls.values()]
        turn: dict[str, Any] = {"role": "assistant"}
        if heard.text:
            turn["content"] = heard.text
        if made:
            turn["tool_calls"] = made
        if plan:
            turn["tool_plan"] = plan
        heard.turn = [turn]
        return heard


def _plain(reply: Any) -> Heard:
    message = reply.message
    heard = Heard(finish=FINISH[reply.finish_reason])
    for part in message.content or []:
        if part.type == "text":
            heard.text += part.text
        elif part.type == "thinking":
            heard.thinking += part.thinking
    for call in message.tool_calls or []:
        heard.calls.append((call.function.name, parsed(call.function.arguments)))
        heard.call_ids.append(call.id)
    turn: dict[str, Any] = {"role": "assistant"}
    if message.content:
        turn["content"] = message.content
    if message.tool_calls:
        turn["tool_calls"] = message.tool_calls
    if message.tool_plan:
        turn["tool_plan"] = message.tool_plan
    heard.turn = [turn]
    _usage(heard, reply.usage)
    return heard


def _usage(heard: Heard, usage: Any) -> None:
    if usage is not None and usage.tokens is not None:
        heard.input_tokens, heard.output_tokens = int(usage.tokens.input_tokens or 0), int(usage.tokens.output_tokens or 0)

"""The anthropic SDK: messages."""

from __future__ import annotations

import base64
from typing import Any

import anthropic
import httpx2

from tests.e2e.matrix.speaking import Heard, Last, Said

FINISH = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter"}


class MessagesSpeaker:
    name = "Anthropic messages"

    def __init__(self, url: str) -> None:
        self.last = Last()
        self.sdk = anthropic.Anthropic(base_url=url, api_key="unused", max_retries=0, http_client=self.last.client(httpx2))

    def status(self, error: Exception) -> int | None:
        return error.status_code if isinstance(error, anthropic.APIStatusError) else None

    def user(self, text: str, png: bytes = b"") -> Any:
        if not png:
            return {"role": "user", "content": text}
        source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png).decode()}
        return {"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": text}]}

    def results(self, heard: Heard, results: list[str]) -> list[Any]:
        blocks = [{"type": "tool_result", "tool_use_id": id, "content": text} for id, text in zip(heard.call_ids, results, strict=True)]
        return [{"role": "user", "content": blocks}]

    def ask(self, model: str, messages: list[Any], said: Said, stream: bool) -> Heard:
        request: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": said.max_tokens or 8000}
        if said.system:
            request["system"] = said.system
        if said.tools:
            request["tools"] = [{"name": tool.name, "description": "A tool.", "input_schema": tool.schema} for tool in said.tools]
        if said.schema is not None:
            request["output_config"] = {"format": {"type": "json_schema", "schema": said.schema}}
        if said.think:
            request["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        if said.stop:
            request["stop_sequences"] = [said.stop]
        if not stream:
            reply: Any = self.sdk.messages.create(**request)
        else:
            with self.sdk.messages.stream(**request) as events:
                reply = events.get_final_message()
        heard = Heard(finish=FINISH[reply.stop_reason])
        blocks = []
        for block in reply.content:
            blocks.append(block.to_dict(exclude_none=True))
            blocks[-1].pop("parsed_output", None)
            if block.type == "text":
                heard.text += block.text
            elif block.type == "thinking":
                heard.thinking += block.thinking
            elif block.type == "tool_use":
                heard.calls.append((block.name, block.input))
                heard.call_ids.append(block.id)
        heard.turn = [{"role": "assistant", "content": blocks}]
        usage = reply.usage
        heard.input_tokens = usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        heard.output_tokens = usage.output_tokens
        return heard

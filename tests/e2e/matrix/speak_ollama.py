"""The ollama SDK: /api/chat."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import ollama

from tests.e2e.matrix.speaking import TIMEOUT_S, Heard, Last, Said


class OllamaSpeaker:
    name = "Ollama"

    def __init__(self, url: str) -> None:
        self.last = Last()
        self.sdk = ollama.Client(host=url, timeout=TIMEOUT_S, trust_env=False, event_hooks={"response": [self.last]})

    def status(self, error: Exception) -> int | None:
        if isinstance(error, httpx.HTTPStatusError):
            return error.response.status_code
        return error.status_code if isinstance(error, ollama.ResponseError) else None

    def user(self, text: str, png: bytes = b"") -> Any:
        images = {"images": [base64.b64encode(png).decode()]} if png else {}
        return {"role": "user", "content": text, **images}

    def results(self, heard: Heard, results: list[str]) -> list[Any]:
        return [{"role": "tool", "content": text, "tool_name": name} for (name, _), text in zip(heard.calls, results, strict=True)]

    def ask(self, model: str, messages: list[Any], said: Said, stream: bool) -> Heard:
        options: dict[str, Any] = {}
        request: dict[str, Any] = {"model": model, "messages": messages}
        if said.system:
            request["messages"] = [{"role": "system", "content": said.system}, *messages]
        if said.tools:
            request["tools"] = [
                {"type": "function", "function": {"name": tool.name, "description": "A tool.", "parameters": tool.schema}}
                for tool in said.tools
            ]
        if said.schema is not None:
            request["format"] = said.schema
        if said.think:
            request["think"] = True
        if said.stop:
            options["stop"] = [said.stop]
        if said.max_tokens is not None:
            options["num_predict"] = said.max_tokens
        lines = list(self.sdk.chat(**request, options=options, stream=True)) if stream else [self.sdk.chat(**request, options=options)]
        heard = Heard()
        calls: list[Any] = []
        for line in lines:
            heard.text += line.message.content or ""
            heard.thinking += line.message.thinking or ""
            calls += line.message.tool_calls or []
        last = lines[-1]
        assert last.done, "the stream had no end"
        heard.calls = [(call.function.name, dict(call.function.arguments)) for call in calls]
        heard.call_ids = ["" for _ in calls]
        heard.finish = "tool_calls" if calls and last.done_reason == "stop" else str(last.done_reason)
        heard.input_tokens, heard.output_tokens = last.prompt_eval_count, last.eval_count
        heard.turn = [ollama.Message(role="assistant", content=heard.text, tool_calls=calls or None, thinking=heard.thinking or None)]
        return heard

"""The google-genai SDK: generateContent."""

from __future__ import annotations

from typing import Any

import httpx
from google import genai
from google.genai import errors, types

from tests.e2e.matrix.speaking import Heard, Last, Said

FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}


class GeminiSpeaker:
    name = "Gemini"

    def __init__(self, url: str) -> None:
        self.last = Last()
        options = types.HttpOptions(base_url=url, httpx_client=self.last.client(httpx))
        self.sdk = genai.Client(api_key="unused", http_options=options)

    def status(self, error: Exception) -> int | None:
        return int(error.code) if isinstance(error, errors.APIError) else None

    def user(self, text: str, png: bytes = b"") -> Any:
        parts = [types.Part(text=text)]
        if png:
            parts.append(types.Part.from_bytes(data=png, mime_type="image/png"))
        return types.Content(role="user", parts=parts)

    def results(self, heard: Heard, results: list[str]) -> list[Any]:
        parts = []
        for (name, _), id, text in zip(heard.calls, heard.call_ids, results, strict=True):
            response = types.FunctionResponse(id=id or None, name=name, response={"result": text})
            parts.append(types.Part(function_response=response))
        return [types.Content(role="user", parts=parts)]

    def ask(self, model: str, messages: list[Any], said: Said, stream: bool) -> Heard:
        config: dict[str, Any] = {}
        if said.system:
            config["system_instruction"] = said.system
        if said.tools:
            declared = [
                types.FunctionDeclaration(name=tool.name, description="A tool.", parameters_json_schema=tool.schema) for tool in said.tools
            ]
            config["tools"] = [types.Tool(function_declarations=declared)]
            config["automatic_function_calling"] = types.AutomaticFunctionCallingConfig(disable=True)
        if said.schema is not None:
            config |= {"response_mime_type": "application/json", "response_json_schema": said.schema}
        if said.think:
            config["thinking_config"] = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
        if said.stop:
            config["stop_sequences"] = [said.stop]
        if said.max_tokens is not None:
            config["max_output_tokens"] = said.max_tokens
        request: dict[str, Any] = {"model": model, "contents": messages, "config": types.GenerateContentConfig(**config)}
        replies = list(self.sdk.models.generate_content_stream(**request)) if stream else [self.sdk.models.generate_content(**request)]
        return heard_of(replies)


def heard_of(replies: list[types.GenerateContentResponse]) -> Heard:
    """What the replies of one stream, or a single plain one, say together."""
    heard = Heard()
    parts: list[types.Part] = []
    for reply in replies:
        usage = reply.usage_metadata
        if usage is not None:
            heard.input_tokens = usage.prompt_token_count or heard.input_tokens
            heard.output_tokens = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        for candidate in reply.candidates or []:
            if candidate.finish_reason is not None:
                heard.finish = FINISH[candidate.finish_reason.value]
            parts += (candidate.content.parts if candidate.content else None) or []
    for part in parts:
        if part.function_call is not None:
            heard.calls.append((part.function_call.name or "", part.function_call.args))
            heard.call_ids.append(part.function_call.id or "")
        elif part.text and part.thought:
            heard.thinking += part.text
        elif part.text:
            heard.text += part.text
    if heard.calls and heard.finish == "stop":
        heard.finish = "tool_calls"
    heard.turn = [types.Content(role="model", parts=parts)]
    return heard

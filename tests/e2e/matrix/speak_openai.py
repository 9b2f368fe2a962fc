"""The openai SDK: chat completions and Responses."""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import openai

from tests.e2e.matrix.speaking import Heard, Last, Said, parsed


class _OpenAI:
    name = ""

    def __init__(self, url: str) -> None:
        self.last = Last()
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, http_client=self.last.client(httpx2))

    def status(self, error: Exception) -> int | None:
        return error.status_code if isinstance(error, openai.APIStatusError) else None


class ChatSpeaker(_OpenAI):
    name = "OpenAI chat"

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
            request["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": said.schema, "strict": True}}
        if said.think:
            request["reasoning_effort"] = "low"
        if said.stop:
            request["stop"] = said.stop
        if said.max_tokens is not None:
            request["max_completion_tokens"] = said.max_tokens
        message = self._streamed(request) if stream else self.sdk.chat.completions.create(**request)
        (choice,) = message.choices
        extra = choice.message.model_extra or {}
        heard = Heard(
            choice.message.content or "", extra.get("reasoning_content") or extra.get("reasoning") or "", finish=str(choice.finish_reason)
        )
        turn: dict[str, Any] = {"role": "assistant", "content": choice.message.content}
        for call in choice.message.tool_calls or []:
            assert call.type == "function"
            heard.calls.append((call.function.name, parsed(call.function.arguments)))
            heard.call_ids.append(call.id)
        if heard.calls:
            turn["tool_calls"] = [
                {name: value for name, value in call.to_dict().items() if name in ("id", "type", "function", "extra_content")}
                for call in choice.message.tool_calls or []
            ]
            for call in turn["tool_calls"]:
                call["function"] = {name: call["function"][name] for name in ("name", "arguments")}
        turn |= {
            name: extra[name] for name in ("reasoning_content", "thinking_blocks", "reasoning_details", "extra_content") if extra.get(name)
        }
        heard.turn = [turn]
        if message.usage is not None:
            heard.input_tokens, heard.output_tokens = message.usage.prompt_tokens, message.usage.completion_tokens
        return heard

    def _streamed(self, request: dict[str, Any]) -> Any:
        """What the SDK makes of the whole stream. It takes an answer that was cut short for an error, which holds the answer."""
        try:
            with self.sdk.chat.completions.stream(**request, stream_options={"include_usage": True}) as events:
                return events.get_final_completion()
        except openai.LengthFinishReasonError as error:
            return error.completion


class ResponsesSpeaker(_OpenAI):
    name = "OpenAI Responses"

    def user(self, text: str, png: bytes = b"") -> Any:
        content: list[Any] = [{"type": "input_text", "text": text}]
        if png:
            url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
            content.append({"type": "input_image", "image_url": url, "detail": "auto"})
        return {"role": "user", "content": content}

    def results(self, heard: Heard, results: list[str]) -> list[Any]:
        return [{"type": "function_call_output", "call_id": id, "output": text} for id, text in zip(heard.call_ids, results, strict=True)]

    def ask(self, model: str, messages: list[Any], said: Said, stream: bool) -> Heard:
        request: dict[str, Any] = {"model": model, "input": messages, "store": False}
        if said.system:
            request["instructions"] = said.system
        if said.tools:
            request["tools"] = [
                {"type": "function", "name": tool.name, "description": "A tool.", "parameters": tool.schema, "strict": False}
                for tool in said.tools
            ]
        if said.schema is not None:
            request["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": said.schema, "strict": True}}
        if said.think:
            request["reasoning"] = {"effort": "low", "summary": "auto"}
            request["include"] = ["reasoning.encrypted_content"]
        if said.max_tokens is not None:
            request["max_output_tokens"] = said.max_tokens
        if not stream:
            reply: Any = self.sdk.responses.create(**request)
        else:
            with self.sdk.responses.stream(**request) as events:
                reply = None
                for event in events:
                    if event.type in ("response.completed", "response.incomplete"):
                        reply = event.response
            assert reply is not None, "the stream had no end"
        heard = Heard(reply.output_text)
        for item in reply.output:
            if item.type == "reasoning":
                heard.thinking += "".join(part.text for part in item.summary) + "".join(part.text for part in item.content or [])
            elif item.type == "function_call":
                heard.calls.append((item.name, parsed(item.arguments)))
                heard.call_ids.append(item.call_id)
            heard.turn.append(item.to_dict(exclude_none=True) if not stream else _plain(item))
        reason = reply.incomplete_details.reason if reply.incomplete_details else ""
        finish = {"max_output_tokens": "length", "content_filter": "content_filter"}.get(reason, "tool_calls" if heard.calls else "stop")
        heard.finish = finish
        if reply.usage is not None:
            heard.input_tokens, heard.output_tokens = reply.usage.input_tokens, reply.usage.output_tokens
        return heard


def _plain(item: Any) -> dict[str, Any]:
    """An item of a parsed stream without what the SDK's parser added to it."""
    value: dict[str, Any] = item.to_dict(exclude_none=True)
    value.pop("parsed_arguments", None)
    for part in value.get("content") or []:
        part.pop("parsed", None)
    return value

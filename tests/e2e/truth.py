"""What a recorded reply says, read straight from the provider's bytes by the provider's own rules.

Written apart from the package's dialects on purpose: it shares no code with what it judges. `of(recording)` gives a `Truth`, or
None for replies whose content an SDK of another vendor cannot show (audio, generated images, code execution).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.corpus import Recording

ANTHROPIC_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
GEMINI_FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "FUNCTION_CALL": "stop"}  # the last is aimock's invention


@dataclass
class Truth:
    """Choice 0 of the reply, in OpenAI's words, where the provider's format is not OpenAI's. Fields that the reply does not tell
    are None."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str | None = None
    read: int | None = None  # input tokens, cached ones included
    written: int | None = None  # output tokens, reasoning included
    choices: int = 1
    refusal: str = ""  # OpenAI's own field for what others say as text


def of(recording: Recording) -> Truth | None:
    provider = recording.file.parent.name
    if provider == "ollama" and recording.path.startswith("/v1/"):
        provider = "openai"
    return read(provider, recording.body, recording.streamed)


def read(provider: str, body: bytes, streamed: bool) -> Truth | None:
    """As `of`, for bytes from anywhere."""
    reader = {"anthropic": _anthropic, "gemini": _gemini, "ollama": _ollama}.get(provider, _openai)
    return reader(_documents(body, streamed))


def _documents(body: bytes, streamed: bool) -> list[Any]:
    """The JSON documents of the reply: one, or one per event or line."""
    if not streamed:
        return [json.loads(body)]
    text = body.decode().replace("\r\n", "\n")
    if text.lstrip().startswith("{"):
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    data = [line[5:].strip() for line in text.split("\n") if line.startswith("data:")]
    return [json.loads(one) for one in data if one and one != "[DONE]"]


def _openai(documents: list[Any]) -> Truth | None:
    truth = Truth()
    calls: dict[int, list[str]] = {}
    for document in documents:
        usage = document.get("usage") or (document.get("x_groq") or {}).get("usage")
        if usage:
            truth.read, truth.written = usage.get("prompt_tokens"), usage.get("completion_tokens")
        for choice in document.get("choices", []):
            truth.choices = max(truth.choices, choice.get("index", 0) + 1)
            if choice.get("index", 0) != 0:
                continue
            message = choice.get("message") or choice.get("delta") or {}
            if message.get("audio") or message.get("function_call") or message.get("images"):
                return None
            content = message.get("content") or ""
            if isinstance(content, list):  # Mistral's magistral: thinking and text chunks
                content = "".join(part.get("text", "") for part in content if part.get("type") == "text")
            truth.text += content
            truth.refusal += message.get("refusal") or ""
            truth.finish = choice.get("finish_reason") or truth.finish
            for at, call in enumerate(message.get("tool_calls") or []):
                new = call.get("id") and "index" not in call
                kept = calls.setdefault(len(calls) if new else call.get("index", at), ["", ""])
                function = call.get("function") or {}
                kept[0] = kept[0] or function.get("name") or ""
                arguments = function.get("arguments") or ""
                kept[1] += arguments if isinstance(arguments, str) else json.dumps(arguments)
    truth.calls = [(name, _parsed(arguments)) for _, (name, arguments) in sorted(calls.items())]
    return truth


def _anthropic(documents: list[Any]) -> Truth | None:
    truth = Truth()
    usage: dict[str, Any] = {}
    partial: dict[int, list[str]] = {}
    for document in documents:
        kind = document["type"]
        if kind in ("message", "message_start"):
            message = document if kind == "message" else document["message"]
            usage |= {name: value for name, value in message["usage"].items() if value is not None}
            truth.finish = message.get("stop_reason")
            for block in message["content"]:
                if block["type"] == "text":
                    truth.text += block["text"]
                elif block["type"] == "tool_use":
                    truth.calls.append((block["name"], block["input"]))
        elif kind == "content_block_start" and document["content_block"]["type"] == "tool_use":
            partial[document["index"]] = [document["content_block"]["name"], ""]
        elif kind == "content_block_start" and document["content_block"]["type"] == "text":
            truth.text += document["content_block"]["text"]
        elif kind == "content_block_delta":
            delta = document["delta"]
            truth.text += delta.get("text", "") if delta["type"] == "text_delta" else ""
            if delta["type"] == "input_json_delta" and document["index"] in partial:
                partial[document["index"]][1] += delta["partial_json"]
        elif kind == "message_delta":
            truth.finish = document["delta"].get("stop_reason") or truth.finish
            usage |= {name: value for name, value in (document.get("usage") or {}).items() if value is not None}
    truth.calls += [(name, _parsed(arguments)) for _, (name, arguments) in sorted(partial.items())]
    truth.finish = ANTHROPIC_FINISH[truth.finish or ""]
    truth.read = usage["input_tokens"] + usage.get("cache_creation_input_tokens", 0) + usage.get("cache_read_input_tokens", 0)
    truth.written = usage["output_tokens"]
    return truth


def _gemini(documents: list[Any]) -> Truth | None:
    truth = Truth()
    usage: dict[str, int] = {}
    for document in documents[0] if isinstance(documents[0], list) else documents:
        usage |= document.get("usageMetadata") or {}
        if (document.get("promptFeedback") or {}).get("blockReason") and not document.get("candidates"):
            truth.finish = "content_filter"
        for candidate in document.get("candidates") or []:
            if candidate.get("index", 0) != 0:
                truth.choices = max(truth.choices, candidate["index"] + 1)
                continue
            for part in (candidate.get("content") or {}).get("parts") or []:
                if "functionCall" in part:
                    truth.calls.append((part["functionCall"]["name"], part["functionCall"].get("args") or {}))
                elif not part.get("thought") and "text" in part:
                    truth.text += part["text"]
                elif set(part) - {"thought", "text", "thoughtSignature"}:
                    return None
            if candidate.get("finishReason"):
                truth.finish = GEMINI_FINISH.get(candidate["finishReason"], "content_filter")
                if candidate["finishReason"] in ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER"):
                    return None
    if truth.calls and truth.finish == "stop":
        truth.finish = "tool_calls"
    truth.read = usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0)
    truth.written = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
    return truth


def _ollama(documents: list[Any]) -> Truth | None:
    truth = Truth()
    for document in documents:
        if "message" not in document:
            return None
        message = document["message"]
        truth.text += message.get("content") or ""
        truth.calls += [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or []]
        if document.get("done"):
            truth.finish = "length" if document.get("done_reason") == "length" else "tool_calls" if truth.calls else "stop"
            truth.read, truth.written = document.get("prompt_eval_count", 0), document.get("eval_count", 0)
    return truth


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments

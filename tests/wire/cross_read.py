"""What an answer says, read out of the chat and out of every client format: by the vendors' SDKs where they read that format.

`RECORDED` counts the tokens of a recording as FORMATS.md's table 11 has it, straight from the vendor's own object.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgegate.dialects.base import Json
from tests.corpus import Recording
from tests.unit.dialects.cohere.sdk import by_cohere
from tests.wire import openai_sdk, responses_reader
from tests.wire.anthropic_sdks import by_anthropic
from tests.wire.bedrock_sdk import by_boto
from tests.wire.gemini_sdks import Sdks
from tests.wire.mistral_ollama_sdks import by_ollama


@dataclass
class Said:
    """An answer. `calls`: (name, arguments). `usage`: all input and all output tokens, None where none were told."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str = ""
    usage: tuple[int, int] | None = None
    custom: bool = False  # whether a call is of a custom tool, which only OpenAI's clients can have offered
    ids: list[str] = field(default_factory=list)


def events(body: bytes) -> Iterator[Json]:
    """The JSON of server-sent events, in the simplest way that the specification allows."""
    for block in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        data = b"\n".join(line[5:].lstrip() for line in block.split(b"\n") if line.startswith(b"data:"))
        if data and data != b"[DONE]":
            yield json.loads(data)


def by_chat(body: bytes, *, streamed: bool) -> Said:
    """Choice 0 of a chat completion or of a chat's stream, as edgegate's neutral form is documented."""
    said = Said()
    calls: dict[int, list[str]] = {}
    refusal = ""
    for chunk in events(body) if streamed else [json.loads(body)]:
        usage = chunk.get("usage")
        if usage:
            said.usage = (usage["prompt_tokens"], usage["completion_tokens"])
            assert usage.get("total_tokens") is not None
        for choice in chunk["choices"]:
            if choice.get("index", 0) != 0:
                continue
            delta = choice["delta" if streamed else "message"]
            said.text += delta.get("content") or ""
            refusal += delta.get("refusal") or ""
            said.reasoning += delta.get("reasoning_content") or ""
            for at, call in enumerate(delta.get("tool_calls") or ()):
                into = calls.setdefault(call["index"] if streamed else at, ["", "", ""])
                kind = "custom" if call.get("custom") else "function"
                said.custom = said.custom or kind == "custom"
                inner = call.get(kind) or {}
                into[0] += call.get("id") or ""
                into[1] += inner.get("name") or ""
                into[2] += inner.get("arguments" if kind == "function" else "input") or ""
            said.finish = choice.get("finish_reason") or said.finish
    said.text += refusal
    said.ids = [id for id, _, _ in calls.values()]
    said.calls = [(name, text if said.custom else arguments(text)) for _, name, text in calls.values()]
    return said


def arguments(text: Any) -> Any:
    try:
        return json.loads(text or "{}") if isinstance(text, str) else text
    except ValueError:
        return text  # cut off by the token limit


# -- client formats


def _messages(body: bytes, streamed: bool) -> Said:
    seen = by_anthropic(body, streamed=streamed)
    usage = seen.usage
    total = (usage["input"] + usage["written"] + usage["read"], usage["output"])
    thinking = "".join(text for text, _ in seen.thinking)
    calls = [(name, given) for _, name, given in seen.calls]
    return Said(seen.text, thinking, calls, seen.finish or "", total, ids=[id for id, _, _ in seen.calls])


def _responses(body: bytes, streamed: bool) -> Said:
    final = responses_reader.checked(body) if streamed else json.loads(body)
    if not streamed:
        known = {**final, "output": [_without_others_notes(item) for item in final["output"] if item["type"] != "web_search_call"]}
        responses_reader.read_whole(json.dumps(known).encode())
    said = Said(finish=final["status"])
    if final["status"] == "incomplete":
        said.finish = final["incomplete_details"]["reason"]
    for item in final["output"]:
        if item["type"] == "message":
            said.text += "".join(part.get("text") or part.get("refusal") or "" for part in item["content"])
        elif item["type"] == "reasoning":
            said.reasoning += "".join(part["text"] for part in [*(item.get("summary") or ()), *(item.get("content") or ())])
        elif item["type"] == "function_call":
            said.calls.append((item["name"], arguments(item["arguments"])))
            said.ids.append(item["call_id"])
        elif item["type"] == "custom_tool_call":
            said.calls.append((item["name"], item["input"]))
            said.custom = True
    if final.get("usage"):
        said.usage = (final["usage"]["input_tokens"], final["usage"]["output_tokens"])
    return said


def _without_others_notes(item: Json) -> Json:
    """Citations of other vendors keep their own type on the way to these clients, which the SDK's strict types do not list."""
    if item["type"] != "message":
        return item
    kinds = ("url_citation", "file_citation", "container_file_citation", "file_path")
    parts = [{**part, "annotations": [n for n in part.get("annotations", ()) if n["type"] in kinds]} for part in item["content"]]
    return {**item, "content": parts}


@functools.cache
def _google() -> Sdks:
    return Sdks()


def _gemini(body: bytes, streamed: bool) -> Said:
    seen = _google().google_reads(body, stream=streamed)
    calls = [(name, given) for _, name, given, _ in seen.calls]
    usage = (seen.counts[0], seen.counts[2]) if seen.counts else None
    return Said(seen.text, seen.reasoning, calls, seen.finish, usage)


def _ollama(body: bytes, streamed: bool, generate: bool = False) -> Said:
    seen = by_ollama(body, stream=streamed, generate=generate)
    usage = seen.counts[:2] if seen.counts else None
    return Said(seen.text, seen.reasoning, [(name, given) for _, name, given in seen.calls], seen.finish, usage)


def _cohere(body: bytes, streamed: bool) -> Said:
    seen = by_cohere(body, streamed=streamed)
    usage = (int(seen.usage["input"]), int(seen.usage["output"])) if seen.usage else None
    calls = [(name, given) for _, name, given in seen.calls]
    return Said(seen.text, seen.thinking, calls, seen.finish or "", usage, ids=[id for id, _, _ in seen.calls])


def _chat(body: bytes, streamed: bool) -> Said:
    seen = (openai_sdk.read_stream if streamed else openai_sdk.read_whole)(body)
    calls = [(name, arguments(text)) for _, name, text in seen.calls.get(0, [])]
    usage = seen.usage[:2] if seen.usage else None
    text = seen.text.get(0, "") + seen.refusal.get(0, "")
    return Said(text, seen.reasoning.get(0, ""), calls, seen.finish.get(0, ""), usage, ids=[id for id, _, _ in seen.calls.get(0, [])])


def _completion(body: bytes, streamed: bool) -> Said:
    texts, finish, usage = openai_sdk.read_text(body, streamed)
    return Said(texts.get(0, ""), finish=finish.get(0, ""), usage=(usage.prompt_tokens, usage.completion_tokens) if usage else None)


READERS: Mapping[str, Callable[[bytes, bool], Said]] = {
    "openai.chat": _chat,
    "openai.responses": _responses,
    "openai.completions": _completion,
    "anthropic.messages": _messages,
    "gemini": _gemini,
    "ollama.chat": _ollama,
    "ollama.generate": functools.partial(_ollama, generate=True),
    "cohere.chat": _cohere,
}

FINISHES: Mapping[str, Mapping[str, set[str]]] = {
    "openai.chat": {"stop": {"stop"}, "length": {"length"}, "tool_calls": {"tool_calls"}, "content_filter": {"content_filter"}},
    "openai.completions": {"stop": {"stop"}, "length": {"length"}, "tool_calls": {"stop"}, "content_filter": {"content_filter"}},
    "openai.responses": {
        "stop": {"completed"},
        "length": {"max_output_tokens"},
        "tool_calls": {"completed"},
        "content_filter": {"content_filter"},
    },
    "anthropic.messages": {
        "stop": {"end_turn", "stop_sequence", "pause_turn", "refusal", "tool_use", "compaction"},
        "length": {"max_tokens", "model_context_window_exceeded"},
        "tool_calls": {"tool_use"},
        "content_filter": {"refusal"},
    },
    "gemini": {
        "stop": {"stop", "tool_calls"},
        "length": {"length"},
        "tool_calls": {"tool_calls"},
        "content_filter": {"content_filter", "PROHIBITED_CONTENT", "RECITATION", "BLOCKLIST", "SPII"},
    },
    "ollama.chat": {
        "stop": {"stop", "tool_calls"},
        "length": {"length"},
        "tool_calls": {"tool_calls", "stop"},
        "content_filter": {"stop", "content_filter"},
    },
    "ollama.generate": {"stop": {"stop"}, "length": {"length"}, "tool_calls": {"stop"}, "content_filter": {"stop", "content_filter"}},
    "cohere.chat": {
        "stop": {"COMPLETE", "STOP_SEQUENCE", "TOOL_CALL"},
        "length": {"MAX_TOKENS"},
        "tool_calls": {"TOOL_CALL"},
        "content_filter": {"ERROR", "ERROR_TOXIC", "COMPLETE"},
    },
}
"""Finish reasons by client format: the chat's word -> what may stand for it (FORMATS.md, table 10)."""


# -- tokens of a recording, by table 11


def _int(value: Any) -> int:
    return value if isinstance(value, int) else int(value or 0)


def _openai_tokens(documents: list[Json]) -> tuple[int, int] | None:
    found = None
    for document in documents:
        usage = document.get("usage") or (document.get("x_groq") or {}).get("usage")
        if usage:
            found = (_int(usage.get("prompt_tokens")), _int(usage.get("completion_tokens")))
            beside = _int(usage.get("total_tokens")) - sum(found)
            if beside > 0 and "completion_tokens_details" not in usage:  # Google's OpenAI endpoint: thoughts are in the total only
                found = (found[0], found[1] + beside)
    return found


def _responses_tokens(documents: list[Json]) -> tuple[int, int] | None:
    found = None
    for document in documents:
        usage = (document.get("response") or document).get("usage")
        if usage:
            found = (_int(usage.get("input_tokens")), _int(usage.get("output_tokens")))
    return found


def _anthropic_tokens(documents: list[Json]) -> tuple[int, int] | None:
    last: dict[str, int] = {}
    for document in documents:
        usage = document.get("usage") or (document.get("message") or {}).get("usage") or {}
        last.update((name, value) for name, value in usage.items() if isinstance(value, int))
    if not last:
        return None
    return sum(last.get(f"{name}input_tokens", 0) for name in ("", "cache_creation_", "cache_read_")), last.get("output_tokens", 0)


def _gemini_tokens(documents: list[Json]) -> tuple[int, int] | None:
    last: dict[str, int] = {}
    for document in documents:
        last.update((name, value) for name, value in (document.get("usageMetadata") or {}).items() if isinstance(value, int))
    if not last:
        return None
    prompt = last.get("promptTokenCount", 0) + last.get("toolUsePromptTokenCount", 0)
    return prompt, last.get("candidatesTokenCount", 0) + last.get("thoughtsTokenCount", 0)


def _cohere_tokens(documents: list[Json]) -> tuple[int, int] | None:
    for document in documents:
        usage = document.get("usage") or (document.get("delta") or {}).get("usage")
        if usage:
            return _int(usage["tokens"].get("input_tokens")), _int(usage["tokens"].get("output_tokens"))
    return None


def _ollama_tokens(documents: list[Json]) -> tuple[int, int] | None:
    last = documents[-1]
    return _int(last.get("prompt_eval_count")), _int(last.get("eval_count"))


def tokens(recording: Recording, family: str) -> tuple[int, int] | None:
    """All input and all output tokens that a recording of a family tells of."""
    if family == "bedrock":
        counts = by_boto(recording.body, stream="b64" in recording.raw["response"]).counts
        return counts[0], counts[1]
    if not recording.streamed:
        whole = json.loads(recording.body)
        documents = whole if isinstance(whole, list) else [whole]
    elif family == "ollama":
        documents = [json.loads(line) for line in recording.body.splitlines() if line.strip()]
    else:
        documents = list(events(recording.body))
    return RECORDED[family](documents)


RECORDED: Mapping[str, Callable[[list[Json]], tuple[int, int] | None]] = {
    "openai": _openai_tokens,
    "mistral": _openai_tokens,
    "responses": _responses_tokens,
    "anthropic": _anthropic_tokens,
    "gemini": _gemini_tokens,
    "cohere": _cohere_tokens,
    "ollama": _ollama_tokens,
}

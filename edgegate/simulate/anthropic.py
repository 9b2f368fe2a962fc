"""Anthropic's wire format: messages, token counting, models, and the errors.

Strict where a badly translated request would show: `max_tokens`, roles, tool results that answer no call, empty text blocks,
the version header, and the signatures of thinking blocks, which must come back as they were given.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from edgegate.simulate import media
from edgegate.simulate.anthropic_strict import (
    COUNT_TOKENS,
    MESSAGES,
    VENDOR,
    check_fields,
    check_last_step,
    check_redacted,
    check_signature,
)
from edgegate.simulate.mind import Answer, Question, Tool, answer, input_tokens, portions
from edgegate.simulate.seal import seal
from edgegate.simulate.vendor import Asked, Event, Framing, Json, Refusal, Reply, Script, Vendor, Whole, need

MODELS = {
    "claude-opus-5-5": "Claude Opus 5.5",
    "claude-sonnet-5-5": "Claude Sonnet 5.5",
    "claude-haiku-4-5": "Claude Haiku 4.5",
}
_ERRORS: dict[int, tuple[str, str]] = {
    400: ("invalid_request_error", "The request was refused by the simulator."),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "model: {model}"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit of 50 requests per minute."),
    500: ("api_error", "Internal server error"),
    529: ("overloaded_error", "Overloaded"),
}
_TAKES_SYSTEM_TURNS = re.compile(r"claude-opus-4-[89]|claude-(sonnet|haiku|opus|fable|mythos)-[5-9]")
_SHOWN = ("temperature", "top_p", "top_k", "thinking", "metadata", "output_config", "service_tier")


class Anthropic(Vendor):
    name = "anthropic"
    content_type = "application/json"
    says_retry_after = True

    def headers(self, request_id: str) -> dict[str, str]:
        return {
            "request-id": f"req_{request_id}",
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2025-01-01T00:01:00Z",
            "anthropic-ratelimit-tokens-limit": "40000",
            "anthropic-ratelimit-tokens-remaining": "39000",
            "anthropic-ratelimit-tokens-reset": "2025-01-01T00:01:00Z",
        }

    def error(self, refusal: Refusal, request_id: str) -> Json:
        kind, message = _ERRORS.get(refusal.status) or _ERRORS[400 if refusal.status < 500 else 529 if refusal.status == 503 else 500]
        if refusal.variant == "context":
            message = "prompt is too long: 208310 tokens > 200000 maximum"
        message = refusal.message or message.format(model=refusal.model or "simulated")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": f"req_{request_id}"}

    def error_headers(self, refusal: Refusal, request_id: str) -> dict[str, str]:
        return {"x-should-retry": "false"} if refusal.status == 404 else {}

    def error_event(self, request_id: str) -> Event:
        return Event(orjson.dumps(self.error(Refusal(529), request_id)).decode(), "error")


def messages(asked: Asked) -> Reply:
    """POST /v1/messages"""
    body = asked.body
    check_fields(body, MESSAGES)
    need(isinstance(body.get("max_tokens"), int), "max_tokens: Field required")
    need(body["max_tokens"] > 0, "max_tokens: Input should be greater than or equal to 1")
    question = _question(asked)
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        need(isinstance(budget, int) and budget >= 1024, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        need(budget < body["max_tokens"], "`max_tokens` must be greater than `thinking.budget_tokens`.")
        need(body.get("temperature") in (None, 1), "`temperature` may only be set to 1 when thinking is enabled.")
        need(question.choice in ("auto", "none"), "Thinking may not be enabled when tool_choice forces tool use.")
    one = answer(question)
    blocks = _blocks(one)
    stop = {"stop": "stop_sequence" if one.stopped_by else "end_turn", "length": "max_tokens", "calls": "tool_use"}[one.finish]
    message: Json = {
        "model": question.model,
        "id": f"msg_{one.id}",
        "type": "message",
        "role": "assistant",
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": one.stopped_by,
        "usage": _usage(one.input_tokens, one.output_tokens) | {"service_tier": "standard"},
    }
    return _stream(message, one) if body.get("stream") else Whole(message)


def count_tokens(asked: Asked) -> Reply:
    """POST /v1/messages/count_tokens"""
    check_fields(asked.body, COUNT_TOKENS)
    return Whole({"input_tokens": input_tokens(_question(asked))})


def models(asked: Asked) -> Reply:
    """GET /v1/models, when asked with `anthropic-version`"""
    data = [_model(name) for name in MODELS]
    return Whole({"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]})


def model(asked: Asked) -> Reply:
    """GET /v1/models/{model}, when asked with `anthropic-version`"""
    if asked.model not in MODELS:
        raise Refusal(404, f"model: {asked.model}")
    return Whole(_model(asked.model))


def _model(name: str) -> Json:
    return {"type": "model", "id": name, "display_name": MODELS[name], "created_at": "2025-01-01T00:00:00Z"}


def _question(asked: Asked) -> Question:
    body = asked.body
    need("anthropic-version" in asked.headers, "anthropic-version: header is required")
    need(isinstance(body.get("model"), str), "model: Field required")
    turns = body.get("messages")
    need(isinstance(turns, list), "messages: Field required")
    need(bool(turns), "messages: at least one message is required")
    question = Question(asked.model, seed=asked.raw, max_tokens=body.get("max_tokens"), stop=list(body.get("stop_sequences") or []))
    temperature = body.get("temperature")
    need(temperature is None or 0 <= temperature <= 1, "temperature: range: 0..1")
    question.settings = {name: body[name] for name in _SHOWN if body.get(name) is not None}
    question.think = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    system = body.get("system")
    question.system = system if isinstance(system, str) else "\n".join(str(block.get("text", "")) for block in system or [])
    _read_tools(body, question)
    merged = _merged(turns or [])
    _read_turns(merged, question, asked)
    if (body.get("thinking") or {}).get("type") == "enabled":
        check_last_step(merged)
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    question.schema = wanted.get("schema")
    return question


def _read_tools(body: Json, question: Question) -> None:
    for at, tool in enumerate(body.get("tools") or []):
        if tool.get("type") in (None, "custom"):
            need(isinstance(tool.get("name"), str), f"tools.{at}.custom.name: Field required")
            need(isinstance(tool.get("input_schema"), dict), f"tools.{at}.custom.input_schema: Field required")
            need(tool["input_schema"].get("type") == "object", f"tools.{at}.custom.input_schema.type: Input should be 'object'")
            question.tools.append(Tool(tool["name"], tool["input_schema"]))
    choice = body.get("tool_choice") or {"type": "auto"}
    need(isinstance(choice, dict), "tool_choice: Input should be an object")
    need("tool_choice" not in body or bool(body.get("tools")), "tool_choice: may only be specified while providing tools")
    kind = choice.get("type")
    need(kind in ("auto", "any", "none", "tool"), f"tool_choice.type: unexpected value {kind!r}")
    question.choice = str(choice.get("name")) if kind == "tool" else str(kind)
    if kind == "tool":
        named = [str(tool.get("name")) for tool in body.get("tools") or []]
        need(question.choice in named, f"Tool '{question.choice}' not found in provided tools")
    question.parallel = not choice.get("disable_parallel_tool_use")


def _merged(turns: list[Any]) -> list[Json]:
    """Neighbours of one role become one turn, as the vendor does it (recorded: the calls of two assistant turns in a row)."""
    merged: list[Json] = []
    for at, turn in enumerate(turns):
        content = turn.get("content")
        need(isinstance(content, (str, list)), f"messages.{at}.content: Input should be a valid list")
        if merged and merged[-1]["role"] == turn.get("role") and content:
            both = (merged[-1]["content"], content)
            content = [block for one in both for block in ([{"type": "text", "text": one}] if isinstance(one, str) else one)]
            merged.pop()
        merged.append({"role": turn.get("role"), "content": content})
    return merged


def _read_turns(turns: list[Json], question: Question, asked: Asked) -> None:
    open_calls: set[str] = set()
    for at, turn in enumerate(turns):
        role = str(turn["role"])
        newest = _TAKES_SYSTEM_TURNS.search(question.model)
        need(role != "system" or (bool(newest) and at > 0), f"messages.{at}: role 'system' is not supported on this model")
        if role == "system":
            text, _ = _read_blocks(
                [{"type": "text", "text": turn["content"]}] if isinstance(turn["content"], str) else turn["content"], "", asked, False
            )
            question.system += ("\n" if question.system else "") + text
            continue
        need(role in ("user", "assistant"), f"messages.{at}.role: Input should be 'user' or 'assistant'")
        content = turn["content"]
        need(
            bool(content) or (role == "assistant" and at == len(turns) - 1),
            f"messages.{at}: all messages must have non-empty content except for the optional final assistant message",
        )
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        results = [block for block in blocks if block.get("type") == "tool_result"]
        answered = {str(block.get("tool_use_id")) for block in results}
        need(
            open_calls <= answered,
            f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(sorted(open_calls - answered))}. "
            "Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
        )
        stray = answered - open_calls
        need(
            not stray,
            f"messages.{at}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {', '.join(sorted(stray))}. "
            "Each `tool_result` block must have a corresponding `tool_use` block in the previous message.",
        )
        question.results = [_result(block.get("content")) for block in results]
        text, images = _read_blocks(blocks, f"messages.{at}.content", asked, role == "assistant")
        open_calls = {str(block.get("id")) for block in blocks if block.get("type") == "tool_use"}
        if role == "user" and (text or images or not results):
            question.prompt = text
            question.see(images)
            question.results = [] if text else question.results
        question.roles.append(role)
        question.texts.append(
            " ".join([text, *question.results, *(json.dumps(b.get("input")) for b in blocks if b.get("type") == "tool_use")]).strip()
        )
    need(not open_calls, f"messages.{len(turns) - 1}: `tool_use` ids were found without `tool_result` blocks immediately after")


def _read_blocks(blocks: list[Any], where: str, asked: Asked, from_model: bool) -> tuple[str, list[str]]:
    text, images = "", []
    for at, block in enumerate(blocks):
        kind = block.get("type")
        if kind == "text":
            need(
                bool(block.get("text")),
                f"{where}.{at}: text content blocks must be non-empty"
                if not from_model or len(blocks) > 1
                else f"{where}: must be non-empty",
            )
            text += str(block["text"])
        elif kind == "image":
            source = block.get("source") or {}
            need(source.get("type") in ("base64", "url", "file"), f"{where}.{at}.image.source: unexpected type {source.get('type')!r}")
            if source["type"] == "base64":
                need(
                    str(source.get("media_type")).startswith("image/") and bool(source.get("data")),
                    f"{where}.{at}.image.source.base64: Field required",
                )
                need(not str(source["data"]).startswith("data:"), f"{where}.{at}.image.source.base64: invalid base64 data")
            data, declared = str(source.get("data") or ""), str(source.get("media_type") or "")
            images.append(media.of_base64(data, declared) if data else media.of_url(str(source.get("url") or source.get("file_id"))))
        elif kind == "tool_use":
            need(isinstance(block.get("input"), dict), f"{where}.{at}.tool_use.input: Input should be a valid dictionary")
        elif kind == "thinking":
            check_signature(block, f"{where}.{at}", asked)
        elif kind == "redacted_thinking":
            check_redacted(f"{where}.{at}", asked)
        else:
            need(isinstance(kind, str), f"{where}.{at}.type: Field required")
    return text, images


def _result(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(block.get("text", "")) for block in content if isinstance(block, dict))
    return str(content or "")


def _usage(read: int, written: int) -> Json:
    return {
        "input_tokens": read,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": written,
    }


def _blocks(one: Answer) -> list[Json]:
    blocks: list[Json] = []
    if one.thinking:
        thinking = "".join(one.thinking)
        blocks.append({"type": "thinking", "thinking": thinking, "signature": seal(VENDOR, thinking)})
    if one.pieces:
        blocks.append({"type": "text", "text": one.text})
    blocks += [{"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": call.arguments} for call in one.calls]
    return blocks


def _stream(message: Json, one: Answer) -> Script:
    start = message | {"content": [], "stop_reason": None, "stop_sequence": None}
    start["usage"] = message["usage"] | {"output_tokens": 1}
    ping = Event('{"type": "ping"}', "ping")
    script = Script(Framing.SSE, [_event("message_start", message=start)], ping=ping)
    for index, block in enumerate(message["content"]):
        empty, deltas = _deltas(block, one)
        script.events.append(_event("content_block_start", index=index, content_block=empty))
        if index == 0:
            script.events.append(ping)
        script.events += [_event("content_block_delta", index=index, delta=delta) for delta in deltas]
        script.events.append(_event("content_block_stop", index=index))
    usage = {name: value for name, value in message["usage"].items() if name.endswith("_tokens")}
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    script.finish = [_event("message_delta", delta=delta, usage=usage)]
    script.terminal = [_event("message_stop")]
    return script


def _deltas(block: Json, one: Answer) -> tuple[Json, list[Json]]:
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in one.thinking]
        return {"type": "thinking", "thinking": "", "signature": ""}, [
            *deltas,
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    if block["type"] == "text":
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in one.pieces]
    # a call without arguments streams only the empty piece, as recorded
    parts = ["", *(portions(json.dumps(block["input"], ensure_ascii=False)) if block["input"] else [])]
    return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]


def _event(kind: str, **fields: Any) -> Event:
    data = orjson.dumps({"type": kind, **fields}).decode()
    return Event(data[:-1] + " " * (len(data) % 5) + "}", kind)  # the vendor pads with blanks too

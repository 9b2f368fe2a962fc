"""Cohere's v2 chat format and its errors; streams are in `cohere_stream.py`, embed, rerank and models in `cohere_data.py`.

Strict where a badly translated request would show: unknown fields are refused with 422 in the vendor's words, tool messages must answer
calls, a tool choice can name no tool.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import orjson

from edgegate.simulate import media
from edgegate.simulate.cohere_stream import script_of
from edgegate.simulate.mind import Answer, Call, Question, Tool, answer, count
from edgegate.simulate.strict import fields, unknown
from edgegate.simulate.vendor import Asked, Event, Json, Refusal, Reply, Vendor, Whole, need

_CHAT = fields(
    "model messages tools strict_tools documents citation_options response_format safety_mode max_tokens stop_sequences "
    "temperature seed frequency_penalty presence_penalty k p logprobs tool_choice thinking priority stream"
)
_MESSAGES = {
    "system": frozenset({"role", "content"}),
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "tool_calls", "tool_plan", "citations"}),
    "tool": frozenset({"role", "content", "tool_call_id"}),
}
_FINISH = {"stop": "COMPLETE", "length": "MAX_TOKENS", "calls": "TOOL_CALL"}
_SHOWN = ("temperature", "p", "k", "seed", "frequency_penalty", "presence_penalty", "safety_mode", "thinking")
_ERRORS = {
    400: "invalid request: the request was refused by the simulator.",
    401: "invalid api token",
    403: "your api token does not have access to this resource",
    404: "model '{model}' not found, make sure the correct model ID was used and that you have access to the model.",
    422: "invalid request",
    429: "You are using a Trial key, which is limited to 20 API calls / minute. Please wait and try again later.",
    500: "internal server error",
    503: "service temporarily unavailable",
}


class Cohere(Vendor):
    name = "cohere"
    content_type = "application/json"
    says_retry_after = True

    def headers(self, request_id: str) -> dict[str, str]:
        return {"x-debug-trace-id": request_id, "num_chars": "10", "num_tokens": "2"}

    def error(self, refusal: Refusal, request_id: str) -> Json:
        message = refusal.message or _ERRORS.get(refusal.status, _ERRORS[400 if refusal.status < 500 else 500])
        if refusal.variant == "context":
            message = "too many tokens: the total number of tokens in the prompt exceeds the limit of 288000; maximum is 288000."
        if not refusal.message:
            message = message.format(model=refusal.model or "simulated")
        return {"id": uuid_of(request_id), "message": message}

    def error_event(self, request_id: str) -> Event:
        delta = {"finish_reason": "ERROR", "error": "internal server error", "usage": {}}
        return Event(orjson.dumps({"type": "message-end", "delta": delta}).decode(), "message-end")


def uuid_of(text: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def chat(asked: Asked) -> Reply:
    """POST /v2/chat"""
    body = asked.body
    refuse_unknown(body, _CHAT)
    question = _question(asked)
    one = answer(question)
    reply: Json = {
        "id": uuid_of(one.id),
        "message": _message(one),
        "finish_reason": "STOP_SEQUENCE" if one.stopped_by else _FINISH[one.finish],
        "usage": usage_of(one, question),
    }
    return script_of(reply, one) if body.get("stream") else Whole(reply)


def refuse_unknown(body: Json, known: frozenset[str]) -> None:
    stray = unknown(body, known)
    need(stray is None, f"unknown field: parameter '{stray}' is not a valid field", status=422)


def _message(one: Answer) -> Json:
    message: Json = {"role": "assistant"}
    content: list[Json] = []
    if one.thinking:
        content.append({"type": "thinking", "thinking": "".join(one.thinking)})
    if one.pieces:
        content.append({"type": "text", "text": one.text})
    if one.calls:
        if not one.thinking:
            message["tool_plan"] = plan_of(one)
        message["tool_calls"] = [call_of(call) for call in one.calls]
    if content or not one.calls:
        message["content"] = content
    return message


def plan_of(one: Answer) -> str:
    """What the model says before its calls; models that think have said it already."""
    return f"I will use {', '.join(call.name for call in one.calls)}." if one.calls and not one.thinking else ""


def call_of(call: Call) -> Json:
    arguments = json.dumps(call.arguments, ensure_ascii=False, separators=(",", ":"))
    return {"id": f"{call.name}_{call.id[:12]}", "type": "function", "function": {"name": call.name, "arguments": arguments}}


def usage_of(one: Answer, question: Question) -> Json:
    """`tokens` are what was read and written; what is billed leaves out what the vendor adds."""
    billed = sum(map(count, question.texts)) + count(question.system)
    return {
        "billed_units": {"input_tokens": billed, "output_tokens": one.output_tokens},
        "tokens": {"input_tokens": one.input_tokens, "output_tokens": one.output_tokens},
        "cached_tokens": 0,
    }


def _question(asked: Asked) -> Question:
    body = asked.body
    need(isinstance(body.get("model"), str) and bool(body["model"]), "invalid request: model is required")
    messages = body.get("messages")
    need(isinstance(messages, list) and bool(messages), "invalid request: list of messages must not be empty")
    question = Question(asked.model, seed=asked.raw, max_tokens=body.get("max_tokens"), stop=list(body.get("stop_sequences") or []))
    temperature = body.get("temperature")
    need(temperature is None or 0 <= temperature <= 1, "invalid request: temperature must be between 0 and 1 inclusive")
    question.settings = {name: body[name] for name in _SHOWN if body.get(name) is not None}
    thinking = body.get("thinking") or {}
    refuse_unknown(thinking, frozenset({"type", "token_budget"}))
    question.think = thinking.get("type") == "enabled" or ("reasoning" in asked.model and thinking.get("type") != "disabled")
    _read_tools(body, question)
    for at, message in enumerate(messages or []):
        role = message.get("role")
        need(role in _MESSAGES, f"invalid request: message at index {at} has an invalid role: {role}")
        stray = unknown(message, _MESSAGES[role])
        need(stray is None, f"unknown field: parameter 'messages[{at}].{stray}' is not a valid field", status=422)
    _read_messages(messages or [], question)
    wanted = body.get("response_format") or {}
    refuse_unknown(wanted, frozenset({"type", "json_schema", "schema"}))
    need(wanted.get("type") in (None, "text", "json_object"), f"invalid request: response_format.type {wanted.get('type')!r} is not valid")
    question.json_mode = wanted.get("type") == "json_object"
    question.schema = wanted.get("json_schema") or wanted.get("schema")
    need(
        not isinstance(question.schema, dict) or "name" not in question.schema or "type" in question.schema,
        "invalid 'json_schema' provided",
    )
    return question


def _read_tools(body: Json, question: Question) -> None:
    for at, tool in enumerate(body.get("tools") or []):
        need(tool.get("type") == "function", f"invalid request: tools[{at}].type must be 'function'")
        function = tool.get("function") or {}
        need(bool(function.get("name")), f"invalid request: tools[{at}].function.name is required")
        refuse_unknown(function, frozenset({"name", "description", "parameters"}))
        question.tools.append(Tool(function["name"], function.get("parameters") or {"type": "object", "properties": {}}))
    choice = body.get("tool_choice")
    need(choice in (None, "REQUIRED", "NONE"), f"invalid request: tool_choice must be one of REQUIRED, NONE, got {choice!r}")
    need(choice is None or bool(body.get("tools")), "invalid request: tool_choice is only supported when tools are provided")
    question.choice = {"REQUIRED": "any", "NONE": "none"}.get(str(choice), "auto")


def _read_messages(messages: list[Any], question: Question) -> None:
    open_calls: set[str] = set()
    for at, message in enumerate(messages):
        role = message["role"]
        text, images = _content(message.get("content"), at, role)
        if role == "tool":
            call = str(message.get("tool_call_id"))
            need(call in open_calls, f"invalid request: tool call id not found in previous tool calls: {call}")
            open_calls.discard(call)
            question.results.append(text)
        else:
            missing = ", ".join(sorted(open_calls))
            need(not open_calls, f"invalid request: all tool calls must have a corresponding tool result: missing {missing}")
            question.results = []
        if role == "assistant":
            calls = message.get("tool_calls") or []
            for call in calls:
                arguments = call["function"].get("arguments", "")
                need(isinstance(arguments, str), "invalid request: tool call arguments must be a JSON string")
                need(isinstance(orjson.loads(arguments or "{}"), dict), "invalid request: tool call arguments must be a JSON object")
                open_calls.add(str(call.get("id")))
                text += f" {arguments}"
            need(
                bool(calls or message.get("content") or message.get("tool_plan")),
                f"invalid request: message at index {at} must have non-empty content or tool calls",
            )
        if role == "system":
            question.system += ("\n" if question.system else "") + text
        if role == "user":
            need(bool(message.get("content")), f"invalid request: message at index {at} must have non-empty content")
            question.prompt = text
            question.see(images)
        question.roles.append(role)
        question.texts.append(text)
    need(not open_calls, "invalid request: all tool calls must have a corresponding tool result")


def _content(content: Any, at: int, role: str) -> tuple[str, list[str]]:
    if content is None or isinstance(content, str):
        return content or "", []
    text, images = "", []
    for part in content:
        kind = part.get("type")
        if kind == "text":
            text += str(part.get("text", ""))
        elif kind == "image_url":
            url = (part.get("image_url") or {}).get("url", "")
            need(str(url).startswith(("http", "data:image/")), f"invalid request: messages[{at}] has an invalid image url")
            images.append(media.of_url(str(url)))
        elif kind == "document":
            data = (part.get("document") or {}).get("data")
            text += data if isinstance(data, str) else str(next(iter((data or {}).values()), ""))
        else:
            need(kind == "thinking" and role == "assistant", f"invalid request: messages[{at}] has content of the invalid type {kind!r}")
    return text, images

"""Mistral's chat and embeddings: OpenAI's shape with stricter arguments, ids of nine characters, whole calls in a stream, own errors.

Unknown arguments are 422 with a `detail` list; magistral models think in chunks of the content. As recorded, the usage of a stream stands
on the chunk that finishes.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from edgegate.simulate import media
from edgegate.simulate.mind import CREATED, Answer, Question, Tool, answer, count, embedding
from edgegate.simulate.strict import fields
from edgegate.simulate.vendor import Asked, Event, Framing, Json, Refusal, Reply, Script, Vendor, Whole, need

MODELS = ("mistral-small-latest", "mistral-medium-latest", "magistral-medium-latest", "mistral-embed")
_CHAT = fields(
    "frequency_penalty guardrails logprobs max_tokens messages metadata min_tokens model n parallel_tool_calls prediction "
    "presence_penalty prompt_cache_key prompt_logprobs prompt_mode random_seed reasoning_effort repetition_penalty response_format "
    "safe_prompt service_tier stop stream temperature tool_choice tools top_k top_logprobs top_p top_prompt_logprobs"
)
_EMBEDDINGS = fields("model input metadata output_dimension output_dtype encoding_format")
_MESSAGES = {
    "system": frozenset({"role", "content"}),
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "tool_calls", "prefix"}),
    "tool": frozenset({"role", "content", "tool_call_id", "name"}),
}
_CALL_ID = re.compile(r"[A-Za-z0-9]{9}")
_FINISH = {"stop": "stop", "length": "length", "calls": "tool_calls"}
_SHOWN = ("temperature", "top_p", "random_seed", "presence_penalty", "frequency_penalty", "safe_prompt", "prompt_mode", "reasoning_effort")
_ERRORS = {
    400: ("invalid_request_error", "3000", "The request was refused by the simulator."),
    404: ("invalid_model", "1500", "Invalid model: {model}"),
    422: ("invalid_request_error", "3051", "Unprocessable request."),
    429: ("rate_limited", "1300", "Rate limit exceeded"),
    500: ("internal_server_error", "1000", "Service unavailable."),
    503: ("service_unavailable", "1010", "Service unavailable."),
}


class Mistral(Vendor):
    name = "mistral"
    content_type = "application/json"
    says_retry_after = True

    def headers(self, request_id: str) -> dict[str, str]:
        return {
            "mistral-correlation-id": request_id,
            "x-ratelimit-limit-req-10-second": "10",
            "x-ratelimit-remaining-req-10-second": "9",
            "x-ratelimit-limit-tokens-minute": "500000",
            "x-ratelimit-remaining-tokens-minute": "499000",
        }

    def error(self, refusal: Refusal, request_id: str) -> Json:
        if refusal.status == 401:
            return {"detail": "Unauthorized"}
        kind, code, message = _ERRORS.get(refusal.status) or _ERRORS[400 if refusal.status < 500 else 500]
        if refusal.variant == "context":
            message = "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length"
        said: Any = refusal.message or message.format(model=refusal.model or "simulated")
        if refusal.status == 422 and refusal.param:
            said = {"detail": [{"type": refusal.kind or "extra_forbidden", "loc": ["body", *refusal.param.split(".")], "msg": said}]}
            return {"object": "error", "message": said, "type": kind, "param": None, "code": None, "raw_status_code": 422}
        return {
            "object": "error",
            "message": said,
            "type": refusal.kind or kind,
            "param": None,
            "code": refusal.code or code,
            "raw_status_code": refusal.status,
        }

    def error_event(self, request_id: str) -> Event:
        return Event(orjson.dumps(self.error(Refusal(500), request_id)).decode())


def _known(value: Any, known: frozenset[str], where: str = "") -> None:
    for name in value:
        if name not in known:
            raise Refusal(422, "Extra inputs are not permitted", param=f"{where}{name}")


def _order(condition: bool, message: str) -> None:
    if not condition:
        raise Refusal(400, message, kind="invalid_request_message_order", code="3230")


def chat(asked: Asked) -> Reply:
    """POST /v1/chat/completions"""
    body = asked.body
    _known(body, _CHAT)
    for name in ("model", "messages"):
        if name not in body:
            raise Refusal(422, "Field required", param=name, kind="missing")
    question = _question(asked)
    answers = [answer(question, number) for number in range(body.get("n") or 1)]
    head = {"id": answers[0].id.ljust(32, "0"), "created": CREATED, "model": question.model}
    usage = _usage(answers)
    if body.get("stream"):
        return _stream(head | {"object": "chat.completion.chunk"}, answers, usage)
    choices = [{"index": at, "finish_reason": _FINISH[one.finish], "message": _message(one)} for at, one in enumerate(answers)]
    return Whole(head | {"object": "chat.completion", "choices": choices, "usage": usage})


def embeddings(asked: Asked) -> Reply:
    """POST /v1/embeddings"""
    body = asked.body
    _known(body, _EMBEDDINGS)
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise Refusal(422, "Field required", param="input", kind="missing")
    data = [
        {"object": "embedding", "index": at, "embedding": embedding(str(text), body.get("output_dimension") or 1024)}
        for at, text in enumerate(texts)
    ]
    total = sum(count(str(text)) for text in texts)
    usage = {"prompt_tokens": total, "completion_tokens": 0, "total_tokens": total}
    return Whole({"id": "simulated", "object": "list", "data": data, "model": asked.model, "usage": usage})


def models(asked: Asked) -> Reply:
    """GET /v1/models"""
    capabilities = {"completion_chat": True, "function_calling": True, "completion_fim": False, "fine_tuning": False, "vision": True}
    shared = {"object": "model", "created": CREATED, "owned_by": "mistralai", "type": "base", "capabilities": capabilities}
    return Whole({"object": "list", "data": [{"id": name, **shared} for name in MODELS]})


def _question(asked: Asked) -> Question:
    body = asked.body
    stop = body.get("stop") or []
    question = Question(
        asked.model, seed=asked.raw, max_tokens=body.get("max_tokens"), stop=[stop] if isinstance(stop, str) else list(stop)
    )
    question.settings = {name: body[name] for name in _SHOWN if body.get(name) is not None}
    temperature = body.get("temperature")
    if temperature is not None and not 0 <= temperature <= 1.5:
        raise Refusal(422, "Input should be less than or equal to 1.5", param="temperature", kind="less_than_equal")
    question.think = "magistral" in asked.model or body.get("reasoning_effort") not in (None, "none")
    for at, tool in enumerate(body.get("tools") or []):
        function = tool.get("function")
        if tool.get("type", "function") != "function":
            continue
        _known(tool, frozenset({"type", "function"}), f"tools.{at}.")
        _known(function, frozenset({"name", "description", "strict", "parameters"}), f"tools.{at}.function.")
        question.tools.append(Tool(function["name"], function.get("parameters") or {"type": "object", "properties": {}}))
    choice = body.get("tool_choice") or "auto"
    question.choice = choice["function"]["name"] if isinstance(choice, dict) else {"required": "any"}.get(choice, choice)
    if not isinstance(choice, dict) and choice not in ("auto", "none", "any", "required"):
        raise Refusal(422, "Input should be 'auto', 'none', 'any' or 'required'", param="tool_choice", kind="enum")
    question.parallel = body.get("parallel_tool_calls") is not False
    _read_messages(body["messages"], question)
    wanted = body.get("response_format") or {}
    _known(wanted, frozenset({"type", "json_schema"}), "response_format.")
    question.json_mode = wanted.get("type") == "json_object"
    if wanted.get("type") == "json_schema":
        question.schema = wanted["json_schema"].get("schema", wanted["json_schema"].get("schema_definition"))
        need(isinstance(question.schema, dict), "Field required", "response_format.json_schema.schema", status=422)
    return question


def _read_messages(messages: list[Any], question: Question) -> None:
    _order(bool(messages), "Conversation must have at least one message")
    open_calls: list[str] = []
    before = ""
    for at, message in enumerate(messages):
        role = str(message.get("role"))
        if role not in _MESSAGES:
            raise Refusal(422, "Input tag does not match any of the expected tags", param=f"messages.{at}", kind="union_tag_invalid")
        _known(message, _MESSAGES[role], f"messages.{at}.{role}.")
        text, images = _content(message.get("content"), f"messages.{at}.{role}.content")
        _order(not (before == "tool" and role == "user"), "Unexpected role 'user' after role 'tool'")
        if role == "tool":
            _check_id(str(message.get("tool_call_id")))
            _order(message.get("tool_call_id") in open_calls, "Unexpected tool call id in tool results")
            open_calls.remove(message["tool_call_id"])
            question.results.append(text)
        else:
            _order(not open_calls, "Not the same number of function calls and responses")
            question.results = []
        for call in message.get("tool_calls") or []:
            _check_id(str(call.get("id")))
            arguments = call["function"]["arguments"]
            text += f" {arguments if isinstance(arguments, str) else json.dumps(arguments)}"
            open_calls.append(call["id"])
        if role == "assistant" and not message.get("tool_calls"):
            need(bool(message.get("content")), "Assistant message must have either content or tool_calls, but not none.", code="3240")
        if role == "system":
            question.system += ("\n" if question.system else "") + text
        if role == "user":
            question.prompt = text
            question.see(images)
        question.roles.append(role)
        question.texts.append(text)
        before = role
    _order(not open_calls, "Not the same number of function calls and responses")
    last = messages[-1]
    _order(
        before in ("user", "tool", "system") or bool(last.get("prefix")),
        f"Expected last role User or Tool (or Assistant with prefix True) for serving but got {before}",
    )


def _check_id(name: str) -> None:
    if not _CALL_ID.fullmatch(name):
        message = f"Tool call id was {name} but must be a-z, A-Z, 0-9, with a length of 9."
        raise Refusal(400, message, kind="invalid_function_call", code="3280")


def _content(content: Any, where: str) -> tuple[str, list[str]]:
    if content is None or isinstance(content, str):
        return content or "", []
    text, images = "", []
    for at, part in enumerate(content):
        kind = part.get("type")
        if kind == "text":
            text += str(part.get("text", ""))
        elif kind == "image_url":
            url = part["image_url"] if isinstance(part["image_url"], str) else part["image_url"]["url"]
            need(url.startswith(("http://", "https://", "data:image/")), "Image, 'image_url', could not be loaded.", code="3310")
            images.append(media.of_url(url))
        elif kind not in ("thinking", "document_url", "input_audio", "reference", "file"):
            raise Refusal(422, "Input tag does not match any of the expected tags", param=f"{where}.{at}", kind="union_tag_invalid")
    return text, images


def _usage(answers: list[Answer]) -> Json:
    read, written = answers[0].input_tokens, sum(one.output_tokens for one in answers)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _calls(one: Answer) -> list[Json]:
    return [
        {
            "id": call.id[:9],
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            "index": at,
        }
        for at, call in enumerate(one.calls)
    ]


def _message(one: Answer) -> Json:
    content: Any = one.text
    if one.thinking:
        content = [_thought("".join(one.thinking))] + ([{"type": "text", "text": one.text}] if one.pieces else [])
    return {"role": "assistant", "content": content, "tool_calls": _calls(one) or None}


def _thought(text: str) -> Json:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def _stream(head: Json, answers: list[Answer], usage: Json) -> Script:
    script = Script(Framing.SSE, [], terminal=[Event("[DONE]")])

    def chunk(index: int, delta: Json, finish: str | None = None, **more: Any) -> Event:
        choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}
        return Event(orjson.dumps(head | {"choices": [choice], **more}).decode())

    script.events = [chunk(at, {"role": "assistant", "content": ""}) for at in range(len(answers))]
    for at, one in enumerate(answers):
        script.events += [chunk(at, {"content": [_thought(piece)]}) for piece in one.thinking]
        for number, piece in enumerate(one.pieces):
            # behind thinking the text begins as a chunk and goes on as a string
            script.events.append(chunk(at, {"content": [{"type": "text", "text": piece}] if one.thinking and number == 0 else piece}))
        last = at == len(answers) - 1
        delta: Json = {"content": "", "tool_calls": _calls(one)} if one.calls else {"content": ""}
        script.finish.append(chunk(at, delta, _FINISH[one.finish], **({"usage": usage} if last else {})))
    return script

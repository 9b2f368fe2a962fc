"""OpenAI's wire format: chat completions and the errors; what is no chat is in `openai_data.py`.

Strict where a badly translated request would show: roles, tool messages that answer no call, calls left without an answer.
A named tool choice finishes with `stop`, as OpenAI's own does.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from edgegate.simulate import media
from edgegate.simulate.mind import CREATED, Answer, Call, Question, Tool, answer, portions
from edgegate.simulate.strict import fields, unknown
from edgegate.simulate.vendor import Asked, Event, Framing, Json, Refusal, Reply, Script, Vendor, Whole, need

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_FINISH = {"stop": "stop", "length": "length", "calls": "tool_calls"}
DONE = Event("[DONE]")
_SHOWN = ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty", "user", "reasoning_effort", "service_tier", "metadata")

_CHAT = fields(
    "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages metadata "
    "modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_options "
    "prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier stop store stream stream_options "
    "temperature tool_choice tools top_logprobs top_p user verbosity web_search_options"
)
_TOOL = frozenset({"name", "description", "parameters", "strict", "cache_control"})
_REASONS = re.compile(r"^(ft:)?(o\d|gpt-5)(?!.*-chat)")
"""Models that think, which take `max_completion_tokens` only."""

_ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request was refused by the simulator."),
    401: (
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided: simulated. You can find your API key at https://platform.openai.com/account/api-keys.",
    ),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Country, region, or territory not supported"),
    404: ("invalid_request_error", "model_not_found", "The model `{model}` does not exist or you do not have access to it."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for {model} on requests per min (RPM): Limit 3, Used 3, Requested 1."),
    500: ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    503: ("server_error", None, "The engine is currently overloaded, please try again later"),
}


class OpenAI(Vendor):
    name = "openai"
    content_type = "application/json"
    says_retry_after = True

    def headers(self, request_id: str) -> dict[str, str]:
        return {
            "x-request-id": f"req_{request_id}",
            "openai-processing-ms": "1",
            "openai-version": "2020-10-01",
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-reset-requests": "6ms",
            "x-ratelimit-limit-tokens": "2000000",
            "x-ratelimit-remaining-tokens": "1999990",
            "x-ratelimit-reset-tokens": "0s",
        }

    def error(self, refusal: Refusal, request_id: str) -> Json:
        kind, code, message = _ERRORS.get(refusal.status) or _ERRORS[400 if refusal.status < 500 else 500]
        if refusal.variant == "context":
            code = "context_length_exceeded"
            message = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. "
            message += "Please reduce the length of the messages."
        message = refusal.message or message.format(model=refusal.model or "simulated")
        param = "messages" if refusal.variant == "context" else refusal.param
        return {"error": {"message": message, "type": kind, "param": param, "code": refusal.code or code}}

    def error_event(self, request_id: str) -> Event:
        return Event(orjson.dumps(self.error(Refusal(500), request_id)).decode())


def chat(asked: Asked, strict: bool = True, tells: str = "") -> Reply:
    """POST /v1/chat/completions. Vendors that only resemble OpenAI are not `strict` about arguments, and have a field that `tells` what
    was thought."""
    body = asked.body
    if strict:
        refuse_unknown(body, _CHAT)
    question = _question(asked)
    wanted = body.get("n") or 1
    need(isinstance(wanted, int) and 0 < wanted <= 128, "Invalid 'n': expected an integer between 1 and 128.", "n")
    answers = [answer(question, number) for number in range(wanted)]
    named = question.choice not in ("auto", "none", "any")
    head = {
        "id": f"chatcmpl-{answers[0].id}",
        "created": CREATED,
        "model": question.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }
    if body.get("stream"):
        options = body.get("stream_options") or {}
        return _stream(head | {"object": "chat.completion.chunk"}, answers, bool(options.get("include_usage")), named, tells)
    choices = [_choice(at, one, named, tells) for at, one in enumerate(answers)]
    return Whole(head | {"object": "chat.completion", "choices": choices, "usage": usage_of(answers)})


def refuse_unknown(body: Json, known: frozenset[str]) -> None:
    """OpenAI's words for an argument that an endpoint does not have."""
    stray = unknown(body, known)
    need(stray is None, f"Unrecognized request argument supplied: {stray}")


def _question(asked: Asked) -> Question:
    body = asked.body
    need(isinstance(body.get("model"), str), "you must provide a model parameter")
    messages = body.get("messages")
    need(isinstance(messages, list), "Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    need(
        bool(messages),
        "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        "messages",
        "empty_array",
    )
    question = Question(asked.model, seed=asked.raw)
    limit = body.get("max_completion_tokens")
    question.max_tokens = limit if limit is not None else body.get("max_tokens")
    need(
        question.max_tokens is None or isinstance(question.max_tokens, int),
        "Invalid type for 'max_tokens': expected an integer.",
        "max_tokens",
        "invalid_type",
    )
    need(
        body.get("max_tokens") is None or not _REASONS.search(asked.model),
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "max_tokens",
        "unsupported_parameter",
    )
    stop = body.get("stop") or []
    question.stop = [stop] if isinstance(stop, str) else list(stop)
    need(
        len(question.stop) <= 4,
        "Invalid 'stop': array too long. Expected an array with maximum length 4.",
        "stop",
        "array_above_max_length",
    )
    question.think = body.get("reasoning_effort") not in (None, "none")
    question.settings = {name: body[name] for name in _SHOWN if body.get(name) is not None}
    _read_tools(body, question)
    _read_messages(messages or [], question)
    wanted = body.get("response_format") or {}
    question.json_mode = wanted.get("type") == "json_object"
    if wanted.get("type") == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema")
        need(isinstance(schema, dict), "Missing required parameter: 'response_format.json_schema.schema'.", "response_format.json_schema")
        question.schema = schema
    return question


def _read_tools(body: Json, question: Question) -> None:
    for at, tool in enumerate(body.get("tools") or []):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            need(
                isinstance(tool, dict) and tool.get("type") not in (None, "function"),
                f"Missing required parameter: 'tools[{at}].function'.",
                f"tools[{at}].function",
            )
            continue
        stray = unknown(function, _TOOL) or unknown(tool, ("type", "function", "cache_control"))
        need(stray is None, f"Unknown parameter: 'tools[{at}].{stray}'.", f"tools[{at}].{stray}", "unknown_parameter")
        need(bool(function.get("name")), f"Missing required parameter: 'tools[{at}].function.name'.", f"tools[{at}].function.name")
        question.tools.append(Tool(function["name"], function.get("parameters") or {"type": "object", "properties": {}}))
    choice = body.get("tool_choice") or "auto"
    need(
        choice == "auto" or choice == "none" or bool(body.get("tools")),
        "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
        "tool_choice",
    )
    if isinstance(choice, dict):
        question.choice = str((choice.get("function") or {}).get("name", "any"))
        need(
            question.choice in [tool.name for tool in question.tools] or choice.get("type") != "function",
            "Tool choice names a function that is not in 'tools'.",
            "tool_choice",
        )
    else:
        question.choice = "any" if choice == "required" else str(choice)
    question.parallel = body.get("parallel_tool_calls") is not False


def _read_messages(messages: list[Any], question: Question) -> None:
    open_calls: set[str] = set()
    for at, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        need(
            role in _ROLES,
            f"Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.",
            f"messages[{at}].role",
            "invalid_value",
        )
        text, images = _content(message.get("content"), at)
        if role == "tool":
            need(
                message.get("tool_call_id") in open_calls,
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
                f"messages[{at}].role",
            )
            open_calls.discard(message["tool_call_id"])
            question.results.append(text)
        else:
            need(
                not open_calls,
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
                f"The following tool_call_ids did not have response messages: {', '.join(sorted(open_calls))}",
                f"messages[{at}].role",
            )
            question.results = []
        if role == "assistant":
            for call in message.get("tool_calls") or []:
                arguments = (call.get("function") or {}).get("arguments", "")
                need(
                    isinstance(arguments, str),
                    "Invalid type for 'tool_calls[0].function.arguments': expected a string.",
                    f"messages[{at}].tool_calls",
                )
                open_calls.add(str(call.get("id")))
                text += f" {arguments}"
        if role in ("system", "developer"):
            question.system += ("\n" if question.system else "") + text
        if role == "user":
            question.prompt = text
            question.see(images)
        question.roles.append(str(role))
        question.texts.append(text)
    need(
        not open_calls,
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'.",
        "messages",
    )


def _content(content: Any, at: int) -> tuple[str, list[str]]:
    if content is None or isinstance(content, str):
        return content or "", []
    need(
        isinstance(content, list),
        f"Invalid type for 'messages[{at}].content': expected one of a string or array of objects.",
        f"messages[{at}].content",
        "invalid_type",
    )
    text, images = "", []
    for part in content:  # whatever else stands in a part is taken (recorded: `cache_control` and `prompt_cache_breakpoint`)
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            text += str(part.get("text", ""))
        elif kind == "refusal":
            text += str(part.get("refusal", ""))
        elif kind == "image_url":
            url = (part.get("image_url") or {}).get("url", "") if isinstance(part.get("image_url"), dict) else ""
            need(
                url.startswith(("http://", "https://", "data:image/")),
                "Invalid 'image_url': expected an http(s) or data URL.",
                f"messages[{at}].content",
                "invalid_image_url",
            )
            images.append(media.of_url(url))
        else:
            need(
                kind in ("input_audio", "file"),
                f"Invalid value: '{kind}'. Supported values are: 'text', 'image_url', 'input_audio', 'refusal', and 'file'.",
                f"messages[{at}].content",
                "invalid_value",
            )
    return text, images


def _finish(one: Answer, named: bool) -> str:
    return "stop" if named and one.finish == "calls" else _FINISH[one.finish]


def _choice(index: int, one: Answer, named: bool, tells: str) -> Json:
    message: Json = {"role": "assistant", "content": None if one.calls else one.text, "refusal": None, "annotations": []}
    if tells and one.thinking:
        message[tells] = "".join(one.thinking)
    if one.calls:
        message["tool_calls"] = [_call(call) for call in one.calls]
    return {"index": index, "message": message, "logprobs": None, "finish_reason": _finish(one, named)}


def _call(call: Call) -> Json:
    return {
        "id": f"call_{call.id}",
        "type": "function",
        "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
    }


def usage_of(answers: list[Answer]) -> Json:
    written, read = sum(one.output_tokens for one in answers), answers[0].input_tokens
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": sum(one.reasoning_tokens for one in answers),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def event_of(chunk: Json) -> Event:
    return Event(orjson.dumps(chunk).decode())


def _stream(head: Json, answers: list[Answer], include_usage: bool, named: bool, tells: str) -> Script:
    more: Json = {"usage": None} if include_usage else {}

    def chunk(index: int, delta: Json, finish: str | None = None) -> Event:
        return event_of(head | {"choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]} | more)

    script = Script(Framing.SSE, [], terminal=[DONE])
    for index, one in enumerate(answers):
        opening: Json = {"role": "assistant", "content": None if one.calls else "", "refusal": None}
        script.events.append(chunk(index, opening))
    for index, one in enumerate(answers if tells else ()):
        script.events += [chunk(index, {tells: piece}) for piece in one.thinking]
    for at in range(max(len(one.pieces) for one in answers)):  # choices take turns, as OpenAI's do
        script.events += [chunk(index, {"content": one.pieces[at]}) for index, one in enumerate(answers) if at < len(one.pieces)]
    for index, one in enumerate(answers):
        for number, call in enumerate(one.calls):
            full = _call(call)
            arguments = full["function"]["arguments"]
            first = {"index": number, **full, "function": {"name": call.name, "arguments": ""}}
            script.events.append(chunk(index, {"tool_calls": [first]}))
            for piece in portions(arguments):
                script.events.append(chunk(index, {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}))
    script.finish = [chunk(index, {}, _finish(one, named)) for index, one in enumerate(answers)]
    if include_usage:
        script.finish.append(event_of(head | {"choices": [], "usage": usage_of(answers)}))
    return script

"""A chat as a request to Ollama's `/api/chat`.

`stream` is always written: where it is absent Ollama streams. Sampling parameters go into `options`; a client's own
`options`, `keep_alive` and `think` (as Ollama's users send them through an OpenAI SDK's `extra_body`) pass, and OpenAI's
words for the same thing win. Ollama can neither be forced to call a tool nor to stop at one.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Ask, Json, WireRequest
from edgegate.dialects.chat import max_tokens_of
from edgegate.dialects.embedding import texts_of
from edgegate.dialects.ollama.messages import messages_of
from edgegate.errors import bad_request

_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repetition_penalty": "repeat_penalty",
}
_SAME = ("keep_alive", "logprobs", "top_logprobs")
_HANDLED = frozenset(
    (
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "options"),
        *("response_format", "format", "tools", "tool_choice", "reasoning_effort", "think"),
    )
)
_SAYS_NOTHING: Json = {"n": 1, "parallel_tool_calls": True, "store": False, "modalities": ["text"], "logit_bias": {}}
_EFFORTS: Json = {"none": False, "minimal": "low", "xhigh": "high"}  # others pass: low, medium, high, and max since mid-2026
_NO_PARAMETERS: Json = {"type": "object", "properties": {}}
_JSON = [(b"content-type", b"application/json")]


def chat_request(path: str, ask: Ask) -> WireRequest:
    """The whole request. Raises a 400 that names the field for what Ollama cannot be sent."""
    chat = ask.chat
    dropped: list[str] = []
    body: Json = {"model": ask.model, "messages": messages_of(chat, dropped), "stream": ask.stream}
    options: Json = dict(chat["options"]) if isinstance(chat.get("options"), dict) else {}
    for key, value in chat.items():
        if value is None or key in _HANDLED:
            continue
        if key in _OPTIONS:
            options[_OPTIONS[key]] = value
        elif key in _SAME:
            body[key] = value
        elif key not in _SAYS_NOTHING or _SAYS_NOTHING[key] != value:
            dropped.append(key)
    limit = max_tokens_of(chat)
    if limit is not None:
        options["num_predict"] = limit
    stop = chat.get("stop")
    if stop is not None:
        options["stop"] = [stop] if isinstance(stop, str) else stop
    if options:
        body["options"] = options
    form = _format(chat)
    if form is not None:
        body["format"] = form
    think = _think(chat)
    if think is not None:
        body["think"] = think
    _tools(chat, body, dropped)
    accept = b"application/x-ndjson" if ask.stream else b"application/json"
    return WireRequest(path, orjson.dumps(body), [*_JSON, (b"accept", accept)], dropped)


def _think(chat: Json) -> Any:
    effort = chat.get("reasoning_effort")
    return chat.get("think") if effort is None else _EFFORTS.get(effort, effort) if isinstance(effort, str) else None


def _format(chat: Json) -> Any:
    """`"json"`, a JSON Schema, or nothing."""
    given = chat.get("response_format")
    if given is None:
        return chat.get("format") or None
    kind = given.get("type") if isinstance(given, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return "json"
    schema = given.get("json_schema") if isinstance(given, dict) else None
    if kind != "json_schema" or not isinstance(schema, dict):
        raise bad_request("expected type text, json_object, or json_schema with json_schema", "response_format")
    return schema.get("schema") or "json"


def _tools(chat: Json, body: Json, dropped: list[str]) -> None:
    tools, choice = chat.get("tools"), chat.get("tool_choice")
    if choice not in (None, "auto", "none"):
        dropped.append("tool_choice")
    if tools is None:
        return
    if not isinstance(tools, list):
        raise bad_request("expected a list of tools", "tools")
    if tools and choice != "none":
        body["tools"] = [_tool(tool, f"tools[{at}]", dropped) for at, tool in enumerate(tools)]


def _tool(tool: Any, param: str, dropped: list[str]) -> Json:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise bad_request("this provider takes tools of type function with a name", param)
    written: Json = {"name": function["name"], "parameters": function.get("parameters") or _NO_PARAMETERS}
    if function.get("description") is not None:
        written["description"] = function["description"]
    if function.get("strict") and "tools[].function.strict" not in dropped:
        dropped.append("tools[].function.strict")
    return {"type": "function", "function": written}


def embed_request(path: str, request: Json, model: str) -> WireRequest:
    """`encoding_format` is not passed on: Ollama answers numbers, which are packed here."""
    body: Json = {"model": model, "input": texts_of(request)}
    dropped = []
    for key, value in request.items():
        if value is None or key in ("model", "input", "encoding_format"):
            continue
        if key in ("dimensions", "truncate", "options", "keep_alive"):
            body[key] = value
        else:
            dropped.append(key)
    return WireRequest(path, orjson.dumps(body), [*_JSON, (b"accept", b"application/json")], dropped)

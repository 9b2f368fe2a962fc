"""A chat as a request to Ollama's `/api/chat`.

`stream` is always written: where it is absent Ollama streams. Sampling parameters go into `options`, where OpenAI's words win
over a client's own `options`; a client's own `keep_alive`, `think` and `format` (from Ollama's clients, or through an OpenAI
SDK's `extra_body`) pass as they are. Ollama can neither be forced to call a tool nor to stop at one.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Ask, Json, WireRequest
from edgegate.dialects.chat import marks_cache, max_tokens_of
from edgegate.dialects.custom import as_functions
from edgegate.dialects.embedding import texts_of
from edgegate.dialects.losses import Losses
from edgegate.dialects.ollama.messages import messages_of
from edgegate.dialects.ollama.tools import write_tools
from edgegate.errors import bad_request

OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repetition_penalty": "repeat_penalty",
}
"""The chat's words, and those of Ollama's `options` for the same."""

_SAME = ("keep_alive", "logprobs", "top_logprobs", "truncate", "shift")
_HANDLED = frozenset(
    (
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "options", "n"),
        *("response_format", "format", "tools", "tool_choice", "reasoning_effort", "think", "thinking", "output_config"),
    )
)
_SAYS_NOTHING: Json = {"parallel_tool_calls": True, "store": False, "modalities": ["text"], "logit_bias": {}}
_NEAR_EFFORTS = {"minimal": "low", "xhigh": "high"}
_JSON = [(b"content-type", b"application/json")]


def chat_request(path: str, ask: Ask) -> WireRequest:
    """The whole request. Raises a 400 that names the field for what Ollama cannot be sent."""
    losses = Losses(ask.approximate)
    chat = as_functions(ask.chat, losses)
    if marks_cache(chat):
        losses.drop("cache_control")
    if chat.get("n") not in (None, 1):
        raise bad_request("this provider gives one choice", "n")
    body: Json = {"model": ask.model, "messages": messages_of(chat, losses), "stream": ask.stream}
    options: Json = dict(chat["options"]) if isinstance(chat.get("options"), dict) else {}
    if chat.get("options") is not None and not isinstance(chat["options"], dict):
        losses.drop("options")
    for key, value in chat.items():
        if value is None or key in _HANDLED or key.startswith("x-"):
            continue
        if key in OPTIONS:
            options[OPTIONS[key]] = value
        elif key in _SAME:
            body[key] = value
        elif key not in _SAYS_NOTHING or _SAYS_NOTHING[key] != value:
            losses.drop(key)
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
    think = _think(chat, losses)
    if think is not None:
        body["think"] = think
    write_tools(chat, body, losses)
    accept = b"application/x-ndjson" if ask.stream else b"application/json"
    return WireRequest(path, orjson.dumps(body), [*_JSON, (b"accept", accept)], losses.dropped, losses.mapped)


def _think(chat: Json, losses: Losses) -> bool | str | None:
    """Whether to think, or how hard: Ollama's own `think`, else the effort, else Anthropic's `thinking`."""
    think, effort, thinking = chat.get("think"), chat.get("reasoning_effort"), chat.get("thinking")
    config = chat.get("output_config")
    if config is not None and (not isinstance(config, dict) or config.keys() - {"effort"}):
        losses.drop("output_config")
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if thinking is not None and kind not in ("enabled", "adaptive", "disabled"):
        losses.drop("thinking")
    elif kind == "enabled" and not losses.near("thinking"):  # a budget of tokens, which has no place here
        kind = None
    if isinstance(think, (bool, str)):
        return think
    if isinstance(effort, str) and effort in _NEAR_EFFORTS:
        return _NEAR_EFFORTS[effort] if losses.near("reasoning_effort") else None
    if isinstance(effort, str):
        return False if effort == "none" else effort  # low, medium, high; max since mid-2026
    if effort is not None:
        losses.drop("reasoning_effort")
    return {"enabled": True, "adaptive": True, "disabled": False}.get(kind) if isinstance(kind, str) else None


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

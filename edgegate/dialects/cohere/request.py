"""A chat as the body of `/v2/chat`.

Nothing is lost in silence: a field is mapped, refused with a 400 that names it, or named in `dropped`; what was written
another way, or moved into Cohere's narrower range, is named in `mapped`. Ranges are those of the SDK's documentation: p from
0.01 to 0.99, both penalties from 0 to 1, k up to 500, temperature up to 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from edgegate.dialects.base import Ask, Chat, Json, WireRequest
from edgegate.dialects.chat import marks_cache, max_tokens_of, server_tool
from edgegate.dialects.cohere.messages import Messages, reasons
from edgegate.dialects.cohere.words import OWN_FIELDS
from edgegate.dialects.custom import as_functions
from edgegate.dialects.losses import Losses
from edgegate.dialects.vendor_parts import is_lost, name_of_tool
from edgegate.errors import bad_request

_RANGES: dict[str, tuple[str, float, float]] = {
    "temperature": ("temperature", 0, 1),
    "top_p": ("p", 0.01, 0.99),
    "top_k": ("k", 0, 500),
    "presence_penalty": ("presence_penalty", 0, 1),
    "frequency_penalty": ("frequency_penalty", 0, 1),
}
_READ = frozenset(
    (
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "seed", "n", "logprobs"),
        *("tools", "tool_choice", "response_format", "reasoning_effort", "thinking", "strict_tools", *_RANGES, *OWN_FIELDS),
    )
)
_SAYS_NOTHING: Json = {
    "store": False,
    "modalities": ["text"],
    "logit_bias": {},
    "parallel_tool_calls": True,
    "top_logprobs": 0,
    "service_tier": "auto",
}
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192}
_UNLIMITED = ("high", "xhigh", "max")
_NO_PARAMETERS: Json = {"type": "object", "properties": {}}
_JSON = "Respond with a single valid JSON {what} and nothing else: no prose, no code fences."


def chat_request(path: str, ask: Ask) -> WireRequest:
    """The whole request. Raises a 400 that names the field for what Cohere cannot be sent."""
    losses = Losses(ask.approximate)
    dropped, mapped = losses.dropped, losses.mapped
    chat = as_functions(ask.chat, losses)
    if marks_cache(chat):
        losses.drop("cache_control")
    ask = replace(ask, chat=chat)
    if chat.get("n") not in (None, 1):
        raise bad_request("this provider gives one choice", "n", code="unsupported_value")
    for name in ("functions", "function_call"):
        if chat.get(name):
            raise bad_request("this provider takes tools, not the older functions", name)
    body: Json = {"model": ask.model, "messages": Messages(ask, dropped, mapped).written(), "stream": ask.stream}
    _tools(ask, body, dropped, mapped)
    _format(ask, body, dropped, mapped)
    _sampling(ask, body, dropped, mapped)
    _thinking(ask, body, dropped, mapped)
    for name in OWN_FIELDS:
        if chat.get(name) is not None and name != "token_budget":
            body[name] = _documents(chat[name]) if name == "documents" else chat[name]
    told = chat.get("output_config")
    told = told if isinstance(told, dict) and told.keys() <= {"effort"} and chat.get("reasoning_effort") else None
    for name, value in chat.items():
        if name == "output_config" and value is told:  # Anthropic's words for the effort
            continue
        if name not in _READ and value is not None and _SAYS_NOTHING.get(name) != value and not name.startswith("x-"):
            dropped.append(name)
    accept = b"text/event-stream" if ask.stream else b"application/json"
    return WireRequest(path, orjson.dumps(body), [(b"content-type", b"application/json"), (b"accept", accept)], dropped, mapped)


def _documents(given: Any) -> list[Any]:
    """Cohere's own hold their fields in `data`; those of others (vLLM takes `{title, text}`) are their fields."""
    if not isinstance(given, list) or not all(isinstance(document, (str, dict)) for document in given):
        raise bad_request("expected a list of strings or objects", "documents")
    return [document if isinstance(document, str) or "data" in document else {"data": document} for document in given]


def _tools(ask: Ask, body: Json, dropped: list[str], mapped: list[str]) -> None:
    given = ask.chat.get("tools")
    if given is not None and not isinstance(given, list):
        raise bad_request("expected a list of tools", "tools")
    tools: list[Json] = []
    strict = []
    for at, tool in enumerate(given or ()):
        if not isinstance(tool, dict):
            raise bad_request("expected an object", f"tools[{at}]")
        if tool.get("type", "function") != "function" or (server_tool(tool) and "function" not in tool):
            dropped.append(name_of_tool(tool))
            continue
        if tool.get("cache_control") and "cache_control" not in dropped:
            dropped.append("cache_control")
        if is_lost(tool) and "tools.extra_content" not in dropped:
            dropped.append("tools.extra_content")
        function = tool.get("function")
        tools.append(_tool(function, f"tools[{at}].function"))
        strict.append(isinstance(function, dict) and function.get("strict") is True)
    if tools:
        body["tools"] = tools
        # one switch for all of them, and it wants a required parameter in each
        if all(strict) and all(tool["function"]["parameters"].get("required") for tool in tools):
            body["strict_tools"] = True
        elif any(strict):
            dropped.append("tools.strict")
    _choice(ask, body, dropped, mapped)


def _tool(function: Any, where: str) -> Json:
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise bad_request("expected the name of a function", f"{where}.name")
    parameters = function.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise bad_request("expected an object", f"{where}.parameters")
    written: Json = {"name": function["name"]}
    if isinstance(function.get("description"), str):
        written["description"] = function["description"]
    written["parameters"] = parameters or _NO_PARAMETERS  # required here, not at OpenAI
    return {"type": "function", "function": written}


def _choice(ask: Ask, body: Json, dropped: list[str], mapped: list[str]) -> None:
    """There is REQUIRED and there is NONE. A tool by name is REQUIRED with no other on offer."""
    choice = ask.chat.get("tool_choice")
    if choice is None or choice == "auto":
        return
    if choice not in ("none", "required", "any") and not isinstance(choice, dict):
        raise bad_request("expected auto, none, required, or a function by name", "tool_choice")
    if "tools" not in body:
        if choice != "none":
            dropped.append("tool_choice")
        return
    if not isinstance(choice, dict):
        body["tool_choice"] = "NONE" if choice == "none" else "REQUIRED"
        return
    names, required = _allowed(choice)
    offered = [tool for tool in body["tools"] if tool["function"]["name"] in names]
    if not names:
        raise bad_request("expected auto, none, required, or a function by name", "tool_choice")
    if not offered:
        raise bad_request("expected the name of one of the tools", "tool_choice")
    if not ask.approximate:
        dropped.append("tool_choice")
        return
    mapped.append("tool_choice")
    body["tools"] = offered
    if required:
        body["tool_choice"] = "REQUIRED"


def _allowed(choice: Json) -> tuple[list[str], bool]:
    """(names, whether one of them must be called) of `function` and `allowed_tools` choices."""
    inner = choice.get("allowed_tools")
    if choice.get("type") == "allowed_tools" and isinstance(inner, dict):
        tools = inner.get("tools")
        names = [_name(tool) for tool in tools] if isinstance(tools, list) else []
        return [name for name in names if name], inner.get("mode") == "required"
    name = _name(choice)
    return [name] if name else [], True


def _name(value: Any) -> str:
    function = value.get("function") if isinstance(value, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""


def _format(ask: Ask, body: Json, dropped: list[str], mapped: list[str]) -> None:
    """`response_format`. Cohere refuses it beside tools and documents: there the model is asked for JSON in words."""
    value = ask.chat.get("response_format")
    if value is None:
        return
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise bad_request("expected one of text, json_object, json_schema", "response_format.type")
    if kind == "text":
        body["response_format"] = {"type": "text"}
        return
    named = value.get("json_schema")
    if kind == "json_schema" and not isinstance(named, dict):
        raise bad_request("expected an object", "response_format.json_schema")
    schema = named.get("schema") if kind == "json_schema" else value.get("schema")  # the latter is Together's
    if schema is not None and not isinstance(schema, dict):
        raise bad_request("expected an object", "response_format.json_schema.schema")
    if "tools" not in body and not ask.chat.get("documents"):
        body["response_format"] = {"type": "json_object", **({"json_schema": schema} if schema is not None else {})}
        return
    if not ask.approximate:
        dropped.append("response_format")
        return
    mapped.append("response_format")
    text = _JSON.format(what="object" if schema is None else "value")
    if schema is not None:
        text += " It must match this JSON Schema: " + orjson.dumps(schema).decode()
    body["messages"] = [{"role": "system", "content": text}, *body["messages"]]


def _sampling(ask: Ask, body: Json, dropped: list[str], mapped: list[str]) -> None:
    chat = ask.chat
    for name, (theirs, low, high) in _RANGES.items():
        value = chat.get(name)
        if value is None:
            continue
        if type(value) is int or type(value) is float:
            within = min(max(value, low), high)
            if within != value:
                if not ask.approximate:
                    dropped.append(name)
                    continue
                mapped.append(name)
            body[theirs] = within
        else:
            raise bad_request("expected a number", name)
    limit = max_tokens_of(chat)
    if limit is not None:
        if type(limit) is not int:
            raise bad_request("expected an integer", "max_tokens" if chat.get("max_completion_tokens") is None else "max_completion_tokens")
        body["max_tokens"] = limit
    seed = chat.get("seed")
    if type(seed) is int and seed >= 0:
        body["seed"] = seed
    elif seed is not None:
        dropped.append("seed")
    stop = chat.get("stop")
    if stop:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
        if not isinstance(stop, (str, list)) or not all(isinstance(text, str) for text in stop):
            raise bad_request("expected a string or a list of strings", "stop")
    if chat.get("logprobs"):
        body["logprobs"] = True


def _thinking(ask: Ask, body: Json, dropped: list[str], mapped: list[str]) -> None:
    """`thinking` from a budget, of Cohere's own or of Anthropic's `thinking`, else from `reasoning_effort`: without a budget a
    model thinks as long as it likes, which is what `high` asks for."""
    chat: Chat = ask.chat
    given = chat.get("thinking")
    effort = chat.get("reasoning_effort")
    budget = chat.get("token_budget")
    name = "reasoning_effort"
    if isinstance(given, dict) and given.get("type") in ("enabled", "disabled", "adaptive"):
        name = "thinking" if effort is None else name
        budget = given.get("budget_tokens") if budget is None else budget
        effort = "none" if given["type"] == "disabled" else effort or "high"
    elif given is not None:
        dropped.append("thinking")
    if effort is None and budget is None:
        return
    if not reasons(ask.model):
        dropped.append(name)
        return
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif type(budget) is int and budget > 0:
        body["thinking"] = {"type": "enabled", "token_budget": budget}
    elif effort in _UNLIMITED:
        body["thinking"] = {"type": "enabled"}
    elif isinstance(effort, str) and effort in _BUDGETS and ask.approximate:
        limit = body.get("max_tokens")  # thinking counts: the rest is for the answer
        tokens = _BUDGETS[effort] if limit is None else max(1, min(_BUDGETS[effort], limit * 4 // 5))
        body["thinking"] = {"type": "enabled", "token_budget": tokens}
        mapped.append(name)
    else:
        dropped.append(name)

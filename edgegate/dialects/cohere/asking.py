"""A request to `/v2/chat` as a chat.

What the chat has words for is said in them. What it has none for stays under Cohere's name: `documents`, `citation_options`,
`safety_mode`, `priority`, `token_budget`, and any field this module does not know. A document in a tool's result is told as
text (its data as JSON), which every provider reads, and kept beside it. A `tool_plan` is the text before the calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from edgegate.dialects.base import Chat, Json
from edgegate.dialects.chat import parts_of
from edgegate.dialects.cohere.citations import noted

_SAID = frozenset(("model", "messages", "stream", "tools", "tool_choice", "strict_tools", "response_format", "thinking"))
"""Fields that the chat words differently; others keep their value, some under the chat's name."""

_NAMES: Mapping[str, str] = {"p": "top_p", "k": "top_k", "stop_sequences": "stop"}
_CHOICES: Mapping[str, str] = {"REQUIRED": "required", "NONE": "none"}
_EFFORTS = ((1024, "minimal"), (2048, "low"), (8192, "medium"))


def chat_of(request: Json) -> Chat:
    """The chat for a request that passed `check_chat`."""
    chat: Chat = {"model": request["model"], "messages": [_message(message) for message in request["messages"]]}
    if request.get("stream"):
        chat["stream"] = True
        chat["stream_options"] = {"include_usage": True}
    if request.get("tools"):
        strict = request.get("strict_tools") is True
        chat["tools"] = [_tool(tool, strict) for tool in request["tools"]]
    if request.get("tool_choice") is not None:
        chat["tool_choice"] = _CHOICES[request["tool_choice"]]
    _format(request.get("response_format"), chat)
    _thinking(request.get("thinking"), chat)
    for name, value in request.items():
        if name not in _SAID and value is not None and value != []:
            chat.setdefault(_NAMES.get(name, name), value)
    return chat


def _message(message: Json) -> Json:
    role = message["role"]
    if role == "assistant":
        return _assistant(message)
    if role == "tool":
        content = message["content"]
        results = content if isinstance(content, str) else [_result(part) for part in content]
        return {"role": "tool", "tool_call_id": message["tool_call_id"], "content": results}
    content = message["content"]
    if isinstance(content, list):
        content = [_part(part) for part in content]
    return {"role": role, "content": content}


def _part(part: Json) -> Json:
    if part["type"] == "image_url" and isinstance(part["image_url"], str):
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    return part


def _result(part: Json) -> Json:
    if part["type"] != "document":
        return part
    document = part["document"]
    if isinstance(document, str):
        return {"type": "text", "text": document}
    data = document.get("data", document)
    words = data if isinstance(data, str) else orjson.dumps(data).decode()
    return {"type": "text", "text": words, "document": document}


def _assistant(message: Json) -> Json:
    content = message.get("content")
    thoughts = ""
    if isinstance(content, list):
        thoughts = "".join(part["thinking"] for part in content if part["type"] == "thinking")
        content = [part for part in content if part["type"] != "thinking"] or None
    plan = message.get("tool_plan") or ""
    calls = message.get("tool_calls") or []
    written: Json = {"role": "assistant", "content": content}
    if plan:
        written["content"] = [{"type": "text", "text": plan}, *parts_of(content)] if content else plan
    if (content and (calls or plan)) or (plan and not calls):
        written["tool_plan"] = plan or None  # which of the text it is; without it all of it would be
    if thoughts:
        written["reasoning_content"] = thoughts
    if calls:
        written["tool_calls"] = [_call(call) for call in calls]
    elif written["content"] is None:
        written["content"] = ""
    notes = noted(message.get("citations"))
    if notes:
        written["annotations"] = notes
    return written


def _call(call: Json) -> Json:
    function = call["function"]
    return {
        "id": call["id"],
        "type": "function",
        "function": {"name": function["name"], "arguments": function.get("arguments") or "{}"},
    }


def _tool(tool: Json, strict: bool) -> Json:
    function = {name: value for name, value in tool["function"].items() if value is not None}
    return {"type": "function", "function": {**function, "strict": True} if strict else function}


def _format(format: Any, chat: Chat) -> None:
    if format is None:
        return
    schema = format.get("json_schema") or format.get("schema")  # the second is the name in older SDKs
    if format["type"] == "json_object" and schema is not None:
        chat["response_format"] = {"type": "json_schema", "json_schema": {"name": "response", "schema": schema}}
    else:
        chat["response_format"] = {"type": format["type"]}


def _thinking(thinking: Any, chat: Chat) -> None:
    """As an effort, which every provider can follow. The exact budget stays beside it, for Cohere."""
    if thinking is None:
        return
    budget = thinking.get("token_budget")
    if thinking["type"] == "disabled":
        chat["reasoning_effort"] = "none"
    elif budget is None:
        chat["reasoning_effort"] = "high"
    else:
        chat["reasoning_effort"] = next((effort for most, effort in _EFFORTS if budget <= most), "high")
        chat["token_budget"] = budget

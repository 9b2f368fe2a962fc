"""A chat as an OpenAI-shaped provider takes it.

The chat is that format already. What is left to do: take out what other dialects left in it under their own names (they
are refused: "Unrecognized request argument supplied"), keep the extensions this provider understands, and name the output
limit and the roles as it does. What is taken out is named; what cannot be left out without changing the question is a 400.
Parts of the chat that stay as they are are shared, never changed.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Ask, Json
from edgegate.dialects.openai.quirks import PLAIN_MODELS, REASONING_MODELS, MaxTokens, Quirks
from edgegate.errors import bad_request

FOREIGN = frozenset(
    (
        "thinking",
        "output_config",
        "container",
        "mcp_servers",
        "context_management",
        "inference_geo",
        "speed",
        "betas",
        "cache_control",
        "safety_settings",
    )
)
"""Request fields of other dialects that a chat may carry for their providers."""

_MESSAGE = frozenset(("role", "content", "name", "tool_calls", "tool_call_id", "refusal", "audio", "function_call"))
_CALL = frozenset(("id", "type", "function", "custom"))
_TOOL = frozenset(("type", "function", "custom"))
_PARTS = frozenset(("text", "refusal", "image_url", "input_audio", "file"))


def chat_body(ask: Ask, quirks: Quirks) -> tuple[Json, list[str]]:
    """The request's JSON, and the names of the fields that had to be left out."""
    work = _Writing(quirks)
    chat = ask.chat
    refused = (FOREIGN | quirks.refuses) - quirks.keeps
    work.dropped |= {name for name in refused if chat.get(name) is not None}
    body = {name: value for name, value in chat.items() if value is not None and name not in refused}
    body["model"] = ask.model
    body["messages"] = work.messages(chat.get("messages") or [])
    if "tools" in body:
        work.tools(body)
    work.limit(body, ask.model)
    work.stream(body, ask.stream)
    return body, sorted(work.dropped)


class _Writing:
    """One request being written; `dropped` gathers names."""

    def __init__(self, quirks: Quirks) -> None:
        self.dropped: set[str] = set()
        self._quirks = quirks
        self._message = _MESSAGE | quirks.keeps
        self._call = _CALL | quirks.keeps
        self._tool = _TOOL | quirks.keeps

    def limit(self, body: Json, model: str) -> None:
        rule = self._quirks.max_tokens
        if rule is MaxTokens.EITHER:
            return
        new = rule is MaxTokens.NEW
        if rule is MaxTokens.BY_MODEL:
            new = is_reasoning(model)
            if model.startswith(PLAIN_MODELS) and body.pop("reasoning_effort", None) is not None:
                self.dropped.add("reasoning_effort")
        old_name, new_name = ("max_tokens", "max_completion_tokens") if new else ("max_completion_tokens", "max_tokens")
        limit = body.pop(old_name, None)
        if limit is not None:
            body.setdefault(new_name, limit)

    def stream(self, body: Json, stream: bool) -> None:
        options = body.pop("stream_options", None)
        body.pop("stream", None)
        if not stream:
            return
        body["stream"] = True
        if self._quirks.stream_usage:
            body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}

    def tools(self, body: Json) -> None:
        """Functions go on; tools that another vendor runs (`{"type": "web_search_20250305"}`) cannot."""
        tools = []
        for tool in body["tools"]:
            kind = tool.get("type", "function")
            if kind in ("function", "custom"):
                tools.append(self._only(tool, self._tool))
            else:
                self.dropped.add(f"tools.{kind}")
        if tools:
            body["tools"] = tools
            return
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)

    def messages(self, messages: list[Json]) -> list[Json]:
        out: list[Json] = []
        pictures: list[Json] = []  # of tool results: only user messages may hold them
        for at, original in enumerate(messages):
            message = self._one(original, f"messages[{at}]")
            if message["role"] != "tool":
                if pictures:
                    out.append({"role": "user", "content": pictures})
                    pictures = []
            elif isinstance(message.get("content"), list):
                message, found = _text_only(message)
                pictures += found
            out.append(message)
        if pictures:
            out.append({"role": "user", "content": pictures})
        return out

    def _one(self, original: Json, param: str) -> Json:
        message = self._only(original, self._message)
        role = message["role"]
        changes: Json = {}
        content = message.get("content")
        if isinstance(content, list):
            changes["content"] = self._parts(content, role, f"{param}.content") or ""
        elif content is None and role == "assistant" and not _acts(message):
            changes["content"] = ""  # nothing is left of a turn that was only thinking; null is refused
        if role == "developer" and not self._quirks.developer_role:
            changes["role"] = "system"
        calls = message.get("tool_calls")
        if calls and role == "assistant":
            changes["tool_calls"] = [self._only(call, self._call) for call in calls]
        elif "tool_calls" in message:  # "[] is too short - 'messages.1.tool_calls'"
            message = {name: value for name, value in message.items() if name != "tool_calls"}
        return {**message, **changes} if changes else message

    def _parts(self, parts: list[Json], role: str, param: str) -> list[Json]:
        out = []
        for at, part in enumerate(parts):
            kind = part.get("type")
            if kind in _PARTS:
                out.append(self._only(part, frozenset(("type", kind)) | self._quirks.keeps))
            elif role == "assistant":  # a vendor's own blocks in the history: the text beside them tells the outcome
                self.dropped.add(f"content.{kind}")
            else:
                raise bad_request(
                    f"This provider cannot take content of type '{str(kind)[:40]}'.", f"{param}[{at}]", code="unsupported_value"
                )
        return out

    def _only(self, value: Json, allowed: frozenset[Any]) -> Json:
        """An object without keys that are not allowed; the same object if there are none."""
        if value.keys() <= allowed:
            return value
        self.dropped |= {name for name in value.keys() - allowed if value[name] is not None}
        return {name: item for name, item in value.items() if name in allowed}


def is_reasoning(model: str) -> bool:
    """Whether OpenAI's model of this name, a fine-tuned one included, thinks before it answers. Chat variants do not."""
    name = model.rpartition("/")[2].removeprefix("ft:")
    return name.startswith(REASONING_MODELS) and "-chat" not in name


def _acts(message: Json) -> bool:
    return any(message.get(name) for name in ("tool_calls", "function_call", "audio", "refusal"))


def _text_only(message: Json) -> tuple[Json, list[Json]]:
    """A tool's result without the parts OpenAI takes in user messages only, and these parts."""
    content = message["content"]
    others = [part for part in content if part["type"] not in ("text", "refusal")]
    if not others:
        return message, []
    texts = [part for part in content if part["type"] in ("text", "refusal")]
    return {**message, "content": texts or "The result is in the next user message."}, others

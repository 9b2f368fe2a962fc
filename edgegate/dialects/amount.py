"""How much of an answer there is: UTF-8 bytes of its text, reasoning and tool arguments, the source of every estimate of tokens.

What only repeats, signs or annotates an answer is not counted, nor are pictures and sound. Foreign JSON is taken as it comes: what
has the wrong type counts as nothing. The sizes of one piece each (`delta_size` and those beside the formats' taps) stand on the
path of every event and take no detours; `answer_size` reads any whole reply and is called only where no usage was reported.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Json

_ROOTS = ("choices", "candidates", "content", "output", "message", "response", "thinking")
"""Where answers stand in replies. The rest may repeat the request: instructions, tools."""

_TEXTS = frozenset(
    ("content", "text", "thinking", "reasoning", "reasoning_content", "refusal", "tool_plan", "response", "transcript", "code")
)
_ARGUMENTS = frozenset(("arguments", "args", "input", "partialArgs"))
"""Of calls: a text, or any JSON."""

_HOLDERS = frozenset(
    (
        "message", "delta", "content", "parts", "output", "summary", "thinking", "audio", "tool_calls", "function", "custom",
        "function_call", "functionCall", "toolUse", "reasoningContent", "reasoningText", "executableCode",
    )
)  # fmt: skip


def size(text: str) -> int:
    """A text's length in UTF-8; half of a surrogate pair counts as a character."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def json_size(value: Any) -> int:
    """The length of a call's arguments: of the text, or of any JSON as a text. 0 for an empty value, or one too deep to be written."""
    if type(value) is str:
        return size(value)
    try:
        return len(orjson.dumps(value)) if value else 0
    except (orjson.JSONEncodeError, RecursionError):
        return 0


def delta_size(delta: Json) -> int:
    """Of a chat's delta, in any compatible provider's words."""
    if len(delta) == 1:  # as most vendors write them
        text = delta.get("content")
        if type(text) is str:
            return len(text) if text.isascii() else size(text)
        if "tool_calls" in delta:
            return _calls_size(delta["tool_calls"])
    found = 0
    for name, value in delta.items():
        if not value or (name == "reasoning" and delta.get("reasoning_content")):  # some say both, and mean one
            continue
        if type(value) is str:
            if name in _TEXTS:
                found += len(value) if value.isascii() else size(value)
        elif name == "tool_calls":
            found += _calls_size(value)
        elif name in _HOLDERS:
            found += _walk(value)
    return found


def _calls_size(calls: Any) -> int:
    try:
        (call,) = calls  # nearly always: a piece of one
        text = call["function"]["arguments"]
        return len(text) if text.isascii() else size(text)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    found = 0
    for call in calls if type(calls) is list else ():
        function = (call.get("function") or call.get("custom")) if type(call) is dict else None
        if type(function) is dict:
            found += json_size(function.get("arguments") or function.get("input"))
    return found


def choice_size(choice: Json) -> int:
    """Of a choice of a chat's or a completion's chunk."""
    delta = choice.get("delta")
    if type(delta) is dict:
        return delta_size(delta)
    text = choice.get("text")
    return size(text) if type(text) is str else 0


def answer_size(reply: Any) -> int:
    """Of a whole reply in any format, parsed."""
    if isinstance(reply, list):
        return sum(answer_size(part) for part in reply)
    return _walk({name: reply[name] for name in _ROOTS if name in reply}, _ROOTS) if isinstance(reply, dict) else 0


def body_size(body: bytes) -> int:
    """The same for its bytes; 0 for what is no JSON."""
    try:
        return answer_size(orjson.loads(body))
    except orjson.JSONDecodeError:
        return 0


def _walk(value: Any, roots: tuple[str, ...] = ()) -> int:
    """Replies come out of a parser that bounds their depth, and only the levels of an answer are gone down."""
    if isinstance(value, list):
        return sum(_walk(item) for item in value if isinstance(item, dict))
    if not isinstance(value, dict):
        return 0
    found = 0
    for name, inner in value.items():
        if type(inner) is str:
            if name in _TEXTS or name in _ARGUMENTS:
                found += 0 if name == "reasoning" and "reasoning_content" in value else size(inner)
        elif name in _ARGUMENTS:
            found += json_size(inner)
        elif name in _HOLDERS or name in roots:
            found += _walk(inner)
    return found
